"""How the network's input lies along the raw signal: declared, or measured by nudging the signal."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from signalcam.alignment.resampling import AxisGrid, resample

_PLACES = 24  # along each axis of the raw signal where it is nudged
_CLICKS = 6  # at least: places that are nudged by a single sample
_LOUD = 4.0  # times the signal's own size: what is nudged stands out behind a logarithm too
_WIDTH = 200  # the raw axis is so many times as long as what is nudged
_CUT_OFF_SHARE = 0.01  # of the largest change: a nudge that changes less was cut off
_PEAK = 4.0  # times the median change: a nudge that changes everything alike shows no place
_FLANK = 0.1  # of a nudge's largest change: less is what normalising or a filter's tail does
_ENOUGH = 0.6  # of the places seen that must lie on the line, to one entry or the width of a nudge
_NOTHING = 0.05  # of a step: how far from 0 a start cannot be told from it
_DRIFT = 1.0  # steps that a rounder number may be off by at the far end


@dataclass(frozen=True)
class AxisMap:
    """Entry ``f`` of an axis of the network's input lies at ``start + jump * f`` in the raw signal.

    Attributes:
        raw_axis: Of the raw signal, batch included.
        input_axis: Of the network's input, batch included.
        start: In samples of the raw signal.
        jump: From each entry to the next, in samples of the raw signal.
        reach: How far an entry depends on the raw signal to either side, in its samples.
    """

    raw_axis: int
    input_axis: int
    start: float
    jump: float
    reach: float

    def places(self, length: int) -> np.ndarray:
        """The places of the entries of the network's input, in samples of the raw signal."""
        return self.start + self.jump * np.arange(length)

    def map_grid(self, axis: AxisGrid, length: int) -> AxisGrid:
        """A layer's grid axis along the raw signal, which is ``length`` samples long."""
        first = math.ceil(self.start - self.reach)
        last = math.floor(self.start + self.jump * (axis.length - 1) + self.reach)
        return replace(
            axis,
            input_axis=self.raw_axis,
            length=length,
            start=self.start + self.jump * axis.start,
            jump=self.jump * axis.jump,
            field=self.jump * axis.field,
            first=first if first > 0 else None,
            last=last if last < length - 1 else None,
        )


def average_axis(values: np.ndarray, where: int, axis: AxisGrid) -> np.ndarray:
    """Average maps over an axis, as if they had first been interpolated to the input."""
    weights = resample(np.eye(axis.cells, dtype=values.dtype), (axis,)).mean(-1)
    mean: np.ndarray = np.moveaxis(values, where, -1) @ weights
    return mean


def probe_axes(
    prepare: Callable[[np.ndarray], np.ndarray], raw: np.ndarray, axis: int, among: Sequence[int]
) -> AxisMap | None:
    """Nudge the raw signal at several places along an axis, and measure which entries change.

    Args:
        prepare: From a raw batch to the network's input.
        raw: A signal to nudge, ``(1, ...)``.
        axis: Of the raw signal.
        among: Axes of the network's input that it may turn up along.

    Returns:
        The line through what was seen; ``None`` where it is none.
    """
    length = raw.shape[axis]
    places = np.unique(((np.arange(_PLACES) + 0.5) * length / _PLACES).astype(int))
    change = _changed(prepare, raw, axis, places, length / _WIDTH)
    lines_by_axis = [(each, _line(places, _profile(change, each), length)) for each in among]
    lines = [(miss, each, start, jump) for each, line in lines_by_axis if line for start, jump, miss in [line]]
    if not lines:
        return None
    _, input_axis, start, jump = min(lines)
    some = np.sort(places)[:: max(1, len(places) // _CLICKS)]
    clicks = _profile(_changed(prepare, raw, axis, some, 0.0), input_axis)
    return AxisMap(axis, input_axis, start, jump, impulse_half_width(clicks) * jump)


def _changed(
    prepare: Callable[[np.ndarray], np.ndarray],
    raw: np.ndarray,
    axis: int,
    places: np.ndarray,
    width: float,
) -> np.ndarray:
    """The change of the network's input for each nudged place."""
    nudges = [raw[0] + _burst(raw, axis, int(place), width) for place in places]
    prepared = prepare(np.stack([raw[0], *nudges]))
    with np.errstate(invalid="ignore"):
        change: np.ndarray = np.nan_to_num(prepared[1:] - prepared[:1], posinf=0, neginf=0)
    return change


def _burst(raw: np.ndarray, axis: int, place: int, width: float) -> np.ndarray:
    """Noise around a place, symmetric so that its centre is the place."""
    length, size = raw.shape[axis], float(raw.std()) or 1.0
    away = np.abs(np.arange(length) - place)
    noise = np.random.default_rng(0).choice([-1.0, 1.0], raw.shape[1:])
    shape = [-1 if each == axis else 1 for each in range(1, raw.ndim)]
    envelope = np.exp(-0.5 * (away / max(width, 0.2)) ** 2).reshape(shape)
    bursts: np.ndarray = _LOUD * size * envelope * noise.take(away, axis=axis - 1)
    return bursts


def _profile(change: np.ndarray, axis: int) -> np.ndarray:
    """Energy of the change per entry, ``(probe, entry)``, after removing the median change."""
    if change.shape[axis] > 2:
        change = change - np.median(change, axis=axis, keepdims=True)
    others = tuple(each for each in range(1, change.ndim) if each != axis)
    profile: np.ndarray = (change.astype(float) ** 2).sum(axis=others)
    return profile


def _line(places: np.ndarray, profile: np.ndarray, length: int) -> tuple[float, float, float] | None:
    """Start and jump of the line through the centres of change, and its largest error."""
    centres, loud = _centres(profile)
    entries, x, y = profile.shape[1], centres[loud], places[loud].astype(float)
    if len(np.unique(x)) < min(3, length, entries) or len(x) < 2:
        return None
    jump = _typical_slope(x, y)
    if not 0 < jump < length:
        return None
    start = float(np.median(y - jump * x))
    near = np.abs(y - start - jump * x) <= max(jump, length / _WIDTH)
    if near.sum() < max(2, _ENOUGH * len(x)) or len(np.unique(x[near])) < 2:
        return None
    jump = _rounder(float(np.polyfit(x[near], y[near], 1)[0]), length, entries)
    off = y[near] - jump * x[near]
    return _near_half(float(off.mean()), jump), jump, float(off.std() / jump)


def _centres(profile: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The centre of each place's change, and which places show one."""
    top = profile.max(axis=1)
    share = np.divide(profile, top[:, None], out=np.zeros_like(profile), where=top[:, None] > 0)
    weight = np.clip(share - _FLANK, 0, None)
    total = weight.sum(axis=1)
    centres = (weight @ np.arange(profile.shape[1])) / np.where(total > 0, total, 1)
    clear = np.median(share, axis=1) * _PEAK < 1
    return centres, (top > _CUT_OFF_SHARE * np.median(top)) & clear & (top > 0)


def impulse_half_width(profile: np.ndarray) -> float:
    """Median half-width of the impulse response, in entries."""
    loud_profile = profile[_centres(profile)[1]]
    if not len(loud_profile):
        return float(profile.shape[1] / 2)
    wide = (loud_profile > _FLANK**2 * loud_profile.max(axis=1, keepdims=True)).sum(axis=1)
    return float(np.median(wide)) / 2


def _typical_slope(x: np.ndarray, y: np.ndarray) -> float:
    """The median slope between pairs, which a few truncated ones do not change."""
    i, j = np.triu_indices(len(x), 1)
    apart = x[j] != x[i]
    return float(np.median((y[j] - y[i])[apart] / (x[j] - x[i])[apart]))


def _rounder(jump: float, length: int, entries: int) -> float:
    """The ratio of the lengths, or a whole number of samples, where it fits as well."""
    ratio, whole = length / entries, float(round(jump))
    likely = [ratio, whole] if ratio.is_integer() else [whole, ratio]
    return next((each for each in likely if each > 0 and abs(each - jump) * entries <= _DRIFT * jump), jump)


def _near_half(start: float, jump: float) -> float:
    """The nearest half sample, or 0 where the precision allows no better; finer steps are kept."""
    if abs(start) <= _NOTHING * jump:
        return 0.0
    return round(2 * start) / 2 if jump >= 1 else start
