"""HDF5 files, their datasets read in part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from signalcam.data.array_files import Arrays, Names, choose_arrays, layout_from_attributes
from signalcam.data.file_stamp import Stamp, edition
from signalcam.data.optional_imports import import_optional
from signalcam.data.windows import Record
from signalcam.inputs.layout import Layout


def open_hdf5(
    path: str, *, inputs: Names = None, labels: Names = None, names: Names = None, single: bool | Layout = False
) -> Arrays | Record:
    """Open an HDF5 file.

    Args:
        path: The file.
        inputs: The dataset of the samples, with its groups: ``"train/signals"``.
        labels: That of their true classes.
        names: That of their names.
        single: Whether it holds one record, ``(time,)`` or ``(channel, time)``; the layout of one with other axes.
    """
    return choose_arrays(path, _load, _layout_of, (inputs, labels, names), single=single)


@dataclass(frozen=True)
class Dataset:
    """A dataset that is read by opening its file anew, so that nobody is kept from writing it.

    Attributes:
        path: Of the file.
        name: Of the dataset, with its groups.
        shape: Of the dataset.
        dims: The labels of its axes, empty where there is none.
        attrs: Its attributes.
        turned: Whether its axes lie in the file in reverse, as MATLAB writes them.
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
    """Named axes as HDF5's dimension scales have them."""
    return layout_from_attributes(dataset, dataset.dims)


def _load(path: str) -> Mapping[str, Any]:
    return _list_datasets(path, edition(path))


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
    """A dataset with its axes as they were written; a column of MATLAB's has one."""
    dims = tuple(axis.label for axis in node.dims)
    if "MATLAB_class" not in node.attrs:
        return Dataset(path, name, node.shape, dims, dict(node.attrs))
    shape = node.shape[::-1]
    return Dataset(path, name, shape[:1] if shape[1:] == (1,) else shape, (), dict(node.attrs), turned=True)
