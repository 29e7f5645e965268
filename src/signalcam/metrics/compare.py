"""Here you find ``compare``, which scores methods and layers side by side."""

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
_LOCALISATION_METRICS = ("pointing-game", "mass-accuracy")
_BRIEF = 0.5  # s: shorter runs are timed again, without the one-time inspection of the model
_OWN = ("model", "method", "layer", "progress")  # arguments of ``Explainer`` that ``compare`` sets


@dataclass(frozen=True, eq=False)
class Comparison:
    """Methods and layers, scored side by side.

    Attributes:
        table: The dataset of ``evaluate`` (and of ``localisation``, in this form) for all methods, the baselines
            last. Also ``rank (metric, target, cam, layer)``, 1 for the best (errors rank by their size); ``gain
            (baseline, ...)`` over each baseline on the same samples, with its 95 % interval ``gain_low`` and
            ``gain_high``; and ``seconds`` a sample and ``passes`` of each method. A positive gain is better,
            whatever the direction of the metric. The baseline is taken at its best layer.
        verdict: The conclusion, in sentences.
        exp: The maps with their scores, for figures and reports.
    """

    table: xr.Dataset
    verdict: str
    exp: Explanation

    def plot(self) -> Figure:
        """Draw the scores: one panel for each metric, a dot and its 95 % interval for each method.

        Raises:
            MissingExtra: matplotlib is not installed.
        """
        _ = self.exp.plot  # raises if matplotlib is missing
        figure: Figure = verbs.call("plot.comparison", self.table, rows(self.table), rows(self.table, baselines=True))
        return figure

    def __repr__(self) -> str:
        return f"{as_text(self.table)}\n\n{self.verdict}"


def compare(  # noqa: PLR0913 - a public entry point with many options
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
    """Score methods and layers side by side, and say which of them beat the baselines.

    Every method is compared with every baseline on the same samples. The interval is that of the mean
    difference, which is narrower than the intervals of two means suggest.

    Args:
        model: See ``signalcam.explain``.
        inputs: See ``signalcam.explain``; at least some tens of samples, or no difference is significant.
        methods: One or several, as for ``explain``. Their maps must have the same axes.
        layers: One or several, as ``layer`` of ``explain``.
        metrics: Names of metrics of ``evaluate``, and with ``truth`` also of ``localisation``. ``None`` for
            deletion, insertion and ROAD; with ``truth`` also the pointing game and the mass accuracy.
        truth: Where the causes are, see ``localisation``.
        tolerance: See ``localisation``.
        measure: See ``evaluate``, like the next four.
        imputer: See ``evaluate``.
        steps: See ``evaluate``.
        window: See ``evaluate``; one for all methods.
        seed: See ``evaluate``.
        baselines: The baselines, at least one method.
        progress: Show progress bars.
        extra: See ``explain``, like the following.
        labels: See ``explain``.
        sample_names: See ``explain``.
        options: ``target=``, ``layout=``, ``class_names=``, ``signed=``, ``batch_size=`` and others of ``Explainer``.

    Returns:
        A table that prints itself with a verdict.

    Raises:
        CamError: An argument does not fit; the message says what to do.

    Example:
        >>> import signalcam as sc
        >>> found = sc.metrics.compare(network, ecg, ["grad-cam", "hires-cam"], metrics="deletion")
        >>> found.table["rank"].sel(metric="deletion").sel(cam="hires-cam").shape
        (1, 1)
    """
    baseline_methods = tuple(dict.fromkeys(find(each) for each in as_list(baselines)))
    compared = tuple(
        method
        for method in dict.fromkeys(find(method) for method in as_list(methods))
        if method not in baseline_methods
    )
    _check_options(compared, options)
    faithfulness_metrics, localisation_metrics = _split_metrics(metrics, truth)
    explainer = Explainer(model, method=list(compared), layer=layers, progress=progress, **options)
    arguments = {"extra": extra, "labels": labels, "sample_names": sample_names}
    parts, seconds = [], {}
    for method in (*compared, *baseline_methods):
        part, seconds[method.name] = _explain_timed(replace(explainer, method=method), inputs, arguments)
        parts.append(part)
    exp, other_baselines = _merge_parts((*compared, *baseline_methods), parts)
    if localisation_metrics:
        exp = exp.with_scores(_localisation_scores(parts, truth, localisation_metrics, tolerance))
    if faithfulness_metrics:
        several_inputs = exp.of or "inputs" in exp.provenance
        direct = replace(explainer, preprocess=None, layout=exp.layout)
        scores = evaluate(
            exp,
            explainer.model,
            faithfulness_metrics,
            measure=measure,
            seed=seed,
            imputer=imputer,
            steps=steps,
            window=window,
            baselines=other_baselines,
            explainer=direct,
            target=options.get("target") if (exp.target_classes < 0).any() else None,
            inputs=inputs if several_inputs else None,
            extra=extra,
            progress=progress,
            batch_size=options.get("batch_size"),
        )
        exp = exp.with_scores(scores)
    table = compare_to_baselines(
        cast("xr.Dataset", exp.metrics), (*compared, *baseline_methods), [each.name for each in baseline_methods]
    )
    table = table.assign_coords(seconds=("cam", list(seconds.values())))
    return Comparison(table, verdict(table), exp)


def _check_options(methods: Sequence[Method], options: Mapping[str, Any]) -> None:
    names = [name for name in inspect.signature(Explainer).parameters if name not in _OWN]
    for name in options:
        if name not in names:
            message = (
                f"compare has no option {name!r}.{nearest(name, names)} It also takes those of signalcam.Explainer."
            )
            raise MethodError(message)
    if not methods:
        message = "methods holds baselines only. Give one method at least that is to be compared with them."
        raise MethodError(message)
    resolved = [each.name for each in methods if each.at == "channels"]
    if resolved:
        message = f"{resolved[0]!r} maps every channel, and the other maps have no channel axis. Compare methods whose maps have the same axes."
        raise MethodError(message)


def _split_metrics(metrics: Any, truth: Any) -> tuple[list[Any], list[str]]:
    """Split metrics into those of ``evaluate`` and those of ``localisation``."""
    if metrics is None:
        return list(DEFAULT), list(_LOCALISATION_METRICS) if truth is not None else []
    names = list(as_list(metrics))
    with_truth = [each for each in names if isinstance(each, str) and each in MEASURES]
    if with_truth and truth is None:
        message = (
            f"{with_truth[0]!r} needs to know where the cause is. Pass truth=..., see signalcam.metrics.localisation."
        )
        raise InputError(message)
    return [each for each in names if each not in with_truth], with_truth


def _explain_timed(explainer: Explainer, inputs: Any, arguments: Mapping[str, Any]) -> tuple[Explanation, float]:
    """Explain, and return also the seconds a sample took, without one-time work."""
    start = perf_counter()
    exp = explainer(inputs, **arguments)
    seconds = perf_counter() - start
    if seconds < _BRIEF:
        start = perf_counter()
        exp = explainer(inputs, **arguments)
        seconds = min(seconds, perf_counter() - start)
    return exp, seconds / max(len(exp), 1)


def _merge_parts(methods: Sequence[Method], parts: Sequence[Explanation]) -> tuple[Explanation, list[Method]]:
    """Merge the maps of methods that act at the layer; return also the other methods.

    The latter are scored later, on windows as wide as the layer's stride.
    """
    network_parts = [part.at_network_input or part for part in parts]
    at_layer = [i for i, each in enumerate(methods) if each.at == "layer"] or list(range(len(methods)))
    first, *more = (network_parts[i] for i in at_layer)
    layers = tuple(
        replace(layer, values=np.concatenate([layer.values, *(each.layers[i].values for each in more)], axis=2))
        for i, layer in enumerate(first.layers)
    )
    names = tuple(methods[i].name for i in at_layer)
    of = "" if first.at_network_input else first.of  # the network's own input needs no name
    exp = replace(first, layers=layers, methods=names, of=of, others=(), modalities=())
    return exp, [each for i, each in enumerate(methods) if i not in at_layer]


def _localisation_scores(
    parts: Sequence[Explanation], truth: Any, names: Sequence[str], tolerance: float
) -> xr.Dataset:
    """Localisation scores of every method, on the original signal."""
    import xarray as xr  # noqa: PLC0415 - not needed to import signalcam

    scores = [localisation(each, truth, names, tolerance=tolerance) for each in parts]
    return xr.concat(scores, "cam", data_vars="minimal", coords="minimal", compat="override", join="exact")
