"""Stitch the maps of overlapping windows to one map without seams.

Every window's cells fall on cells of the whole record's grid. A cell counts where all that it sees lies
inside its window, with a weight that falls to nothing towards the last such cell at either side; nearer to
a window's edge it counts only where no other window has it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from signalcam.alignment.resampling import AxisGrid

_PARTS = 16  # of a sample: jumps of other fractions are not taken for exact
_EXACT = 0.01  # samples by which a measured place may be off


def common_step(axis: AxisGrid | None) -> int:
    """The number of samples after which a layer's cells coincide again; 0 where it is not known."""
    if axis is None or not axis.probed:
        return 0
    jump = _exact(axis)
    exact = abs(float(jump) - axis.jump) * axis.cells < _EXACT
    return jump.numerator if exact else 0


def _exact(axis: AxisGrid) -> Fraction:
    """The jump without its measurement error, which would add up over a day."""
    return Fraction(axis.jump).limit_denominator(_PARTS)


@dataclass(frozen=True)
class WindowSteps:
    """The windows of a record: length, stride and overlap, in samples.

    Attributes:
        window: Length of a window.
        stride: From one start to the next.
        unit: Every start is a multiple of it.
    """

    window: int
    stride: int
    unit: int

    @classmethod
    def of(cls, window: int, overlap: float, axes: Sequence[AxisGrid | None]) -> WindowSteps:
        """Choose a stride that lets the cells of as many layers as possible coincide.

        Args:
            window: Samples.
            overlap: The share of a window that the next one has too, at least.
            axes: For each layer how it lies along time, if that was measured. What comes later in the network
                counts, too: a gradient depends on how that falls.
        """
        stride = max(1, math.floor(window * (1 - overlap) + 1e-9))
        unit = 1
        for axis in axes:
            both = math.lcm(unit, common_step(axis) or 1)
            unit = both if both <= stride else unit
        return cls(window, stride // unit * unit, unit)

    @property
    def overlap(self) -> int:
        """The number of samples that neighbours share."""
        return self.window - self.stride

    def fits(self, axis: AxisGrid) -> bool:
        """Whether the cells of a layer coincide from window to window."""
        own = common_step(axis)
        return own > 0 and self.unit % own == 0


def whole_cells(axis: AxisGrid, length: int) -> np.ndarray:
    """Which cells look at nothing beyond a window's edges; all where that is not known, or none would."""
    half = (axis.field - 1) / 2
    centres = axis.centres
    inside = (centres - half >= -_EXACT) & (centres + half <= length - 1 + _EXACT)
    has_field = axis.probed and axis.field > 0 and inside.any()
    return inside if has_field else np.ones(axis.cells, bool)


def _weights(own: AxisGrid, field: AxisGrid | None, length: int) -> np.ndarray:
    """``(2, cells)``, the weight of each cell among those with a whole field, and among all."""
    centres = own.centres
    ends = centres[[0, -1]]
    whole = ends if field is None else field.centres[whole_cells(field, length)][[0, -1]]
    inside = (centres >= whole[0] - _EXACT) & (centres <= whole[1] + _EXACT)
    tents = [np.minimum(centres - low, high - centres) + own.jump for low, high in (whole, ends)]
    return np.stack([np.where(inside, tents[0], 0.0), tents[1]])


class OverlapAdd:
    """Adds the maps of one layer, window by window, to the map of the whole record.

    Args:
        own: Where the maps' cells lie in a window, along time.
        seen: How the layer's own cells lie there, if that was measured.
        steps: How windows follow one another.
        samples: Of the record, to make room for; it grows where more come.
    """

    def __init__(self, own: AxisGrid, field: AxisGrid | None, steps: WindowSteps, samples: int) -> None:
        self.own = replace(own, jump=float(_exact(own)))
        self._weights = _weights(own, field, steps.window)
        self._room = math.ceil(samples / own.jump) + own.cells
        self._done = 0  # cells that no later window changes
        self._made: np.ndarray | None = None
        self._sums = self._shares = np.zeros(0)

    def add(self, start: int, maps: np.ndarray) -> None:
        """Add the maps ``(..., cells)`` of the window that starts at a sample; starts must rise."""
        first = round(start / self.own.jump)
        if self._made is None:
            self._made = np.empty((*maps.shape[:-1], self._room), np.float32)
            self._sums = np.zeros((2, *maps.shape))
            self._shares = np.zeros((2, *maps.shape))
        self._finish(first, maps[..., :1])
        finite = np.isfinite(maps)  # what is not finite speaks for this window only
        weights = self._weights.reshape(2, *[1] * (maps.ndim - 1), -1)
        self._sums += weights * np.where(finite, maps, 0)
        self._shares += weights * finite

    def _finish(self, upto: int, then: np.ndarray) -> None:
        """Write the cells before one; interpolate linearly over a gap before a later window."""
        count, cells = upto - self._done, self.own.cells
        ready = min(count, cells)
        if ready <= 0:
            return
        self._write(self._blended(ready))
        if count > cells:
            last_cells = self._values()[..., -1:]
            share = np.arange(1, count - cells + 1) / (count - cells + 1)
            self._write(last_cells + (then - last_cells) * share)
        for buffer in (self._sums, self._shares):
            buffer[..., : cells - ready] = buffer[..., ready:].copy()
            buffer[..., cells - ready :] = 0

    def _blended(self, count: int) -> np.ndarray:
        sums, shares = self._sums[..., :count], self._shares[..., :count]
        best = np.where(shares[0] > 0, 0, 1)
        top, bottom = (np.where(best, each[1], each[0]) for each in (sums, shares))
        blended: np.ndarray = np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom > 0)
        return blended

    def _write(self, values: np.ndarray) -> None:
        cells, stop = self._values(whole=True), self._done + values.shape[-1]
        if stop > cells.shape[-1]:
            wider = np.empty((*cells.shape[:-1], 2 * stop), np.float32)
            wider[..., : self._done] = cells[..., : self._done]
            self._made = cells = wider
        cells[..., self._done : stop] = values
        self._done = stop

    def _values(self, *, whole: bool = False) -> np.ndarray:
        cells = np.empty(0, np.float32) if self._made is None else self._made
        return cells if whole else cells[..., : self._done]

    def result(self, samples: int) -> tuple[np.ndarray, AxisGrid]:
        """The map of the record ``(..., cells)`` and its grid axis.

        Args:
            samples: Of the record.
        """
        self._finish(self._done + self.own.cells, np.zeros(0))
        values = self._values()
        return values, replace(self.own, cells=values.shape[-1], length=samples)
