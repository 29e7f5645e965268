"""A worker as something that is asked: by the wire of a process, or as an actor."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from dataclasses import dataclass
from functools import cached_property
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from signalcam.errors import CamError, StoreError
from signalcam.jobs.job import Job
from signalcam.jobs.worker import Worker, _reason

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")


def threads(job: Job) -> dict[str, str]:
    """What tells libraries how many threads to use, where it is there before they are loaded."""
    return dict.fromkeys(_THREADS, str(job.engine.threads))


@dataclass(frozen=True)
class Served:
    """Answers for a worker, also that it failed.

    Attributes:
        sections: Those of the job.
        folder: Where its relative paths begin.
        log: Where its traceback can be read.
    """

    sections: dict[str, Any]
    folder: Path
    log: str

    @cached_property
    def worker(self) -> Worker:
        """Who does it, with the settings of Zarr that suit one process of many."""
        import zarr  # noqa: PLC0415 - loaded here so that its settings are this process's only

        zarr.config.set({"async.concurrency": 4, "threading.max_workers": 1})
        return Worker(Job(folder=self.folder, **self.sections))

    def answer(self, asked: str | int) -> tuple[str, Any]:
        """Do what is asked, and say what came of it."""
        try:
            return self._done(asked)
        except CamError as error:
            return "refused", (isinstance(error, StoreError), str(error))
        except Exception as error:  # noqa: BLE001 - no defect may leave the driver without an answer
            traceback.print_exc()
            return "refused", (False, f"a process failed ({_reason(error)}). Its traceback is {self.log}.")  # fmt: skip

    def _done(self, asked: str | int) -> tuple[str, Any]:
        if asked == "identity":
            return "ready", self.worker.identity()
        return ("facts", self.worker.facts()) if isinstance(asked, str) else ("done", self.worker.do(asked))  # fmt: skip


def _end_with_driver() -> None:
    """End at once when the driver does, however that ends: it holds the other end of this process's input."""

    def wait() -> None:
        while os.read(0, 1):
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def main(descriptor: int) -> None:
    """Do what comes over the wire until it is cut."""
    _end_with_driver()
    wire = Connection(descriptor)
    try:
        sections, folder = wire.recv()
        served = Served(sections, folder, log="above")
        while True:
            wire.send(served.answer(wire.recv()))
    except (EOFError, ConnectionError):  # the driver is gone
        return


if __name__ == "__main__":
    main(int(sys.argv[1]))
