"""Put the maps of several layers together, at the input's resolution."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, get_args

import numpy as np

from signalcam.alignment.resampling import AxisGrid, resample
from signalcam.errors import MethodError, nearest

Fusion = Literal["mean", "max", "product", "layer-cam", "poly-cam"]
_BARELY = 1e-12  # of a map's largest value: the least that a map is divided by, as in the authors' code


def fuse(maps: Sequence[np.ndarray], how: Fusion) -> np.ndarray:
    """Fuse one map a layer into one.

    Args:
        maps: For each layer ``(n, p)``, without negative evidence.
        how: ``"mean"`` and ``"max"`` of maps that are first divided by their largest values, so that layers
            count alike; ``"product"`` of maps spread over 0..1 (RefineCAM); ``"layer-cam"``, the largest of
            ``tanh(2 map / largest)`` (LayerCAM, doi:10.1109/TIP.2021.3089943, eq. 9). ``"poly-cam"`` needs each
            layer's own positions: see ``refine``.

    Returns:
        ``(n, p)``.

    Raises:
        MethodError: There is no such way, or fewer than two layers.
    """
    check_fusion(how, len(maps))
    return _WAYS[how](np.stack(maps))


def check_fusion(how: str, layers: int) -> None:
    """Raise a ``MethodError`` where there is no such way, or are too few layers."""
    known = get_args(Fusion)
    if how not in known:
        message = f"there is no way {how!r} to put layers together.{nearest(str(how), known)} Choose one of {', '.join(known)}."
        raise MethodError(message)
    if layers < 2:
        message = f"{layers} layer cannot be put together with others. Explain two layers or more: layer=[...]."
        raise MethodError(message)


def refine(maps: Sequence[np.ndarray], grids: Sequence[Sequence[AxisGrid]]) -> tuple[np.ndarray, int]:
    """Let each layer sharpen what the deeper ones say (Poly-CAM, arXiv:2204.13359).

    From the deepest layer up, each map is divided by itself as the deeper layer's positions would show it, so
    that only its detail is left, and multiplied with what the deeper layers gave. The layer with the fewest
    positions is the deepest; of two with equally many, the one named last.

    Args:
        maps: For each layer ``(n, *positions)``, without negative evidence.
        grids: Where their positions lie in the input.

    Returns:
        The map of the least deep layer, and that layer's number.

    Raises:
        MethodError: The layers do not lie along the same axes.
    """
    axes = {tuple(each.input_axis for each in grid) for grid in grids}
    if len(axes) > 1:
        message = "the layers have positions along different axes of the input, and poly-cam puts together those that share them. Choose other layers, or 'mean'."
        raise MethodError(message)
    order = sorted(range(len(maps)), key=lambda i: -int(np.prod([axis.cells for axis in grids[i]])))
    place, found = order[-1], maps[order[-1]].astype(np.float64)
    for own in reversed(order[:-1]):
        found = _detail(maps[own], grids[own], grids[place]) * _moved(found, grids[place], grids[own])
        place = own
    return found, place


def _detail(maps: np.ndarray, grid: Sequence[AxisGrid], deeper: Sequence[AxisGrid]) -> np.ndarray:
    """What a map holds beyond what a deeper layer's positions could show of it."""
    wide = maps.astype(np.float64)
    blunt = _moved(_moved(wide, grid, deeper), deeper, grid)
    top = wide.max(axis=tuple(range(1, wide.ndim)), keepdims=True)
    least = np.where(top > 0, _BARELY * top, 1)
    detail: np.ndarray = wide / np.maximum(blunt, least)
    return detail


def _moved(maps: np.ndarray, here: Sequence[AxisGrid], there: Sequence[AxisGrid]) -> np.ndarray:
    """Interpolate from one layer's positions to another's, by where both lie in the input."""
    along = [
        AxisGrid(to.input_axis, own.cells, to.cells, (own.start - to.start) / to.jump, own.jump / to.jump)
        for own, to in zip(here, there, strict=True)
    ]
    return resample(maps, along)


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
