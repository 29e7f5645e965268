"""Here you find the figure of a job's mean images and volumes, with deviations at their side."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, FigureBase

from signalcam.plot.curves import CurveDisplay, quantiles_of
from signalcam.plot.map_view import (
    DARK_TO_LIGHT,
    DIVERGING,
    AxisScale,
    MapView,
    axis_label,
    check_drawing_target,
    check_finite,
    largest,
    select_map,
)
from signalcam.plot.overlay import Picture
from signalcam.plot.volume import Plane, label_planes, montage, place_planes, slices, write_sides
from signalcam.results.group_summary import GroupSummary, summarize_groups
from signalcam.results.plotter import Spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar
    from matplotlib.figure import SubFigure
    from matplotlib.image import AxesImage

    from signalcam.results.explanation import Explanation

_SPREAD = "viridis"  # for deviations only, to tell them from maps
_SLENDER = 6  # pictures of a larger aspect ratio are stretched to be visible
_WIDE = 4.2  # inches, of a panel
_LOWEST = 3.2  # inches: the least height of a figure, for the labels of colour bars
_FRAMES = 3  # of a video


@dataclass
class MeansDisplay:
    """One row for each group: its mean map and the standard deviation, or its median and a range.

    Args:
        names: Names of the groups, with their numbers of samples.
        means: Their mean maps, or medians.
        deviations: The standard deviations, or ranges.
        title: The title of the figure.
        statistics: Names of both columns.

    Attributes:
        heat_: The images: mean and deviation, group by group; of a volume each slice.
        bar_: The colour bars of both columns.
        ax_: The axes of the first mean.
        figure_: The figure.
    """

    names: list[str]
    means: list[MapView]
    deviations: list[MapView]
    title: str
    statistics: tuple[str, str] = ("mean", "standard deviation")
    heat_: list[AxesImage] = field(init=False, default_factory=list)
    bar_: list[Colorbar] = field(init=False, default_factory=list)
    ax_: Axes = field(init=False)
    figure_: Figure | SubFigure = field(init=False)

    @classmethod
    def from_groups(
        cls,
        summary: GroupSummary,
        by: str | None = None,
        *,
        target: Any = None,
        method: Any = None,
        layer: Any = None,
        spread: Spread = "deviation",
    ) -> Self:
        """Build the display of a job's summary; see ``Plotter.summary``."""
        shares, statistics, rows = quantiles_of(spread, summary), cls.statistics, summary.rows(by)
        middle, around = summary.mean, summary.deviation
        if shares is not None:
            half, odd = len(shares) // 2, len(shares) % 2
            middle = summary.quantile(half) if odd else summary.mean
            around = _subtract(summary.quantile(len(shares) - 1), summary.quantile(0))
            statistics = (
                f"quantile {shares[half]:.3g}" if odd else "mean",
                f"quantile {shares[-1]:.3g} less quantile {shares[0]:.3g}",
            )
        mean, deviation = (select_map(each.isel(sample=rows), target, method, layer) for each in (middle, around))
        maps = mean.maps.values[:, 0, 0, 0]
        check_finite(maps, "the means hold")
        signed = bool((maps < 0).any()) or mean.provenance.get("signed") == "True"
        means = [MapView(mean, each, signed) for each in maps]
        ranges = [MapView(deviation, each, signed=False) for each in deviation.maps.values[:, 0, 0, 0]]
        names = [f"{mean.sample_names[i]} (n = {summary.counts[row]})" for i, row in enumerate(rows)]
        title = f"{means[0].which()}\n{' and '.join(statistics)} over {summary.counts[0]} samples"
        return cls(names, means, ranges, title, statistics)

    def plot(
        self,
        *,
        fig: Figure | SubFigure | None = None,
        cmap: Any = None,
        vmin: float | None = None,
        vmax: float | None = None,
        colorbar: bool = True,
    ) -> Self:
        """Draw; see ``Plotter.summary`` for the options."""
        first = self.means[0]
        height = 0.85 * _WIDE * _height_to_width(first) + 0.6  # the bars and names take the rest
        page = (
            Figure(figsize=(2 * _WIDE + 2, max(len(self.names) * height + 1, _LOWEST)), layout="constrained")
            if fig is None
            else check_drawing_target(FigureBase, fig, "fig")
        )
        panels = page.subplots(len(self.names), 2, squeeze=False)
        self.figure_, self.ax_ = page, panels[0, 0]
        columns = (
            (self.means, first.colours(cmap or (DIVERGING if first.signed else DARK_TO_LIGHT)), first.meaning()),
            (self.deviations, self.deviations[0].colours(_SPREAD), self.statistics[1]),
        )
        for column, (views, colours, label) in enumerate(columns):
            ends = (vmin, vmax) if column == 0 else (None, None)
            look = {"cmap": colours, "norm": _common_scale(views, *ends)}
            artists = [_draw_panel(ax, view, look) for ax, view in zip(panels[:, column], views, strict=True)]
            self.heat_ += [artist for each in artists for artist in each]
            if colorbar:
                bar = page.colorbar(artists[0][0], ax=panels[:, column], pad=0.02, aspect=30)
                bar.set_label(label, parse_math=False)
                self.bar_.append(bar)
        self._set_titles(page, panels)
        return self

    def _set_titles(self, page: Any, panels: np.ndarray) -> None:
        """Set the titles of panels and figure."""
        for name, (left, right) in zip(self.names, panels, strict=True):
            left.set_title(f"{name}: {self.statistics[0]}", fontsize="medium", loc="left", parse_math=False)
            right.set_title(self.statistics[1], fontsize="medium", loc="left")
        page.suptitle(self.title, fontsize="medium", x=0.01, ha="left", parse_math=False)


def _subtract(one: Explanation, other: Explanation) -> Explanation:
    """Subtract two results of the same groups."""
    pairs = zip(one.layers, other.layers, strict=True)
    return replace(one, layers=tuple(replace(a, values=a.values - b.values) for a, b in pairs))


def _common_scale(views: list[MapView], vmin: float | None, vmax: float | None) -> Normalize:
    """One scale for all groups."""
    return max(views, key=lambda view: largest(view.heat)).scale(vmin, vmax)


def _height_to_width(view: MapView) -> float:
    """Height of a panel divided by its width."""
    if view.heat.ndim == 3:
        _, width, height = _lay_out(view)
        return height / width
    up, across = _axes(view)
    return (
        0.6
        if _aspect(view, up, across) == "auto"
        else view.heat.shape[view.exp.dims.index(up)] / view.heat.shape[view.exp.dims.index(across)]
    )


def _axes(view: MapView) -> tuple[str, str]:
    """The vertical and the horizontal axis; time is horizontal."""
    dims = view.exp.dims
    if "time" in dims:
        return next(dim for dim in dims if dim != "time"), "time"
    return ("height", "width") if {"height", "width"} <= set(dims) else (dims[0], dims[1])


def _aspect(view: MapView, up: str, across: str) -> Literal["equal", "auto"]:
    """Whether steps of both axes are equally long."""
    high, wide = (np.ptp(AxisScale.of(view.exp, dim).edges) for dim in (up, across))
    alike = "time" not in (up, across) and view.exp.layout.unit(up) == view.exp.layout.unit(across)
    return "equal" if alike and 1 / _SLENDER < wide / high < _SLENDER else "auto"


def _draw_panel(ax: Axes, view: MapView, look: dict[str, Any]) -> list[AxesImage]:
    return _draw_image(ax, view, look) if view.heat.ndim == 2 else _draw_volume(ax, view, look)


def _draw_image(ax: Axes, view: MapView, look: dict[str, Any]) -> list[AxesImage]:
    """Draw an image, its first row on top; a spectrogram, its first row at the bottom."""
    up, across = _axes(view)
    rising = across == "time"
    rows, columns = AxisScale.of(view.exp, up), AxisScale.of(view.exp, across)
    heat = view.heat if view.exp.dims == (up, across) else view.heat.T
    extent = (*columns.edges, *(rows.edges if rising else rows.edges[::-1]))
    artist = ax.imshow(
        heat, extent=extent, origin="lower" if rising else "upper", aspect=_aspect(view, up, across), **look
    )
    for axis, ruler, dim in ((ax.yaxis, rows, up), (ax.xaxis, columns, across)):
        ruler.label(axis)
        axis.set_label_text(axis_label(view.exp, dim), parse_math=False)
    ax.set_xlim(*sorted(columns.edges))
    ax.label_outer()
    return [artist]


def _lay_out(view: MapView) -> tuple[list[tuple[Plane, tuple[float, float]]], float, float]:
    """Middle slices, or frames, with their positions, and the size of all together."""
    picture = Picture(view.heat, "")
    if "time" in view.exp.dims:
        length = view.heat.shape[view.exp.dims.index("time")]
        planes = montage(view, picture, "time", min(_FRAMES, length))
    else:
        planes = slices(view, picture, tuple(n // 2 for n in view.heat.shape))
    places, width, height = place_planes(planes, _FRAMES)
    return list(zip(planes, places, strict=True)), width, height


def _draw_volume(ax: Axes, view: MapView, look: dict[str, Any]) -> list[AxesImage]:
    placed_planes, width, height = _lay_out(view)
    artists = [
        ax.imshow(plane.heat, extent=(left, left + plane.size[1], top + plane.size[0], top), aspect="equal", **look)
        for plane, (left, top) in placed_planes
    ]
    for plane, (left, top) in placed_planes:
        if plane.marks or plane is placed_planes[0][0]:
            write_sides(ax, plane, left, top)
    ax.set_xlim(0, width)
    ax.set_ylim(height, 0)
    label_planes(ax, [plane for plane, _ in placed_planes], [place for _, place in placed_planes], "slices")
    return artists


def summary_display(exp: Explanation, by: str | None, *, channel: Any, **which: Any) -> MeansDisplay | CurveDisplay:
    """Build the display of a summary: curves, or the images of a job's summary; see ``Plotter.summary``."""
    if (
        len(exp.dims) in (2, 3)
        and set(exp.dims) != {"time", "channel"}
        and (summary := summarize_groups(exp)) is not None
    ):
        return MeansDisplay.from_groups(summary, by, **which)
    return CurveDisplay.from_explanation(exp, by, **which, channel=channel)
