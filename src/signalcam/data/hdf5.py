"""The reader of HDF5 files; only the requested part of a dataset is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from signalcam.data.array_files import Arrays, Names, choose_arrays, layout_from_attributes
from signalcam.data.file_stamp import Stamp, read_edition
from signalcam.data.optional_imports import import_optional
from signalcam.data.windows import Record
from signalcam.inputs.layout import Layout


def open_hdf5(
    path: str, *, inputs: Names = None, labels: Names = None, names: Names = None, single: bool | Layout = False
) -> Arrays | Record:
    """Open an HDF5 file.

    Args:
        path: The file.
        inputs: Dataset of the samples, with its groups: ``"train/signals"``.
        labels: Dataset of their true classes.
        names: Dataset of their names.
        single: Whether it holds one record, ``(time,)`` or ``(channel, time)``; or the layout of that record.
    """
    return choose_arrays(path, _load, _layout_of, (inputs, labels, names), single=single)


@dataclass(frozen=True)
class Dataset:
    """A dataset that opens its file for each read, so that others can write it meanwhile.

    Attributes:
        path: Path of the file.
        name: Name of the dataset, with its groups.
        shape: Shape of the dataset.
        dims: Labels of its axes; empty text for an axis without one.
        attrs: Attributes of the dataset.
        turned: Whether its axes are stored in reverse order, as MATLAB does.
    """

    path: str
    name: str
    shape: tuple[int, ...]
    dims: tuple[str, ...]
    attrs: Mapping[str, Any]
    turned: bool = False

    def __getitem__(self, rows: Any) -> Any:
        with import_optional("h5py", "HDF5 files").File(self.path, "r") as file:
            if not self.turned:
                return file[self.name][rows]
            index = rows if isinstance(rows, tuple) else (rows,)
            rest = (slice(None),) * (len(self.shape) - len(index))
            column = (0,) * (file[self.name].ndim - len(self.shape))
            return file[self.name][(*index, *rest, *column)[::-1]].T


def _layout_of(dataset: Dataset) -> Layout | None:
    """Layout from the labels of HDF5's dimension scales."""
    return layout_from_attributes(dataset, dataset.dims)


def _load(path: str) -> Mapping[str, Any]:
    return _list_datasets(path, read_edition(path))


@lru_cache(maxsize=16)
def _list_datasets(path: str, _edition: tuple[Stamp, ...]) -> Mapping[str, Any]:
    h5py = import_optional("h5py", "HDF5 files")
    datasets: dict[str, Any] = {}

    def keep(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset):
            datasets[name] = _describe_dataset(path, name, node)

    with h5py.File(path, "r") as file:
        file.visititems(keep)
    return datasets


def _describe_dataset(path: str, name: str, node: Any) -> Dataset:
    """Describe a dataset in the axis order of its writer; a MATLAB column vector becomes one axis."""
    dims = tuple(axis.label for axis in node.dims)
    if "MATLAB_class" not in node.attrs:
        return Dataset(path, name, node.shape, dims, dict(node.attrs))
    shape = node.shape[::-1]
    return Dataset(path, name, shape[:1] if shape[1:] == (1,) else shape, (), dict(node.attrs), turned=True)
