"""Here you find how a result becomes arrays and JSON for a store, and back."""

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
        name: zarr_store.NamedArray(getattr(exp, name), _dims_of(exp, name))
        for name in _ARRAYS
        if getattr(exp, name) is not None
    }
    main_input = InputMaps(exp.of, exp.layers, exp.layout, exp.input, exp.shapes)
    for number, one_input in enumerate((main_input, *exp.others)):
        arrays |= _arrays_of(one_input, number)
    units = ""
    if exp.windows is not None:
        units = next((each.attrs["units"] for each in exp.windows.values() if "units" in each.attrs), "")
        arrays |= {
            f"window_{name}": zarr_store.NamedArray(variable.values, tuple(map(str, variable.dims)))
            for name, variable in exp.windows.items()
        }
        arrays["window_number"] = zarr_store.NamedArray(exp.windows["window"].values, ("window",))
    about_scores = None
    if exp.metrics is not None:
        scores, about_scores = to_arrays(exp.metrics)
        arrays |= {f"metrics_{name}": zarr_store.NamedArray(values, dims) for name, (values, dims) in scores.items()}
    about = {
        "metrics": about_scores,
        "window_units": units,
        **_describe_input(main_input),
        "others": [_describe_input(each) for each in exp.others],
        "provenance": dict(exp.provenance),
        **{name: getattr(exp, name) for name in _NAMES},
    }
    return zarr_store.StoreContents(arrays, about)


def _dims_of(exp: Explanation, name: str) -> tuple[str, ...]:
    return (
        ("sample", "target") if name in ("scores", "target_classes") else ("sample", "class")[: getattr(exp, name).ndim]
    )


def _suffix(number: int) -> str:
    """Suffix of the names of an input's arrays and axes; empty for the input at hand."""
    return f"_of_{number}" if number else ""


def _arrays_of(modality: InputMaps, number: int) -> dict[str, zarr_store.NamedArray]:
    mark, dims = _suffix(number), modality.layout.dims
    clear_dims = [f"axis{i}" if dim in DUMMY else dim for i, dim in enumerate(dims)]
    arrays = {
        f"input{mark}": zarr_store.NamedArray(modality.input, ("sample", *(f"{dim}{mark}" for dim in clear_dims[1:])))
    }
    if modality.shapes is not None:
        arrays[f"shapes{mark}"] = zarr_store.NamedArray(modality.shapes, ("sample", f"axis{mark}"))
    for index, layer in enumerate(modality.layers):
        axes = [f"{dims[axis.input_axis]}{mark}_{index}" for axis in layer.grid]
        arrays[f"maps{mark}_{index}"] = zarr_store.NamedArray(layer.values, (*AXES[:3], *axes))
        if layer.sizes is not None:
            dims_of_sizes = ("sample", f"position{mark}_{index}", "size")
            arrays[f"sizes{mark}_{index}"] = zarr_store.NamedArray(layer.sizes, dims_of_sizes)
    return arrays


def _describe_input(modality: InputMaps) -> dict[str, Any]:
    layers = [{"name": each.name, "grid": [vars(axis) for axis in each.grid]} for each in modality.layers]
    return {
        "of": modality.name,
        "layers": layers,
        "layout": {name: each for name, each in vars(modality.layout).items() if each is not None},
    }


def from_store(arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> Explanation:
    """Rebuild a result from the output of ``to_store``."""
    main_input = _rebuild_input(arrays, about, 0)
    others = [_rebuild_input(arrays, each, number) for number, each in enumerate(about.get("others", ()), 1)]
    names = {name: about.get(name, ()) for name in _NAMES}
    window_arrays = {name.removeprefix("window_"): each for name, each in arrays.items() if name.startswith("window_")}
    windows = (
        windows_table(window_arrays, names["targets"], names["class_names"], about["window_units"])
        if window_arrays
        else None
    )
    scores = None
    if about_scores := about.get("metrics"):
        score_arrays = {name.removeprefix("metrics_"): each for name, each in arrays.items()}
        labels = {
            "sample": names["sample_names"],
            "target": names["targets"],
            "layer": [each.name for each in main_input.layers],
        }
        scores = from_arrays(score_arrays, about_scores, labels)
    return Explanation(
        metrics=scores,
        layers=main_input.layers,
        layout=main_input.layout,
        input=main_input.input,
        of=main_input.name,
        shapes=main_input.shapes,
        others=tuple(others),
        windows=windows,
        provenance=about["provenance"],
        **{name: None if each is None else tuple(each) for name, each in names.items()},  # type: ignore[arg-type] # only class names may be missing
        **{name: arrays.get(name) for name in _ARRAYS},  # type: ignore[arg-type] # those required are always saved
    )


def _rebuild_input(arrays: Mapping[str, np.ndarray], about: Mapping[str, Any], number: int) -> InputMaps:
    mark = _suffix(number)
    layers = tuple(
        LayerMaps(
            layer["name"],
            arrays[f"maps{mark}_{index}"],
            tuple(AxisGrid(**axis) for axis in layer["grid"]),
            arrays.get(f"sizes{mark}_{index}"),
        )
        for index, layer in enumerate(about["layers"])
    )
    layout, name = Layout(**about["layout"]), about.get("of", "")
    return InputMaps(name, layers, layout, arrays[f"input{mark}"], arrays.get(f"shapes{mark}"))
