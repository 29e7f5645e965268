"""HDF5 files, their datasets read in part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from signalcam.data.arrays import Arrays, Names, opened, said_by
from signalcam.data.packages import needed
from signalcam.data.records import Record
from signalcam.data.stamps import Stamp, edition
from signalcam.layout import Layout


def open_hdf5(path: str, *, inputs: Names = None, labels: Names = None, names: Names = None, single: bool | Layout = False) -> Arrays | Record:  # fmt: skip
    """Open an HDF5 file.

    Args:
        path: The file.
        inputs: The dataset of the samples, with its groups: ``"train/signals"``.
        labels: That of their true classes.
        names: That of their names.
        single: Whether it holds one record, ``(time,)`` or ``(channel, time)``; the layout of one with other axes.
    """
    return opened(path, _load, _about, (inputs, labels, names), single=single)


@dataclass(frozen=True)
class Dataset:
    """A dataset that is read by opening its file anew, so that nobody is kept from writing it.

    Attributes:
        path: Of the file.
        name: Of the dataset, with its groups.
        shape: Of the dataset.
        dims: The labels of its axes, empty where there is none.
        attrs: Its attributes.
    """

    path: str
    name: str
    shape: tuple[int, ...]
    dims: tuple[str, ...]
    attrs: Mapping[str, Any]

    def __getitem__(self, rows: Any) -> Any:
        with needed("h5py", "HDF5 files").File(self.path, "r") as file:
            return file[self.name][rows]


def _about(dataset: Dataset) -> Layout | None:
    """Named axes as HDF5's dimension scales have them."""
    return said_by(dataset, dataset.dims)


def _load(path: str) -> Mapping[str, Any]:
    return _datasets(path, edition(path))


@lru_cache(maxsize=16)
def _datasets(path: str, _edition: tuple[Stamp, ...]) -> Mapping[str, Any]:
    h5py = needed("h5py", "HDF5 files")
    found: dict[str, Any] = {}

    def keep(name: str, each: Any) -> None:
        if isinstance(each, h5py.Dataset):
            dims = tuple(axis.label for axis in each.dims)
            found[name] = Dataset(path, name, each.shape, dims, dict(each.attrs))

    with h5py.File(path, "r") as file:
        file.visititems(keep)
    return found
