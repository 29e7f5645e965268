"""The maps of one layer, at its own resolution, and where they lie in the input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from signalcam.align import Axis, resample


@dataclass(frozen=True)
class LayerMaps:
    """The maps of one layer, at its own resolution.

    Attributes:
        name: The layer's.
        values: ``(sample, target, method, *positions)``, float32.
        grid: Where the positions lie, one ``Axis`` for each, in the order of the input's axes.
    """

    name: str
    values: np.ndarray
    grid: tuple[Axis, ...]

    def at_input(self, axes: Sequence[int], lengths: Sequence[int]) -> np.ndarray:
        """Interpolate to the input's resolution, ``(sample, target, method, *lengths)``."""
        full = resample(self.values, self.grid)
        own = {axis.input_axis: axis.length for axis in self.grid}
        shape = [own.get(axis, 1) for axis in axes]
        return np.broadcast_to(full.reshape(*full.shape[:3], *shape), (*full.shape[:3], *lengths))
