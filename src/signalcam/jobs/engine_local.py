"""The engine of one machine: processes, each at the end of a wire."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait

from signalcam.jobs import logs
from signalcam.jobs.config import JobConfig
from signalcam.jobs.scheduler import Answer, Asked
from signalcam.jobs.worker_protocol import threads

_LAST_WORDS = 10  # seconds that a process may take to end once its wire is cut


@dataclass(eq=False)
class Process:
    """A worker and the wire to it; it ends when its input does, so it cannot outlive this process."""

    job: JobConfig
    more: Mapping[str, str]
    wire: Connection = field(init=False)
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        ours, theirs = socket.socketpair()
        path = os.pathsep.join(each for each in sys.path if each)
        with theirs:
            self.process = subprocess.Popen(  # noqa: S603 - this very program
                [sys.executable, "-m", "signalcam.jobs.worker_protocol", str(theirs.fileno())],
                stdin=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                env={**os.environ, **threads(self.job), **self.more, **logs.environment(), "PYTHONPATH": path},
            )
        logs.log_start(self.process)
        self.wire = Connection(ours.detach())
        self._send((self.job.model_dump(), self.job.folder))

    def tell(self, asked: Asked) -> None:
        """Send a question, or the number of a unit."""
        self._send(asked)

    def _send(self, what: object) -> None:
        try:
            self.wire.send(what)
        except OSError:  # that it is gone is seen when its answer is waited for
            return

    def answer(self) -> Answer:
        """What it says next."""
        try:
            said: Answer = self.wire.recv()
        except (EOFError, OSError):
            return "dead", self._how()
        return said

    def _how(self) -> str:
        """How it ended."""
        try:
            return f"exit code {self.process.wait(_LAST_WORDS)}"
        except subprocess.TimeoutExpired:
            return "it hangs"

    def end(self, why: str = "no longer needed") -> None:
        """Kill it, and wait until it is gone."""
        logs.log_end(self.process, why)
        self.process.kill()
        self.process.wait()
        self.wire.close()
        if self.process.stdin is not None:
            self.process.stdin.close()


@dataclass(frozen=True)
class Processes:
    """The processes of this machine, with more in their environment than this one has."""

    job: JobConfig
    more: Mapping[str, str] = field(default_factory=dict)

    def hire(self) -> Process:
        """Start a process."""
        return Process(self.job, self.more)

    def heard(self, hands: Sequence[Process], seconds: float | None) -> list[tuple[Process, Answer]]:
        """Wait for the next answers."""
        of = {each.wire: each for each in hands}
        ready = [of[wire] for wire in wait(list(of), seconds) if isinstance(wire, Connection)]
        return [(each, each.answer()) for each in ready]

    def close(self) -> None:
        """Nothing is held but the processes."""
