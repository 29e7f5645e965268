"""Where a job's samples, their classes and groups come from."""

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
from signalcam.jobs.events import mark
from signalcam.jobs.model_loading import call_builder

_AGREED = ("sampling_rate", "channel_names", "units")
_MOST = 1000  # groups that are summed up: each holds maps in memory


@dataclass(frozen=True)
class _Labelled:
    """A reader whose true classes lie in a file of their own."""

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
        own = self.labels[list(batch.numbers)].tolist()
        return replace(batch, labels=tuple(map(class_of, own)))


@dataclass(frozen=True)
class _Turned:
    """A reader whose samples come with their axes in another order."""

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
class _Converted:
    """A reader whose samples become floating-point numbers."""

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
            return self._converted(array), label, name

        found = read_one_by_one(batch.numbers, entry, batch.layout)
        return replace(found, failed={**batch.failed, **found.failed})

    def _converted(self, array: np.ndarray) -> np.ndarray:
        if array.dtype.kind not in "fiub":
            message = f"it holds {array.dtype} values, which data.dtype = {self.dtype!r} would lose. Make it real numbers first, or leave dtype out."
            raise InputError(message)
        with np.errstate(over="ignore"):
            found = array.astype(self.dtype)
        if np.isinf(found).sum() > np.isinf(array).sum():
            message = f"it holds values up to {np.abs(array.astype(float)).max():g}, which are too large for data.dtype = {self.dtype!r}. Choose a wider one."
            raise InputError(message)
        return found


def reader_of(job: JobConfig) -> Reader:
    """Open a job's data.

    Raises:
        InputError: There is nothing, or it cannot be read.
        JobError: It cannot be built, holds no samples, or not one class each.
    """
    own = job.data.labels is not None and job.data.labels.endswith(".npy")
    options: dict[str, Any] = dict(job.data.model_extra or {})
    if job.data.labels is not None and not own:
        options["labels"] = job.data.labels
    try:
        reader = _opened(job, options) if job.data.build is None else _built(job, options)
    except TypeError as error:
        what = "open" if job.data.build is None else "of"
        message = f"data cannot be opened so ({error}). See what signalcam.data.{what} takes."
        raise JobError(message) from error
    if not len(reader):
        message = f"{job.data.path or job.data.build} holds no samples. Give data with at least one."
        raise JobError(message)
    reader = _turned(reader, job)
    if job.data.dtype is not None:
        reader = _Converted(reader, job.data.dtype)
    if not own:
        return reader
    labels, mark = _one_each(job, "labels", len(reader))
    return _Labelled(reader, labels, reader.fingerprint + mark)


def _opened(job: JobConfig, options: Mapping[str, Any]) -> Reader:
    """The files that a job names."""
    path = job.data.path or ""
    where = str(job.path(path)) if isinstance(path, str) else [str(job.path(each)) for each in path]
    how = {"format": job.data.format, "windows": _windows(job), **options}
    reader = open_data(where, **how)
    said = _said(job, reader.layout)
    return reader if said is None else open_data(where, **how | {"layout": said})


def _built(job: JobConfig, options: Mapping[str, Any]) -> Reader:
    """What a job's function returns, as a reader."""
    made = call_builder(job, "data")
    if isinstance(made, Iterator):  # the function is what makes it anew
        return of(lambda: call_builder(job, "data"), **options)
    if not isinstance(made, Reader):
        return of(made, **options)
    if options:
        message = f"data.build returns a reader, which takes no {next(iter(options))!r}. Leave it out, or let the function see to it."
        raise JobError(message)
    return made


def require_same(job: JobConfig, reader: Reader, digest: str) -> None:
    """Refuse a function that gives each process other samples.

    Args:
        job: The job.
        reader: Its samples in this process.
        digest: Of the job, with its samples in the process that began it.

    Raises:
        JobError: They differ.
    """
    if job.data.build is not None and job.digest(fingerprint_of(job, reader)) != digest:
        message = f"data.build {job.data.build!r} gives other samples in each process. Seed what it draws, and read in a fixed order."
        raise JobError(message)


def _said(job: JobConfig, told: Layout | None) -> Layout | None:
    """What the job says of rate, channels and units, for axes that the data name: they must not say otherwise."""
    said = {name: each for name, each in job.layout.told.items() if name in _AGREED}
    return Layout(told.dims, **said) if told and said else None


def _turned(reader: Reader, job: JobConfig) -> Reader:
    """Bring the axes that the data name into the order that the job says."""
    told = reader.layout
    if told is None or job.layout.dims is None:
        return reader
    wanted = Layout(job.layout.dims).dims
    if wanted == told.dims or sorted(wanted) != sorted(told.dims):
        return reader
    order = tuple(told.dims.index(dim) - 1 for dim in wanted[1:])
    return _Turned(reader, replace(told, dims=wanted), order)


def _windows(job: JobConfig) -> Windows | float | None:
    asked = job.data.windows
    if asked is None or isinstance(asked, float):
        return asked
    try:
        return Windows(**asked)
    except (TypeError, InputError) as error:
        said = str(error).replace("Windows.__init__() ", "").rstrip(".")
        message = f"data.windows: {said}. Write, for instance, windows = {{ length = 10.0, stride = 5.0 }}."
        raise JobError(message) from error


def of_shape(batch: Batch, shape: Sequence[int]) -> Batch:
    """A batch without the samples of another shape than the job's first; these are told."""
    wrong = {
        number: f"its shape is {each.shape}, and {tuple(shape)} is expected. Cut or pad it, or leave it out."
        for number, each in zip(batch.numbers, batch.inputs, strict=True)
        if tuple(each.shape) != tuple(shape)
    }
    if not wrong:
        return batch
    kept = [place for place, number in enumerate(batch.numbers) if number not in wrong]
    labels, names = (
        None if each is None else tuple(each[place] for place in kept) for each in (batch.labels, batch.names)
    )
    inputs = np.stack([batch.inputs[place] for place in kept]) if kept else np.empty(0)
    numbers = tuple(batch.numbers[place] for place in kept)
    return Batch(inputs, numbers, labels, names, {**batch.failed, **wrong}, batch.layout)


def _one_each(job: JobConfig, what: str, samples: int) -> tuple[np.ndarray, str]:
    """An array with one entry a sample, and what changes when it does."""
    file = Path(job.path(getattr(job.data, what)))
    try:
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        message = f"data.{what} {file} cannot be read ({reason}). Save one entry a sample with numpy.save."
        raise JobError(message) from error
    if array.shape != (samples,):
        message = f"data.{what} has shape {array.shape} for {samples} samples. Give one entry a sample."
        raise JobError(message)
    known = file.stat()
    return array, f"{known.st_size} {known.st_mtime_ns}"


def fingerprint_of(job: JobConfig, reader: Reader) -> str:
    """What changes when the samples, their classes, groups or events do."""
    groups = "" if job.data.groups is None else _one_each(job, "groups", len(reader))[1]
    return reader.fingerprint + groups + mark(job)


def groups_of(job: JobConfig, samples: int) -> np.ndarray | None:
    """The group of each sample, if the job names any.

    Raises:
        JobError: There is no such file, or it has not one entry a sample.
    """
    return None if job.data.groups is None else _one_each(job, "groups", samples)[0]


def group_names(groups: np.ndarray | None) -> list[str]:
    """What groups there are.

    Raises:
        JobError: There are too many to be summed up.
    """
    if groups is None:
        return []
    names = sorted(map(str, np.unique(groups)))
    if len(names) > _MOST:
        message = f"data.groups names {len(names)} groups; maps are summed up for at most {_MOST}. Choose coarser ones."
        raise JobError(message)
    return names
