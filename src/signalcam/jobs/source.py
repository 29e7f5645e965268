"""A job's samples: open or build the reader, its labels, groups and layout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from signalcam.data import Batch, Reader, Windows, of
from signalcam.data import open as open_data
from signalcam.data.collate import Entry, class_of, read_one_by_one
from signalcam.errors import InputError, JobError
from signalcam.inputs.layout import Layout
from signalcam.jobs.config import JobConfig
from signalcam.jobs.events import events_fingerprint
from signalcam.jobs.model_loading import call_builder

_LAYOUT_FIELDS = ("sampling_rate", "channel_names", "units")
_MOST_GROUPS = 1000  # each group holds maps in memory


@dataclass(frozen=True)
class _LabelledReader:
    """A reader with true classes from a file of their own."""

    reader: Reader
    labels: np.ndarray
    fingerprint: str

    @property
    def layout(self) -> Layout | None:
        return self.reader.layout

    def __len__(self) -> int:
        return len(self.reader)

    def read(self, numbers: Sequence[int]) -> Batch:
        batch = self.reader.read(numbers)
        labels = self.labels[list(batch.numbers)].tolist()
        return replace(batch, labels=tuple(map(class_of, labels)))


@dataclass(frozen=True)
class _TransposedReader:
    """A reader that transposes its samples."""

    reader: Reader
    layout: Layout
    order: tuple[int, ...]

    @property
    def fingerprint(self) -> str:
        return self.reader.fingerprint

    def __len__(self) -> int:
        return len(self.reader)

    def read(self, numbers: Sequence[int]) -> Batch:
        batch = self.reader.read(numbers)
        samples = [np.ascontiguousarray(np.transpose(each, self.order)) for each in batch.inputs]
        inputs = samples if isinstance(batch.inputs, list) or not samples else np.stack(samples)
        return replace(batch, inputs=inputs, layout=self.layout)


@dataclass(frozen=True)
class _ConvertedReader:
    """A reader that converts its samples to a floating-point dtype."""

    reader: Reader
    dtype: str

    @property
    def layout(self) -> Layout | None:
        return self.reader.layout

    @property
    def fingerprint(self) -> str:
        return f"{self.reader.fingerprint} {self.dtype}"

    def __len__(self) -> int:
        return len(self.reader)

    def read(self, numbers: Sequence[int]) -> Batch:
        batch = self.reader.read(numbers)
        none = (None,) * len(batch)
        rows = dict(
            zip(batch.numbers, zip(batch.inputs, batch.labels or none, batch.names or none, strict=True), strict=True)
        )

        def entry(number: int) -> Entry:
            array, label, name = rows[number]
            return self._convert(array), label, name

        converted = read_one_by_one(batch.numbers, entry, batch.layout)
        return replace(converted, failed={**batch.failed, **converted.failed})

    def _convert(self, array: np.ndarray) -> np.ndarray:
        if array.dtype.kind not in "fiub":
            message = f"it holds {array.dtype} values, which cannot become data.dtype = {self.dtype!r}. Convert them to real numbers first, or leave dtype out."
            raise InputError(message)
        with np.errstate(over="ignore"):
            values = array.astype(self.dtype)
        if np.isinf(values).sum() > np.isinf(array).sum():
            message = f"it holds values up to {np.abs(array.astype(float)).max():g}, which are too large for data.dtype = {self.dtype!r}. Choose a wider one."
            raise InputError(message)
        return values


def open_reader(job: JobConfig) -> Reader:
    """Open a job's data, with labels, axis order and dtype as the job says."""
    from_file = job.data.labels is not None and job.data.labels.endswith(".npy")
    options: dict[str, Any] = dict(job.data.model_extra or {})
    if job.data.labels is not None and not from_file:
        options["labels"] = job.data.labels
    try:
        reader = _open_files(job, options) if job.data.build is None else _build_reader(job, options)
    except TypeError as error:
        function = "open" if job.data.build is None else "of"
        message = f"data cannot be opened with these options ({error}). See what signalcam.data.{function} takes."
        raise JobError(message) from error
    if not len(reader):
        message = f"{job.data.path or job.data.build} holds no samples. Give data with at least one."
        raise JobError(message)
    reader = _transpose(reader, job)
    if job.data.dtype is not None:
        reader = _ConvertedReader(reader, job.data.dtype)
    if not from_file:
        return reader
    labels, mark = _read_per_sample(job, "labels", len(reader))
    return _LabelledReader(reader, labels, reader.fingerprint + mark)


def _open_files(job: JobConfig, options: Mapping[str, Any]) -> Reader:
    """Open the files that a job names."""
    path = job.data.path or ""
    source = str(job.path(path)) if isinstance(path, str) else [str(job.path(each)) for each in path]
    options_of_open = {"format": job.data.format, "windows": _parse_windows(job), **options}
    reader = open_data(source, **options_of_open)
    agreed = _layout_from_job(job, reader.layout)
    return reader if agreed is None else open_data(source, **options_of_open | {"layout": agreed})


def _build_reader(job: JobConfig, options: Mapping[str, Any]) -> Reader:
    """Call ``data.build`` and make a reader of what it returns."""
    result = call_builder(job, "data")
    if isinstance(result, Iterator):  # an iterator runs once, so the function is called for each pass
        return of(lambda: call_builder(job, "data"), **options)
    if not isinstance(result, Reader):
        return of(result, **options)
    if options:
        message = f"data.build returns a reader, which takes no {next(iter(options))!r}. Leave it out, or let the function apply it."
        raise JobError(message)
    return result


def require_same(job: JobConfig, reader: Reader, digest: str) -> None:
    """Raise ``JobError`` if ``data.build`` gives other samples here than in the process that began the job."""
    if job.data.build is not None and job.digest(data_fingerprint(job, reader)) != digest:
        message = f"data.build {job.data.build!r} gives other samples in each process. Seed what it draws, and read in a fixed order."
        raise JobError(message)


def _layout_from_job(job: JobConfig, layout: Layout | None) -> Layout | None:
    """Rate, channels and units from the job, on the axes that the data name; ``None`` if either is missing."""
    options = {name: each for name, each in job.layout.settings.items() if name in _LAYOUT_FIELDS}
    return Layout(layout.dims, **options) if layout and options else None


def _transpose(reader: Reader, job: JobConfig) -> Reader:
    """Transpose samples to the order of axes in the job, if the data name the same axes."""
    layout = reader.layout
    if layout is None or job.layout.dims is None:
        return reader
    dims = Layout(job.layout.dims).dims
    if dims == layout.dims or sorted(dims) != sorted(layout.dims):
        return reader
    order = tuple(layout.dims.index(dim) - 1 for dim in dims[1:])
    return _TransposedReader(reader, replace(layout, dims=dims), order)


def _parse_windows(job: JobConfig) -> Windows | float | None:
    windows = job.data.windows
    if windows is None or isinstance(windows, float):
        return windows
    try:
        return Windows(**windows)
    except (TypeError, InputError) as error:
        reason = str(error).replace("Windows.__init__() ", "").rstrip(".")
        message = f"data.windows: {reason}. Write, for instance, windows = {{ length = 10.0, stride = 5.0 }}."
        raise JobError(message) from error


def drop_other_shapes(batch: Batch, shape: Sequence[int]) -> Batch:
    """Move samples of another shape than the job's first to the failed ones."""
    reasons = {
        number: f"its shape is {array.shape}, and {tuple(shape)} is expected. Cut or pad it, or leave it out."
        for number, array in zip(batch.numbers, batch.inputs, strict=True)
        if tuple(array.shape) != tuple(shape)
    }
    if not reasons:
        return batch
    positions = [position for position, number in enumerate(batch.numbers) if number not in reasons]
    labels, names = (
        None if values is None else tuple(values[position] for position in positions)
        for values in (batch.labels, batch.names)
    )
    inputs = np.stack([batch.inputs[position] for position in positions]) if positions else np.empty(0)
    numbers = tuple(batch.numbers[position] for position in positions)
    return Batch(inputs, numbers, labels, names, {**batch.failed, **reasons}, batch.layout)


def _read_per_sample(job: JobConfig, field: str, samples: int) -> tuple[np.ndarray, str]:
    """Load an array with one entry a sample, and a text that changes with its file."""
    file = Path(job.path(getattr(job.data, field)))
    try:
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        message = f"data.{field} {file} cannot be read ({reason}). Save one entry a sample with numpy.save."
        raise JobError(message) from error
    if array.shape != (samples,):
        message = f"data.{field} has shape {array.shape} for {samples} samples. Give one entry a sample."
        raise JobError(message)
    stat = file.stat()
    return array, f"{stat.st_size} {stat.st_mtime_ns}"


def data_fingerprint(job: JobConfig, reader: Reader) -> str:
    """Text that changes with the samples, their classes, groups or events."""
    groups = "" if job.data.groups is None else _read_per_sample(job, "groups", len(reader))[1]
    return reader.fingerprint + groups + events_fingerprint(job)


def read_groups(job: JobConfig, samples: int) -> np.ndarray | None:
    """Load the group of each sample; ``None`` if the job names no groups."""
    return None if job.data.groups is None else _read_per_sample(job, "groups", samples)[0]


def group_names(groups: np.ndarray | None) -> list[str]:
    """List the names of the groups, sorted; raise ``JobError`` if there are too many."""
    if groups is None:
        return []
    names = sorted(map(str, np.unique(groups)))
    if len(names) > _MOST_GROUPS:
        message = f"data.groups names {len(names)} groups; maps are summed up for at most {_MOST_GROUPS}. Choose coarser ones."
        raise JobError(message)
    return names
