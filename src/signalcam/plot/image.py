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
    Ruler,
    View,
    axis_label,
    colour_bar,
    new_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from signalcam.explanation import Explanation

_SLENDER = 6  # times as long as wide: such a picture is stretched to be seen at all
_GAP = 0.01  # of three slices side by side: between two of them
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
    rulers = Ruler.of(view.exp, across), Ruler.of(view.exp, upright)
    down = rulers[1].edges
    edges = (*rulers[0].edges, *(down[::-1] if as_drawn else down))
    shape = abs(np.ptp(rulers[0].edges) / np.ptp(down))
    ax = ax or new_axes(float(np.clip(4.5 * shape, 3, 10)) + 1.5 if as_drawn else 9.5, 4.5)
    alike = exp.layout.unit(across) == exp.layout.unit(upright)
    square = as_drawn and alike and 1 / _SLENDER < shape < _SLENDER
    options: dict[str, Any] = {
        "extent": edges, "origin": "upper" if as_drawn else "lower", "aspect": "equal" if square else "auto",
    }  # fmt: skip
    ax.imshow(_grey_or_colour(picture), **options)
    bar = _heat(ax, view, heat, cmap, view.scale(vmin, vmax), options)
    ax.set_xlim(min(edges[:2]), max(edges[:2]))
    ax.set_ylim(*sorted(edges[2:], reverse=as_drawn))
    for axis, ruler, dim in zip((ax.xaxis, ax.yaxis), rulers, (across, upright), strict=True):
        ruler.label(axis)
        axis.set_label_text(axis_label(exp, dim))
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
    low, high = float(np.nanmin(grey)), float(np.nanmax(grey))
    scale, places = view.scale(vmin, vmax), _side_by_side(view.exp)
    tall = max(each[2] for each in places) / places[-1][1]
    ax = ax or new_axes(10, float(np.clip(10 * tall, 4, 8)))
    for here, there, place in zip(_slices(grey, peak), _slices(view.heat, peak), places, strict=True):  # fmt: skip
        options: dict[str, Any] = {"aspect": "equal", "extent": place}
        ax.imshow(here, cmap="gray", vmin=low, vmax=high, **options)
        bar = _heat(ax, view, there, cmap, scale, options)
    ax.set_xlim(places[0][0], places[-1][1])
    ax.set_ylim(max(each[2] for each in places), 0)
    ax.set_xticks([sum(each[:2]) / 2 for each in places], _cuts(exp, peak))
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


def _side_by_side(exp: Explanation) -> list[tuple[float, float, float, float]]:
    """Where each slice is drawn, in the units of the axes: left, right, bottom, top."""
    deep, high, wide = (abs(float(np.ptp(Ruler.of(exp, dim).edges))) for dim in exp.dims)
    sizes = (high, wide), (deep, wide), (deep, high)
    gap = _GAP * (2 * wide + high)
    lefts = np.cumsum([0.0, wide + gap, wide + gap])
    return [(float(x), float(x) + across, down, 0.0) for x, (down, across) in zip(lefts, sizes, strict=True)]  # fmt: skip


def _cuts(exp: Explanation, peak: tuple[Any, ...]) -> list[str]:
    """Say where each slice lies."""
    places = [exp.layout.coordinate(dim, np.asarray(at)) for dim, at in zip(exp.dims, peak, strict=True)]  # fmt: skip
    units = [exp.layout.unit(dim) for dim in exp.dims]
    return [f"{dim} {at:.4g} {unit}".strip() for dim, at, unit in zip(exp.dims, places, units, strict=True)]  # fmt: skip
