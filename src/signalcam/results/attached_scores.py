"""Scores that a result carries: checked when they are given, cut with it, and told in one line."""

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
_SHOWN = 3  # metrics in a line
_SIGNED = ("onset-error", "offset-error")


def merge_scores(old: xr.Dataset | None, scores: xr.Dataset, names: Mapping[str, Sequence[Any]]) -> xr.Dataset:
    """Check scores against a result, and put them beside those it has.

    Args:
        old: What the result carries already.
        scores: What it shall carry.
        names: Of its samples, targets, methods and layers.

    Raises:
        InputError: They are none, or of other samples, targets, methods or layers.
    """
    new = _uniform(scores)
    _check(new, names)
    return new if old is None else _joined(old, new)


def select_scores(
    scores: xr.Dataset | None, rows: Sequence[int], kept: Mapping[str, Sequence[int]], methods: Sequence[str]
) -> xr.Dataset | None:
    """Cut scores as their result is cut: means are those of the samples that stay, baselines stay.

    Args:
        scores: What a result carries.
        rows: The samples to take.
        kept: The targets, methods and layers to take, methods counted in ``methods``.
        methods: The result's, of which scores know more: the baselines.
    """
    if scores is None:
        return None
    all_methods = scores["cam"].values.tolist()
    wanted = [all_methods.index(methods[i]) for i in kept["cam"]]
    always = [name for name in all_methods if name not in methods or name in BASELINES]
    beside = [i for i, name in enumerate(all_methods) if name in always and i not in wanted]
    part = scores.isel({"target": kept["target"], "layer": kept["layer"], "cam": [*wanted, *beside], "sample": rows})
    if list(rows) == list(range(scores.sizes["sample"])):
        return part
    return part.assign(_summary(part["value"], int(part.attrs.get("seed", 0))))


def summary_line(scores: xr.Dataset) -> str:
    """The first metrics of the first method, and what a baseline has: ``"deletion 0.12 (random-cam 0.35)"``."""
    few = scores["mean"].isel(target=0, layer=0, metric=slice(_SHOWN))
    names, methods = few["metric"].values.tolist(), few["cam"].values.tolist()
    own = ", ".join(f"{name} {two_digits(each)}" for name, each in zip(names, few.values[:, 0], strict=True))
    beside = next((name for name in BASELINES if name in methods[1:]), None)
    if beside is None or not np.isfinite(others := few.sel(cam=beside).values).any():
        return own
    return f"{own} ({beside} {', '.join(map(two_digits, others))})"


def two_digits(value: Any) -> str:
    """A score as it is told: two digits, no sign before zero, and a dash where there is none."""
    return f"{round(float(value), 2) + 0.0:.2f}" if np.isfinite(value) else "-"


def to_arrays(scores: xr.Dataset) -> tuple[dict[str, tuple[np.ndarray, tuple[str, ...]]], dict[str, Any]]:
    """Turn scores into arrays with named axes, and JSON; what the result itself knows is left out."""
    arrays = {str(name): (each.values, tuple(map(str, each.dims))) for name, each in scores.data_vars.items()}
    coords = {
        str(name): {"dims": list(map(str, each.dims)), "values": each.values.tolist()}
        for name, each in scores.coords.items()
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
    """Build scores from what ``to_arrays`` made of them and the result's own names."""
    import xarray as xr  # noqa: PLC0415 - not needed to import signalcam

    coords = {_axis(name): (_axes(coord["dims"]), coord["values"]) for name, coord in about["coords"].items()}
    own: dict[str, Any] = {name: list(names[name]) for name in ("sample", "target", "layer")}
    variables = {name: (_axes(dims), arrays[name]) for name, dims in about["dims"].items()}
    return xr.Dataset(variables, {**own, **coords}, about["attrs"])


def _axis(name: str) -> str:
    """The name of an axis; format 1 called that of the methods ``method``."""
    return "cam" if name == "method" else name


def _axes(dims: Sequence[str]) -> tuple[str, ...]:
    return tuple(map(_axis, dims))


def _uniform(scores: Any) -> xr.Dataset:
    """What ``evaluate`` and ``localisation`` return, in one form: that of ``evaluate``."""
    import xarray as xr  # noqa: PLC0415 - not needed to import signalcam

    if not isinstance(scores, xr.Dataset) or not {"sample", *SCORE_DIMS} <= set(scores.dims):
        message = f"scores are {type(scores).__name__}, and should be what signalcam.metrics.evaluate or localisation returned."
        raise InputError(message)
    if "metric" in scores.dims:
        measured = scores.attrs.get("measure", "")
        return (
            scores
            if "measure" in scores.coords
            else scores.assign_coords(measure=("metric", [measured] * scores.sizes["metric"]))
        )
    names = [str(name) for name, each in scores.data_vars.items() if each.dims == ("sample", *SCORE_DIMS)]
    value = xr.concat([scores[name].drop_attrs() for name in names], "metric")
    about = {
        "metric": names,
        "better": ("metric", ["nearer to 0" if name in _SIGNED else "higher" for name in names]),
        "paper": ("metric", [""] * len(names)),
        "measure": ("metric", [""] * len(names)),
    }
    value = value.rename("value").assign_coords(about)
    found = value.to_dataset().assign(_summary(value, 0)).assign(chance=scores["chance"])
    return found.assign_attrs(scores.attrs)


def _summary(value: xr.DataArray, seed: int) -> dict[str, Any]:
    """Means over samples with their intervals, as ``evaluate`` has them."""
    rows = np.moveaxis(value.transpose("metric", "sample", *SCORE_DIMS).values, 1, 0)
    average, count = mean(rows)
    low, high = interval(rows, seed)
    every = {"mean": average, "low": low, "high": high, "count": count}
    return {name: (("metric", *SCORE_DIMS), each) for name, each in every.items()}


def _check(scores: xr.Dataset, names: Mapping[str, Sequence[Any]]) -> None:
    for axis in ("sample", "target", "layer"):
        found, own = scores[axis].values.tolist(), list(names[axis])
        if found != own:
            message = f"the scores are of {axis}s {_some(found)}, and the result of {_some(own)}. Score this result itself, or take the same part of both."
            raise InputError(message)
    missing = [name for name in names["cam"] if name not in scores["cam"].values]
    if missing:
        message = f"the scores know nothing of {missing[0]!r}, only of {_some(scores['cam'].values.tolist())}. Score this result itself, or take those methods: exp.sel(cam=...)."
        raise InputError(message)


def _some(names: Sequence[Any]) -> str:
    return ", ".join(map(str, names[:3])) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _joined(old: xr.Dataset, new: xr.Dataset) -> xr.Dataset:
    """Both, by metric; where a metric is in both, the new one."""
    import xarray as xr  # noqa: PLC0415 - not needed to import signalcam

    methods = list(dict.fromkeys([*old["cam"].values.tolist(), *new["cam"].values.tolist()]))
    rest = [name for name in old["metric"].values.tolist() if name not in new["metric"].values]
    parts = [old.sel({"metric": rest}), new]
    by_metric = [
        _spread(each[[name for name, one in each.data_vars.items() if "metric" in one.dims]], methods) for each in parts
    ]
    every = xr.concat(by_metric, "metric", data_vars="all", coords="minimal", compat="override", join="exact")
    beside = {name: each for part in parts for name, each in part.data_vars.items() if "metric" not in each.dims}
    wide = {name: each.reindex(cam=methods) if "cam" in each.dims else each for name, each in beside.items()}
    return every.assign(wide).assign_attrs({**old.attrs, **new.attrs})


def _spread(scores: xr.Dataset, methods: Sequence[str]) -> xr.Dataset:
    """Scores of more methods: of those that were not scored, none."""
    wide = scores.reindex(cam=methods)
    return wide.assign(count=wide["count"].fillna(0).astype(int))
