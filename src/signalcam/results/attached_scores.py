"""Here you find the metric scores attached to an explanation: validate, merge, select and summarise them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from signalcam.errors import InputError
from signalcam.results.statistics import interval, mean

if TYPE_CHECKING:
    import xarray as xr

SCORE_DIMS = ("target", "cam", "layer")
BASELINES = ("random-cam", "input-energy")  # what stands in brackets; the first that is there
_N_METRICS = 3  # metrics in a line
_SIGNED_METRICS = ("onset-error", "offset-error")


def merge_scores(old: xr.Dataset | None, scores: xr.Dataset, names: Mapping[str, Sequence[Any]]) -> xr.Dataset:
    """Check scores against a result and merge them with those it has.

    Args:
        old: The scores of the result; ``None`` for none.
        scores: The new scores.
        names: The result's samples, targets, methods (``cam``) and layers.

    Raises:
        InputError: They are no scores, or of other samples, targets, methods or layers.
    """
    new = _to_evaluate_form(scores)
    _check_names(new, names)
    return new if old is None else _concatenate(old, new)


def select_scores(
    scores: xr.Dataset | None, rows: Sequence[int], indices: Mapping[str, Sequence[int]], methods: Sequence[str]
) -> xr.Dataset | None:
    """Select the scores of a part of a result; means are computed anew, baselines stay.

    Args:
        scores: The scores of the result.
        rows: Indices of the samples.
        indices: Indices of targets, methods (in ``methods``) and layers.
        methods: The result's methods. Scores may have more: the baselines.
    """
    if scores is None:
        return None
    all_methods = scores["cam"].values.tolist()
    method_indices = [all_methods.index(methods[i]) for i in indices["cam"]]
    baselines = [name for name in all_methods if name not in methods or name in BASELINES]
    baseline_indices = [i for i, name in enumerate(all_methods) if name in baselines and i not in method_indices]
    selected = scores.isel(
        {
            "target": indices["target"],
            "layer": indices["layer"],
            "cam": [*method_indices, *baseline_indices],
            "sample": rows,
        }
    )
    if list(rows) == list(range(scores.sizes["sample"])):
        return selected
    return selected.assign(_summary(selected["value"], int(selected.attrs.get("seed", 0))))


def summary_line(scores: xr.Dataset) -> str:
    """Summarise the first method's metrics, with a baseline: ``"deletion 0.12 (random-cam 0.35)"``."""
    scores_of_few = scores["mean"].isel(target=0, layer=0, metric=slice(_N_METRICS))
    names, methods = scores_of_few["metric"].values.tolist(), scores_of_few["cam"].values.tolist()
    text = ", ".join(f"{name} {two_digits(each)}" for name, each in zip(names, scores_of_few.values[:, 0], strict=True))
    baseline = next((name for name in BASELINES if name in methods[1:]), None)
    if baseline is None or not np.isfinite(baseline_scores := scores_of_few.sel(cam=baseline).values).any():
        return text
    return f"{text} ({baseline} {', '.join(map(two_digits, baseline_scores))})"


def two_digits(value: Any) -> str:
    """Format a score with two digits, without a sign before zero; ``"-"`` for NaN."""
    return f"{round(float(value), 2) + 0.0:.2f}" if np.isfinite(value) else "-"


def to_arrays(scores: xr.Dataset) -> tuple[dict[str, tuple[np.ndarray, tuple[str, ...]]], dict[str, Any]]:
    """Turn scores into arrays with named axes, and JSON; names that the result itself has are left out."""
    arrays = {str(name): (each.values, tuple(map(str, each.dims))) for name, each in scores.data_vars.items()}
    coords = {
        str(name): {"dims": list(map(str, coord.dims)), "values": coord.values.tolist()}
        for name, coord in scores.coords.items()
        if name not in ("sample", "target", "layer")
    }
    return arrays, {
        "coords": coords,
        "dims": {name: dims for name, (_, dims) in arrays.items()},
        "attrs": dict(scores.attrs),
    }


def from_arrays(
    arrays: Mapping[str, np.ndarray], about: Mapping[str, Any], names: Mapping[str, Sequence[Any]]
) -> xr.Dataset:
    """Build scores from the output of ``to_arrays`` and the result's names."""
    import xarray as xr  # noqa: PLC0415 - not needed to import signalcam

    coords = {
        _current_name(name): (_current_names(coord["dims"]), coord["values"]) for name, coord in about["coords"].items()
    }
    names_of_result: dict[str, Any] = {name: list(names[name]) for name in ("sample", "target", "layer")}
    variables = {name: (_current_names(dims), arrays[name]) for name, dims in about["dims"].items()}
    return xr.Dataset(variables, {**names_of_result, **coords}, about["attrs"])


def _current_name(name: str) -> str:
    """Return the name of an axis; format 1 called the axis of methods ``method``."""
    return "cam" if name == "method" else name


def _current_names(dims: Sequence[str]) -> tuple[str, ...]:
    return tuple(map(_current_name, dims))


def _to_evaluate_form(scores: Any) -> xr.Dataset:
    """Convert the output of ``localisation`` to the form of ``evaluate``, and check both."""
    import xarray as xr  # noqa: PLC0415 - not needed to import signalcam

    if not isinstance(scores, xr.Dataset) or not {"sample", *SCORE_DIMS} <= set(scores.dims):
        message = f"scores are {type(scores).__name__}, and should be what signalcam.metrics.evaluate or localisation returned."
        raise InputError(message)
    if "metric" in scores.dims:
        measure = scores.attrs.get("measure", "")
        return (
            scores
            if "measure" in scores.coords
            else scores.assign_coords(measure=("metric", [measure] * scores.sizes["metric"]))
        )
    names = [str(name) for name, each in scores.data_vars.items() if each.dims == ("sample", *SCORE_DIMS)]
    value = xr.concat([scores[name].drop_attrs() for name in names], "metric")
    coords = {
        "metric": names,
        "better": ("metric", ["nearer to 0" if name in _SIGNED_METRICS else "higher" for name in names]),
        "paper": ("metric", [""] * len(names)),
        "measure": ("metric", [""] * len(names)),
    }
    value = value.rename("value").assign_coords(coords)
    dataset = value.to_dataset().assign(_summary(value, 0)).assign(chance=scores["chance"])
    return dataset.assign_attrs(scores.attrs)


def _summary(value: xr.DataArray, seed: int) -> dict[str, Any]:
    """Means over samples with confidence intervals and counts, as in the output of ``evaluate``."""
    rows = np.moveaxis(value.transpose("metric", "sample", *SCORE_DIMS).values, 1, 0)
    average, count = mean(rows)
    low, high = interval(rows, seed)
    statistics = {"mean": average, "low": low, "high": high, "count": count}
    return {name: (("metric", *SCORE_DIMS), each) for name, each in statistics.items()}


def _check_names(scores: xr.Dataset, names: Mapping[str, Sequence[Any]]) -> None:
    for axis in ("sample", "target", "layer"):
        score_names, result_names = scores[axis].values.tolist(), list(names[axis])
        if score_names != result_names:
            message = f"the scores are of {axis}s {_first_names(score_names)}, and the result of {_first_names(result_names)}. Score this result itself, or select the same part of both."
            raise InputError(message)
    missing = [name for name in names["cam"] if name not in scores["cam"].values]
    if missing:
        message = f"there are no scores of {missing[0]!r}, only of {_first_names(scores['cam'].values.tolist())}. Score this result itself, or select those methods: exp.sel(cam=...)."
        raise InputError(message)


def _first_names(names: Sequence[Any]) -> str:
    return ", ".join(map(str, names[:3])) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _concatenate(old: xr.Dataset, new: xr.Dataset) -> xr.Dataset:
    """Concatenate scores by metric; new scores replace old ones of a metric."""
    import xarray as xr  # noqa: PLC0415 - not needed to import signalcam

    methods = list(dict.fromkeys([*old["cam"].values.tolist(), *new["cam"].values.tolist()]))
    rest = [name for name in old["metric"].values.tolist() if name not in new["metric"].values]
    parts = [old.sel({"metric": rest}), new]
    by_metric = [
        _add_methods(part[[name for name, one in part.data_vars.items() if "metric" in one.dims]], methods)
        for part in parts
    ]
    by_metric_scores = xr.concat(
        by_metric, "metric", data_vars="all", coords="minimal", compat="override", join="exact"
    )
    other_variables = {
        name: variable for part in parts for name, variable in part.data_vars.items() if "metric" not in variable.dims
    }
    widened = {
        name: variable.reindex(cam=methods) if "cam" in variable.dims else variable
        for name, variable in other_variables.items()
    }
    return by_metric_scores.assign(widened).assign_attrs({**old.attrs, **new.attrs})


def _add_methods(scores: xr.Dataset, methods: Sequence[str]) -> xr.Dataset:
    """Add methods without scores: NaN, and a count of 0."""
    wide = scores.reindex(cam=methods)
    return wide.assign(count=wide["count"].fillna(0).astype(int))
