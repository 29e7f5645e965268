"""Here you find ``LayerMaps``: the maps of one layer at its own resolution, and their grid on the input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from signalcam.alignment.resampling import AxisGrid, resample


def _index_up_to(samples: Any, ends: Sequence[int] | np.ndarray) -> Any:
    """Index all of some samples' maps up to some ends."""
    return (samples, slice(None), slice(None), *(slice(0, int(end)) for end in ends))


@dataclass(frozen=True)
class LayerMaps:
    """The maps of one layer, at its own resolution.

    Attributes:
        name: The layer's name.
        values: ``(sample, target, cam, *positions)``, float32; NaN beyond a sample's end.
        grid: One ``AxisGrid`` for each position axis, in the order of the input's axes.
        sizes: ``(sample, position axis, 2)``, number of positions and length in the input of each sample; ``None``
            if all are those of the grid.
    """

    name: str
    values: np.ndarray
    grid: tuple[AxisGrid, ...]
    sizes: np.ndarray | None = None

    def at_input(self, axes: Sequence[int], lengths: Sequence[int]) -> np.ndarray:
        """Interpolate to the input's resolution, ``(sample, target, cam, *lengths)``.

        Values after the last position of a sample repeat it up to the sample's end; NaN follows.
        """
        if self.sizes is None:
            return self._resample_all(axes, lengths)
        full = np.full((*self.values.shape[:3], *lengths), np.nan, self.values.dtype)
        for rows, group in self._size_groups():
            lengths_of_group = {axis.input_axis: axis.length for axis in group.grid}
            ends = [lengths_of_group.get(axis, length) for axis, length in zip(axes, lengths, strict=True)]
            full[_index_up_to(rows, ends)] = group._resample_all(axes, ends)  # noqa: SLF001 - of this class
        return full

    def _resample_all(self, axes: Sequence[int], lengths: Sequence[int]) -> np.ndarray:
        full = resample(np.asarray(self.values), self.grid)  # a job's maps are read here
        grid_lengths = {axis.input_axis: axis.length for axis in self.grid}
        shape = [grid_lengths.get(axis, 1) for axis in axes]
        return np.broadcast_to(full.reshape(*full.shape[:3], *shape), (*full.shape[:3], *lengths))

    def _size_groups(self) -> list[tuple[np.ndarray, LayerMaps]]:
        """Group samples of equal size: their indices and their maps without padding."""
        if self.sizes is None:
            return [(np.arange(len(self.values)), self)]
        flat = self.sizes.reshape(len(self.sizes), -1)
        kinds, index = np.unique(flat, axis=0, return_inverse=True)
        rows = [np.flatnonzero(index.reshape(-1) == kind) for kind in range(len(kinds))]
        return [(each, self.select(each)) for each in rows]

    def select(self, rows: Sequence[int] | np.ndarray) -> LayerMaps:
        """Select samples, and cut padding to the longest of them."""
        values = self.values[rows]
        if self.sizes is None or not len(values):
            return replace(self, values=values, sizes=None)
        sizes = self.sizes[rows]
        most = sizes.max(axis=0, initial=0)
        grid = tuple(
            replace(axis, cells=int(cells), length=int(length))
            for axis, (cells, length) in zip(self.grid, most, strict=True)
        )
        short = values[_index_up_to(slice(None), most[:, 0])]
        equal = bool((sizes == most).all())
        return replace(self, values=short, grid=grid, sizes=None if equal else sizes)

    def between(self, input_axis: int, start: int, stop: int) -> LayerMaps:
        """Select an interval of an input axis, with one position more at either side."""
        values, grid = self.values, list(self.grid)
        for number, axis in enumerate(self.grid):
            if axis.input_axis == input_axis:
                grid[number], cells = axis.between(start, stop)
                values = values[(*[slice(None)] * (3 + number), cells)]
        return replace(self, values=values, grid=tuple(grid))

    def expand_along(self, input_axis: int, length: int) -> LayerMaps:
        """Resample (or repeat) the maps to full resolution along one input axis."""
        grid = [axis for axis in self.grid if axis.input_axis != input_axis]
        position = sum(axis.input_axis < input_axis for axis in grid)
        matches = [(number, axis) for number, axis in enumerate(self.grid) if axis.input_axis == input_axis]
        if matches:
            values = np.moveaxis(self.values, 3 + matches[0][0], -1)
            values = np.moveaxis(resample(values, [matches[0][1]]), -1, 3 + position)
        else:
            values = np.repeat(np.expand_dims(self.values, 3 + position), length, axis=3 + position)
        line = AxisGrid(input_axis, length, length, 0.0, 1.0, 1.0, probed=True)
        return replace(self, values=values, grid=(*grid[:position], line, *grid[position:]))

    @property
    def places(self) -> tuple[tuple[int, float, float], ...]:
        """Axis, start and step of each position axis, without the number of positions."""
        return tuple((axis.input_axis, axis.start, axis.jump) for axis in self.grid)

    def mask_padding(self, shapes: np.ndarray) -> LayerMaps:
        """Set values beyond the samples' ends to NaN, by their shapes ``(sample, axis)``."""
        sizes = np.empty((len(self.values), len(self.grid), 2), np.int64)
        for number, axis in enumerate(self.grid):
            lengths = shapes[:, axis.input_axis - 1]
            inside = (axis.centres <= lengths[:, None] - 0.5).sum(axis=1)
            sizes[:, number] = np.stack([np.maximum(inside, 1), lengths], axis=1)
        values = np.full_like(self.values, np.nan)
        for row, size in enumerate(sizes[:, :, 0]):
            here = _index_up_to(row, size)
            values[here] = self.values[here]
        return replace(self, values=values, sizes=sizes).select(np.arange(len(values)))


@dataclass(frozen=True)
class GroupMaps:
    """The maps of samples that have one shape.

    Attributes:
        rows: Indices of the samples.
        maps: Their maps.
        shape: Shape of the input, batch included.
    """

    rows: np.ndarray
    maps: LayerMaps
    shape: tuple[int, ...]


def join_groups(pieces: Sequence[GroupMaps]) -> LayerMaps:
    """Join maps of one layer from groups of samples of different shapes.

    The grid is kept if it starts and steps alike in all groups. Else maps are resampled to the input's resolution.
    """
    rows = np.concatenate([each.rows for each in pieces])
    if len(pieces) == 1:
        return pieces[0].maps.select(np.argsort(rows))
    layers = [each.maps for each in pieces]
    if len({each.places for each in layers}) > 1:
        axes = sorted({axis.input_axis for each in layers for axis in each.grid})
        layers = [_at_input(each.maps, axes, each.shape) for each in pieces]
    sizes = np.concatenate([_sizes_of(each) for each in layers])
    largest = sizes.max(axis=0)
    grid = tuple(
        replace(axis, cells=int(cells), length=int(length))
        for axis, (cells, length) in zip(layers[0].grid, largest, strict=True)
    )
    values = np.concatenate([_pad_positions(each.values, largest[:, 0]) for each in layers])
    whole = LayerMaps(layers[0].name, values, grid, sizes)
    return whole.select(np.argsort(rows))


def _sizes_of(maps: LayerMaps) -> np.ndarray:
    sizes = np.asarray([(axis.cells, axis.length) for axis in maps.grid], np.int64)
    return np.broadcast_to(sizes, (len(maps.values), *sizes.shape))


def _pad_positions(values: np.ndarray, cells: np.ndarray) -> np.ndarray:
    more = [(0, int(n) - have) for n, have in zip(cells, values.shape[3:], strict=True)]
    return np.pad(values, [(0, 0)] * 3 + more, constant_values=np.nan)


def _at_input(maps: LayerMaps, axes: Sequence[int], shape: Sequence[int]) -> LayerMaps:
    """Resample maps to one position for each value of the input."""
    lengths = [int(shape[axis]) for axis in axes]
    lines = tuple(AxisGrid(axis, n, n, 0.0, 1.0, 1.0, probed=True) for axis, n in zip(axes, lengths, strict=True))
    return LayerMaps(maps.name, maps.at_input(axes, lengths), lines)
