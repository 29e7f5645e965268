"""The lock of a store: one run at a time, released when its process ends, shared by the ranks of one run."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO

from signalcam.errors import StoreError
from signalcam.jobs.store_layout import write_errors_as_text


def lock_path(place: Path) -> Path:
    """Path of the file that a run locks while it works on a store."""
    return place.with_name(f".{place.name}.lock")


def is_locked(place: Path) -> bool:
    """Whether a run holds the lock of a store."""
    path = lock_path(place)
    try:
        with path.open("r+" if os.access(path, os.W_OK) else "r") as file:
            return not _try_lock(file, fcntl.LOCK_EX, times=3)
    except FileNotFoundError:
        return False


@dataclass(frozen=True)
class StoreLock:
    """The lock of a store, held by this process."""

    path: Path
    file: IO[str]

    @cached_property
    def is_last(self) -> bool:
        """Whether no other rank is at work any more; read once, at the end."""
        return _try_lock(self.file, fcntl.LOCK_EX)

    def release(self) -> None:
        """Release the lock; the last rank deletes the file."""
        if self.is_last and _is_same_file(self.path, self.file):
            self.path.unlink()
        self.file.close()


@contextmanager
def lock_store(place: Path, *, shared: bool = False) -> Iterator[StoreLock]:
    """Lock a store for one run, ``shared`` among its ranks; the lock ends with the process.

    Raises:
        StoreError: Another run holds it, or the folder cannot be written to.
    """
    path = lock_path(place)
    with write_errors_as_text(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        file = _open_locked(path, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
    if file is None:
        message = (
            f"another run is at work on {place}. Wait until it is done, or stop it; see: signalcam status {place}."
        )
        raise StoreError(message)
    hold = StoreLock(path, file)
    try:
        yield hold
    finally:
        hold.release()


def _open_locked(path: Path, kind: int) -> IO[str] | None:
    """Open and lock the file; try again if the last run deleted it meanwhile."""
    for _ in range(10):
        file = path.open("a")
        locked, in_place = _try_lock(file, kind), _is_same_file(path, file)
        if locked and in_place:
            return file
        file.close()
        if in_place:
            return None
    return None


def _is_same_file(path: Path, file: IO[str]) -> bool:
    try:
        return os.fstat(file.fileno()).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False


def _try_lock(file: IO[str], kind: int, times: int = 10) -> bool:
    """Lock an open file; try for a while, as ``is_locked`` also holds it for a moment."""
    for number in range(times):
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.1 if number < times - 1 else 0)
        else:
            return True
    return False
