"""Put the maps of several layers together, at the input's resolution."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from signalcam.errors import MethodError

Fusion = Literal["mean", "max", "product", "layer-cam"]


def fused(maps: Sequence[np.ndarray], how: Fusion) -> np.ndarray:
    """Fuse one map a layer into one.

    Args:
        maps: For each layer ``(n, p)``, without negative evidence.
        how: ``"mean"`` and ``"max"`` of maps that are first divided by their largest values, so that layers
            count alike; ``"product"`` of maps spread over 0..1 (RefineCAM); ``"layer-cam"``, the largest of
            ``tanh(2 map / largest)`` (LayerCAM, doi:10.1109/TIP.2021.3089943, eq. 9).

    Returns:
        ``(n, p)``.

    Raises:
        MethodError: There is no such way, or fewer than two layers.
    """
    if how not in _WAYS:
        message = (
            f"there is no way {how!r} to put layers together; choose one of {', '.join(_WAYS)}."
        )
        raise MethodError(message)
    if len(maps) < 2:
        message = f"{len(maps)} layer cannot be put together with others. Explain two layers or more: layer=[...]."
        raise MethodError(message)
    return _WAYS[how](np.stack(maps))


def _by_largest(maps: np.ndarray) -> np.ndarray:
    top = maps.max(axis=-1, keepdims=True)
    scaled: np.ndarray = maps / np.where(top > 0, top, 1)
    return scaled


def _by_range(maps: np.ndarray) -> np.ndarray:
    low = maps.min(axis=-1, keepdims=True)
    return _by_largest(maps - low)


def _largest_tanh(maps: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.tanh(2 * _by_largest(maps)).max(axis=0)
    return found


_WAYS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mean": lambda maps: _by_largest(maps).mean(axis=0),
    "max": lambda maps: _by_largest(maps).max(axis=0),
    "product": lambda maps: _by_range(maps).prod(axis=0),
    "layer-cam": _largest_tanh,
}
