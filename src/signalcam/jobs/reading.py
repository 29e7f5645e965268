"""Samples in NumPy files and Zarr stores, read by number and never as a whole."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from signalcam.data.protocol import Batch, Reader
from signalcam.errors import JobError, nearest
from signalcam.layout import Layout


@dataclass(frozen=True)
class Arrays:
    """Arrays whose first axis counts the samples: inputs, and labels and names where there are any."""

    inputs: Any
    labels: Any
    names: Any
    fingerprint: str
    layout: Layout | None = None

    def __len__(self) -> int:
        return int(self.inputs.shape[0])

    def read(self, numbers: Sequence[int]) -> Batch:
        """Read some samples."""
        rows = np.asarray(numbers)
        labels = None if self.labels is None else tuple(_rows(self.labels, rows).tolist())
        names = None if self.names is None else tuple(map(str, _rows(self.names, rows).tolist()))
        return Batch(_rows(self.inputs, rows), tuple(map(int, numbers)), labels, names)


def _rows(array: Any, rows: np.ndarray) -> np.ndarray:
    """Some entries of an array's first axis; those in a row are read at once."""
    if len(rows) and (np.diff(rows) == 1).all():
        return np.asarray(array[int(rows[0]) : int(rows[-1]) + 1])
    return np.asarray(array[rows] if isinstance(array, np.ndarray) else array.oindex[rows])


def opened(path: Path, inputs: str | None, labels: str | None, names: str | None) -> Reader:
    """Open a ``.npy`` or ``.npz`` file or a Zarr store.

    Args:
        path: Where it lies.
        inputs: The name of the array with the samples, where there are several.
        labels: The name of the array of true classes there, or a ``.npy`` file beside it.
        names: The same of the samples' names.

    Raises:
        JobError: There is nothing, it cannot be read, has no such array, or arrays differ in length.
    """
    if not path.exists():
        message = (
            f"there is no data at {path}. Give data.path a .npy or .npz file, or a Zarr store."
        )
        raise JobError(message)
    try:
        known = _arrays(path)
    except JobError:
        raise
    except Exception as error:
        message = f"{path} cannot be read ({type(error).__name__}: {error}). Give a .npy or .npz file, or a Zarr store."
        raise JobError(message) from error
    own = _chosen(known, inputs, path)
    more = {"labels": labels, "names": names}
    told = {
        what: None if name is None else beside(path, known, name) for what, name in more.items()
    }
    for what, each in told.items():
        _require_length(what, each, int(own.shape[0]))
    return Arrays(own, told["labels"], told["names"], fingerprint(path, labels, names))


def _arrays(path: Path) -> dict[str, Any]:
    """What a file or store holds, by name; a single array has none."""
    if path.suffix == ".npy":
        return {"": np.load(path, mmap_mode="r", allow_pickle=False)}
    if path.suffix == ".npz" and zipfile.is_zipfile(path):
        return dict(np.load(path, allow_pickle=False))
    if path.is_dir():
        import zarr  # noqa: PLC0415 - only for stores

        node = zarr.open(path, mode="r")
        return {"": node} if isinstance(node, zarr.Array) else dict(node.arrays())
    message = f"{path} is no data that can be read. Give a .npy or .npz file, or a Zarr store."
    raise JobError(message)


def _chosen(known: dict[str, Any], name: str | None, path: Path) -> Any:
    if len(known) == 1 and name is None:
        return next(iter(known.values()))
    if name in known:
        return known[name]
    there = ", ".join(map(repr, known)) or "nothing"
    asked = "data.inputs names none of them" if name is None else f"not {name!r}"
    message = (
        f"{path} holds {there}, {asked}.{nearest(name or '', known)} Name one with data.inputs."
    )
    raise JobError(message)


def beside(path: Path, known: dict[str, Any] | None, name: str) -> Any:
    """An array by its name in the data, or by the ``.npy`` file it lies in, seen from the data's folder."""
    known = _arrays(path) if known is None and not name.endswith(".npy") else known or {}
    if name in known:
        return known[name]
    file = path.parent / name
    if not (name.endswith(".npy") and file.exists()):
        message = f"there is no array {name!r} in {path}, and no such .npy file beside it.{nearest(name, known)}"
        raise JobError(message)
    try:
        return np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        message = f"{file} cannot be read ({error}). Save it with numpy.save, of numbers or text."
        raise JobError(message) from error


def _require_length(what: str, array: Any, count: int) -> None:
    if array is not None and (array.ndim != 1 or array.shape[0] != count):
        message = f"data.{what} has shape {tuple(array.shape)} for {count} samples. Give one entry a sample."
        raise JobError(message)


def fingerprint(path: Path, *names: str | None) -> str:
    """A hash of the sizes and times of the files that hold the data."""
    files = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
    files += [path.parent / each for each in names if each and each.endswith(".npy")]
    known = [[str(each.name), each.stat().st_size, each.stat().st_mtime_ns] for each in files]
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()
