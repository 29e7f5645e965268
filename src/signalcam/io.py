"""``load``: read results that were saved, or that jobs wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING

from signalcam.errors import CamError, StoreError
from signalcam.results import zarr_store
from signalcam.results.explanation import Explanation
from signalcam.results.serialization import from_store

if TYPE_CHECKING:
    from os import PathLike


def load(path: str | PathLike[str]) -> Explanation:
    """Read a result that ``Explanation.save`` or a job wrote. Nothing in it is ever executed or unpickled.

    Args:
        path: The folder.

    Returns:
        The explanation, equal to the one saved. Maps and inputs of a job are read when they are needed: take
        samples first, ``load(path).isel(sample=slice(8))``.

    Raises:
        StoreError: There is nothing, or it is damaged, newer than this version, or not ours.
    """
    return _read(path)


def load_lazy(path: str | PathLike[str]) -> Explanation:
    """Open a result whose inputs and maps stay on disk. What is indexed is read, without checking its checksum.

    It is for looking at: ``input`` and ``native`` maps can be indexed and are no arrays to calculate with.
    """
    return _read(path, unread=("input", "maps"))


def _read(path: str | PathLike[str], unread: tuple[str, ...] = ()) -> Explanation:
    if zarr_store.is_job(path):
        from signalcam.jobs.store_reader import open_store as load_job  # noqa: PLC0415 - a floor above, which makes such stores

        return load_job(path)
    arrays, about = zarr_store.read(path, unread=unread)
    try:
        return from_store(arrays, about)
    except (KeyError, TypeError, ValueError, IndexError, CamError) as error:
        message = f"{path} is damaged: {error!r}. Save it again, or restore it from a copy."
        raise StoreError(message) from error
