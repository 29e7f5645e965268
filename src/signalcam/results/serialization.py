"""A result as arrays and JSON for a store, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from signalcam.alignment.resampling import AxisGrid
from signalcam.inputs.layout import DUMMY, Layout
from signalcam.results import zarr_store
from signalcam.results.attached_scores import from_arrays, to_arrays
from signalcam.results.explanation import Explanation
from signalcam.results.input_maps import InputMaps
from signalcam.results.layer_maps import LayerMaps
from signalcam.results.record import windows_table
from signalcam.results.selection import AXES

if TYPE_CHECKING:
    from os import PathLike


_ARRAYS = (
    "scores",
    "target_classes",
    "logits",
    "probabilities",
    "classes",
    "true_classes",
)
_NAMES = ("targets", "methods", "class_names", "sample_names", "modalities", "failed")


def save(exp: Explanation, path: str | PathLike[str]) -> None:
    """Write a result to a Zarr store; see ``Explanation.save``."""
    zarr_store.write(path, to_store(exp))


def to_store(exp: Explanation) -> zarr_store.StoreContents:
    """Turn a result into arrays with named axes, and JSON."""
    arrays = {
        name: zarr_store.NamedArray(getattr(exp, name), _stored_dims(exp, name))
        for name in _ARRAYS
        if getattr(exp, name) is not None
    }
    own = InputMaps(exp.of, exp.layers, exp.layout, exp.input, exp.shapes)
    for number, each in enumerate((own, *exp.others)):
        arrays |= _stored(each, number)
    units = ""
    if exp.windows is not None:
        units = next((each.attrs["units"] for each in exp.windows.values() if "units" in each.attrs), "")
        arrays |= {
            f"window_{name}": zarr_store.NamedArray(each.values, tuple(map(str, each.dims)))
            for name, each in exp.windows.items()
        }
        arrays["window_number"] = zarr_store.NamedArray(exp.windows["window"].values, ("window",))
    scored = None
    if exp.metrics is not None:
        scores, scored = to_arrays(exp.metrics)
        arrays |= {f"metrics_{name}": zarr_store.NamedArray(values, dims) for name, (values, dims) in scores.items()}
    about = {
        "metrics": scored,
        "window_units": units,
        **_about(own),
        "others": [_about(each) for each in exp.others],
        "provenance": dict(exp.provenance),
        **{name: getattr(exp, name) for name in _NAMES},
    }
    return zarr_store.StoreContents(arrays, about)


def _stored_dims(exp: Explanation, name: str) -> tuple[str, ...]:
    return (
        ("sample", "target") if name in ("scores", "target_classes") else ("sample", "class")[: getattr(exp, name).ndim]
    )


def _mark(number: int) -> str:
    """What the names of a modality's arrays and axes end in; nothing for the one at hand."""
    return f"_of_{number}" if number else ""


def _stored(modality: InputMaps, number: int) -> dict[str, zarr_store.NamedArray]:
    mark, dims = _mark(number), modality.layout.dims
    named = [f"axis{i}" if dim in DUMMY else dim for i, dim in enumerate(dims)]
    arrays = {f"input{mark}": zarr_store.NamedArray(modality.input, ("sample", *(f"{dim}{mark}" for dim in named[1:])))}
    if modality.shapes is not None:
        arrays[f"shapes{mark}"] = zarr_store.NamedArray(modality.shapes, ("sample", f"axis{mark}"))
    for place, layer in enumerate(modality.layers):
        axes = [f"{dims[axis.input_axis]}{mark}_{place}" for axis in layer.grid]
        arrays[f"maps{mark}_{place}"] = zarr_store.NamedArray(layer.values, (*AXES[:3], *axes))
        if layer.sizes is not None:
            sized = ("sample", f"position{mark}_{place}", "size")
            arrays[f"sizes{mark}_{place}"] = zarr_store.NamedArray(layer.sizes, sized)
    return arrays


def _about(modality: InputMaps) -> dict[str, Any]:
    layers = [{"name": each.name, "grid": [vars(axis) for axis in each.grid]} for each in modality.layers]
    return {
        "of": modality.name,
        "layers": layers,
        "layout": {name: each for name, each in vars(modality.layout).items() if each is not None},
    }


def from_store(arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> Explanation:
    """Build a result from what ``to_store`` made of it."""
    own = _modality(arrays, about, 0)
    others = [_modality(arrays, each, number) for number, each in enumerate(about.get("others", ()), 1)]
    names = {name: about.get(name, ()) for name in _NAMES}
    told = {name.removeprefix("window_"): each for name, each in arrays.items() if name.startswith("window_")}
    windows = windows_table(told, names["targets"], names["class_names"], about["window_units"]) if told else None
    scores = None
    if scored := about.get("metrics"):
        held = {name.removeprefix("metrics_"): each for name, each in arrays.items()}
        labels = {
            "sample": names["sample_names"],
            "target": names["targets"],
            "layer": [each.name for each in own.layers],
        }
        scores = from_arrays(held, scored, labels)
    return Explanation(
        metrics=scores,
        layers=own.layers,
        layout=own.layout,
        input=own.input,
        of=own.name,
        shapes=own.shapes,
        others=tuple(others),
        windows=windows,
        provenance=about["provenance"],
        **{name: None if each is None else tuple(each) for name, each in names.items()},  # type: ignore[arg-type] # only class names may be missing
        **{name: arrays.get(name) for name in _ARRAYS},  # type: ignore[arg-type] # those required are always saved
    )


def _modality(arrays: Mapping[str, np.ndarray], about: Mapping[str, Any], number: int) -> InputMaps:
    mark = _mark(number)
    layers = tuple(
        LayerMaps(
            each["name"],
            arrays[f"maps{mark}_{place}"],
            tuple(AxisGrid(**axis) for axis in each["grid"]),
            arrays.get(f"sizes{mark}_{place}"),
        )
        for place, each in enumerate(about["layers"])
    )
    layout, name = Layout(**about["layout"]), about.get("of", "")
    return InputMaps(name, layers, layout, arrays[f"input{mark}"], arrays.get(f"shapes{mark}"))
