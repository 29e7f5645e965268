"""Here you find the fusion of several layers' maps: mean, max, product, LayerCAM, Poly-CAM."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, get_args

import numpy as np

from signalcam.alignment.resampling import AxisGrid, resample
from signalcam.errors import MethodError, nearest

Fusion = Literal["mean", "max", "product", "layer-cam", "poly-cam"]
_MIN_DIVISOR = 1e-12  # as a share of the map's largest value, as in the authors' code of Poly-CAM


def fuse(maps: Sequence[np.ndarray], how: Fusion) -> np.ndarray:
    """Fuse the maps of several layers into one: ``(n, p)``.

    ``"mean"`` and ``"max"`` first divide each map by its largest value. ``"product"`` scales each map to 0..1
    (RefineCAM). ``"layer-cam"`` is the largest of ``tanh(2 map / largest)`` (LayerCAM, doi:10.1109/TIP.2021.3089943,
    eq. 9). ``"poly-cam"`` needs the layers' own grids: see ``refine``.

    Args:
        maps: For each layer ``(n, p)``, without negative values.
        how: The fusion.

    Raises:
        MethodError: There is no such fusion, or fewer than two layers.
    """
    check_fusion(how, len(maps))
    return _FUSIONS[how](np.stack(maps))


def check_fusion(how: str, layers: int) -> None:
    """Raise a ``MethodError`` if there is no such fusion, or fewer than two layers."""
    fusions = get_args(Fusion)
    if how not in fusions:
        message = f"there is no fusion {how!r}.{nearest(str(how), fusions)} Choose one of {', '.join(fusions)}."
        raise MethodError(message)
    if layers < 2:
        message = f"fusion needs two layers or more, and there is {layers}. Explain two layers or more: layer=[...]."
        raise MethodError(message)


def refine(maps: Sequence[np.ndarray], grids: Sequence[Sequence[AxisGrid]]) -> tuple[np.ndarray, int]:
    """Sharpen deep layers' maps with the detail of shallower ones (Poly-CAM, arXiv:2204.13359).

    Start at the deepest layer. The detail of a layer is its map divided by its blurred version: the map resampled to
    the deeper grid and back. The result of the deeper layers is multiplied with it. The layer with the fewest
    positions is the deepest; of two equal ones, the later.

    Args:
        maps: For each layer ``(n, *positions)``, without negative values.
        grids: The grid of each layer on the input.

    Returns:
        The map of the shallowest layer, and that layer's index.

    Raises:
        MethodError: The layers' grids have different axes.
    """
    axes = {tuple(each.input_axis for each in grid) for grid in grids}
    if len(axes) > 1:
        message = "the layers' maps have different axes, and poly-cam fuses those with equal axes. Choose other layers, or 'mean'."
        raise MethodError(message)
    order = sorted(range(len(maps)), key=lambda i: -int(np.prod([axis.cells for axis in grids[i]])))
    deeper, product = order[-1], maps[order[-1]].astype(np.float64)
    for layer in reversed(order[:-1]):
        product = _detail(maps[layer], grids[layer], grids[deeper]) * _resample_between(
            product, grids[deeper], grids[layer]
        )
        deeper = layer
    return product, deeper


def _detail(maps: np.ndarray, grid: Sequence[AxisGrid], deeper: Sequence[AxisGrid]) -> np.ndarray:
    """The detail of a map that a deeper layer's grid cannot resolve."""
    precise = maps.astype(np.float64)
    blurred = _resample_between(_resample_between(precise, grid, deeper), deeper, grid)
    top = precise.max(axis=tuple(range(1, precise.ndim)), keepdims=True)
    least = np.where(top > 0, _MIN_DIVISOR * top, 1)
    detail: np.ndarray = precise / np.maximum(blurred, least)
    return detail


def _resample_between(maps: np.ndarray, here: Sequence[AxisGrid], there: Sequence[AxisGrid]) -> np.ndarray:
    """Resample maps from one layer's grid to another's."""
    along = [
        AxisGrid(
            target.input_axis,
            source.cells,
            target.cells,
            (source.start - target.start) / target.jump,
            source.jump / target.jump,
        )
        for source, target in zip(here, there, strict=True)
    ]
    return resample(maps, along)


def _divide_by_largest(maps: np.ndarray) -> np.ndarray:
    top = maps.max(axis=-1, keepdims=True)
    scaled: np.ndarray = maps / np.where(top > 0, top, 1)
    return scaled


def _scale_to_unit(maps: np.ndarray) -> np.ndarray:
    low = maps.min(axis=-1, keepdims=True)
    return _divide_by_largest(maps - low)


def _largest_tanh(maps: np.ndarray) -> np.ndarray:
    largest: np.ndarray = np.tanh(2 * _divide_by_largest(maps)).max(axis=0)
    return largest


_FUSIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mean": lambda maps: _divide_by_largest(maps).mean(axis=0),
    "max": lambda maps: _divide_by_largest(maps).max(axis=0),
    "product": lambda maps: _scale_to_unit(maps).prod(axis=0),
    "layer-cam": _largest_tanh,
}
