"""Signals: a strip of heat behind a thin black line for each channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from signalcam.errors import LayoutError
from signalcam.plot.view import (
    DIVERGING,
    LIGHT_TO_DARK,
    Ruler,
    View,
    axis_label,
    colour_bar,
    new_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from signalcam.explanation import Explanation

_LINES = 16  # of the image for each channel: smoothing along time must not mix channels
_ROW = 0.46  # share of a row's height that the largest swing may fill, to either side


def draw(  # noqa: PLR0913 - the options of a figure
    exp: Explanation, sample: int = 0, *,
    target: Any = None, method: Any = None, layer: Any = None, ax: Axes | None = None,
    channels: Sequence[int | str] | None = None, cmap: str | None = None,
    vmin: float | None = None, vmax: float | None = None, colorbar: bool = True,
    line_kws: dict[str, Any] | None = None,
) -> Axes:  # fmt: skip
    """Draw one sample's channels over their heat; see ``Plotter.signal``."""
    view = View.of(exp, sample, target, method, layer)
    dim = "time" if "time" in exp.dims else exp.dims[-1]
    lines, names = _lines(view, dim)
    heat = _strips(view, dim, len(lines))
    shown = _chosen(channels, names)
    lines, heat, names = lines[shown], heat[shown], [names[i] for i in shown]
    if np.isnan(lines).all():  # of a record that came in chunks only the heat is left
        lines, line_kws = np.zeros_like(lines), {**(line_kws or {}), "visible": False}
    ax = ax or new_axes(9, 1.6 + max(1.4, 0.55 * len(lines)))
    if len(lines) == 1:
        _single(ax, view, dim, lines[0], names[0], line_kws or {})
    else:
        _stacked(ax, view, dim, lines, names, line_kws or {})
    ruler = Ruler.of(view.exp, dim)
    left, right = ruler.edges
    strip = ax.imshow(
        heat if len(exp.dims) == 1 else heat.repeat(_LINES, axis=0), cmap=cmap or (DIVERGING if view.signed else LIGHT_TO_DARK), aspect="auto", zorder=0,
        extent=(left, right, *ax.get_ylim()), norm=view.scale(vmin, vmax),
    )  # fmt: skip
    ax.set_xlim(min(left, right), max(left, right))
    ruler.label(ax.xaxis)
    ax.set_xlabel(axis_label(exp, dim))
    ax.set_title(view.title(), fontsize="medium", loc="left")
    if colorbar:
        colour_bar(ax, strip, view)
    return ax


def _lines(view: View, dim: str) -> tuple[np.ndarray, list[str]]:
    """The signal as ``(channel, time)``, with the channels' names."""
    x, dims = view.moved((dim,))
    lines = x.reshape(-1, x.shape[-1])
    given = view.exp.layout.channel_names
    named = given is not None and dims[:-1] == ("channel",)
    return lines, list(given) if named and given else [str(i) for i in range(len(lines))]


def _strips(view: View, dim: str, rows: int) -> np.ndarray:
    """The map as ``(channel, time)``: its own strip for each channel, or the same for all."""
    dims = view.exp.dims
    if len(dims) == 1:
        return np.broadcast_to(view.heat, (rows, len(view.heat)))
    return np.moveaxis(view.heat, dims.index(dim), -1).reshape(rows, -1)


def _chosen(channels: Sequence[int | str] | None, names: list[str]) -> list[int]:
    if channels is None:
        return list(range(len(names)))
    try:
        return [
            names.index(each) if isinstance(each, str) else range(len(names))[each]
            for each in channels
        ]
    except (ValueError, IndexError) as error:
        message = f"there is no such channel in {list(channels)}; the input has {', '.join(names)}."
        raise LayoutError(message) from error


def _single(
    ax: Axes, view: View, dim: str, line: np.ndarray, name: str, line_kws: dict[str, Any]
) -> None:
    low, high = float(np.nanmin(line)), float(np.nanmax(line))
    pad = 0.08 * (high - low or 1)
    ax.set_ylim(low - pad, high + pad)
    ax.plot(
        Ruler.of(view.exp, dim).centres, line, **{"color": "black", "linewidth": 0.8, **line_kws}
    )
    layout = view.exp.layout
    what = name if layout.channel_names else "amplitude"
    ax.set_ylabel(f"{what} ({layout.units})" if layout.units else what)
    if not line_kws.get("visible", True):
        ax.set_yticks([])
        ax.set_ylabel(name if layout.channel_names else "")


def _stacked(
    ax: Axes, view: View, dim: str, lines: np.ndarray, names: list[str], line_kws: dict[str, Any]
) -> None:
    """One row a channel, the first on top, all at one scale, with a bar that says which."""
    centred = lines - np.nanmedian(lines, axis=1, keepdims=True)
    gain = _ROW / (float(np.nanmax(np.abs(centred))) or 1.0)
    rows = np.arange(len(lines))[::-1]
    ax.set_ylim(-0.5, len(lines) - 0.5)
    places = Ruler.of(view.exp, dim).centres
    for row, line in zip(rows, centred * gain, strict=True):
        ax.plot(places, row + line, **{"color": "black", "linewidth": 0.7, **line_kws})
    ax.set_yticks(rows, names)
    ax.tick_params(axis="y", length=0)
    for row in rows[1:]:
        ax.axhline(row + 0.5, color="white", linewidth=1.2, zorder=0.5)
    if line_kws.get("visible", True):
        _scale_bar(ax, view, gain)


def _scale_bar(ax: Axes, view: View, gain: float) -> None:
    """A bar in the right margin that says how large a swing is."""
    value = _round_number(0.8 / gain)
    low = ax.get_ylim()[0] + 0.1
    margin = ax.get_yaxis_transform()
    ends = [low, low + value * gain]
    ax.plot([1.01, 1.01], ends, color="black", linewidth=2, transform=margin, clip_on=False)
    label = f"{value:g} {view.exp.layout.units or ''}".strip()
    ax.text(1.016, low, label, va="bottom", rotation=90, fontsize="small", transform=margin)


def _round_number(limit: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that is not above the limit."""
    power = 10.0 ** np.floor(np.log10(limit))
    return float(max(each * power for each in (1, 2, 5) if each * power <= limit * (1 + 1e-9)))
