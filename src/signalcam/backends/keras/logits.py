"""Find the logits behind a Keras model's output: where softmax and sigmoid are stepped behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from signalcam.arrays import Array, namespace
from signalcam.backends.keras.engine import OutputInfo, Run, RunRequest, RunResult
from signalcam.targets import ScoredTarget
from signalcam.targets.model_output import ModelOutput

_SURE = 1e-3  # how near to 1 probabilities add up, also in half precision


def to_numpy(array: Array) -> np.ndarray:
    """Copy an array of the engine to NumPy, in single precision at least."""
    if hasattr(array, "detach"):  # Keras' own way makes NumPy 2 warn of torch's tensors
        from signalcam.backends.torch.borrow import to_numpy  # noqa: PLC0415 - torch is loaded

        return to_numpy(array)
    values: np.ndarray = np.asarray(ops.convert_to_numpy(array))
    narrow = values.dtype.kind not in "iub" and values.dtype not in (np.float32, np.float64)
    return values.astype(np.float32) if narrow else values


def find_last_step(ran: RunResult, batch: int) -> OutputInfo:
    """Find the step that made the output, by its values: squeezing and reshaping keep these."""
    main = ran.main
    if main is None:
        return OutputInfo(None, "")
    values, steps = to_numpy(main), ran.steps
    candidates = [i for i, step in enumerate(steps) if _same(to_numpy(step.after), values)]
    if candidates:  # counted from the end: a loop before it takes more steps in one run than in another
        return OutputInfo(candidates[-1] - len(steps), steps[candidates[-1]].name)
    return OutputInfo(None, _looks_like(values, batch))


def read_output(ran: RunResult, batch: int, info: OutputInfo) -> ModelOutput:
    """Read an output with the info of ``find_last_step``; arrays may be tracers."""
    main = ran.main
    before = None if main is None or info.last_step else main
    if main is not None and info.place is not None:
        behind = ran.steps[info.place].before
        before = namespace(behind).reshape(behind, tuple(main.shape))
    return ModelOutput(ran.raw, main, before, info.last_step, batch)


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    return one.size == other.size and bool((one.reshape(-1) == other.reshape(-1)).all())


def _looks_like(values: np.ndarray, batch: int) -> str:
    """Name the last step of probabilities whose making was not seen: rows that add up to 1."""
    rows = values.reshape(batch if values.size % batch == 0 else 1, -1)
    unit = bool(((rows >= 0) & (rows <= 1)).all())
    return "softmax" if unit and rows.shape[1] > 1 and (np.abs(rows.sum(1) - 1) < _SURE).all() else ""


# --- what a compiled run hands out -----------------------------------------------------------------


@dataclass(frozen=True)
class Traced:
    """What tracing a run shows.

    Attributes:
        calls: The tapped calls in their order.
        reached: For each target, whether its score depends on each of them.
    """

    calls: Sequence[tuple[Any, int]]
    reached: Sequence[Sequence[bool]]


def trace_outputs(
    ran: RunResult,
    reading: ModelOutput,
    scored_targets: Sequence[ScoredTarget],
    activations: Sequence[Array],
    info: OutputInfo,
) -> dict[str, Any]:
    """Collect the values that a compiled run computes, except the gradients."""
    return {
        "raw": ran.raw,
        "before": reading.before,
        "after": None if info.place is None else ran.steps[info.place].after,
        "kept": list(activations),
        "values": [each.value for each in scored_targets],
        "picks": [each.picks for each in scored_targets],
    }


def finish_run(computed: dict[str, Any], once: Traced, task: RunRequest, info: OutputInfo) -> Run | None:
    """Read the values of a compiled run; ``None`` if its output was made otherwise than ``info`` says."""
    main = task.question.main(computed["raw"])
    if main is not None and not _as_seen(to_numpy(main), computed["after"], task.batch, info):
        return None
    reading = ModelOutput(computed["raw"], main, computed["before"], info.last_step, task.batch)
    scored_targets = [ScoredTarget(*pair) for pair in zip(computed["values"], computed["picks"], strict=True)]
    rows = [_spread(*each) for each in zip(computed["rows"], once.reached, strict=True)]
    return Run(reading, scored_targets, computed["kept"], rows, once.calls, info)


def _as_seen(values: np.ndarray, after: Array | None, batch: int, info: OutputInfo) -> bool:
    if after is not None:
        return _same(to_numpy(after), values)
    return _looks_like(values, batch) == info.last_step


def _spread(row: Sequence[Array], reached: Sequence[bool]) -> list[Array | None]:
    waiting = iter(row)
    return [next(waiting) if each else None for each in reached]
