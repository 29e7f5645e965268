"""Text: the sentence written out, each token on a background of its heat; or a bar for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PolyCollection
from matplotlib.text import Text
from matplotlib.transforms import Affine2D, ScaledTranslation, blended_transform_factory

from signalcam.errors import LayoutError, nearest
from signalcam.plot.map_view import MapView, axes_for, colour_bar, percent
from signalcam.results.token_text import Word, runs_leftwards, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.font_manager import FontProperties
    from matplotlib.transforms import Bbox, Transform

    from signalcam.results.explanation import Explanation

_SIZE = 11.0  # of the letters, in points
_TALLEST = 60.0  # inches: a longer text gets smaller letters
_LINE, _UP, _DOWN, _SIDE, _SPACE, _BLANK = 1.75, 1.05, 0.4, 0.13, 0.2, 0.35  # in letter sizes
_BAR, _BELOW = (
    (16.0, 7.0),
    32.0,
)  # where the colour bar begins, its height, and the room it takes, in points
_MARGIN = 1.03  # of the scale, so that the longest bar does not touch the frame
_READABLE = 0.179  # of full luminance: black letters have more contrast above it, white ones below
_LONGEST = 24  # letters of a bar's name


def draw(  # noqa: PLR0913 - the options of a figure
    exp: Explanation,
    sample: int = 0,
    *,
    target: Any = None,
    method: Any = None,
    layer: Any = None,
    ax: Axes | None = None,
    fig: Figure | SubFigure | None = None,
    style: str = "inline",
    cmap: str | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
    colorbar: bool = True,
    text_kws: dict[str, Any] | None = None,
) -> Axes:
    """Draw one sample's tokens with their heat; see ``Plotter.text``."""
    if style not in _STYLES:
        message = f"there is no style {style!r}.{nearest(style, list(_STYLES))} Choose 'inline' or 'bar'."
        raise LayoutError(message)
    whole = MapView.of(exp, sample, target, method, layer)
    found = words(_names(whole.exp))
    view = replace(whole, heat=whole.heat[[word.token for word in found]])
    colours = ScalarMappable(view.scale(vmin, vmax), view.colours(cmap))
    tallest = _TALLEST if ax is None and fig is None else None
    ax = axes_for(ax, fig, 9, 3)
    ax.set_title(_title(whole, view), fontsize="medium", loc="left", parse_math=False)
    _STYLES[style](_Page(ax, tallest, text_kws or {}), view, found, colours, colorbar=colorbar)
    return ax


def _names(exp: Explanation) -> Sequence[str]:
    """The names of the sample's tokens."""
    names = exp.layout.token_names
    if names is None or exp.dims != ("token",):
        message = f"exp.plot.text draws maps along tokens that have names; this one has axes {', '.join(exp.dims)}. Pass layout=signalcam.Layout('batch token', token_names=[...]), one list of words a sample."
        raise LayoutError(message)
    if not any(names[0]):
        message = f"no token of sample {exp.sample_names[0]!r} has a name that is not empty, so there is nothing to draw. Draw exp.plot.signal()."
        raise LayoutError(message)
    return names[0]


def _title(whole: MapView, shown: MapView) -> str:
    """The usual words, and how much of the heat lies on tokens that are not drawn."""
    every, drawn = (float(np.nansum(np.abs(each.heat))) for each in (whole, shown))
    hidden = 1 - drawn / every if every else 0.0
    unseen = "" if hidden < 0.0005 else f"{percent(hidden)} of the heat lies on tokens that are not shown"
    return whole.title(unseen, whole.lost())


@dataclass(frozen=True)
class _Page:
    """Where is drawn.

    Attributes:
        ax: The axes.
        tallest: How high its figure may grow, in inches; ``None`` for a figure that is not ours.
        text_kws: For the letters.
    """

    ax: Axes
    tallest: float | None
    text_kws: dict[str, Any]

    def size(self) -> tuple[float, float]:
        """Width and height of the axes in points."""
        box = self.ax.get_window_extent()
        return box.width / self.ax.figure.dpi * 72, box.height / self.ax.figure.dpi * 72

    def grow(self, needed: Callable[[], float]) -> None:
        """Let the axes find their place, in a figure of ours as high as they need, in points."""
        figure = self.ax.get_figure(root=True)
        for _ in range(1 if self.tallest is None else 3):  # what is around them moves with them
            figure.draw_without_rendering()  # type: ignore[union-attr] # axes are in a figure
            if self.tallest is not None:
                more = min(needed(), self.tallest * 72) - self.size()[1]
                figure.set_figheight(figure.get_figheight() + more / 72)  # type: ignore[union-attr] # the same

    def points(self, size: float = 1.0) -> Transform:
        """From points, or letters of a size, right of and above the upper left corner to the screen."""
        corner = ScaledTranslation(0, 1, self.ax.transAxes)  # type: ignore[arg-type] # any transform will do
        return Affine2D().scale(size / 72) + self.ax.figure.dpi_scale_trans + corner

    def above(self) -> Transform:
        """From shares of the axes' width, and points above their lower edge, to the screen."""
        corner = ScaledTranslation(0, 0, self.ax.transAxes)  # type: ignore[arg-type] # the same
        rising = Affine2D().scale(1 / 72) + self.ax.figure.dpi_scale_trans + corner
        return blended_transform_factory(self.ax.transAxes, rising)


# --- written out -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Placed:
    """A token, or a part of one that is too wide for a line: where it stands, in letter sizes."""

    number: int
    text: str
    left: float
    width: float
    line: int


class _Written(Artist):
    """A text that is broken into lines when it is drawn, as only then the axes have their size.

    Attributes:
        strips: The backgrounds, which hold the heat.
        texts: The letters, as they were drawn last.
        needed: How high the lines would be, in points, with letters of the size asked for.
    """

    def __init__(
        self, page: _Page, view: MapView, found: Sequence[Word], colours: ScalarMappable, below: float
    ) -> None:
        super().__init__()
        self.page, self.heat, self.found, self.below = page, view.heat, found, below
        self.leftwards = runs_leftwards([word.text for word in found])
        self.strips = PolyCollection([], norm=colours.norm, cmap=colours.cmap, linewidths=0)
        self.strips.set_array(np.ma.masked_invalid(view.heat))
        self.texts: list[Text] = []
        self.needed, self.widths = 0.0, dict[tuple[float, str], float]()
        page.ax.add_artist(self)

    def get_children(self) -> list[Artist]:
        """The backgrounds and the letters."""
        return [self.strips, *self.texts]

    def get_window_extent(self, renderer: Any = None) -> Bbox:
        """The axes' own: nothing is drawn outside."""
        return self.page.ax.get_window_extent(renderer)

    def draw(self, renderer: Any) -> None:
        """Break it into lines and draw them."""
        if not self.get_visible():
            return
        size, placed = self._fitted(renderer)
        heat = self.heat[[each.number for each in placed]]
        self.strips.set_verts([_corners(each) for each in placed])
        self.strips.set_array(np.ma.masked_invalid(heat))
        colours = [_legible(each) for each in self.strips.to_rgba(heat)]
        self.texts = [self._letters(*pair, size) for pair in zip(placed, colours, strict=True)]
        for each in self.get_children():
            each.set_figure(self.page.ax.figure)
            each.set_transform(self.page.points(size))
            each.draw(renderer)
        self.stale = False

    def _fitted(self, renderer: Any) -> tuple[float, list[_Placed]]:
        """Lines of letters as large as asked for, or as large as fits."""
        width, height = self.page.size()
        height = max(height - self.below, _SIZE)
        font = Text(0, 0, "", **{"fontsize": _SIZE, **self.page.text_kws}).get_fontproperties()

        def wrapped(size: float) -> list[_Placed]:
            font.set_size(size)
            found = _wrapped(self.found, partial(self._wide, renderer, font), width / size)
            turned = [replace(each, left=width / size - each.left - each.width) for each in found]
            return turned if self.leftwards else found

        size = font.get_size_in_points()
        placed = wrapped(size)
        high = self.needed = _LINE * size * (placed[-1].line + 1)
        while high > height:
            size *= min(0.95, (height / high) ** 0.5)  # half the size needs a quarter of the height
            placed = wrapped(size)
            high = _LINE * size * (placed[-1].line + 1)
        return size, placed

    def _wide(self, renderer: Any, font: FontProperties, text: str) -> float:
        """How wide a text is with its margins, in letter sizes."""
        size = renderer.points_to_pixels(font.get_size_in_points())
        if (size, text) not in self.widths:
            ink = renderer.get_text_width_height_descent(text, font, ismath=False)[0] / size
            least = _BLANK if text.isspace() else 0.0
            self.widths[size, text] = max(float(ink), least) + 2 * _SIDE
        return self.widths[size, text]

    def _letters(self, placed: _Placed, colour: str, size: float) -> Text:
        looks = {"color": colour, **self.page.text_kws, "fontsize": size}
        return Text(placed.left + _SIDE, _baseline(placed), placed.text, parse_math=False, **looks)


def _inline(page: _Page, view: MapView, found: Sequence[Word], colours: ScalarMappable, *, colorbar: bool) -> None:
    page.ax.set_axis_off()
    written = _Written(page, view, found, colours, _BELOW if colorbar else 0.0)
    if colorbar:
        bottom = page.ax.inset_axes((0, _BAR[0], 0.25, _BAR[1]), transform=page.above())
        colour_bar(page.ax, written.strips, view, cax=bottom, orientation="horizontal")
        bottom.xaxis.label.set(horizontalalignment="left", verticalalignment="center")
        bottom.xaxis.set_label_coords(1.04, 0.5)
    page.grow(lambda: written.needed + written.below)


def _wrapped(found: Sequence[Word], wide: Callable[[str], float], most: float) -> list[_Placed]:
    """Break tokens into lines between words where that goes, within a word where it does not."""
    placed: list[_Placed] = []
    left, line = 0.0, 0
    for run in _runs(found):
        parts = [(number, text) for number in run for text in _parts(found[number].text, wide, most)]
        whole = sum(wide(text) for _, text in parts)
        for place, (number, text) in enumerate(parts):
            needed = whole if not place and whole <= most else wide(text)
            if left and left + needed > most:
                left, line = 0.0, line + 1
            placed.append(_Placed(number, text, left, wide(text), line))
            left += wide(text)
        follows = run[-1] + 1 < len(found) and found[run[-1] + 1].glued
        left += 0.0 if follows else _SPACE
    return placed


def _runs(found: Sequence[Word]) -> Iterator[list[int]]:
    """Numbers of tokens that make up a word."""
    run: list[int] = []
    for number, word in enumerate(found):
        if run and (not word.glued or found[run[-1]].text.isspace()):
            yield run
            run = []
        run.append(number)
    yield run


def _parts(text: str, wide: Callable[[str], float], most: float) -> list[str]:
    """Halve what is wider than a line until it is not."""
    if len(text) < 2 or wide(text) <= most:
        return [text]
    half = len(text) // 2
    return [*_parts(text[:half], wide, most), *_parts(text[half:], wide, most)]


def _baseline(each: _Placed) -> float:
    return -(each.line * _LINE + _UP + (_LINE - _UP - _DOWN) / 2)


def _corners(each: _Placed) -> np.ndarray:
    low, high = _baseline(each) - _DOWN, _baseline(each) + _UP
    left, right = each.left, each.left + each.width
    return np.array([[left, low], [right, low], [right, high], [left, high]])


def _legible(background: np.ndarray) -> str:
    """Black or white, whichever has more contrast (WCAG 2.2, relative luminance)."""
    red, green, blue, alpha = background
    shown = np.array([red, green, blue]) * alpha + 1 - alpha
    linear = np.where(shown <= 0.04045, shown / 12.92, ((shown + 0.055) / 1.055) ** 2.4)
    return "black" if linear @ [0.2126, 0.7152, 0.0722] > _READABLE else "white"


# --- bars ------------------------------------------------------------------------------------------


def _bars(page: _Page, view: MapView, found: Sequence[Word], colours: ScalarMappable, *, colorbar: bool) -> None:  # noqa: ARG001 - the axis says it all
    ax, rows = page.ax, np.arange(len(found))
    ax.barh(rows, view.heat, color=colours.to_rgba(view.heat), edgecolor="0.35", linewidth=0.4)
    ax.set_ylim(len(found) - 0.5, -0.5)
    low, high = colours.get_clim()
    ax.set_xlim(low * _MARGIN, high * _MARGIN)
    ax.set_xlabel(view.meaning(), parse_math=False)
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_yticks(rows, [_short(word.text) for word in found], parse_math=False, **page.text_kws)
    ax.tick_params(axis="y", length=0)
    page.grow(lambda: 1.7 * _SIZE * len(found))
    row = page.size()[1] / len(found)
    for label in ax.get_yticklabels():
        label.set_fontsize(min(label.get_fontsize(), 0.8 * row))


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


_STYLES: dict[str, Callable[..., None]] = {"inline": _inline, "bar": _bars}
