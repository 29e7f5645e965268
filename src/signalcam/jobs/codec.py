"""From maps as a store holds them to numbers."""

from __future__ import annotations

import numpy as np


def decode(stored: np.ndarray) -> np.ndarray:
    """Maps as they were stored, as numbers whose largest is 1."""
    return stored / 255 if stored.dtype.kind == "u" else stored.astype(np.float64)


def restore_maps(stored: np.ndarray, peak: np.ndarray) -> np.ndarray:
    """The same as large as they were, ``(sample, target, cam, *positions)``, by their largest values."""
    wide = peak.reshape(*peak.shape, *[1] * (stored.ndim - peak.ndim))
    maps: np.ndarray = (decode(stored) * wide).astype(np.float32)
    return maps
