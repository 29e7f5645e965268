"""What the figures share: the map to draw, its colours, and the words around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from signalcam.layout import DUMMY

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable

    from signalcam.explanation import Explanation

LIGHT_TO_DARK = "Oranges"  # light where it does not matter, so that a black line stays legible
DARK_TO_LIGHT = "inferno"  # over pictures, with the opacity following the map
_TICKS = 8  # at most about so many on an axis
_GROWN = 3  # times the first step: an axis whose last step is longer has ticks at powers of ten
DIVERGING = "RdBu_r"  # balanced about zero: red speaks for the target, blue against it


@dataclass(frozen=True)
class View:
    """One map, the input it belongs to, and what to say about it."""

    exp: Explanation
    heat: np.ndarray
    signed: bool

    @classmethod
    def of(cls, exp: Explanation, sample: int, target: Any, method: Any, layer: Any) -> View:
        """Take one sample, and the first of whatever is not named."""
        one = exp.isel(sample=sample, target=0 if target is None else slice(None))
        named = {"target": target, "method": method, "layer": layer}
        one = one.sel(**{axis: name for axis, name in named.items() if name is not None})
        one = one.isel(target=0, method=0, layer=0)
        heat = one.maps.values[0, 0, 0, 0]
        return cls(one, heat, bool((heat < 0).any()) or exp.provenance.get("signed") == "True")

    def scale(self, vmin: float | None, vmax: float | None) -> Normalize:
        """The colour scale: 0 to the map's maximum, or symmetric about 0."""
        finite = self.heat[np.isfinite(self.heat)]
        top = float(np.abs(finite).max(initial=0)) or 1.0
        low = -top if self.signed else 0.0
        return Normalize(low if vmin is None else vmin, top if vmax is None else vmax)

    def moved(self, names: tuple[str, ...]) -> tuple[np.ndarray, tuple[str, ...]]:
        """The input of the sample, the axes named last; axes without meaning are dropped."""
        dims = self.exp.layout.dims[1:]
        x = self.exp.input[0]
        empty = tuple(i for i, dim in enumerate(dims) if dim in DUMMY and x.shape[i] == 1)
        kept = [dim for i, dim in enumerate(dims) if i not in empty]
        rest = [dim for dim in kept if dim not in names]
        order = [kept.index(dim) for dim in (*rest, *names)]
        return x.squeeze(empty).transpose(order), (*rest, *names)

    def title(self) -> str:
        """Who was right, how sure the model was, and which map this is."""
        exp, lines = self.exp, []
        name = exp.sample_names[0]
        said = [str(name)] if isinstance(name, str) else []
        if exp.true_classes is not None:
            said.append(f"true: {exp.class_name(int(exp.true_classes[0]))}")
        if exp.classes is not None and exp.probabilities is not None:
            index = int(exp.classes[0])
            sure = percent(float(exp.probabilities[0, index]))
            said.append(f"predicted: {exp.class_name(index)} ({sure})")
        lines += [" · ".join(said)] if said else []
        lines.append(f"{exp.methods[0]} at {exp.layer_names[0]}, for {self.question()}")
        return "\n".join(lines)

    def question(self) -> str:
        """The class explained, by name, or the target's own name."""
        index = int(self.exp.target_classes[0, 0])
        return self.exp.targets[0] if index < 0 else self.exp.class_name(index)

    def meaning(self) -> str:
        """What the colours say, for the colour bar."""
        scale = self.exp.provenance.get("normalized")
        kind = "evidence against / for" if self.signed else "evidence for"
        unit = (
            f"scaled: {scale}" if scale else self.exp.provenance.get("score", "").partition(";")[0]
        )
        return f"{kind} {self.question()} ({unit})" if unit else f"{kind} {self.question()}"


def percent(share: float) -> str:
    """A confidence in percent that never claims certainty: rounding made the 1."""
    text = f"{100 * share:.1f} %"
    return "> 99.9 %" if text == "100.0 %" else text


def axis_label(exp: Explanation, dim: str) -> str:
    """An axis' name and unit."""
    unit = exp.layout.unit(dim)
    return f"{dim} ({unit})" if unit else f"{dim} (samples)" if dim == "time" else dim


@dataclass(frozen=True)
class Ruler:
    """Where the entries of an axis are drawn, and what its ticks say.

    Entries that are evenly spaced are drawn at their places. Others (mel bands, a clock that skips) are
    drawn side by side, each as wide as the next, and the ticks say where they truly lie.

    Attributes:
        start: Where the first entry is drawn.
        step: From each to the next; negative where the places fall.
        length: How many entries.
        uneven: Their true places, where those are not evenly spaced.
    """

    start: float
    step: float
    length: int
    uneven: np.ndarray | None = None

    @classmethod
    def of(cls, exp: Explanation, dim: str) -> Ruler:
        """Read one axis of a result."""
        length = exp.input.shape[exp.layout.dims.index(dim)]
        line = exp.layout.line(dim, length)
        if line is None:
            return cls(0.0, 1.0, length, exp.layout.coordinate(dim, np.arange(length)))
        return cls(*line, length)

    @property
    def edges(self) -> tuple[float, float]:
        """The outer edges of the first and the last entry."""
        return self.start - self.step / 2, self.start + (self.length - 0.5) * self.step

    @property
    def centres(self) -> np.ndarray:
        """Where each entry is drawn."""
        return self.start + self.step * np.arange(self.length)

    def label(self, axis: Any) -> None:
        """Put ticks at round true values on an axis whose entries are drawn side by side."""
        if self.uneven is None:
            return
        order = np.argsort(self.uneven)
        rising, places = self.uneven[order], order.astype(float)
        tries = [(values, np.interp(values, rising, places)) for values in _round_values(rising)]  # fmt: skip
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


def new_axes(width: float, height: float) -> Axes:
    """Axes in a figure of their own, of which pyplot knows nothing."""
    axes: Axes = Figure(figsize=(width, height), layout="constrained").add_subplot()
    return axes


def colour_bar(ax: Axes, artist: ScalarMappable, view: View, **where: Any) -> None:
    """Add the one colour bar, right of the axes or ``where`` they say, and say what it shows."""
    figure = ax.get_figure()
    if figure is None:
        return
    bar = figure.colorbar(artist, **(where or {"ax": ax, "pad": 0.02, "fraction": 0.05}))
    bar.set_label(view.meaning(), parse_math=False)
    bar.formatter = ScalarFormatter()
    bar.formatter.set_powerlimits((-2, 3))
    bar.outline.set_linewidth(0.5)
