"""The engine of many machines: actors of Ray, which are told units as the processes of one machine are.

Ray starts workers and finds out that they died. Whatever is tried again is the crew's: Ray's own retries are spent
before it knows that a node is gone.
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
from signalcam.jobs.scheduler import Answer, Asked
from signalcam.jobs.worker_protocol import threads

_KNOCK = 5  # seconds in which an address must take a connection
_STORE = 80_000_000  # bytes of Ray's own store: nothing but numbers of units goes through it
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}


@dataclass(eq=False)
class Actor:
    """A worker of Ray, and the answers that it owes."""

    handle: Any
    owed: deque[Any] = field(default_factory=deque)

    def tell(self, asked: Asked) -> None:
        """Send a question, or the number of a unit."""
        self.owed.append(self.handle.answer.remote(asked))

    def end(self, why: str = "") -> None:  # noqa: ARG002 - Ray's own log tells of its workers
        """Kill it; no more is heard of it."""
        import ray  # noqa: PLC0415 - an extra

        with suppress(ray.exceptions.RayError, ValueError):  # it may be gone already
            ray.kill(self.handle)


@dataclass
class Actors:
    """Actors of a cluster, which is looked for when the first is needed."""

    job: JobConfig
    joined: bool = False
    ours: bool = False

    def hire(self) -> Actor:
        """Ask Ray for an actor; it is there once a node has room for it.

        Raises:
            JobError: There is no such cluster, or none of its nodes could ever hold one.
            MissingExtra: Ray is not installed.
        """
        self._join()
        import ray  # noqa: PLC0415 - an extra

        asked = self.job.engine
        kind = ray.remote(num_cpus=asked.cpus, num_gpus=asked.gpus, max_restarts=0, max_task_retries=0)(_kind())
        return Actor(kind.remote(self.job.model_dump(), self.job.folder, threads(self.job)))

    def heard(self, hands: Sequence[Actor], seconds: float | None) -> list[tuple[Actor, Answer]]:
        """Wait for the next answers."""
        import ray  # noqa: PLC0415 - an extra

        of = {each.owed[0]: each for each in hands}
        ready, _ = ray.wait(list(of), num_returns=1, timeout=seconds)
        found: list[tuple[Actor, Answer]] = []
        for each in ready:
            of[each].owed.popleft()
            try:
                answer, said = ray.get(each)
                logs.replay_logs(said)
            except ray.exceptions.RayError as error:  # of the worker, its node, or the way there
                answer = "dead", " ".join(str(error).split())[:300]
            found.append((of[each], answer))
        return found

    def close(self) -> None:
        """Leave the cluster; one started here ends."""
        if self.ours:
            import ray  # noqa: PLC0415 - an extra

            ray.shutdown()

    def _join(self) -> None:
        if self.joined:
            return
        try:
            import ray  # noqa: PLC0415 - an extra
        except ModuleNotFoundError as error:
            message = "engine.name = 'ray'"
            raise MissingExtra(message, "ray") from error
        if not ray.is_initialized():
            _init(self.job.engine)
            self.ours = True
        self.joined = True
        _require_room(self.job.engine, [each["Resources"] for each in ray.nodes() if each["Alive"]])


def _kind() -> type:
    """What an actor is: pickled whole, not by its name, so that threads are counted before NumPy is loaded."""

    class SignalCamWorker:
        def __init__(self, sections: Any, folder: Any, threads: dict[str, str]) -> None:
            import os  # noqa: PLC0415 - of Ray's process

            os.environ.update(threads)
            from signalcam.jobs import logs  # noqa: PLC0415 - loads NumPy
            from signalcam.jobs.worker_protocol import WorkerServer  # noqa: PLC0415

            self.kept = logs.collect_logs
            self.served = WorkerServer(sections, folder, log="in Ray's log of that worker")

        def answer(self, asked: Any) -> Any:
            with self.kept() as said:
                return self.served.answer(asked), said

    return SignalCamWorker


def _init(asked: EngineSection) -> None:
    """Connect to a cluster, or start one of this machine."""
    import ray  # noqa: PLC0415 - an extra

    address = asked.address
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS") or address
    if address not in (None, "auto"):
        _require_answer(str(address))
    here: dict[str, Any] = {"address": address}
    if address is None:
        cpus = max(1, math.ceil(asked.processes * asked.cpus))
        here = {"address": "local", "num_cpus": cpus, "object_store_memory": _STORE}
    try:
        with _environment(_QUIET), _silence():
            ray.init(**here, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        reason = " ".join(str(error).split())[:300].rstrip(".")
        ray.shutdown()
        raise JobError(_refused(address, reason)) from error


def _require_answer(address: str) -> None:
    """Refuse an address at which nothing answers; Ray itself would try for long."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK).close()
    except (OSError, ValueError, OverflowError) as error:
        message = f"no Ray answers at {address} ({error}). Start one with: ray start --head; or leave engine.address out, and one is started on this machine."
        raise JobError(message) from error


def _refused(address: str | None, reason: str) -> str:
    if address is None:
        return f"Ray cannot be started on this machine ({reason}). Use engine.name = 'local' there."
    if address == "auto":
        return f"no Ray is found on this machine ({reason}). Start one with: ray start --head; or give engine.address = 'host:port'."
    return f"Ray at {address} does not let this program in ({reason}). Give it the cluster's token (RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH=file), and the versions of Ray and Python that the cluster has."


def _require_room(asked: EngineSection, nodes: Sequence[Mapping[str, float]]) -> None:
    """Refuse what no node could ever hold; Ray itself would wait for such a node for ever."""
    if not any(asked.cpus <= each.get("CPU", 0) and asked.gpus <= each.get("GPU", 0) for each in nodes):
        there = ", ".join(f"{each.get('CPU', 0):g} and {each.get('GPU', 0):g}" for each in nodes)
        message = f"no node of Ray has engine.cpus = {asked.cpus:g} and engine.gpus = {asked.gpus:g}: they have {there}. Ask for less, or add a node."
        raise JobError(message)


@contextmanager
def _environment(more: Mapping[str, str]) -> Iterator[None]:
    """Have some words in the environment for a while, where nothing else is said there."""
    new = {name: value for name, value in more.items() if name not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            os.environ.pop(name, None)


@contextmanager
def _silence() -> Iterator[None]:
    """Keep the terminal clear of what Ray writes there past any logger; why it failed is in what it raises."""
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("w") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
