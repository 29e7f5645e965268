"""Here you find how maps are rectified and normalised."""

from __future__ import annotations

from typing import Literal

import numpy as np

from signalcam.errors import MethodError

Normalisation = Literal["max", "minmax", "symmetric"]


def rectify(signed: np.ndarray) -> np.ndarray:
    """Set negative values to 0; values that are not finite stay."""
    positive: np.ndarray = np.maximum(signed, 0)
    return positive


def affine(maps: np.ndarray, kind: Normalisation) -> tuple[np.ndarray, np.ndarray]:
    """Return the shift and the scale that normalise each map: ``(maps - shift) * scale``.

    Args:
        maps: ``(map, position)``.
        kind: ``"max"`` divides by the largest value (the largest absolute value if nothing is positive); 0 stays 0.
            ``"minmax"`` scales each map to 0..1. ``"symmetric"`` divides by the largest absolute value.

    Returns:
        Two arrays ``(map,)``. A constant map becomes zero.
    """
    low, high = maps.min(axis=-1), maps.max(axis=-1)
    zero = np.zeros_like(low)
    ranges = {
        "max": (zero, np.where(high > 0, high, -low)),
        "minmax": (low, high - low),
        "symmetric": (zero, np.maximum(high, -low)),
    }
    if kind not in ranges:
        message = f"there is no normalisation {kind!r}; choose one of {', '.join(ranges)}."
        raise MethodError(message)
    shift, width = ranges[kind]
    usable = np.isfinite(width) & (high > low) & (width >= np.finfo(width.dtype).tiny)
    return shift, np.where(usable, 1 / np.where(usable, width, 1), 0)
