"""Here you find ``EventAverage``, the mean of maps and signals around events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from signalcam.errors import MissingExtra
from signalcam.results import verbs

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure, SubFigure


@dataclass(frozen=True, eq=False)
class EventAverage:
    """The mean of maps, and of the signal, around events.

    Attributes:
        table: ``mean`` and ``std`` of the maps, ``(target, cam, layer, *positions)``; ``signal_mean`` and ``signal_std``
            of the input; ``count``, the number of events, and ``left_out``, the number of others. The axis ``around``
            replaces that of the events: 0 at the event, in its unit.
    """

    table: xr.Dataset

    def plot(
        self,
        *,
        target: Any = None,
        method: Any = None,
        layer: Any = None,
        channels: Sequence[int | str] | None = None,
        fig: Figure | SubFigure | None = None,
    ) -> Figure | SubFigure:
        """Draw the mean signal above the mean map, each with a band of one standard deviation.

        Args:
            target: A name; the first by default.
            method: A name; the first by default.
            layer: A name; the first by default.
            channels: Channels of the signal, by name or number; all by default.
            fig: Where to draw; a new figure by default.

        Raises:
            MissingExtra: matplotlib is not installed.
            CamError: A name does not exist, or the maps have more axes than a line shows.
        """
        try:
            draw = verbs.resolve("plot.event_average")
        except ImportError as error:
            raise MissingExtra("drawing", "plot") from error
        figure: Figure | SubFigure = draw(self.table, {"target": target, "cam": method, "layer": layer}, channels, fig)
        return figure

    def __repr__(self) -> str:
        span, unit = self.table["around"], self.table["around"].attrs.get("units", "samples")
        return f"<EventAverage {int(self.table['count'])} events, from {float(span[0]):g} to {float(span[-1]):g} {unit}; {int(self.table['left_out'])} left out>"
