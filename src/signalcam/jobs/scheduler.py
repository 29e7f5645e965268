"""The scheduler of a job: give units to workers, and replace workers that die."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

from signalcam.errors import JobError, StoreError
from signalcam.jobs.config import JobConfig
from signalcam.jobs.store import QUARANTINED, JobStore

MAX_TRIES = 3  # times a unit may kill its worker, or a worker may die before it is ready
IN_FLIGHT = 2  # units a worker holds at most, so that it need not wait for the next
_DIED, _LATE = "ended the process", "took longer than engine.timeout"

Request = str | int
Answer = tuple[str, Any]


class WorkerHandle(Protocol):
    """A worker, wherever it runs. It answers requests in the order they were sent."""

    def send(self, request: Request) -> None:
        """Ask for its ``"identity"``, for ``"facts"``, or for a unit to be explained; never waits."""

    def kill(self, why: str = "no longer needed") -> None:
        """End the worker at once, whatever it does."""


class JobEngine(Protocol):
    """Start workers and receive their answers. Only the job and unit numbers travel."""

    def start_worker(self) -> Any:
        """Start a worker, which may take a while to become ready.

        Raises:
            JobError: The engine cannot be used.
        """

    def receive(self, workers: Sequence[Any], seconds: float | None) -> list[tuple[Any, Answer]]:
        """Wait for the next answers, ``(kind, content)``; a dead worker gives ``("dead", why)``."""

    def close(self) -> None:
        """Release everything that the engine holds."""


@dataclass(eq=False)
class WorkerState:
    """A worker and the units it was given."""

    handle: WorkerHandle
    ready: dict[str, str] | None = None
    units: deque[int] = field(default_factory=deque)
    since: float = 0.0

    def assign(self, unit: int) -> None:
        """Give the worker one more unit."""
        if not self.units:
            self.since = time.monotonic()
        self.units.append(unit)
        self.handle.send(unit)

    def finish(self) -> int:
        """Remove and return the finished unit; the next one starts now."""
        self.since = time.monotonic()
        return self.units.popleft()


@dataclass
class Scheduler:
    """The workers of a job; all are killed when its ``with`` block ends."""

    job: JobConfig
    engine: JobEngine
    workers: list[WorkerState] = field(default_factory=list)
    early_deaths: int = 0
    deaths: defaultdict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    suspects: set[int] = field(default_factory=set)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.handle.kill()
        self.engine.close()

    def _start_worker(self) -> WorkerState:
        worker = WorkerState(self.engine.start_worker())
        self.workers.append(worker)
        worker.handle.send("identity")
        return worker

    def _drop_worker(self, worker: WorkerState, why: str) -> None:
        """Remove a dead worker; raise once too many died before they were ready."""
        worker.handle.kill(why)
        self.workers.remove(worker)
        self.early_deaths = self.early_deaths + 1 if worker.ready is None else 0
        most = self.job.engine.processes
        if self.early_deaths >= MAX_TRIES * most:
            message = f"processes end before they are ready ({why}). Is there memory for engine.processes = {most} networks? Build the model in Python first."
            raise JobError(message)

    def probe(self) -> tuple[dict[str, str], dict[str, Any]]:
        """Start a worker; return the model's identity and the facts of a first sample.

        Raises:
            JobError: Every worker dies while it explains that sample.
        """
        why = ""
        for _ in range(MAX_TRIES):
            worker = self._start_worker()
            kind, identity = self._answer(worker)
            if kind == "ready":
                worker.ready = identity
                worker.handle.send("facts")
                kind, facts = self._answer(worker)
                if kind == "facts":
                    return identity, facts
                identity = facts
            why = identity  # a dead worker's answer is the reason
            self._drop_worker(worker, why)
        message = f"explaining the first sample ends the process ({why}). Try one sample with signalcam.explain first."
        raise JobError(message)

    def _answer(self, worker: WorkerState) -> Answer:
        ((_, answer),) = self.engine.receive([worker.handle], None)
        return _raise_if_refused(answer)

    def run(self, archive: JobStore, units: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Run units in any order; yield each with its number of failed samples, or ``QUARANTINED``.

        Raises:
            JobError: A worker refuses the job, or workers keep dying.
            StoreError: The store cannot be written, or was begun with other weights or versions.
        """
        todo = deque(units)
        while todo or any(each.units for each in self.workers):
            self._dispatch(todo)
            for worker, (kind, content) in self._answers():
                if kind == "dead":
                    self._drop_worker(worker, content)
                    yield from self._requeue(archive, worker, todo, _LATE if content == _LATE else _DIED)
                elif kind == "done":
                    yield worker.finish(), content
                else:
                    _require_same_model(archive, content)
                    worker.ready = content

    def _dispatch(self, todo: deque[int]) -> None:
        """Start the workers that are of use; give each one unit, then a second while units outnumber workers."""
        busy = sum(bool(each.units) for each in self.workers)
        while len(self.workers) < min(self.job.engine.processes, busy + len(todo)):
            self._start_worker()
        for count in range(IN_FLIGHT):
            for worker in self.workers:
                enough = len(todo) > (len(self.workers) if count else 0)
                alone = count and self.suspects & {todo[0], *worker.units} if enough else False
                if enough and not alone and worker.ready is not None and len(worker.units) == count:
                    worker.assign(todo.popleft())

    def _answers(self) -> list[tuple[WorkerState, Answer]]:
        """Wait for the next answers; add a death for each worker past ``engine.timeout``."""
        waiting = {id(each.handle): each for each in self.workers if each.units or each.ready is None}
        received = self.engine.receive([each.handle for each in waiting.values()], self._patience())
        answers = [(waiting.pop(id(handle)), _raise_if_refused(answer)) for handle, answer in received]
        late = [each for each in waiting.values() if each.units and self._seconds_left(each) <= 0]
        return [*answers, *((each, ("dead", _LATE)) for each in late)]

    def _seconds_left(self, worker: WorkerState) -> float:
        limit = self.job.engine.timeout
        return float("inf") if limit is None else worker.since + limit - time.monotonic()

    def _patience(self) -> float | None:
        """Seconds until the first worker is late; ``None`` without ``engine.timeout``."""
        left = [self._seconds_left(each) for each in self.workers if each.units]
        soonest = min(left, default=float("inf"))
        return None if soonest == float("inf") else max(soonest, 0.0)

    def _requeue(self, archive: JobStore, worker: WorkerState, todo: deque[int], why: str) -> Iterator[tuple[int, int]]:
        """Sort a dead worker's units into done, to be tried again, and quarantined.

        One unit was explained while another was written. Where the worker held two, either may be at fault.
        Each is then tried alone, and only deaths of a worker that held one unit are counted.
        """
        status = archive.status() if worker.units else {}
        lost = [unit for unit in worker.units if status.get(unit, QUARANTINED) == QUARANTINED]
        self.suspects |= set(lost)
        for unit in worker.units:
            if unit not in lost:
                yield unit, status[unit]
                continue
            if len(lost) == 1:
                self.deaths[unit].append(why)
            if len(self.deaths[unit]) < MAX_TRIES:
                todo.append(unit)
                continue
            rows = archive.blank(unit)
            reason = " or ".join(dict.fromkeys(self.deaths[unit]))
            rows["failed"][:] = f"its unit {reason} {MAX_TRIES} times"
            archive.commit(unit, rows, {}, QUARANTINED)
            yield unit, QUARANTINED


def _raise_if_refused(answer: Answer) -> Answer:
    """Return the answer, or raise if it says that the job or its store cannot go on."""
    kind, content = answer
    if kind == "refused":
        of_store, message = content
        raise (StoreError if of_store else JobError)(message)
    return answer


def _require_same_model(archive: JobStore, ready: dict[str, str]) -> None:
    """Raise if a worker has other weights or versions than those the store was begun with."""
    identity = archive.about["identity"]
    if ready["weights"] != identity["weights"]:
        message = f"{archive.place} was begun with other weights than model.build gives now. Use the same weights or another output. If they are random, seed them or give model.weights."
        raise StoreError(message)
    other = [f"{name} {identity.get(name)}, here {ready[name]}" for name in ready if ready[name] != identity.get(name)]
    if other:
        message = f"{archive.place} was begun with {'; '.join(other)}: results might differ. Install these versions, or give another output."
        raise StoreError(message)
