"""The reader of NumPy files: ``.npy`` is memory-mapped, ``.npz`` is read at once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from signalcam.data.array_files import Arrays, Names, choose_arrays
from signalcam.data.file_stamp import Stamp, read_edition
from signalcam.data.windows import Record
from signalcam.inputs.layout import Layout


def open_numpy(
    path: str, *, inputs: Names = None, labels: Names = None, names: Names = None, single: bool | Layout = False
) -> Arrays | Record:
    """Open a ``.npy`` or ``.npz`` file.

    Args:
        path: The file.
        inputs: Array of the samples in an ``.npz``.
        labels: Array of their true classes.
        names: Array of their names.
        single: Whether it holds one record, ``(time,)`` or ``(channel, time)``; or the layout of that record.
    """
    return choose_arrays(path, _load, _no_layout, (inputs, labels, names), single=single)


def _no_layout(_array: Any) -> None:
    return None


def _load(path: str) -> Mapping[str, Any]:
    return _open_arrays(path, read_edition(path))


@lru_cache(maxsize=16)
def _open_arrays(path: str, _edition: tuple[Stamp, ...]) -> Mapping[str, Any]:
    if path.lower().endswith(".npy"):
        return {"inputs": np.load(path, mmap_mode="r", allow_pickle=False)}
    # open the file here, as NumPy does not close a broken one
    with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return dict(arrays)
