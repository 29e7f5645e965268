"""How a result is kept, and comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from typing import Any

import numpy as np

from signalcam import store
from signalcam.align import Axis
from signalcam.errors import CamError, StoreError
from signalcam.explanation import Explanation, LayerMaps
from signalcam.layout import DUMMY, Layout

_AXES = ("sample", "target", "method")
_NETWORK = "network_"  # before the names of what belongs to the network's input
_ARRAYS = ("scores", "target_classes", "logits", "probabilities", "classes", "true_classes")


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
        return _from_store(arrays, about)
    except (KeyError, TypeError, ValueError, IndexError, CamError) as error:
        message = f"{path} is damaged: {error!r}. Save it again, or restore it from a copy."
        raise StoreError(message) from error


def contents(exp: Explanation) -> store.Contents:
    """Everything a result holds, as arrays and JSON."""
    arrays = {
        name: store.Stored(getattr(exp, name), _stored_dims(exp, name))
        for name in _ARRAYS
        if getattr(exp, name) is not None
    }
    names = ("targets", "methods", "class_names", "sample_names")
    about = {**_view(exp), **{name: getattr(exp, name) for name in names}}
    own = exp.at_network_input
    if own is not None:
        about["at_network_input"] = _view(own)
        arrays |= _arrays_of_view(own, _NETWORK)
    return store.Contents(arrays | _arrays_of_view(exp, ""), about)


def _view(exp: Explanation) -> dict[str, Any]:
    """What maps need beside their numbers: where they lie, and where they come from."""
    return {
        "layers": [
            {"name": each.name, "grid": [vars(axis) for axis in each.grid]} for each in exp.layers
        ],
        "layout": {name: each for name, each in vars(exp.layout).items() if each is not None},
        "provenance": dict(exp.provenance),
    }


def _arrays_of_view(exp: Explanation, prefix: str) -> dict[str, store.Stored]:
    dims = exp.layout.dims
    axes = [f"axis{i}" if dim in DUMMY else dim for i, dim in enumerate(dims)]
    arrays = {f"{prefix}input": store.Stored(exp.input, ("sample", *axes[1:]))}
    for number, layer in enumerate(exp.layers):
        own = [f"{dims[axis.input_axis]}_{number}" for axis in layer.grid]
        arrays[f"{prefix}maps_{number}"] = store.Stored(layer.values, (*_AXES, *own))
    return arrays


def _stored_dims(exp: Explanation, name: str) -> tuple[str, ...]:
    if name in ("scores", "target_classes"):
        return "sample", "target"
    return ("sample", "class")[: getattr(exp, name).ndim]


def _from_store(arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> Explanation:
    names, own = about["class_names"], about.get("at_network_input")
    exp = Explanation(
        **_read_view(arrays, about, ""),
        targets=tuple(about["targets"]),
        methods=tuple(about["methods"]),
        class_names=None if names is None else tuple(names),
        sample_names=tuple(about["sample_names"]),
        **{name: arrays.get(name) for name in _ARRAYS},  # type: ignore[arg-type] # those required are always saved
    )
    if own is None:
        return exp
    return replace(exp, at_network_input=replace(exp, **_read_view(arrays, own, _NETWORK)))


def _read_view(
    arrays: Mapping[str, np.ndarray], about: Mapping[str, Any], prefix: str
) -> dict[str, Any]:
    layers = tuple(
        LayerMaps(
            each["name"],
            arrays[f"{prefix}maps_{number}"],
            tuple(Axis(**axis) for axis in each["grid"]),
        )
        for number, each in enumerate(about["layers"])
    )
    return {
        "layers": layers,
        "layout": Layout(**about["layout"]),
        "provenance": about["provenance"],
        "input": arrays[f"{prefix}input"],
    }
