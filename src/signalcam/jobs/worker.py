"""One worker of a job: it has the network, is told numbers of units, and writes what they give itself."""

from __future__ import annotations

import json
import logging
import math
import threading
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from typing import Any

import numpy as np

from signalcam.data import Batch, Reader
from signalcam.errors import CamWarning, JobError
from signalcam.explainer.api import Explainer
from signalcam.inputs.layout import Layout, check_layout
from signalcam.jobs import aggregate, events, model_loading
from signalcam.jobs.config import JobConfig
from signalcam.jobs.prefetch import prefetch
from signalcam.jobs.scorer import Scorer
from signalcam.jobs.source import groups_of, of_shape, reader_of, require_same
from signalcam.jobs.store import JobStore
from signalcam.results.explanation import Explanation
from signalcam.targets import Class, Contrast, Predicted, TrueLabel

_log = logging.getLogger("signalcam")
_TRIED = 64  # samples that may be bad before the first good one
_GULP = 2**22  # bytes that are read at once, where a batch is less

Explained = list[tuple[Sequence[int], Explanation]]


@dataclass(frozen=True)
class ReadBatch:
    """A batch of a unit that was read, or could not be; ``last`` says that it ends the unit."""

    unit: int
    numbers: range
    last: bool
    read: Batch | Exception


@dataclass(frozen=True)
class UnitBuffer:
    """A unit, its first sample, and what its samples gave so far."""

    unit: int
    first: int
    rows: dict[str, np.ndarray]


@dataclass(frozen=True)
class Worker:
    """Explains a job's samples, in its own process."""

    job: JobConfig

    @cached_property
    def reader(self) -> Reader:
        """The job's samples."""
        return reader_of(self.job)

    @cached_property
    def _one_reads(self) -> threading.Lock:
        return threading.Lock()

    @cached_property
    def groups(self) -> np.ndarray | None:
        """The group of each sample."""
        return groups_of(self.job, len(self.reader))

    @cached_property
    def events(self) -> events.Events | None:
        """When something happens in which sample."""
        return events.events_of(self.job, len(self.reader))

    @cached_property
    def scorer(self) -> Scorer | None:
        """Scores maps, if the job asks for it."""
        asked = self.job.metrics
        return Scorer(asked, self.model, self.explainer.target, self.job.units.batch) if asked.names else None

    @cached_property
    def model(self) -> Any:
        """The network."""
        return model_loading.load_network(self.job)

    @cached_property
    def layout(self) -> Layout | None:
        """What the job says of the axes, else the data."""
        told, said = self.reader.layout, self.job.layout.told
        if told is None or ("dims" in said and Layout(said["dims"]).dims != told.dims):
            return Layout(**said) if "dims" in said else None
        return Layout(**{name: each for name, each in vars(told).items() if each is not None} | said)

    @cached_property
    def archive(self) -> JobStore:
        """The store, once it is there."""
        archive = JobStore.open(self.job.path(self.job.output.path))
        require_same(self.job, self.reader, archive.about["digest"])
        return archive

    @cached_property
    def explainer(self) -> Explainer:
        """What a first sample is explained with, and then all, with the layer found then."""
        asked = self.job.explain
        return Explainer(
            self.model,
            method=list(asked.method),
            layer=None if asked.layer is None else list(asked.layer),
            target=[_target(each) for each in asked.target],
            layout=self.layout,
            class_names=self.job.model.class_names,
            batch_size=self.job.units.batch,
            signed=asked.signed,
            score=asked.score,
            align=asked.align,
        )

    @cached_property
    def settled(self) -> Explainer:
        """The same, of the layers that the store was made for."""
        layers = [each["name"] for each in self.archive.about["facts"]["layers"]]
        return self.explainer._like(layer=layers)  # noqa: SLF001 - shares what was found out about the model

    # --- before the first unit -------------------------------------------------------------------

    def identity(self) -> dict[str, str]:
        """Whose numbers these are: a hash of the weights, and the versions of what makes the maps."""
        backend = self.explainer.backend
        known = {
            "signalcam": version("signalcam"),
            "numpy": np.__version__,
            backend.name: backend.version,
        }
        return {"weights": model_loading.fingerprint(self.model), **known}

    def facts(self) -> dict[str, Any]:
        """What the first sample that can be explained says of all.

        Raises:
            JobError: None of the first samples can be explained.
        """
        reasons: list[str] = []
        for number in range(min(_TRIED, len(self.reader))):
            explained, failed = self.explained(self.explainer, [number], stop=False)
            if explained:
                named = self.reader.read([number]).names is not None
                known = self._facts(explained[0][1]) | {"named": named}
                return known | self._more_facts(explained[0][1], known)
            reasons.append(failed[number])
        often = Counter(reasons).most_common(1)[0][0].rstrip(".")
        message = f"none of the first {len(reasons)} samples could be explained: {often}.{_axes(self.layout)}"
        raise JobError(message)

    def _facts(self, exp: Explanation) -> dict[str, Any]:
        plain = {name: each for name, each in vars(exp.layout).items() if each is not None}
        said = {name: each for name, each in self.job.layout.told.items() if name != "dims"}
        layout = Layout(**plain | said)
        check_layout(layout, exp.input.shape)
        known = {
            "layers": [{"name": each.name, "grid": [vars(axis) for axis in each.grid]} for each in exp.layers],
            "targets": exp.targets,
            "methods": exp.methods,
            "layout": {name: each for name, each in vars(layout).items() if each is not None},
            "classes": None if exp.logits is None else exp.logits.shape[1],
            "class_names": exp.class_names,
            "labelled": exp.true_classes is not None,
            "input": [list(exp.input.shape[1:]), str(exp.input.dtype)],
            "provenance": dict(exp.provenance),
        }
        plain_known: dict[str, Any] = json.loads(json.dumps(known, default=_plain))
        return plain_known

    def _more_facts(self, exp: Explanation, known: Mapping[str, Any]) -> dict[str, Any]:
        """What scores and cuts around events are like, once they are known to be possible."""
        if self.events is not None:
            events.check({"facts": known, "job": self.job.model_dump(mode="json")})
        return {} if self.scorer is None else {"metrics": self.scorer.facts(exp)}

    # --- a unit ----------------------------------------------------------------------------------

    def do(self, unit: int) -> int:
        """Explain a unit, write it, and say how many samples failed; all in this thread.

        Raises:
            JobError: A sample failed, and the job says to stop then.
            StoreError: The store cannot be written to.
        """
        filling = self._filling(unit)
        for some in self._read([unit]):
            self._explain(filling, some)
        return self._commit(filling)[1]

    def work(self, units: Iterable[int]) -> Iterator[tuple[int, int]]:
        """Explain units; the next batch is read and the unit before is written at the same time, by two threads.

        Args:
            units: Their numbers; each is asked for, perhaps waited for, by the thread that reads.

        Returns:
            Each unit once all of it is written, with how many samples failed.

        Raises:
            JobError: A sample failed, and the job says to stop then.
            StoreError: The store cannot be written to.
        """
        under_way: dict[int, UnitBuffer] = {}

        def explained(some: ReadBatch) -> UnitBuffer | None:
            if some.unit not in under_way:
                under_way[some.unit] = self._filling(some.unit)
            self._explain(under_way[some.unit], some)
            return under_way.pop(some.unit) if some.last else None

        return prefetch(self._read(units), explained, self._commit)

    def _read(self, units: Iterable[int]) -> Iterator[ReadBatch]:
        """The batches of units, one after the other; what their reading raises is raised where they are used."""
        for unit in units:
            numbers = self.archive.rows(unit)
            for several in _steps(numbers, self._at_once):
                read = self._tried(several)
                for some in _steps(several, self.job.units.batch):
                    part = read if isinstance(read, Exception) else _part(read, some)
                    yield ReadBatch(unit, some, some.stop == numbers.stop, part)

    @cached_property
    def _at_once(self) -> int:
        """How many samples are read at once: some batches, where these are small."""
        shape, dtype = self.archive.about["facts"]["input"]
        batch = self.job.units.batch
        wide: int = np.dtype(dtype).itemsize * math.prod(shape)
        return batch * max(1, _GULP // (batch * wide))

    def _tried(self, numbers: range) -> Batch | Exception:
        try:
            return self._batch(numbers)
        except Exception as error:  # noqa: BLE001 - tried again, batch by batch, by who explains
            return error

    def _batch(self, numbers: Sequence[int], *, first: bool = False) -> Batch:
        """Read some samples, of the shape that the job's first has; a reader is asked by one thread at a time."""
        with self._one_reads:
            batch = self.reader.read(numbers)
        if not first:
            batch = of_shape(batch, self.archive.about["facts"]["input"][0])
        return model_loading.move_to_device(batch, self.job.model.device)

    def _filling(self, unit: int) -> UnitBuffer:
        """The rows of a unit, with what is known without its samples."""
        numbers, rows = self.archive.rows(unit), self.archive.blank(unit)
        if self.groups is not None:
            rows["group"][:] = np.array(
                [str(each) for each in self.groups[numbers.start : numbers.stop]], rows["group"].dtype
            )
        return UnitBuffer(unit, numbers.start, rows)

    def _explain(self, filling: UnitBuffer, some: ReadBatch) -> None:
        """Put what a batch gives into its unit."""
        stop = self.job.engine.on_error == "stop"
        explained, failed = self.explained(self.settled, some.numbers, stop=stop, read=some.read)
        for kept, exp in explained:
            here = np.asarray(kept) - filling.first
            failed |= _fill(filling.rows, here, exp, filling.first)
        if failed and stop:
            raise JobError(_stopped(*next(iter(failed.items()))))
        for number, reason in failed.items():
            filling.rows["failed"][number - filling.first] = reason
        self._score(filling.rows, explained, filling.first)

    def _commit(self, filling: UnitBuffer) -> tuple[int, int]:
        failed = int((filling.rows["failed"] != "").sum())
        own = None if self.events is None else self.events.of(self.archive.rows(filling.unit))
        sums = aggregate.part(self.archive.about, filling.rows, own)
        self.archive.commit(filling.unit, filling.rows, sums, failed)
        return filling.unit, failed

    def _score(self, rows: Mapping[str, np.ndarray], explained: Explained, first: int) -> None:
        """Score the maps of a batch, if the job asks for it."""
        if self.scorer is not None:
            here = [(np.asarray(kept) - first, exp) for kept, exp in explained]
            stop = self.job.engine.on_error == "stop"
            with model_loading.precision(self.job):
                self.scorer.fill(self.archive.about, rows, here, stop=stop)

    def explained(
        self, explainer: Explainer, numbers: Sequence[int], *, stop: bool, read: Batch | Exception | None = None
    ) -> tuple[Explained, dict[int, str]]:
        """Explain some samples; where that fails, halves of them, down to those at fault and why."""
        try:
            first = explainer is self.explainer  # whose shape the others have
            batch = read if isinstance(read, Batch) else self._batch(numbers, first=first)
            exp = self._quietly(explainer, batch) if batch.numbers else None
        except Exception as error:  # whatever one sample does must not end a night's work
            if len(numbers) == 1 and stop:
                raise JobError(_stopped(numbers[0], _reason(error))) from error
            if len(numbers) == 1:
                return [], {numbers[0]: _reason(error)}
            half = len(numbers) // 2
            parts = [self.explained(explainer, some, stop=stop) for some in (numbers[:half], numbers[half:])]
            return parts[0][0] + parts[1][0], parts[0][1] | parts[1][1]
        failed = {number: str(reason) or "no reason given" for number, reason in batch.failed.items()}
        return ([] if exp is None else [(batch.numbers, exp)]), failed

    def _quietly(self, explainer: Explainer, batch: Any) -> Explanation:
        """Explain a batch; warnings about single maps are logged."""
        with warnings.catch_warnings(record=True) as said, model_loading.precision(self.job):
            warnings.simplefilter("always", CamWarning)
            exp = explainer(batch.inputs, labels=batch.labels, sample_names=batch.names)
        for each in said:
            about = {"event": "warning", "first": batch.numbers[0], "last": batch.numbers[-1]}
            _log.info("%s", each.message, extra=about)
        return exp


def _steps(numbers: range, size: int) -> Iterator[range]:
    for start in range(numbers.start, numbers.stop, size):
        yield range(start, min(start + size, numbers.stop))


def _part(batch: Batch, numbers: range) -> Batch:
    """Those of a batch's samples, read in order, that have some neighbouring numbers."""
    here = slice(*np.searchsorted(batch.numbers, (numbers.start, numbers.stop)))
    labels, names = (None if each is None else each[here] for each in (batch.labels, batch.names))
    failed = {number: why for number, why in batch.failed.items() if number in numbers}
    return replace(
        batch, inputs=batch.inputs[here], numbers=batch.numbers[here], labels=labels, names=names, failed=failed
    )


def _fill(rows: Mapping[str, np.ndarray], here: np.ndarray, exp: Explanation, first: int) -> dict[int, str]:
    """Put what a batch gave into the rows of its unit; samples whose maps cannot be kept stay blank."""
    maps = [each.values for each in exp.layers]
    for number, values in enumerate(maps):
        if values.shape[1:] != rows[f"maps_{number}"].shape[1:]:
            message = f"its map has shape {values.shape[1:]}, and those before {rows[f'maps_{number}'].shape[1:]}"
            return {int(each) + first: message for each in here}
    flat = [values.reshape(len(values), -1) for values in maps]
    good = np.logical_and.reduce([np.isfinite(each).all(axis=1) for each in flat])
    at = here[good]
    for number, values in enumerate(maps):
        peak = np.abs(values[good]).reshape(len(at), *values.shape[1:3], -1).max(axis=-1)
        wide = np.where(peak > 0, peak, 1).reshape(*peak.shape, *[1] * (values.ndim - 3))
        rows[f"peak_{number}"][at] = peak
        rows[f"maps_{number}"][at] = _stored(values[good] / wide, rows[f"maps_{number}"].dtype)
    told = {"score": exp.scores, "target_class": exp.target_classes, "logit": exp.logits}
    told |= {"probability": exp.probabilities, "predicted": exp.classes, "label": exp.true_classes}
    told |= {"sample": np.array([str(each) for each in exp.sample_names], np.dtypes.StringDType())}
    for name, known in told.items():
        if name in rows and known is not None:
            rows[name][at] = known[good]
    return {int(each) + first: "its map is not finite" for each in here[~good]}


def _stored(maps: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    return np.rint(maps * 255).astype(dtype) if dtype.kind == "u" else maps.astype(dtype)


def _axes(layout: Layout | None) -> str:
    """Which axes the model was given, as another order of them is what goes wrong most often."""
    return f" Axes are {' '.join(layout.dims)!r}; [layout] dims may order them otherwise." if layout else ""


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"


def _stopped(number: int, reason: str) -> str:
    return (
        f"sample {number} cannot be explained ({reason}). Write on_error = 'record' under [engine] to go on without it."
    )


def _target(asked: Any) -> Any:
    """A question of the job file as ``explain`` takes it."""
    if not isinstance(asked, Mapping):
        return TrueLabel() if asked == "label" else asked
    if set(asked) == {"contrast", "foil"}:
        return Contrast(asked["contrast"], foil=asked["foil"])
    if len(asked) == 1 and next(iter(asked)) in ("predicted", "class"):
        ((kind, value),) = asked.items()
        return Predicted(value) if kind == "predicted" else Class(value)
    message = f"explain.target {dict(asked)!r} is no question; write {{ contrast = 1, foil = 0 }}, {{ predicted = 2 }} or {{ class = 1 }}."
    raise JobError(message)


def _plain(value: object) -> object:
    return value.item() if isinstance(value, np.generic) else str(value)
