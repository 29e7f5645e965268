"""Here you find the figures of texts: tokens on a background of their heat, or a bar for each."""

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
_TALLEST = 60.0  # inches; longer texts get smaller letters
_LINE, _UP, _DOWN, _SIDE, _SPACE, _BLANK = 1.75, 1.05, 0.4, 0.13, 0.2, 0.35  # in letter sizes
_BAR, _BELOW = (16.0, 7.0), 32.0  # colour bar: position and height, and the space it needs, in points
_MARGIN = 1.03  # of the scale, so that the longest bar does not touch the frame
_READABLE = 0.179  # luminance above which black letters have more contrast than white ones
_LONGEST = 24  # letters of a bar's label


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
    tokens = words(_token_names(whole.exp))
    view = replace(whole, heat=whole.heat[[word.token for word in tokens]])
    colours = ScalarMappable(view.scale(vmin, vmax), view.colours(cmap))
    tallest = _TALLEST if ax is None and fig is None else None
    ax = axes_for(ax, fig, 9, 3)
    ax.set_title(_title(whole, view), fontsize="medium", loc="left", parse_math=False)
    _STYLES[style](_Page(ax, tallest, text_kws or {}), view, tokens, colours, colorbar=colorbar)
    return ax


def _token_names(exp: Explanation) -> Sequence[str]:
    """The names of the sample's tokens."""
    names = exp.layout.token_names
    if names is None or exp.dims != ("token",):
        message = f"exp.plot.text draws maps along tokens that have names; this one has axes {', '.join(exp.dims)}. Pass layout=signalcam.Layout('batch token', token_names=[...]), one list of words a sample."
        raise LayoutError(message)
    if not any(names[0]):
        message = f"no token of sample {exp.sample_names[0]!r} has a name that is not empty, so there is nothing to draw. Draw exp.plot.signal()."
        raise LayoutError(message)
    return names[0]


def _title(whole: MapView, visible_view: MapView) -> str:
    """The usual title, with the share of heat on tokens that are not drawn."""
    total, visible = (float(np.nansum(np.abs(each.heat))) for each in (whole, visible_view))
    hidden = 1 - visible / total if total else 0.0
    unseen = "" if hidden < 0.0005 else f"{percent(hidden)} of the heat lies on tokens that are not shown"
    return whole.title(unseen, whole.missing_text())


@dataclass(frozen=True)
class _Page:
    """The axes to draw on.

    Attributes:
        ax: The axes.
        tallest: Maximum height of the figure, in inches; ``None`` for a figure of the user.
        text_kws: Options of the letters.
    """

    ax: Axes
    tallest: float | None
    text_kws: dict[str, Any]

    def size(self) -> tuple[float, float]:
        """Width and height of the axes in points."""
        box = self.ax.get_window_extent()
        return box.width / self.ax.figure.dpi * 72, box.height / self.ax.figure.dpi * 72

    def grow(self, needed: Callable[[], float]) -> None:
        """Lay out the figure, and fit the height of our own figure to the height needed, in points."""
        figure = self.ax.get_figure(root=True)
        for _ in range(1 if self.tallest is None else 3):  # titles and labels move with each change
            figure.draw_without_rendering()  # type: ignore[union-attr] # axes are in a figure
            if self.tallest is not None:
                more = min(needed(), self.tallest * 72) - self.size()[1]
                figure.set_figheight(figure.get_figheight() + more / 72)  # type: ignore[union-attr] # the same

    def points(self, size: float = 1.0) -> Transform:
        """Transform from points (or letter sizes) relative to the upper left corner to the screen."""
        corner = ScaledTranslation(0, 1, self.ax.transAxes)  # type: ignore[arg-type] # any transform will do
        return Affine2D().scale(size / 72) + self.ax.figure.dpi_scale_trans + corner

    def above(self) -> Transform:
        """Transform from shares of the axes' width, and points above their lower edge, to the screen."""
        corner = ScaledTranslation(0, 0, self.ax.transAxes)  # type: ignore[arg-type] # the same
        rising = Affine2D().scale(1 / 72) + self.ax.figure.dpi_scale_trans + corner
        return blended_transform_factory(self.ax.transAxes, rising)


# --- written out -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _TextPiece:
    """A token, or a part of one that is too wide for a line, with its position in letter sizes."""

    number: int
    text: str
    left: float
    width: float
    line: int


class _WrappedText(Artist):
    """A text that is broken into lines when it is drawn, since the axes have no size before.

    Attributes:
        strips: The backgrounds, which hold the heat.
        texts: The letters, as last drawn.
        needed: Height of all lines with letters of the requested size, in points.
    """

    def __init__(
        self, page: _Page, view: MapView, tokens: Sequence[Word], colours: ScalarMappable, below: float
    ) -> None:
        super().__init__()
        self.page, self.heat, self.found, self.below = page, view.heat, tokens, below
        self.leftwards = runs_leftwards([word.text for word in tokens])
        self.strips = PolyCollection([], norm=colours.norm, cmap=colours.cmap, linewidths=0)
        self.strips.set_array(np.ma.masked_invalid(view.heat))
        self.texts: list[Text] = []
        self.needed, self.widths = 0.0, dict[tuple[float, str], float]()
        page.ax.add_artist(self)

    def get_children(self) -> list[Artist]:
        """The backgrounds and the letters."""
        return [self.strips, *self.texts]

    def get_window_extent(self, renderer: Any = None) -> Bbox:
        """The axes' own extent, since nothing is drawn outside."""
        return self.page.ax.get_window_extent(renderer)

    def draw(self, renderer: Any) -> None:
        """Break the text into lines and draw them."""
        if not self.get_visible():
            return
        size, pieces = self._fit(renderer)
        heat = self.heat[[each.number for each in pieces]]
        self.strips.set_verts([_corners(each) for each in pieces])
        self.strips.set_array(np.ma.masked_invalid(heat))
        colours = [_contrast_colour(each) for each in self.strips.to_rgba(heat)]
        self.texts = [self._create_letters(*pair, size) for pair in zip(pieces, colours, strict=True)]
        for child in self.get_children():
            child.set_figure(self.page.ax.figure)
            child.set_transform(self.page.points(size))
            child.draw(renderer)
        self.stale = False

    def _fit(self, renderer: Any) -> tuple[float, list[_TextPiece]]:
        """Letter size and lines: the requested size, or the largest that fits."""
        width, height = self.page.size()
        height = max(height - self.below, _SIZE)
        font = Text(0, 0, "", **{"fontsize": _SIZE, **self.page.text_kws}).get_fontproperties()

        def wrapped(size: float) -> list[_TextPiece]:
            font.set_size(size)
            lines = _wrap(self.found, partial(self._text_width, renderer, font), width / size)
            mirrored = [replace(each, left=width / size - each.left - each.width) for each in lines]
            return mirrored if self.leftwards else lines

        size = font.get_size_in_points()
        pieces = wrapped(size)
        height_of_lines = self.needed = _LINE * size * (pieces[-1].line + 1)
        while height_of_lines > height:
            size *= min(
                0.95, (height / height_of_lines) ** 0.5
            )  # lines hold more letters, too: half the size needs a quarter of the height
            pieces = wrapped(size)
            height_of_lines = _LINE * size * (pieces[-1].line + 1)
        return size, pieces

    def _text_width(self, renderer: Any, font: FontProperties, text: str) -> float:
        """Width of a text with its margins, in letter sizes."""
        size = renderer.points_to_pixels(font.get_size_in_points())
        if (size, text) not in self.widths:
            ink = renderer.get_text_width_height_descent(text, font, ismath=False)[0] / size
            least = _BLANK if text.isspace() else 0.0
            self.widths[size, text] = max(float(ink), least) + 2 * _SIDE
        return self.widths[size, text]

    def _create_letters(self, piece: _TextPiece, colour: str, size: float) -> Text:
        looks = {"color": colour, **self.page.text_kws, "fontsize": size}
        return Text(piece.left + _SIDE, _baseline(piece), piece.text, parse_math=False, **looks)


def _draw_inline(
    page: _Page, view: MapView, tokens: Sequence[Word], colours: ScalarMappable, *, colorbar: bool
) -> None:
    page.ax.set_axis_off()
    text = _WrappedText(page, view, tokens, colours, _BELOW if colorbar else 0.0)
    if colorbar:
        bottom = page.ax.inset_axes((0, _BAR[0], 0.25, _BAR[1]), transform=page.above())
        colour_bar(page.ax, text.strips, view, cax=bottom, orientation="horizontal")
        bottom.xaxis.label.set(horizontalalignment="left", verticalalignment="center")
        bottom.xaxis.set_label_coords(1.04, 0.5)
    page.grow(lambda: text.needed + text.below)


def _wrap(tokens: Sequence[Word], wide: Callable[[str], float], most: float) -> list[_TextPiece]:
    """Break tokens into lines, between words if possible, else within a word."""
    pieces: list[_TextPiece] = []
    left, line = 0.0, 0
    for run in _iterate_words(tokens):
        parts = [(number, text) for number in run for text in _halve(tokens[number].text, wide, most)]
        whole = sum(wide(text) for _, text in parts)
        for place, (number, text) in enumerate(parts):
            needed = whole if not place and whole <= most else wide(text)
            if left and left + needed > most:
                left, line = 0.0, line + 1
            pieces.append(_TextPiece(number, text, left, wide(text), line))
            left += wide(text)
        follows = run[-1] + 1 < len(tokens) and tokens[run[-1] + 1].glued
        left += 0.0 if follows else _SPACE
    return pieces


def _iterate_words(tokens: Sequence[Word]) -> Iterator[list[int]]:
    """Yield the indices of tokens that form a word."""
    run: list[int] = []
    for number, word in enumerate(tokens):
        if run and (not word.glued or tokens[run[-1]].text.isspace()):
            yield run
            run = []
        run.append(number)
    yield run


def _halve(text: str, wide: Callable[[str], float], most: float) -> list[str]:
    """Halve a text until each part fits a line."""
    if len(text) < 2 or wide(text) <= most:
        return [text]
    half = len(text) // 2
    return [*_halve(text[:half], wide, most), *_halve(text[half:], wide, most)]


def _baseline(piece: _TextPiece) -> float:
    return -(piece.line * _LINE + _UP + (_LINE - _UP - _DOWN) / 2)


def _corners(piece: _TextPiece) -> np.ndarray:
    low, high = _baseline(piece) - _DOWN, _baseline(piece) + _UP
    left, right = piece.left, piece.left + piece.width
    return np.array([[left, low], [right, low], [right, high], [left, high]])


def _contrast_colour(background: np.ndarray) -> str:
    """Black or white, whichever has more contrast (WCAG 2.2, relative luminance)."""
    red, green, blue, alpha = background
    blended = np.array([red, green, blue]) * alpha + 1 - alpha
    linear = np.where(blended <= 0.04045, blended / 12.92, ((blended + 0.055) / 1.055) ** 2.4)
    return "black" if linear @ [0.2126, 0.7152, 0.0722] > _READABLE else "white"


# --- bars ------------------------------------------------------------------------------------------


def _draw_bars(page: _Page, view: MapView, tokens: Sequence[Word], colours: ScalarMappable, *, colorbar: bool) -> None:  # noqa: ARG001 - the x-axis shows the scale
    ax, rows = page.ax, np.arange(len(tokens))
    ax.barh(rows, view.heat, color=colours.to_rgba(view.heat), edgecolor="0.35", linewidth=0.4)
    ax.set_ylim(len(tokens) - 0.5, -0.5)
    low, high = colours.get_clim()
    ax.set_xlim(low * _MARGIN, high * _MARGIN)
    ax.set_xlabel(view.meaning(), parse_math=False)
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_yticks(rows, [_shorten(word.text) for word in tokens], parse_math=False, **page.text_kws)
    ax.tick_params(axis="y", length=0)
    page.grow(lambda: 1.7 * _SIZE * len(tokens))
    row = page.size()[1] / len(tokens)
    for label in ax.get_yticklabels():
        label.set_fontsize(min(label.get_fontsize(), 0.8 * row))


def _shorten(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


_STYLES: dict[str, Callable[..., None]] = {"inline": _draw_inline, "bar": _draw_bars}
