"""Here you find what all figures use: the map with its texts, colour scales, axes and ticks."""

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

LIGHT_TO_DARK = "Oranges"  # light at 0, so that a black line stays visible
DARK_TO_LIGHT = "inferno"  # over pictures, with an opacity that follows the map
_TICKS = 8  # the usual maximum on an axis
_GROWN = 3  # an axis whose last step is more times longer than its first has ticks at powers of ten
MISSING_COLOUR = "0.72"  # grey for missing values, which is in none of our colour maps
DIVERGING = "RdBu_r"  # symmetric about zero: red is evidence for the target, blue against it
_LONG = 600  # s: longer times are written as hours, minutes and seconds
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
_BINS = 1000  # of a line; the minimum and maximum of each are drawn
NORMS = ("shared", "own")


@dataclass(frozen=True)
class MapView:
    """One map with its input, and the texts about it."""

    exp: Explanation
    heat: np.ndarray
    signed: bool

    @classmethod
    def of(cls, exp: Explanation, sample: int, target: Any, method: Any, layer: Any) -> MapView:
        """Select one sample, target, method and layer; the first by default."""
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
        """The colour map; by default light to dark, or diverging for signed maps.

        Missing values are grey, unless the colour map has a colour for them.
        """
        choice = cmap or (DIVERGING if self.signed else LIGHT_TO_DARK)
        colour_map = choice if isinstance(choice, Colormap) else _colour_map(choice)
        return colour_map if colour_map.get_bad()[3] else colour_map.with_extremes(bad=MISSING_COLOUR)

    def missing_text(self, how: str = "is grey") -> str:
        """Share of missing values of the map, and how they are drawn; empty without any."""
        missing = float((~np.isfinite(self.heat)).mean())
        return f"{100 * missing:.3g} % of the map is no number and {how}" if missing else ""

    def move_axes(self, names: tuple[str, ...]) -> tuple[np.ndarray, tuple[str, ...]]:
        """The input of the sample with these axes last; dummy axes are dropped."""
        dims = self.exp.layout.dims[1:]
        x = self.exp.input[0]
        empty = tuple(i for i, dim in enumerate(dims) if dim in DUMMY and x.shape[i] == 1)
        real_dims = [dim for i, dim in enumerate(dims) if i not in empty]
        rest = [dim for dim in real_dims if dim not in names]
        order = [real_dims.index(dim) for dim in (*rest, *names)]
        return x.squeeze(empty).transpose(order), (*rest, *names)

    def title(self, *notes: str) -> str:
        """The title: facts about the sample, the map's name, its scores, and notes."""
        scores = "" if self.exp.metrics is None else summary_line(self.exp.metrics)
        return "\n".join(filter(None, [self.facts(), self.which(), scores, *notes]))

    def facts(self) -> str:
        """The sample's name, its true class, the predicted one and its probability."""
        exp = self.exp
        name = exp.sample_names[0]
        facts = [str(name)] if isinstance(name, str) else []
        if exp.true_classes is not None:
            facts.append(f"true: {exp.class_name(int(exp.true_classes[0]))}")
        if exp.classes is not None and exp.probabilities is not None:
            index = int(exp.classes[0])
            confidence = float(exp.probabilities[0, index])
            answer = f"{exp.class_name(index)} ({percent(confidence)})"
            facts.append(f"predicted: {answer if np.isfinite(confidence) else 'no number'}")
        return " · ".join(facts)

    def which(self, but: str = "") -> str:
        """The map's name: method, layer and target, without one of them."""
        words = {
            "method": self.exp.methods[0],
            "layer": f"at {self.exp.layer_names[0]},",
            "target": f"for {self.question()}",
        }
        return " ".join(word for axis, word in words.items() if axis != but).strip(",")

    def question(self) -> str:
        """Name of the explained class; the target's name if it is no class, or differs between samples."""
        first, *others = set(self.exp.target_classes[:, 0].tolist())
        return self.exp.targets[0] if others or first < 0 else self.exp.class_name(first)

    def meaning(self, among: str = "", norm: str = "shared") -> str:
        """The label of the colour bar.

        Args:
            among: What shares the scale, such as ``"channels"``; empty for a single map.
            norm: ``"shared"``, or ``"own"`` if each of these was divided by its own largest magnitude.
        """
        kind = "evidence against / for" if self.signed else "evidence for"
        text = f"{kind} {'each target' if among == 'targets' else self.question()}"
        if among and norm == "own":
            return f"{text}\nas a share of each {among[:-1]}'s largest"
        scale = self.exp.provenance.get("normalized")
        unit = f"scaled: {scale}" if scale else self.exp.provenance.get("score", "").partition(";")[0]
        text = f"{text} ({unit})" if unit else text
        return f"{text}\none scale for all {among}" if among else text


def one_sample(exp: Explanation, sample: Any) -> Explanation:
    """Select a sample by its index."""
    if not isinstance(sample, Integral) or isinstance(sample, bool):
        message = f"sample is {sample!r}; a figure shows one sample, by its number from 0. For one by name: exp.sel(sample=...).plot()."
        raise TargetError(message)
    return exp.isel(sample=int(sample))


def select_map(exp: Explanation, target: Any, method: Any, layer: Any) -> Explanation:
    """Select one target, method and layer by name; the first by default."""
    selection = {"target": target, "cam": method, "layer": layer}
    selected = exp.sel(**{axis: name for axis, name in selection.items() if name is not None})
    return selected.isel(target=0, cam=0, layer=0)


def percent(share: float) -> str:
    """Format a confidence in percent; values below 1 never round to 100 %."""
    text = f"{100 * share:.1f} %"
    return "> 99.9 %" if text == "100.0 %" else text


def axis_label(exp: Explanation, dim: str) -> str:
    """Name and unit of an axis."""
    unit = "h:m:s" if AxisScale.of(exp, dim).clock else exp.layout.unit(dim)
    return f"{dim} ({unit})" if unit else f"{dim} (samples)" if dim == "time" else dim


@dataclass(frozen=True)
class AxisScale:
    """Positions of the entries of an axis in a figure, and its ticks.

    Evenly spaced entries are drawn at their coordinates. Others (mel bands, a clock with gaps) are drawn
    with equal steps, and their ticks show the true coordinates.

    Attributes:
        start: Position of the first entry.
        step: Distance of entries; negative for descending coordinates.
        length: Number of entries.
        uneven: The true coordinates, if they are not evenly spaced.
        clock: Whether ticks are written as hours, minutes and seconds.
    """

    start: float
    step: float
    length: int
    uneven: np.ndarray | None = None
    clock: bool = False

    @classmethod
    def of(cls, exp: Explanation, dim: str) -> AxisScale:
        """Read the scale of one axis of a result."""
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
        """The position of each entry."""
        return self.start + self.step * np.arange(self.length)

    def label(self, axis: Any) -> None:
        """Set ticks at round true coordinates of an uneven axis, or at round times."""
        if self.clock:
            span = abs(self.step) * self.length
            step = next((each for each in _CLOCK if span <= _TICKS * each), _CLOCK[-1])
            axis.set_major_locator(MultipleLocator(step))
            axis.set_major_formatter(FuncFormatter(lambda seconds, _: clock(seconds)))
        if self.uneven is None:
            return
        order = np.argsort(self.uneven)
        rising, positions = self.uneven[order], order.astype(float)
        candidates = [(values, np.interp(values, rising, positions)) for values in _round_values(rising)]
        ticks = max((_space_out(*each, self.length / _TICKS) for each in candidates), key=len)
        axis.set_ticks([at for _, at in ticks], [f"{value:g}" for value, _ in ticks])


def _round_values(coordinates: np.ndarray) -> list[np.ndarray]:
    """Round numbers in the range of ascending coordinates; powers of ten (and 5 and 2 times them) if steps grow."""
    candidates = [np.asarray(MaxNLocator(_TICKS).tick_values(coordinates[0], coordinates[-1]))]
    steps = np.diff(coordinates)
    if coordinates[0] >= 0 and steps[-1] > _GROWN * steps[0]:
        tens = 10.0 ** np.arange(np.floor(np.log10(steps[0])), np.log10(coordinates[-1]) + 1)
        candidates.append(np.concatenate([[0.0], np.outer([1, 5, 2], tens).ravel()]))
    return [each[(each >= coordinates[0]) & (each <= coordinates[-1])] for each in candidates]


def _space_out(values: np.ndarray, positions: np.ndarray, least: float) -> list[tuple[float, float]]:
    """Keep the values, first ones first, whose positions are far enough from those already kept."""
    ticks: list[tuple[float, float]] = []
    for value, at in zip(values.tolist(), positions.tolist(), strict=True):
        if all(abs(at - other) >= least for _, other in ticks):
            ticks.append((value, at))
    return sorted(ticks)


def clock(seconds: float) -> str:
    """Format seconds as ``h:mm:ss``, with a decimal if needed."""
    tenths = round(abs(seconds) * 10)
    whole, rest = divmod(tenths, 10)
    sign, decimal = "-" if seconds < 0 and tenths else "", f".{rest}" if rest else ""
    return f"{sign}{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}{decimal}"


def check_finite(heat: np.ndarray, what: str) -> None:
    """Raise an ``InputError`` if no value is finite."""
    if not np.isfinite(heat).any():
        message = (
            f"{what} no finite value, so there is nothing to draw. Look at exp.maps, and at the warning of explain."
        )
        raise InputError(message)


def largest(values: np.ndarray) -> float:
    """The largest magnitude of finite values; 0 without any."""
    return float(np.abs(values[np.isfinite(values)]).max(initial=0))


def envelope(values: np.ndarray) -> np.ndarray:
    """Indices of the minimum and maximum of each bin of a long line, in ascending order.

    A bin is no wider than a pixel, so that the line looks as with all values.
    """
    size = -(-len(values) // _BINS)
    if size <= 2:
        return np.arange(len(values))
    short = -len(values) % size
    rows = np.pad(values.astype(float), (0, short), mode="edge").reshape(-1, size)
    ends = [
        np.where(np.isnan(rows), np.inf, rows).argmin(axis=1),
        np.where(np.isnan(rows), -np.inf, rows).argmax(axis=1),
    ]
    indices = np.arange(len(rows))[:, None] * size + np.stack(ends, axis=1)
    return np.unique(np.append(np.minimum(indices, len(values) - 1), [0, len(values) - 1]))


def _colour_map(name: Any) -> Colormap:
    """Return the colour map of a name."""
    if isinstance(name, str) and name in colormaps:
        return colormaps[name]
    message = f"cmap is {name!r}, and matplotlib has no such colour map.{nearest(str(name), colormaps)} Give a name, such as 'viridis', or a Colormap."
    raise MethodError(message)


def check_choice(value: Any, options: Sequence[str], what: str) -> Any:
    """Return a value that is one of the options, or raise a ``MethodError`` that lists them."""
    if value not in options:
        message = f"there is no {what} {value!r}.{nearest(str(value), options)} Choose {', '.join(map(repr, options))}."
        raise MethodError(message)
    return value


def axes_for(ax: Axes | None, fig: Figure | SubFigure | None, width: float, height: float) -> Axes:
    """Return ``ax``, or new axes in ``fig``, or in a new figure that pyplot does not manage."""
    if ax is not None and fig is not None:
        message = "both ax= and fig= were given. Give the one to draw in."
        raise LayoutError(message)
    if ax is not None:
        axes_of_user: Axes = check_drawing_target(Axes, ax, "ax")
        return axes_of_user
    page = (
        Figure(figsize=(width, height), layout="constrained")
        if fig is None
        else check_drawing_target(FigureBase, fig, "fig")
    )
    axes: Axes = page.add_subplot()
    return axes


def check_drawing_target(kind: type[Any], target: Any, what: str) -> Any:
    """Return an object of this kind, or raise a ``LayoutError``."""
    if not isinstance(target, kind):
        message = f"{what}= is of type {type(target).__name__}; give axes of matplotlib as ax=, or a figure or subfigure as fig=."
        raise LayoutError(message)
    return target


def colour_bar(
    ax: Axes | Sequence[Axes],
    artist: ScalarMappable,
    view: MapView,
    among: str = "",
    norm: str = "shared",
    **where: Any,
) -> Colorbar:
    """Add the colour bar with its label; see ``MapView.meaning``."""
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
