"""Here you find the figure of metric scores: one panel a metric, one dot and interval a method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from signalcam.plot.curves import COLOURS

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

_METHOD_COLOUR, _BASELINE_COLOUR = COLOURS[0], "0.45"
_WIDE, _HIGH = 2.1, 0.3  # inches: width of a panel, height of a row


def draw_scores(table: xr.Dataset, methods: Mapping[str, Any], baselines: Mapping[str, Any]) -> Figure:
    """Draw the means with their 95 % intervals.

    Args:
        table: The table of a ``Comparison``.
        methods: The selection in the table of each method, by its label.
        baselines: The selections of the baselines, which come last, in grey.
    """
    metrics, rows = table["metric"].values.tolist(), [*methods, *baselines]
    longest = 0.08 * max(map(len, rows))
    figure = Figure((longest + _WIDE * len(metrics), 1.0 + _HIGH * len(rows)), layout="constrained")
    panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for ax, metric in zip(panels, metrics, strict=True):
        one = table.sel({"metric": metric})
        for colour, cells in ((_METHOD_COLOUR, methods), (_BASELINE_COLOUR, baselines)):
            for name, cell in cells.items():
                _dot(ax, one.sel(cell), rows.index(name), colour)
        ax.set_title(f"{metric}\n({one['better'].item()} is better)", fontsize="small")
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(labelsize="small")
        ax.grid(axis="x", color="0.9", linewidth=0.6)
        ax.set_axisbelow(True)
        ax.axhline(len(methods) - 0.5, color="0.7", linewidth=0.6)
    panels[0].set_yticks(range(len(rows)), rows)
    panels[0].set_ylim(len(rows) - 0.5, -0.5)
    return figure


def _dot(ax: Axes, one: xr.Dataset, row: int, colour: str) -> None:
    low, high, mean = (float(one[name]) for name in ("low", "high", "mean"))
    ax.plot([low, high], [row, row], color=colour, linewidth=1.5, solid_capstyle="butt")
    ax.plot(mean, row, "o", color=colour, markersize=4)
