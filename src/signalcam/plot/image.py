"""Pictures, spectrograms and slices of volumes under heat as opaque as it is strong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from signalcam.plot.view import (
    DARK_TO_LIGHT,
    DIVERGING,
    View,
    axis_label,
    colour_bar,
    extent,
    new_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from signalcam.explanation import Explanation

_SLENDER = 6  # times as long as wide: such a picture is stretched to be seen at all
_OPACITY = 0.85  # of the strongest heat: the picture stays visible below it


def draw(  # noqa: PLR0913 - the options of a figure
    exp: Explanation, sample: int = 0, *,
    target: Any = None, method: Any = None, layer: Any = None, ax: Axes | None = None,
    cmap: str | None = None, vmin: float | None = None, vmax: float | None = None, colorbar: bool = True,
) -> Axes:  # fmt: skip
    """Draw one sample's picture under its heat; see ``Plotter.image``."""
    view = View.of(exp, sample, target, method, layer)
    upright, across = ("height", "width") if "time" not in exp.dims else (_other(exp.dims), "time")
    if not {upright, across} <= set(exp.dims):
        upright, across = exp.dims
    picture, _ = view.moved((upright, across))
    heat = view.heat if exp.dims == (upright, across) else view.heat.T
    as_drawn = across != "time"
    down = extent(exp, upright, heat.shape[0])
    edges = (*extent(exp, across, heat.shape[1]), *(down[::-1] if as_drawn else down))
    ratio = 4.5 * heat.shape[1] / heat.shape[0] if as_drawn else 8.0
    ax = ax or new_axes(float(np.clip(ratio, 3, 10)) + 1.5, 4.5)
    square = as_drawn and 1 / _SLENDER < heat.shape[0] / heat.shape[1] < _SLENDER
    options: dict[str, Any] = {
        "extent": edges, "origin": "upper" if as_drawn else "lower", "aspect": "equal" if square else "auto",
    }  # fmt: skip
    ax.imshow(_grey_or_colour(picture), **options)
    bar = _heat(ax, view, heat, cmap, view.scale(vmin, vmax), options)
    ax.set_xlabel(axis_label(exp, across))
    ax.set_ylabel(axis_label(exp, upright))
    ax.set_title(view.title(), fontsize="medium", loc="left")
    if colorbar:
        colour_bar(ax, bar, view)
    return ax


def draw_volume(  # noqa: PLR0913 - the options of a figure
    exp: Explanation, sample: int = 0, *,
    target: Any = None, method: Any = None, layer: Any = None, ax: Axes | None = None,
    cmap: str | None = None, vmin: float | None = None, vmax: float | None = None, colorbar: bool = True,
) -> Axes:  # fmt: skip
    """Draw three slices through the strongest point, side by side; see ``Plotter.volume``."""
    view = View.of(exp, sample, target, method, layer)
    volume, _ = view.moved(exp.dims)
    grey = volume.reshape(-1, *volume.shape[-3:]).mean(axis=0)
    peak = np.unravel_index(int(np.nanargmax(np.abs(view.heat))), view.heat.shape)
    pictures = [_slices(each, peak) for each in (grey, view.heat)]
    ax = ax or new_axes(10, 4)
    options: dict[str, Any] = {"aspect": "equal"}
    ax.imshow(_grey_or_colour(_side_by_side(pictures[0])), **options)
    bar = _heat(ax, view, _side_by_side(pictures[1]), cmap, view.scale(vmin, vmax), options)
    starts = np.cumsum([0, *(each.shape[1] + 1 for each in pictures[0])])
    middles = [start + each.shape[1] / 2 for start, each in zip(starts, pictures[0], strict=False)]
    labels = [f"{dim} {int(place)}" for dim, place in zip(exp.dims, peak, strict=True)]
    ax.set_xticks(middles, labels)
    ax.set_yticks([])
    ax.tick_params(length=0)
    ax.set_title(view.title(), fontsize="medium", loc="left")
    if colorbar:
        colour_bar(ax, bar, view)
    return ax


def _other(dims: tuple[str, ...]) -> str:
    return next(dim for dim in dims if dim != "time")


def _grey_or_colour(picture: np.ndarray) -> np.ndarray:
    """RGB in 0..1: three channels are colours, any other number is averaged to grey."""
    channels = picture.reshape(-1, *picture.shape[-2:])
    colours = (
        channels if len(channels) == 3 else channels.mean(axis=0, keepdims=True).repeat(3, axis=0)
    )
    low, high = np.nanmin(colours), np.nanmax(colours)
    scaled = (colours - low) / (high - low or 1)
    return np.moveaxis(np.nan_to_num(scaled), 0, -1)


def _heat(
    ax: Axes,
    view: View,
    heat: np.ndarray,
    cmap: str | None,
    scale: Normalize,
    options: dict[str, Any],
) -> ScalarMappable:
    colours = colormaps[cmap or (DIVERGING if view.signed else DARK_TO_LIGHT)]
    strength = np.nan_to_num(np.abs(heat) / max(abs(scale.vmin or 0), abs(scale.vmax or 0)))
    opacity = _OPACITY * np.clip(strength, 0, 1)
    ax.imshow(heat, cmap=colours, norm=scale, alpha=opacity, **options)
    return ScalarMappable(scale, colours)


def _slices(volume: np.ndarray, at: tuple[Any, ...]) -> list[np.ndarray]:
    return [volume[at[0]], volume[:, at[1]], volume[:, :, at[2]]]


def _side_by_side(pictures: list[np.ndarray]) -> np.ndarray:
    height, width = max(len(each) for each in pictures), sum(each.shape[1] + 1 for each in pictures)
    sheet = np.full((height, width), np.nan)
    start = 0
    for each in pictures:
        sheet[: len(each), start : start + each.shape[1]] = each
        start += each.shape[1] + 1
    return sheet
