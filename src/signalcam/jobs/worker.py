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
from signalcam.jobs.source import drop_other_shapes, open_reader, read_groups, require_same
from signalcam.jobs.store import JobStore
from signalcam.results.explanation import Explanation
from signalcam.targets import Class, Contrast, Predicted, TrueLabel

_log = logging.getLogger("signalcam")
_FIRST_TRIES = 64  # samples that may be bad before the first good one
_READ_BYTES = 2**22  # bytes that are read at once, where a batch is less

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
        return open_reader(self.job)

    @cached_property
    def _read_lock(self) -> threading.Lock:
        return threading.Lock()

    @cached_property
    def groups(self) -> np.ndarray | None:
        """The group of each sample."""
        return read_groups(self.job, len(self.reader))

    @cached_property
    def events(self) -> events.Events | None:
        """When something happens in which sample."""
        return events.read_events(self.job, len(self.reader))

    @cached_property
    def scorer(self) -> Scorer | None:
        """Scores maps, if the job asks for it."""
        section = self.job.metrics
        return Scorer(section, self.model, self.explainer.target, self.job.units.batch) if section.names else None

    @cached_property
    def model(self) -> Any:
        """The network."""
        return model_loading.load_network(self.job)

    @cached_property
    def layout(self) -> Layout | None:
        """What the job says of the axes, else the data."""
        from_data, settings = self.reader.layout, self.job.layout.settings
        if from_data is None or ("dims" in settings and Layout(settings["dims"]).dims != from_data.dims):
            return Layout(**settings) if "dims" in settings else None
        return Layout(**{name: each for name, each in vars(from_data).items() if each is not None} | settings)

    @cached_property
    def archive(self) -> JobStore:
        """The store, once it is there."""
        archive = JobStore.open(self.job.path(self.job.output.path))
        require_same(self.job, self.reader, archive.about["digest"])
        return archive

    @cached_property
    def explainer(self) -> Explainer:
        """What a first sample is explained with, and then all, with the layer found then."""
        section = self.job.explain
        return Explainer(
            self.model,
            method=list(section.method),
            layer=None if section.layer is None else list(section.layer),
            target=[_parse_target(each) for each in section.target],
            layout=self.layout,
            class_names=self.job.model.class_names,
            batch_size=self.job.units.batch,
            signed=section.signed,
            score=section.score,
            align=section.align,
        )

    @cached_property
    def store_explainer(self) -> Explainer:
        """The same, of the layers that the store was made for."""
        layers = [each["name"] for each in self.archive.about["facts"]["layers"]]
        return self.explainer.with_options(layer=layers)

    # --- before the first unit -------------------------------------------------------------------

    def identity(self) -> dict[str, str]:
        """Whose numbers these are: a hash of the weights, and the versions of what makes the maps."""
        backend = self.explainer.backend
        versions = {
            "signalcam": version("signalcam"),
            "numpy": np.__version__,
            backend.name: backend.version,
        }
        return {"weights": model_loading.fingerprint(self.model), **versions}

    def facts(self) -> dict[str, Any]:
        """What the first sample that can be explained says of all.

        Raises:
            JobError: None of the first samples can be explained.
        """
        reasons: list[str] = []
        for number in range(min(_FIRST_TRIES, len(self.reader))):
            explained, failed = self.explain_samples(self.explainer, [number], stop=False)
            if explained:
                has_names = self.reader.read([number]).names is not None
                first_facts = self._facts(explained[0][1]) | {"named": has_names}
                return first_facts | self._more_facts(explained[0][1], first_facts)
            reasons.append(failed[number])
        often = Counter(reasons).most_common(1)[0][0].rstrip(".")
        message = f"none of the first {len(reasons)} samples could be explained: {often}.{_axes_hint(self.layout)}"
        raise JobError(message)

    def _facts(self, exp: Explanation) -> dict[str, Any]:
        plain = {name: each for name, each in vars(exp.layout).items() if each is not None}
        settings = {name: each for name, each in self.job.layout.settings.items() if name != "dims"}
        layout = Layout(**plain | settings)
        check_layout(layout, exp.input.shape)
        facts = {
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
        plain_known: dict[str, Any] = json.loads(json.dumps(facts, default=_to_json))
        return plain_known

    def _more_facts(self, exp: Explanation, facts: Mapping[str, Any]) -> dict[str, Any]:
        """What scores and cuts around events are like, once they are known to be possible."""
        if self.events is not None:
            events.require_time_axis({"facts": facts, "job": self.job.model_dump(mode="json")})
        return {} if self.scorer is None else {"metrics": self.scorer.facts(exp)}

    # --- a unit ----------------------------------------------------------------------------------

    def run_unit(self, unit: int) -> int:
        """Explain a unit, write it, and say how many samples failed; all in this thread.

        Raises:
            JobError: A sample failed, and the job says to stop then.
            StoreError: The store cannot be written to.
        """
        buffer = self._new_buffer(unit)
        for some in self._read([unit]):
            self._explain(buffer, some)
        return self._commit(buffer)[1]

    def run_units(self, units: Iterable[int]) -> Iterator[tuple[int, int]]:
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
                under_way[some.unit] = self._new_buffer(some.unit)
            self._explain(under_way[some.unit], some)
            return under_way.pop(some.unit) if some.last else None

        return prefetch(self._read(units), explained, self._commit)

    def _read(self, units: Iterable[int]) -> Iterator[ReadBatch]:
        """The batches of units, one after the other; what their reading raises is raised where they are used."""
        for unit in units:
            numbers = self.archive.rows(unit)
            for several in _split_range(numbers, self._at_once):
                read = self._try_read(several)
                for some in _split_range(several, self.job.units.batch):
                    part = read if isinstance(read, Exception) else _select_samples(read, some)
                    yield ReadBatch(unit, some, some.stop == numbers.stop, part)

    @cached_property
    def _at_once(self) -> int:
        """How many samples are read at once: some batches, where these are small."""
        shape, dtype = self.archive.about["facts"]["input"]
        batch = self.job.units.batch
        wide: int = np.dtype(dtype).itemsize * math.prod(shape)
        return batch * max(1, _READ_BYTES // (batch * wide))

    def _try_read(self, numbers: range) -> Batch | Exception:
        try:
            return self._batch(numbers)
        except Exception as error:  # noqa: BLE001 - tried again, batch by batch, by who explains
            return error

    def _batch(self, numbers: Sequence[int], *, first: bool = False) -> Batch:
        """Read some samples, of the shape that the job's first has; a reader is asked by one thread at a time."""
        with self._read_lock:
            batch = self.reader.read(numbers)
        if not first:
            batch = drop_other_shapes(batch, self.archive.about["facts"]["input"][0])
        return model_loading.move_to_device(batch, self.job.model.device)

    def _new_buffer(self, unit: int) -> UnitBuffer:
        """The rows of a unit, with what is known without its samples."""
        numbers, rows = self.archive.rows(unit), self.archive.blank(unit)
        if self.groups is not None:
            rows["group"][:] = np.array(
                [str(each) for each in self.groups[numbers.start : numbers.stop]], rows["group"].dtype
            )
        return UnitBuffer(unit, numbers.start, rows)

    def _explain(self, buffer: UnitBuffer, some: ReadBatch) -> None:
        """Put what a batch gives into its unit."""
        stop = self.job.engine.on_error == "stop"
        explained, failed = self.explain_samples(self.store_explainer, some.numbers, stop=stop, read=some.read)
        for numbers, exp in explained:
            here = np.asarray(numbers) - buffer.first
            failed |= _write_rows(buffer.rows, here, exp, buffer.first)
        if failed and stop:
            raise JobError(_stop_message(*next(iter(failed.items()))))
        for number, reason in failed.items():
            buffer.rows["failed"][number - buffer.first] = reason
        self._score(buffer.rows, explained, buffer.first)

    def _commit(self, buffer: UnitBuffer) -> tuple[int, int]:
        failed = int((buffer.rows["failed"] != "").sum())
        own = None if self.events is None else self.events.of(self.archive.rows(buffer.unit))
        sums = aggregate.unit_sums(self.archive.about, buffer.rows, own)
        self.archive.commit(buffer.unit, buffer.rows, sums, failed)
        return buffer.unit, failed

    def _score(self, rows: Mapping[str, np.ndarray], explained: Explained, first: int) -> None:
        """Score the maps of a batch, if the job asks for it."""
        if self.scorer is not None:
            here = [(np.asarray(numbers) - first, exp) for numbers, exp in explained]
            stop = self.job.engine.on_error == "stop"
            with model_loading.autocast_context(self.job):
                self.scorer.fill(self.archive.about, rows, here, stop=stop)

    def explain_samples(
        self, explainer: Explainer, numbers: Sequence[int], *, stop: bool, read: Batch | Exception | None = None
    ) -> tuple[Explained, dict[int, str]]:
        """Explain some samples; where that fails, halves of them, down to those at fault and why."""
        try:
            first = explainer is self.explainer  # whose shape the others have
            batch = read if isinstance(read, Batch) else self._batch(numbers, first=first)
            exp = self._explain_batch(explainer, batch) if batch.numbers else None
        except Exception as error:  # whatever one sample does must not end a night's work
            if len(numbers) == 1 and stop:
                raise JobError(_stop_message(numbers[0], format_error(error))) from error
            if len(numbers) == 1:
                return [], {numbers[0]: format_error(error)}
            half = len(numbers) // 2
            parts = [self.explain_samples(explainer, some, stop=stop) for some in (numbers[:half], numbers[half:])]
            return parts[0][0] + parts[1][0], parts[0][1] | parts[1][1]
        failed = {number: str(reason) or "no reason given" for number, reason in batch.failed.items()}
        return ([] if exp is None else [(batch.numbers, exp)]), failed

    def _explain_batch(self, explainer: Explainer, batch: Any) -> Explanation:
        """Explain a batch; warnings about single maps are logged."""
        with warnings.catch_warnings(record=True) as caught, model_loading.autocast_context(self.job):
            warnings.simplefilter("always", CamWarning)
            exp = explainer(batch.inputs, labels=batch.labels, sample_names=batch.names)
        for warning in caught:
            about = {"event": "warning", "first": batch.numbers[0], "last": batch.numbers[-1]}
            _log.info("%s", warning.message, extra=about)
        return exp


def _split_range(numbers: range, size: int) -> Iterator[range]:
    for start in range(numbers.start, numbers.stop, size):
        yield range(start, min(start + size, numbers.stop))


def _select_samples(batch: Batch, numbers: range) -> Batch:
    """Those of a batch's samples, read in order, that have some neighbouring numbers."""
    here = slice(*np.searchsorted(batch.numbers, (numbers.start, numbers.stop)))
    labels, names = (None if each is None else each[here] for each in (batch.labels, batch.names))
    failed = {number: why for number, why in batch.failed.items() if number in numbers}
    return replace(
        batch, inputs=batch.inputs[here], numbers=batch.numbers[here], labels=labels, names=names, failed=failed
    )


def _write_rows(rows: Mapping[str, np.ndarray], here: np.ndarray, exp: Explanation, first: int) -> dict[int, str]:
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
        rows[f"maps_{number}"][at] = _quantize_maps(values[good] / wide, rows[f"maps_{number}"].dtype)
    columns = {"score": exp.scores, "target_class": exp.target_classes, "logit": exp.logits}
    columns |= {"probability": exp.probabilities, "predicted": exp.classes, "label": exp.true_classes}
    columns |= {"sample": np.array([str(each) for each in exp.sample_names], np.dtypes.StringDType())}
    for name, column in columns.items():
        if name in rows and column is not None:
            rows[name][at] = column[good]
    return {int(each) + first: "its map is not finite" for each in here[~good]}


def _quantize_maps(maps: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    return np.rint(maps * 255).astype(dtype) if dtype.kind == "u" else maps.astype(dtype)


def _axes_hint(layout: Layout | None) -> str:
    """Which axes the model was given, as another order of them is what goes wrong most often."""
    return f" Axes are {' '.join(layout.dims)!r}; [layout] dims may order them otherwise." if layout else ""


def format_error(error: Exception) -> str:
    """Write an exception as one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"


def _stop_message(number: int, reason: str) -> str:
    return (
        f"sample {number} cannot be explained ({reason}). Write on_error = 'record' under [engine] to go on without it."
    )


def _parse_target(target: Any) -> Any:
    """A question of the job file as ``explain`` takes it."""
    if not isinstance(target, Mapping):
        return TrueLabel() if target == "label" else target
    if set(target) == {"contrast", "foil"}:
        return Contrast(target["contrast"], foil=target["foil"])
    if len(target) == 1 and next(iter(target)) in ("predicted", "class"):
        ((kind, value),) = target.items()
        return Predicted(value) if kind == "predicted" else Class(value)
    message = f"explain.target {dict(target)!r} is no question; write {{ contrast = 1, foil = 0 }}, {{ predicted = 2 }} or {{ class = 1 }}."
    raise JobError(message)


def _to_json(value: object) -> object:
    return value.item() if isinstance(value, np.generic) else str(value)
