"""The reader of files with named arrays, one row a sample: NumPy, Zarr and HDF5."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from signalcam.data.collate import Entry, read_one_by_one, require_numbers, to_python
from signalcam.data.file_stamp import digest, stamp_if_exists
from signalcam.data.protocol import Batch
from signalcam.data.windows import Record
from signalcam.errors import InputError, LayoutError
from signalcam.inputs.layout import Layout

_INPUTS = ("inputs", "x", "X", "data", "signals", "signal", "images")
_LABELS = ("labels", "y", "Y", "label", "targets")
_NAMES = ("names", "ids", "name", "id")
Names = str | None


@dataclass(frozen=True)
class Arrays:
    """A reader of arrays in one file, with samples along the first axis.

    Args:
        path: The file.
        load: From the path to its arrays by name; slicing one reads that part.
        inputs: Name of the array with the samples.
        labels: Name of the array with their true classes.
        names: Name of the array with their names.
        about: From the array of samples to its layout, if the file knows it.
    """

    path: str
    load: Callable[[str], Mapping[str, Any]]
    inputs: str
    labels: str | None
    names: str | None
    about: Callable[[Any], Layout | None]

    def __len__(self) -> int:
        return int(self.load(self.path)[self.inputs].shape[0])

    @property
    def layout(self) -> Layout | None:
        """Layout of the samples, if the file knows it."""
        return self.about(self.load(self.path)[self.inputs])

    @property
    def fingerprint(self) -> str:
        """Hash of the file's stamp and the names of its arrays."""
        return digest([stamp_if_exists(self.path), self.inputs, self.labels, self.names])

    def read(self, numbers: Sequence[int]) -> Batch:
        """Read samples, consecutive ones at once; see ``Reader``."""
        arrays = self.load(self.path)
        rows_asked = require_numbers(numbers, len(self))
        rows = [_read_rows(arrays[name], rows_asked) if name else {} for name in (self.inputs, self.labels, self.names)]

        def entry(number: int) -> Entry:
            row, label, name = (each.get(number) for each in rows)
            for part in (row, label, name):
                if isinstance(part, Exception):
                    raise part
            return row, to_python(label), to_python(name)

        return read_one_by_one(rows_asked, entry, self.layout)


def _read_rows(array: Any, numbers: Sequence[int]) -> dict[int, Any]:
    """Read rows by number; a row that cannot be read is replaced by its exception."""
    values: dict[int, Any] = {}
    for start, stop in _consecutive_runs(numbers):
        try:
            values |= zip(range(start, stop), np.asarray(array[start:stop]), strict=True)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - a broken chunk must fail only the rows in it
            values |= {number: _read_row(array, number) for number in range(start, stop)}
    return values


def _read_row(array: Any, number: int) -> Any:
    try:
        return np.asarray(array[number])
    except Exception as error:  # noqa: BLE001 - kept as the reason of this row
        return error


def _consecutive_runs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield start and stop of each run of consecutive numbers."""
    ordered = np.unique(np.asarray(numbers, dtype=np.int64))
    for run in np.split(ordered, np.flatnonzero(np.diff(ordered) > 1) + 1):
        if len(run):
            yield int(run[0]), int(run[-1]) + 1


def choose_arrays(
    path: str,
    load: Callable[[str], Mapping[str, Any]],
    about: Callable[[Any], Layout | None],
    array_names: tuple[Names, Names, Names],
    *,
    single: bool | Layout,
) -> Arrays | Record:
    """Choose the arrays of inputs, labels and names, and return the reader.

    Args:
        path: The file.
        load: See ``Arrays``.
        about: See ``Arrays``.
        array_names: Names of the arrays of inputs, labels and names; ``None`` looks for the usual ones.
        single: Whether the file holds one record, or the layout of that record.
    """
    arrays = load(path)
    inputs = _choose_name(array_names[0], arrays, _INPUTS) or _only_name(arrays)
    if single:
        return _as_record(arrays[inputs], single)
    if not arrays[inputs].shape:
        message = f"array {inputs!r} is a single number; expected one row a sample."
        raise InputError(message)
    count = arrays[inputs].shape[0]
    rest = {name: each for name, each in arrays.items() if name != inputs and each.shape[:1] == (count,)}
    labels, names = (
        _choose_name(name, rest, usual) for name, usual in zip(array_names[1:], (_LABELS, _NAMES), strict=True)
    )
    return Arrays(path, load, inputs, labels, names, about)


def _choose_name(name_asked: Names, arrays: Mapping[str, Any], usual: Sequence[str]) -> Names:
    if name_asked is not None and name_asked not in arrays:
        message = f"it has no array {name_asked!r} that fits. It holds {', '.join(map(repr, arrays)) or 'none'}."
        raise InputError(message)
    return name_asked or next((name for name in usual if name in arrays), None)


def _only_name(arrays: Mapping[str, Any]) -> str:
    if len(arrays) != 1:
        message = f"which of the arrays {', '.join(map(repr, arrays)) or '(there are none)'} holds the samples is not known. Name it with inputs='...'."
        raise InputError(message)
    return next(iter(arrays))


def _as_record(array: Any, single: bool | Layout) -> Record:  # noqa: FBT001 - as `opened` got it
    """Wrap an array as one long record: ``(time,)`` or ``(channel, time)`` unless a layout names its axes."""
    usual = {1: Layout("batch time"), 2: Layout("batch channel time")}
    layout = single if isinstance(single, Layout) else usual.get(len(array.shape))
    if layout is None or len(layout.dims) != len(array.shape) + 1 or "time" not in layout.dims:
        message = f"an array of shape {array.shape} is no single record with such axes; expected (time,) or (channel, time). Name others, as in layout='batch time channel'."
        raise LayoutError(message)
    before = (slice(None),) * (layout.dims.index("time") - 1)
    return Record(tuple(array.shape), layout, lambda start, stop: np.asarray(array[(*before, slice(start, stop))]))


def layout_from_attributes(array: Any, dims: Sequence[str | None]) -> Layout | None:
    """Build a layout from axis names and attributes; ``None`` if an axis has no name."""
    if not dims or not all(dims):
        return None
    about = dict(getattr(array, "attrs", {}))
    rate, units = about.get("sampling_rate"), about.get("units")
    channels = about.get("channel_names")
    return Layout(
        ("batch", *map(str, dims[1:])),
        None if rate is None else float(to_python(rate)),
        None if channels is None else tuple(str(to_python(each)) for each in channels),
        None if units is None else str(to_python(units)),
    )
