"""Records: one signal, image or volume per file, read whole, in windows or around events."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, lru_cache
from numbers import Real
from typing import Any, Literal, TypeVar

import numpy as np

from signalcam.data.collate import Entry, read_one_by_one, require_numbers
from signalcam.data.file_stamp import Stamp, digest, read_edition, stamp_if_exists
from signalcam.data.protocol import Batch
from signalcam.errors import InputError, MissingExtra
from signalcam.inputs.layout import Layout

Span = tuple[int, int]
Result = TypeVar("Result")
_OPEN_FILES = 16  # open files in the cache

_EARLIER_MODULES = {"signalcam.data.video": "signalcam.data.films"}  # as stores of 0.1.0 have it, which must resume


@dataclass(frozen=True)
class Record:
    """One record in a file: its shape, its layout and how to read a part of it.

    Attributes:
        shape: Shape of the record, without a batch axis.
        layout: Layout of the record, with ``batch`` first; ``None`` if unknown.
        read: From a start and a stop along ``time`` to that part. Without a time axis they are 0 and 1.
        events: From the name of the events to pairs of a sample number and a label; ``None`` if there are none.
    """

    shape: tuple[int, ...]
    layout: Layout | None
    read: Callable[[int, int], np.ndarray]
    events: Callable[[str], Sequence[tuple[int, str]]] | None = None


@dataclass(frozen=True)
class Windows:
    """Windows of equal length in a long record; each is a sample.

    Args:
        length: Length of a window, in seconds; in samples if the record has no sampling rate.
        stride: Distance between starts, in the same unit; ``None`` places windows end to end.
        remainder: ``"drop"`` a last part shorter than a window, or ``"pad"`` it with zeros.
        around: Centre one window on each event instead, labelled by the event. The name of a WFDB annotator, such as
            ``"atr"``, or ``"annotations"`` in EDF, BDF and FIF.
        unit: ``"seconds"`` or ``"samples"``, whatever the record has.

    Raises:
        InputError: A length is not above 0, or an option is unknown.

    Example:
        >>> sc.data.Windows(10.0, stride=5.0).length
        10.0
    """

    length: float
    stride: float | None = None
    remainder: Literal["drop", "pad"] = "drop"
    around: str | None = None
    unit: Literal["seconds", "samples"] | None = None

    def __post_init__(self) -> None:
        for name, value in (("length", self.length), ("stride", self.stride)):
            is_length = isinstance(value, Real) and 0 < value < float("inf")
            if value is not None and not is_length:
                message = f"{name} of the windows is {value!r}; give a number above 0."
                raise InputError(message)
        if self.remainder not in ("drop", "pad") or self.unit not in (None, "seconds", "samples"):
            message = f"windows have remainder={self.remainder!r} and unit={self.unit!r}; expected 'drop' or 'pad', and 'seconds', 'samples' or None."
            raise InputError(message)
        if self.around is not None and self.stride is not None:
            message = "windows around events have no stride. Leave stride or around out."
            raise InputError(message)

    def samples(self, value: float, rate: float | None) -> int:
        """Convert a length to a whole number of samples."""
        if self.unit == "seconds" and rate is None:
            message = "its sampling rate is not known, so windows cannot be cut in seconds. Give layout=sc.Layout(..., sampling_rate=...), or unit='samples'."
            raise InputError(message)
        count = round(value * rate) if rate and self.unit != "samples" else round(value)
        if count < 1:
            message = f"{value:g} is less than one sample."
            raise InputError(message)
        return count


@dataclass(frozen=True)
class Item:
    """A file, or a part of one, with its name and label."""

    path: str
    name: str
    label: Any = None
    begin: float | None = None  # in the units of windows
    end: float | None = None

    @property
    def is_part(self) -> bool:
        """Whether the item is only a part of its file."""
        return self.begin is not None or self.end is not None

    def bounds(self, length: int, rate: float | None, windows: Windows) -> Span:
        """Start and stop of the part, in samples."""
        begin = windows.samples(self.begin, rate) if self.begin else 0
        end = length if self.end is None else windows.samples(self.end, rate)
        if not 0 <= begin < end <= length:
            message = f"the part from {self.begin or 0:g} to {self.end} is none of its {length} samples."
            raise InputError(message)
        return begin, end


@dataclass(frozen=True)
class WindowOptions:
    """Settings by which all files of a reader are read."""

    open: Callable[..., Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    windows: Windows | None = None
    layout: Layout | None = None
    files: Callable[[str], Sequence[str]] | None = None  # which others a file refers to

    def open_file(self, path: str) -> Any:
        """Open a file as a record or reader; the last few are cached."""
        options = tuple(sorted((name, _hashable(each)) for name, each in self.options.items()))
        return _open_cached(self.open, path, read_edition(path), options)

    def fingerprint(self, path: str) -> str:
        """Hash of the file's stamp, those it refers to, and the settings."""
        refer = self.files
        referred = _none_if_unreadable(lambda: refer(path)) if refer else ()
        stamps = [stamp_if_exists(each) for each in (path, *(referred or ()))]
        about = (self.windows, self.layout, sorted(self.options.items()))
        module = _EARLIER_MODULES.get(self.open.__module__, self.open.__module__)
        return digest([module, self.open.__qualname__, about, stamps])


def _hashable(value: Any) -> Any:
    return tuple(map(_hashable, value)) if isinstance(value, list | tuple) else value


@lru_cache(maxsize=_OPEN_FILES)
def _open_cached(
    opener: Callable[..., Any],
    path: str,
    _edition: tuple[Stamp, ...],
    options: tuple[tuple[str, Any], ...],
) -> Any:
    return opener(path, **dict(options))


@dataclass(frozen=True)
class WindowPlan:
    """The windows of a record.

    Attributes:
        starts: Start of each window, in samples of the record.
        length: Length of a window.
        bounds: Start and stop of the part to read; outside it windows are padded.
        labels: Label of each window; ``None`` if the file's label applies.
    """

    starts: Sequence[int]
    length: int
    bounds: Span
    labels: Sequence[str] | None = None


@dataclass(frozen=True)
class RecordFile:
    """A reader of one file with one record; with ``windows`` the record is several samples."""

    item: Item
    settings: WindowOptions

    def __len__(self) -> int:
        if self.settings.windows is None:
            return 1
        plan = _none_if_unreadable(lambda: self._plan)
        return 1 if plan is None else len(plan.starts)

    @property
    def fingerprint(self) -> str:
        """Hash of the file and its settings."""
        return digest([self.settings.fingerprint(self.item.path), replace(self.item, path="")])

    @property
    def layout(self) -> Layout | None:
        """Layout of the record; ``None`` if the file cannot be opened."""
        return _none_if_unreadable(lambda: self._layout)

    def read(self, numbers: Sequence[int]) -> Batch:
        """Read windows, or the whole record; see ``Reader``."""
        return read_one_by_one(require_numbers(numbers, len(self)), self._entry, self.layout)

    @property
    def _record(self) -> Record:
        record: Record = self.settings.open_file(self.item.path)
        return record

    @property
    def _layout(self) -> Layout | None:
        return merge_layouts(self._record.layout, self.settings.layout)

    def _entry(self, number: int) -> Entry:
        plan, record = self._plan, self._record
        start, stop = plan.starts[number], plan.starts[number] + plan.length
        begin, end = max(start, plan.bounds[0]), min(stop, plan.bounds[1])
        array = record.read(begin, end)
        if (begin, end) != (start, stop):
            array = _pad_axis(array, _time_axis(self._layout) or 0, (begin - start, stop - end))
        label = plan.labels[number] if plan.labels else self.item.label
        cut = self.settings.windows is not None or self.item.is_part
        return array, label, f"{self.item.name}[{start}:{stop}]" if cut else self.item.name

    @cached_property
    def _plan(self) -> WindowPlan:
        record, layout, windows = self._record, self._layout, self.settings.windows
        axis = _time_axis(layout)
        if axis is None and (windows or self.item.is_part):
            message = f"it has shape {record.shape} and no time axis to cut. Name its axes, as in layout='batch channel time'."
            raise InputError(message)
        length = 1 if axis is None else record.shape[axis]
        rate = layout.sampling_rate if layout else None
        bounds = self.item.bounds(length, rate, windows or Windows(1))
        if windows is None:
            return WindowPlan(bounds[:1], bounds[1] - bounds[0], bounds)
        return (
            _plan_around_events(record, windows, bounds, rate)
            if windows.around
            else _plan_consecutive(windows, bounds, rate)
        )


def _none_if_unreadable(find: Callable[[], Result]) -> Result | None:
    """Call ``find``; return ``None`` on an error, which reading the samples will report."""
    try:
        return find()
    except (MissingExtra, MemoryError):
        raise
    except Exception:  # noqa: BLE001 - broken files raise anything
        return None


def _plan_consecutive(windows: Windows, bounds: Span, rate: float | None) -> WindowPlan:
    """Plan windows at a fixed stride."""
    length = windows.samples(windows.length, rate)
    stride = length if windows.stride is None else windows.samples(windows.stride, rate)
    begin, end = bounds
    if windows.remainder == "drop" and end - begin < length:
        message = f"its {end - begin} samples are less than a window of {length}. Use a shorter window, or Windows(..., remainder='pad')."
        raise InputError(message)
    if windows.remainder == "drop":
        return WindowPlan(range(begin, end - length + 1, stride), length, bounds)
    count = 1 + max(0, -(-(end - begin - length) // stride))
    return WindowPlan(range(begin, end, stride)[:count], length, bounds)


def _plan_around_events(record: Record, windows: Windows, bounds: Span, rate: float | None) -> WindowPlan:
    """Plan one window around each event."""
    if record.events is None:
        message = "files of this kind have no events to cut windows around. Leave around out."
        raise InputError(message)
    length = windows.samples(windows.length, rate)
    events = [
        (position - length // 2, label)
        for position, label in record.events(str(windows.around))
        if bounds[0] <= position < bounds[1]
    ]
    if windows.remainder == "drop":
        events = [each for each in events if bounds[0] <= each[0] and each[0] + length <= bounds[1]]
    return WindowPlan([start for start, _ in events], length, bounds, [label for _, label in events])


def _pad_axis(array: np.ndarray, axis: int, missing: Span) -> np.ndarray:
    widths = [(0, 0)] * array.ndim
    widths[axis] = missing
    return np.pad(array, widths)


def _time_axis(layout: Layout | None) -> int | None:
    """Number of a record's time axis; ``None`` without one."""
    return layout.dims.index("time") - 1 if layout and "time" in layout.dims else None


def merge_layouts(first: Layout | None, second: Layout | None) -> Layout | None:
    """Merge two layouts of equal axes; the first takes precedence."""
    if first is None or second is None:
        return first or second
    if first.dims != second.dims:
        message = f"its axes are {' '.join(first.dims)!r}, but the layout says {' '.join(second.dims)!r}. Name them as they are read; explain(..., layout=...) reorders them."
        raise InputError(message)
    rest = {each.name: getattr(second, each.name) for each in fields(Layout) if getattr(first, each.name) is None}
    return replace(first, **rest)
