"""Here you find the labelled (xarray) arrays of an explanation: maps, lengths, outputs, classes.

An explanation imports this file, so that its functions take the explanation as ``Any``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from signalcam.errors import TargetError
from signalcam.results.selection import AXES, index_of

if TYPE_CHECKING:
    import xarray as xr


def label_maps(exp: Any, values: np.ndarray) -> xr.DataArray:
    """Label maps at the input's resolution: ``(sample, target, cam, layer, *positions)``."""
    import xarray as xr  # noqa: PLC0415 - not needed to import signalcam

    positions = {
        dim: _position_coordinate(exp, dim, np.arange(length))
        for dim, length in zip(exp.dims, values.shape[4:], strict=True)
    }
    coords = {**_name_coordinates(exp), "layer": list(exp.layer_names), **positions}
    return xr.DataArray(values, coords, (*AXES, *exp.dims), "importance", dict(exp.provenance))


def label_layer_maps(exp: Any, name: str | None) -> xr.DataArray:
    """Label the maps of one layer at its own resolution: ``(sample, target, cam, *positions)``."""
    import xarray as xr  # noqa: PLC0415 - not needed to import signalcam

    layer = exp.layers[0 if name is None else index_of(name, exp.layer_names, "layer")]
    dims = tuple(exp.layout.dims[axis.input_axis] for axis in layer.grid)
    centres = {dim: _position_coordinate(exp, dim, axis.centres) for dim, axis in zip(dims, layer.grid, strict=True)}
    coords = {**_name_coordinates(exp), **centres}
    return xr.DataArray(layer.values, coords, (*AXES[:3], *dims), "importance", dict(exp.provenance))


def label_lengths(exp: Any, values: np.ndarray, axes: list[str]) -> xr.DataArray:
    """Label the lengths of samples: ``(sample,)``, or ``(sample, axis)`` if several axes differ."""
    import xarray as xr  # noqa: PLC0415 - not needed to import signalcam

    if len(axes) == 1:
        return label_samples(exp, values[:, 0], "length")
    coords = {"sample": list(exp.sample_names), "axis": axes}
    return xr.DataArray(values, coords, ("sample", "axis"), "length")


def label_samples(exp: Any, values: np.ndarray | None, name: str) -> xr.DataArray:
    """Label one value a sample: ``(sample,)``.

    Raises:
        TargetError: There are no values, because the model has no classes.
    """
    import xarray as xr  # noqa: PLC0415 - not needed to import signalcam

    if values is None:
        raise TargetError(_no_classes_message(exp, f"{name} class"))
    return xr.DataArray(values, {"sample": list(exp.sample_names)}, ("sample",), name)


def label_classes(exp: Any, values: np.ndarray | None, name: str, **attributes: str) -> xr.DataArray:
    """Label one value for each class: ``(sample, class)``.

    Raises:
        TargetError: There are no values, because the model has no classes.
    """
    import xarray as xr  # noqa: PLC0415 - not needed to import signalcam

    if values is None:
        raise TargetError(_no_classes_message(exp, f"{name} for each"))
    class_names = list(exp.class_names or range(values.shape[1]))
    coords = {"sample": list(exp.sample_names), "class": class_names}
    return xr.DataArray(values, coords, ("sample", "class"), name, attributes)


def build_dataset(exp: Any) -> xr.Dataset:
    """Put maps, scores, outputs and classes into one labelled dataset."""
    import xarray as xr  # noqa: PLC0415 - not needed to import signalcam

    score = xr.DataArray(exp.scores, dims=("sample", "target"))
    variables: dict[str, Any] = {"importance": exp.maps, "score": score}
    if exp.classes is not None:
        variables |= {"logit": exp.outputs, "probability": exp.confidence, "predicted": exp.predicted}
    if exp.labels is not None:
        variables["label"] = exp.labels
    return xr.Dataset(variables, attrs=dict(exp.provenance))


def _name_coordinates(exp: Any) -> dict[str, Any]:
    return {"sample": list(exp.sample_names), "target": list(exp.targets), "cam": list(exp.methods)}


def _position_coordinate(exp: Any, dim: str, positions: np.ndarray) -> Any:
    unit = exp.layout.unit(dim)
    return (dim, exp.layout.coordinate(dim, positions), {"units": unit} if unit else {})


def _no_classes_message(exp: Any, what: str) -> str:
    if exp.windows is not None:
        return f"the record was explained window by window, so there is no one {what}. Read .windows instead."
    return f"the model's output holds no classes, so there is no {what}. Read .scores instead."
