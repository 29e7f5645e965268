"""The worker of a job: read a unit's samples, explain and score them, write them to the store."""

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
_FIRST_TRIES = 64  # samples that may fail before the first good one
_READ_BYTES = 2**22  # bytes read at once, unless a batch has more

Explained = list[tuple[Sequence[int], Explanation]]


@dataclass(frozen=True)
class ReadBatch:
    """A batch of a unit, or the error of reading it; ``last`` marks the end of the unit."""

    unit: int
    numbers: range
    last: bool
    read: Batch | Exception


@dataclass(frozen=True)
class UnitBuffer:
    """A unit, its first sample, and the rows filled so far."""

    unit: int
    first: int
    rows: dict[str, np.ndarray]


@dataclass(frozen=True)
class Worker:
    """Explain a job's samples in one process."""

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
        """The events of the samples; ``None`` if the job names none."""
        return events.read_events(self.job, len(self.reader))

    @cached_property
    def scorer(self) -> Scorer | None:
        """The scorer of maps; ``None`` for a job without metrics."""
        section = self.job.metrics
        return Scorer(section, self.model, self.explainer.target, self.job.units.batch) if section.names else None

    @cached_property
    def model(self) -> Any:
        """The network."""
        return model_loading.load_network(self.job)

    @cached_property
    def layout(self) -> Layout | None:
        """The layout: the job's fields over those of the data."""
        from_data, settings = self.reader.layout, self.job.layout.settings
        if from_data is None or ("dims" in settings and Layout(settings["dims"]).dims != from_data.dims):
            return Layout(**settings) if "dims" in settings else None
        return Layout(**{name: each for name, each in vars(from_data).items() if each is not None} | settings)

    @cached_property
    def archive(self) -> JobStore:
        """The store, which must exist."""
        archive = JobStore.open(self.job.path(self.job.output.path))
        require_same(self.job, self.reader, archive.about["digest"])
        return archive

    @cached_property
    def explainer(self) -> Explainer:
        """The explainer for a first sample, which finds the layers."""
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
        """The explainer with the layers that the store was created for."""
        layers = [each["name"] for each in self.archive.about["facts"]["layers"]]
        return self.explainer.with_options(layer=layers)

    # --- before the first unit -------------------------------------------------------------------

    def identity(self) -> dict[str, str]:
        """Hash of the weights, and versions of SignalCAM, NumPy and the backend."""
        backend = self.explainer.backend
        versions = {
            "signalcam": version("signalcam"),
            "numpy": np.__version__,
            backend.name: backend.version,
        }
        return {"weights": model_loading.fingerprint(self.model), **versions}

    def facts(self) -> dict[str, Any]:
        """Describe all samples by the first one that can be explained; raise ``JobError`` if there is none."""
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
        """Check events and scores on a first sample; return the names of metrics and methods."""
        if self.events is not None:
            events.require_time_axis({"facts": facts, "job": self.job.model_dump(mode="json")})
        return {} if self.scorer is None else {"metrics": self.scorer.facts(exp)}

    # --- a unit ----------------------------------------------------------------------------------

    def run_unit(self, unit: int) -> int:
        """Explain and write one unit in this thread; return its number of failed samples."""
        buffer = self._new_buffer(unit)
        for batch in self._read([unit]):
            self._explain(buffer, batch)
        return self._commit(buffer)[1]

    def run_units(self, units: Iterable[int]) -> Iterator[tuple[int, int]]:
        """Explain units while two threads read the next batch and write the last unit.

        Yields each written unit with its number of failed samples. The reading thread iterates over ``units`` and may
        wait there.
        """
        under_way: dict[int, UnitBuffer] = {}

        def explained(read_batch: ReadBatch) -> UnitBuffer | None:
            if read_batch.unit not in under_way:
                under_way[read_batch.unit] = self._new_buffer(read_batch.unit)
            self._explain(under_way[read_batch.unit], read_batch)
            return under_way.pop(read_batch.unit) if read_batch.last else None

        return prefetch(self._read(units), explained, self._commit)

    def _read(self, units: Iterable[int]) -> Iterator[ReadBatch]:
        """Read the batches of units in order; an error is kept and raised where the batch is used."""
        for unit in units:
            numbers = self.archive.rows(unit)
            for read_numbers in _split_range(numbers, self._at_once):
                read = self._try_read(read_numbers)
                for numbers_of_batch in _split_range(read_numbers, self.job.units.batch):
                    part = read if isinstance(read, Exception) else _select_samples(read, numbers_of_batch)
                    yield ReadBatch(unit, numbers_of_batch, numbers_of_batch.stop == numbers.stop, part)

    @cached_property
    def _at_once(self) -> int:
        """Samples to read at once: several batches if they are small."""
        shape, dtype = self.archive.about["facts"]["input"]
        batch = self.job.units.batch
        wide: int = np.dtype(dtype).itemsize * math.prod(shape)
        return batch * max(1, _READ_BYTES // (batch * wide))

    def _try_read(self, numbers: range) -> Batch | Exception:
        try:
            return self._read_samples(numbers)
        except Exception as error:  # noqa: BLE001 - explain_samples reads again, batch by batch
            return error

    def _read_samples(self, numbers: Sequence[int], *, first: bool = False) -> Batch:
        """Read samples of the job's shape, one thread at a time, and move them to the device."""
        with self._read_lock:
            batch = self.reader.read(numbers)
        if not first:
            batch = drop_other_shapes(batch, self.archive.about["facts"]["input"][0])
        return model_loading.move_to_device(batch, self.job.model.device)

    def _new_buffer(self, unit: int) -> UnitBuffer:
        """Blank rows of a unit, with its groups filled in."""
        numbers, rows = self.archive.rows(unit), self.archive.blank(unit)
        if self.groups is not None:
            rows["group"][:] = np.array(
                [str(each) for each in self.groups[numbers.start : numbers.stop]], rows["group"].dtype
            )
        return UnitBuffer(unit, numbers.start, rows)

    def _explain(self, buffer: UnitBuffer, read_batch: ReadBatch) -> None:
        """Explain a batch and put its results into its unit."""
        stop = self.job.engine.on_error == "stop"
        explained, failed = self.explain_samples(
            self.store_explainer, read_batch.numbers, stop=stop, read=read_batch.read
        )
        for numbers, exp in explained:
            positions = np.asarray(numbers) - buffer.first
            failed |= _write_rows(buffer.rows, positions, exp, buffer.first)
        if failed and stop:
            raise JobError(_stop_message(*next(iter(failed.items()))))
        for number, reason in failed.items():
            buffer.rows["failed"][number - buffer.first] = reason
        self._score(buffer.rows, explained, buffer.first)

    def _commit(self, buffer: UnitBuffer) -> tuple[int, int]:
        failed = int((buffer.rows["failed"] != "").sum())
        unit_events = None if self.events is None else self.events.of(self.archive.rows(buffer.unit))
        sums = aggregate.unit_sums(self.archive.about, buffer.rows, unit_events)
        self.archive.commit(buffer.unit, buffer.rows, sums, failed)
        return buffer.unit, failed

    def _score(self, rows: Mapping[str, np.ndarray], explained: Explained, first: int) -> None:
        """Score the maps of a batch, if the job has metrics."""
        if self.scorer is not None:
            positioned = [(np.asarray(numbers) - first, exp) for numbers, exp in explained]
            stop = self.job.engine.on_error == "stop"
            with model_loading.autocast_context(self.job):
                self.scorer.fill(self.archive.about, rows, positioned, stop=stop)

    def explain_samples(
        self, explainer: Explainer, numbers: Sequence[int], *, stop: bool, read: Batch | Exception | None = None
    ) -> tuple[Explained, dict[int, str]]:
        """Explain samples; on failure bisect, down to the samples at fault and their reasons."""
        try:
            first = explainer is self.explainer  # no store yet, so no shape to check
            batch = read if isinstance(read, Batch) else self._read_samples(numbers, first=first)
            exp = self._explain_batch(explainer, batch) if batch.numbers else None
        except Exception as error:  # one bad sample must not end the whole run
            if len(numbers) == 1 and stop:
                raise JobError(_stop_message(numbers[0], format_error(error))) from error
            if len(numbers) == 1:
                return [], {numbers[0]: format_error(error)}
            half = len(numbers) // 2
            parts = [self.explain_samples(explainer, part, stop=stop) for part in (numbers[:half], numbers[half:])]
            return parts[0][0] + parts[1][0], parts[0][1] | parts[1][1]
        failed = {number: str(reason) or "no reason given" for number, reason in batch.failed.items()}
        return ([] if exp is None else [(batch.numbers, exp)]), failed

    def _explain_batch(self, explainer: Explainer, batch: Any) -> Explanation:
        """Explain a batch; log its warnings."""
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
    """Select the samples of a batch whose numbers lie in a range."""
    selection = slice(*np.searchsorted(batch.numbers, (numbers.start, numbers.stop)))
    labels, names = (None if each is None else each[selection] for each in (batch.labels, batch.names))
    failed = {number: why for number, why in batch.failed.items() if number in numbers}
    return replace(
        batch,
        inputs=batch.inputs[selection],
        numbers=batch.numbers[selection],
        labels=labels,
        names=names,
        failed=failed,
    )


def _write_rows(rows: Mapping[str, np.ndarray], positions: np.ndarray, exp: Explanation, first: int) -> dict[int, str]:
    """Write a batch's results into the rows of its unit; return the samples whose maps cannot be stored."""
    maps = [each.values for each in exp.layers]
    for number, values in enumerate(maps):
        if values.shape[1:] != rows[f"maps_{number}"].shape[1:]:
            message = f"its map has shape {values.shape[1:]}, expected {rows[f'maps_{number}'].shape[1:]}"
            return {int(each) + first: message for each in positions}
    flat = [values.reshape(len(values), -1) for values in maps]
    good = np.logical_and.reduce([np.isfinite(each).all(axis=1) for each in flat])
    at = positions[good]
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
    return {int(each) + first: "its map is not finite" for each in positions[~good]}


def _quantize_maps(maps: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    return np.rint(maps * 255).astype(dtype) if dtype.kind == "u" else maps.astype(dtype)


def _axes_hint(layout: Layout | None) -> str:
    """Name the axes that the model was given: a wrong order is the most frequent mistake."""
    return f" Axes are {' '.join(layout.dims)!r}; [layout] dims may order them otherwise." if layout else ""


def format_error(error: Exception) -> str:
    """Write an exception as one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"


def _stop_message(number: int, reason: str) -> str:
    return (
        f"sample {number} cannot be explained ({reason}). Write on_error = 'record' under [engine] to go on without it."
    )


def _parse_target(target: Any) -> Any:
    """Parse a target of the job file for ``explain``."""
    if not isinstance(target, Mapping):
        return TrueLabel() if target == "label" else target
    if set(target) == {"contrast", "foil"}:
        return Contrast(target["contrast"], foil=target["foil"])
    if len(target) == 1 and next(iter(target)) in ("predicted", "class"):
        ((kind, value),) = target.items()
        return Predicted(value) if kind == "predicted" else Class(value)
    message = f"explain.target {dict(target)!r} is no target; write {{ contrast = 1, foil = 0 }}, {{ predicted = 2 }} or {{ class = 1 }}."
    raise JobError(message)


def _to_json(value: object) -> object:
    return value.item() if isinstance(value, np.generic) else str(value)
