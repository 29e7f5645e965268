"""What a network sees of an event: the mean signal above the mean map, each in a band as wide as it varies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure, FigureBase

from signalcam.errors import LayoutError
from signalcam.plot.curves import COLOURS
from signalcam.plot.map_view import check_drawing_target
from signalcam.plot.signal import numbers_of
from signalcam.results.selection import index_of

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

_SIZE = (5.6, 4.4)  # inches
_BAND: dict[str, Any] = {"alpha": 0.22, "linewidth": 0}


def draw_around(
    table: xr.Dataset, which: Mapping[str, Any], channels: Sequence[int | str] | None, fig: Figure | SubFigure | None
) -> Figure | SubFigure:
    """Draw; see ``Around.plot``."""
    one = table.isel(
        {axis: 0 if name is None else index_of(name, table[axis].values.tolist(), axis) for axis, name in which.items()}
    )
    for what, name in (("mean", "map"), ("signal_mean", "signal")):
        if other := set(one[what].dims) - {"around", "channel"}:
            message = f"the {name} has axes {', '.join(map(str, one[what].dims))}, and a line has none for {min(map(str, other))}. Draw the table yourself."
            raise LayoutError(message)
    page: Any = Figure(_SIZE, layout="constrained") if fig is None else check_drawing_target(FigureBase, fig, "fig")
    above, below = page.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    single = one["signal_mean"].size == one.sizes["around"]
    colours, shared = (("black",), COLOURS) if single else (COLOURS, ("black",))
    shown = _chosen(one["signal_mean"], channels)
    unit = one["signal_mean"].attrs.get("units", "")
    _lines(above, one, "signal_", shown, colours)
    above.set_ylabel(f"{_what(one, shown)} ({unit})" if unit else _what(one, shown), parse_math=False)
    wide = "channel" in one["mean"].dims
    _lines(below, one, "", shown if wide else {"": None}, colours if wide else shared)
    below.set_ylabel("importance")
    span = one["around"]
    below.set_xlim(float(span[0]), float(span[-1]))
    told = span.attrs.get("units", "samples")
    below.set_xlabel(f"time from the event ({told})", parse_math=False)
    if len(shown) > 1:
        above.legend(frameon=False, fontsize="small", ncols=min(len(shown), 6))
    above.set_title(_title(one), fontsize="medium", loc="left", parse_math=False)
    page.align_ylabels()
    return page  # type: ignore[no-any-return] # a figure, whichever


def _chosen(signal: xr.DataArray, channels: Sequence[int | str] | None) -> dict[str, int | None]:
    """The channels to draw, by what they are called."""
    if "channel" not in signal.dims:
        return {"": None}
    names = list(map(str, signal["channel"].values.tolist()))
    return {names[i]: i for i in numbers_of(channels, names)}


def _what(one: xr.Dataset, shown: Mapping[str, int | None]) -> str:
    """What the upper axis shows: the only channel, where it has a name."""
    named = "channel" in one.coords and one["channel"].dtype.kind == "U"
    return next(iter(shown)) if named and len(shown) == 1 else "amplitude"


def _lines(ax: Axes, one: xr.Dataset, what: str, shown: Mapping[str, int | None], colours: Sequence[str]) -> None:
    """A line for each channel, in a band of one deviation to either side."""
    x = one["around"].values
    for (name, number), colour in zip(shown.items(), cycle(colours), strict=False):
        mean, spread = (one[f"{what}{kind}"].transpose(..., "around").values for kind in ("mean", "std"))
        if number is not None:
            mean, spread = mean[number], spread[number]
        ax.fill_between(x, mean - spread, mean + spread, color=colour, **_BAND)
        ax.plot(x, mean, color=colour, linewidth=1.3, label=name)
    ax.axvline(0, color="0.4", linewidth=0.7, linestyle=(0, (4, 3)), zorder=0)
    ax.spines[["top", "right"]].set_visible(False)
    ax.margins(y=0.04)
    if not what and np.nanmin(one["mean"].values) >= 0:
        ax.set_ylim(bottom=0)


def _title(one: xr.Dataset) -> str:
    count = int(one["count"])
    which = f"{one['cam'].item()} at {one['layer'].item()} for {one['target'].item()}"
    return f"{which}\nmean \N{PLUS-MINUS SIGN} standard deviation of {count} event{'s' * (count != 1)}"
