"""Which method, at which layer, is worth reading: all of them side by side, beside what is for nothing."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from signalcam.attribution.registry import Method, find
from signalcam.errors import InputError, MethodError, nearest
from signalcam.explainer.api import Explainer
from signalcam.inputs.validation import as_list
from signalcam.metrics.evaluate import BASELINES, DEFAULT, evaluate
from signalcam.metrics.localisation import MEASURES, localisation
from signalcam.metrics.verdict import as_text, compare_to_baselines, rows, verdict
from signalcam.results import verbs
from signalcam.results.explanation import Explanation

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

METHODS = ("grad-cam", "hires-cam", "grad-cam++", "layer-cam", "eigen-cam")
_PLACED = ("pointing-game", "mass-accuracy")
_BRIEF = 0.5  # s: what takes less is run again, without what is looked up once for a model
_OWN = ("model", "method", "layer", "progress")  # what ``explain`` is given by name


@dataclass(frozen=True, eq=False)
class Comparison:
    """Methods and layers, scored side by side.

    Attributes:
        table: What ``evaluate`` returns (and ``localisation``, in the same form) for all methods, the baselines
            last, with ``rank (metric, target, cam, layer)``, 1 for the best (errors rank by their size); ``gain (baseline, ...)``, by how
            much a method is better than a baseline on the same samples (positive is better, whichever
            way the metric runs; the baseline at the layer where it does best), its 95 % interval ``gain_low`` and ``gain_high``; and for each method
            ``seconds`` a sample and ``passes``.
        verdict: What follows from it, in sentences.
        exp: The maps, carrying their scores, for figures and reports.
    """

    table: xr.Dataset
    verdict: str
    exp: Explanation

    def plot(self) -> Figure:
        """Draw the scores: a panel a metric, a dot a method, a line as long as its 95 % interval.

        Raises:
            MissingExtra: matplotlib is not installed.
        """
        _ = self.exp.plot  # says so where matplotlib is missing
        figure: Figure = verbs.call("plot.comparison", self.table, rows(self.table), rows(self.table, baselines=True))
        return figure

    def __repr__(self) -> str:
        return f"{as_text(self.table)}\n\n{self.verdict}"


def compare(  # noqa: PLR0913 - a front door: every parameter is a question users ask
    model: Any,
    inputs: Any,
    methods: Any = METHODS,
    *,
    layers: Any = None,
    metrics: Any = None,
    truth: Any = None,
    tolerance: float = 0.0,
    measure: Any = "probability",
    imputer: Any = None,
    steps: int | None = None,
    window: Any = None,
    seed: int = 0,
    baselines: Any = BASELINES,
    progress: bool = False,
    extra: Mapping[str, Any] | None = None,
    labels: Sequence[int | str] | None = None,
    sample_names: Sequence[Any] | None = None,
    **options: Any,
) -> Comparison:
    """Score methods and layers side by side, and say which of them beat what is for nothing.

    Every method is compared with every baseline on the same samples: the interval is that of the mean
    difference, which is narrower than two means with an interval each would suggest.

    Args:
        model: See ``signalcam.explain``.
        inputs: See ``signalcam.explain``; some tens of samples at least, or no difference can be told from none.
        methods: One or several, as for ``explain``. Their maps must have the same axes.
        layers: One or several, as ``layer`` of ``explain``.
        metrics: Names of metrics of ``evaluate``, and with ``truth`` also of ``localisation``. ``None`` takes
            deletion, insertion and ROAD, with ``truth`` the pointing game and the mass accuracy, too.
        truth: Where the causes are known to lie, see ``localisation``.
        tolerance: See ``localisation``.
        measure: See ``evaluate``, like the next four.
        imputer: See ``evaluate``.
        steps: See ``evaluate``.
        window: See ``evaluate``; the same for all methods.
        seed: See ``evaluate``.
        baselines: What must be beaten, at least one method.
        progress: Show progress bars.
        extra: See ``explain``, like everything that follows.
        labels: See ``explain``.
        sample_names: See ``explain``.
        options: ``target=``, ``layout=``, ``class_names=``, ``signed=``, ``batch_size=`` and the others of ``Explainer``.

    Returns:
        A table that prints itself with a verdict.

    Raises:
        CamError: Something does not fit; the message says what to do.

    Example:
        >>> import signalcam as sc
        >>> found = sc.metrics.compare(network, ecg, ["grad-cam", "hires-cam"], metrics="deletion")
        >>> found.table["rank"].sel(metric="deletion").sel(cam="hires-cam").shape
        (1, 1)
    """
    beside = tuple(dict.fromkeys(find(each) for each in as_list(baselines)))
    own = tuple(each for each in dict.fromkeys(find(each) for each in as_list(methods)) if each not in beside)
    _check(own, options)
    faithful, placed = _chosen(metrics, truth)
    explainer = Explainer(model, method=list(own), layer=layers, progress=progress, **options)
    again = {"extra": extra, "labels": labels, "sample_names": sample_names}
    parts, seconds = [], {}
    for each in (*own, *beside):
        part, seconds[each.name] = _timed(replace(explainer, method=each), inputs, again)
        parts.append(part)
    exp, others = _side_by_side((*own, *beside), parts)
    if placed:
        exp = exp.with_scores(_placed(parts, truth, placed, tolerance))
    if faithful:
        whole = exp.of or "inputs" in exp.provenance
        plain = replace(explainer, preprocess=None, layout=exp.layout)
        scores = evaluate(
            exp,
            explainer.model,
            faithful,
            measure=measure,
            seed=seed,
            imputer=imputer,
            steps=steps,
            window=window,
            baselines=others,
            explainer=plain,
            target=options.get("target") if (exp.target_classes < 0).any() else None,
            inputs=inputs if whole else None,
            extra=extra,
            progress=progress,
            batch_size=options.get("batch_size"),
        )
        exp = exp.with_scores(scores)
    table = compare_to_baselines(cast("xr.Dataset", exp.metrics), (*own, *beside), [each.name for each in beside])
    table = table.assign_coords(seconds=("cam", list(seconds.values())))
    return Comparison(table, verdict(table), exp)


def _check(own: Sequence[Method], options: Mapping[str, Any]) -> None:
    known = [name for name in inspect.signature(Explainer).parameters if name not in _OWN]
    for name in options:
        if name not in known:
            message = f"compare has no option {name!r}.{nearest(name, known)} Beside its own it takes those of signalcam.Explainer."
            raise MethodError(message)
    if not own:
        message = "methods holds baselines only. Give one method at least that is to be compared with them."
        raise MethodError(message)
    resolved = [each.name for each in own if each.at == "channels"]
    if resolved:
        message = f"{resolved[0]!r} maps every channel, and the other maps have no channel axis. Compare methods whose maps have the same axes."
        raise MethodError(message)


def _chosen(metrics: Any, truth: Any) -> tuple[list[Any], list[str]]:
    """Those that ask the model, and those that need to know where the cause lies."""
    if metrics is None:
        return list(DEFAULT), list(_PLACED) if truth is not None else []
    wanted = list(as_list(metrics))
    placed = [each for each in wanted if isinstance(each, str) and each in MEASURES]
    if placed and truth is None:
        message = f"{placed[0]!r} compares maps with where the cause lies, which nobody said. Pass truth=..., see signalcam.metrics.localisation."
        raise InputError(message)
    return [each for each in wanted if each not in placed], placed


def _timed(explainer: Explainer, inputs: Any, again: Mapping[str, Any]) -> tuple[Explanation, float]:
    """Explain, and say how many seconds a sample took once the model is known."""
    start = perf_counter()
    exp = explainer(inputs, **again)
    took = perf_counter() - start
    if took < _BRIEF:
        start = perf_counter()
        exp = explainer(inputs, **again)
        took = min(took, perf_counter() - start)
    return exp, took / max(len(exp), 1)


def _side_by_side(methods: Sequence[Method], parts: Sequence[Explanation]) -> tuple[Explanation, list[Method]]:
    """One result of all maps that lie at the layer, and the methods whose maps do not.

    The latter are scored on the same windows, which are as wide as the layer's stride.
    """
    drawn = [part.at_network_input or part for part in parts]
    kept = [i for i, each in enumerate(methods) if each.at == "layer"] or list(range(len(methods)))
    first, *more = (drawn[i] for i in kept)
    layers = tuple(
        replace(layer, values=np.concatenate([layer.values, *(each.layers[i].values for each in more)], axis=2))
        for i, layer in enumerate(first.layers)
    )
    names = tuple(methods[i].name for i in kept)
    of = "" if first.at_network_input else first.of  # the network's own input needs no name
    exp = replace(first, layers=layers, methods=names, of=of, others=(), modalities=())
    return exp, [each for i, each in enumerate(methods) if i not in kept]


def _placed(parts: Sequence[Explanation], truth: Any, names: Sequence[str], tolerance: float) -> xr.Dataset:
    """Localisation of every method, on the signal that was passed in."""
    import xarray as xr  # noqa: PLC0415 - not needed to import signalcam

    found = [localisation(each, truth, names, tolerance=tolerance) for each in parts]
    return xr.concat(found, "cam", data_vars="minimal", coords="minimal", compat="override", join="exact")
