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

FORMAT = 1  # raised when an older SignalCAM could no longer read what is written
_BLOCK = 2**18  # entries along the longest axis that are held at a time
_MARK = "signalcam"
_SUMS = "crc32"  # without them a chunk that was lost would be read as zeros


@dataclass(frozen=True)
class Stored:
    """An array, or what is read like one, and the names of its axes."""

    values: np.ndarray
    dims: tuple[str, ...]


@dataclass(frozen=True)
class Contents:
    """What goes into a store: arrays, and everything else as JSON."""

    arrays: Mapping[str, Stored]
    about: Mapping[str, Any]


def write(path: str | os.PathLike[str], contents: Contents) -> None:
    """Write a store beside its place, then move it there in one step.

    Raises:
        StoreError: The place cannot be written to, or holds something that is not ours.
    """
    place = Path(path)
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


def _fill(place: Path, contents: Contents) -> None:
    import zarr  # noqa: PLC0415 - not needed to import signalcam

    about = json.loads(json.dumps(contents.about, default=_plain))
    arrays = {name: each.values for name, each in contents.arrays.items()}
    attributes = {_MARK: FORMAT, "about": about, _SUMS: _sums(arrays)}
    group = zarr.create_group(place, zarr_format=3, attributes=attributes)
    for name, values in arrays.items():
        dims = contents.arrays[name].dims
        if isinstance(values, np.ndarray):
            group.create_array(name, data=np.ascontiguousarray(values), dimension_names=dims)
            continue
        parts = {"chunks": next(_blocks(values))[1].shape, "dimension_names": dims}
        array = group.create_array(name, shape=values.shape, dtype=values.dtype, **parts)
        for where, block in _blocks(values):
            array[where] = block


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


def read(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read a store's arrays and what is known about them.

    Raises:
        StoreError: There is nothing, or it is damaged, newer than this version, or not ours.
    """
    place = Path(path)
    if not os.path.lexists(place):
        message = f"there is nothing at {place}. Give the folder that Explanation.save made."
        raise StoreError(message)
    _require_ours(place)
    import zarr  # noqa: PLC0415 - not needed to import signalcam

    try:
        group = zarr.open_group(place, mode="r", zarr_format=3)
        arrays = {name: np.asarray(array[...]) for name, array in group.arrays()}
        about = dict(group.attrs["about"])  # type: ignore[arg-type] # checked by whoever rebuilds the result
        _require_sums(arrays, group.attrs[_SUMS])
    except Exception as error:
        message = f"{place} is damaged ({type(error).__name__}: {error}). Save it again, or restore it from a copy."
        raise StoreError(message) from error
    return arrays, about


def _require_sums(arrays: Mapping[str, np.ndarray], saved: object) -> None:
    if _sums(arrays) != saved:
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
