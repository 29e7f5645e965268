"""Here you find the figure of an electrocardiogram on its paper, true to scale."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from matplotlib.cbook import normalize_kwargs
from matplotlib.collections import LineCollection
from matplotlib.colors import Colormap, ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from signalcam.errors import LayoutError
from signalcam.plot.map_view import MapView, axes_for, check_choice, colour_bar, envelope
from signalcam.plot.signal import SignalDisplay, center_lines, strongest

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar
    from matplotlib.figure import SubFigure
    from matplotlib.image import AxesImage

    from signalcam.results.explanation import Explanation

LAYOUTS = ("3x4+1", "12x1")
LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
_MILLIVOLT = {
    "mv": 1.0,
    "v": 1e3,
    "uv": 1e-3,
    "µv": 1e-3,
    "μv": 1e-3,
}  # both letters that look like mu
_INCH = 25.4  # mm
_LEFT, _RIGHT, _TOP, _FOOT = 4.0, 32.0, 13.0, 13.0  # mm around the paper
_PULSE = 0.2  # s: width of the calibration pulse of 1 mV before each trace
_LEAST = 120.0  # mm: the least width of paper, so that the title fits
_LONGEST = 60.0  # s on one page
_OPACITY = 0.7  # of the strongest heat, so that the grid stays visible
_SMALL, _LARGE = ("#f3b7b0", 0.3), ("#e58a80", 0.6)  # colour and width of the grid's lines
_ROWS = (20.0, 30.0)  # mm: rows have the second height if half of the leads exceed the first
_SQUARE = 5  # mm: rows and margins are whole large squares


@dataclass
class EcgDisplay:
    """A sample's leads in clinical order; ``plot`` draws them on paper.

    Args:
        view: The map and its texts.
        lines: ``(lead, time)`` in mV, each around its median.
        heat: Its importance, of that shape.
        names: Names of the leads, as in the layout.
        rate: Samples per second.
        start: Seconds at the first sample.
        shared: Whether all leads have one heat.
        norm: ``"own"`` if each lead's heat was divided by its largest magnitude.

    Attributes:
        line_: The traces, in the order drawn.
        strip_: The image of the heat.
        grid_: The paper's small and large squares.
        bar_: The colour bar, or ``None``.
        ax_: The axes, in millimetres.
        figure_: The figure of ``ax_``.
    """

    view: MapView
    lines: np.ndarray
    heat: np.ndarray
    names: list[str]
    rate: float
    start: float
    shared: bool
    norm: str = "shared"
    line_: list[Line2D] = field(init=False, default_factory=list)
    strip_: AxesImage = field(init=False)
    grid_: list[LineCollection] = field(init=False, default_factory=list)
    bar_: Colorbar | None = field(init=False, default=None)
    ax_: Axes = field(init=False)
    figure_: Figure | SubFigure = field(init=False)

    @classmethod
    def from_explanation(cls, exp: Explanation, sample: int = 0, **which: Any) -> Self:
        """Build the display of one sample's map; see ``Plotter.ecg``."""
        millivolt = _millivolt(exp)
        line = exp.layout.line("time", exp.input.shape[exp.layout.dims.index("time")])
        if exp.layout.unit("time") != "s" or line is None:
            message = "the paper's speed is in mm/s, but the samples have no steady sampling rate. Explain with layout=Layout(..., sampling_rate=500), say."
            raise LayoutError(message)
        signal = SignalDisplay.from_explanation(exp, sample, **which)
        order = _clinical_order(signal.names)
        names = [signal.names[i] for i in order]
        lines = center_lines(signal.lines[order]) * millivolt
        heat = np.broadcast_to(signal.heat, signal.lines.shape)[order]
        return cls(
            signal.view,
            lines,
            heat,
            names,
            1 / line[1],
            line[0],
            len(signal.heat) == 1,
            signal.norm,
        )

    def plot(  # noqa: PLR0913 - the options of a figure
        self,
        ax: Axes | None = None,
        *,
        fig: Figure | SubFigure | None = None,
        layout: str | None = None,
        speed: float = 25.0,
        gain: float = 10.0,
        cmap: Any = None,
        vmin: float | None = None,
        vmax: float | None = None,
        colorbar: bool = True,
        line_kws: dict[str, Any] | None = None,
        strip_kws: dict[str, Any] | None = None,
    ) -> Self:
        """Draw; see ``Plotter.ecg`` for the options."""
        page = Page.of(self, layout, speed, gain)
        own_figure = ax is None and fig is None
        self.ax_ = ax = page.axes() if own_figure else axes_for(ax, fig, 0, 0)
        ax.set_aspect("auto" if own_figure else "equal")  # axes of its own have the size of the paper
        self.figure_ = ax.figure
        self.grid_ = page.grid()
        for squares in self.grid_:
            ax.add_collection(squares, autolim=False)
        self._draw_heat(page, cmap, vmin, vmax, strip_kws or {})
        for lead, row, first, stop in page.pieces:
            self._draw_trace(page, self.lines[lead, first:stop], row, first, line_kws or {})
            self._write_name(page, self.names[lead], row, first)
        for row in range(page.rows):
            pulse = 1 - page.left + np.array([0, 1, 1, 1, 1, 2]) + np.array([0, 0, 0, 1, 1, 1]) * _PULSE * speed
            ax.plot(
                pulse,
                page.middle(row) + gain * np.array([0, 0, 1, 1, 0, 0]),
                color="black",
                linewidth=0.8,
            )
        self._write_labels(page)
        if colorbar:
            place = {"cax": page.colour_bar_axes(ax)} if own_figure else {}
            self.bar_ = colour_bar(ax, self.strip_, self.view, "" if self.shared else "leads", self.norm, **place)
            self.bar_.ax.yaxis.label.set_fontsize("small")  # so that it fits a page of one row
        return self

    def _draw_heat(
        self, page: Page, cmap: Any, vmin: float | None, vmax: float | None, strip_kws: dict[str, Any]
    ) -> None:
        """Draw one image for the whole page, without gaps between leads or rows."""
        rows = np.full((page.rows, self.heat.shape[1]), np.nan)
        for lead, row, first, stop in page.pieces:
            rows[row, first:stop] = self.heat[lead, first:stop]
        transparent = see_through(self.view.colours(cmap), signed=self.view.signed)
        scale = MapView(self.view.exp, self.heat, self.view.signed).scale(vmin, vmax)
        heights = np.full(page.rows, page.row) + np.eye(page.rows)[0] * page.above + np.eye(page.rows)[-1] * page.below
        ends = np.array([-0.5, self.heat.shape[1] - 0.5]) * page.step
        options = {
            "cmap": transparent,
            "norm": scale,
            "extent": (*ends, 0, page.height),
            "aspect": self.ax_.get_aspect(),
            "interpolation": "nearest",
            "zorder": 1,
        }
        image = np.stack([strongest(each) for each in rows]).repeat((heights / _SQUARE).astype(int), axis=0)
        self.strip_ = self.ax_.imshow(image, **{**options, **strip_kws})

    def _write_name(self, page: Page, name: str, row: int, first: int) -> None:
        """Write the lead's name above the start of its trace, with a mark between leads."""
        x, y = page.x(first), page.middle(row)
        box = {"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 0.6}
        self.ax_.text(
            x + 1,
            y + page.row / 2 - 1,
            name,
            va="top",
            fontsize="small",
            fontweight="bold",
            parse_math=False,
            bbox=box,
            zorder=3,
        )
        if first:
            self.ax_.plot([x, x], [y - 3, y + 3], color="black", linewidth=0.8)

    def _draw_trace(self, page: Page, line: np.ndarray, row: int, first: int, line_kws: dict[str, Any]) -> None:
        indices = envelope(line)
        options = {
            "color": "black",
            "linewidth": 0.8,
            "zorder": 2,
            **normalize_kwargs(line_kws, Line2D),
        }
        self.line_ += self.ax_.plot(page.x(first + indices), page.middle(row) + line[indices] * page.gain, **options)

    def _write_labels(self, page: Page) -> None:
        ax = self.ax_
        ax.set_xlim(-page.left, page.width)
        ax.set_ylim(0, page.height)
        seconds = np.arange(np.ceil(self.start), self.start + self.lines.shape[1] / self.rate + 1e-9)
        ax.set_xticks((seconds - self.start) * page.speed, [f"{second:g}" for second in seconds])
        ax.set_yticks([])
        ax.set_xlabel(f"time (s) · {page.speed:g} mm/s · {page.gain:g} mm/mV")
        ax.set_title(self.view.title(self.view.missing_text()), fontsize="medium", loc="left", parse_math=False)
        for edge in ax.spines.values():
            edge.set_visible(False)


@dataclass(frozen=True)
class Page:
    """Positions on the paper, in mm from the start of the trace and the bottom of the paper.

    Attributes:
        pieces: Lead, row, first sample and stop of each trace.
        rows: Number of rows.
        row: Height of one.
        above: Extra paper above the first row, for large traces.
        below: Extra paper below the last row.
        step: Distance between samples.
        width: Width of the paper, from the start of the trace.
        speed: mm/s.
        gain: mm/mV.
    """

    pieces: list[tuple[int, int, int, int]]
    rows: int
    row: float
    above: float
    below: float
    step: float
    width: float
    speed: float
    gain: float

    @classmethod
    def of(cls, ecg: EcgDisplay, layout: str | None, speed: float, gain: float) -> Page:
        """Lay the leads out."""
        for what, value in (("speed", speed), ("gain", gain)):
            if not value > 0:
                message = (
                    f"{what} is {value!r}; give millimetres above 0: speed=25 a second and gain=10 a mV are usual."
                )
                raise LayoutError(message)
        count, length = ecg.lines.shape
        if length / ecg.rate > _LONGEST:
            message = f"{length / ecg.rate:.0f} s need {length / ecg.rate * speed / 1000:.1f} m of paper; a page holds {_LONGEST:g} s. Select an interval first: exp.between(0, 10).plot.ecg()."
            raise LayoutError(message)
        pieces = _lay_out_leads(ecg, check_choice(layout or LAYOUTS[count < len(LEADS)], LAYOUTS, "ECG layout"))
        highs, lows = (np.nanmax(sign * ecg.lines, axis=1, initial=0) * gain for sign in (1, -1))
        rows, row = pieces[-1][1] + 1, _ROWS[bool(np.median(highs + lows) > _ROWS[0])]
        above = max(highs[lead] for lead, place, *_ in pieces if place == 0) - row / 2
        below = max(lows[lead] for lead, place, *_ in pieces if place == rows - 1) - row / 2
        width = max(_round_up(length / ecg.rate * speed), _LEAST)
        return cls(
            pieces,
            rows,
            row,
            _round_up(above),
            _round_up(below),
            speed / ecg.rate,
            width,
            speed,
            gain,
        )

    @property
    def left(self) -> float:
        """Paper before the trace, for the calibration pulse."""
        return _round_up(_PULSE * self.speed + 4)

    @property
    def height(self) -> float:
        """Height of the paper."""
        return self.rows * self.row + self.above + self.below

    def x(self, sample: Any) -> Any:
        """Position of a sample."""
        return sample * self.step

    def middle(self, row: int) -> float:
        """Position of 0 mV in a row; the first row is on top."""
        return self.below + (self.rows - row - 0.5) * self.row

    def axes(self) -> Axes:
        """Create axes of exactly the paper's size, in their own figure."""
        paper = self.left + self.width, self.height
        size = _LEFT + paper[0] + _RIGHT, _FOOT + paper[1] + _TOP
        figure = Figure(figsize=(size[0] / _INCH, size[1] / _INCH))
        axes: Axes = figure.add_axes((_LEFT / size[0], _FOOT / size[1], paper[0] / size[0], paper[1] / size[1]))
        return axes

    def colour_bar_axes(self, ax: Axes) -> Axes:
        """Create axes for the colour bar, in the margin right of those of ``axes``."""
        paper = self.left + self.width, self.height
        bar: Axes = ax.inset_axes((1 + 4 / paper[0], 0, 3 / paper[0], min(1.0, 60 / paper[1])))
        return bar

    def grid(self) -> list[LineCollection]:
        """Lines at every millimetre, and stronger ones at every fifth."""
        return [self._lines(size, *look) for size, look in ((1, _SMALL), (_SQUARE, _LARGE))]

    def _lines(self, size: int, colour: str, width: float) -> LineCollection:
        upright = [[(x, 0), (x, self.height)] for x in np.arange(-self.left, self.width + 1e-9, size)]
        across = [[(-self.left, y), (self.width, y)] for y in np.arange(0, self.height + 1e-9, size)]
        return LineCollection([*upright, *across], colors=colour, linewidths=width, zorder=0)


def _round_up(length: float) -> float:
    """Round a length in mm up to whole large squares; 0 if it is negative."""
    return float(_SQUARE * max(np.ceil(length / _SQUARE), 0))


def see_through(colours: Colormap, *, signed: bool) -> Colormap:
    """Return a colour map whose opacity grows with the distance from zero."""
    table = colours(np.linspace(0, 1, 256))
    table[:, 3] = _OPACITY * np.abs(np.linspace(-1 if signed else 0, 1, 256))
    transparent = ListedColormap(table, f"{colours.name}, see-through")
    return transparent.with_extremes(bad=(*colours.get_bad()[:3], _OPACITY))


def _lay_out_leads(ecg: EcgDisplay, layout: str) -> list[tuple[int, int, int, int]]:
    """Lead, row, first sample and stop of each trace."""
    count, length = ecg.lines.shape
    if layout == "12x1":
        return [(lead, lead, 0, length) for lead in range(count)]
    if count < len(LEADS):
        present = {_plain_lead(name) for name in ecg.names}
        missing = ", ".join(lead for lead in LEADS if lead.upper() not in present)
        message = f"layout '3x4+1' needs all 12 leads, and {missing} are not here. Use layout='12x1', which draws those that are."
        raise LayoutError(message)
    cuts = [length * quarter // 4 for quarter in range(5)]
    short = [(lead, lead % 3, cuts[lead // 3], cuts[lead // 3 + 1]) for lead in range(len(LEADS))]
    return [*short, (LEADS.index("II"), 3, 0, length)]


def _millivolt(exp: Explanation) -> float:
    """Size of the layout's unit in mV."""
    layout = exp.layout
    units = (layout.units or "").lower()
    if not layout.channel_names:
        message = "the leads are unknown, because the channels have no names. Explain with layout=Layout(..., channel_names=['I', 'II', ...])."
        raise LayoutError(message)
    if "time" not in exp.dims:
        message = f"an ECG is drawn along time, and the maps have axes {', '.join(exp.dims)}. Name the axes: layout='batch channel time', say."
        raise LayoutError(message)
    if units not in _MILLIVOLT:
        reason = f"the signal's units are {layout.units!r}" if units else "the signal's units are not known"
        message = (
            f"{reason}; the paper's gain is in mm/mV. Explain with layout=Layout(..., units='mV'), or 'uV' or 'V'."
        )
        raise LayoutError(message)
    return _MILLIVOLT[units]


def _plain_lead(name: str) -> str:
    """Return a lead's plain name: ``lead_ii``, and ``MLII`` (the electrode moved to the chest), are ``II``."""
    plain = "".join(letter for letter in name.upper() if letter.isalnum())
    plain = plain.removeprefix("ECG").removeprefix("LEAD").removesuffix("LEAD")
    return plain.removeprefix("ML") if plain.startswith("MLI") else plain


def _clinical_order(names: list[str]) -> list[int]:
    """Indices of the channels in clinical order."""
    position = {lead.upper(): place for place, lead in enumerate(LEADS)}
    plain_names = [_plain_lead(name) for name in names]
    if strange := [name for name, plain in zip(names, plain_names, strict=True) if plain not in position]:
        message = f"{', '.join(strange)}: no such lead in an ECG; known are {', '.join(LEADS)}. Name the channels to draw with channels=[...], or use exp.plot.signal()."
        raise LayoutError(message)
    if twice := sorted({plain for plain in plain_names if plain_names.count(plain) > 1}):
        message = (
            f"several channels are lead {twice[0]}: {', '.join(names)}. Name the channels to draw with channels=[...]."
        )
        raise LayoutError(message)
    return sorted(range(len(names)), key=lambda index: position[plain_names[index]])
