"""The scores of a result as a page shows them: per sample, means over samples, and curves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import xarray as xr

    from signalcam.results.explanation import Explanation

_MAP_AXES = ("target", "cam", "layer")
_DIGITS = 4


def describe_scores(exp: Explanation) -> dict[str, Any] | None:
    """Describe metrics, methods and baselines, with means over samples; ``None`` without scores.

    ``mean``, ``low``, ``high`` and ``count`` are ``[metric][target][method][layer]``; the result's methods come first.
    """
    if exp.metrics is None:
        return None
    scores = _own_methods_first(exp, exp.metrics)
    about = ("metric", *_MAP_AXES)
    return {
        "names": list(map(str, scores["metric"].values)),
        "better": list(map(str, scores["better"].values)),
        "methods": list(map(str, scores["cam"].values)),
        "own": len(exp.methods),
        **{name: round_values(scores[name].transpose(*about).values) for name in ("mean", "low", "high", "count")},
        "curves": _curves(scores),
    }


def score_values(exp: Explanation) -> np.ndarray | None:
    """Score of each sample, ``(sample, metric, target, cam, layer)``, without baselines."""
    if exp.metrics is None:
        return None
    values = exp.metrics["value"].sel(cam=list(exp.methods))
    array: np.ndarray = np.asarray(values.transpose("sample", "metric", *_MAP_AXES).values, float)
    return array


def round_values(numbers: np.ndarray) -> Any:
    """Round to four digits, as a page shows no more, and convert to nested lists."""
    digits = np.vectorize(lambda value: float(f"{value:.{_DIGITS}g}"), otypes=[float])
    return digits(numbers).tolist() if numbers.size else numbers.tolist()


def _own_methods_first(exp: Explanation, scores: xr.Dataset) -> xr.Dataset:
    baselines = [name for name in scores["cam"].values.tolist() if name not in exp.methods]
    return scores.sel(cam=[*exp.methods, *baselines])


def _curves(scores: xr.Dataset) -> dict[str, Any] | None:
    """Means over samples, ``[curve][target][method][layer][step]``, over the share ``removed``, ``[layer][step]``."""
    if "curve_score" not in scores:
        return None
    mean = scores["curve_score"].mean("sample").transpose("curve", *_MAP_AXES, "step")
    return {
        "names": list(map(str, mean["curve"].values)),
        "measure": str(scores.attrs.get("measure") or "score"),
        "removed": round_values(scores["removed"].transpose("layer", "step").values),
        "mean": round_values(mean.values),
    }
