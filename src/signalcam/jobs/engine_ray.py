"""The Ray engine: worker actors on the nodes of a Ray cluster.

Ray starts workers and reports their deaths. Units are retried by the scheduler, not by Ray. Ray's own retries are
used up before it knows that a node is gone.
"""

from __future__ import annotations

import logging
import math
import os
import socket
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from signalcam.errors import JobError, MissingExtra
from signalcam.jobs import logs
from signalcam.jobs.config import JobConfig
from signalcam.jobs.config_sections import EngineSection
from signalcam.jobs.scheduler import Answer, Request
from signalcam.jobs.worker_protocol import thread_variables

_CONNECT_TIMEOUT = 5  # seconds in which an address must accept a connection
_OBJECT_STORE_BYTES = 80_000_000  # bytes of Ray's object store, through which only unit numbers go
_QUIET_VARIABLES = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}


@dataclass(eq=False)
class Actor:
    """A Ray actor and the references of its pending answers."""

    handle: Any
    pending: deque[Any] = field(default_factory=deque)

    def send(self, request: Request) -> None:
        """Send a question or the number of a unit."""
        self.pending.append(self.handle.answer.remote(request))

    def kill(self, why: str = "") -> None:  # noqa: ARG002 - Ray logs how its workers end
        """Kill the actor; its pending answers are dropped."""
        import ray  # noqa: PLC0415 - an extra

        with suppress(ray.exceptions.RayError, ValueError):  # it may be gone already
            ray.kill(self.handle)


@dataclass
class Actors:
    """Actors of a Ray cluster; the first one connects to it."""

    job: JobConfig
    is_connected: bool = False
    owns_cluster: bool = False

    def start_worker(self) -> Actor:
        """Ask Ray for an actor, which starts once a node has room.

        Raises:
            JobError: The cluster cannot be reached, or no node is large enough.
            MissingExtra: Ray is not installed.
        """
        self._ensure_connected()
        import ray  # noqa: PLC0415 - an extra

        section = self.job.engine
        kind = ray.remote(num_cpus=section.cpus, num_gpus=section.gpus, max_restarts=0, max_task_retries=0)(
            _worker_class()
        )
        return Actor(kind.remote(self.job.model_dump(), self.job.folder, thread_variables(self.job)))

    def receive(self, workers: Sequence[Actor], seconds: float | None) -> list[tuple[Actor, Answer]]:
        """Wait for the next answers."""
        import ray  # noqa: PLC0415 - an extra

        by_reference = {each.pending[0]: each for each in workers}
        ready, _ = ray.wait(list(by_reference), num_returns=1, timeout=seconds)
        answers: list[tuple[Actor, Answer]] = []
        for reference in ready:
            by_reference[reference].pending.popleft()
            try:
                answer, entries = ray.get(reference)
                logs.replay_logs(entries)
            except ray.exceptions.RayError as error:  # the worker, its node or the network failed
                answer = "dead", " ".join(str(error).split())[:300]
            answers.append((by_reference[reference], answer))
        return answers

    def close(self) -> None:
        """Disconnect from the cluster, or stop the one started here."""
        if self.owns_cluster:
            import ray  # noqa: PLC0415 - an extra

            ray.shutdown()

    def _ensure_connected(self) -> None:
        if self.is_connected:
            return
        try:
            import ray  # noqa: PLC0415 - an extra
        except ModuleNotFoundError as error:
            message = "engine.name = 'ray'"
            raise MissingExtra(message, "ray") from error
        if not ray.is_initialized():
            _connect(self.job.engine)
            self.owns_cluster = True
        self.is_connected = True
        _require_room(self.job.engine, [each["Resources"] for each in ray.nodes() if each["Alive"]])


def _worker_class() -> type:
    """The actor's class; a local class is pickled by value, so thread counts are set before NumPy loads."""

    class SignalCamWorker:
        def __init__(self, sections: Any, folder: Any, threads: dict[str, str]) -> None:
            import os  # noqa: PLC0415 - runs in Ray's process

            os.environ.update(threads)
            from signalcam.jobs import logs  # noqa: PLC0415 - loads NumPy
            from signalcam.jobs.worker_protocol import WorkerServer  # noqa: PLC0415

            self.collect_logs = logs.collect_logs
            self.server = WorkerServer(sections, folder, log="in Ray's log of that worker")

        def answer(self, request: Any) -> Any:
            with self.collect_logs() as entries:
                return self.server.answer(request), entries

    return SignalCamWorker


def _connect(section: EngineSection) -> None:
    """Connect to a Ray cluster, or start one on this machine."""
    import ray  # noqa: PLC0415 - an extra

    address = section.address
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS") or address
    if address not in (None, "auto"):
        _require_answer(str(address))
    options: dict[str, Any] = {"address": address}
    if address is None:
        cpus = max(1, math.ceil(section.processes * section.cpus))
        options = {"address": "local", "num_cpus": cpus, "object_store_memory": _OBJECT_STORE_BYTES}
    try:
        with _environment(_QUIET_VARIABLES), _silence_stderr():
            ray.init(**options, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        reason = " ".join(str(error).split())[:300].rstrip(".")
        ray.shutdown()
        raise JobError(_connection_error(address, reason)) from error


def _require_answer(address: str) -> None:
    """Raise if nothing answers at an address; Ray itself would retry for a long time."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_TIMEOUT).close()
    except (OSError, ValueError, OverflowError) as error:
        message = f"no Ray answers at {address} ({error}). Start one with: ray start --head; or leave engine.address out to start one on this machine."
        raise JobError(message) from error


def _connection_error(address: str | None, reason: str) -> str:
    if address is None:
        return f"Ray cannot be started on this machine ({reason}). Use engine.name = 'local' there."
    if address == "auto":
        return f"no Ray is found on this machine ({reason}). Start one with: ray start --head; or give engine.address = 'host:port'."
    return f"Ray at {address} refuses the connection ({reason}). Set the cluster's token (RAY_AUTH_MODE=token, RAY_AUTH_TOKEN_PATH=file), and use its versions of Ray and Python."


def _require_room(section: EngineSection, nodes: Sequence[Mapping[str, float]]) -> None:
    """Raise if no node is large enough for a worker; Ray itself would wait for ever."""
    if not any(section.cpus <= each.get("CPU", 0) and section.gpus <= each.get("GPU", 0) for each in nodes):
        capacities = ", ".join(f"{each.get('CPU', 0):g} and {each.get('GPU', 0):g}" for each in nodes)
        message = f"no node of Ray has engine.cpus = {section.cpus:g} and engine.gpus = {section.gpus:g}: they have {capacities}. Ask for less, or add a node."
        raise JobError(message)


@contextmanager
def _environment(more: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables inside the block, unless they are set already."""
    new = {name: value for name, value in more.items() if name not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            os.environ.pop(name, None)


@contextmanager
def _silence_stderr() -> Iterator[None]:
    """Discard what Ray writes to stderr; the exception it raises says why it failed."""
    stderr = os.dup(2)
    try:
        with Path(os.devnull).open("w") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
