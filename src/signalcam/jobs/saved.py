"""A job's store as an explanation, whose maps and inputs are read when they are needed."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from signalcam.align import Axis
from signalcam.errors import CamError, StoreError
from signalcam.explanation import Explanation
from signalcam.jobs.aggregate import decoded
from signalcam.jobs.archive import Archive
from signalcam.jobs.job import Job
from signalcam.jobs.source import fingerprint_of, of_shape, reader_of
from signalcam.layout import Layout
from signalcam.native import LayerMaps


@dataclass(frozen=True, eq=False)
class Rows(NDArrayOperatorsMixin):
    """What is read like an array with a row a sample, a few samples at a time; to calculate with it reads all."""

    read: Callable[[np.ndarray], np.ndarray]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def ndim(self) -> int:
        """How many axes there are."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, chosen: Any) -> np.ndarray:
        first, *rest = chosen if isinstance(chosen, tuple) else (chosen,)
        if first is Ellipsis:
            whole: np.ndarray = np.asarray(self)[chosen]
            return whole
        rows = np.arange(self.shape[0])[first]
        values = self.read(np.atleast_1d(rows))
        here = values if np.ndim(rows) else values[0]
        found: np.ndarray = here[(*[slice(None)] * np.ndim(rows), *rest)]
        return found

    def __getattr__(self, name: str) -> Any:
        """Whatever else an array has."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(np.asarray(self), name)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        whole = [np.asarray(each) if isinstance(each, Rows) else each for each in inputs]
        return getattr(ufunc, method)(*whole, **options)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:  # noqa: FBT001 - NumPy's own words
        whole: np.ndarray = np.asarray(self.read(np.arange(self.shape[0])), dtype)
        return whole


def load(path: str | os.PathLike[str]) -> Explanation:
    """Open a job's store; see ``signalcam.load``."""
    archive = Archive.open(Path(path))
    facts = archive.about["facts"]

    def whole(name: str) -> np.ndarray | None:
        return _rows(archive, name, ...) if name in archive.by_sample else None

    names = whole("sample")
    return Explanation(
        layers=tuple(_layer(archive, number) for number in range(len(facts["layers"]))),
        targets=tuple(facts["targets"]),
        methods=tuple(facts["methods"]),
        layout=Layout(**facts["layout"]),
        input=_input(archive),  # type: ignore[arg-type] # read like an array
        scores=whole("score"),  # type: ignore[arg-type] # always there
        target_classes=whole("target_class"),  # type: ignore[arg-type] # always there
        logits=whole("logit"),
        probabilities=whole("probability"),
        classes=whole("predicted"),
        true_classes=whole("label"),
        class_names=None if facts["class_names"] is None else tuple(facts["class_names"]),
        sample_names=tuple(range(archive.samples) if names is None else names.tolist()),
        provenance={**facts["provenance"], "weights": archive.about["identity"]["weights"], "job": archive.about["digest"]},
    )  # fmt: skip


def _layer(archive: Archive, number: int) -> LayerMaps:
    kept, about = archive.by_sample[f"maps_{number}"], archive.about["facts"]["layers"][number]

    def read(rows: np.ndarray) -> np.ndarray:
        maps = decoded(_rows(archive, f"maps_{number}", rows))
        peak = _rows(archive, f"peak_{number}", rows)
        whole: np.ndarray = maps * peak.reshape(*peak.shape, *[1] * (maps.ndim - 3))
        return whole.astype(np.float32)

    values: Any = Rows(read, kept.shape, np.dtype(np.float32))
    return LayerMaps(about["name"], values, tuple(Axis(**axis) for axis in about["grid"]))


def _rows(archive: Archive, name: str, rows: Any) -> np.ndarray:
    """Some rows of an array.

    Raises:
        StoreError: A file of it is damaged.
    """
    try:
        found: np.ndarray = archive.group[name].oindex[rows]
    except Exception as error:  # whatever a decoder makes of a torn file
        message = f"{archive.place / name} is damaged ({' '.join(str(error).split())[:300]}). Restore it from a copy, or move the store away and run the job again."
        raise StoreError(message) from error
    return found


def _input(archive: Archive) -> Rows | np.ndarray:
    """The samples, from the data themselves; NaN where these are gone or have changed."""
    shape, dtype = archive.about["facts"]["input"]
    shape = (archive.samples, *shape)
    try:
        job = Job(folder=archive.about["folder"], **archive.about["job"])
        reader = reader_of(job)
        digest = job.digest(fingerprint_of(job, reader))
    except CamError:
        return np.broadcast_to(np.float32(np.nan), shape)
    if digest != archive.about["digest"]:
        return np.broadcast_to(np.float32(np.nan), shape)

    def read(rows: np.ndarray) -> np.ndarray:
        batch = of_shape(reader.read(rows.tolist()), shape[1:])
        values = np.full(
            (len(rows), *shape[1:]), np.nan if np.dtype(dtype).kind == "f" else 0, dtype
        )
        known = dict(zip(batch.numbers, batch.inputs, strict=True))
        for place, row in enumerate(rows.tolist()):
            if row in known:
                values[place] = known[row]
        return values

    return Rows(read, shape, np.dtype(dtype))
