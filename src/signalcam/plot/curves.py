"""Curves with a band of deviation: maps averaged over samples, and scores as more and more is removed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from signalcam.errors import InputError, LayoutError, MethodError, TargetError, nearest
from signalcam.plot.map_view import AxisScale, MapView, axes_for, axis_label, check_choice, check_finite, select_map
from signalcam.plot.signal import lines_of, numbers_of, time_of
from signalcam.results.group_summary import GroupSummary, kind_of, summarize_groups
from signalcam.results.plotter import Spread

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.collections import PolyCollection
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.lines import Line2D

    from signalcam.results.explanation import Explanation

# told apart by most eyes: Okabe and Ito 2008, "Color Universal Design", without yellow and black
COLOURS = ("#D55E00", "#0072B2", "#CC79A7", "#56B4E9", "#E69F00", "#009E73")
_DASHES = ("solid", "dashdot", "dotted")  # once every colour is used
BASELINES = ("random", "input-energy")  # how their names begin
_QUANTILES = (
    0.05,
    0.25,
    0.5,
    0.75,
    0.95,
)  # of samples that no job has summed up; those of a job by default


@dataclass(frozen=True)
class Curve:
    """One mean or median, how far samples lie around it, and of how many.

    Attributes:
        name: For the legend.
        middle: At each place.
        bands: What lies below and above it, the widest first; none where there is one sample.
        count: Of samples; 0 where that is not known.
        background: The mean signal of the samples, if it is to be drawn.
        baseline: Whether it is what others are compared with, and drawn dashed and grey.
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
    """Curves over one axis, ready to be drawn by ``plot``.

    Args:
        x: The places.
        curves: What is drawn over them.
        across: What the axis of places says.
        upright: What the axis of values says.
        behind: What the axis of the mean signal says; nothing without one.
        title: Above.
        ruler: Of an axis of a result, which has its own ticks.

    Attributes:
        line_: The means or medians, in the order of ``curves``.
        band_: The bands around them.
        background_: The mean signals.
        ax_: Where it was drawn.
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
            message = f"a summary is drawn over time or one other axis, and the maps have axes {', '.join(exp.dims)}. Draw exp.mean() yourself, or let a job sum them up."
            raise LayoutError(message)
        found, which = summarize_groups(exp), (target, method, layer)
        rows = [] if found is None else found.rows(by)
        every = select_map(exp if found is None else found.mean.isel(sample=rows), *which)
        maps, signals, name = _along_time(every, channel)
        check_finite(maps, "the maps hold")
        signed = bool((maps < 0).any()) or exp.provenance.get("signed") == "True"
        view, dim = MapView(every, maps, signed), time_of(every)
        lost = view.lost("left out") if exp.shapes is None else ""  # no map reaches beyond its sample's end
        shares = quantiles_of(spread, found)
        if found is None:
            curves = [_curve(group, maps[own], signals[own], shares) for group, own in _groups(exp, by).items()]
            count, behind = len(maps), f"mean of {name}"
        else:
            around = [found.deviation] if shares is None else map(found.quantile, range(len(shares)))
            rest = [_along_time(select_map(each.isel(sample=rows), *which), channel)[0] for each in around]
            curves = [_known(found, row, maps[i], [each[i] for each in rest], shares) for i, row in enumerate(rows)]
            count, behind = found.counts[0], ""
        ruler, units = AxisScale.of(every, dim), exp.layout.units
        where = f", on {name}" if len(exp.dims) > 1 else ""
        return cls(
            ruler.centres,
            curves,
            axis_label(every, dim),
            view.meaning(),
            f"{behind} ({units})" if units and behind else behind,
            "\n".join(filter(None, [f"{view.which()}{where}", f"{said_of(shares)} over {count} samples", lost])),
            ruler,
        )

    @classmethod
    def from_carried(
        cls,
        exp: Explanation,
        curve: str | None = None,
        *,
        target: Any = None,
        layer: Any = None,
        baseline: str | tuple[str, ...] = BASELINES,
    ) -> Self:
        """Average one of the curves that a result carries; see ``Plotter.curve``."""
        if exp.metrics is None or "curve_score" not in exp.metrics:
            message = "the result carries no curves of a metric, so there is nothing to draw. Let it: exp.with_scores(signalcam.metrics.evaluate(exp, model)), or pass scores."
            raise InputError(message)
        named = {"curve": curve, "target": target, "layer": layer}
        known = {axis: exp.metrics[axis].values.tolist() for axis in named}
        names = {
            axis: known[axis][0] if name is None else check_choice(name, known[axis], axis)
            for axis, name in named.items()
        }
        places = {axis: known[axis].index(name) for axis, name in names.items()}
        display = cls.from_scores(exp.metrics[["curve_score", "removed"]].isel(places), baseline=baseline)
        display.upright = exp.metrics.attrs.get("measure") or display.upright
        display.title = f"{', '.join(map(str, names.values()))}\nmean ± 1 standard deviation over {len(exp)} samples"
        return display

    @classmethod
    def from_scores(cls, scores: xr.DataArray | xr.Dataset, *, baseline: str | tuple[str, ...] = BASELINES) -> Self:
        """Average the curves of a metric over samples; see ``Plotter.curve``."""
        array, step = _scores(scores)
        x = _places(array, step)
        rows = array.transpose("cam", "sample", step).values
        curves = [
            Curve(
                str(name),
                *_middle(each),
                len(each) * (len(each) > 1),
                baseline=str(name).startswith(baseline),
            )
            for name, each in zip(array["cam"].values, rows, strict=True)
        ]
        return cls(x.values, curves, _said(x), _said(array))

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
        looks = _looks(self.curves)
        if self.behind:
            self._background(looks, background_kws or {})
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
            _legend(ax)
        return self

    def _background(self, looks: list[dict[str, Any]], background_kws: dict[str, Any]) -> None:
        """The mean signal behind, on an axis of its own at the right."""
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


def _legend(ax: Axes) -> None:
    for text in ax.legend(frameon=False, fontsize="small").get_texts():
        text.set_parse_math(False)  # a name is no formula


def _looks(curves: Sequence[Curve]) -> list[dict[str, Any]]:
    """A colour and a dash for each curve."""
    own = cycle([{"color": colour, "linestyle": dash} for dash in _DASHES for colour in COLOURS])
    plain = cycle([{"color": "0.35", "linestyle": dash} for dash in ("dashed", "dotted")])
    return [{"linewidth": 1.5, **next(plain if curve.baseline else own)} for curve in curves]


def quantiles_of(spread: str, found: GroupSummary | None) -> tuple[float, ...] | None:
    """The shares of which quantiles are drawn, as a job has them; nothing for means and deviations.

    Raises:
        MethodError: It is neither.
    """
    if spread not in ("deviation", "quantiles"):
        message = f"there is no spread {spread!r}.{nearest(str(spread), ['deviation', 'quantiles'])} Choose 'deviation' or 'quantiles'."
        raise MethodError(message)
    if spread == "deviation":
        return None
    return _QUANTILES if found is None else found.shares


def said_of(shares: Sequence[float] | None) -> str:
    """What line and bands are, in words."""
    if shares is None:
        return "mean ± 1 standard deviation"
    pairs = [f"{low:.3g} to {high:.3g}" for low, high in _pairs(shares)][::-1]
    line = f"quantile {shares[len(shares) // 2]:.3g}" if len(shares) % 2 else "mean"
    return ", ".join(
        ["median" if line == "quantile 0.5" else line, *(["bands: quantiles " + ", ".join(pairs)] if pairs else [])]
    )


def _pairs(ordered: Sequence[Any]) -> list[tuple[Any, Any]]:
    """The first and the last, the second and the last but one, and so on."""
    return [(ordered[i], ordered[-1 - i]) for i in range(len(ordered) // 2)]


def _middle(
    rows: np.ndarray, shares: Sequence[float] | None = None
) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    """Mean and standard deviation over samples, of those that reach so far; or quantiles of theirs."""
    there = np.isfinite(rows)
    count = there.sum(axis=0)
    enough = np.where(count, count, 1)
    values = np.where(there, rows, 0.0)
    mean = np.where(count, values.sum(axis=0) / enough, np.nan)
    if len(rows) == 1:
        return mean, []
    if shares is not None:
        found = np.full((len(shares), *mean.shape), np.nan)
        found[:, count > 0] = np.nanquantile(rows[:, count > 0], shares, axis=0)
        return _around(mean, list(found), shares)
    spread = np.where(there, rows - mean, 0.0)
    return _around(mean, [np.sqrt((spread**2).sum(axis=0) / enough)], None)


def _around(
    mean: np.ndarray, rest: Sequence[np.ndarray], shares: Sequence[float] | None
) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    """Line and bands, from a mean and its deviation, or from quantiles; of an even number of these the mean is the line."""
    if shares is None:
        return mean, [(mean - rest[0], mean + rest[0])]
    return rest[len(rest) // 2] if len(rest) % 2 else mean, _pairs(rest)


def _curve(name: str, maps: np.ndarray, signals: np.ndarray, shares: Sequence[float] | None) -> Curve:
    return Curve(name, *_middle(maps, shares), len(maps), _middle(signals)[0])


def _known(
    found: GroupSummary, row: int, mean: np.ndarray, rest: Sequence[np.ndarray], shares: Sequence[float] | None
) -> Curve:
    """The curve of a group that a job has summed up."""
    count, name = found.counts[row], str(found.mean.sample_names[row])
    return Curve(name, *(_around(mean, rest, shares) if count > 1 else (mean, [])), count)


def _along_time(exp: Explanation, channel: int | str | None) -> tuple[np.ndarray, np.ndarray, str]:
    """Each sample's map and signal over time, ``(sample, time)``, and which channel that is."""
    dim = time_of(exp)
    whole = np.moveaxis(np.asarray(exp.input), exp.layout.dims.index(dim), -1)
    signals = whole.reshape(len(whole), -1, whole.shape[-1])
    names = lines_of(MapView(exp, whole, signed=False), dim)[1]
    number = numbers_of([0 if channel is None else channel], names)[0]
    maps = exp.maps.values[:, 0, 0, 0]
    if len(exp.dims) > 1:
        maps = np.moveaxis(maps, 1 + exp.dims.index(dim), -1)[:, number]
    name = f"channel {names[number]}" if exp.layout.channel_names is None else names[number]
    return maps, signals[:, number], name


def _groups(exp: Explanation, by: str | None) -> dict[str, np.ndarray]:
    """The samples of each group, under its name."""
    kind = kind_of(by)
    if kind == "all":
        return {"all": np.arange(len(exp))}
    if kind == "group":
        message = "groups of samples are known of a whole job alone. Draw that, or use by='predicted'."
        raise TargetError(message)
    truth, said = exp.true_classes, exp.classes
    if truth is None and kind != "predicted":
        message = f"no labels were given, so samples cannot be told apart by {by!r}. Explain with labels=[...], or use by='predicted'."
        raise TargetError(message)
    if said is None and kind != "label":
        message = f"the model's output holds no classes, so samples cannot be told apart by {by!r}. Leave by= out."
        raise TargetError(message)
    if kind == "right":
        known = (np.asarray(truth) >= 0) & (np.asarray(said) >= 0)
        right = np.asarray(truth) == np.asarray(said)
        return {
            name: np.flatnonzero(each)
            for name, each in (("right", known & right), ("wrong", known & ~right))
            if each.any()
        }
    index = np.asarray(truth if kind == "label" else said)
    return {exp.class_name(int(each)): np.flatnonzero(index == each) for each in np.unique(index[index >= 0])}


def _scores(scores: xr.DataArray | xr.Dataset) -> tuple[xr.DataArray, str]:
    """The one array of scores, ``(sample, method, step)``, and what its axis of steps is called."""
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


def _places(array: xr.DataArray, step: str) -> xr.DataArray:
    """What the steps are steps of: a coordinate that goes with them, or their own."""
    along = [name for name, each in array.coords.items() if each.dims == (step,) and name != step]
    return array[along[0] if along else step]


def _said(array: xr.DataArray) -> str:
    name = str(array.attrs.get("long_name", array.name or "score"))
    unit = array.attrs.get("units", "")
    return f"{name} ({unit})" if unit else name
