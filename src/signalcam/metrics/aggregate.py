"""Here you find means, intervals and counts of metric values, as one labelled dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from signalcam.metrics.registry import Metric
from signalcam.results.attached_scores import SCORE_DIMS
from signalcam.results.explanation import Explanation
from signalcam.results.statistics import interval, mean

if TYPE_CHECKING:
    import xarray as xr

SHARES = (0.0, 0.1, 1.0)  # shares of units removed at random, to measure the model's confidence


@dataclass(frozen=True)
class MetricValues:
    """The metric values of some samples.

    Attributes:
        values: ``(metric, sample, target, cam, layer)``.
        curves: By order and imputer, ``(sample, target, cam, layer, step)``.
        confidence: By imputer, ``(sample, step)``.
        score: ``(sample, target)``, the measure of the unchanged samples.
        removed: ``(layer, step)``, the share of units removed.
    """

    values: np.ndarray
    curves: Mapping[str, np.ndarray]
    confidence: Mapping[str, np.ndarray]
    score: np.ndarray
    removed: np.ndarray


def concatenate_values(parts: Sequence[MetricValues], order: np.ndarray) -> MetricValues:
    """Concatenate the values of groups of samples, in the original order of samples."""
    back = np.argsort(order)

    def rows(arrays: Sequence[np.ndarray], axis: int = 0) -> np.ndarray:
        return np.take(np.concatenate(arrays, axis=axis), back, axis=axis)

    first = parts[0]
    return MetricValues(
        rows([each.values for each in parts], 1),
        {name: rows([each.curves[name] for each in parts]) for name in first.curves},
        {name: rows([each.confidence[name] for each in parts]) for name in first.confidence},
        rows([each.score for each in parts]),
        first.removed,
    )


def label_values(
    exp: Explanation,
    metrics: Sequence[Metric],
    scored: MetricValues,
    *,
    methods: Sequence[str],
    seed: int,
    about: Mapping[str, Any],
) -> xr.Dataset:
    """Build the dataset that ``evaluate`` returns."""
    import xarray as xr  # noqa: PLC0415 - not needed to import signalcam

    values = scored.values
    average, count = mean(np.moveaxis(values, 1, 0))
    low, high = interval(np.moveaxis(values, 1, 0), seed)
    names = [each.name for each in metrics]
    coords: dict[str, Any] = {
        "metric": names,
        "better": ("metric", [each.better for each in metrics]),
        "paper": ("metric", [each.paper for each in metrics]),
        "sample": list(exp.sample_names),
        "target": list(exp.targets),
        "cam": list(methods),
        "layer": list(exp.layer_names),
    }
    summary = ("metric", *SCORE_DIMS)
    variables: dict[str, Any] = {
        "value": (("metric", "sample", *SCORE_DIMS), values),
        "mean": (summary, average),
        "low": (summary, low),
        "high": (summary, high),
        "count": (summary, count),
        "score": (("sample", "target"), scored.score),
    }
    if scored.curves:
        coords |= {"curve": list(scored.curves), "step": np.arange(scored.removed.shape[1])}
        variables["curve_score"] = (
            ("curve", "sample", *SCORE_DIMS, "step"),
            np.stack(list(scored.curves.values())),
        )
        variables["removed"] = (("layer", "step"), scored.removed)
    if scored.confidence:
        coords |= {"imputer": list(scored.confidence), "share": list(SHARES)}
        variables["confidence"] = (
            ("imputer", "sample", "share"),
            np.stack(list(scored.confidence.values())),
        )
    return xr.Dataset(variables, coords, dict(about))
