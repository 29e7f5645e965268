"""Here you find how a result is stored: one Zarr v3 group, written whole or not at all, without pickle."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from signalcam.errors import StoreError
from signalcam.results.atomic_write import write_whole
from signalcam.results.lazy_array import LazyArray

FORMAT = 2  # increase it when an older SignalCAM can no longer read what is written
_BLOCK = 2**18  # entries along the longest axis in memory at a time
_MARK = "signalcam"
_SUMS = "crc32"  # without checksums a lost chunk would be read as zeros


@dataclass(frozen=True)
class NamedArray:
    """An array, or a lazily read one, and the names of its axes."""

    values: np.ndarray
    dims: tuple[str, ...]


class ZarrArray(LazyArray):
    """A Zarr array that is read where it is indexed."""

    def __init__(self, source: Any) -> None:
        self.source = source
        self.shape = tuple(source.shape)
        self.dtype = np.dtype(source.dtype)

    def __getitem__(self, key: Any) -> np.ndarray:
        try:
            return np.asarray(self.source[key])
        except IndexError:
            raise
        except Exception as error:
            message = f"{self.source.store_path} is damaged ({type(error).__name__}: {error}). Save it again, or restore it from a copy."
            raise StoreError(message) from error


@dataclass(frozen=True)
class StoreContents:
    """The contents of a store: arrays, and everything else as JSON."""

    arrays: Mapping[str, NamedArray]
    about: Mapping[str, Any]


def as_path(path: Any) -> Path:
    """Return a path, or raise a ``StoreError`` if it is none."""
    try:
        return Path(path)
    except TypeError as error:
        message = f"the path is {path!r}; give the name of a file or folder, a text or a pathlib.Path."
        raise StoreError(message) from error


def write(path: str | os.PathLike[str], contents: StoreContents) -> None:
    """Write a store next to its place, then move it there in one step.

    Raises:
        StoreError: The place cannot be written to, or holds something other than a result.
    """
    place = as_path(path)
    try:
        if place.exists():
            _require_ours(place)
        with write_whole(place) as new:
            _write_group(new, contents)
    except StoreError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        message = f"cannot save to {place}: {reason}. Choose a folder that can be written to."
        raise StoreError(message) from error


def _write_group(place: Path, contents: StoreContents) -> None:
    import zarr  # noqa: PLC0415 - not needed to import signalcam

    about = json.loads(json.dumps(contents.about, default=_to_json))
    arrays = {name: each.values for name, each in contents.arrays.items()}
    attributes = {_MARK: FORMAT, "about": about, _SUMS: _checksums(arrays)}
    group = zarr.create_group(place, zarr_format=3, attributes=attributes)
    for name, values in arrays.items():
        dims = contents.arrays[name].dims
        if isinstance(values, np.ndarray):
            array = _create_array(group, name, values, dims, _chunks(values.shape))
            array[...] = np.ascontiguousarray(values)
            continue
        array = _create_array(group, name, values, dims, next(_iterate_blocks(values))[1].shape)
        for where, block in _iterate_blocks(values):
            array[where] = block


def _create_array(group: Any, name: str, values: Any, dims: tuple[str, ...], chunks: tuple[int, ...]) -> Any:
    """Create an array whose missing chunks read as NaN, or as 0 for integers."""
    fill = np.nan if values.dtype.kind == "f" else 0
    return group.create_array(
        name, shape=values.shape, dtype=values.dtype, chunks=chunks, dimension_names=dims, fill_value=fill
    )


def _chunks(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Chunks of few samples, each sample as whole as fits, so that one sample is read quickly."""
    room, chunks = _BLOCK, []
    for length in reversed(shape):
        chunks.append(max(1, min(length, room)))
        room //= chunks[-1]
    return tuple(reversed(chunks))


def _checksums(arrays: Mapping[str, np.ndarray]) -> dict[str, int]:
    sums = dict.fromkeys(arrays, 0)
    for name, values in arrays.items():
        for _, block in _iterate_blocks(values):
            sums[name] = zlib.crc32(block.data, sums[name])
    return sums


def _iterate_blocks(values: Any) -> Iterator[tuple[tuple[slice, ...], np.ndarray]]:
    """Yield an array block by block, so that little of a lazily read one is in memory."""
    if isinstance(values, np.ndarray):
        yield (), np.ascontiguousarray(values)
        return
    longest = int(np.argmax(values.shape))
    for row in np.ndindex(*values.shape[:longest]):
        for start in range(0, values.shape[longest], _BLOCK):
            where = (*(slice(i, i + 1) for i in row), slice(start, start + _BLOCK))
            yield where, np.ascontiguousarray(values[where])


def _to_json(value: object) -> object:
    return value.item() if isinstance(value, np.generic) else str(value)


def read(path: str | os.PathLike[str], *, unread: tuple[str, ...] = ()) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read a store's arrays and its JSON.

    Args:
        path: The folder.
        unread: Prefixes of the arrays that stay on disk, see ``ZarrArray``; their checksums are not tested.

    Raises:
        StoreError: There is no store, or it is damaged, newer than this version, or of another program.
    """
    place = as_path(path)
    if not os.path.lexists(place):
        message = f"there is nothing at {place}. Give the folder that Explanation.save made."
        raise StoreError(message)
    _require_ours(place)
    import zarr  # noqa: PLC0415 - not needed to import signalcam

    try:
        group = zarr.open_group(place, mode="r", zarr_format=3)
        arrays = {
            name: ZarrArray(array) if name.startswith(unread) else np.asarray(array[...])
            for name, array in group.arrays()
        }
        about = dict(group.attrs["about"])  # type: ignore[arg-type] # checked when the result is rebuilt
        _require_sums(arrays, dict(group.attrs[_SUMS]))  # type: ignore[arg-type] # compared, whatever it is
    except Exception as error:
        message = f"{place} is damaged ({type(error).__name__}: {error}). Save it again, or restore it from a copy."
        raise StoreError(message) from error
    return arrays, about


def _require_sums(arrays: Mapping[str, Any], saved: dict[str, int]) -> None:
    loaded = {name: each for name, each in arrays.items() if not isinstance(each, ZarrArray)}
    other_sums = {name: saved[name] for name in arrays.keys() - loaded.keys()}
    if _checksums(loaded) | other_sums != saved:
        message = "its numbers are not those that were saved"
        raise ValueError(message)


def is_job(path: str | os.PathLike[str]) -> bool:
    """Return whether a folder is the store of a job."""
    try:
        return "job" in json.loads((Path(path) / "zarr.json").read_text())["attributes"]
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _require_ours(place: Path) -> None:
    """Raise a ``StoreError`` unless a folder is a result of a readable version."""
    try:
        version = json.loads((place / "zarr.json").read_text())["attributes"][_MARK]
    except (OSError, ValueError, KeyError, TypeError):
        message = f"{place} exists and is no readable result of SignalCAM. Give another path; nothing was changed."
        raise StoreError(message) from None
    if not isinstance(version, int) or version > FORMAT:
        message = f"{place} was saved by a newer SignalCAM (format {version}; this one reads up to {FORMAT}). Upgrade signalcam."
        raise StoreError(message)
