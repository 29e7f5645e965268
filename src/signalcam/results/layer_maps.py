"""The maps of one layer, at its own resolution, and where they lie in the input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from signalcam.alignment.resampling import AxisGrid, resample


def _at(samples: Any, ends: Sequence[int] | np.ndarray) -> Any:
    """Index some samples, all targets and methods, and the positions up to some ends."""
    return (samples, slice(None), slice(None), *(slice(0, int(end)) for end in ends))


@dataclass(frozen=True)
class LayerMaps:
    """The maps of one layer, at its own resolution.

    Attributes:
        name: The layer's.
        values: ``(sample, target, cam, *positions)``, float32; NaN beyond a sample's end.
        grid: Where the positions lie, one ``Axis`` for each, in the order of the input's axes.
        sizes: ``(sample, position axis, 2)``, how many positions each sample has along each axis and how
            long it is in the input; ``None`` where all are as the grid says.
    """

    name: str
    values: np.ndarray
    grid: tuple[AxisGrid, ...]
    sizes: np.ndarray | None = None

    def at_input(self, axes: Sequence[int], lengths: Sequence[int]) -> np.ndarray:
        """Interpolate to the input's resolution, ``(sample, target, cam, *lengths)``.

        Beyond the last position of a sample its map is held to the sample's end; what follows is NaN.
        """
        if self.sizes is None:
            return self._whole(axes, lengths)
        wide = np.full((*self.values.shape[:3], *lengths), np.nan, self.values.dtype)
        for rows, alone in self._alike():
            own = {axis.input_axis: axis.length for axis in alone.grid}
            ends = [own.get(axis, length) for axis, length in zip(axes, lengths, strict=True)]
            wide[_at(rows, ends)] = alone._whole(axes, ends)  # noqa: SLF001 - its own kind
        return wide

    def _whole(self, axes: Sequence[int], lengths: Sequence[int]) -> np.ndarray:
        full = resample(np.asarray(self.values), self.grid)  # a job's are on disk till here
        own = {axis.input_axis: axis.length for axis in self.grid}
        shape = [own.get(axis, 1) for axis in axes]
        return np.broadcast_to(full.reshape(*full.shape[:3], *shape), (*full.shape[:3], *lengths))

    def _alike(self) -> list[tuple[np.ndarray, LayerMaps]]:
        """The samples of equal size together: their numbers and their maps without padding."""
        if self.sizes is None:
            return [(np.arange(len(self.values)), self)]
        flat = self.sizes.reshape(len(self.sizes), -1)
        kinds, index = np.unique(flat, axis=0, return_inverse=True)
        rows = [np.flatnonzero(index.reshape(-1) == kind) for kind in range(len(kinds))]
        return [(each, self.select(each)) for each in rows]

    def select(self, rows: Sequence[int] | np.ndarray) -> LayerMaps:
        """Take some samples, cut to the longest of them."""
        values = self.values[rows]
        if self.sizes is None or not len(values):
            return replace(self, values=values, sizes=None)
        sizes = self.sizes[rows]
        most = sizes.max(axis=0, initial=0)
        grid = tuple(
            replace(axis, cells=int(cells), length=int(length))
            for axis, (cells, length) in zip(self.grid, most, strict=True)
        )
        short = values[_at(slice(None), most[:, 0])]
        alike = bool((sizes == most).all())
        return replace(self, values=short, grid=grid, sizes=None if alike else sizes)

    def between(self, input_axis: int, start: int, stop: int) -> LayerMaps:
        """Take what lies along a stretch of an axis of the input, with the cells on either side of it."""
        values, grid = self.values, list(self.grid)
        for number, axis in enumerate(self.grid):
            if axis.input_axis == input_axis:
                grid[number], cells = axis.between(start, stop)
                values = values[(*[slice(None)] * (3 + number), cells)]
        return replace(self, values=values, grid=tuple(grid))

    def expand_along(self, input_axis: int, length: int) -> LayerMaps:
        """The same maps with a cell for each value along one axis of the input, which they may not have yet."""
        grid = [axis for axis in self.grid if axis.input_axis != input_axis]
        place = sum(axis.input_axis < input_axis for axis in grid)
        own = [(number, axis) for number, axis in enumerate(self.grid) if axis.input_axis == input_axis]
        if own:
            values = np.moveaxis(self.values, 3 + own[0][0], -1)
            values = np.moveaxis(resample(values, [own[0][1]]), -1, 3 + place)
        else:
            values = np.repeat(np.expand_dims(self.values, 3 + place), length, axis=3 + place)
        line = AxisGrid(input_axis, length, length, 0.0, 1.0, 1.0, probed=True)
        return replace(self, values=values, grid=(*grid[:place], line, *grid[place:]))

    @property
    def places(self) -> tuple[tuple[int, float, float], ...]:
        """Where positions lie along each axis, however many there are."""
        return tuple((axis.input_axis, axis.start, axis.jump) for axis in self.grid)

    def mask_padding(self, shapes: np.ndarray) -> LayerMaps:
        """Take away what lies beyond the samples' ends, by their shapes ``(sample, axis)``."""
        sizes = np.empty((len(self.values), len(self.grid), 2), np.int64)
        for number, axis in enumerate(self.grid):
            lengths = shapes[:, axis.input_axis - 1]
            inside = (axis.centres <= lengths[:, None] - 0.5).sum(axis=1)
            sizes[:, number] = np.stack([np.maximum(inside, 1), lengths], axis=1)
        values = np.full_like(self.values, np.nan)
        for row, size in enumerate(sizes[:, :, 0]):
            here = _at(row, size)
            values[here] = self.values[here]
        return replace(self, values=values, sizes=sizes).select(np.arange(len(values)))


@dataclass(frozen=True)
class GroupMaps:
    """The maps of samples that are all of one shape.

    Attributes:
        rows: The numbers of the samples.
        maps: Theirs.
        shape: Of the input, batch included.
    """

    rows: np.ndarray
    maps: LayerMaps
    shape: tuple[int, ...]


def join_groups(pieces: Sequence[GroupMaps]) -> LayerMaps:
    """Put together maps of one layer from samples of several shapes.

    Where all shapes have their positions in the same places these are kept, else every value of the
    input gets a position of its own.
    """
    rows = np.concatenate([each.rows for each in pieces])
    if len(pieces) == 1:
        return pieces[0].maps.select(np.argsort(rows))
    every = [each.maps for each in pieces]
    if len({each.places for each in every}) > 1:
        axes = sorted({axis.input_axis for each in every for axis in each.grid})
        every = [_at_input(each.maps, axes, each.shape) for each in pieces]
    sizes = np.concatenate([_sizes(each) for each in every])
    most = sizes.max(axis=0)
    grid = tuple(
        replace(axis, cells=int(cells), length=int(length))
        for axis, (cells, length) in zip(every[0].grid, most, strict=True)
    )
    values = np.concatenate([_widened(each.values, most[:, 0]) for each in every])
    whole = LayerMaps(every[0].name, values, grid, sizes)
    return whole.select(np.argsort(rows))


def _sizes(maps: LayerMaps) -> np.ndarray:
    own = np.asarray([(axis.cells, axis.length) for axis in maps.grid], np.int64)
    return np.broadcast_to(own, (len(maps.values), *own.shape))


def _widened(values: np.ndarray, cells: np.ndarray) -> np.ndarray:
    more = [(0, int(n) - have) for n, have in zip(cells, values.shape[3:], strict=True)]
    return np.pad(values, [(0, 0)] * 3 + more, constant_values=np.nan)


def _at_input(maps: LayerMaps, axes: Sequence[int], shape: Sequence[int]) -> LayerMaps:
    """The same maps with a position for each value of the input."""
    lengths = [int(shape[axis]) for axis in axes]
    lines = tuple(AxisGrid(axis, n, n, 0.0, 1.0, 1.0, probed=True) for axis, n in zip(axes, lengths, strict=True))
    return LayerMaps(maps.name, maps.at_input(axes, lengths), lines)
