"""The reader of Zarr arrays and groups; only the requested chunks are read."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from signalcam.data.array_files import Arrays, Names, choose_arrays, layout_from_attributes
from signalcam.data.file_stamp import Stamp, read_edition
from signalcam.data.windows import Record
from signalcam.inputs.layout import Layout


def open_zarr(
    path: str, *, inputs: Names = None, labels: Names = None, names: Names = None, single: bool | Layout = False
) -> Arrays | Record:
    """Open a Zarr array, or a group of them.

    Args:
        path: Its folder or zip file.
        inputs: Array of the samples in a group, with its groups: ``"train/signals"``.
        labels: Array of their true classes.
        names: Array of their names.
        single: Whether it holds one record, ``(time,)`` or ``(channel, time)``; or the layout of that record.
    """
    return choose_arrays(path, _load, _layout_of, (inputs, labels, names), single=single)


def _layout_of(array: Any) -> Layout | None:
    """Layout from the axis names that Zarr and xarray write."""
    dims = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS")
    return layout_from_attributes(array, dims or ())


def _load(path: str) -> Mapping[str, Any]:
    return _list_arrays(path, read_edition(path))


@lru_cache(maxsize=16)
def _list_arrays(path: str, _edition: tuple[Stamp, ...]) -> Mapping[str, Any]:
    import zarr  # noqa: PLC0415 - loaded when first needed

    store = zarr.storage.ZipStore(path, mode="r") if path.lower().endswith(".zip") else path
    node = zarr.open(store, mode="r")
    if isinstance(node, zarr.Array):
        return {"inputs": node}
    members = node.members(max_depth=None)
    return {name: each for name, each in members if isinstance(each, zarr.Array)}
