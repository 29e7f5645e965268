"""Pictures and spectrograms under heat as opaque as it is strong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from signalcam.errors import LayoutError, MethodError
from signalcam.plot.picture import Heat, Picture, caption
from signalcam.plot.view import Ruler, View, axes_for, axis_label, colour_bar

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from signalcam.explanation import Explanation

_SLENDER = 6  # times as long as wide: such a picture is stretched to be seen at all
_SPAN = 80.0  # dB below the loudest that a spectrogram of power or amplitude shows
_BELOW = 2  # of 100 values of a spectrogram shown as given: black, so that a silent band does not hide the rest
_ROWS = 400  # of a spectrogram whose even frequencies are shown on a logarithmic axis

Loudness = Literal["power", "amplitude", "given"]
_PER_TEN = {"power": 10, "amplitude": 20}  # dB for each power of ten


def draw(  # noqa: PLR0913 - the options of a figure
    exp: Explanation, sample: int = 0, *,
    target: Any = None, method: Any = None, layer: Any = None, ax: Axes | None = None, fig: Figure | SubFigure | None = None, colorbar: bool = True,
    image_kws: dict[str, Any] | None = None, heat_kws: dict[str, Any] | None = None, **look: Any,
) -> Axes:  # fmt: skip
    """Draw one sample's picture under its heat; see ``Plotter.image``."""
    view = View.of(exp, sample, target, method, layer)
    upright, across = ("height", "width") if {"height", "width"} <= set(exp.dims) else exp.dims
    picture = Picture.of(view, (upright, across))
    rulers = Ruler.of(view.exp, across), Ruler.of(view.exp, upright)
    shape = abs(np.ptp(rulers[0].edges) / np.ptp(rulers[1].edges))
    alike = exp.layout.unit(across) == exp.layout.unit(upright)
    square = alike and 1 / _SLENDER < shape < _SLENDER
    ax = axes_for(ax, fig, float(np.clip(4.5 * shape, 3, 10)) + 1.5, 4.5)
    heat = view.heat if exp.dims == (upright, across) else view.heat.T
    drawn: dict[str, Any] = {
        "extent": (*rulers[0].edges, *rulers[1].edges[::-1]), "origin": "upper", "aspect": "equal" if square else "auto",
    }  # fmt: skip
    base: dict[str, Any] = {"cmap": "gray", "vmin": 0, "vmax": 1} | drawn | (image_kws or {})
    ax.imshow(picture.values, **base)
    bar = Heat.of(view, **look).draw(ax, heat, **drawn | (heat_kws or {}))
    _finish(ax, view, (across, upright), rulers, caption(view, picture.note))
    ax.invert_yaxis()
    if colorbar:
        colour_bar(ax, bar, view)
    return ax


def draw_spectrogram(  # noqa: PLR0913 - the options of a figure
    exp: Explanation, sample: int = 0, *,
    target: Any = None, method: Any = None, layer: Any = None, ax: Axes | None = None, fig: Figure | SubFigure | None = None, colorbar: bool = True,
    loudness: Loudness | None = None, frequency: Literal["given", "log"] = "given",
    image_kws: dict[str, Any] | None = None, heat_kws: dict[str, Any] | None = None, **look: Any,
) -> Axes:  # fmt: skip
    """Draw one sample's spectrogram in grey under its heat; see ``Plotter.spectrogram``."""
    if "time" not in exp.dims:
        message = f"a spectrogram has an axis called 'time'; this map has {' and '.join(exp.dims)}. Name it in the layout, or use exp.plot.image()."
        raise LayoutError(message)
    view = View.of(exp, sample, target, method, layer)
    upright = next(dim for dim in exp.dims if dim != "time")
    x, _ = view.moved((upright, "time"))
    grey, ends, note = _in_decibels(
        x.reshape(-1, *x.shape[-2:]).mean(axis=0), loudness, exp.layout.units
    )
    heat = view.heat.T if exp.dims[0] == "time" else view.heat
    rulers = [Ruler.of(view.exp, "time"), Ruler.of(view.exp, upright)]
    if frequency == "log":
        rows, rulers[1] = _logarithmic(view, upright)
        grey, heat = grey[rows], heat[rows]
    elif frequency != "given":
        message = f"frequency is {frequency!r}; expected 'given' or 'log'."
        raise MethodError(message)
    ax = axes_for(ax, fig, 9.5, 4.5)
    drawn: dict[str, Any] = {
        "extent": (*rulers[0].edges, *rulers[1].edges),
        "origin": "lower",
        "aspect": "auto",
    }
    base: dict[str, Any] = (
        {"cmap": "gray", "vmin": ends[0], "vmax": ends[1]} | drawn | (image_kws or {})
    )
    ax.imshow(grey, **base)
    bar = Heat.of(view, **look).draw(ax, heat, **drawn | (heat_kws or {}))
    _finish(ax, view, ("time", upright), rulers, caption(view, note))
    if colorbar:
        colour_bar(ax, bar, view)
    return ax


def _finish(ax: Axes, view: View, dims: Any, rulers: Any, title: str) -> None:
    """Set limits (rising), ticks, labels and the title."""
    ax.set_xlim(*sorted(rulers[0].edges))
    ax.set_ylim(*sorted(rulers[1].edges))
    for axis, ruler, dim in zip((ax.xaxis, ax.yaxis), rulers, dims, strict=True):
        ruler.label(axis)
        axis.set_label_text(axis_label(view.exp, dim))
    ax.set_title(title, fontsize="medium", loc="left")


def _in_decibels(
    x: np.ndarray, loudness: Loudness | None, units: str | None
) -> tuple[np.ndarray, tuple[float, float], str]:
    """Turn power or amplitude into dB below the loudest; what is in dB, or negative, stays as it is."""
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
        given = f"the input as given, {units}," if units else "the input as given"
        return x, (low, high), f"grey: {given} from {low:.3g} (black, with {_BELOW} % below) to {high:.3g} (white)"  # fmt: skip
    decibels = _PER_TEN[kind] * np.log10(np.maximum(x / top, 10 ** (-_SPAN / _PER_TEN[kind])))
    return decibels, (-_SPAN, 0.0), f"grey: the input taken as {kind}, from {_SPAN:g} dB below the loudest (black) to that (white)"  # fmt: skip


def _logarithmic(view: View, dim: str) -> tuple[np.ndarray, Ruler]:
    """Which entries to show so that each octave is as high as the next, and their ruler."""
    length = view.exp.input.shape[view.exp.layout.dims.index(dim)]
    places = np.asarray(view.exp.layout.coordinate(dim, np.arange(length)), float)
    above = places[places > 0]
    if len(above) < 2 or not np.isfinite(above).all():
        message = f"a logarithmic axis needs values of {dim!r} above 0. Give them in the layout: coordinates={{{dim!r}: hertz}}."
        raise LayoutError(message)
    shown = np.geomspace(above.min(), above.max(), _ROWS)
    return np.abs(np.log(above)[None] - np.log(shown)[:, None]).argmin(axis=1) + int(np.flatnonzero(places > 0)[0]), Ruler(0.0, 1.0, _ROWS, shown)  # fmt: skip
