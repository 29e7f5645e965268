"""Find the logits behind what a Keras model returned, among the steps of its run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from keras import ops

from signalcam.arrays import Array, namespace
from signalcam.backends.keras_engines.protocol import Seen, Step
from signalcam.scores import Reading, main_output

_SURE = 1e-3  # how near to 1 probabilities add up, also in half precision


def plain(array: Array) -> np.ndarray:
    """Copy an array of the engine to NumPy, in single precision at least."""
    if hasattr(array, "detach"):  # Keras' own way makes NumPy 2 warn of torch's tensors
        from signalcam.backends.pytorch.borrow import to_numpy  # noqa: PLC0415 - torch is loaded

        return to_numpy(array)
    found: np.ndarray = np.asarray(ops.convert_to_numpy(array))
    narrow = found.dtype.kind not in "iub" and found.dtype not in (np.float32, np.float64)
    return found.astype(np.float32) if narrow else found


def look(raw: Any, steps: Sequence[Step], batch: int) -> Seen:
    """See which step made the output, by its values: squeezing and reshaping leave those alone."""
    main = main_output(raw)
    if main is None:
        return Seen(None, "")
    values = plain(main)
    made = [i for i, step in enumerate(steps) if _same(plain(step.after), values)]
    if made:  # counted from the end: a loop before it takes more steps in one run than in another
        seen = Seen(made[-1] - len(steps), steps[made[-1]].name)
    else:
        seen = Seen(None, _looks_like(values))
    reading = read(raw, steps, batch, seen)
    return replace(seen, known=reading.predicted()) if reading.has_rows else seen


def read(raw: Any, steps: Sequence[Step], batch: int, seen: Seen) -> Reading:
    """Read an output as ``look`` has seen it; the arrays may be stand-ins of the same shapes."""
    main = main_output(raw)
    before = None if main is None or seen.last_step else main
    if main is not None and seen.place is not None:
        behind = steps[seen.place].before
        before = namespace(behind).reshape(behind, tuple(main.shape))
    return Reading(raw, main, before, seen.last_step, batch, plain, seen.known)


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    return one.size == other.size and bool((one.reshape(-1) == other.reshape(-1)).all())


def _looks_like(values: np.ndarray) -> str:
    """Name probabilities whose making was not seen; only rows that add up to 1 are unmistakable."""
    rows = values.reshape(len(values), -1) if values.ndim else values.reshape(1, 1)
    unit = bool(((rows >= 0) & (rows <= 1)).all())
    return (
        "softmax" if unit and rows.shape[1] > 1 and (np.abs(rows.sum(1) - 1) < _SURE).all() else ""
    )
