"""A result as one file that other programs read: HDF5, Parquet or NumPy's own, written block after block."""

from __future__ import annotations

import json
import math
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from signalcam.errors import InputError, MissingExtra, StoreError
from signalcam.inputs.layout import DUMMY
from signalcam.results.explanation import Explanation
from signalcam.results.layer_maps import LayerMaps
from signalcam.results.selection import AXES
from signalcam.results.zarr_store import as_path

if TYPE_CHECKING:
    from os import PathLike

_BLOCK = 2**24  # bytes that are read and written at a time


@dataclass(frozen=True)
class Column:
    """One array of the file, with a row a sample.

    Attributes:
        dims: What its axes are called, ``sample`` first.
        shape: Their lengths.
        dtype: Of its numbers; a text's is as wide as the longest.
        read: From a stretch of samples to their rows.
        about: What is said of it.
    """

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[slice], np.ndarray]
    about: Mapping[str, str]

    @property
    def cells(self) -> int:
        """How many numbers a sample has."""
        return math.prod(self.shape[1:])

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Its rows, as many at a time as memory should hold."""
        for part in _parts(self.shape[0], self.cells * self.dtype.itemsize):
            yield part, self.read(part)


@dataclass(frozen=True)
class ExportContents:
    """What goes into a file.

    Attributes:
        columns: The arrays with a row a sample.
        labels: What the entries of the other axes are called, or where they lie and in which units.
        about: What produced it.
    """

    columns: Mapping[str, Column]
    labels: Mapping[str, tuple[np.ndarray, str]]
    about: Mapping[str, Any]

    def described(self) -> dict[str, Any]:
        """All that is not a number of a sample, for formats that have no names for axes."""
        arrays = {name: {"dims": each.dims, "shape": each.shape, **each.about} for name, each in self.columns.items()}
        axes = {name: {"values": values.tolist(), "units": unit} for name, (values, unit) in self.labels.items()}
        return {**self.about, "arrays": arrays, "axes": axes}


def export(exp: Explanation, path: str | PathLike[str], samples: slice | None = None) -> None:
    """See ``Explanation.export``."""
    place = as_path(path)
    write = _KINDS.get(place.suffix.lower())
    if write is None:
        message = f"{place} ends in {place.suffix or 'nothing'!r}, which names no kind of file to export to. Give one of {', '.join(_KINDS)}."
        raise StoreError(message)
    if place.exists():
        message = f"{place} is there already. Give another name, or move it away; nothing was changed."
        raise StoreError(message)
    contents = _contents(exp, _taken(samples, len(exp)))
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".exporting-", dir=place.parent) as folder:
            new = Path(folder) / place.name
            write(new, contents)
            new.rename(place)
    except StoreError:
        raise
    except OSError as error:
        message = (
            f"cannot export to {place}: {error.strerror or error}. Choose a folder that can be written to and has room."
        )
        raise StoreError(message) from error


def _taken(samples: slice | None, count: int) -> slice:
    """The samples asked for, from a first to before a last."""
    start, stop, step = (samples or slice(None)).indices(count)
    if step != 1 or stop <= start:
        message = f"samples is {samples}, of {count}; give a stretch of them without steps that holds one at least, such as slice(0, 1000)."
        raise InputError(message)
    return slice(start, stop)


# --- what goes into it -------------------------------------------------------------------------------


def _contents(exp: Explanation, taken: slice) -> ExportContents:
    columns = {
        "sample": _text(exp.sample_names, taken),
        "failed": _text(exp.failed or ("",) * len(exp), taken),
        **_numbers(exp, taken),
    }
    labels = {
        name: (np.asarray(list(map(str, each))), "")
        for name, each in (("target", exp.targets), ("cam", exp.methods), ("class", exp.class_names or ()))
        if each
    }
    for number, layer in enumerate(exp.layers):
        dims = _dims(exp, layer, number)
        columns[f"maps_{number}"] = _column(layer.values, (*AXES[:3], *dims), taken, layer=str(layer.name))
        for name, axis in zip(dims, layer.grid, strict=True):
            dim = exp.layout.dims[axis.input_axis]
            places = np.asarray(exp.layout.coordinate(dim, axis.centres), float)
            labels[name] = (places, exp.layout.unit(dim))
    return ExportContents(columns, labels, {"provenance": {name: str(each) for name, each in exp.provenance.items()}})


def _numbers(exp: Explanation, taken: slice) -> dict[str, Column]:
    """What is known of each sample but its maps."""
    known: dict[str, tuple[np.ndarray | None, tuple[str, ...]]] = {
        "label": (exp.true_classes, ()),
        "predicted": (exp.classes, ()),
        "score": (exp.scores, ("target",)),
        "target_class": (exp.target_classes, ("target",)),
        "logit": (exp.logits, ("class",)),
        "probability": (exp.probabilities, ("class",)),
        "shape": (exp.shapes, ("input_axis",)),
    }
    return {
        name: _column(values, ("sample", *dims), taken) for name, (values, dims) in known.items() if values is not None
    }


def _column(values: np.ndarray, dims: tuple[str, ...], taken: slice, **about: str) -> Column:
    """An array, or what is read like one, as it is."""
    shape, dtype = (taken.stop - taken.start, *values.shape[1:]), np.dtype(values.dtype)

    def read(part: slice) -> np.ndarray:
        here = slice(taken.start + part.start, taken.start + part.stop)
        return np.asarray(values[here], dtype)

    return Column(dims, shape, dtype, read, about)


def _text(names: tuple[Any, ...], taken: slice) -> Column:
    """Names, or numbers where all are numbers."""
    some = names[taken]
    if all(isinstance(each, int | np.integer) for each in some):
        return _column(np.asarray(some, np.int64), ("sample",), slice(0, len(some)))
    width = max(1, *(len(str(each)) for each in some)) if some else 1
    dtype = np.dtype(f"<U{width}")
    return Column(("sample",), (len(some),), dtype, lambda part: np.asarray(some[part], dtype), {})


def _dims(exp: Explanation, layer: LayerMaps, number: int) -> tuple[str, ...]:
    names = [exp.layout.dims[axis.input_axis] for axis in layer.grid]
    named = [f"axis{axis.input_axis}" if name in DUMMY else name for name, axis in zip(names, layer.grid, strict=True)]
    return tuple(f"{name}_{number}" for name in named)


def _parts(count: int, size: int) -> Iterator[slice]:
    """Stretches of rows of some bytes, as many as a block holds."""
    step = max(1, _BLOCK // max(size, 1))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


# --- the files ---------------------------------------------------------------------------------------


def _needed(package: str, what: str) -> Any:
    try:
        return import_module(package)
    except ImportError as error:
        raise MissingExtra(f"exporting to {what}", "data") from error


def _hdf5(place: Path, contents: ExportContents) -> None:
    """A dataset for each array, whose axes have names and scales."""
    h5py = _needed("h5py", "HDF5")
    with h5py.File(place, "w") as file:
        file.attrs.update({name: json.dumps(each) for name, each in contents.about.items()})
        for name, column in contents.columns.items():
            array = _dataset(file, name, column.shape, column.dtype)
            for part, rows in column.blocks():
                array[part] = rows
        for name, (values, unit) in contents.labels.items():
            scale = _dataset(file, name, values.shape, values.dtype)
            scale[:] = values
            scale.attrs["units"] = unit
            scale.make_scale(name)
        file["sample"].make_scale("sample")
        for name, column in contents.columns.items():
            _label(file, name, column)


def _dataset(file: Any, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    text = _needed("h5py", "HDF5").string_dtype()
    return file.create_dataset(name, shape, text if dtype.kind == "U" else dtype)


def _label(file: Any, name: str, column: Column) -> None:
    """Say what the axes of an array are."""
    array = file[name]
    array.attrs.update(column.about)
    for axis, dim in enumerate(column.dims):
        array.dims[axis].label = dim
        if dim in file and dim != name:
            array.dims[axis].attach_scale(file[dim])


def _parquet(place: Path, contents: ExportContents) -> None:
    """A row a sample; an array of several axes is a list of fixed length, whose axes its field tells."""
    pa, parquet = _needed("pyarrow", "Parquet"), _needed("pyarrow.parquet", "Parquet")
    fields = [
        pa.field(
            name,
            _kind(pa, each),
            metadata={"dims": json.dumps(each.dims), "shape": json.dumps(each.shape[1:]), **each.about},
        )
        for name, each in contents.columns.items()
    ]
    schema = pa.schema(fields, {"signalcam": json.dumps(contents.described())})
    columns = list(contents.columns.values())
    size = sum(each.cells * each.dtype.itemsize for each in columns)
    with parquet.ParquetWriter(place, schema, compression="zstd", use_dictionary=False) as file:
        for part in _parts(columns[0].shape[0], size):
            rows = [_array(pa, each, field.type, part) for each, field in zip(columns, fields, strict=True)]
            file.write_table(pa.Table.from_arrays(rows, schema=schema))


def _kind(pa: Any, column: Column) -> Any:
    value = pa.string() if column.dtype.kind == "U" else pa.from_numpy_dtype(column.dtype)
    return value if len(column.shape) == 1 else pa.list_(value, column.cells)


def _array(pa: Any, column: Column, kind: Any, part: slice) -> Any:
    rows = np.ascontiguousarray(column.read(part))
    if rows.ndim == 1:
        return pa.array(rows, kind)
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), type=kind)


def _npz(place: Path, contents: ExportContents) -> None:
    """An array for each member, which are written one after the other; ``about`` is JSON."""
    with zipfile.ZipFile(place, "w", allowZip64=True) as file:
        for name, column in contents.columns.items():
            about = {"descr": np.lib.format.dtype_to_descr(column.dtype), "fortran_order": False, "shape": column.shape}
            with file.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array_header_2_0(member, about)
                for _, rows in column.blocks():
                    member.write(np.ascontiguousarray(rows).data.cast("B"))
        whole = {name: values for name, (values, _) in contents.labels.items()}
        for name, values in {**whole, "about": np.asarray(json.dumps(contents.described()))}.items():
            with file.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, values, allow_pickle=False)


_KINDS: dict[str, Callable[[Path, ExportContents], None]] = {
    ".h5": _hdf5,
    ".hdf5": _hdf5,
    ".parquet": _parquet,
    ".npz": _npz,
}
