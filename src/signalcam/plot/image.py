"""Here you find the figures of images and spectrograms under their heat."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from signalcam.errors import LayoutError, MethodError
from signalcam.plot.map_view import AxisScale, MapView, axes_for, axis_label, colour_bar
from signalcam.plot.overlay import HeatOverlay, Picture, caption

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.image import AxesImage

    from signalcam.results.explanation import Explanation

_SLENDER = 6  # pictures of a larger aspect ratio are stretched to be visible
_SPAN = 80.0  # dB below the loudest, the range of a spectrogram of power or amplitude
_BELOW = 2  # percent of black values with loudness="given", so that a silent band does not hide the rest
_ROWS = 400  # rows of a spectrogram with a logarithmic axis

Loudness = Literal["power", "amplitude", "given"]
_PER_TEN = {"power": 10, "amplitude": 20}  # dB for each power of ten


@dataclass
class ImageDisplay:
    """A picture or a spectrogram with its heat; ``plot`` draws it.

    Args:
        view: The map and its texts.
        picture: ``(up, across)`` in grey or ``(up, across, 3)`` in red, green and blue, from 0 to 1.
        heat: Its importance, ``(up, across)``.
        dims: The vertical and the horizontal axis.
        rulers: Scales of both.
        grey: The values of black and white, if the picture is grey.
        note: How the picture was made.
        rising: Whether the first row is at the bottom, as in a spectrogram.

    Attributes:
        picture_: The picture.
        heat_: The heat over it.
        bar_: The colour bar, or ``None``.
        ax_: The axes.
        figure_: The figure of ``ax_``.

    Example:
        >>> import signalcam as sc
        >>> from signalcam.plot.image import ImageDisplay
        >>> display = ImageDisplay.from_explanation(sc.explain(image_network, image)).plot()
        >>> display.picture_.set_interpolation("bilinear")
    """

    view: MapView
    picture: np.ndarray
    heat: np.ndarray
    dims: tuple[str, str]
    rulers: tuple[AxisScale, AxisScale]
    grey: tuple[float, float] = (0.0, 1.0)
    note: str = ""
    rising: bool = False
    picture_: AxesImage = field(init=False)
    heat_: AxesImage = field(init=False)
    bar_: Colorbar | None = field(init=False, default=None)
    ax_: Axes = field(init=False)
    figure_: Figure | SubFigure = field(init=False)

    @classmethod
    def from_explanation(
        cls, exp: Explanation, sample: int = 0, *, target: Any = None, method: Any = None, layer: Any = None
    ) -> Self:
        """Build the display of one sample's picture; see ``Plotter.image``."""
        view = MapView.of(exp, sample, target, method, layer)
        up, across = ("height", "width") if {"height", "width"} <= set(exp.dims) else exp.dims
        picture = Picture.of(view, (up, across))
        return cls(view, picture.values, *_lay_out(view, (up, across)), note=picture.note)

    @classmethod
    def from_spectrogram(
        cls,
        exp: Explanation,
        sample: int = 0,
        *,
        target: Any = None,
        method: Any = None,
        layer: Any = None,
        loudness: Loudness | None = None,
        frequency: Literal["given", "log"] = "given",
    ) -> Self:
        """Build the display of one sample's spectrogram; see ``Plotter.spectrogram``."""
        if "time" not in exp.dims:
            message = f"a spectrogram has an axis called 'time'; this map has {' and '.join(exp.dims)}. Name it in the layout, or use exp.plot.image()."
            raise LayoutError(message)
        view = MapView.of(exp, sample, target, method, layer)
        dims = next(dim for dim in exp.dims if dim != "time"), "time"
        x, _ = view.move_axes(dims)
        mean = x.reshape(-1, *x.shape[-2:]).mean(axis=0)
        values, ends, note = _to_decibels(mean, loudness, exp.layout.units)
        heat, _, rulers = _lay_out(view, dims)
        if frequency == "log":
            rows, ruler = _logarithmic_rows(view, dims[0])
            values, heat, rulers = values[rows], heat[rows], (ruler, rulers[1])
        elif frequency != "given":
            message = f"frequency is {frequency!r}; expected 'given' or 'log'."
            raise MethodError(message)
        return cls(view, values, heat, dims, rulers, ends, note, rising=True)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        fig: Figure | SubFigure | None = None,
        colorbar: bool = True,
        image_kws: dict[str, Any] | None = None,
        heat_kws: dict[str, Any] | None = None,
        **look: Any,
    ) -> Self:
        """Draw; see ``Plotter.image`` for the options."""
        heat = HeatOverlay.of(self.view, **look)
        aspect, size = self._proportions()
        self.ax_ = ax = axes_for(ax, fig, *size)
        self.figure_ = ax.figure
        up, across = self.rulers
        ends = up.edges if self.rising else up.edges[::-1]
        placement: dict[str, Any] = {
            "extent": (*across.edges, *ends),
            "origin": "lower" if self.rising else "upper",
            "aspect": aspect,
        }
        base: dict[str, Any] = {"cmap": "gray", "vmin": self.grey[0], "vmax": self.grey[1]}
        self.picture_ = ax.imshow(self.picture, **base | placement | (image_kws or {}))
        self.heat_ = heat.draw(ax, self.heat, **placement | (heat_kws or {}))
        self._label_axes(ax)
        self.bar_ = colour_bar(ax, heat.mappable, self.view) if colorbar else None
        return self

    def _proportions(self) -> tuple[str, tuple[float, float]]:
        """Aspect of the axes, and the size of a new figure in inches."""
        if self.rising:
            return "auto", (9.5, 4.5)
        up, across = self.rulers
        shape = abs(np.ptp(across.edges) / np.ptp(up.edges))
        units = {self.view.exp.layout.unit(dim) for dim in self.dims}
        square = len(units) == 1 and 1 / _SLENDER < shape < _SLENDER
        return "equal" if square else "auto", (float(np.clip(4.5 * shape, 3, 10)) + 1.5, 4.5)

    def _label_axes(self, ax: Axes) -> None:
        """Set limits, ticks, labels and the title, without math in names."""
        low, high = sorted(self.rulers[0].edges)
        ax.set_ylim(*(low, high) if self.rising else (high, low))
        ax.set_xlim(*sorted(self.rulers[1].edges))
        for axis, ruler, dim in zip((ax.yaxis, ax.xaxis), self.rulers, self.dims, strict=True):
            ruler.label(axis)
            axis.set_label_text(axis_label(self.view.exp, dim), parse_math=False)
        ax.set_title(caption(self.view, self.note), fontsize="medium", loc="left", parse_math=False)


def _lay_out(view: MapView, dims: tuple[str, str]) -> tuple[np.ndarray, tuple[str, str], tuple[AxisScale, AxisScale]]:
    """The map, its axes and their scales, as vertical and horizontal."""
    up, across = dims
    heat = view.heat if view.exp.dims == dims else view.heat.T
    return heat, dims, (AxisScale.of(view.exp, up), AxisScale.of(view.exp, across))


def _to_decibels(
    x: np.ndarray, loudness: Loudness | None, units: str | None
) -> tuple[np.ndarray, tuple[float, float], str]:
    """Convert power or amplitude to dB below the loudest; dB and negative values stay."""
    finite = x[np.isfinite(x)]
    negative = bool((finite < 0).any())
    in_decibels = negative or (units or "").lower().startswith("db")
    kind = loudness or ("given" if in_decibels else "power")
    if kind != "given" and (kind not in _PER_TEN or negative):
        message = f"loudness is {kind!r}; expected 'power' or 'amplitude' (of a spectrogram without negative values), or 'given'."
        raise MethodError(message)
    top = float(finite.max(initial=0))
    if kind == "given" or not top:
        low, high = np.percentile(finite, [_BELOW, 100]).tolist() if finite.size else (0.0, 0.0)
        what = f"the input as given, {units}," if units else "the input as given"
        return x, (low, high), f"grey: {what} from {low:.3g} (black, with {_BELOW} % below) to {high:.3g} (white)"
    decibels = _PER_TEN[kind] * np.log10(np.maximum(x / top, 10 ** (-_SPAN / _PER_TEN[kind])))
    return (
        decibels,
        (-_SPAN, 0.0),
        f"grey: the input taken as {kind}, from {_SPAN:g} dB below the loudest (black) to that (white)",
    )


def _logarithmic_rows(view: MapView, dim: str) -> tuple[np.ndarray, AxisScale]:
    """Indices of entries at logarithmic steps, and their scale."""
    length = view.exp.input.shape[view.exp.layout.dims.index(dim)]
    frequencies = np.asarray(view.exp.layout.coordinate(dim, np.arange(length)), float)
    above = frequencies[frequencies > 0]
    if len(above) < 2 or not np.isfinite(above).all():
        message = f"a logarithmic axis needs values of {dim!r} above 0. Give them in the layout: coordinates={{{dim!r}: hertz}}."
        raise LayoutError(message)
    steps = np.geomspace(above.min(), above.max(), _ROWS)
    return np.abs(np.log(above)[None] - np.log(steps)[:, None]).argmin(axis=1) + int(
        np.flatnonzero(frequencies > 0)[0]
    ), AxisScale(0.0, 1.0, _ROWS, steps)
