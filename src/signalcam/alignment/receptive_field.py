"""Measure where a layer's positions look in the input, by gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from signalcam.alignment.resampling import AxisGrid, spread_evenly
from signalcam.errors import LayoutError

_THRESHOLDS = (
    1e-6,
    1e-3,
    1e-2,
    5e-2,
    0.1,
)  # of the strongest input: for layers that see everything a little


_SMALL = (16, 48)  # samples along the axes that are not being measured: quick to run


MIN_DRIFT_SHARE = 0.005  # of an axis: what is seen has not moved along it


MIN_DRIFT_RATIO = 3  # times further along one axis than along any other


_FINEST = 0.01  # samples from one position to the next: less is standing still


MAX_LINE_ERROR_SAMPLES = 0.75  # samples by which an edge may miss its line: less than one


_OUTSIDE = 0.25  # of a layer's centres: if more lie outside the input, centres say nothing


_STEP = 0.02  # of the input: the largest step that edges may climb by


_AGREEMENT = 0.05  # relative difference allowed between the jump of left and of right edges


_CHEAP, _LONG = 8, 2**16  # times the length that are always tried; samples beyond which no more are


_WHOLE = 64  # samples added at a time: strides of 2, 4, ... leave the same remainder, and padding may depend on it


_LONGER = (
    2,
    4,
    8,
    16,
    32,
)  # times the input's length: for layers that see further than the input is long


Pick = Callable[[tuple[int, ...]], Sequence[tuple[int, ...]]]


Probe = Callable[[dict[int, int], Pick], tuple[Any, Sequence[tuple[int, ...]], np.ndarray]]


_REFUSALS = (RuntimeError, ValueError, TypeError, AssertionError, IndexError, LookupError)


def measure_grid(probe: Probe, input_axes: Sequence[int], lengths: Sequence[int]) -> dict[int, AxisGrid]:
    """Measure how a layer's axes lie along the input's axes.

    Args:
        probe: From lengths for some input axes (the others keep theirs) and the positions wanted, to
            the layer's shape, the positions and ``support``, an array of the input's shape for each.
            It raises where the network does not take an input of that size.
        input_axes: The axes of the input that may carry positions, the least likely last.
        lengths: Their lengths.

    Returns:
        One ``Axis`` for each layer axis that could be measured.
    """
    full = dict(zip(input_axes, lengths, strict=True))
    small = _small_enough(probe, full)
    where = _correspondence(probe, small, full) or _correspondence(probe, {}, full)
    grid = {i: _measure_axis(probe, i, axis, full[axis], small) for i, axis in where.items()}
    return {i: axis for i, axis in grid.items() if axis is not None}


def _small_enough(probe: Probe, full: dict[int, int]) -> dict[int, int]:
    """The smallest lengths the network accepts along the axes that are not measured."""
    for size in _SMALL:
        large = [axis for axis, length in full.items() if length > size]
        if len(large) > 1 and _accepts_sizes(probe, dict.fromkeys(large, size)):
            return dict.fromkeys(large, size)
    return {}


def _accepts_sizes(probe: Probe, sizes: dict[int, int]) -> bool:
    try:
        shape, _, _ = probe(sizes, lambda _shape: [])
    except _REFUSALS:
        return False
    return 0 not in shape  # JAX lets a convolution run on less than its kernel, to no positions


def _correspondence(probe: Probe, sizes: dict[int, int], full: dict[int, int]) -> dict[int, int]:
    """The input axis each layer axis runs along; without those that such sizes leave open."""
    shape, _, support = probe(sizes, _ends)
    long = [i for i, cells in enumerate(shape) if cells > 1]
    input_axes = {i: _moves_along(support[2 * i : 2 * i + 2], full) for i in long}
    linked = {i: axis for i, axis in input_axes.items() if axis is not None}
    unclear = len(linked) < len(shape) or len(set(linked.values())) < len(linked)
    if sizes and unclear:
        return {}
    usual = dict(enumerate(sorted(list(full)[: len(shape)])))  # the channel axis comes last in it
    in_order = all(usual.get(i) == axis for i, axis in linked.items())
    return usual | linked if in_order else linked  # a wrong guess shows no line when it is measured


def _ends(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The first and the last position along each axis of a layer, in the middle of the others."""
    middle = tuple(cells // 2 for cells in shape)
    return [(*middle[:i], end, *middle[i + 1 :]) for i, cells in enumerate(shape) for end in (0, cells - 1)]


def _along(layer_axis: int) -> Pick:
    """Five positions from end to end along one axis of a layer."""

    def pick(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
        middle, last = tuple(cells // 2 for cells in shape), shape[layer_axis] - 1
        places = [round(share * last) for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
        return [(*middle[:layer_axis], place, *middle[layer_axis + 1 :]) for place in places]

    return pick


def _measure_axis(probe: Probe, layer_axis: int, axis: int, length: int, small: dict[int, int]) -> AxisGrid | None:
    """Measure along one axis, the others kept small, in the first way that works."""
    others = {each: size for each, size in small.items() if each != axis}
    shape, picked, support = probe(others, _along(layer_axis))
    line = (
        _line(layer_axis, picked, _spans(support, axis, 0.0), length)
        or _line_on_longer(probe, layer_axis, axis, length, others)
        or _line(layer_axis, picked, _spans(support, axis, 0.0), length, least=2)
        or _line_above_threshold(layer_axis, picked, support, axis, length)
    )
    if line is None:
        return None
    start, jump, field = line
    axis_grid = AxisGrid(axis, shape[layer_axis], length, start, jump, field, probed=True)
    return axis_grid if axis_grid.outside <= _OUTSIDE else None  # as after long causal padding


def _spans(support: np.ndarray, axis: int, threshold: float) -> np.ndarray:
    """First and last sample along an input axis that each position depends on; -1 for none."""
    others = tuple(each for each in range(1, support.ndim) if each != axis)
    profile = support.sum(axis=others)
    affected = profile > threshold * profile.max(axis=1, keepdims=True)
    first, last = affected.argmax(axis=1), affected.shape[1] - 1 - affected[:, ::-1].argmax(axis=1)
    return np.where(affected.any(axis=1)[:, None], np.stack([first, last], axis=1), -1)


def _moves_along(pair: np.ndarray, axes: Iterable[int]) -> int | None:
    """The input axis along which the affected region moves from one position to another."""
    drifts = {axis: _drift(pair, axis) for axis in axes}
    best, *others = sorted(drifts, key=lambda axis: -drifts[axis])
    clear = all(drifts[best] > MIN_DRIFT_RATIO * drifts[axis] for axis in others)
    return best if clear and drifts[best] > MIN_DRIFT_SHARE else None


def _drift(pair: np.ndarray, axis: int) -> float:
    """How far the centre of mass moves, as a share of the axis."""
    others = tuple(each for each in range(1, pair.ndim) if each != axis)
    profile = pair.sum(axis=others) ** 2
    weight = profile.sum(axis=1)
    if not weight.all():
        return 0.0
    centres = (profile * np.arange(profile.shape[1])).sum(axis=1) / weight
    return float(abs(centres[1] - centres[0]) / profile.shape[1])


def _line(
    layer_axis: int,
    picked: Sequence[tuple[int, ...]],
    spans: np.ndarray,
    length: int,
    least: int = 3,
) -> tuple[float, float, float] | None:
    """Fit start, jump and field to the edges that the input's ends do not truncate.

    Left and right edges must each show the same jump: an edge alone may be an accident of units
    that happen to be silent. At least ``least`` of each are wanted. Where every position sees a
    single sample no end cuts anything off.
    """
    index = np.asarray([each[layer_axis] for each in picked])
    single = bool((spans[:, 0] == spans[:, 1]).all() and (spans >= 0).all())
    left = (spans[:, 0] > 0) | single
    right = (spans[:, 1] < length - 1) & (spans[:, 1] >= 0) | single
    low = _straight(index[left][::-1], spans[left, 0][::-1], least, length)
    high = _straight(index[right], spans[right, 1], least, length)
    if low is None or high is None:
        return None
    jump = (low[0] + high[0]) / 2
    if jump < _FINEST or abs(low[0] - high[0]) > _AGREEMENT * jump:
        return None
    field = high[1] - low[1] + 1
    if field <= 0:
        return None
    return round((low[1] + high[1]) / 2, 6) + 0.0, round(jump, 6), round(field, 6)  # no -0.0


def _straight(index: np.ndarray, edge: np.ndarray, least: int, length: int) -> tuple[float, float] | None:
    """Slope and offset of the line through edges.

    Points near the border are dropped first: internal padding can truncate their receptive field.

    The last are nearest to the border, where padding and remainders inside the network may cut
    edges off that the input's own end does not. Where a layer was enlarged inside the network the
    edges climb in steps; then the line through all of them is right to half a step.
    """
    for count in range(len(index), 0, -1):
        if len(np.unique(index[:count])) < least:
            break
        slope, offset, miss = _fit(index[:count], edge[:count])
        if miss <= max(MAX_LINE_ERROR_SAMPLES, abs(slope) / 8):
            return slope, offset
    if len(np.unique(index)) < max(least, 3):
        return None
    slope, offset, miss = _fit(index, edge)
    return (slope, offset) if miss <= _STEP * length else None


def _fit(index: np.ndarray, edge: np.ndarray) -> tuple[float, float, float]:
    """Slope and offset of the best line, and its largest error."""
    slope, offset = np.polyfit(index, edge, 1)
    return float(slope), float(offset), float(np.abs(edge - slope * index - offset).max())


def _line_on_longer(
    probe: Probe, layer_axis: int, axis: int, length: int, others: dict[int, int]
) -> tuple[float, float, float] | None:
    """Measure on longer inputs, if the network accepts them, until the ends truncate nothing."""
    for times in _LONGER:
        if times > _CHEAP and length * times > _LONG:
            return None
        longer = length + -(-length * (times - 1) // _WHOLE) * _WHOLE
        try:
            _, picked, support = probe({**others, axis: longer}, _along(layer_axis))
        except _REFUSALS:
            return None  # a network of one fixed length: the caller has other ways
        line = _line(layer_axis, picked, _spans(support, axis, 0.0), longer)
        if line is not None:
            return line
    return None


def _line_above_threshold(
    layer_axis: int, picked: Sequence[tuple[int, ...]], support: np.ndarray, axis: int, length: int
) -> tuple[float, float, float] | None:
    """Measure the strongest part of a field that covers the whole input."""
    lines = (_line(layer_axis, picked, _spans(support, axis, each), length) for each in _THRESHOLDS)
    return next((line for line in lines if line is not None), None)


def place_layer(
    shape: Sequence[int],
    grid: dict[int, AxisGrid],
    input_shape: Sequence[int],
    candidates: Sequence[int],
    layer: str,
) -> dict[int, AxisGrid]:
    """Place every axis of a layer: as measured, or spread evenly over the axes left.

    Args:
        shape: The layer's positions.
        grid: What ``measure_grid`` found, by layer axis.
        input_shape: Of the explained array, batch included.
        candidates: Axes of the input that may carry positions, most likely first.
        layer: The layer's name, for the error.

    Returns:
        An ``Axis`` for each layer axis but those of one cell that have no axis left.
    """
    used = {axis.input_axis for axis in grid.values()}
    open_axes = [i for i in range(len(shape)) if i not in grid]
    free = [axis for axis in candidates if axis not in used]
    while len(free) < len(open_axes) and any(shape[i] == 1 for i in open_axes):
        open_axes.remove(next(i for i in open_axes if shape[i] == 1))
    if len(free) < len(open_axes):
        message = (
            f"layer {layer!r} has positions {tuple(shape)} but an input of shape {tuple(input_shape)} has no "
            "axes for them. Choose a layer of the input's rank."
        )
        raise LayoutError(message)
    free_axes = sorted(free[: len(open_axes)])
    rest = {i: spread_evenly(axis, shape[i], input_shape[axis]) for i, axis in zip(open_axes, free_axes, strict=True)}
    return {i: (grid | rest)[i] for i in range(len(shape)) if i in grid or i in rest}
