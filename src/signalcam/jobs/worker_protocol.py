"""The requests a worker answers, over the socket of a process or as a Ray actor; main of worker processes."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from signalcam.errors import CamError, StoreError
from signalcam.jobs import logs
from signalcam.jobs.config import JobConfig
from signalcam.jobs.scheduler import Answer, Request
from signalcam.jobs.worker import Worker, format_error

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")


def thread_variables(job: JobConfig) -> dict[str, str]:
    """Environment that sets the threads of numerical libraries; it must be set before they load."""
    return dict.fromkeys(_THREADS, str(job.engine.threads))


@dataclass(frozen=True)
class WorkerServer:
    """Answer requests for a worker; an error becomes the answer ``"refused"``.

    Attributes:
        sections: Sections of the job.
        folder: Folder of its relative paths.
        log: Where its traceback can be read.
    """

    sections: dict[str, Any]
    folder: Path
    log: str

    @cached_property
    def worker(self) -> Worker:
        """The worker, with settings of Zarr that suit one process of many."""
        import zarr  # noqa: PLC0415 - loaded here so that its settings are this process's only

        zarr.config.set({"async.concurrency": 4, "threading.max_workers": 1})
        return Worker(JobConfig(folder=self.folder, **self.sections))

    def answer(self, request: Request) -> Answer:
        """Answer one request."""
        return next(self.answers(iter([request])))

    def answers(self, requests: Iterator[Request]) -> Iterator[Answer]:
        """Answer requests in order, and stop after a refusal.

        One unit is explained while another is read and a third is written.
        """
        try:
            for request in requests:
                yield from self._serve(request, requests)
        except CamError as error:
            yield "refused", (isinstance(error, StoreError), str(error))
        except Exception as error:  # noqa: BLE001 - no defect may leave the driver without an answer
            traceback.print_exc()
            yield "refused", (False, f"a process failed ({format_error(error)}). Its traceback is {self.log}.")

    def _serve(self, first: Request, rest: Iterator[Request]) -> Iterator[Answer]:
        if first == "identity":
            yield "ready", self.worker.identity()
        elif first == "facts":
            yield "facts", self.worker.facts()
        else:
            units = (int(each) for each in chain([first], rest))
            yield from (("done", failed) for _, failed in self.worker.run_units(units))


def _end_with_driver() -> None:
    """End at once when the driver does: it holds the other end of this process's standard input."""

    def wait() -> None:
        while os.read(0, 1):
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _requests(wire: Connection) -> Iterator[Any]:
    """Yield requests from the socket until it closes."""
    try:
        while True:
            yield wire.recv()
    except (EOFError, ConnectionError):  # the driver is gone
        return


def main(descriptor: int) -> None:
    """Answer requests from the socket until it closes."""
    _end_with_driver()
    wire = Connection(descriptor)
    requests = _requests(wire)
    sections, folder = next(requests)
    with suppress(ConnectionError), logs.log_to(logs.log_path_from_environment()):  # or the driver is gone
        for answer in WorkerServer(sections, folder, log="above").answers(requests):
            wire.send(answer)


if __name__ == "__main__":
    main(int(sys.argv[1]))
