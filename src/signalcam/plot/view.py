"""What the figures share: the map to draw, its colours, and the words around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from signalcam.layout import DUMMY

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable

    from signalcam.explanation import Explanation

LIGHT_TO_DARK = "Oranges"  # light where it does not matter, so that a black line stays legible
DARK_TO_LIGHT = "inferno"  # over pictures, with the opacity following the map
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


def extent(exp: Explanation, dim: str, length: int) -> tuple[float, float]:
    """The outer edges of an axis' cells, in its units."""
    step = (
        1 / exp.layout.sampling_rate if exp.layout.unit(dim) and exp.layout.sampling_rate else 1.0
    )
    return -step / 2, (length - 0.5) * step


def new_axes(width: float, height: float) -> Axes:
    """Axes in a figure of their own, of which pyplot knows nothing."""
    axes: Axes = Figure(figsize=(width, height), layout="constrained").add_subplot()
    return axes


def colour_bar(ax: Axes, artist: ScalarMappable, view: View) -> None:
    """Add the one colour bar and say what it shows."""
    figure = ax.get_figure()
    if figure is None:
        return
    bar = figure.colorbar(artist, ax=ax, pad=0.02, fraction=0.05)
    bar.set_label(view.meaning())
    bar.formatter = ScalarFormatter()
    bar.formatter.set_powerlimits((-2, 3))
    bar.outline.set_linewidth(0.5)
