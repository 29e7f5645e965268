"""One process of a job: it has the network, is told numbers of units, and writes what they give itself."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from signalcam.data import Reader
from signalcam.errors import CamError, CamWarning, JobError, StoreError
from signalcam.explain import Explainer
from signalcam.explanation import Explanation
from signalcam.jobs import aggregate, loading
from signalcam.jobs.archive import Archive
from signalcam.jobs.job import Job
from signalcam.jobs.source import groups_of, of_shape, reader_of
from signalcam.layout import Layout, check_layout
from signalcam.targets import Class, Contrast, Predicted, TrueLabel

_log = logging.getLogger("signalcam")
_TRIED = 64  # samples that may be bad before the first good one

Explained = list[tuple[Sequence[int], Explanation]]


@dataclass(frozen=True)
class Worker:
    """Explains a job's samples, in its own process."""

    job: Job

    @cached_property
    def reader(self) -> Reader:
        """The job's samples."""
        return reader_of(self.job)

    @cached_property
    def groups(self) -> np.ndarray | None:
        """The group of each sample."""
        return groups_of(self.job, len(self.reader))

    @cached_property
    def model(self) -> Any:
        """The network."""
        return loading.network(self.job)

    @cached_property
    def layout(self) -> Layout | None:
        """What the job says of the axes, else the data."""
        told, said = self.reader.layout, self.job.layout.told
        if told is None or ("dims" in said and Layout(said["dims"]).dims != told.dims):
            return Layout(**said) if "dims" in said else None
        return Layout(
            **{name: each for name, each in vars(told).items() if each is not None} | said
        )

    @cached_property
    def archive(self) -> Archive:
        """The store, once it is there."""
        return Archive.open(self.job.path(self.job.output.path))

    @cached_property
    def explainer(self) -> Explainer:
        """What a first sample is explained with, and then all, with the layer found then."""
        asked = self.job.explain
        return Explainer(
            self.model, method=list(asked.method), layer=None if asked.layer is None else list(asked.layer),
            target=[_target(each) for each in asked.target], layout=self.layout, class_names=self.job.model.class_names,
            batch_size=self.job.units.batch, signed=asked.signed, score=asked.score, align=asked.align,
        )  # fmt: skip

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
        return {"weights": loading.fingerprint(self.model), **known}

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
                return self._facts(explained[0][1]) | {"named": named}
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
            "layers": [
                {"name": each.name, "grid": [vars(axis) for axis in each.grid]}
                for each in exp.layers
            ],
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

    # --- a unit ----------------------------------------------------------------------------------

    def do(self, unit: int) -> int:
        """Explain a unit, write it, and say how many samples failed.

        Raises:
            JobError: A sample failed, and the job says to stop then.
            StoreError: The store cannot be written to.
        """
        numbers, rows = self.archive.rows(unit), self.archive.blank(unit)
        if self.groups is not None:
            rows["group"][:] = np.array([str(each) for each in self.groups[numbers.start : numbers.stop]], rows["group"].dtype)  # fmt: skip
        failed: dict[int, str] = {}
        for start in range(numbers.start, numbers.stop, self.job.units.batch):
            some = range(start, min(start + self.job.units.batch, numbers.stop))
            explained, bad = self.explained(
                self.settled, some, stop=self.job.engine.on_error == "stop"
            )
            failed |= bad
            for kept, exp in explained:
                failed |= _fill(rows, np.asarray(kept) - numbers.start, exp, numbers.start)
        if failed and self.job.engine.on_error == "stop":
            raise JobError(_stopped(*next(iter(failed.items()))))
        for number, reason in failed.items():
            rows["failed"][number - numbers.start] = reason
        self.archive.commit(unit, rows, aggregate.part(self.archive.about, rows), len(failed))
        return len(failed)

    def explained(
        self, explainer: Explainer, numbers: Sequence[int], *, stop: bool
    ) -> tuple[Explained, dict[int, str]]:
        """Explain some samples; where that fails, halves of them, down to those at fault and why."""
        try:
            batch = self.reader.read(numbers)
            if explainer is not self.explainer:  # not the first sample, whose shape the others have
                batch = of_shape(batch, self.archive.about["facts"]["input"][0])
            exp = self._quietly(explainer, batch) if batch.numbers else None
        except Exception as error:  # whatever one sample does must not end a night's work
            if len(numbers) == 1 and stop:
                raise JobError(_stopped(numbers[0], _reason(error))) from error
            if len(numbers) == 1:
                return [], {numbers[0]: _reason(error)}
            half = len(numbers) // 2
            parts = [
                self.explained(explainer, some, stop=stop)
                for some in (numbers[:half], numbers[half:])
            ]
            return parts[0][0] + parts[1][0], parts[0][1] | parts[1][1]
        failed = {
            number: str(reason) or "no reason given" for number, reason in batch.failed.items()
        }
        return ([] if exp is None else [(batch.numbers, exp)]), failed

    def _quietly(self, explainer: Explainer, batch: Any) -> Explanation:
        """Explain a batch; warnings about single maps are logged."""
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", CamWarning)
            exp = explainer(batch.inputs, labels=batch.labels, sample_names=batch.names)
        for each in said:
            _log.info("samples %s to %s: %s", batch.numbers[0], batch.numbers[-1], each.message)
        return exp


def _fill(
    rows: Mapping[str, np.ndarray], here: np.ndarray, exp: Explanation, first: int
) -> dict[int, str]:
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
    return f" Axes are {' '.join(layout.dims)!r}; [layout] dims may order them otherwise." if layout else ""  # fmt: skip


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"


def _stopped(number: int, reason: str) -> str:
    return f"sample {number} cannot be explained ({reason}). Write on_error = 'record' under [engine] to go on without it."


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


# --- as a process ------------------------------------------------------------------------------------


def _end_with_driver() -> None:
    """End at once when the driver does, however that ends: it holds the other end of this process's input."""

    def wait() -> None:
        while os.read(0, 1):
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _serve(wire: Connection) -> None:
    sections, folder = wire.recv()
    worker = Worker(Job(folder=folder, **sections))
    wire.send(("ready", worker.identity()))
    while True:
        unit = wire.recv()
        wire.send(("facts", worker.facts()) if unit is None else ("done", worker.do(unit)))


def main(descriptor: int) -> None:
    """Do what comes over the wire until it is cut."""
    import zarr  # noqa: PLC0415 - loaded here so that its settings are this process's only

    _end_with_driver()
    zarr.config.set({"async.concurrency": 4, "threading.max_workers": 1})
    wire = Connection(descriptor)
    try:
        _serve(wire)
    except (EOFError, ConnectionError):  # the driver is gone
        return
    except CamError as error:
        wire.send(("refused", (isinstance(error, StoreError), str(error))))
    except Exception as error:
        wire.send(
            ("refused", (False, f"a process failed ({_reason(error)}). Its traceback is above."))
        )
        raise


if __name__ == "__main__":
    main(int(sys.argv[1]))
