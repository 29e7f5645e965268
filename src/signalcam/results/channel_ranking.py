"""Here you find the ranking of channels by importance, for each sample or class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from signalcam.errors import LayoutError, MethodError, TargetError
from signalcam.results.explanation import Explanation
from signalcam.results.selection import By

if TYPE_CHECKING:
    import xarray as xr


def channel_ranking(exp: Explanation, by: By) -> xr.Dataset:
    """Sum each channel's importance and rank the channels; see ``Explanation.channel_ranking``."""
    import xarray as xr  # noqa: PLC0415 - not needed to import signalcam

    if "channel" not in exp.dims:
        message = f"the maps have axes {', '.join(exp.dims)} and no channel axis, so channels cannot be ranked. Explain with method=signalcam.PerChannel(...)."
        raise LayoutError(message)
    others = [dim for dim in exp.dims if dim != "channel"]
    importance = exp.maps.sum(others, keep_attrs=True)
    variables = {"importance": importance}
    if by != "sample":
        index = _classes_of_samples(exp, by)
        classes, counts = np.unique(index, return_counts=True)
        means = np.stack([importance.values[index == each].mean(axis=0) for each in classes])
        coords = {dim: importance[dim] for dim in importance.dims if dim != "sample"}
        names = {"class": [exp.class_name(int(each)) for each in classes]}
        variables = {
            "importance": xr.DataArray(means, {**names, **coords}, ("class", *importance.dims[1:])),
            "count": xr.DataArray(counts, names, ("class",)),
        }
    ranks = _rank_channels(variables["importance"])
    return xr.Dataset({**variables, "rank": ranks}, attrs={**exp.provenance, "by": by})


def _classes_of_samples(exp: Explanation, by: str) -> np.ndarray:
    """The class of each sample, predicted or true: ``(sample,)``."""
    if by not in ("predicted", "label"):
        message = f"there is no ranking by {by!r}; choose 'sample', 'predicted' or 'label'."
        raise MethodError(message)
    index = exp.classes if by == "predicted" else exp.true_classes
    if index is None:
        missing = "the model's output holds no classes" if by == "predicted" else "no labels were given"
        message = f"{missing}, so channels cannot be ranked by {by!r}. Rank them by 'sample'."
        raise TargetError(message)
    return index


def _rank_channels(importance: xr.DataArray) -> xr.DataArray:
    """Rank channels, 1 for the largest; ties keep their order."""
    axis = importance.dims.index("channel")
    order = np.argsort(-importance.values, axis=axis, kind="stable")
    return importance.copy(data=np.argsort(order, axis=axis, kind="stable") + 1)
