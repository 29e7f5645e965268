"""The engine of one machine: worker processes, each connected by a socket."""

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
from signalcam.jobs.scheduler import Answer
from signalcam.jobs.worker_protocol import thread_variables

_EXIT_TIMEOUT = 10  # seconds that a process may take to exit once its socket is closed


@dataclass(eq=False)
class Process:
    """A worker process and its socket; it exits when its standard input closes, so it cannot outlive this process."""

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
                env={
                    **os.environ,
                    **thread_variables(self.job),
                    **self.more,
                    **logs.log_environment(),
                    "PYTHONPATH": path,
                },
            )
        logs.log_start(self.process)
        self.wire = Connection(ours.detach())
        self.send((self.job.model_dump(), self.job.folder))

    def send(self, request: object) -> None:
        """Send the job, a question, or the number of a unit."""
        try:
            self.wire.send(request)
        except OSError:  # waiting for its answer reports that the process is gone
            return

    def answer(self) -> Answer:
        """Receive the next answer."""
        try:
            message: Answer = self.wire.recv()
        except (EOFError, OSError):
            return "dead", self._describe_exit()
        return message

    def _describe_exit(self) -> str:
        try:
            return f"exit code {self.process.wait(_EXIT_TIMEOUT)}"
        except subprocess.TimeoutExpired:
            return "it hangs"

    def kill(self, why: str = "no longer needed") -> None:
        """Kill the process and wait until it is gone."""
        logs.log_end(self.process, why)
        self.process.kill()
        self.process.wait()
        self.wire.close()
        if self.process.stdin is not None:
            self.process.stdin.close()


@dataclass(frozen=True)
class Processes:
    """Worker processes of this machine; ``more`` is added to their environment."""

    job: JobConfig
    more: Mapping[str, str] = field(default_factory=dict)

    def start_worker(self) -> Process:
        """Start a worker process."""
        return Process(self.job, self.more)

    def receive(self, workers: Sequence[Process], seconds: float | None) -> list[tuple[Process, Answer]]:
        """Wait for the next answers."""
        by_wire = {each.wire: each for each in workers}
        ready = [by_wire[wire] for wire in wait(list(by_wire), seconds) if isinstance(wire, Connection)]
        return [(each, each.answer()) for each in ready]

    def close(self) -> None:
        """Do nothing: the scheduler kills the processes."""
