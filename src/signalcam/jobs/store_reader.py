"""Opening a job's store as an ``Explanation`` whose maps and inputs are read on access."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from signalcam.errors import CamError, JobError
from signalcam.jobs import scorer
from signalcam.jobs.codec import restore_maps
from signalcam.jobs.config import JobConfig
from signalcam.jobs.group_summary import summarize
from signalcam.jobs.rebuild import rebuild_explanation
from signalcam.jobs.source import data_fingerprint, drop_other_shapes, open_reader
from signalcam.jobs.store import JobStore
from signalcam.results.explanation import Explanation
from signalcam.results.group_summary import GroupSummary
from signalcam.results.lazy_array import LazyArray


@dataclass(frozen=True, eq=False)
class SampleArray(NDArrayOperatorsMixin, LazyArray):
    """A lazy array with a row a sample: indexing reads a few samples, arithmetic reads all.

    Attributes:
        read: From sample numbers to their rows.
        shape: Shape of the whole array.
        dtype: Dtype of the values.
        summarize: From the explanation of all samples to the job's aggregates.
    """

    read: Callable[[np.ndarray], np.ndarray]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    summarize: Callable[[Explanation], GroupSummary] | None = None

    def __getitem__(self, index: Any) -> np.ndarray:
        first, *rest = index if isinstance(index, tuple) else (index,)
        if first is Ellipsis or first is None or np.ndim(first) > 1 or any(map(np.ndim, rest)):
            whole: np.ndarray = np.asarray(self)[index]
            return whole
        rows = np.arange(self.shape[0])[first]
        values = self.read(np.atleast_1d(rows))
        here = values if np.ndim(rows) else values[0]
        result: np.ndarray = here[(*[slice(None)] * np.ndim(rows), *rest)]
        return result

    def __getattr__(self, name: str) -> Any:
        """Read all and delegate to the array."""
        if name.startswith("_") or not hasattr(np.ndarray, name):
            raise AttributeError(name)
        return getattr(np.asarray(self), name)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        whole = [np.asarray(each) if isinstance(each, SampleArray) else each for each in inputs]
        return getattr(ufunc, method)(*whole, **options)


@dataclass(frozen=True, eq=False)
class Names(Sequence[Any]):
    """Lazy sequence of sample names, read in groups of ``at_once``."""

    values: Callable[[np.ndarray], np.ndarray]
    length: int
    at_once: int

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: Any) -> Any:
        rows = np.arange(self.length)[index]
        if np.ndim(rows):
            return tuple(self.values(rows).tolist())
        first = int(rows) // self.at_once * self.at_once
        return self._names_near(first)[int(rows) - first]

    def __iter__(self) -> Iterator[Any]:
        return iter(self[:])

    def __contains__(self, name: object) -> bool:
        return name in self[:]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment] # equal to lists, which have no hash

    def _names_near(self, first: int) -> tuple[Any, ...]:
        """Names of the group that starts at ``first``; the last group is cached, as names are often read in order."""
        if self._cache.get(first) is None:
            self._cache.clear()
            self._cache[first] = self[first : first + self.at_once]
        return self._cache[first]

    @cached_property
    def _cache(self) -> dict[int, tuple[Any, ...]]:
        return {}


def open_store(path: str | os.PathLike[str], job: JobConfig | None = None) -> Explanation:
    """Open a job's store; see ``signalcam.load``.

    Args:
        path: The store.
        job: The job that made it, whose ``data.build`` may be called. Without it no code of the job runs.
    """
    archive = JobStore.open(Path(path))

    def column(name: str) -> Any:
        return _read_column(archive, name) if name in archive.by_sample else None

    maps = [_layer_maps(archive, number) for number in range(len(archive.about["facts"]["layers"]))]
    names = column("sample")
    called = Names(np.asarray if names is None else names.read, archive.samples, archive.size)
    exp = rebuild_explanation(archive.about, column, maps, _read_input(archive, job), called)
    exp = replace(exp, failed=_failure_reasons(archive))
    if "metrics" not in archive.by_sample:
        return exp
    return exp.with_scores(scorer.scores_dataset(archive.about, exp, archive.read("metrics", slice(None))))


def _failure_reasons(archive: JobStore) -> tuple[str, ...]:
    """Reason of each sample that could not be explained; empty if all could."""
    status = archive.status()
    if len(status) == archive.units and not any(status.values()):
        return ()
    reasons = [""] * archive.samples
    for unit in range(archive.units):
        rows = archive.rows(unit)
        here = slice(rows.start, rows.stop)
        if unit not in status:
            reasons[here] = ["not explained yet"] * len(rows)
        elif status[unit]:
            reasons[here] = archive.read("failed", here).tolist()
    return tuple(reasons)


def _read_column(archive: JobStore, name: str) -> SampleArray:
    """Lazy column of small values: neighbouring samples read their unit, others read the whole column once."""
    spec = archive.by_sample[name]

    @cache
    def whole() -> np.ndarray:
        return archive.read(name, slice(None))

    def read(rows: np.ndarray) -> np.ndarray:
        few = len(rows) and np.ptp(rows) < archive.size
        first = int(rows.min()) if few else 0
        stretch = archive.read(name, slice(first, int(rows.max()) + 1)) if few else whole()
        values: np.ndarray = stretch[rows - first]
        return values

    return SampleArray(read, spec.shape, np.dtype(spec.dtype))


def _layer_maps(archive: JobStore, number: int) -> SampleArray:
    """Lazy maps of a layer."""

    def read(rows: np.ndarray) -> np.ndarray:
        maps, peak = (archive.read(f"{each}_{number}", rows) for each in ("maps", "peak"))
        return restore_maps(maps, peak)

    spec = archive.by_sample[f"maps_{number}"]
    return SampleArray(read, spec.shape, np.dtype(np.float32), partial(summarize, archive.place))


def _read_input(archive: JobStore, job: JobConfig | None) -> SampleArray | np.ndarray:
    """Lazy samples, read from the data; NaN if the data are gone, have changed or are built by code."""
    shape, dtype = archive.about["facts"]["input"]
    shape = (archive.samples, *shape)
    try:
        job = (job or _job_of_store(archive)).with_unit_size(archive.size)
        reader = open_reader(job)
        digest = job.digest(data_fingerprint(job, reader))
    except CamError:
        return np.broadcast_to(np.float32(np.nan), shape)
    if digest != archive.about["digest"]:
        return np.broadcast_to(np.float32(np.nan), shape)

    def read(rows: np.ndarray) -> np.ndarray:
        batch = drop_other_shapes(reader.read(rows.tolist()), shape[1:])
        values = np.full((len(rows), *shape[1:]), np.nan if np.dtype(dtype).kind == "f" else 0, dtype)
        inputs = dict(zip(batch.numbers, batch.inputs, strict=True))
        for place, row in enumerate(rows.tolist()):
            if row in inputs:
                values[place] = inputs[row]
        return values

    return SampleArray(read, shape, np.dtype(dtype))


def _job_of_store(archive: JobStore) -> JobConfig:
    """Rebuild the job from its store; raise ``JobError`` if its samples come from code."""
    job = JobConfig(folder=archive.about["folder"], **archive.about["job"])
    if job.data.build is not None:
        message = f"the samples of {archive.place} come from data.build, which opening a store does not call. Open it with the job: sc.Job.read(...).run()."
        raise JobError(message)
    return job
