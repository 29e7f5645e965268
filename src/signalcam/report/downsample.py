"""Downsampling of long signals and their maps for the screen: minimum and maximum per column."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from threading import Lock
from typing import Any, Protocol

import numpy as np

from signalcam.alignment.resampling import AxisGrid, resample, sample_at
from signalcam.errors import LayoutError
from signalcam.report.summary import kind_of
from signalcam.results.explanation import Explanation
from signalcam.results.layer_maps import LayerMaps

_MIN_BIN = 16  # entries per bin of an overview, at least
_BINS_PER_COLUMN = 2  # an overview is used if it has at least this many bins per column
_MOST_BINS = 2**23  # bins of an overview: 64 MB
_CACHE_BYTES = 2**27  # bytes of overviews that are kept
_BLOCK, _VALUES = 2**18, 2**23  # entries, and values of all rows, read at a time
_ROUNDING = 1e-6  # tolerance in entries, as positions arrive as decimals

Extremes = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class MinMaxTile:
    """One map over its signal, reduced to columns.

    Attributes:
        x: ``(column,)``, centre of each column on the drawn axis: ``start + step * entry``.
        low: ``(channel, column)``, minimum of the signal; NaN where it is not read yet.
        high: ``(channel, column)``, maximum of the signal.
        heat: ``(row, column)``, the map's value of largest magnitude; one row for all channels, or one each.
        done: Share of the interval that was read in time; 1 if all of it.
    """

    x: np.ndarray
    low: np.ndarray
    high: np.ndarray
    heat: np.ndarray
    done: float = 1.0


class LineValues(Protocol):
    """Rows of values along the long axis, read in part."""

    @property
    def rows(self) -> int:
        """Number of rows."""

    @property
    def length(self) -> int:
        """Entries per row."""

    def extremes(self, bounds: np.ndarray) -> Extremes:
        """Minimum and maximum, ``(row, column)`` each, between each bound and the next."""


@dataclass(frozen=True)
class SignalRows:
    """The channels of one sample.

    Attributes:
        rows: Number of channels.
        length: Entries per channel.
        read: From an interval of the axis to ``(row, entry)``.
    """

    rows: int
    length: int
    read: Callable[[slice], np.ndarray]

    def extremes(self, bounds: np.ndarray) -> Extremes:
        """Minimum and maximum between each bound and the next."""
        values = self.read(slice(int(bounds[0]), int(bounds[-1])))
        return _reduce_columns(values, bounds[:-1] - bounds[0])


@dataclass(frozen=True)
class HeatRows:
    """One map, interpolated only in the requested interval.

    Attributes:
        rows: 1, or one per entry of the other axes.
        axis: Grid of its cells along the long axis.
        read: From an interval of cells to ``(row, cell)``.
    """

    rows: int
    axis: AxisGrid
    read: Callable[[slice], np.ndarray]

    @property
    def length(self) -> int:
        """Entries of the input."""
        return self.axis.length

    def extremes(self, bounds: np.ndarray) -> Extremes:
        """Minimum and maximum between each bound and the next.

        The map is linear between cells, so it is evaluated only next to cells and at the bounds.
        """
        start = int(bounds[0])
        axis, cells = self.axis.between(start, int(bounds[-1]))
        bounds = bounds - start
        samples = _knots(axis, bounds)
        values = sample_at(self.read(cells), axis, samples)
        return _reduce_columns(values, np.searchsorted(samples, bounds[:-1]))


def _knots(axis: AxisGrid, bounds: np.ndarray) -> np.ndarray:
    """Samples between which the map is linear."""
    if axis.jump < 2:
        return np.arange(axis.length)
    turns = np.zeros(axis.length, bool)
    for points in (np.floor(axis.centres), np.ceil(axis.centres), bounds[:-1], bounds[1:] - 1):
        turns[points[(points >= 0) & (points < axis.length)].astype(np.int64)] = True
    for edge in (axis.first, axis.last):
        if edge is not None and 0 <= edge < axis.length:
            turns[edge] = True
    return np.flatnonzero(turns)


def _reduce_columns(values: np.ndarray, starts: np.ndarray) -> Extremes:
    least = np.fmin.reduceat(values, starts, axis=1)
    return least.astype(np.float32), np.fmax.reduceat(values, starts, axis=1).astype(np.float32)


def column_bounds(start: int, stop: int, columns: int, length: int, unit: int = 1) -> np.ndarray:
    """Divide an interval into at most ``columns`` columns that start at multiples of ``unit``."""
    first, last = start // unit, -(-stop // unit)
    count = min(columns, last - first)
    edges = (first + np.arange(count + 1) * (last - first) // count) * unit
    ends: np.ndarray = np.minimum(edges, length)
    return ends


def _extremes_in_parts(line: LineValues, bounds: np.ndarray) -> Extremes:
    """Compute ``line.extremes`` in parts, so that few values are in memory at a time."""
    count = -(-int(bounds[-1] - bounds[0]) * line.rows // _VALUES)
    cuts = np.unique(np.linspace(0, len(bounds) - 1, count + 1).astype(int))
    parts = [line.extremes(bounds[i : j + 1]) for i, j in pairwise(cuts)]
    return np.concatenate([low for low, _ in parts], 1), np.concatenate([high for _, high in parts], 1)


class Overview:
    """Minimum and maximum of a long line in bins, computed from its start as time allows."""

    def __init__(self, line: LineValues) -> None:
        self._line, self._lock = line, Lock()
        self.rows, self.length, self.unit = line.rows, line.length, _MIN_BIN
        while line.rows * line.length > _MOST_BINS * self.unit:
            self.unit *= 2
        bins = -(-line.length // self.unit)
        self._low = np.full((line.rows, bins), np.nan, np.float32)
        self._high = self._low.copy()
        self.done = 0  # entries read so far

    @property
    def nbytes(self) -> int:
        """Memory of the bins, in bytes."""
        return self._low.nbytes + self._high.nbytes

    def read_ahead(self, until: float) -> None:
        """Read at least one more block, until a time of ``time.monotonic`` or the end."""
        with self._lock:
            while self.done < self.length:
                self._read_block()
                if time.monotonic() >= until:
                    return

    def _read_block(self) -> None:
        block = max(min(_BLOCK, _VALUES // self.rows) // self.unit, 1) * self.unit
        stop = min(self.done + block, self.length)
        columns = -(-(stop - self.done) // self.unit)
        within = column_bounds(self.done, stop, columns, self.length, self.unit)
        bins = slice(self.done // self.unit, self.done // self.unit + columns)
        self._low[:, bins], self._high[:, bins] = self._line.extremes(within)
        self.done = stop

    def extremes(self, bounds: np.ndarray) -> Extremes:
        """Minimum and maximum between bounds that are multiples of the bin."""
        first, last = int(bounds[0]) // self.unit, -(-int(bounds[-1]) // self.unit)
        starts = bounds[:-1] // self.unit - first
        low, high = (
            reduce.reduceat(values[:, first:last], starts, axis=1)
            for reduce, values in ((np.fmin, self._low), (np.fmax, self._high))
        )
        return low, high


class Tiles:
    """Reduce the samples of a result to tiles; arrays may lie on disk, and threads may share it.

    Args:
        exp: The result.

    Raises:
        LayoutError: Its maps are images or volumes, without a long axis.

    Example:
        >>> from signalcam.report.downsample import Tiles
        >>> tile = Tiles(exp).tile(sample=0, columns=20)
        >>> tile.low.shape, tile.heat.shape
        ((2, 20), (1, 20))
    """

    def __init__(self, exp: Explanation) -> None:
        kind, (dim, *_) = kind_of(exp)
        if kind != "signal":
            message = f"maps with axes {', '.join(exp.dims)} have no long axis."
            raise LayoutError(message)
        self.exp, self._axis = exp, exp.layout.dims.index(dim)
        line = exp.layout.line(dim, exp.input.shape[self._axis])
        self._start, self._step = line or (0.0, 1.0)  # irregular entries are drawn side by side
        self._kept: OrderedDict[tuple[int, ...], Overview] = OrderedDict()
        self._lock = Lock()

    def shape(self, sample: int) -> tuple[int, ...]:
        """Shape of one sample."""
        sizes = self.exp.input.shape[1:] if self.exp.shapes is None else self.exp.shapes[sample]
        return tuple(map(int, sizes))

    def tile(
        self,
        sample: int,
        target: int = 0,
        method: int = 0,
        layer: int = 0,
        *,
        begin: float = -np.inf,
        end: float = np.inf,
        columns: int = 1000,
        patience: float = np.inf,
    ) -> MinMaxTile:
        """Reduce one map and its signal to columns between two positions.

        Args:
            sample: Number of the sample.
            target: Number of the target.
            method: Number of the method.
            layer: Number of the layer.
            begin: Start on the drawn axis; the first entry by default.
            end: End on the drawn axis; the last entry by default.
            columns: Number of columns at most.
            patience: Seconds that may be spent on reading a long sample; unlimited by default.
        """
        signal = self._signal_rows(sample)
        heat = self._heat_rows(self.exp.layers[layer], sample, target, method)
        start, stop = self._entry_interval(signal.length, begin, end)
        until = time.monotonic() + patience
        lines = [
            self._choose_overview(key, line, stop - start, columns)
            for key, line in (((sample,), signal), ((sample, target, method, layer), heat))
        ]
        progress = _continue_overviews([each for each in lines if isinstance(each, Overview)], start, stop, until)
        unit = max(each.unit if isinstance(each, Overview) else 1 for each in lines)
        bounds = column_bounds(start, stop, columns, signal.length, unit)
        low, high = _extremes_in_parts(lines[0], bounds)
        cold, hot = _extremes_in_parts(lines[1], bounds)
        middles = (bounds[:-1] + bounds[1:] - 1) / 2
        strongest = np.where(np.abs(cold) > np.abs(hot), cold, hot)
        return MinMaxTile(self._start + self._step * middles, low, high, strongest, progress)

    def _entry_interval(self, length: int, begin: float, end: float) -> tuple[int, int]:
        """Start and stop of the entries shown; at least the nearest entry."""
        entries = sorted((each - self._start) / self._step for each in (begin, end))
        first, last = np.clip([np.floor(entries[0] + _ROUNDING), np.ceil(entries[1] - _ROUNDING)], 0, length - 1)
        return int(first), int(max(first, last)) + 1

    def _choose_overview(self, key: tuple[int, ...], line: LineValues, span: int, columns: int) -> LineValues:
        """Return a cached overview of the line if it is needed and fine enough, else the line."""
        if span <= columns * _BINS_PER_COLUMN * _MIN_BIN:
            return line
        with self._lock:
            overview = self._kept.pop(key, None) or Overview(line)
            self._kept[key] = overview
            while len(self._kept) > 2 and sum(each.nbytes for each in self._kept.values()) > _CACHE_BYTES:
                self._kept.popitem(last=False)
        return overview if span > columns * _BINS_PER_COLUMN * overview.unit else line

    def _signal_rows(self, sample: int) -> SignalRows:
        shape, axis = self.shape(sample), self._axis - 1
        *rest, length = [*shape[:axis], *shape[axis + 1 :], shape[axis]]

        def read(stretch: slice) -> np.ndarray:
            index: list[Any] = [sample, *(slice(0, each) for each in shape)]
            index[axis + 1] = stretch
            values = self.exp.input[tuple(index)]
            lines: np.ndarray = np.moveaxis(values, axis, -1)
            return lines.reshape(-1, stretch.stop - stretch.start)

        return SignalRows(int(np.prod(rest)), length, read)

    def _heat_rows(self, layer: LayerMaps, sample: int, target: int, method: int) -> HeatRows:
        grid = _grid(layer, sample)
        positions = [i for i, each in enumerate(grid) if each.input_axis == self._axis]
        rest = [each for i, each in enumerate(grid) if i not in positions]
        length = self.shape(sample)[self._axis - 1]
        along = grid[positions[0]] if positions else AxisGrid(self._axis, 1, length, 0.0, 1.0)

        def read(cells: slice) -> np.ndarray:
            index = [cells if i in positions else slice(0, each.cells) for i, each in enumerate(grid)]
            values = layer.values[(sample, target, method, *index)]
            first = np.moveaxis(values, positions[0], 0) if positions else values[None]
            return resample(first, rest).reshape(len(first), -1).T

        return HeatRows(int(np.prod([each.length for each in rest])), along, read)


def _continue_overviews(overviews: list[Overview], start: int, stop: int, until: float) -> float:
    """Read on in overviews; return the share of the interval that is read."""
    for overview in overviews:
        if overview.done < stop:
            overview.read_ahead(until)
    least = min((each.done for each in overviews), default=stop)
    return min(max((least - start) / (stop - start), 0.0), 1.0)


def _grid(layer: LayerMaps, sample: int) -> tuple[AxisGrid, ...]:
    """Grid of one sample's cells."""
    if layer.sizes is None:
        return layer.grid
    return tuple(
        replace(axis, cells=int(cells), length=int(length))
        for axis, (cells, length) in zip(layer.grid, layer.sizes[sample], strict=True)
    )
