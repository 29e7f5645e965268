"""Here you find the comparison figure: one sample by several methods, layers or targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure, FigureBase

from signalcam.errors import MethodError
from signalcam.plot.map_view import (
    DARK_TO_LIGHT,
    DIVERGING,
    LIGHT_TO_DARK,
    NORMS,
    MapView,
    check_choice,
    check_drawing_target,
    colour_bar,
    largest,
    one_sample,
    select_map,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

    from signalcam.results.explanation import Explanation

AXES = ("method", "layer", "target")
_FEW = 3  # channels; with up to so many the panels are in one column


def draw(  # noqa: PLR0913 - the options of a figure
    exp: Explanation,
    along: str | None,
    names: Sequence[Any] | None,
    sample: int,
    *,
    fig: Figure | SubFigure | None = None,
    norm: str | None = None,
    cmap: Any = None,
    vmin: float | None = None,
    vmax: float | None = None,
    colorbar: bool = True,
    **options: Any,
) -> Figure | SubFigure:
    """Draw one panel for each map; see ``Plotter.compare``."""
    along = _resolve_axis(exp, along)
    selection = {axis: options.pop(axis, None) for axis in AXES}
    panels = Panels.of(one_sample(exp, sample), along, names, selection, norm)
    all_maps, is_signal = panels.merged, _is_signal(exp)
    scale = all_maps.scale(vmin, vmax)
    cmap = cmap or (DIVERGING if all_maps.signed else LIGHT_TO_DARK if is_signal else DARK_TO_LIGHT)
    figure, axes = _create_panels(fig, len(panels.exps), _count_channels(exp, options) if is_signal else 0)
    for one, title, ax in zip(panels.exps, panels.titles(along, flat=is_signal), axes, strict=True):
        one.plot(0, ax=ax, cmap=cmap, vmin=scale.vmin, vmax=scale.vmax, colorbar=False, **options)
        ax.set_title(title, fontsize="medium", loc="left", parse_math=False)
        if is_signal:
            ax.label_outer()
    words = "\n".join(filter(None, [all_maps.facts(), all_maps.which(along)]))
    figure.suptitle(words, x=0.01, ha="left", fontsize="medium", parse_math=False)
    if colorbar:
        colour_bar(
            axes,
            ScalarMappable(scale, all_maps.colours(cmap)),
            all_maps,
            f"{along}s",
            panels.norm,
            aspect=40,
        )
    return figure


@dataclass(frozen=True)
class Panels:
    """The maps to compare.

    Attributes:
        exps: One explanation of one map for each panel.
        views: Views of these maps before any scaling.
        norm: ``"own"`` if the maps in ``exps`` were divided by their largest magnitude.
    """

    exps: list[Explanation]
    views: list[MapView]
    norm: str

    @classmethod
    def of(
        cls, one: Explanation, along: str, names: Sequence[Any] | None, selection: dict[str, Any], norm: str | None
    ) -> Panels:
        """Split an explanation into panels.

        Magnitudes of one method and layer are comparable between targets; others are not.
        """
        norm = check_choice(norm or ("shared" if along == "target" else "own"), NORMS, "norm")
        all_names = getattr(one, "layer_names" if along == "layer" else f"{along}s")
        exps = [select_map(one, **(selection | {along: name})) for name in (all_names if names is None else names)]
        if not exps:
            message = f"there is no {along} to compare: the list is empty. Leave {along}s= out to compare all."
            raise MethodError(message)
        views = [MapView.of(each, 0, None, None, None) for each in exps]
        kind: Any = "symmetric" if any(view.signed for view in views) else "max"
        return cls([each.normalized(kind) for each in exps] if norm == "own" else exps, views, norm)

    @property
    def merged(self) -> MapView:
        """One view of all maps, for their common scale."""
        signed = any(view.signed for view in self.views)
        heat = [np.ones(1)] if self.norm == "own" else [view.heat.ravel() for view in self.views]
        return MapView(self.views[0].exp, np.concatenate(heat), signed)

    def titles(self, along: str, *, flat: bool) -> list[str]:
        """Title of each panel: its name, its largest magnitude with ``norm="own"``, and its missing values."""
        names = [_panel_name(view, along) for view in self.views]
        sizes = [f"largest {largest(view.heat):.3g}" if self.norm == "own" else "" for view in self.views]
        missing = [view.missing_text("is grey" if flat else "has no heat") for view in self.views]
        return [" · ".join(filter(None, each)) for each in zip(names, sizes, missing, strict=True)]


def _resolve_axis(exp: Explanation, along: str | None) -> str:
    """The axis to compare along; by default the first with several entries."""
    if along is not None:
        return str(check_choice(along.removesuffix("s"), AXES, "comparison by"))
    counts = {"method": exp.methods, "layer": exp.layer_names, "target": exp.targets}
    axis = next((axis for axis, names in counts.items() if len(names) > 1), None)
    if axis is None:
        message = "there is one method, one layer and one target, so there is nothing to compare. Explain with method=['grad-cam', 'hires-cam'], say."
        raise MethodError(message)
    return axis


def _is_signal(exp: Explanation) -> bool:
    return len(exp.dims) == 1 or set(exp.dims) == {"time", "channel"}


def _count_channels(exp: Explanation, options: dict[str, Any]) -> int:
    dims = exp.layout.dims
    count = exp.input.shape[dims.index("channel")] if "channel" in dims else 1
    return len(options.get("channels") or range(count))


def _panel_name(view: MapView, along: str) -> str:
    return {
        "method": view.exp.methods[0],
        "layer": view.exp.layer_names[0],
        "target": view.question(),
    }[along]


def _create_panels(fig: Figure | SubFigure | None, panels: int, channels: int) -> tuple[Figure | SubFigure, list[Axes]]:
    """Create the panels: signals of few channels in one column, others side by side."""
    columns = 1 if 0 < channels <= _FEW else min(panels, 3)
    rows = -(-panels // columns)
    height = 1.0 + 0.5 * max(1.6, channels) if channels else 3.2
    width = 9 if columns == 1 else 4 * columns + 1
    figure = (
        Figure(figsize=(width, 1 + rows * height), layout="constrained")
        if fig is None
        else check_drawing_target(FigureBase, fig, "fig")
    )
    axes = figure.subplots(rows, columns, squeeze=False, sharex=bool(channels), sharey=bool(channels))
    for unused in axes.ravel()[panels:]:
        unused.set_visible(False)
    return figure, list(axes.ravel()[:panels])
