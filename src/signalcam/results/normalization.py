"""What is done to a map after its formula: drop a sign, scale, notice when it says nothing."""

from __future__ import annotations

from typing import Literal

import numpy as np

from signalcam.errors import MethodError

Normalisation = Literal["max", "minmax", "symmetric"]


def rectify(signed: np.ndarray) -> np.ndarray:
    """Keep the positive evidence of a map and drop the rest; what is not finite stays so."""
    positive: np.ndarray = np.maximum(signed, 0)
    return positive


def affine(maps: np.ndarray, kind: Normalisation) -> tuple[np.ndarray, np.ndarray]:
    """Return the shift and the scale that normalise each map.

    Args:
        maps: ``(map, position)``.
        kind: ``"max"`` divides by the largest value and keeps zero where it is (by the largest
            absolute value where nothing is positive), ``"minmax"``
            spreads each map over 0..1, ``"symmetric"`` divides by the largest absolute value.

    Returns:
        Two arrays ``(map,)``: normalised = (maps - shift) * scale. A constant map becomes zero.
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
