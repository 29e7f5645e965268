"""The engine of one machine: processes that are told units one by one, replaced when they die."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any, Self

from signalcam.errors import JobError, StoreError
from signalcam.jobs import logs
from signalcam.jobs.archive import QUARANTINED, Archive
from signalcam.jobs.job import Job

_TRIES = 3  # times a unit may kill its process, or a process die before it is ready
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")


@dataclass(eq=False)
class Process:
    """A worker and the wire to it; it ends when its input does, so it cannot outlive this process."""

    job: Job
    busy: int | None = None
    ready: dict[str, str] | None = None
    wire: Connection = field(init=False)
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        ours, theirs = socket.socketpair()
        threads = dict.fromkeys(_THREADS, str(self.job.engine.threads))
        path = os.pathsep.join(each for each in sys.path if each)
        with theirs:
            self.process = subprocess.Popen(  # noqa: S603 - this very program
                [sys.executable, "-m", "signalcam.jobs.worker", str(theirs.fileno())],
                stdin=subprocess.PIPE, pass_fds=[theirs.fileno()], start_new_session=True,
                env={**os.environ, **threads, **logs.environment(), "PYTHONPATH": path},
            )  # fmt: skip
        logs.started(self.process)
        self.wire = Connection(ours.detach())
        self.tell((self.job.model_dump(), self.job.folder))

    def tell(self, what: Any) -> None:
        """Send something; that the process is gone is seen when its answer is waited for."""
        try:
            self.wire.send(what)
        except OSError:
            return

    def answer(self) -> Any:
        """What it says next; nothing if it died.

        Raises:
            JobError: It says that the job cannot be done so.
            StoreError: It says that the store cannot be written.
        """
        try:
            kind, said = self.wire.recv()
        except (EOFError, OSError):
            return None
        if kind == "refused":
            raise (StoreError if said[0] else JobError)(said[1])
        if kind == "ready":
            self.ready = said
        return said

    def end(self) -> None:
        """Kill it, and wait until it is gone."""
        self.process.kill()
        self.process.wait()
        self.wire.close()
        if self.process.stdin is not None:
            self.process.stdin.close()


@dataclass
class Crew:
    """The processes of a job; a ``with`` block leaves none of them."""

    job: Job
    hands: list[Process] = field(default_factory=list)
    born_dead: int = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for each in self.hands:
            logs.ended(each.process, died=False)
            each.end()

    def _bury(self, hand: Process) -> None:
        """Count out a process that died; one that never was ready counts against the job."""
        logs.ended(hand.process, died=True)
        hand.end()
        self.hands.remove(hand)
        self.born_dead = self.born_dead + 1 if hand.ready is None else 0
        if self.born_dead >= _TRIES:
            message = f"processes end before they are ready (exit code {hand.process.returncode}). Is there memory for engine.processes = {self.job.engine.processes} networks? Build the model in Python first."
            raise JobError(message)

    def ask(self) -> tuple[dict[str, str], dict[str, Any]]:
        """What the model is, and what a first sample says of all.

        Raises:
            JobError: No process survives the question.
        """
        for _ in range(_TRIES):
            hand = Process(self.job)
            self.hands.append(hand)
            known = hand.answer()
            hand.tell(None)
            told = None if known is None else hand.answer()
            if told is not None:
                return known, told
            code = hand.process.wait()
            self._bury(hand)
        message = f"explaining the first sample ends the process (exit code {code}). Try one sample with signalcam.explain first."
        raise JobError(message)

    def run(self, archive: Archive, units: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Do units in any order; yields each with how many samples failed, or ``QUARANTINED``.

        Raises:
            JobError: The job cannot be done so.
            StoreError: The store cannot be written, or was made by other weights or versions.
        """
        todo, kills = deque(units), Counter[int]()
        while todo or any(hand.busy is not None for hand in self.hands):
            self._share(todo)
            for wire in wait([hand.wire for hand in self.hands if hand.busy is not None or hand.ready is None]):  # fmt: skip
                hand = next(each for each in self.hands if each.wire is wire)
                unit, said = hand.busy, hand.answer()
                hand.busy = None
                if said is None:
                    self._bury(hand)
                    yield from self._lost(archive, unit, todo, kills)
                    continue
                if unit is None:
                    _require_same(archive, said)
                else:
                    yield unit, said

    def _share(self, todo: deque[int]) -> None:
        """Have as many processes as are of use, and a unit for each that is ready."""
        busy = sum(hand.busy is not None for hand in self.hands)
        while len(self.hands) < min(self.job.engine.processes, busy + len(todo)):
            self.hands.append(Process(self.job))
        for hand in self.hands:
            if todo and hand.busy is None and hand.ready is not None:
                hand.busy = todo.popleft()
                hand.tell(hand.busy)

    def _lost(
        self, archive: Archive, unit: int | None, todo: deque[int], kills: Counter[int]
    ) -> Iterator[tuple[int, int]]:
        """What becomes of the unit of a process that died: done all the same, tried again, or given up."""
        if unit is None:
            return
        known = archive.status().get(unit, QUARANTINED)
        kills[unit] += 1
        if known != QUARANTINED:
            yield unit, known
        elif kills[unit] < _TRIES:
            todo.append(unit)
        else:
            rows = archive.blank(unit)
            rows["failed"][:] = f"its unit ended the process {_TRIES} times"
            archive.commit(unit, rows, {}, QUARANTINED)
            yield unit, QUARANTINED


def _require_same(archive: Archive, ready: dict[str, str]) -> None:
    """Refuse to go on with other weights or versions than those that began."""
    known = archive.about["identity"]
    if ready["weights"] != known["weights"]:
        message = f"{archive.place} was begun with other weights than model.build gives now. Give the same, or another output; if they are drawn at random, seed them or give model.weights."
        raise StoreError(message)
    other = [f"{name} {known.get(name)}, here {ready[name]}" for name in ready if ready[name] != known.get(name)]  # fmt: skip
    if other:
        message = f"{archive.place} was begun with {'; '.join(other)}: its numbers might differ. Install that, or give another output."
        raise StoreError(message)
