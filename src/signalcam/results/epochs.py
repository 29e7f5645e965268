"""Here you find epochs: maps and signals cut around events and averaged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from signalcam.alignment.resampling import AxisGrid, sample_at
from signalcam.errors import InputError, LayoutError
from signalcam.inputs.layout import Layout
from signalcam.results.event_average import EventAverage
from signalcam.results.explanation import Explanation
from signalcam.results.statistics import Moments, average, deviation, merge_moments, moments

if TYPE_CHECKING:
    import xarray as xr

_BLOCK = 64  # samples in memory at a time
_EDGE = 1e-6  # in samples: rounding errors of times in seconds
_EVEN = 1e-3  # largest relative difference between steps of an even axis


@dataclass(frozen=True)
class EventWindow:
    """The epoch around each event, in samples of the input.

    Attributes:
        first: The first coordinate of the axis.
        step: The distance between samples, in units of the axis.
        offsets: The samples of an epoch; 0 at the event.
    """

    first: float
    step: float
    offsets: np.ndarray

    @classmethod
    def of(cls, layout: Layout, dim: str, length: int, before: float, after: float) -> EventWindow:
        """Compute the epoch from its lengths before and after the event.

        Raises:
            LayoutError: The axis is not evenly spaced, or the epoch does not fit.
            InputError: The lengths are negative or not finite.
        """
        first, last = (float(each) for each in layout.coordinate(dim, np.asarray([0, length - 1])))
        step = (last - first) / max(length - 1, 1) or 1.0
        _check_even(layout, dim, step)
        if not (before >= 0 and after >= 0 and 0 < before + after < np.inf):
            message = f"before is {before!r} and after is {after!r}; give two numbers, not negative and not both 0, in the units of {dim!r}."
            raise InputError(message)
        offsets = np.arange(-round(before / step), round(after / step) + 1)
        if not 2 <= len(offsets) <= length:
            message = f"an epoch from {before:g} before to {after:g} after an event has {len(offsets)} entries of {dim!r}; expected 2 to {length}. Give another before and after."
            raise LayoutError(message)
        return cls(first, step, offsets)

    @property
    def coordinate(self) -> np.ndarray:
        """Positions within an epoch, in units of the axis; 0 at the event."""
        return np.round(self.offsets * self.step, 12)

    def places(self, times: np.ndarray) -> np.ndarray:
        """Positions of each epoch in samples, ``(event, offset)``; fractional between samples."""
        positions: np.ndarray = np.round((times - self.first) / self.step, 9)[:, None] + self.offsets
        return positions

    def within(self, positions: np.ndarray, length: int) -> np.ndarray:
        """Whether each epoch lies inside its sample, ``(event,)``."""
        inside: np.ndarray = (positions[:, 0] >= -_EDGE) & (positions[:, -1] <= length - 1 + _EDGE)
        return inside


def _check_even(layout: Layout, dim: str, step: float) -> None:
    coordinates = np.asarray((layout.coordinates or {}).get(dim, ()), float)
    if len(coordinates) > 1 and not np.allclose(np.diff(coordinates), step, rtol=_EVEN, atol=0):
        message = (
            f"the entries of {dim!r} are not evenly spaced, so epochs cannot be averaged. Resample the signals first."
        )
        raise LayoutError(message)


def cut_epochs(values: np.ndarray, where: int, axis: AxisGrid, sample: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Cut epochs around events, in double precision: ``(event, ...)``, offsets in place of the axis.

    Args:
        values: ``(sample, ...)``.
        where: The axis to cut.
        axis: The grid of that axis on the input.
        sample: ``(event,)``, the sample of each event.
        positions: ``(event, offset)``, in samples of the input.
    """
    shape = (len(positions), *values.shape[1:where], positions.shape[1], *values.shape[where + 1 :])
    epochs = np.empty(shape)
    for index in np.unique(sample):
        events = np.flatnonzero(sample == index)
        along = np.moveaxis(values[index].astype(np.float64), where - 1, -1)
        cut = sample_at(along, axis, positions[events].reshape(-1))
        cut = cut.reshape(*cut.shape[:-1], len(events), -1)
        epochs[events] = np.moveaxis(np.moveaxis(cut, -2, 0), -1, where)
    return epochs


def average_around(exp: Explanation, events: Sequence[Any], before: float, after: float, dim: str) -> EventAverage:
    """Average maps and input around events; see ``Explanation.around``."""
    if dim not in exp.dims:
        message = f"the maps have axes {', '.join(exp.dims)}, and no {dim!r} along which events could lie. Name the axis: dim=..."
        raise LayoutError(message)
    times = _check_events(events, len(exp))
    axis = exp.layout.dims.index(dim)
    window = EventWindow.of(exp.layout, dim, exp.input.shape[axis], before, after)
    exp = replace(exp, metrics=None, others=(), modalities=())
    totals: list[Moments] | None = None
    for rows in _iterate_blocks(exp):
        part = exp.isel(sample=rows.tolist())
        part_moments = _epoch_moments(part, [times[row] for row in rows], window, axis)
        totals = (
            part_moments
            if totals is None
            else [merge_moments(old, new) for old, new in zip(totals, part_moments, strict=True)]
        )
    total = sum(map(len, times))
    if totals is None or not totals[0][0]:
        message = f"none of {total} events has {before:g} before and {after:g} after it inside its sample. Give other events, or a shorter epoch."
        raise InputError(message)
    return EventAverage(_build_table(exp, totals, window, axis, total))


def _check_events(events: Sequence[Any], samples: int) -> list[np.ndarray]:
    """The times of the events of each sample, as arrays."""
    try:
        times = [np.asarray(each, float) for each in events]
    except (TypeError, ValueError):
        times = []
    if len(times) != samples or any(each.ndim != 1 for each in times):
        message = f"events hold {len(times)} rows of times for {samples} samples. Give one array of times for each sample, empty where it has none."
        raise InputError(message)
    return times


def _iterate_blocks(exp: Explanation) -> Iterator[np.ndarray]:
    """Yield indices of samples of equal length, in blocks."""
    shapes = np.zeros((len(exp), 1)) if exp.shapes is None else exp.shapes
    for kind in np.unique(shapes, axis=0):
        rows = np.flatnonzero((shapes == kind).all(axis=1))
        yield from np.split(rows, range(_BLOCK, len(rows), _BLOCK))


def _epoch_moments(exp: Explanation, times: Sequence[np.ndarray], window: EventWindow, axis: int) -> list[Moments]:
    """Moments over epochs of each layer's maps, then of the input."""
    length = exp.input.shape[axis]
    sample = np.repeat(np.arange(len(times)), [len(each) for each in times])
    positions = window.places(np.concatenate(times))
    inside = window.within(positions, length) & _finite_samples(exp)[sample]
    sample, positions = sample[inside], positions[inside]
    results = []
    for layer in exp.layers:
        for other in exp.map_axes:
            if other != axis or all(each.input_axis != axis for each in layer.grid):
                layer = layer.expand_along(other, exp.input.shape[other])  # noqa: PLW2901 - the same, wider
        grid = [each.input_axis for each in layer.grid].index(axis)
        results.append(moments(cut_epochs(np.asarray(layer.values), 3 + grid, layer.grid[grid], sample, positions)))
    line = AxisGrid(axis, length, length, 0.0, 1.0)
    return [*results, moments(cut_epochs(np.asarray(exp.input), axis, line, sample, positions))]


def _finite_samples(exp: Explanation) -> np.ndarray:
    """Whether all maps of a sample are finite, ``(sample,)``; those that failed in a job are not."""
    flat = [np.isfinite(each.values).reshape(len(exp), -1).all(axis=1) for each in exp.layers]
    finite: np.ndarray = np.logical_and.reduce(flat)
    return finite


def _build_table(exp: Explanation, totals: Sequence[Moments], window: EventWindow, axis: int, total: int) -> xr.Dataset:
    import xarray as xr  # noqa: PLC0415 - not needed to import signalcam

    layout, (*maps, signal) = exp.layout, totals
    dims_of_input = ["around" if i == axis else each for i, each in enumerate(layout.dims)]
    dims = ("target", "cam", *(dims_of_input[each] for each in exp.map_axes))
    other_axes = {each: layout.dims.index(each) for each in dims_of_input[1:] if each != "around"}
    unit = layout.unit(layout.dims[axis])
    coords: dict[str, Any] = {
        name: (
            name,
            layout.coordinate(name, np.arange(exp.input.shape[place])),
            {"units": layout.unit(name)},
        )
        for name, place in other_axes.items()
    }
    coords |= {"target": list(exp.targets), "cam": list(exp.methods)}
    coords["layer"] = list(exp.layer_names)
    coords["around"] = ("around", window.coordinate, {"units": unit} if unit else {})
    attributes = {"units": layout.units} if layout.units else {}
    variables: dict[str, Any] = {}
    for name, statistic in (("mean", average), ("std", deviation)):
        layers = [xr.DataArray(statistic(each), dims=dims) for each in maps]
        merged = xr.concat(layers, "layer").transpose("target", "cam", "layer", *dims[2:])
        variables[name] = merged
        variables[f"signal_{name}"] = (tuple(dims_of_input[1:]), statistic(signal), attributes)
    count = int(signal[0])
    variables |= {"count": count, "left_out": total - count}
    return xr.Dataset(variables, coords, dict(exp.provenance))
