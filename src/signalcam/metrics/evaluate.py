"""Here you find ``evaluate``, which scores the maps of an explanation by metrics."""

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
from signalcam.metrics import average_drop, curves, infidelity, robustness, sparsity, time_series  # noqa: F401 - imported to register their metrics
from signalcam.metrics.aggregate import label_values
from signalcam.metrics.imputers import as_imputer
from signalcam.metrics.out_of_distribution import warn_of_confidence
from signalcam.metrics.registry import Metric, find
from signalcam.metrics.results import check_inputs, check_result, warn_of_constant
from signalcam.metrics.scorer import ScoringOptions, Windows
from signalcam.results.explanation import Explanation

if TYPE_CHECKING:
    import xarray as xr

DEFAULT = ("deletion", "insertion", "road")
BASELINES = ("random-cam", "input-energy")
_TOLERANCE = 0.02  # of a probability: half precision and other batches may change so much


def evaluate(  # noqa: PLR0913 - a public entry point with many options
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
    """Score how faithful maps are to the model, together with baselines that they must beat.

    Args:
        exp: The maps, of samples of any length.
        model: The model that was explained. It is unchanged afterwards.
        metrics: One or several: names from ``signalcam.metrics.names()``, or ``Metric`` objects such as
            ``signalcam.metrics.find("deletion", imputer="mean")``.
        measure: The measured score, which may differ from the explained one: ``"probability"`` of each map's
            class, ``"logit"``, ``"log_odds"``, ``"accuracy"`` (whether the true class is still predicted; needs
            labels), or a function of scores ``(batch, class)`` that returns an array of this shape.
        seed: Seed of ties, noise, random sets and intervals.
        imputer: The replacement of removed values: ``"zero"``, ``"mean"``, ``"blur"``, ``"noise"``, ``"sample"``,
            ``"linear"``, ``"inverse"``, ``"swap"``, ``"segment-mean"``, a number, an ``Imputer``, or a function of
            ``x (row, channel, *positions)`` and ``keep (row, *positions)``. ``None`` for that of each metric's paper.
        steps: Number of steps from nothing to everything removed; ``None`` for 10, or the number of windows if
            there are fewer.
        window: Positions that are removed together, a number or one by axis: ``{"time": 25}``. ``None`` for the
            layer's stride, which is the resolution of its maps.
        baselines: Methods to score as baselines; an empty list for none.
        explainer: The explainer of these maps, if the names in the result do not define it.
        target: The targets, as passed to ``explain``, for targets that are not a class.
        inputs: The model's inputs if it takes more than the explained one, in the order of the samples.
        extra: Keyword arguments of the model, as in ``signalcam.explain``.
        fine_tuned: The model fine-tuned with random parts removed: for ``f-fidelity``.
        batch_size: Rows per batch; ``None`` for a size that fits. Halved when memory runs out.
        progress: Show a progress bar.

    Returns:
        ``value (metric, sample, target, cam, layer)``. Over samples with a value: ``mean``, its 95 % bootstrap
        interval ``low`` and ``high``, and their ``count``. ``score (sample, target)`` of the unchanged samples.
        ``curve_score (curve, sample, target, cam, layer, step)`` over the share ``removed (layer, step)``.
        ``confidence (imputer, sample, share)``, the largest probability with random units removed. ``better`` is the
        better direction of each metric.

    Raises:
        CamError: An argument does not fit; the message says what to do.

    Example:
        >>> import signalcam as sc
        >>> scores = sc.metrics.evaluate(exp, network, "deletion")
        >>> scores["mean"].sel(metric="deletion").squeeze().dims
        ('cam',)
    """
    check_result(exp)
    resolved = tuple(find(each) for each in as_list(metrics))
    options = ScoringOptions(
        model,
        resolved,
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
    options.check()
    network_exp = exp.at_network_input
    exp = exp if network_exp is None else replace(network_exp, of="")
    _check_result(exp, inputs, extra)
    scored, methods = options.score(exp, exp.input if inputs is None else inputs)
    if measure == "probability" and target is None:
        _warn_of_other_model(exp, scored.score)
    warn_of_constant(*_count_constant(exp))
    warn_of_confidence(scored.confidence)
    _warn_of_undefined(resolved, scored.values)
    about = {
        **exp.provenance,
        "measure": options.measure_name,
        "seed": seed,
        "baselines": ", ".join(methods[len(exp.methods) :]),
    }
    return label_values(exp, resolved, scored, methods=methods, seed=seed, about=about)


def _check_result(exp: Explanation, inputs: Any, extra: Mapping[str, Any] | None) -> None:
    """Raise an ``InputError`` for results that cannot be scored."""
    if exp.windows is not None:
        message = "the record was explained window by window, and metrics score samples. Explain its windows as samples: signalcam.explain(model, windows)."
        raise InputError(message)
    check_inputs(exp, inputs, extra)
    if not len(exp):
        message = "the result holds no samples, so there is nothing to score. Give one at least."
        raise InputError(message)
    if not all(np.isfinite(layer.values).all() for layer in exp.layers) and exp.shapes is None:
        message = (
            "a map holds NaN or infinite values, which have no rank. Take the samples without: exp.isel(sample=...)."
        )
        raise InputError(message)


def _warn_of_other_model(exp: Explanation, score: np.ndarray) -> None:
    """Warn if the model's probabilities differ from those of the explanation."""
    if exp.probabilities is None:
        return
    before = np.take_along_axis(exp.probabilities, exp.target_classes, axis=1)
    difference = np.abs(score - before).max(axis=1)
    if (difference > _TOLERANCE).any():
        message = f"the model gives {int((difference > _TOLERANCE).sum())} of {len(difference)} samples another probability (by up to {difference.max():.2f}) than when they were explained. Pass the same model and the same inputs, in the same order."
        warnings.warn(message, CamWarning, stacklevel=3)


def _count_constant(exp: Explanation) -> tuple[int, int]:
    """Number of constant maps, and of all maps; padding does not count."""
    flat = [each.values.reshape(*each.values.shape[:3], -1) for each in exp.layers]
    constant = [np.nanmax(each, axis=-1) == np.nanmin(each, axis=-1) for each in flat]
    return int(sum(each.sum() for each in constant)), sum(each.size for each in constant)


def _warn_of_undefined(metrics: Sequence[Metric], values: np.ndarray) -> None:
    for metric, rows in zip(metrics, values, strict=True):
        missing = int((~np.isfinite(rows)).any(axis=(1, 2, 3)).sum())
        if missing:
            message = f"{metric.name} is not defined for {missing} of {len(rows)} samples (a constant map, or a score that cannot fall); they are left out of its mean, see 'count'."
            warnings.warn(message, CamWarning, stacklevel=3)
