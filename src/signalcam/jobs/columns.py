"""Arrays of metric scores in a job's store: axes, dtypes, labels and sums."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

MAP_AXES = ("target", "cam", "layer")


Axes = dict[str, int]


def _score_axes(about: Mapping[str, Any]) -> Axes | None:
    """Axes of the scores and their lengths; ``None`` for a job without metrics."""
    facts = about["facts"]
    metrics = facts.get("metrics")
    if metrics is None:
        return None
    return {
        "metric": len(metrics["names"]),
        "target": len(facts["targets"]),
        "scored": len(metrics["methods"]),
        "layer": len(facts["layers"]),
    }


def score_columns(about: Mapping[str, Any]) -> dict[str, tuple[Axes, Any, Any]]:
    """The array with the scores of each sample: axes, dtype and blank value."""
    axes = _score_axes(about)
    return {} if axes is None else {"metrics": (axes, np.float32, np.nan)}


def score_sums(about: Mapping[str, Any]) -> dict[str, tuple[Axes, Any]]:
    """Arrays with the score sums of each unit: axes and dtype."""
    axes = _score_axes(about)
    if axes is None:
        return {}
    kinds = {"count": np.int64, "mean": np.float64, "squares": np.float64}
    return {f"{name}_metrics": (axes, kind) for name, kind in kinds.items()}


def score_labels(about: Mapping[str, Any]) -> dict[str, tuple[np.ndarray, dict[str, str]]]:
    """Names along the axes of the scores."""
    metrics = about["facts"].get("metrics")
    if metrics is None:
        return {}
    names = {"metric": metrics["names"], "scored": metrics["methods"]}
    names["layer"] = [each["name"] for each in about["facts"]["layers"]]
    return {name: (np.array(each, np.dtypes.StringDType()), {}) for name, each in names.items()}


def unit_score_sums(rows: Mapping[str, np.ndarray], belongs: np.ndarray) -> dict[str, np.ndarray]:
    """Sum up the scores of one unit: count, mean and squared deviations per group."""
    if "metrics" not in rows:
        return {}
    parts = [_moments(rows["metrics"][mask].astype(np.float64)) for mask in belongs]
    counts, means, squares = (np.stack(each) for each in zip(*parts, strict=True))
    return {"count_metrics": counts, "mean_metrics": means, "squares_metrics": squares}


def _moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count, mean and squared deviations over the samples that have a score."""
    scored = np.isfinite(values)
    count = scored.sum(axis=0)
    mean = np.where(scored, values, 0).sum(axis=0) / np.maximum(count, 1)
    return count, mean, (np.where(scored, values - mean, 0) ** 2).sum(axis=0)


@dataclass(frozen=True)
class ColumnSpec:
    """An array of the store: axes, lengths, dtype and the value where nothing was written."""

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: Any
    blank: Any
