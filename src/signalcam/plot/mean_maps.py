"""Mean maps of pictures and volumes, and how far samples lie around them, side by side."""

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

_SPREAD = "viridis"  # of deviations, which no map of evidence has
_SLENDER = 6  # times as long as wide: such a picture is stretched to be seen at all
_WIDE = 4.2  # inches, of a panel
_LOWEST = 3.2  # inches, of a figure: the bars' words need them
_FRAMES = 3  # of a video


@dataclass
class MeansDisplay:
    """A row for each group: its mean map and the standard deviation around it, or its median and a range.

    Args:
        names: Of the groups, with how many samples each has.
        means: Their mean maps, or medians.
        deviations: The standard deviations, or ranges.
        title: Above all.
        said: What both are called.

    Attributes:
        heat_: What was drawn, the mean and the deviation of the first group first; of a volume each slice.
        bar_: The colour bars of both.
        ax_: Where the first mean was drawn.
        figure_: The figure.
    """

    names: list[str]
    means: list[MapView]
    deviations: list[MapView]
    title: str
    said: tuple[str, str] = ("mean", "standard deviation")
    heat_: list[AxesImage] = field(init=False, default_factory=list)
    bar_: list[Colorbar] = field(init=False, default_factory=list)
    ax_: Axes = field(init=False)
    figure_: Figure | SubFigure = field(init=False)

    @classmethod
    def from_summed(
        cls,
        found: GroupSummary,
        by: str | None = None,
        *,
        target: Any = None,
        method: Any = None,
        layer: Any = None,
        spread: Spread = "deviation",
    ) -> Self:
        """Take what a job has summed up; see ``Plotter.summary``."""
        shares, said, rows = quantiles_of(spread, found), cls.said, found.rows(by)
        middle, around = found.mean, found.deviation
        if shares is not None:
            half, odd = len(shares) // 2, len(shares) % 2
            middle = found.quantile(half) if odd else found.mean
            around = _less(found.quantile(len(shares) - 1), found.quantile(0))
            said = (
                f"quantile {shares[half]:.3g}" if odd else "mean",
                f"quantile {shares[-1]:.3g} less quantile {shares[0]:.3g}",
            )
        mean, deviation = (select_map(each.isel(sample=rows), target, method, layer) for each in (middle, around))
        maps = mean.maps.values[:, 0, 0, 0]
        check_finite(maps, "the means hold")
        signed = bool((maps < 0).any()) or mean.provenance.get("signed") == "True"
        means = [MapView(mean, each, signed) for each in maps]
        ranges = [MapView(deviation, each, signed=False) for each in deviation.maps.values[:, 0, 0, 0]]
        names = [f"{mean.sample_names[i]} (n = {found.counts[row]})" for i, row in enumerate(rows)]
        title = f"{means[0].which()}\n{' and '.join(said)} over {found.counts[0]} samples"
        return cls(names, means, ranges, title, said)

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
        high = 0.85 * _WIDE * _shape(first) + 0.6  # the bars and names take the rest
        page = (
            Figure(figsize=(2 * _WIDE + 2, max(len(self.names) * high + 1, _LOWEST)), layout="constrained")
            if fig is None
            else check_drawing_target(FigureBase, fig, "fig")
        )
        panels = page.subplots(len(self.names), 2, squeeze=False)
        self.figure_, self.ax_ = page, panels[0, 0]
        columns = (
            (self.means, first.colours(cmap or (DIVERGING if first.signed else DARK_TO_LIGHT)), first.meaning()),
            (self.deviations, self.deviations[0].colours(_SPREAD), self.said[1]),
        )
        for place, (views, colours, said) in enumerate(columns):
            ends = (vmin, vmax) if place == 0 else (None, None)
            look = {"cmap": colours, "norm": _scale(views, *ends)}
            drawn = [_panel(ax, view, look) for ax, view in zip(panels[:, place], views, strict=True)]
            self.heat_ += [artist for each in drawn for artist in each]
            if colorbar:
                bar = page.colorbar(drawn[0][0], ax=panels[:, place], pad=0.02, aspect=30)
                bar.set_label(said, parse_math=False)
                self.bar_.append(bar)
        self._say(page, panels)
        return self

    def _say(self, page: Any, panels: np.ndarray) -> None:
        """Whose maps these are, above each row and above all."""
        for name, (left, right) in zip(self.names, panels, strict=True):
            left.set_title(f"{name}: {self.said[0]}", fontsize="medium", loc="left", parse_math=False)
            right.set_title(self.said[1], fontsize="medium", loc="left")
        page.suptitle(self.title, fontsize="medium", x=0.01, ha="left", parse_math=False)


def _less(one: Explanation, other: Explanation) -> Explanation:
    """The difference of two results of the same groups."""
    pairs = zip(one.layers, other.layers, strict=True)
    return replace(one, layers=tuple(replace(a, values=a.values - b.values) for a, b in pairs))


def _scale(views: list[MapView], vmin: float | None, vmax: float | None) -> Normalize:
    """One scale for all groups."""
    return max(views, key=lambda view: largest(view.heat)).scale(vmin, vmax)


def _shape(view: MapView) -> float:
    """How high a panel is, of its width."""
    if view.heat.ndim == 3:
        _, width, height = _laid(view)
        return height / width
    up, across = _axes(view)
    return (
        0.6
        if _aspect(view, up, across) == "auto"
        else view.heat.shape[view.exp.dims.index(up)] / view.heat.shape[view.exp.dims.index(across)]
    )


def _axes(view: MapView) -> tuple[str, str]:
    """What runs up and across: time goes across."""
    dims = view.exp.dims
    if "time" in dims:
        return next(dim for dim in dims if dim != "time"), "time"
    return ("height", "width") if {"height", "width"} <= set(dims) else (dims[0], dims[1])


def _aspect(view: MapView, up: str, across: str) -> Literal["equal", "auto"]:
    """Whether a step up is as long as one across."""
    high, wide = (np.ptp(AxisScale.of(view.exp, dim).edges) for dim in (up, across))
    alike = "time" not in (up, across) and view.exp.layout.unit(up) == view.exp.layout.unit(across)
    return "equal" if alike and 1 / _SLENDER < wide / high < _SLENDER else "auto"


def _panel(ax: Axes, view: MapView, look: dict[str, Any]) -> list[AxesImage]:
    return _image(ax, view, look) if view.heat.ndim == 2 else _volume(ax, view, look)


def _image(ax: Axes, view: MapView, look: dict[str, Any]) -> list[AxesImage]:
    """A picture, its first row on top; a spectrogram, its first row at the bottom."""
    up, across = _axes(view)
    rising = across == "time"
    rows, columns = AxisScale.of(view.exp, up), AxisScale.of(view.exp, across)
    heat = view.heat if view.exp.dims == (up, across) else view.heat.T
    extent = (*columns.edges, *(rows.edges if rising else rows.edges[::-1]))
    drawn = ax.imshow(
        heat, extent=extent, origin="lower" if rising else "upper", aspect=_aspect(view, up, across), **look
    )
    for axis, ruler, dim in ((ax.yaxis, rows, up), (ax.xaxis, columns, across)):
        ruler.label(axis)
        axis.set_label_text(axis_label(view.exp, dim), parse_math=False)
    ax.set_xlim(*sorted(columns.edges))
    ax.label_outer()
    return [drawn]


def _laid(view: MapView) -> tuple[list[tuple[Plane, tuple[float, float]]], float, float]:
    """Slices through the middle, or frames; where their left and top lie, and how large all are together."""
    picture = Picture(view.heat, "")
    if "time" in view.exp.dims:
        length = view.heat.shape[view.exp.dims.index("time")]
        planes = montage(view, picture, "time", min(_FRAMES, length))
    else:
        planes = slices(view, picture, tuple(n // 2 for n in view.heat.shape))
    places, width, height = place_planes(planes, _FRAMES)
    return list(zip(planes, places, strict=True)), width, height


def _volume(ax: Axes, view: MapView, look: dict[str, Any]) -> list[AxesImage]:
    laid, width, height = _laid(view)
    drawn = [
        ax.imshow(plane.heat, extent=(left, left + plane.size[1], top + plane.size[0], top), aspect="equal", **look)
        for plane, (left, top) in laid
    ]
    for plane, (left, top) in laid:
        if plane.marks or plane is laid[0][0]:
            write_sides(ax, plane, left, top)
    ax.set_xlim(0, width)
    ax.set_ylim(height, 0)
    label_planes(ax, [plane for plane, _ in laid], [place for _, place in laid], "slices")
    return drawn


def summary_display(exp: Explanation, by: str | None, *, channel: Any, **which: Any) -> MeansDisplay | CurveDisplay:
    """The display of a summary: curves, or pictures of what a job has summed up; see ``Plotter.summary``."""
    if (
        len(exp.dims) in (2, 3)
        and set(exp.dims) != {"time", "channel"}
        and (found := summarize_groups(exp)) is not None
    ):
        return MeansDisplay.from_summed(found, by, **which)
    return CurveDisplay.from_explanation(exp, by, **which, channel=channel)
