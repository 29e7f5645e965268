"""Who does the units of a job: a crew that hands out their numbers, and goes on when workers die."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

from signalcam.errors import JobError, StoreError
from signalcam.jobs.config import JobConfig
from signalcam.jobs.store import QUARANTINED, JobStore

TRIES = 3  # times a unit may kill its worker, or a worker die before it is ready
IN_FLIGHT = 2  # units a worker is told at most, so that it need not wait for the next
_DIED, _LATE = "ended the process", "took longer than engine.timeout"

Asked = str | int
Answer = tuple[str, Any]


class WorkerHandle(Protocol):
    """A worker, wherever it is: what it is asked is answered in that order."""

    def tell(self, asked: Asked) -> None:
        """Ask for its ``"identity"``, for ``"facts"``, or for a unit to be done; never waits."""

    def end(self, why: str = "no longer needed") -> None:
        """End it at once, whatever it does."""


class JobEngine(Protocol):
    """An engine: how workers are made, and heard. It carries nothing but the job and numbers of units."""

    def hire(self) -> Any:
        """Make a worker; it may take its time to be there.

        Raises:
            JobError: The engine cannot be used.
        """

    def heard(self, hands: Sequence[Any], seconds: float | None) -> list[tuple[Any, Answer]]:
        """Wait for the next answers: ``(kind, what)``, where ``("dead", why)`` is said of a worker that is no more."""

    def close(self) -> None:
        """Let go of everything."""


@dataclass(eq=False)
class WorkerState:
    """A worker, and what it has been told."""

    hand: WorkerHandle
    ready: dict[str, str] | None = None
    units: deque[int] = field(default_factory=deque)
    since: float = 0.0

    def give(self, unit: int) -> None:
        """Have it do one more unit."""
        if not self.units:
            self.since = time.monotonic()
        self.units.append(unit)
        self.hand.tell(unit)

    def take(self) -> int:
        """The unit that it did; the next has begun."""
        self.since = time.monotonic()
        return self.units.popleft()


@dataclass
class Scheduler:
    """The workers of a job; a ``with`` block leaves none of them."""

    job: JobConfig
    hands: JobEngine
    members: list[WorkerState] = field(default_factory=list)
    born_dead: int = 0
    deaths: defaultdict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    suspects: set[int] = field(default_factory=set)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for each in self.members:
            each.hand.end()
        self.hands.close()

    def _hire(self) -> WorkerState:
        member = WorkerState(self.hands.hire())
        self.members.append(member)
        member.hand.tell("identity")
        return member

    def _bury(self, member: WorkerState, why: str) -> None:
        """Count out a worker that died; one that never was ready counts against the job."""
        member.hand.end(why)
        self.members.remove(member)
        self.born_dead = self.born_dead + 1 if member.ready is None else 0
        most = self.job.engine.processes
        if self.born_dead >= TRIES * most:
            message = f"processes end before they are ready ({why}). Is there memory for engine.processes = {most} networks? Build the model in Python first."
            raise JobError(message)

    def ask(self) -> tuple[dict[str, str], dict[str, Any]]:
        """What the model is, and what a first sample says of all.

        Raises:
            JobError: No worker survives the question.
        """
        why = ""
        for _ in range(TRIES):
            member = self._hire()
            said, known = self._answer(member)
            if said == "ready":
                member.ready = known
                member.hand.tell("facts")
                said, told = self._answer(member)
                if said == "facts":
                    return known, told
                known = told
            why = known
            self._bury(member, why)
        message = f"explaining the first sample ends the process ({why}). Try one sample with signalcam.explain first."
        raise JobError(message)

    def _answer(self, member: WorkerState) -> Answer:
        ((_, answer),) = self.hands.heard([member.hand], None)
        return _accepted(answer)

    def run(self, archive: JobStore, units: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Do units in any order; yields each with how many samples failed, or ``QUARANTINED``.

        Raises:
            JobError: The job cannot be done so.
            StoreError: The store cannot be written, or was made by other weights or versions.
        """
        todo = deque(units)
        while todo or any(each.units for each in self.members):
            self._share(todo)
            for member, (kind, said) in self._answers():
                if kind == "dead":
                    self._bury(member, said)
                    yield from self._lost(archive, member, todo, _LATE if said == _LATE else _DIED)
                elif kind == "done":
                    yield member.take(), said
                else:
                    _require_same(archive, said)
                    member.ready = said

    def _share(self, todo: deque[int]) -> None:
        """Have as many workers as are of use; a unit for each that is ready, then a second while there are enough."""
        busy = sum(bool(each.units) for each in self.members)
        while len(self.members) < min(self.job.engine.processes, busy + len(todo)):
            self._hire()
        for held in range(IN_FLIGHT):
            for each in self.members:
                enough = len(todo) > (len(self.members) if held else 0)
                alone = held and self.suspects & {todo[0], *each.units} if enough else False
                if enough and not alone and each.ready is not None and len(each.units) == held:
                    each.give(todo.popleft())

    def _answers(self) -> list[tuple[WorkerState, Answer]]:
        """What workers say next, and that some have been silent for too long."""
        asked = {id(each.hand): each for each in self.members if each.units or each.ready is None}
        heard = self.hands.heard([each.hand for each in asked.values()], self._patience())
        found = [(asked.pop(id(hand)), _accepted(answer)) for hand, answer in heard]
        late = [each for each in asked.values() if each.units and self._left(each) <= 0]
        return [*found, *((each, ("dead", _LATE)) for each in late)]

    def _left(self, member: WorkerState) -> float:
        limit = self.job.engine.timeout
        return float("inf") if limit is None else member.since + limit - time.monotonic()

    def _patience(self) -> float | None:
        """How long nothing need be done."""
        left = [self._left(each) for each in self.members if each.units]
        soonest = min(left, default=float("inf"))
        return None if soonest == float("inf") else max(soonest, 0.0)

    def _lost(self, archive: JobStore, member: WorkerState, todo: deque[int], why: str) -> Iterator[tuple[int, int]]:
        """What becomes of the units of a worker that died: done all the same, tried again, or given up.

        One was explained while another was written, so where it had two either may be at fault: each is tried
        alone then, and only what killed a worker alone is counted.
        """
        known = archive.status() if member.units else {}
        lost = [unit for unit in member.units if known.get(unit, QUARANTINED) == QUARANTINED]
        self.suspects |= set(lost)
        for unit in member.units:
            if unit not in lost:
                yield unit, known[unit]
                continue
            if len(lost) == 1:
                self.deaths[unit].append(why)
            if len(self.deaths[unit]) < TRIES:
                todo.append(unit)
                continue
            rows = archive.blank(unit)
            reason = " or ".join(dict.fromkeys(self.deaths[unit]))
            rows["failed"][:] = f"its unit {reason} {TRIES} times"
            archive.commit(unit, rows, {}, QUARANTINED)
            yield unit, QUARANTINED


def _accepted(answer: Answer) -> Answer:
    """An answer, unless it says that the job, or writing, cannot go on."""
    kind, said = answer
    if kind == "refused":
        of_store, message = said
        raise (StoreError if of_store else JobError)(message)
    return answer


def _require_same(archive: JobStore, ready: dict[str, str]) -> None:
    """Refuse to go on with other weights or versions than those that began."""
    known = archive.about["identity"]
    if ready["weights"] != known["weights"]:
        message = f"{archive.place} was begun with other weights than model.build gives now. Give the same, or another output; if they are drawn at random, seed them or give model.weights."
        raise StoreError(message)
    other = [f"{name} {known.get(name)}, here {ready[name]}" for name in ready if ready[name] != known.get(name)]
    if other:
        message = f"{archive.place} was begun with {'; '.join(other)}: its numbers might differ. Install that, or give another output."
        raise StoreError(message)
