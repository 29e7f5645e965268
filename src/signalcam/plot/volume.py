"""Here you find the figure of volumes and videos: slices and frames under their heat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from matplotlib.patheffects import withStroke

from signalcam.errors import LayoutError, MethodError, is_count, nearest
from signalcam.plot.map_view import MapView, axes_for, colour_bar
from signalcam.plot.overlay import HeatOverlay, Picture, caption

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.image import AxesImage

    from signalcam.results.explanation import Explanation

STYLES = ("slices", "montage")
_GAP = 0.015  # between two slices, as a share of the figure's width
_WIDE = 10.0  # inches: width of a new figure
_TALLEST = 12.0  # inches
_LINE = 0.2  # inches: height of a line of the title
_OPPOSITES = {
    "left": "right",
    "right": "left",
    "anterior": "posterior",
    "posterior": "anterior",
    "superior": "inferior",
    "inferior": "superior",
}
_UP = ("superior", "anterior")  # at the top of a slice, the first of them that it has
_TO_THE_RIGHT = ("right", "anterior")
_UPRIGHT = {"superior": 0, "inferior": 0, "anterior": 1, "posterior": 1, "right": 2, "left": 2}
_LETTERING: dict[str, Any] = {
    "color": "white",
    "fontsize": "small",
    "path_effects": [withStroke(linewidth=1.5, foreground="black")],
    "parse_math": False,
}


@dataclass(frozen=True)
class Body:
    """The proportions of a volume.

    Attributes:
        dims: Its axes.
        steps: Distance of entries along each axis, as drawn.
        unit: Their unit; ``"voxels"`` if the layout does not define all.
    """

    dims: tuple[str, ...]
    steps: dict[str, float]
    unit: str

    @classmethod
    def of(cls, exp: Explanation, dims: tuple[str, ...]) -> Body:
        """Read the spacing of the axes; it is used only if all of them have one, in one unit."""
        lengths = [exp.input.shape[exp.layout.dims.index(dim)] for dim in dims]
        lines = [exp.layout.line(dim, n) for dim, n in zip(dims, lengths, strict=True)]
        axes_with_spacing = {*(exp.layout.spacing or ()), *(exp.layout.coordinates or ())}
        units = {exp.layout.unit(dim) for dim in dims} - {""}
        if not set(dims) <= axes_with_spacing or None in lines or len(units) > 1:
            return cls(dims, dict.fromkeys(dims, 1.0), "voxels")
        steps = {dim: abs(line[1]) for dim, line in zip(dims, lines, strict=True) if line}
        return cls(dims, steps, next(iter(units), ""))


@dataclass(frozen=True)
class Plane:
    """One slice or frame, in its orientation on the page.

    Attributes:
        picture: ``(down, across)`` or ``(down, across, 3)``.
        heat: ``(down, across)``.
        dims: The vertical and the horizontal axis.
        size: Height and width, as drawn.
        ends: Directions at top, bottom, left and right, for anatomical axes.
        name: Its position.
        marks: Positions of the other slices, down and across; ``None`` in a montage.
    """

    picture: np.ndarray
    heat: np.ndarray
    dims: tuple[str, str]
    size: tuple[float, float]
    ends: tuple[str, str, str, str]
    name: str
    marks: tuple[float, float] | None = None


@dataclass
class VolumeDisplay:
    """Slices of a volume or frames of a video with their heat; ``plot`` draws them.

    Args:
        view: The map and its texts.
        planes: The slices or frames, in rows.
        style: ``"slices"`` or ``"montage"``.
        note: How the pictures were made.

    Attributes:
        picture_: The pictures, in the order of ``planes``.
        heat_: The heat over them.
        bar_: The colour bar, or ``None``.
        ax_: The axes.
        figure_: The figure of ``ax_``.

    Example:
        >>> import signalcam as sc
        >>> from signalcam.plot.volume import VolumeDisplay
        >>> display = VolumeDisplay.from_explanation(sc.explain(volume_network, volume)).plot()
        >>> len(display.heat_)
        3
    """

    view: MapView
    planes: list[Plane]
    style: str
    note: str
    picture_: list[AxesImage] = field(init=False, default_factory=list)
    heat_: list[AxesImage] = field(init=False, default_factory=list)
    bar_: Colorbar | None = field(init=False, default=None)
    ax_: Axes = field(init=False)
    figure_: Figure | SubFigure = field(init=False)

    @classmethod
    def from_explanation(  # noqa: PLR0913 - the options of a figure
        cls,
        exp: Explanation,
        sample: int = 0,
        *,
        target: Any = None,
        method: Any = None,
        layer: Any = None,
        style: str | None = None,
        at: Sequence[float] | None = None,
        axis: str | None = None,
        count: int = 12,
    ) -> Self:
        """Build the display of one sample; see ``Plotter.volume``."""
        style = style or ("montage" if "time" in exp.dims or axis else "slices")
        _check_options(exp, style, at, axis, count)
        view = MapView.of(exp, sample, target, method, layer)
        picture = Picture.of(view, exp.dims)
        planes = (
            slices(view, picture, _entries_to_cut(view, at))
            if style == "slices"
            else montage(view, picture, axis, count)
        )
        note = picture.note if "time" in exp.dims else f"{picture.note} · {_proportions(view)}"
        return cls(view, planes, style, note)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        fig: Figure | SubFigure | None = None,
        colorbar: bool = True,
        image_kws: dict[str, Any] | None = None,
        heat_kws: dict[str, Any] | None = None,
        **look: Any,
    ) -> Self:
        """Draw; see ``Plotter.volume`` for the options."""
        heat = HeatOverlay.of(self.view, **look)
        corners, width, height = place_planes(self.planes, 3 if self.style == "slices" else None)
        title = caption(self.view, self.note)
        above = 0.4 + _LINE * len(title.splitlines())
        self.ax_ = ax = axes_for(ax, fig, _WIDE, min(above + (_WIDE - 1.4) * height / width, _TALLEST))
        self.figure_ = ax.figure
        for plane, (left, top) in zip(self.planes, corners, strict=True):
            placement: dict[str, Any] = {
                "extent": (left, left + plane.size[1], top + plane.size[0], top),
                "aspect": "equal",
            }
            base: dict[str, Any] = {"cmap": "gray", "vmin": 0, "vmax": 1} | placement | (image_kws or {})
            self.picture_.append(ax.imshow(plane.picture, **base))
            self.heat_.append(heat.draw(ax, plane.heat, **placement | (heat_kws or {})))
            if plane.marks or plane is self.planes[0]:
                write_sides(ax, plane, left, top)
        ax.set_xlim(0, width)
        ax.set_ylim(height, 0)
        label_planes(ax, self.planes, corners, self.style)
        ax.set_title(title, fontsize="medium", loc="left", parse_math=False)
        self.bar_ = colour_bar(ax, heat.mappable, self.view) if colorbar else None
        return self


def _check_options(exp: Explanation, style: str, at: Any, axis: str | None, count: int) -> None:
    if style not in STYLES:
        message = f"there is no style {style!r}; expected 'slices' or 'montage'.{nearest(style, STYLES)}"
        raise MethodError(message)
    if not is_count(count):
        message = f"count is {count!r}; give how many slices a montage shows, 1 or more."
        raise MethodError(message)
    if axis is not None and axis not in exp.dims:
        message = f"the map has no axis {axis!r}; it has {', '.join(exp.dims)}.{nearest(axis, exp.dims)}"
        raise LayoutError(message)
    if (at is not None and style == "montage") or (axis is not None and style == "slices"):
        message = "at= belongs to style='slices', axis= and count= to style='montage'. Leave one of them out."
        raise MethodError(message)


def _entries_to_cut(view: MapView, at: Sequence[float] | None) -> tuple[int, ...]:
    """The entries to cut at: those nearest to ``at``, or the strongest position of the map."""
    shape, dims = view.heat.shape, view.exp.dims
    if at is None:
        strength = np.where(np.isfinite(view.heat), np.abs(view.heat), -1)
        peak = strength.argmax() if strength.max() > 0 else np.ravel_multi_index([n // 2 for n in shape], shape)
        return tuple(int(i) for i in np.unravel_index(peak, shape))
    if len(at) != len(shape):
        message = f"at={tuple(at)} has {len(at)} numbers; give one for each of {', '.join(dims)}."
        raise LayoutError(message)
    return tuple(_nearest_entry(view.exp, *each) for each in zip(dims, shape, at, strict=True))


def _nearest_entry(exp: Explanation, dim: str, length: int, value: float) -> int:
    """The entry of an axis that is nearest to a coordinate."""
    coordinates = np.asarray(exp.layout.coordinate(dim, np.arange(length)), float)
    step = abs(float(coordinates[-1] - coordinates[0])) / max(length - 1, 1)
    if not coordinates.min() - step / 2 <= value <= coordinates.max() + step / 2:
        unit = exp.layout.unit(dim)
        message = f"at= asks for {dim} {value:g}, which lies outside: it runs from {coordinates[0]:g} to {coordinates[-1]:g} {unit}".rstrip()
        raise LayoutError(f"{message}. Give places in the units of the axes.")
    return int(np.abs(coordinates - value).argmin())


def slices(view: MapView, picture: Picture, cut: tuple[int, ...]) -> list[Plane]:
    """Cut one slice across each axis."""
    return [_cut_plane(view, picture, number, cut[number], cut) for number in range(len(cut))]


def montage(view: MapView, picture: Picture, axis: str | None, count: int) -> list[Plane]:
    """Cut across one axis (time by default) at evenly spaced entries from end to end."""
    dims = view.exp.dims
    number = dims.index(axis or ("time" if "time" in dims else dims[0]))
    length = view.heat.shape[number]
    entries = np.unique(np.linspace(0, length - 1, min(count, length)).round().astype(int))
    return [_cut_plane(view, picture, number, int(entry)) for entry in entries]


def _cut_plane(view: MapView, picture: Picture, number: int, entry: int, cut: tuple[int, ...] | None = None) -> Plane:
    """Cut across one axis, and turn the slice upright."""
    exp = view.exp
    plane_dims = [dim for dim in exp.dims if dim != exp.dims[number]]
    pixels, heat = picture.values.take(entry, axis=number), view.heat.take(entry, axis=number)
    dims, mirrored = upright(plane_dims)
    marks = [i for axis, i in enumerate(cut or ()) if axis != number]
    if dims != tuple(plane_dims):
        pixels, heat, marks = pixels.swapaxes(0, 1), heat.T, marks[::-1]
    order = tuple(slice(None, None, -1 if turn else 1) for turn in mirrored)
    steps = Body.of(exp, dims if "time" in exp.dims else exp.dims).steps
    size = tuple(n * steps[dim] for n, dim in zip(heat.shape, dims, strict=True))
    lines = [(n - 1 - i if turn else i) + 0.5 for i, n, turn in zip(marks, heat.shape, mirrored, strict=False)]
    crossing = tuple(line * steps[dim] for line, dim in zip(lines, dims, strict=False))
    ends = (*_directions(dims[0], mirrored=mirrored[0]), *_directions(dims[1], mirrored=mirrored[1]))
    return Plane(
        pixels[order],
        heat[order],
        dims,
        size,
        ends,
        place_name(exp, exp.dims[number], entry),
        crossing or None,  # type: ignore[arg-type] # two of each
    )


def upright(dims: Sequence[str]) -> tuple[tuple[str, str], tuple[bool, bool]]:
    """Return the vertical and the horizontal axis of a plane, and whether each is mirrored.

    The head is at the top, or else the front; the front is at the right, or else the right side is. Other axes
    keep their order.
    """
    down, across = dims
    if {down, across} <= set(_OPPOSITES) and _UPRIGHT[across] < _UPRIGHT[down]:
        down, across = across, down
    against = across in _OPPOSITES and across not in _TO_THE_RIGHT
    return (down, across), (down in _UP, against)


def _directions(dim: str, *, mirrored: bool) -> tuple[str, str]:
    """Directions at the first and the last entry drawn; an anatomical axis is named after its positive direction."""
    if dim not in _OPPOSITES:
        return "", ""
    return (dim, _OPPOSITES[dim]) if mirrored else (_OPPOSITES[dim], dim)


def place_name(exp: Explanation, dim: str, entry: int) -> str:
    """Name the position of an entry: ``depth 12 mm``, ``time 0.4 s``; a voxel by its number."""
    at, unit = exp.layout.coordinate(dim, np.asarray(entry)), exp.layout.unit(dim)
    value = f"{float(at):.4g}" if np.issubdtype(np.asarray(at).dtype, np.number) else str(at)
    return f"{dim} {value} {unit}".strip()


def _proportions(view: MapView) -> str:
    body = Body.of(view.exp, view.exp.dims)
    if body.unit == "voxels":
        return "voxels drawn as cubes, as no spacing is known for all axes"
    steps = " x ".join(f"{body.steps[dim]:.3g}" for dim in view.exp.dims)
    return f"voxels of {steps} {body.unit}".strip()


def place_planes(planes: list[Plane], columns: int | None) -> tuple[list[tuple[float, float]], float, float]:
    """Left and top of each plane, and the size of all together."""
    height, plane_width = planes[0].size
    columns = columns or min(len(planes), max(1, round(float(np.sqrt(len(planes) * 1.8 * height / plane_width)))))
    rows = [planes[i : i + columns] for i in range(0, len(planes), columns)]
    gap = _GAP * sum(each.size[1] for each in rows[0])
    corners, top = [], 0.0
    for row in rows:
        lefts = np.cumsum([0.0, *(each.size[1] + gap for each in row[:-1])])
        corners += [(float(left), top) for left in lefts]
        top += max(each.size[0] for each in row) + gap
    width = max(left + each.size[1] for (left, _), each in zip(corners, planes, strict=True))
    return corners, width, top - gap


def write_sides(ax: Axes, plane: Plane, left: float, top: float) -> None:
    """Write the direction at each side, and mark the positions of the other slices."""
    height, width = plane.size
    places = [(0.5, 0.0, "top"), (0.5, 1.0, "bottom"), (0.0, 0.5, "center"), (1.0, 0.5, "center")]
    sides = {0.0: "left", 0.5: "center", 1.0: "right"}
    for text, (x, y, vertical) in zip(plane.ends, places, strict=True):
        if text:
            ax.text(left + x * width, top + y * height, f" {text[0].upper()} ", ha=sides[x], va=vertical, **_LETTERING)
    if plane.marks:
        down, across = plane.marks
        line: dict[str, Any] = {"color": "white", "linewidth": 0.6, "alpha": 0.6}
        ax.plot([left, left + width], [top + down] * 2, **line)
        ax.plot([left + across] * 2, [top, top + height], **line)


def label_planes(ax: Axes, planes: list[Plane], places: list[tuple[float, float]], style: str) -> None:
    """Write the name of each plane: below a slice, and in the corner of a tile."""
    ax.set_yticks([])
    ax.tick_params(length=0)
    for side in ax.spines.values():
        side.set_visible(False)
    if style == "slices":
        ax.set_xticks(
            [left + each.size[1] / 2 for (left, _), each in zip(places, planes, strict=True)],
            [each.name for each in planes],
            parse_math=False,
        )
        return
    ax.set_xticks([])
    for (left, top), plane in zip(places, planes, strict=True):
        ax.text(left, top, f" {plane.name}", ha="left", va="top", **_LETTERING)
    if not any(planes[0].ends):
        down, across = planes[0].dims
        ax.set_xlabel(f"{down} runs down, {across} across", parse_math=False)
