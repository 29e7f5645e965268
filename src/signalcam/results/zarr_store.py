"""A result on disk: one Zarr v3 group, written whole or not at all, and never unpickled."""

from __future__ import annotations

import json
import os
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from signalcam.errors import StoreError

FORMAT = 2  # raised when an older SignalCAM could no longer read what is written
_BLOCK = 2**18  # entries along the longest axis that are held at a time
_MARK = "signalcam"
_SUMS = "crc32"  # without them a chunk that was lost would be read as zeros


@dataclass(frozen=True)
class NamedArray:
    """An array, or what is read like one, and the names of its axes."""

    values: np.ndarray
    dims: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class ZarrArray:
    """An array that is read where it is indexed, as NumPy would index it.

    Attributes:
        source: The Zarr array.
    """

    source: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """How long it is along each axis."""
        return tuple(self.source.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of its values."""
        found: np.dtype[Any] = np.dtype(self.source.dtype)
        return found

    @property
    def ndim(self) -> int:
        """How many axes it has."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> np.ndarray:
        try:
            return np.asarray(self.source[key])
        except IndexError:
            raise
        except Exception as error:
            message = f"{self.source.store_path} is damaged ({type(error).__name__}: {error}). Save it again, or restore it from a copy."
            raise StoreError(message) from error

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:  # noqa: FBT001 - as NumPy calls it
        return np.array(self[:], dtype=dtype, copy=copy)


@dataclass(frozen=True)
class StoreContents:
    """What goes into a store: arrays, and everything else as JSON."""

    arrays: Mapping[str, NamedArray]
    about: Mapping[str, Any]


def as_path(path: Any) -> Path:
    """A path, which must be one."""
    try:
        return Path(path)
    except TypeError as error:
        message = f"the path is {path!r}; give the name of a file or folder, a text or a pathlib.Path."
        raise StoreError(message) from error


def write(path: str | os.PathLike[str], contents: StoreContents) -> None:
    """Write a store beside its place, then move it there in one step.

    Raises:
        StoreError: The place cannot be written to, or holds something that is not ours.
    """
    place = as_path(path)
    try:
        if place.exists():
            _require_ours(place)
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".saving-", dir=place.parent) as folder:
            _fill(Path(folder) / "new", contents)
            _put(Path(folder) / "new", place, Path(folder) / "old")
    except StoreError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        message = f"cannot save to {place}: {reason}. Choose a folder that can be written to."
        raise StoreError(message) from error


def _put(new: Path, place: Path, old: Path) -> None:
    """Move a whole result to its place; what was there is set aside, and put back if that fails."""
    replaced = place.exists()
    if replaced:
        place.replace(old)
    try:
        new.replace(place)
    except BaseException:
        if replaced:
            old.replace(place)
        raise


def _fill(place: Path, contents: StoreContents) -> None:
    import zarr  # noqa: PLC0415 - not needed to import signalcam

    about = json.loads(json.dumps(contents.about, default=_plain))
    arrays = {name: each.values for name, each in contents.arrays.items()}
    attributes = {_MARK: FORMAT, "about": about, _SUMS: _sums(arrays)}
    group = zarr.create_group(place, zarr_format=3, attributes=attributes)
    for name, values in arrays.items():
        dims = contents.arrays[name].dims
        if isinstance(values, np.ndarray):
            array = _made(group, name, values, dims, _chunks(values.shape))
            array[...] = np.ascontiguousarray(values)
            continue
        array = _made(group, name, values, dims, next(_blocks(values))[1].shape)
        for where, block in _blocks(values):
            array[where] = block


def _made(group: Any, name: str, values: Any, dims: tuple[str, ...], chunks: tuple[int, ...]) -> Any:
    """A new array in which a chunk that is not there reads as NaN where it can."""
    blank = np.nan if values.dtype.kind == "f" else 0
    return group.create_array(
        name, shape=values.shape, dtype=values.dtype, chunks=chunks, dimension_names=dims, fill_value=blank
    )


def _chunks(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Chunks of few samples, each as whole as fits: looking at one reads little else."""
    left, chunks = _BLOCK, []
    for length in reversed(shape):
        chunks.append(max(1, min(length, left)))
        left //= chunks[-1]
    return tuple(reversed(chunks))


def _sums(arrays: Mapping[str, np.ndarray]) -> dict[str, int]:
    sums = dict.fromkeys(arrays, 0)
    for name, values in arrays.items():
        for _, block in _blocks(values):
            sums[name] = zlib.crc32(block.data, sums[name])
    return sums


def _blocks(values: Any) -> Iterator[tuple[tuple[slice, ...], np.ndarray]]:
    """An array from its first value to its last; one that is read when indexed, a stretch at a time."""
    if isinstance(values, np.ndarray):
        yield (), np.ascontiguousarray(values)
        return
    long = int(np.argmax(values.shape))
    for row in np.ndindex(*values.shape[:long]):
        for start in range(0, values.shape[long], _BLOCK):
            where = (*(slice(i, i + 1) for i in row), slice(start, start + _BLOCK))
            yield where, np.ascontiguousarray(values[where])


def _plain(value: object) -> object:
    return value.item() if isinstance(value, np.generic) else str(value)


def read(path: str | os.PathLike[str], *, unread: tuple[str, ...] = ()) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read a store's arrays and what is known about them.

    Args:
        path: The folder.
        unread: How the names of those arrays begin that stay on disk, see ``ZarrArray``; whether they are the
            numbers that were saved is not checked then.

    Raises:
        StoreError: There is nothing, or it is damaged, newer than this version, or not ours.
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
        about = dict(group.attrs["about"])  # type: ignore[arg-type] # checked by whoever rebuilds the result
        _require_sums(arrays, dict(group.attrs[_SUMS]))  # type: ignore[arg-type] # compared, whatever it is
    except Exception as error:
        message = f"{place} is damaged ({type(error).__name__}: {error}). Save it again, or restore it from a copy."
        raise StoreError(message) from error
    return arrays, about


def _require_sums(arrays: Mapping[str, Any], saved: dict[str, int]) -> None:
    read = {name: each for name, each in arrays.items() if not isinstance(each, ZarrArray)}
    unread = {name: saved[name] for name in arrays.keys() - read.keys()}
    if _sums(read) | unread != saved:
        message = "its numbers are not those that were saved"
        raise ValueError(message)


def is_job(path: str | os.PathLike[str]) -> bool:
    """Whether a job made what lies there."""
    try:
        return "job" in json.loads((Path(path) / "zarr.json").read_text())["attributes"]
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _require_ours(place: Path) -> None:
    """Raise a ``StoreError`` unless a result of a version we can read lies there."""
    try:
        found = json.loads((place / "zarr.json").read_text())["attributes"][_MARK]
    except (OSError, ValueError, KeyError, TypeError):
        message = f"{place} exists and is no readable result of SignalCAM. Give another path; nothing was changed."
        raise StoreError(message) from None
    if not isinstance(found, int) or found > FORMAT:
        message = f"{place} was saved by a newer SignalCAM (format {found}; this one reads up to {FORMAT}). Upgrade signalcam."
        raise StoreError(message)
