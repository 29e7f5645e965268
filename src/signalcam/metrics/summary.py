"""From one value a sample to means that say how sure they are, as one labelled dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from signalcam.explanation import Explanation
from signalcam.metrics.registry import Metric

if TYPE_CHECKING:
    import xarray as xr

RESAMPLED = 1000
HELD = 2**22  # numbers of draws held at a time
LEVEL = 0.95
MANY = 10_000  # samples, from which on resampled means are as good as normally distributed
_WIDTH = 1.959964  # deviations to either side that hold 95 % of a normal distribution
CELL = ("target", "method", "layer")


@dataclass(frozen=True)
class Found:
    """What was worked out for some samples.

    Attributes:
        values: ``(metric, sample, target, method, layer)``.
        curves: By order and imputer, ``(sample, target, method, layer, step)``.
        confidence: By imputer, ``(sample, step)``.
        score: ``(sample, target)``, what was measured of the unchanged samples.
        removed: ``(layer, step)``, the share of units taken away.
    """

    values: np.ndarray
    curves: Mapping[str, np.ndarray]
    confidence: Mapping[str, np.ndarray]
    score: np.ndarray
    removed: np.ndarray


def joined(parts: Sequence[Found], order: np.ndarray) -> Found:
    """Put together what was found for samples of several shapes, in their own order."""
    back = np.argsort(order)

    def rows(arrays: Sequence[np.ndarray], axis: int = 0) -> np.ndarray:
        return np.take(np.concatenate(arrays, axis=axis), back, axis=axis)

    first = parts[0]
    return Found(
        rows([each.values for each in parts], 1),
        {name: rows([each.curves[name] for each in parts]) for name in first.curves},
        {name: rows([each.confidence[name] for each in parts]) for name in first.confidence},
        rows([each.score for each in parts]),
        first.removed,
    )


def interval(values: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Say between which bounds a mean over samples lies, by the percentiles of resampled means.

    Of 10000 samples on these are not drawn: they are distributed normally, by the deviation of the samples.

    Args:
        values: ``(sample, ...)``; NaN where there is none.
        seed: Of the resampling.

    Returns:
        Two arrays ``(...)``: 2.5 and 97.5 %. NaN where fewer than two samples have a value, since one says
        nothing about others.
    """
    count = len(values)
    if count >= MANY:
        return _normal(values)
    rng, share = np.random.default_rng(seed), np.full(count, 1 / count)
    flat = values.reshape(count, -1)
    there = np.isfinite(flat)
    known = np.where(there, flat, 0)
    at_once = max(1, HELD // count)
    parts = []
    for done in range(0, RESAMPLED, at_once):
        drawn = rng.multinomial(count, share, min(at_once, RESAMPLED - done))
        parts.append((drawn @ known, drawn @ there))
    total, weight = (np.concatenate(each) for each in zip(*parts, strict=True))
    enough = there.sum(axis=0) > 1
    bounds = np.full((2, flat.shape[1]), np.nan)
    for column in np.flatnonzero(enough):
        used = weight[:, column] > 0
        means = total[used, column] / weight[used, column]
        bounds[:, column] = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    low, high = bounds.reshape(2, *values.shape[1:])
    return low, high


def _normal(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same of many samples."""
    middle, count = mean(values)
    apart = np.where(np.isfinite(values), values - middle, 0)
    wide = _WIDTH * np.sqrt((apart**2).sum(axis=0)) / np.where(count > 1, count, np.nan)
    return middle - wide, middle + wide


def mean(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Average ``(sample, ...)`` over the samples that have a value, and count them."""
    there = np.isfinite(values)
    count = there.sum(axis=0)
    found = np.where(there, values, 0).sum(axis=0) / np.where(count, count, np.nan)
    return found, count


def dataset(
    exp: Explanation,
    metrics: Sequence[Metric],
    found: Found,
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
        "method": list(methods),
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
