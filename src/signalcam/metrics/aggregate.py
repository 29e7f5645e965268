"""From one value a sample to means that say how sure they are, as one labelled dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from signalcam.metrics.registry import Metric
from signalcam.results.explanation import Explanation
from signalcam.results.statistics import interval, mean

if TYPE_CHECKING:
    import xarray as xr

CELL = ("target", "cam", "layer")


@dataclass(frozen=True)
class MetricValues:
    """What was worked out for some samples.

    Attributes:
        values: ``(metric, sample, target, cam, layer)``.
        curves: By order and imputer, ``(sample, target, cam, layer, step)``.
        confidence: By imputer, ``(sample, step)``.
        score: ``(sample, target)``, what was measured of the unchanged samples.
        removed: ``(layer, step)``, the share of units taken away.
    """

    values: np.ndarray
    curves: Mapping[str, np.ndarray]
    confidence: Mapping[str, np.ndarray]
    score: np.ndarray
    removed: np.ndarray


def concatenate_values(parts: Sequence[MetricValues], order: np.ndarray) -> MetricValues:
    """Put together what was found for samples of several shapes, in their own order."""
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
    found: MetricValues,
    *,
    methods: Sequence[str],
    seed: int,
    about: Mapping[str, Any],
) -> xr.Dataset:
    """Label everything; see ``evaluate``."""
    import xarray as xr  # noqa: PLC0415 - not needed to import signalcam

    values = found.values
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
    summary = ("metric", *CELL)
    variables: dict[str, Any] = {
        "value": (("metric", "sample", *CELL), values),
        "mean": (summary, average),
        "low": (summary, low),
        "high": (summary, high),
        "count": (summary, count),
        "score": (("sample", "target"), found.score),
    }
    if found.curves:
        coords |= {"curve": list(found.curves), "step": np.arange(found.removed.shape[1])}
        variables["curve_score"] = (
            ("curve", "sample", *CELL, "step"),
            np.stack(list(found.curves.values())),
        )
        variables["removed"] = (("layer", "step"), found.removed)
    if found.confidence:
        coords |= {"imputer": list(found.confidence), "share": list(SHARES)}
        variables["confidence"] = (
            ("imputer", "sample", "share"),
            np.stack(list(found.confidence.values())),
        )
    return xr.Dataset(variables, coords, dict(about))


SHARES = (
    0.0,
    0.1,
    1.0,
)  # of the units, that are taken away at random to see how sure the model stays
