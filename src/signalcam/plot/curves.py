"""Here you find figures of curves with bands: mean maps of groups, and metric curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from signalcam.errors import InputError, LayoutError, MethodError, TargetError, nearest
from signalcam.plot.map_view import AxisScale, MapView, axes_for, axis_label, check_choice, check_finite, select_map
from signalcam.plot.signal import channel_numbers, horizontal_axis, signal_lines
from signalcam.results.group_summary import GroupSummary, kind_of, summarize_groups
from signalcam.results.plotter import Spread

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.collections import PolyCollection
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.lines import Line2D

    from signalcam.results.explanation import Explanation

# colour-blind safe: Okabe and Ito 2008, "Color Universal Design", without yellow and black
COLOURS = ("#D55E00", "#0072B2", "#CC79A7", "#56B4E9", "#E69F00", "#009E73")
_DASHES = ("solid", "dashdot", "dotted")  # once every colour is used
BASELINES = ("random", "input-energy")  # starts of their names
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)  # also the defaults of a job's summary


@dataclass(frozen=True)
class Curve:
    """A mean or median with bands.

    Attributes:
        name: For the legend.
        middle: The mean or median at each position.
        bands: Lower and upper ends, the widest band first; empty for one sample.
        count: Number of samples; 0 if unknown.
        background: The mean signal of the samples, or ``None``.
        baseline: Whether it is a baseline, which is drawn dashed and grey.
    """

    name: str
    middle: np.ndarray
    bands: Sequence[tuple[np.ndarray, np.ndarray]]
    count: int = 0
    background: np.ndarray | None = None
    baseline: bool = False

    @property
    def label(self) -> str:
        """The name and the number of samples."""
        return f"{self.name} (n = {self.count})" if self.count else self.name


@dataclass
class CurveDisplay:
    """Curves over one axis; ``plot`` draws them.

    Args:
        x: The positions.
        curves: The curves.
        across: Label of the x-axis.
        upright: Label of the y-axis.
        behind: Label of the axis of the mean signal; empty without one.
        title: The title.
        ruler: Ticks of an axis of a result.

    Attributes:
        line_: The means or medians, in the order of ``curves``.
        band_: The bands around them.
        background_: The mean signals.
        ax_: The axes.
        figure_: The figure of ``ax_``.
    """

    x: np.ndarray
    curves: list[Curve]
    across: str
    upright: str
    behind: str = ""
    title: str = ""
    ruler: AxisScale | None = None
    line_: list[Line2D] = field(init=False, default_factory=list)
    band_: list[PolyCollection] = field(init=False, default_factory=list)
    background_: list[Line2D] = field(init=False, default_factory=list)
    ax_: Axes = field(init=False)
    figure_: Figure | SubFigure = field(init=False)

    @classmethod
    def from_explanation(
        cls,
        exp: Explanation,
        by: str | None = None,
        *,
        target: Any = None,
        method: Any = None,
        layer: Any = None,
        channel: int | str | None = None,
        spread: Spread = "deviation",
    ) -> Self:
        """Average maps over samples; see ``Plotter.summary``."""
        if len(exp.dims) > 1 and set(exp.dims) != {"time", "channel"}:
            message = f"a summary is drawn over time or one other axis, and the maps have axes {', '.join(exp.dims)}. Draw exp.mean() yourself, or use a job."
            raise LayoutError(message)
        summary, which = summarize_groups(exp), (target, method, layer)
        rows = [] if summary is None else summary.rows(by)
        selected = select_map(exp if summary is None else summary.mean.isel(sample=rows), *which)
        maps, signals, name = _along_time(selected, channel)
        check_finite(maps, "the maps hold")
        signed = bool((maps < 0).any()) or exp.provenance.get("signed") == "True"
        view, dim = MapView(selected, maps, signed), horizontal_axis(selected)
        missing = view.missing_text("left out") if exp.shapes is None else ""  # padding is no missing value
        shares = quantiles_of(spread, summary)
        if summary is None:
            curves = [
                _group_curve(group, maps[indices], signals[indices], shares)
                for group, indices in _group_indices(exp, by).items()
            ]
            count, behind = len(maps), f"mean of {name}"
        else:
            around = [summary.deviation] if shares is None else map(summary.quantile, range(len(shares)))
            spreads = [_along_time(select_map(each.isel(sample=rows), *which), channel)[0] for each in around]
            curves = [
                _summary_curve(summary, row, maps[i], [each[i] for each in spreads], shares)
                for i, row in enumerate(rows)
            ]
            count, behind = summary.counts[0], ""
        ruler, units = AxisScale.of(selected, dim), exp.layout.units
        where = f", on {name}" if len(exp.dims) > 1 else ""
        return cls(
            ruler.centres,
            curves,
            axis_label(selected, dim),
            view.meaning(),
            f"{behind} ({units})" if units and behind else behind,
            "\n".join(
                filter(None, [f"{view.which()}{where}", f"{describe_spread(shares)} over {count} samples", missing])
            ),
            ruler,
        )

    @classmethod
    def from_metrics(
        cls,
        exp: Explanation,
        curve: str | None = None,
        *,
        target: Any = None,
        layer: Any = None,
        baseline: str | tuple[str, ...] = BASELINES,
    ) -> Self:
        """Average one of the curves attached to a result; see ``Plotter.curve``."""
        if exp.metrics is None or "curve_score" not in exp.metrics:
            message = "the result has no metric curves to draw. Attach some: exp.with_scores(signalcam.metrics.evaluate(exp, model)), or pass scores."
            raise InputError(message)
        selection = {"curve": curve, "target": target, "layer": layer}
        entries = {axis: exp.metrics[axis].values.tolist() for axis in selection}
        names = {
            axis: entries[axis][0] if name is None else check_choice(name, entries[axis], axis)
            for axis, name in selection.items()
        }
        indices = {axis: entries[axis].index(name) for axis, name in names.items()}
        display = cls.from_scores(exp.metrics[["curve_score", "removed"]].isel(indices), baseline=baseline)
        display.upright = exp.metrics.attrs.get("measure") or display.upright
        display.title = f"{', '.join(map(str, names.values()))}\nmean ± 1 standard deviation over {len(exp)} samples"
        return display

    @classmethod
    def from_scores(cls, scores: xr.DataArray | xr.Dataset, *, baseline: str | tuple[str, ...] = BASELINES) -> Self:
        """Average the curves of a metric over samples; see ``Plotter.curve``."""
        array, step = _curve_scores(scores)
        x = _step_coordinate(array, step)
        rows = array.transpose("cam", "sample", step).values
        curves = [
            Curve(
                str(name),
                *_center_and_bands(values),
                len(values) * (len(values) > 1),
                baseline=str(name).startswith(baseline),
            )
            for name, values in zip(array["cam"].values, rows, strict=True)
        ]
        return cls(x.values, curves, _label_of(x), _label_of(array))

    def plot(
        self,
        ax: Axes | None = None,
        *,
        fig: Figure | SubFigure | None = None,
        legend: bool = True,
        line_kws: dict[str, Any] | None = None,
        band_kws: dict[str, Any] | None = None,
        background_kws: dict[str, Any] | None = None,
    ) -> Self:
        """Draw; see ``Plotter.summary`` and ``Plotter.curve`` for the options."""
        self.ax_ = ax = axes_for(ax, fig, 9 if self.ruler else 6, 3.4)
        self.figure_ = ax.figure
        looks = _line_styles(self.curves)
        if self.behind:
            self._draw_background(looks, background_kws or {})
        for curve, look in zip(self.curves, looks, strict=True):
            band = {"color": look["color"], "alpha": 0.18, "linewidth": 0, "zorder": 1.5, **(band_kws or {})}
            self.band_ += [ax.fill_between(self.x, *ends, **band) for ends in curve.bands]
            self.line_ += ax.plot(self.x, curve.middle, label=curve.label, **{**look, **(line_kws or {})})
        ax.set_xlim(min(self.x[0], self.x[-1]), max(self.x[0], self.x[-1]))
        if self.ruler:
            self.ruler.label(ax.xaxis)
        ax.set_xlabel(self.across, parse_math=False)
        ax.set_ylabel(self.upright, parse_math=False)
        ax.set_title(self.title, fontsize="medium", loc="left", parse_math=False)
        if legend and len(self.curves) > 1:
            _draw_legend(ax)
        return self

    def _draw_background(self, looks: list[dict[str, Any]], background_kws: dict[str, Any]) -> None:
        """Draw the mean signal behind the curves, on its own axis at the right."""
        behind = self.ax_.twinx()
        self.ax_.set_zorder(behind.get_zorder() + 1)
        self.ax_.patch.set_visible(False)
        for curve, look in zip(self.curves, looks, strict=True):
            if curve.background is None:
                continue
            colour = "0.7" if len(self.curves) == 1 else look["color"]
            options = {"color": colour, "alpha": 0.45, "linewidth": 0.8, **background_kws}
            self.background_ += behind.plot(self.x, curve.background, **options)
        behind.set_ylabel(self.behind, color="0.4", parse_math=False)
        behind.tick_params(axis="y", colors="0.4")


def _draw_legend(ax: Axes) -> None:
    for text in ax.legend(frameon=False, fontsize="small").get_texts():
        text.set_parse_math(False)  # a name is no formula


def _line_styles(curves: Sequence[Curve]) -> list[dict[str, Any]]:
    """Colour and line style of each curve."""
    coloured = cycle([{"color": colour, "linestyle": dash} for dash in _DASHES for colour in COLOURS])
    grey = cycle([{"color": "0.35", "linestyle": dash} for dash in ("dashed", "dotted")])
    return [{"linewidth": 1.5, **next(grey if curve.baseline else coloured)} for curve in curves]


def quantiles_of(spread: str, summary: GroupSummary | None) -> tuple[float, ...] | None:
    """Return the quantiles to draw, those of a job if it has any; ``None`` for means and deviations.

    Raises:
        MethodError: The spread is neither.
    """
    if spread not in ("deviation", "quantiles"):
        message = f"there is no spread {spread!r}.{nearest(str(spread), ['deviation', 'quantiles'])} Choose 'deviation' or 'quantiles'."
        raise MethodError(message)
    if spread == "deviation":
        return None
    return _QUANTILES if summary is None else summary.shares


def describe_spread(shares: Sequence[float] | None) -> str:
    """Describe line and bands in words, for the title."""
    if shares is None:
        return "mean ± 1 standard deviation"
    pairs = [f"{low:.3g} to {high:.3g}" for low, high in _pairs(shares)][::-1]
    line = f"quantile {shares[len(shares) // 2]:.3g}" if len(shares) % 2 else "mean"
    return ", ".join(
        ["median" if line == "quantile 0.5" else line, *(["bands: quantiles " + ", ".join(pairs)] if pairs else [])]
    )


def _pairs(ordered: Sequence[Any]) -> list[tuple[Any, Any]]:
    """Pair the first and the last entry, the second and the second to last, and so on."""
    return [(ordered[i], ordered[-1 - i]) for i in range(len(ordered) // 2)]


def _center_and_bands(
    rows: np.ndarray, shares: Sequence[float] | None = None
) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    """Mean and standard deviation, or quantiles, over the samples with a value at each position."""
    finite = np.isfinite(rows)
    count = finite.sum(axis=0)
    divisor = np.where(count, count, 1)
    values = np.where(finite, rows, 0.0)
    mean = np.where(count, values.sum(axis=0) / divisor, np.nan)
    if len(rows) == 1:
        return mean, []
    if shares is not None:
        quantiles = np.full((len(shares), *mean.shape), np.nan)
        quantiles[:, count > 0] = np.nanquantile(rows[:, count > 0], shares, axis=0)
        return _bands_around(mean, list(quantiles), shares)
    spread = np.where(finite, rows - mean, 0.0)
    return _bands_around(mean, [np.sqrt((spread**2).sum(axis=0) / divisor)], None)


def _bands_around(
    mean: np.ndarray, rest: Sequence[np.ndarray], shares: Sequence[float] | None
) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    """Line and bands from mean and deviation, or from quantiles; with an even number of these the mean is the line."""
    if shares is None:
        return mean, [(mean - rest[0], mean + rest[0])]
    return rest[len(rest) // 2] if len(rest) % 2 else mean, _pairs(rest)


def _group_curve(name: str, maps: np.ndarray, signals: np.ndarray, shares: Sequence[float] | None) -> Curve:
    return Curve(name, *_center_and_bands(maps, shares), len(maps), _center_and_bands(signals)[0])


def _summary_curve(
    summary: GroupSummary, row: int, mean: np.ndarray, rest: Sequence[np.ndarray], shares: Sequence[float] | None
) -> Curve:
    """The curve of a group of a job's summary."""
    count, name = summary.counts[row], str(summary.mean.sample_names[row])
    return Curve(name, *(_bands_around(mean, rest, shares) if count > 1 else (mean, [])), count)


def _along_time(exp: Explanation, channel: int | str | None) -> tuple[np.ndarray, np.ndarray, str]:
    """Map and signal of each sample over time, ``(sample, time)``, and the name of the channel."""
    dim = horizontal_axis(exp)
    values = np.moveaxis(np.asarray(exp.input), exp.layout.dims.index(dim), -1)
    signals = values.reshape(len(values), -1, values.shape[-1])
    names = signal_lines(MapView(exp, values, signed=False), dim)[1]
    number = channel_numbers([0 if channel is None else channel], names)[0]
    maps = exp.maps.values[:, 0, 0, 0]
    if len(exp.dims) > 1:
        maps = np.moveaxis(maps, 1 + exp.dims.index(dim), -1)[:, number]
    name = f"channel {names[number]}" if exp.layout.channel_names is None else names[number]
    return maps, signals[:, number], name


def _group_indices(exp: Explanation, by: str | None) -> dict[str, np.ndarray]:
    """Indices of the samples of each group, by name."""
    kind = kind_of(by)
    if kind == "all":
        return {"all": np.arange(len(exp))}
    if kind == "group":
        message = "only the whole store of a job has groups of samples. Draw that, or use by='predicted'."
        raise TargetError(message)
    truth, predicted = exp.true_classes, exp.classes
    if truth is None and kind != "predicted":
        message = f"no labels were given, so samples cannot be told apart by {by!r}. Explain with labels=[...], or use by='predicted'."
        raise TargetError(message)
    if predicted is None and kind != "label":
        message = f"the model's output holds no classes, so samples cannot be told apart by {by!r}. Leave by= out."
        raise TargetError(message)
    if kind == "right":
        has_both = (np.asarray(truth) >= 0) & (np.asarray(predicted) >= 0)
        right = np.asarray(truth) == np.asarray(predicted)
        return {
            name: np.flatnonzero(mask)
            for name, mask in (("right", has_both & right), ("wrong", has_both & ~right))
            if mask.any()
        }
    index = np.asarray(truth if kind == "label" else predicted)
    return {exp.class_name(int(each)): np.flatnonzero(index == each) for each in np.unique(index[index >= 0])}


def _curve_scores(scores: xr.DataArray | xr.Dataset) -> tuple[xr.DataArray, str]:
    """The array of scores, ``(sample, cam, step)``, and the name of its axis of steps."""
    import xarray as xr  # noqa: PLC0415 - not needed to import signalcam

    array = scores
    if isinstance(scores, xr.Dataset):
        names = list(scores.data_vars)
        if {"curve_score", "removed"} <= set(names):
            shares = {"share removed": scores["removed"]}
            scores = scores["curve_score"].assign_coords(shares).rename("score").to_dataset()
            names = ["score"]
        if len(names) != 1:
            message = f"the scores hold {', '.join(map(str, names))}; a curve is drawn of one. Pass scores[...]."
            raise InputError(message)
        array = scores[names[0]]
    if not isinstance(array, xr.DataArray):
        message = f"the scores are a {type(scores).__name__}; expected an xarray.DataArray over (sample, method, step), as metrics return."
        raise InputError(message)
    array = array.squeeze([dim for dim in array.dims if array.sizes[dim] == 1 and dim in ("target", "layer", "curve")])
    steps = [dim for dim in array.dims if dim not in ("sample", "cam")]
    if len(steps) != 1:
        message = f"scores over {', '.join(map(str, array.dims))} are no curve; expected sample, cam and one axis of steps. Choose one of the others: scores.sel(...)."
        raise InputError(message)
    missing = [dim for dim in ("sample", "cam") if dim not in array.dims]
    return array.expand_dims(missing), str(steps[0])


def _step_coordinate(array: xr.DataArray, step: str) -> xr.DataArray:
    """Coordinate of the steps: another one along this axis if there is any, else their own."""
    along = [name for name, each in array.coords.items() if each.dims == (step,) and name != step]
    return array[along[0] if along else step]


def _label_of(array: xr.DataArray) -> str:
    name = str(array.attrs.get("long_name", array.name or "score"))
    unit = array.attrs.get("units", "")
    return f"{name} ({unit})" if unit else name
