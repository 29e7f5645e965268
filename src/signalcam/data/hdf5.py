"""HDF5 files, their datasets read in part."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from signalcam.data.arrays import Arrays, Names, opened, said_by
from signalcam.data.packages import needed
from signalcam.data.records import Record
from signalcam.data.stamps import Stamp, stamp
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


def _about(dataset: Any) -> Layout | None:
    """Named axes as HDF5's dimension scales have them."""
    return said_by(dataset, [each.label for each in dataset.dims])


def _load(path: str) -> Mapping[str, Any]:
    return _datasets(path, stamp(path))


@lru_cache(maxsize=16)
def _datasets(path: str, _stamp: Stamp) -> Mapping[str, Any]:
    h5py = needed("h5py", "HDF5 files")
    found: dict[str, Any] = {}

    def keep(name: str, each: Any) -> None:
        if isinstance(each, h5py.Dataset):
            found[name] = each

    h5py.File(path, "r").visititems(keep)
    return found
