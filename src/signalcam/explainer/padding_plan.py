"""Plan batches of unequal-length samples: group by length, or pad if outputs and maps are unchanged."""

from __future__ import annotations

import logging
from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from signalcam.arrays import Array
from signalcam.explainer.batch_result import ModelOutputs
from signalcam.explainer.runner import GroupResult, Runner
from signalcam.inputs.padding import Group, RaggedBatch, group_by_length
from signalcam.inputs.pytree import Inputs, Path, is_array, leaves, path_to_str
from signalcam.results.layer_maps import LayerMaps

SAME = 1e-5  # of the largest value: the same numbers, added up in another order
N_SHIFTS = 8  # ways each sample is tried: one alone may happen not to show what leaks from its padding
_log = logging.getLogger("signalcam")


@dataclass(frozen=True)
class BatchPlan:
    """The groups of samples that run together.

    Attributes:
        samples: All of them.
        rows: For each group the numbers of its samples; ``None`` for one group of all.
        how: What was decided and why, for the result; empty where all are of one shape.
        whole: The padded arrays to be run as they came.
    """

    samples: RaggedBatch
    rows: Sequence[np.ndarray] | None
    how: str = ""
    whole: Inputs | None = None

    def groups(self) -> Iterator[Group]:
        """Yield the groups one by one, each built when it is needed."""
        if self.whole is not None:
            yield self.samples.as_given(self.whole)
        elif self.rows is None:
            yield self.samples.group()
        else:
            yield from map(self.samples.group, self.rows)


def plan_batches(
    running: Runner, samples: RaggedBatch, whole: Inputs | None, tried: MutableMapping[Any, Any]
) -> BatchPlan:
    """Plan the groups; run a few samples padded and alone where padding may be allowed.

    Args:
        running: Runs the model.
        samples: What was passed in.
        whole: The padded arrays it was passed in, if it was.
        tried: What earlier trials of this model found.
    """
    if not samples.uneven:
        return BatchPlan(samples, None)
    if whole is not None and (reason := _not_cut(running, samples, whole)):
        how = f"padded as it came, as {reason}; what lies beyond a sample's end gets no heat, but may have changed the rest"
        return BatchPlan(samples, None, how, whole)
    alike = samples.alike()
    reason = _not_padded(running, samples)
    if not reason and len(alike) > 1:
        reason = padding_changes_output(running, samples, tried)
    if reason or len(alike) == 1:
        more = f", as {reason}" if reason else ""
        return BatchPlan(samples, alike, f"samples of equal length ran together, {len(alike)} lengths{more}")
    shapes = _shapes(samples)
    batches = group_by_length(shapes)
    room = sum(len(each) * float(shapes[each].max(axis=0).prod()) for each in batches)
    waste = 1 - float(shapes.prod(axis=1, dtype=float).sum()) / room
    how = (
        f"padded and marked, as answers and maps were then those of running alone; {len(alike)} lengths in "
        f"{len(batches)} batches, {100 * waste:.0f} % of them padding"
    )
    return BatchPlan(samples, batches, how)


def _shapes(samples: RaggedBatch) -> np.ndarray:
    return np.concatenate([each.shapes for each in samples.uneven.values()], axis=1)


# --- padded arrays ---------------------------------------------------------------------------------


def _not_cut(running: Runner, samples: RaggedBatch, whole: Inputs) -> str:
    """The reason why padded arrays are not cut to the samples' lengths; empty where they can be."""
    other_input = _padded_alike(samples, whole)
    if other_input:
        return f"{other_input} is padded beside it"
    shortest = int(_shapes(samples).prod(axis=1, dtype=float).argmin())
    one = samples.group(np.asarray([shortest])).inputs
    try:
        running.backend.layers(running.model, one)
    except Exception as error:
        if running.backend.ran_out_of_memory(error):
            raise
        _log.info("the model refuses a sample without its padding: %s", error)
        return "the model takes no other length"
    return ""


def _padded_alike(samples: RaggedBatch, whole: Inputs) -> str:
    """Name another array that is padded with the explained one, such as a mask."""
    lengths = {
        int(whole.at(path).explained.shape[axis])
        for path, items in samples.uneven.items()
        for axis in np.flatnonzero((items.shapes != items.shapes[0]).any(axis=0)) + 1
    }
    others = [
        path
        for path, array in leaves(samples.inputs.tree)
        if is_array(array) and array.shape[0] == samples.count and lengths & {*map(int, array.shape[1:])}
    ]
    return repr(path_to_str(others[0][-1:])) if others else ""


# --- may they be padded? ---------------------------------------------------------------------------


def _not_padded(running: Runner, samples: RaggedBatch) -> str:
    """The reason why samples may not be padded, as far as options tell; empty where they may."""
    if not samples.marks:
        return (
            "the model is told nothing of lengths (extra={'mask': sc.Mask()}, say), so padding could change its answers"
        )
    if not running.only_plain:
        names = [each.name for each in running.methods]
        return f"a method among {', '.join(names)} asks the model again"
    marked: dict[Path, set[int]] = {}
    for _, path in samples.marks.values():
        marked.setdefault(path, set()).update(samples.axes[path])
    for path, items in samples.uneven.items():
        differ = set(map(int, np.flatnonzero((items.shapes != items.shapes[0]).any(axis=0)) + 1))
        if not differ <= marked.get(path, set()):
            return "they differ along an axis that no mask or length is about"
    return ""


def padding_changes_output(running: Runner, samples: RaggedBatch, tried: MutableMapping[Any, Any]) -> str:
    """The reason why padding changes outputs or maps, measured on a few samples; empty where it does not."""
    shapes = _shapes(samples)
    key = (running.layers, tuple(each.name for each in running.methods), tuple(samples.uneven))
    low, high, earlier_reason = tried.get(key, (None, None, ""))
    reason = str(earlier_reason)
    inside = low is not None and bool((shapes >= low).all() and (shapes <= high).all())
    if not inside:
        try:
            reason = _compared(running, samples, probe_samples(shapes))
        except Exception as error:  # noqa: BLE001 - whatever a model says to padding, it can run without
            _log.info("the model refuses padded samples: %s", error)
            reason = f"padded samples made it raise {type(error).__name__}"
        tried[key] = (shapes.min(axis=0), shapes.max(axis=0), reason)
    return reason


def probe_samples(shapes: np.ndarray) -> np.ndarray:
    """Select the shortest and the longest sample, and others whose lengths leave another remainder.

    A layer with a stride may pad even and odd lengths in different ways.
    """
    size = shapes.prod(axis=1, dtype=float)
    samples = [int(size.argmax()), int(size.argmin())]
    for step in (2, 4, 8, 16):
        other = np.flatnonzero((shapes % step != shapes[samples[0]] % step).any(axis=1))
        samples += [int(other[0])] if len(other) and not set(other) & set(samples) else []
    return np.asarray(samples)


def _compared(running: Runner, samples: RaggedBatch, rows: np.ndarray) -> str:
    """Compare padded-batch with single-sample results over several circular shifts.

    Returns the reason if they differ. Whether padding leaks depends on the values just before it (a ReLU can hide a
    leak), so each sample is also tested circularly shifted.

    Turned, a sample ends in another of its own parts: a rectifier that lets nothing through behind
    the end of one recording lets something through behind that of the next.

    Returns:
        Nothing where they do not differ.
    """
    turns = np.arange(N_SHIFTS) / N_SHIFTS

    def run(some: np.ndarray) -> Iterator[tuple[ModelOutputs, list[LayerMaps]]]:
        group = samples.group(np.repeat(some, N_SHIFTS), np.tile(turns, len(some)))
        return _each(running, running.run_group(group, _nothing))

    together = list(run(rows))
    worst = {"answers": 0.0, "maps": 0.0}
    for i in range(len(rows)):
        pairs = list(zip(together[i * N_SHIFTS : (i + 1) * N_SHIFTS], run(rows[i : i + 1]), strict=True))
        for name in ("scores", "logits"):
            answers = [(getattr(one, name), getattr(own, name)) for (one, _), (own, _) in pairs]
            worst["answers"] = max(worst["answers"], _apart(answers))
        for layer in range(len(running.layers)):
            maps = [(ones[layer], owns[layer]) for (_, ones), (_, owns) in pairs]
            worst["maps"] = max(worst["maps"], _maps_apart(maps))
    what = [f"{name} by {size:.0e}" for name, size in worst.items() if size > SAME]
    return f"padding changed the model's {' and '.join(what)} of the largest" if what else ""


def _each(running: Runner, pieces: Sequence[GroupResult]) -> Iterator[tuple[ModelOutputs, list[LayerMaps]]]:
    """For each sample the model's outputs, and a map for each layer."""
    for piece in pieces:
        outputs, maps = piece.outputs, piece.maps(running.layers)
        for place in range(len(piece.rows)):
            yield outputs.select(np.asarray([place])), [each.maps.select([place]) for each in maps]


def _nothing(_count: int) -> None:
    """Ignore progress: probe samples do not count as done."""


def _apart(pairs: Sequence[tuple[Array | None, Array | None]]) -> float:
    """The largest difference relative to the largest value of all shifts; infinite where a value is not finite.

    The largest value of one shift alone may be nearly zero, and that of another sample far larger.

    The largest of one turn alone may be nearly nothing, and that of another sample far louder.
    """
    comparable = [(a, b) for a, b in pairs if a is not None and b is not None]
    if any(a.shape != b.shape or not np.isfinite(a - b).all() for a, b in comparable):
        return float("inf")
    size = max((float(np.abs(b).max(initial=0)) for _, b in comparable), default=0.0)
    return max((float(np.abs(a - b).max(initial=0)) for a, b in comparable), default=0.0) / (size or 1.0)


def _maps_apart(pairs: Sequence[tuple[LayerMaps, LayerMaps]]) -> float:
    """The largest relative difference of one layer's maps over all targets and methods."""
    if any(
        a.values.shape != b.values.shape or not np.allclose(a.places, b.places, rtol=1e-6, atol=1e-6) for a, b in pairs
    ):
        return float("inf")
    targets = np.ndindex(pairs[0][1].values.shape[1:3])
    return max(_apart([(a.values[:, t, m], b.values[:, t, m]) for a, b in pairs]) for t, m in targets)
