"""What the figures share: the map to draw, its colours, and the words around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure, FigureBase
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator, ScalarFormatter

from signalcam.errors import InputError, LayoutError, MethodError, TargetError, nearest
from signalcam.inputs.layout import DUMMY
from signalcam.results.attached_scores import summary_line

if TYPE_CHECKING:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colorbar import Colorbar
    from matplotlib.figure import SubFigure

    from signalcam.results.explanation import Explanation

LIGHT_TO_DARK = "Oranges"  # light where it does not matter, so that a black line stays legible
DARK_TO_LIGHT = "inferno"  # over pictures, with the opacity following the map
_TICKS = 8  # at most about so many on an axis
_GROWN = 3  # times the first step: an axis whose last step is longer has ticks at powers of ten
GONE = "0.72"  # where a map holds no number: grey, which no colour map of ours has
DIVERGING = "RdBu_r"  # balanced about zero: red speaks for the target, blue against it
_LONG = 600  # s: beyond, time is told as hours, minutes and seconds
_CLOCK = (
    0.1,
    0.2,
    0.5,
    1,
    2,
    5,
    10,
    15,
    30,
    60,
    120,
    300,
    600,
    900,
    1800,
    3600,
    7200,
    10800,
    21600,
    43200,
    86400,
)  # s between ticks
_STRETCHES = 1000  # of a line: each is drawn by its least and its largest value
NORMS = ("shared", "own")


@dataclass(frozen=True)
class MapView:
    """One map, the input it belongs to, and what to say about it."""

    exp: Explanation
    heat: np.ndarray
    signed: bool

    @classmethod
    def of(cls, exp: Explanation, sample: int, target: Any, method: Any, layer: Any) -> MapView:
        """Take one sample, and the first of whatever is not named."""
        one = select_map(one_sample(exp, sample), target, method, layer)
        heat = one.maps.values[0, 0, 0, 0]
        check_finite(heat, f"the map of sample {one.sample_names[0]!r} holds")
        return cls(one, heat, bool((heat < 0).any()) or exp.provenance.get("signed") == "True")

    def scale(self, vmin: float | None, vmax: float | None) -> Normalize:
        """The colour scale: 0 to the map's maximum, or symmetric about 0."""
        top = largest(self.heat) or 1.0
        low = -top if self.signed else 0.0
        return Normalize(low if vmin is None else vmin, top if vmax is None else vmax)

    def colours(self, cmap: str | Colormap | None) -> Colormap:
        """The colour map asked for; else light to dark, or the diverging one where the map is signed.

        What is no number is grey, unless the colour map has a colour for it.
        """
        chosen = cmap or (DIVERGING if self.signed else LIGHT_TO_DARK)
        found = chosen if isinstance(chosen, Colormap) else _coloured(chosen)
        return found if found.get_bad()[3] else found.with_extremes(bad=GONE)

    def lost(self, shown: str = "is grey") -> str:
        """How much of the map is no number, and how that is shown; nothing where all is."""
        missing = float((~np.isfinite(self.heat)).mean())
        return f"{100 * missing:.3g} % of the map is no number and {shown}" if missing else ""

    def moved(self, names: tuple[str, ...]) -> tuple[np.ndarray, tuple[str, ...]]:
        """The input of the sample, the axes named last; axes without meaning are dropped."""
        dims = self.exp.layout.dims[1:]
        x = self.exp.input[0]
        empty = tuple(i for i, dim in enumerate(dims) if dim in DUMMY and x.shape[i] == 1)
        kept = [dim for i, dim in enumerate(dims) if i not in empty]
        rest = [dim for dim in kept if dim not in names]
        order = [kept.index(dim) for dim in (*rest, *names)]
        return x.squeeze(empty).transpose(order), (*rest, *names)

    def title(self, *notes: str) -> str:
        """Who was right, how sure the model was, which map this is, how far it can be trusted, and notes."""
        scored = "" if self.exp.metrics is None else summary_line(self.exp.metrics)
        return "\n".join(filter(None, [self.facts(), self.which(), scored, *notes]))

    def facts(self) -> str:
        """The sample's name, the true class, the predicted one and how sure the model was."""
        exp = self.exp
        name = exp.sample_names[0]
        said = [str(name)] if isinstance(name, str) else []
        if exp.true_classes is not None:
            said.append(f"true: {exp.class_name(int(exp.true_classes[0]))}")
        if exp.classes is not None and exp.probabilities is not None:
            index = int(exp.classes[0])
            sure = float(exp.probabilities[0, index])
            answer = f"{exp.class_name(index)} ({percent(sure)})"
            said.append(f"predicted: {answer if np.isfinite(sure) else 'no number'}")
        return " · ".join(said)

    def which(self, but: str = "") -> str:
        """Which map this is: method, layer and question, but for the one that is said elsewhere."""
        words = {
            "method": self.exp.methods[0],
            "layer": f"at {self.exp.layer_names[0]},",
            "target": f"for {self.question()}",
        }
        return " ".join(word for axis, word in words.items() if axis != but).strip(",")

    def question(self) -> str:
        """The class explained, by name; the target's own name where it is none, or not the same for all samples."""
        first, *others = set(self.exp.target_classes[:, 0].tolist())
        return self.exp.targets[0] if others or first < 0 else self.exp.class_name(first)

    def meaning(self, among: str = "", norm: str = "shared") -> str:
        """What the colours say, for the colour bar.

        Args:
            among: What shares the scale, such as ``"channels"``; nothing where that is plain.
            norm: ``"shared"``, or ``"own"`` where each of them was divided by its own largest magnitude.
        """
        kind = "evidence against / for" if self.signed else "evidence for"
        said = f"{kind} {'each target' if among == 'targets' else self.question()}"
        if among and norm == "own":
            return f"{said}\nas a share of each {among[:-1]}'s largest"
        scale = self.exp.provenance.get("normalized")
        unit = f"scaled: {scale}" if scale else self.exp.provenance.get("score", "").partition(";")[0]
        said = f"{said} ({unit})" if unit else said
        return f"{said}\none scale for all {among}" if among else said


def one_sample(exp: Explanation, sample: Any) -> Explanation:
    """The sample of that number."""
    if not isinstance(sample, Integral) or isinstance(sample, bool):
        message = f"sample is {sample!r}; a figure shows one sample, by its number from 0. For one by name: exp.sel(sample=...).plot()."
        raise TargetError(message)
    return exp.isel(sample=int(sample))


def select_map(exp: Explanation, target: Any, method: Any, layer: Any) -> Explanation:
    """One target, method and layer: those named, the first of whatever is not."""
    named = {"target": target, "cam": method, "layer": layer}
    some = exp.sel(**{axis: name for axis, name in named.items() if name is not None})
    return some.isel(target=0, cam=0, layer=0)


def percent(share: float) -> str:
    """A confidence in percent that never claims certainty: rounding made the 1."""
    text = f"{100 * share:.1f} %"
    return "> 99.9 %" if text == "100.0 %" else text


def axis_label(exp: Explanation, dim: str) -> str:
    """An axis' name and unit."""
    unit = "h:m:s" if AxisScale.of(exp, dim).clock else exp.layout.unit(dim)
    return f"{dim} ({unit})" if unit else f"{dim} (samples)" if dim == "time" else dim


@dataclass(frozen=True)
class AxisScale:
    """Where the entries of an axis are drawn, and what its ticks say.

    Entries that are evenly spaced are drawn at their places. Others (mel bands, a clock that skips) are
    drawn side by side, each as wide as the next, and the ticks say where they truly lie.

    Attributes:
        start: Where the first entry is drawn.
        step: From each to the next; negative where the places fall.
        length: How many entries.
        uneven: Their true places, where those are not evenly spaced.
        clock: Whether the places are seconds of a time so long that hours and minutes are told.
    """

    start: float
    step: float
    length: int
    uneven: np.ndarray | None = None
    clock: bool = False

    @classmethod
    def of(cls, exp: Explanation, dim: str) -> AxisScale:
        """Read one axis of a result."""
        length = exp.input.shape[exp.layout.dims.index(dim)]
        line = exp.layout.line(dim, length)
        if line is None:
            return cls(0.0, 1.0, length, exp.layout.coordinate(dim, np.arange(length)))
        last = line[0] + line[1] * length
        return cls(*line, length, clock=dim == "time" and exp.layout.unit(dim) == "s" and last > _LONG)

    @property
    def edges(self) -> tuple[float, float]:
        """The outer edges of the first and the last entry."""
        return self.start - self.step / 2, self.start + (self.length - 0.5) * self.step

    @property
    def centres(self) -> np.ndarray:
        """Where each entry is drawn."""
        return self.start + self.step * np.arange(self.length)

    def label(self, axis: Any) -> None:
        """Put ticks at round true values on an axis whose entries are drawn side by side, or at full minutes."""
        if self.clock:
            span = abs(self.step) * self.length
            step = next((each for each in _CLOCK if span <= _TICKS * each), _CLOCK[-1])
            axis.set_major_locator(MultipleLocator(step))
            axis.set_major_formatter(FuncFormatter(lambda seconds, _: clock(seconds)))
        if self.uneven is None:
            return
        order = np.argsort(self.uneven)
        rising, places = self.uneven[order], order.astype(float)
        tries = [(values, np.interp(values, rising, places)) for values in _round_values(rising)]
        ticks = max((_apart(*each, self.length / _TICKS) for each in tries), key=len)
        axis.set_ticks([at for _, at in ticks], [f"{value:g}" for value, _ in ticks])


def _round_values(places: np.ndarray) -> list[np.ndarray]:
    """Round numbers among rising ones: those of a line; where steps grow, 1, 10, 100, ..., and 5 and 2 times them."""
    found = [np.asarray(MaxNLocator(_TICKS).tick_values(places[0], places[-1]))]
    steps = np.diff(places)
    if places[0] >= 0 and steps[-1] > _GROWN * steps[0]:
        tens = 10.0 ** np.arange(np.floor(np.log10(steps[0])), np.log10(places[-1]) + 1)
        found.append(np.concatenate([[0.0], np.outer([1, 5, 2], tens).ravel()]))
    return [each[(each >= places[0]) & (each <= places[-1])] for each in found]


def _apart(values: np.ndarray, places: np.ndarray, least: float) -> list[tuple[float, float]]:
    """Keep the values, the first ones first, that are drawn far enough from those kept before."""
    kept: list[tuple[float, float]] = []
    for value, at in zip(values.tolist(), places.tolist(), strict=True):
        if all(abs(at - other) >= least for _, other in kept):
            kept.append((value, at))
    return sorted(kept)


def clock(seconds: float) -> str:
    """Seconds as ``h:mm:ss``, with a decimal where there is one."""
    tenths = round(abs(seconds) * 10)
    whole, rest = divmod(tenths, 10)
    sign, decimal = "-" if seconds < 0 and tenths else "", f".{rest}" if rest else ""
    return f"{sign}{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}{decimal}"


def check_finite(heat: np.ndarray, what: str) -> None:
    """Raise where nothing can be drawn."""
    if not np.isfinite(heat).any():
        message = f"{what} no finite value, so there is nothing to draw. Look at exp.maps, and at the warning given when it was made."
        raise InputError(message)


def largest(values: np.ndarray) -> float:
    """The largest magnitude among what is finite; 0 where nothing is."""
    return float(np.abs(values[np.isfinite(values)]).max(initial=0))


def envelope(values: np.ndarray) -> np.ndarray:
    """Which values of a long line to draw: the least and the largest of each short stretch, in order.

    A stretch is no wider than a pixel, so the line looks as it would with all of them.
    """
    size = -(-len(values) // _STRETCHES)
    if size <= 2:
        return np.arange(len(values))
    short = -len(values) % size
    rows = np.pad(values.astype(float), (0, short), mode="edge").reshape(-1, size)
    ends = [
        np.where(np.isnan(rows), np.inf, rows).argmin(axis=1),
        np.where(np.isnan(rows), -np.inf, rows).argmax(axis=1),
    ]
    places = np.arange(len(rows))[:, None] * size + np.stack(ends, axis=1)
    return np.unique(np.append(np.minimum(places, len(values) - 1), [0, len(values) - 1]))


def _coloured(name: Any) -> Colormap:
    """The colour map of that name."""
    if isinstance(name, str) and name in colormaps:
        return colormaps[name]
    message = f"cmap is {name!r}, and matplotlib has no such colour map.{nearest(str(name), colormaps)} Give a name, such as 'viridis', or a Colormap."
    raise MethodError(message)


def check_choice(value: Any, known: Sequence[str], what: str) -> Any:
    """One of the known words, or an error that lists them."""
    if value not in known:
        message = f"there is no {what} {value!r}.{nearest(str(value), known)} Choose {', '.join(map(repr, known))}."
        raise MethodError(message)
    return value


def axes_for(ax: Axes | None, fig: Figure | SubFigure | None, width: float, height: float) -> Axes:
    """The axes given, axes in the figure given, or axes in a figure of which pyplot knows nothing."""
    if ax is not None and fig is not None:
        message = "both ax= and fig= were given. Give the one to draw in."
        raise LayoutError(message)
    if ax is not None:
        given: Axes = check_drawing_target(Axes, ax, "ax")
        return given
    page = (
        Figure(figsize=(width, height), layout="constrained")
        if fig is None
        else check_drawing_target(FigureBase, fig, "fig")
    )
    axes: Axes = page.add_subplot()
    return axes


def check_drawing_target(kind: type[Any], given: Any, what: str) -> Any:
    """What was given to draw in, which must be of its kind."""
    if not isinstance(given, kind):
        message = f"{what}= is of type {type(given).__name__}; give axes of matplotlib as ax=, or a figure or subfigure as fig=."
        raise LayoutError(message)
    return given


def colour_bar(
    ax: Axes | Sequence[Axes],
    artist: ScalarMappable,
    view: MapView,
    among: str = "",
    norm: str = "shared",
    **where: Any,
) -> Colorbar:
    """Add the one colour bar and say what it shows; see ``View.meaning``."""
    first = ax[0] if isinstance(ax, Sequence) else ax
    figure = first.figure
    bar = figure.colorbar(
        artist,
        **({"pad": 0.02, "fraction": 0.05} | where | ({} if "cax" in where else {"ax": where.get("ax", ax)})),
    )
    bar.set_label(view.meaning(among, norm), parse_math=False)
    bar.ax.yaxis.set_offset_position("left")  # so that a power of ten begins at the bar, clear of the figure
    bar.formatter = ScalarFormatter()
    bar.formatter.set_powerlimits((-2, 3))
    bar.outline.set_linewidth(0.5)
    return bar
