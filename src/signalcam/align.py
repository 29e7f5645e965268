"""From a layer's positions to places in the input, and from there to a map of the input's size.

Position ``u`` of a layer sees the input around ``start + jump * u``, the centre of its receptive
field. Stretching a map to the input's length, as is usual, assumes another start and misplaces maps
of unpadded networks by up to half a receptive field.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from signalcam.errors import LayoutError

_THRESHOLDS = (
    1e-6,
    1e-3,
    1e-2,
    5e-2,
    0.1,
)  # of the strongest input: for layers that see everything a little
_LONGER = (2, 4, 8)  # times the input's length: for layers that see further than the input is long


@dataclass(frozen=True)
class Axis:
    """How one axis of a layer lies along one axis of the input.

    Attributes:
        input_axis: The axis of the input, batch included.
        cells: Positions of the layer.
        length: Samples of the input.
        start: Centre, in samples, of what position 0 sees.
        jump: Samples from one position's centre to the next.
        field: Samples that one position sees; 0 where that is not known.
        probed: Whether this was measured; otherwise positions are spread evenly.
    """

    input_axis: int
    cells: int
    length: int
    start: float
    jump: float
    field: float = 0.0
    probed: bool = False

    @property
    def centres(self) -> np.ndarray:
        """The place of each position, in samples of the input."""
        return self.start + self.jump * np.arange(self.cells)


def evenly(input_axis: int, cells: int, length: int) -> Axis:
    """Spread positions evenly over the input, as resizing an image does."""
    jump = length / cells
    return Axis(input_axis, cells, length, jump / 2 - 0.5, jump)


def resample(maps: np.ndarray, grid: Sequence[Axis]) -> np.ndarray:
    """Interpolate maps linearly from a layer's positions to every sample of the input.

    Args:
        maps: ``(..., *positions)``, one trailing axis for each entry of ``grid``.
        grid: Where the positions lie. Beyond the outermost centres the map is held.

    Returns:
        ``(..., *input lengths)``.
    """
    for number, axis in enumerate(grid):
        place = (np.arange(axis.length) - axis.start) / axis.jump
        place = np.clip(place, 0, axis.cells - 1)
        low = np.minimum(place.astype(int), max(axis.cells - 2, 0))
        high = np.minimum(low + 1, axis.cells - 1)
        where = number - len(grid)
        share = (place - low).astype(maps.dtype).reshape(-1, *[1] * (-where - 1))
        maps = maps.take(low, axis=where) * (1 - share) + maps.take(high, axis=where) * share
    return maps


# --- probing -------------------------------------------------------------------------------------

Probe = Callable[
    [dict[int, int], "Pick"], tuple[tuple[int, ...], Sequence[tuple[int, ...]], np.ndarray]
]
Pick = Callable[[tuple[int, ...]], Sequence[tuple[int, ...]]]


def diagonal(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Positions from one corner of a layer to the other, then the middle moved along each axis."""
    shares = (0.0, 0.25, 0.5, 0.75, 1.0)
    line = [tuple(round(share * (cells - 1)) for cells in shape) for share in shares]
    middle = line[2]
    moved = (
        [(*middle[:i], line[3][i], *middle[i + 1 :]) for i in range(len(shape))]
        if len(shape) > 1
        else []
    )
    return line + moved


def measure(probe: Probe, input_axes: Sequence[int], lengths: Sequence[int]) -> dict[int, Axis]:
    """Find how a layer's axes lie along the input's by looking at what its positions depend on.

    Args:
        probe: From longer lengths for some input axes, and the positions wanted, to the layer's
            shape, the positions and ``support``, one array of the input's shape for each.
        input_axes: The axes of the input that may carry positions.
        lengths: Their lengths.

    Returns:
        One ``Axis`` for each layer axis that could be measured.
    """
    shape, picked, support = probe({}, diagonal)
    spans = {axis: _spans(support, axis, 0.0) for axis in input_axes}
    found: dict[int, Axis] = {}
    for layer_axis, cells in enumerate(shape):
        where = _moves_along(layer_axis, picked, spans, support, len(shape))
        if where is None or cells < 2:
            continue
        length = lengths[list(input_axes).index(where)]
        line = _line(layer_axis, picked, spans[where], length)
        line = line or _line_on_longer(probe, layer_axis, where, length)
        line = line or _line_above_threshold(layer_axis, picked, support, where, length)
        if line is not None:
            start, jump, field = line
            found[layer_axis] = Axis(where, cells, length, start, jump, field, probed=True)
    return found


def _spans(support: np.ndarray, axis: int, threshold: float) -> np.ndarray:
    """First and last sample along an input axis that each position depends on; -1 for none."""
    others = tuple(each for each in range(1, support.ndim) if each != axis)
    profile = support.sum(axis=others)
    felt = profile > threshold * profile.max(axis=1, keepdims=True)
    first, last = felt.argmax(axis=1), felt.shape[1] - 1 - felt[:, ::-1].argmax(axis=1)
    return np.where(felt.any(axis=1)[:, None], np.stack([first, last], axis=1), -1)


def _moves_along(
    layer_axis: int,
    picked: Sequence[tuple[int, ...]],
    spans: dict[int, np.ndarray],
    support: np.ndarray,
    rank: int,
) -> int | None:
    """The input axis along which what is seen moves when the position moves along the layer's."""
    before, after = (2, 5 + layer_axis) if rank > 1 else (0, 4)
    if picked[before] == picked[after]:
        return None
    shifts = {axis: int(np.abs(span[after] - span[before]).sum()) for axis, span in spans.items()}
    if not any(
        shifts.values()
    ):  # everything is seen from everywhere: compare the centres of gravity
        shifts = {axis: _drift(support[[before, after]], axis) for axis in spans}
    best = max(shifts, key=lambda axis: shifts[axis])
    return best if shifts[best] > 0 else None


def _drift(support: np.ndarray, axis: int) -> int:
    others = tuple(each for each in range(1, support.ndim) if each != axis)
    profile = support.sum(axis=others) ** 2
    weight = profile.sum(axis=1)
    if not weight.all():
        return 0
    centres = (profile * np.arange(profile.shape[1])).sum(axis=1) / weight
    return int(abs(centres[1] - centres[0]))


def _line(
    layer_axis: int, picked: Sequence[tuple[int, ...]], spans: np.ndarray, length: int
) -> tuple[float, float, float] | None:
    """Fit start, jump and field to the edges that the input's ends do not cut off."""
    index = np.asarray([each[layer_axis] for each in picked])
    seen = spans[:, 0] >= 0
    left, right = seen & (spans[:, 0] > 0), seen & (spans[:, 1] < length - 1)
    slopes = [_slope(index[each], spans[each, side]) for side, each in enumerate((left, right))]
    usable = [slope for slope in slopes if slope is not None]
    if (
        not usable
        or not left.any()
        or not right.any()
        or max(usable) - min(usable) > 0.5
        or min(usable) <= 0
    ):
        return None
    jump = float(np.mean(usable))
    starts = [spans[each, side] - jump * index[each] for side, each in enumerate((left, right))]
    if any(np.ptp(each) > max(1.0, jump / 2) for each in starts):
        return None
    low, high = (float(np.median(each)) for each in starts)
    return (low + high) / 2, jump, high - low + 1


def _slope(index: np.ndarray, edge: np.ndarray) -> float | None:
    if len(np.unique(index)) < 2:
        return None
    far, near = int(index.argmax()), int(index.argmin())
    return float((edge[far] - edge[near]) / (index[far] - index[near]))


def _line_on_longer(
    probe: Probe, layer_axis: int, axis: int, length: int
) -> tuple[float, float, float] | None:
    """Measure on longer inputs, if the network takes them, until the ends cut nothing off."""
    for times in _LONGER:
        try:
            _, picked, support = probe({axis: length * times}, diagonal)
        except (RuntimeError, ValueError, TypeError, AssertionError, IndexError, LookupError):
            return None  # a network of one fixed length: the caller has other ways
        line = _line(layer_axis, picked, _spans(support, axis, 0.0), length * times)
        if line is not None:
            return line
    return None


def _line_above_threshold(
    layer_axis: int, picked: Sequence[tuple[int, ...]], support: np.ndarray, axis: int, length: int
) -> tuple[float, float, float] | None:
    """Measure where a position sees the whole input, but one stretch of it much better."""
    lines = (_line(layer_axis, picked, _spans(support, axis, each), length) for each in _THRESHOLDS)
    return next((line for line in lines if line is not None), None)


def placed(
    shape: Sequence[int],
    measured: dict[int, Axis],
    input_shape: Sequence[int],
    candidates: Sequence[int],
    layer: str,
) -> dict[int, Axis]:
    """Give every axis of a layer its place: measured, or spread evenly over the axes left.

    Args:
        shape: The layer's positions.
        measured: What ``measure`` found, by layer axis.
        input_shape: Of the explained array, batch included.
        candidates: Axes of the input that may carry positions, most likely first.
        layer: The layer's name, for the error.

    Returns:
        An ``Axis`` for each layer axis but those of one cell that have no axis left.
    """
    used = {axis.input_axis for axis in measured.values()}
    open_axes = [i for i in range(len(shape)) if i not in measured]
    free = [axis for axis in candidates if axis not in used]
    while len(free) < len(open_axes) and any(shape[i] == 1 for i in open_axes):
        open_axes.remove(next(i for i in open_axes if shape[i] == 1))
    if len(free) < len(open_axes):
        message = (
            f"layer {layer!r} has positions {tuple(shape)} but an input of shape {tuple(input_shape)} has no "
            "axes for them. Choose a layer of the input's rank."
        )
        raise LayoutError(message)
    chosen = sorted(free[: len(open_axes)])
    rest = {
        i: evenly(axis, shape[i], input_shape[axis])
        for i, axis in zip(open_axes, chosen, strict=True)
    }
    return {i: (measured | rest)[i] for i in range(len(shape)) if i in measured or i in rest}
