"""Here you find the figure of an average around events: the mean signal above the mean map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure, FigureBase

from signalcam.errors import LayoutError
from signalcam.plot.curves import COLOURS
from signalcam.plot.map_view import check_drawing_target
from signalcam.plot.signal import channel_numbers
from signalcam.results.selection import index_of

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

_SIZE = (5.6, 4.4)  # inches
_BAND: dict[str, Any] = {"alpha": 0.22, "linewidth": 0}


def draw_event_average(
    table: xr.Dataset, which: Mapping[str, Any], channels: Sequence[int | str] | None, fig: Figure | SubFigure | None
) -> Figure | SubFigure:
    """Draw the average; see ``EventAverage.plot``."""
    one = table.isel(
        {axis: 0 if name is None else index_of(name, table[axis].values.tolist(), axis) for axis, name in which.items()}
    )
    for what, name in (("mean", "map"), ("signal_mean", "signal")):
        if other := set(one[what].dims) - {"around", "channel"}:
            message = f"the {name} has axes {', '.join(map(str, one[what].dims))}, and a line cannot show {min(map(str, other))}. Draw the table yourself."
            raise LayoutError(message)
    page: Any = Figure(_SIZE, layout="constrained") if fig is None else check_drawing_target(FigureBase, fig, "fig")
    above, below = page.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    single = one["signal_mean"].size == one.sizes["around"]
    colours, shared = (("black",), COLOURS) if single else (COLOURS, ("black",))
    numbers = _channel_indices(one["signal_mean"], channels)
    unit = one["signal_mean"].attrs.get("units", "")
    _draw_lines(above, one, "signal_", numbers, colours)
    above.set_ylabel(f"{_upper_label(one, numbers)} ({unit})" if unit else _upper_label(one, numbers), parse_math=False)
    by_channel = "channel" in one["mean"].dims
    _draw_lines(below, one, "", numbers if by_channel else {"": None}, colours if by_channel else shared)
    below.set_ylabel("importance")
    span = one["around"]
    below.set_xlim(float(span[0]), float(span[-1]))
    unit_of_time = span.attrs.get("units", "samples")
    below.set_xlabel(f"time from the event ({unit_of_time})", parse_math=False)
    if len(numbers) > 1:
        above.legend(frameon=False, fontsize="small", ncols=min(len(numbers), 6))
    above.set_title(_title(one), fontsize="medium", loc="left", parse_math=False)
    page.align_ylabels()
    return page  # type: ignore[no-any-return] # a figure, whichever


def _channel_indices(signal: xr.DataArray, channels: Sequence[int | str] | None) -> dict[str, int | None]:
    """Indices of the channels to draw, by name."""
    if "channel" not in signal.dims:
        return {"": None}
    names = list(map(str, signal["channel"].values.tolist()))
    return {names[i]: i for i in channel_numbers(channels, names)}


def _upper_label(one: xr.Dataset, channels: Mapping[str, int | None]) -> str:
    """Label of the upper axis: the name of the only channel, if it has one."""
    has_names = "channel" in one.coords and one["channel"].dtype.kind == "U"
    return next(iter(channels)) if has_names and len(channels) == 1 else "amplitude"


def _draw_lines(
    ax: Axes, one: xr.Dataset, what: str, channels: Mapping[str, int | None], colours: Sequence[str]
) -> None:
    """Draw a line for each channel, with a band of one standard deviation."""
    x = one["around"].values
    for (name, number), colour in zip(channels.items(), cycle(colours), strict=False):
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
