"""How a result is written to a store, and comes back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from signalcam import store
from signalcam.align import Axis
from signalcam.errors import CamError, StoreError
from signalcam.explanation import Explanation
from signalcam.layout import DUMMY, Layout
from signalcam.native import LayerMaps

if TYPE_CHECKING:
    from os import PathLike


def load(path: str | PathLike[str]) -> Explanation:
    """Read a result that ``Explanation.save`` wrote. Nothing in it is ever executed or unpickled.

    Args:
        path: The folder.

    Returns:
        The explanation, equal to the one saved.

    Raises:
        StoreError: There is nothing, or it is damaged, newer than this version, or not ours.
    """
    arrays, about = store.read(path)
    try:
        return from_store(arrays, about)
    except (KeyError, TypeError, ValueError, IndexError, CamError) as error:
        message = f"{path} is damaged: {error!r}. Save it again, or restore it from a copy."
        raise StoreError(message) from error


_ARRAYS = (
    "input",
    "scores",
    "target_classes",
    "logits",
    "probabilities",
    "classes",
    "true_classes",
)


def to_store(exp: Explanation) -> store.Contents:
    """Turn a result into arrays with named axes, and JSON."""
    arrays = {
        name: store.Stored(getattr(exp, name), _stored_dims(exp, name))
        for name in _ARRAYS
        if getattr(exp, name) is not None
    }
    for number, layer in enumerate(exp.layers):
        dims = [f"{exp.layout.dims[axis.input_axis]}_{number}" for axis in layer.grid]
        arrays[f"maps_{number}"] = store.Stored(layer.values, ("sample", "target", "method", *dims))
    about = {
        "layers": [
            {"name": each.name, "grid": [vars(axis) for axis in each.grid]} for each in exp.layers
        ],
        "layout": vars(exp.layout),
        "provenance": dict(exp.provenance),
        **{
            name: getattr(exp, name)
            for name in ("targets", "methods", "class_names", "sample_names")
        },
    }
    return store.Contents(arrays, about)


def _stored_dims(exp: Explanation, name: str) -> tuple[str, ...]:
    if name == "input":
        return (
            "sample",
            *(f"axis{i}" if dim in DUMMY else dim for i, dim in enumerate(exp.layout.dims) if i),
        )
    return (
        ("sample", "target")
        if name in ("scores", "target_classes")
        else ("sample", "class")[: getattr(exp, name).ndim]
    )


def from_store(arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> Explanation:
    """Build a result from what ``to_store`` made of it."""
    layers = tuple(
        LayerMaps(
            each["name"], arrays[f"maps_{number}"], tuple(Axis(**axis) for axis in each["grid"])
        )
        for number, each in enumerate(about["layers"])
    )
    names = about["class_names"]
    return Explanation(
        layers=layers,
        targets=tuple(about["targets"]),
        methods=tuple(about["methods"]),
        layout=Layout(**about["layout"]),
        class_names=None if names is None else tuple(names),
        sample_names=tuple(about["sample_names"]),
        provenance=about["provenance"],
        **{name: arrays.get(name) for name in _ARRAYS},  # type: ignore[arg-type] # those required are always saved
    )
