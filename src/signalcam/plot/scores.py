"""Scores of methods side by side: a panel a metric, a dot a method, a line as long as its interval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from signalcam.plot.curves import COLOURS

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

_OWN, _BESIDE = COLOURS[0], "0.45"
_WIDE, _HIGH = 2.1, 0.3  # inches: a panel, a row


def draw_scores(table: xr.Dataset, own: Mapping[str, Any], beside: Mapping[str, Any]) -> Figure:
    """Draw the means with their 95 % intervals.

    Args:
        table: Of a ``Comparison``.
        own: By what is written beside it, where in the table each method is.
        beside: The same of the baselines, which come last, in grey.
    """
    metrics, rows = table["metric"].values.tolist(), [*own, *beside]
    longest = 0.08 * max(map(len, rows))
    figure = Figure((longest + _WIDE * len(metrics), 1.0 + _HIGH * len(rows)), layout="constrained")
    panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for ax, metric in zip(panels, metrics, strict=True):
        one = table.sel({"metric": metric})
        for colour, cells in ((_OWN, own), (_BESIDE, beside)):
            for name, cell in cells.items():
                _dot(ax, one.sel(cell), rows.index(name), colour)
        ax.set_title(f"{metric}\n({one['better'].item()} is better)", fontsize="small")
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(labelsize="small")
        ax.grid(axis="x", color="0.9", linewidth=0.6)
        ax.set_axisbelow(True)
        ax.axhline(len(own) - 0.5, color="0.7", linewidth=0.6)
    panels[0].set_yticks(range(len(rows)), rows)
    panels[0].set_ylim(len(rows) - 0.5, -0.5)
    return figure


def _dot(ax: Axes, one: xr.Dataset, row: int, colour: str) -> None:
    low, high, mean = (float(one[name]) for name in ("low", "high", "mean"))
    ax.plot([low, high], [row, row], color=colour, linewidth=1.5, solid_capstyle="butt")
    ax.plot(mean, row, "o", color=colour, markersize=4)
