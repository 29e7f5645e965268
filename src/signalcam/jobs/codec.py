"""Decoding of stored maps to floating-point numbers."""

from __future__ import annotations

import numpy as np


def decode(stored: np.ndarray) -> np.ndarray:
    """Decode stored maps to floats of at most 1 in magnitude."""
    return stored / 255 if stored.dtype.kind == "u" else stored.astype(np.float64)


def restore_maps(stored: np.ndarray, peak: np.ndarray) -> np.ndarray:
    """Decode stored maps and multiply each by its peak, ``(sample, target, cam, *positions)``."""
    wide = peak.reshape(*peak.shape, *[1] * (stored.ndim - peak.ndim))
    maps: np.ndarray = (decode(stored) * wide).astype(np.float32)
    return maps
