"""The arrays of a job's store: which there are, of which type and shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

MAP_AXES = ("target", "cam", "layer")


Axes = dict[str, int]


def _score_axes(about: Mapping[str, Any]) -> Axes | None:
    """The axes of the scores; ``None`` where none were asked for."""
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
    """The array with the scores of each sample, and what stands where there are none."""
    axes = _score_axes(about)
    return {} if axes is None else {"metrics": (axes, np.float32, np.nan)}


def score_sums(about: Mapping[str, Any]) -> dict[str, tuple[Axes, Any]]:
    """What each unit adds to their means."""
    axes = _score_axes(about)
    if axes is None:
        return {}
    kinds = {"count": np.int64, "mean": np.float64, "squares": np.float64}
    return {f"{name}_metrics": (axes, kind) for name, kind in kinds.items()}


def score_labels(about: Mapping[str, Any]) -> dict[str, tuple[np.ndarray, dict[str, str]]]:
    """What the entries of their axes are called."""
    metrics = about["facts"].get("metrics")
    if metrics is None:
        return {}
    names = {"metric": metrics["names"], "scored": metrics["methods"]}
    names["layer"] = [each["name"] for each in about["facts"]["layers"]]
    return {name: (np.array(each, np.dtypes.StringDType()), {}) for name, each in names.items()}


def unit_score_sums(rows: Mapping[str, np.ndarray], belongs: np.ndarray) -> dict[str, np.ndarray]:
    """What one unit adds: how many samples of each group have a score, its mean, and squared deviations."""
    if "metrics" not in rows:
        return {}
    parts = [_moments(rows["metrics"][here].astype(np.float64)) for here in belongs]
    counts, means, squares = (np.stack(each) for each in zip(*parts, strict=True))
    return {"count_metrics": counts, "mean_metrics": means, "squares_metrics": squares}


def _moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Those over the samples that have a score."""
    there = np.isfinite(values)
    count = there.sum(axis=0)
    mean = np.where(there, values, 0).sum(axis=0) / np.maximum(count, 1)
    return count, mean, (np.where(there, values - mean, 0) ** 2).sum(axis=0)


@dataclass(frozen=True)
class ColumnSpec:
    """An array of the store: its axes, their lengths, its numbers, and what stands where nothing was written."""

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: Any
    blank: Any
