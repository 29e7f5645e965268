"""``AxisGrid``: the centres of a layer's positions; interpolation from there to the input.

Position ``u`` of a layer sees the input around ``start + jump * u``, the centre of its receptive
field. Stretching a map to the input's length, as is usual, assumes another start and misplaces maps
of unpadded networks by up to half a receptive field.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import array_api_compat
import numpy as np

from signalcam.arrays import Array, namespace
from signalcam.errors import LayoutError


@dataclass(frozen=True)
class AxisGrid:
    """How one axis of a layer lies along one axis of the input.

    Attributes:
        input_axis: The axis of the input, batch included.
        cells: Positions of the layer.
        length: Samples of the input.
        start: Centre, in samples, of what position 0 sees.
        jump: Samples from one position's centre to the next.
        field: Samples that one position sees; 0 where that is not known.
        probed: Whether this was measured; otherwise positions are spread evenly.
        first: The first sample that reaches the network at all, where some before it do not.
        last: The last one, where some after it do not.
    """

    input_axis: int
    cells: int
    length: int
    start: float
    jump: float
    field: float = 0.0
    probed: bool = False
    first: int | None = None
    last: int | None = None

    @property
    def outside(self) -> float:
        """The share of positions whose centre lies outside the input."""
        return float(np.mean((self.centres < -0.5) | (self.centres > self.length - 0.5)))

    @property
    def centres(self) -> np.ndarray:
        """The place of each position, in samples of the input."""
        return self.start + self.jump * np.arange(self.cells)

    def between(self, start: int, stop: int) -> tuple[AxisGrid, slice]:
        """The part of the axis within an interval of the input, and the cells needed to draw it."""
        low = math.floor((start - self.start) / self.jump)
        high = math.ceil((stop - 1 - self.start) / self.jump)
        first, last = (min(max(each, 0), self.cells - 1) for each in (low, high))
        moved = self.start + self.jump * first - start
        ends = [None if each is None else each - start for each in (self.first, self.last)]
        shorter = replace(
            self,
            cells=last - first + 1,
            length=stop - start,
            start=moved,
            first=ends[0],
            last=ends[1],
        )
        return shorter, slice(first, last + 1)


def spread_evenly(input_axis: int, cells: int, length: int) -> AxisGrid:
    """Spread positions evenly over the input, as resizing an image does."""
    jump = length / cells
    return AxisGrid(input_axis, cells, length, jump / 2 - 0.5, jump)


@np.errstate(invalid="ignore")  # maps that are not finite were warned of when they were made
def resample(maps: np.ndarray, grid: Sequence[AxisGrid]) -> np.ndarray:
    """Interpolate maps linearly from a layer's positions to every sample of the input.

    Args:
        maps: ``(..., *positions)``, one trailing axis for each entry of ``grid``.
        grid: Where the positions lie. Beyond the outermost centres the map is held; where the network
            saw nothing it is 0.

    Returns:
        ``(..., *input lengths)``.
    """
    kind = maps.dtype
    for number, axis in enumerate(grid):
        where = number - len(grid)
        maps = _cut(_between(maps, axis, where, lambda share: share.astype(kind)), axis, where)
    return maps


@np.errstate(invalid="ignore")  # as above
def sample_at(maps: np.ndarray, axis: AxisGrid, samples: np.ndarray) -> np.ndarray:
    """Interpolate maps as ``resample`` does, at some samples of the input only.

    Args:
        maps: ``(..., positions)``.
        axis: Where the positions lie.
        samples: Which samples, counted from 0.

    Returns:
        ``(..., samples)``.
    """
    kind = maps.dtype
    between = _between(maps, axis, -1, lambda share: share.astype(kind), samples)
    return _cut(between, axis, -1, samples)


def _cut(maps: np.ndarray, axis: AxisGrid, where: int, samples: np.ndarray | None = None) -> np.ndarray:
    """Put 0 where no position looks."""
    if axis.first is None and axis.last is None:
        return maps
    samples = np.arange(axis.length) if samples is None else samples
    last = axis.length if axis.last is None else axis.last
    covered = (samples >= (axis.first or 0)) & (samples <= last)
    return np.where(covered.reshape(-1, *[1] * (-where - 1)), maps, maps.dtype.type(0))


def _between(
    maps: Array,
    axis: AxisGrid,
    where: int,
    array: Callable[[Any], Array],
    samples: np.ndarray | None = None,
) -> Array:
    """Interpolate along one axis, counted from the end, between the two nearest positions."""
    xp, device = namespace(maps), array_api_compat.device(maps)
    samples = np.arange(axis.length) if samples is None else samples
    place = np.clip((samples - axis.start) / axis.jump, 0, axis.cells - 1)
    low = place.astype(np.int32)
    high = np.minimum(low + 1, axis.cells - 1)
    share = array((place - low).reshape(-1, *[1] * (-where - 1)))
    below = xp.take(maps, xp.asarray(low, device=device), axis=where)
    above = xp.take(maps, xp.asarray(high, device=device), axis=where)
    return below + (above - below) * share  # so written, a constant stays one to the last bit


def resample_batch(
    maps: Array,
    cells: Sequence[int],
    grid: dict[int, AxisGrid],
    ndim: int,
    array: Callable[[Any], Array],
    *,
    back: bool = False,
    keep_sums: bool = False,
) -> Array:
    """Interpolate maps on their device as ``resample`` does, shaped like one sample of the input.

    Args:
        maps: ``(n, m, p)``; with ``back`` what this returns.
        cells: The layer's position axes; their product is ``p``.
        grid: For each of them that has a place in the input, its axis.
        ndim: Axes of the input, batch included.
        array: Puts a matrix made in NumPy where the maps are.
        back: Apply the transpose: add up what each position was spread to.
        keep_sums: Let each position's share add up to what it was, in place of interpolating.

    Returns:
        ``(n, m, *axes)``, one for each axis of a sample, of length 1 for those without positions.
    """
    layer_axes = sorted(grid, key=lambda i: grid[i].input_axis)
    lengths = {grid[i].input_axis: grid[i].length for i in layer_axes}
    wide = [lengths.get(axis, 1) for axis in range(1, ndim)]
    small = [grid[i].cells for i in layer_axes]
    xp, rows = namespace(maps), tuple(maps.shape[:2])
    order = sorted(layer_axes)
    if back:
        resampled = _multiplied(
            xp.reshape(maps, (*rows, *lengths.values())),
            [array(_weights(grid[i], keep_sums=keep_sums).T) for i in layer_axes],
        )
        turned = xp.permute_dims(resampled, (0, 1, *[2 + layer_axes.index(i) for i in order]))
        return xp.reshape(turned, (*rows, -1))
    unfolded = xp.reshape(maps, (*rows, *[cells[i] for i in order]))
    turned = xp.permute_dims(unfolded, (0, 1, *[2 + order.index(i) for i in layer_axes]))
    if tuple(turned.shape[2:]) != tuple(small):
        message = f"maps of {tuple(cells)} positions do not fit a grid of {tuple(small)}."
        raise LayoutError(message)
    if keep_sums:
        matrices = [array(_weights(grid[i], keep_sums=True)) for i in layer_axes]
        return xp.reshape(_multiplied(turned, matrices), (*rows, *wide))
    for number, i in enumerate(layer_axes):  # no matrices: one of a long signal holds its length squared
        turned = _between(turned, grid[i], number - len(layer_axes), array)
    return xp.reshape(turned, (*rows, *wide))


def _multiplied(array: Array, matrices: Sequence[Array]) -> Array:
    """Multiply each trailing axis by a matrix."""
    xp = namespace(array)
    for number, matrix in enumerate(matrices):
        axis = len(array.shape) - len(matrices) + number
        shape = tuple(array.shape)
        if axis == len(array.shape) - 1:
            flat = xp.matmul(xp.reshape(array, (-1, shape[axis])), xp.permute_dims(matrix, (1, 0)))
        else:
            flat = xp.matmul(matrix, xp.reshape(array, (-1, shape[axis], math.prod(shape[axis + 1 :]))))
        array = xp.reshape(flat, (*shape[:axis], matrix.shape[0], *shape[axis + 1 :]))
    return array


def _weights(axis: AxisGrid, *, keep_sums: bool) -> np.ndarray:
    """The weight of each position for each sample: ``(length, cells)``."""
    weights: np.ndarray = resample(np.eye(axis.cells), [axis]).T
    if not keep_sums:
        return weights
    totals = weights.sum(axis=0)
    unseen = np.flatnonzero(totals == 0)  # more positions than samples: put on the nearest
    weights[np.clip(np.round(axis.centres[unseen]), 0, axis.length - 1).astype(int), unseen] = 1
    shares: np.ndarray = weights / np.where(totals == 0, 1, totals)
    return shares


# --- probing -------------------------------------------------------------------------------------
