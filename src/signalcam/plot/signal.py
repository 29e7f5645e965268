"""Here you find the figure of signals: a thin black line for each channel, with its heat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from matplotlib.cbook import normalize_kwargs
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from matplotlib.path import Path

from signalcam.errors import LayoutError
from signalcam.plot.map_view import (
    NORMS,
    AxisScale,
    MapView,
    axes_for,
    axis_label,
    check_choice,
    colour_bar,
    envelope,
    largest,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.image import AxesImage

    from signalcam.results.explanation import Explanation

STYLES = ("strip", "line", "area", "heat")
_COLUMNS = 1600  # of an image; longer maps show the strongest value of each bin
_ROW = 0.46  # share of a row's height for the largest amplitude, to either side
_NONE = -1  # the level of missing values
_LEVELS = 32  # of colour along a line; neighbours of one level are one stroke


@dataclass
class SignalDisplay:
    """Channels over time with their heat; ``plot`` draws them.

    Args:
        view: The map and its texts.
        lines: The signal, ``(channel, time)``, in the layout's units; NaN if it was not stored.
        heat: Its importance, of that shape, or ``(1, time)`` for all channels.
        names: Names of the channels.
        ruler: Scale of the time axis.
        norm: ``"own"`` if each row of ``heat`` was divided by its largest magnitude.

    Attributes:
        line_: The black lines, one a channel, the first on top.
        strip_: The heat: an image, or for ``style="line"`` a collection of strokes.
        bar_: The colour bar, or ``None``.
        ax_: The axes.
        figure_: The figure of ``ax_``.

    Example:
        >>> from signalcam.plot.signal import SignalDisplay
        >>> display = SignalDisplay.from_explanation(exp, 2, channels=[0]).plot(style="line")
        >>> display.line_[0].set_color("navy")
    """

    view: MapView
    lines: np.ndarray
    heat: np.ndarray
    names: list[str]
    ruler: AxisScale
    norm: str = "shared"
    line_: list[Line2D] = field(init=False, default_factory=list)
    strip_: AxesImage | LineCollection = field(init=False)
    bar_: Colorbar | None = field(init=False, default=None)
    ax_: Axes = field(init=False)
    figure_: Figure | SubFigure = field(init=False)

    @classmethod
    def from_explanation(
        cls,
        exp: Explanation,
        sample: int = 0,
        *,
        target: Any = None,
        method: Any = None,
        layer: Any = None,
        channels: Sequence[int | str] | None = None,
        norm: str = "shared",
    ) -> Self:
        """Build the display of one sample's map; see ``Plotter.signal``."""
        check_choice(norm, NORMS, "norm")
        view = MapView.of(exp, sample, target, method, layer)
        dim = horizontal_axis(exp)
        lines, names = signal_lines(view, dim)
        numbers = channel_numbers(channels, names)
        heat = heat_rows(view, dim, len(lines))
        if len(heat) > 1:
            heat = heat[numbers]
            heat = heat / np.array([[largest(row) or 1.0] for row in heat]) if norm == "own" else heat
        return cls(view, lines[numbers], heat, [names[i] for i in numbers], AxisScale.of(view.exp, dim), norm)

    def plot(  # noqa: PLR0913 - the options of a figure
        self,
        ax: Axes | None = None,
        *,
        fig: Figure | SubFigure | None = None,
        style: str = "strip",
        cmap: Any = None,
        vmin: float | None = None,
        vmax: float | None = None,
        colorbar: bool = True,
        line_kws: dict[str, Any] | None = None,
        strip_kws: dict[str, Any] | None = None,
    ) -> Self:
        """Draw; see ``Plotter.signal`` for the options."""
        check_choice(style, STYLES, "style")
        count = len(self.heat if style == "heat" else self.lines)
        self.ax_ = ax = axes_for(ax, fig, 9, 1.6 + max(1.4, 0.55 * count))
        self.figure_ = ax.figure
        if style == "heat":
            self._set_rows(["all channels"] if len(self.heat) < len(self.names) else self.names, "")
        else:
            self._draw_lines(line_kws or {})
        colours = {"cmap": self.view.colours(cmap), "norm": self._scale_view().scale(vmin, vmax)}
        draw = self._draw_strokes if style == "line" else self._draw_strips
        self.strip_ = draw({**colours, **(strip_kws or {})})
        if style == "area":
            self.strip_.set_clip_path(self._area_path(), ax.transData)
            self.strip_.set_rasterized(True)  # else a vector file holds every outline twice
        left, right = self.ruler.edges
        ax.set_xlim(min(left, right), max(left, right))
        self.ruler.label(ax.xaxis)
        ax.set_xlabel(axis_label(self.view.exp, horizontal_axis(self.view.exp)))
        ax.set_title(self.view.title(self.view.missing_text()), fontsize="medium", loc="left", parse_math=False)
        if colorbar:
            self.bar_ = colour_bar(ax, self.strip_, self.view, "channels" if len(self.heat) > 1 else "", self.norm)
        return self

    def _scale_view(self) -> MapView:
        return MapView(self.view.exp, self.heat, self.view.signed)

    # --- lines -----------------------------------------------------------------------------------

    def _draw_lines(self, line_kws: dict[str, Any]) -> None:
        lines, visible = self.lines, {}
        if np.isnan(lines).all():  # a record that came in chunks has no stored signal
            lines, visible = np.zeros_like(lines), {"visible": False}
        options = {
            "color": "black",
            "linewidth": 0.8 if len(lines) == 1 else 0.7,
            **normalize_kwargs(line_kws, Line2D),
            **visible,
        }
        rows = self._place_single(lines[0], options) if len(lines) == 1 else self._stack(lines, options)
        for line in rows:
            indices = envelope(line)
            self.line_ += self.ax_.plot(self.ruler.centres[indices], line[indices], **options)

    def _place_single(self, line: np.ndarray, options: dict[str, Any]) -> list[np.ndarray]:
        ax, layout = self.ax_, self.view.exp.layout
        low, high = float(np.nanmin(line)), float(np.nanmax(line))
        pad = 0.08 * (high - low or 1)
        ax.set_ylim(low - pad, high + pad)
        what = self.names[0] if layout.channel_names else "amplitude"
        ax.set_ylabel(f"{what} ({layout.units})" if layout.units else what, parse_math=False)
        if not options.get("visible", True):
            ax.set_yticks([])
            ax.set_ylabel(self.names[0] if layout.channel_names else "")
        return [line]

    def _stack(self, lines: np.ndarray, options: dict[str, Any]) -> list[np.ndarray]:
        """Scale all lines alike into rows, the first on top, with a bar that shows the scale."""
        lines = center_lines(lines)
        gain = _ROW / (float(np.nanmax(np.abs(lines))) or 1.0)
        rows = self._set_rows(self.names, "white")
        if options.get("visible", True):
            self._draw_scale_bar(gain)
        return [row + line for row, line in zip(rows, lines * gain, strict=True)]

    def _set_rows(self, names: Sequence[str], between: str) -> np.ndarray:
        """Divide the axes into rows with names, the first on top."""
        rows = np.arange(len(names))[::-1]
        self.ax_.set_ylim(-0.5, len(names) - 0.5)
        self.ax_.set_yticks(rows, names, parse_math=False)
        self.ax_.tick_params(axis="y", length=0)
        for row in rows[1:] if between else ():
            self.ax_.axhline(row + 0.5, color=between, linewidth=1.2, zorder=0.5)
        return rows

    def _draw_scale_bar(self, gain: float) -> None:
        """Draw a bar in the right margin that shows the scale."""
        ax, value = self.ax_, _round_number(0.8 / gain)
        low = ax.get_ylim()[0] + 0.1
        margin = ax.get_yaxis_transform()
        ends = [low, low + value * gain]
        ax.plot([1.01, 1.01], ends, color="black", linewidth=2, transform=margin, clip_on=False)
        label = f"{value:g} {self.view.exp.layout.units or ''}".strip()
        ax.text(
            1.016,
            low,
            label,
            va="bottom",
            rotation=90,
            fontsize="small",
            transform=margin,
            parse_math=False,
        )

    # --- heat ------------------------------------------------------------------------------------

    def _draw_strips(self, options: dict[str, Any]) -> AxesImage:
        extent = (*self.ruler.edges, *self.ax_.get_ylim())
        look = {
            "aspect": "auto",
            "zorder": 0,
            "extent": extent,
            "interpolation": "nearest",
        }  # interpolation would mix channels
        return self.ax_.imshow(np.stack([strongest(row) for row in self.heat]), **{**look, **options})

    def _draw_strokes(self, options: dict[str, Any]) -> LineCollection:
        """Draw a broad coloured stroke below each line, so that short spikes are visible too."""
        heat = np.broadcast_to(self.heat, self.lines.shape)
        scale, strokes, levels = options["norm"], [], []
        for line, row in zip(self.line_, heat, strict=True):
            indices = np.round((np.asarray(line.get_xdata()) - self.ruler.start) / self.ruler.step).astype(int)
            share = np.clip(np.asarray(scale(row[indices]), float), 0, 1)
            level = np.minimum(np.floor(share * _LEVELS), _LEVELS - 1)
            level[~np.isfinite(row[indices])] = _NONE
            pieces, piece_levels = cut_runs(np.column_stack(line.get_data()), level)
            strokes += pieces
            levels.append(piece_levels)
        values = (np.concatenate(levels) + 0.5) / _LEVELS * (scale.vmax - scale.vmin) + scale.vmin
        values[np.concatenate(levels) == _NONE] = np.nan
        width = {
            "linewidths": 5,
            "capstyle": "butt",
            "joinstyle": "round",
            "rasterized": True,
            "antialiased": False,  # half the file size; the black line covers the middle
            "zorder": 1,
        }
        collection = LineCollection(strokes, array=values, **{**width, **options})
        self.ax_.add_collection(collection, autolim=False)
        return collection

    def _area_path(self) -> Path:
        """The area between each line and the bottom of its row."""
        feet = [self.ax_.get_ylim()[0]] if len(self.line_) == 1 else np.arange(len(self.line_))[::-1] - 0.5
        areas = []
        for line, foot in zip(self.line_, feet, strict=True):
            x, y = map(np.asarray, line.get_data())
            x, y = np.r_[x[0], x, x[-1]], np.r_[foot, np.where(np.isnan(y), foot, y), foot]
            areas.append(Path(np.column_stack([x, y]), closed=False))
        return Path.make_compound_path(*areas)


def horizontal_axis(exp: Explanation) -> str:
    """The horizontal axis of a map."""
    return "time" if "time" in exp.dims else exp.dims[-1]


def signal_lines(view: MapView, dim: str) -> tuple[np.ndarray, list[str]]:
    """The signal as ``(channel, time)``, with the channels' names."""
    x, dims = view.move_axes((dim,))
    lines = x.reshape(-1, x.shape[-1])
    channel_names = view.exp.layout.channel_names
    has_channels = channel_names is not None and dims[:-1] == ("channel",)
    return lines, list(channel_names) if has_channels and channel_names else [str(i) for i in range(len(lines))]


def center_lines(lines: np.ndarray) -> np.ndarray:
    """Subtract the median of each line; lines without values stay."""
    medians = [np.nanmedian(line) if np.isfinite(line).any() else 0.0 for line in lines]
    centred: np.ndarray = lines - np.array(medians)[:, None]
    return centred


def heat_rows(view: MapView, dim: str, rows: int) -> np.ndarray:
    """The map as ``(channel, time)``, or ``(1, time)`` for all channels; NaN for missing values."""
    dims = view.exp.dims
    heat: np.ndarray = np.where(np.isfinite(view.heat), view.heat, np.nan)
    if len(dims) == 1:
        return heat[None]
    return np.moveaxis(heat, dims.index(dim), -1).reshape(rows, -1)


def strongest(row: np.ndarray) -> np.ndarray:
    """Reduce a long row to the value of largest magnitude of each bin."""
    size = -(-len(row) // _COLUMNS)
    if size == 1:
        return row
    stretches = np.pad(row, (0, -len(row) % size), mode="edge").reshape(-1, size)
    at = np.nan_to_num(np.abs(stretches), nan=-1.0).argmax(axis=1)
    values: np.ndarray = stretches[np.arange(len(stretches)), at]
    return values


def cut_runs(points: np.ndarray, levels: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Cut a line ``(point, 2)`` into pieces of one level; pieces share their end points."""
    starts = np.r_[0, np.flatnonzero(np.diff(levels)) + 1]
    stops = np.r_[starts[1:] + 1, len(points)]
    pieces = [points[start:stop] for start, stop in zip(starts, stops, strict=True)]
    return pieces, levels[starts]


def channel_numbers(channels: Sequence[int | str] | None, names: list[str]) -> list[int]:
    """Resolve channels by name or number; all by default."""
    if channels is None:
        return list(range(len(names)))
    requested: list[Any] = [channels] if isinstance(channels, str) or not np.ndim(channels) else list(channels)
    if not requested:
        message = "channels= is empty, so there is nothing to draw. Leave it out to draw all."
        raise LayoutError(message)
    try:
        return [names.index(each) if isinstance(each, str) else range(len(names))[each] for each in requested]
    except (ValueError, IndexError, TypeError) as error:
        message = f"there is no such channel in {requested}; the input has {', '.join(names)}."
        raise LayoutError(message) from error


def _round_number(limit: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that does not exceed the limit."""
    power = 10.0 ** np.floor(np.log10(limit))
    return float(max(each * power for each in (1, 2, 5) if each * power <= limit * (1 + 1e-9)))
