"""Maps and signals cut around events, one upon the other: what a beat looks like to the network."""

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

_BLOCK = 64  # samples that are held at a time
_EDGE = 1e-6  # of a sample: what a time in seconds may miss it by
_EVEN = 1e-3  # of a step: what one may differ from the next


@dataclass(frozen=True)
class EventWindow:
    """What is cut around each event, in samples of the input.

    Attributes:
        first: Where the axis begins, in its own unit.
        step: From one sample to the next, likewise.
        offsets: The samples of a cut, 0 at the event.
    """

    first: float
    step: float
    offsets: np.ndarray

    @classmethod
    def of(cls, layout: Layout, dim: str, length: int, before: float, after: float) -> EventWindow:
        """Say what is cut of an axis.

        Raises:
            LayoutError: The axis has no even steps, or a cut would be longer than it.
            InputError: Nothing would be cut.
        """
        first, last = (float(each) for each in layout.coordinate(dim, np.asarray([0, length - 1])))
        step = (last - first) / max(length - 1, 1) or 1.0
        _check_even(layout, dim, step)
        if not (before >= 0 and after >= 0 and 0 < before + after < np.inf):
            message = f"a cut from {before!r} before to {after!r} after was asked for; give two numbers that are not negative, in the units of {dim!r}."
            raise InputError(message)
        offsets = np.arange(-round(before / step), round(after / step) + 1)
        if not 2 <= len(offsets) <= length:
            message = f"a cut from {before:g} before to {after:g} after has {len(offsets)} entries of {dim!r}, and should have 2 to {length}, as a sample has. Give another before and after."
            raise LayoutError(message)
        return cls(first, step, offsets)

    @property
    def coordinate(self) -> np.ndarray:
        """Where the samples of a cut lie, in the axis' own unit, 0 at the event."""
        return np.round(self.offsets * self.step, 12)

    def places(self, times: np.ndarray) -> np.ndarray:
        """``(event, offset)``, which samples a cut around each time takes; between two where it lies there."""
        found: np.ndarray = np.round((times - self.first) / self.step, 9)[:, None] + self.offsets
        return found

    def within(self, places: np.ndarray, length: int) -> np.ndarray:
        """``(event,)``, which cuts lie inside a sample."""
        inside: np.ndarray = (places[:, 0] >= -_EDGE) & (places[:, -1] <= length - 1 + _EDGE)
        return inside


def _check_even(layout: Layout, dim: str, step: float) -> None:
    known = np.asarray((layout.coordinates or {}).get(dim, ()), float)
    if len(known) > 1 and not np.allclose(np.diff(known), step, rtol=_EVEN, atol=0):
        message = f"the entries of {dim!r} are not evenly spaced, so cuts around events cannot be laid upon each other. Resample the signals first."
        raise LayoutError(message)


def cut_epochs(values: np.ndarray, where: int, axis: AxisGrid, sample: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Cut around events.

    Args:
        values: ``(sample, ...)``.
        where: Which of its axes is cut.
        axis: How that one lies along the input.
        sample: ``(event,)``, which sample each event is of.
        places: ``(event, offset)``, in samples of the input.

    Returns:
        ``(event, ...)``, in double precision, with the offsets in place of the axis.
    """
    shape = (len(places), *values.shape[1:where], places.shape[1], *values.shape[where + 1 :])
    found = np.empty(shape)
    for each in np.unique(sample):
        own = np.flatnonzero(sample == each)
        along = np.moveaxis(values[each].astype(np.float64), where - 1, -1)
        cut = sample_at(along, axis, places[own].reshape(-1))
        cut = cut.reshape(*cut.shape[:-1], len(own), -1)
        found[own] = np.moveaxis(np.moveaxis(cut, -2, 0), -1, where)
    return found


def average_around(exp: Explanation, events: Sequence[Any], before: float, after: float, dim: str) -> EventAverage:
    """Cut maps and input around events; see ``Explanation.around``."""
    if dim not in exp.dims:
        message = f"the maps have axes {', '.join(exp.dims)}, and no {dim!r} along which events could lie. Name the axis: dim=..."
        raise LayoutError(message)
    times = _times(events, len(exp))
    axis = exp.layout.dims.index(dim)
    stretch = EventWindow.of(exp.layout, dim, exp.input.shape[axis], before, after)
    exp = replace(exp, metrics=None, others=(), modalities=())
    found: list[Moments] | None = None
    for rows in _blocks(exp):
        part = exp.isel(sample=rows.tolist())
        own = _moments(part, [times[row] for row in rows], stretch, axis)
        found = own if found is None else [merge_moments(one, two) for one, two in zip(found, own, strict=True)]
    total = sum(map(len, times))
    if found is None or not found[0][0]:
        message = f"none of {total} events has {before:g} before and {after:g} after it inside its sample. Give others, or a shorter cut."
        raise InputError(message)
    return EventAverage(_table(exp, found, stretch, axis, total))


def _times(events: Sequence[Any], samples: int) -> list[np.ndarray]:
    """The events of each sample."""
    try:
        times = [np.asarray(each, float) for each in events]
    except (TypeError, ValueError):
        times = []
    if len(times) != samples or any(each.ndim != 1 for each in times):
        message = f"events hold {len(times)} rows of times for {samples} samples. Give one array of times for each sample, empty where it has none."
        raise InputError(message)
    return times


def _blocks(exp: Explanation) -> Iterator[np.ndarray]:
    """Samples of one length, a few at a time."""
    shapes = np.zeros((len(exp), 1)) if exp.shapes is None else exp.shapes
    for kind in np.unique(shapes, axis=0):
        rows = np.flatnonzero((shapes == kind).all(axis=1))
        yield from np.split(rows, range(_BLOCK, len(rows), _BLOCK))


def _moments(exp: Explanation, times: Sequence[np.ndarray], stretch: EventWindow, axis: int) -> list[Moments]:
    """Those of the maps, layer after layer, and of the input."""
    length = exp.input.shape[axis]
    sample = np.repeat(np.arange(len(times)), [len(each) for each in times])
    places = stretch.places(np.concatenate(times))
    inside = stretch.within(places, length) & _known(exp)[sample]
    sample, places = sample[inside], places[inside]
    found = []
    for layer in exp.layers:
        for other in exp.map_axes:
            if other != axis or all(each.input_axis != axis for each in layer.grid):
                layer = layer.expand_along(other, exp.input.shape[other])  # noqa: PLW2901 - the same, wider
        grid = [each.input_axis for each in layer.grid].index(axis)
        found.append(moments(cut_epochs(np.asarray(layer.values), 3 + grid, layer.grid[grid], sample, places)))
    line = AxisGrid(axis, length, length, 0.0, 1.0)
    return [*found, moments(cut_epochs(np.asarray(exp.input), axis, line, sample, places))]


def _known(exp: Explanation) -> np.ndarray:
    """``(sample,)``, whose maps are numbers: those that failed in a job are not."""
    flat = [np.isfinite(each.values).reshape(len(exp), -1).all(axis=1) for each in exp.layers]
    found: np.ndarray = np.logical_and.reduce(flat)
    return found


def _table(exp: Explanation, found: Sequence[Moments], stretch: EventWindow, axis: int, total: int) -> xr.Dataset:
    import xarray as xr  # noqa: PLC0415 - not needed to import signalcam

    layout, (*maps, signal) = exp.layout, found
    named = ["around" if i == axis else each for i, each in enumerate(layout.dims)]
    dims = ("target", "cam", *(named[each] for each in exp.map_axes))
    own = {each: layout.dims.index(each) for each in named[1:] if each != "around"}
    unit = layout.unit(layout.dims[axis])
    coords: dict[str, Any] = {
        name: (
            name,
            layout.coordinate(name, np.arange(exp.input.shape[place])),
            {"units": layout.unit(name)},
        )
        for name, place in own.items()
    }
    coords |= {"target": list(exp.targets), "cam": list(exp.methods)}
    coords["layer"] = list(exp.layer_names)
    coords["around"] = ("around", stretch.coordinate, {"units": unit} if unit else {})
    told = {"units": layout.units} if layout.units else {}
    variables: dict[str, Any] = {}
    for name, of in (("mean", average), ("std", deviation)):
        layers = [xr.DataArray(of(each), dims=dims) for each in maps]
        whole = xr.concat(layers, "layer").transpose("target", "cam", "layer", *dims[2:])
        variables[name] = whole
        variables[f"signal_{name}"] = (tuple(named[1:]), of(signal), told)
    count = int(signal[0])
    variables |= {"count": count, "left_out": total - count}
    return xr.Dataset(variables, coords, dict(exp.provenance))
