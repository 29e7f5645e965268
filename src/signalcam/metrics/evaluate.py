"""The front door of the metrics: a result and its model go in, scored maps come out."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from signalcam.arrays import Array
from signalcam.errors import CamWarning, InputError
from signalcam.explainer.api import Explainer
from signalcam.inputs.validation import as_list
from signalcam.metrics import average_drop, curves, infidelity, robustness, sparsity, time_series  # noqa: F401 - register their metrics
from signalcam.metrics.aggregate import label_values
from signalcam.metrics.imputers import as_imputer
from signalcam.metrics.out_of_distribution import warn_of_confidence
from signalcam.metrics.registry import Metric, find
from signalcam.metrics.results import check_result, warn_of_constant
from signalcam.metrics.scorer import ScoringOptions, Windows, check_given
from signalcam.results.explanation import Explanation

if TYPE_CHECKING:
    import xarray as xr

DEFAULT = ("deletion", "insertion", "road")
BASELINES = ("random-cam", "input-energy")
_SAME = 0.02  # of a probability: what half precision and another batch may change


def evaluate(  # noqa: PLR0913 - a front door: every parameter is a question users ask
    exp: Explanation,
    model: Any,
    metrics: Any = DEFAULT,
    *,
    measure: str | Callable[[Array], Array] = "probability",
    seed: int = 0,
    imputer: Any = None,
    steps: int | None = None,
    window: Windows = None,
    baselines: Any = BASELINES,
    explainer: Explainer | None = None,
    target: Any = None,
    inputs: Any = None,
    extra: Mapping[str, Any] | None = None,
    fine_tuned: Any = None,
    batch_size: int | None = None,
    progress: bool = False,
) -> xr.Dataset:
    """Score how faithful maps are to the model, beside baselines that they must beat.

    Args:
        exp: The maps, of samples of any length.
        model: The model that was explained. It is borrowed: it comes back exactly as it was.
        metrics: One or several: names from ``signalcam.metrics.names()``, or ``Metric`` objects, as
            ``signalcam.metrics.find("deletion", imputer="mean")`` gives them.
        measure: What is measured, which need not be what was explained: ``"probability"`` of the class each map
            is about, ``"logit"``, ``"log_odds"``, ``"accuracy"`` (whether the true class is still predicted,
            for results with labels), or a function from the scores ``(batch, class)`` to as many.
        seed: Of ties, noise, random sets and intervals.
        imputer: What stands in for what is taken away: ``"zero"``, ``"mean"``, ``"blur"``, ``"noise"``, ``"sample"``,
            ``"linear"``, ``"inverse"``, ``"swap"``, ``"segment-mean"``, a number, an ``Imputer``, or a function of
            ``x (row, channel, *positions)`` and ``known (row, *positions)``. ``None`` takes what each metric's
            paper does.
        steps: From nothing taken away to everything; ``None`` for 10, or as many as there are windows.
        window: How many positions are taken away together, a number or one by axis: ``{"time": 25}``. ``None``
            takes the layer's stride, below which its maps tell nothing apart.
        baselines: Methods that are scored beside; an empty list for none.
        explainer: How the maps were made, where the names in the result do not say it.
        target: What was asked, for each target of the result, where it is not about a class.
        inputs: What the model takes, where that is more than the explained input, in the order of the samples.
        extra: What it takes by keyword beside the inputs, as in ``signalcam.explain``.
        fine_tuned: The same model trained on, with random parts removed: for ``f-fidelity``.
        batch_size: Rows at a time; ``None`` picks a size that fits. Halved when memory runs out.
        progress: Show a progress bar.

    Returns:
        ``value (metric, sample, target, cam, layer)``; over samples that have a value ``mean``, its 95 %
        bootstrap interval ``low`` and ``high``, and their ``count``; ``score (sample, target)`` of the unchanged
        samples; ``curve_score (curve, sample, target, cam, layer, step)`` with the share ``removed (layer, step)``;
        ``confidence (imputer, sample, share)``, the largest probability where random units are taken away. ``better``
        says of each metric which way is better.

    Raises:
        CamError: Something does not fit; the message says what to do.

    Example:
        >>> import signalcam as sc
        >>> scores = sc.metrics.evaluate(exp, network, "deletion")
        >>> scores["mean"].sel(metric="deletion").squeeze().dims
        ('cam',)
    """
    check_result(exp)
    wanted = tuple(find(each) for each in as_list(metrics))
    how = ScoringOptions(
        model,
        wanted,
        measure,
        seed,
        None if imputer is None else as_imputer(imputer),
        steps,
        window,
        tuple(baselines if isinstance(baselines, list | tuple) else [baselines]),
        explainer,
        target,
        extra,
        fine_tuned,
        batch_size,
        progress,
    )
    how.check()
    drawn = exp.at_network_input
    exp = exp if drawn is None else replace(drawn, of="")
    _check(exp, inputs, extra)
    found, methods = how.found(exp, exp.input if inputs is None else inputs)
    if measure == "probability" and target is None:
        _warn_of_another(exp, found.score)
    warn_of_constant(*_constant(exp))
    warn_of_confidence(found.confidence)
    _warn_of_undefined(wanted, found.values)
    about = {
        **exp.provenance,
        "measure": how.measure_name,
        "seed": seed,
        "baselines": ", ".join(methods[len(exp.methods) :]),
    }
    return label_values(exp, wanted, found, methods=methods, seed=seed, about=about)


def _check(exp: Explanation, inputs: Any, extra: Mapping[str, Any] | None) -> None:
    """Refuse results that cannot be asked about again."""
    if exp.windows is not None:
        message = "the record was explained window by window, and metrics score samples. Explain its windows as samples: signalcam.explain(model, windows)."
        raise InputError(message)
    check_given(exp, inputs, extra)
    if not len(exp):
        message = "the result holds no samples, so there is nothing to score. Give one at least."
        raise InputError(message)
    if not all(np.isfinite(layer.values).all() for layer in exp.layers) and exp.shapes is None:
        message = (
            "a map holds NaN or infinite values, which have no rank. Take the samples without: exp.isel(sample=...)."
        )
        raise InputError(message)


def _warn_of_another(exp: Explanation, score: np.ndarray) -> None:
    """Warn where the model does not say of the samples what it said when they were explained."""
    if exp.probabilities is None:
        return
    then = np.take_along_axis(exp.probabilities, exp.target_classes, axis=1)
    apart = np.abs(score - then).max(axis=1)
    if (apart > _SAME).any():
        message = f"the model gives {int((apart > _SAME).sum())} of {len(apart)} samples another probability (by up to {apart.max():.2f}) than when they were explained. Pass the same model and the same inputs, in the same order."
        warnings.warn(message, CamWarning, stacklevel=3)


def _constant(exp: Explanation) -> tuple[int, int]:
    """How many maps are the same everywhere, and of how many; what lies behind a sample's end does not count."""
    flat = [each.values.reshape(*each.values.shape[:3], -1) for each in exp.layers]
    same = [np.nanmax(each, axis=-1) == np.nanmin(each, axis=-1) for each in flat]
    return int(sum(each.sum() for each in same)), sum(each.size for each in same)


def _warn_of_undefined(wanted: Sequence[Metric], values: np.ndarray) -> None:
    for each, own in zip(wanted, values, strict=True):
        missing = int((~np.isfinite(own)).any(axis=(1, 2, 3)).sum())
        if missing:
            message = f"{each.name} is not defined for {missing} of {len(own)} samples (a constant map, or a score that has nothing to lose); they are left out of its mean, see 'count'."
            warnings.warn(message, CamWarning, stacklevel=3)
