"""Here you find the export of a result to one file: HDF5, Parquet or npz, written in blocks."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from signalcam.errors import InputError, MissingExtra, StoreError
from signalcam.inputs.layout import DUMMY
from signalcam.results.atomic_write import write_whole
from signalcam.results.explanation import Explanation
from signalcam.results.layer_maps import LayerMaps
from signalcam.results.selection import AXES
from signalcam.results.zarr_store import as_path

if TYPE_CHECKING:
    from os import PathLike

_BLOCK = 2**24  # bytes in memory at a time


@dataclass(frozen=True)
class Column:
    """One array of the file, with one row for each sample.

    Attributes:
        dims: Names of its axes, ``sample`` first.
        shape: Their lengths.
        dtype: Of its numbers; text is as wide as the longest entry.
        read: Return the rows of a slice of samples.
        about: Attributes to store with it.
    """

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[slice], np.ndarray]
    about: Mapping[str, str]

    @property
    def cells(self) -> int:
        """Number of values of one sample."""
        return math.prod(self.shape[1:])

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield slices of rows with their values, in blocks."""
        for part in _iterate_slices(self.shape[0], self.cells * self.dtype.itemsize):
            yield part, self.read(part)


@dataclass(frozen=True)
class ExportContents:
    """The contents of a file.

    Attributes:
        columns: The arrays with one row for each sample.
        labels: Names or coordinates, and units, of the other axes.
        about: Provenance.
    """

    columns: Mapping[str, Column]
    labels: Mapping[str, tuple[np.ndarray, str]]
    about: Mapping[str, Any]

    def describe(self) -> dict[str, Any]:
        """Return dims, shapes, coordinates and provenance as JSON, for formats without named axes."""
        arrays = {name: {"dims": each.dims, "shape": each.shape, **each.about} for name, each in self.columns.items()}
        axes = {name: {"values": values.tolist(), "units": unit} for name, (values, unit) in self.labels.items()}
        return {**self.about, "arrays": arrays, "axes": axes}


def export(exp: Explanation, path: str | PathLike[str], samples: slice | None = None) -> None:
    """Write a result to one file; see ``Explanation.export``."""
    place = as_path(path)
    write = _WRITERS.get(place.suffix.lower())
    if write is None:
        message = f"{place} ends in {place.suffix or 'nothing'!r}, which is no file format to export to. Give one of {', '.join(_WRITERS)}."
        raise StoreError(message)
    if place.exists():
        message = f"{place} is there already. Give another name, or move it away; nothing was changed."
        raise StoreError(message)
    contents = _build_contents(exp, resolve_slice(samples, len(exp)))
    try:
        with write_whole(place, ".exporting-") as new:
            write(new, contents)
    except StoreError:
        raise
    except OSError as error:
        message = (
            f"cannot export to {place}: {error.strerror or error}. Choose a folder that can be written to and has room."
        )
        raise StoreError(message) from error


def resolve_slice(samples: slice | None, count: int) -> slice:
    """Return the samples as a slice with begin and end."""
    start, stop, step = (samples or slice(None)).indices(count)
    if step != 1 or stop <= start:
        message = f"samples is {samples}, of {count}; give a slice without steps that holds at least one, such as slice(0, 1000)."
        raise InputError(message)
    return slice(start, stop)


# --- what goes into it -------------------------------------------------------------------------------


def _build_contents(exp: Explanation, rows: slice) -> ExportContents:
    columns = {
        "sample": _name_columns(exp.sample_names, rows),
        "failed": _name_columns(exp.failed or ("",) * len(exp), rows),
        **_value_columns(exp, rows),
    }
    labels = {
        name: (np.asarray(list(map(str, names))), "")
        for name, names in (("target", exp.targets), ("cam", exp.methods), ("class", exp.class_names or ()))
        if names
    }
    for number, layer in enumerate(exp.layers):
        dims = _dims_of_layer(exp, layer, number)
        columns[f"maps_{number}"] = _array_column(layer.values, (*AXES[:3], *dims), rows, layer=str(layer.name))
        for name, axis in zip(dims, layer.grid, strict=True):
            dim = exp.layout.dims[axis.input_axis]
            centres = np.asarray(exp.layout.coordinate(dim, axis.centres), float)
            labels[name] = (centres, exp.layout.unit(dim))
    return ExportContents(columns, labels, {"provenance": {name: str(each) for name, each in exp.provenance.items()}})


def _value_columns(exp: Explanation, rows: slice) -> dict[str, Column]:
    """Columns of classes, scores, outputs and shapes."""
    arrays: dict[str, tuple[np.ndarray | None, tuple[str, ...]]] = {
        "label": (exp.true_classes, ()),
        "predicted": (exp.classes, ()),
        "score": (exp.scores, ("target",)),
        "target_class": (exp.target_classes, ("target",)),
        "logit": (exp.logits, ("class",)),
        "probability": (exp.probabilities, ("class",)),
        "shape": (exp.shapes, ("input_axis",)),
    }
    return {
        name: _array_column(values, ("sample", *dims), rows)
        for name, (values, dims) in arrays.items()
        if values is not None
    }


def _array_column(values: np.ndarray, dims: tuple[str, ...], rows: slice, **about: str) -> Column:
    """Column of an array, or of a lazily read one."""
    shape, dtype = (rows.stop - rows.start, *values.shape[1:]), np.dtype(values.dtype)

    def read(part: slice) -> np.ndarray:
        here = slice(rows.start + part.start, rows.start + part.stop)
        return np.asarray(values[here], dtype)

    return Column(dims, shape, dtype, read, about)


def _name_columns(names: tuple[Any, ...], rows: slice) -> Column:
    """Column of names; of integers if all names are integers."""
    selected = names[rows]
    if all(isinstance(each, int | np.integer) for each in selected):
        return _array_column(np.asarray(selected, np.int64), ("sample",), slice(0, len(selected)))
    width = max(1, *(len(str(each)) for each in selected)) if selected else 1
    dtype = np.dtype(f"<U{width}")
    return Column(("sample",), (len(selected),), dtype, lambda part: np.asarray(selected[part], dtype), {})


def _dims_of_layer(exp: Explanation, layer: LayerMaps, number: int) -> tuple[str, ...]:
    names = [exp.layout.dims[axis.input_axis] for axis in layer.grid]
    clear_names = [
        f"axis{axis.input_axis}" if name in DUMMY else name for name, axis in zip(names, layer.grid, strict=True)
    ]
    return tuple(f"{name}_{number}" for name in clear_names)


def _iterate_slices(count: int, size: int) -> Iterator[slice]:
    """Yield slices of rows whose size in bytes fits a block."""
    step = max(1, _BLOCK // max(size, 1))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


# --- the files ---------------------------------------------------------------------------------------


def _import_package(package: str, what: str) -> Any:
    try:
        return import_module(package)
    except ImportError as error:
        raise MissingExtra(f"exporting to {what}", "data") from error


def _write_hdf5(place: Path, contents: ExportContents) -> None:
    """Write one dataset for each array, with dimension scales."""
    h5py = _import_package("h5py", "HDF5")
    with h5py.File(place, "w") as file:
        file.attrs.update({name: json.dumps(each) for name, each in contents.about.items()})
        for name, column in contents.columns.items():
            array = _create_dataset(file, name, column.shape, column.dtype)
            for part, rows in column.blocks():
                array[part] = rows
        for name, (values, unit) in contents.labels.items():
            scale = _create_dataset(file, name, values.shape, values.dtype)
            scale[:] = values
            scale.attrs["units"] = unit
            scale.make_scale(name)
        file["sample"].make_scale("sample")
        for name, column in contents.columns.items():
            _label_axes(file, name, column)


def _create_dataset(file: Any, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    text = _import_package("h5py", "HDF5").string_dtype()
    return file.create_dataset(name, shape, text if dtype.kind == "U" else dtype)


def _label_axes(file: Any, name: str, column: Column) -> None:
    """Attach names and scales to the axes of a dataset."""
    array = file[name]
    array.attrs.update(column.about)
    for axis, dim in enumerate(column.dims):
        array.dims[axis].label = dim
        if dim in file and dim != name:
            array.dims[axis].attach_scale(file[dim])


def _write_parquet(place: Path, contents: ExportContents) -> None:
    """Write one row for each sample; higher axes become fixed-size lists, whose shape is in the field's metadata."""
    pa, parquet = _import_package("pyarrow", "Parquet"), _import_package("pyarrow.parquet", "Parquet")
    fields = [
        pa.field(
            name,
            _arrow_type(pa, column),
            metadata={"dims": json.dumps(column.dims), "shape": json.dumps(column.shape[1:]), **column.about},
        )
        for name, column in contents.columns.items()
    ]
    schema = pa.schema(fields, {"signalcam": json.dumps(contents.describe())})
    columns = list(contents.columns.values())
    size = sum(each.cells * each.dtype.itemsize for each in columns)
    with parquet.ParquetWriter(place, schema, compression="zstd", use_dictionary=False) as file:
        for part in _iterate_slices(columns[0].shape[0], size):
            rows = [_arrow_array(pa, each, field.type, part) for each, field in zip(columns, fields, strict=True)]
            file.write_table(pa.Table.from_arrays(rows, schema=schema))


def _arrow_type(pa: Any, column: Column) -> Any:
    value = pa.string() if column.dtype.kind == "U" else pa.from_numpy_dtype(column.dtype)
    return value if len(column.shape) == 1 else pa.list_(value, column.cells)


def _arrow_array(pa: Any, column: Column, kind: Any, part: slice) -> Any:
    rows = np.ascontiguousarray(column.read(part))
    if rows.ndim == 1:
        return pa.array(rows, kind)
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), type=kind)


def _write_npz(place: Path, contents: ExportContents) -> None:
    """Write one ``.npy`` member for each array; ``about`` is JSON."""
    with zipfile.ZipFile(place, "w", allowZip64=True) as file:
        for name, column in contents.columns.items():
            about = {"descr": np.lib.format.dtype_to_descr(column.dtype), "fortran_order": False, "shape": column.shape}
            with file.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array_header_2_0(member, about)
                for _, rows in column.blocks():
                    member.write(np.ascontiguousarray(rows).data.cast("B"))
        labels = {name: values for name, (values, _) in contents.labels.items()}
        for name, values in {**labels, "about": np.asarray(json.dumps(contents.describe()))}.items():
            with file.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, values, allow_pickle=False)


_WRITERS: dict[str, Callable[[Path, ExportContents], None]] = {
    ".h5": _write_hdf5,
    ".hdf5": _write_hdf5,
    ".parquet": _write_parquet,
    ".npz": _write_npz,
}
