"""One run at a time: a lock that goes with its process, and that the ranks of one run share."""

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
from signalcam.jobs.store import writing


def lock_of(place: Path) -> Path:
    """The file that a run holds while it works on a store."""
    return place.with_name(f".{place.name}.lock")


def is_locked(place: Path) -> bool:
    """Whether a run holds a store."""
    path = lock_of(place)
    try:
        with path.open("r+" if os.access(path, os.W_OK) else "r") as file:
            return not _tried(file, fcntl.LOCK_EX, times=3)
    except FileNotFoundError:
        return False


@dataclass(frozen=True)
class Hold:
    """A store held."""

    path: Path
    file: IO[str]

    @cached_property
    def alone(self) -> bool:
        """Whether no other rank is at work any more; asked once, at the end: who is told so is the last."""
        return _tried(self.file, fcntl.LOCK_EX)

    def release(self) -> None:
        """Let it go; the last takes the file away."""
        if self.alone and _is_there(self.path, self.file):
            self.path.unlink()
        self.file.close()


@contextmanager
def lock_store(place: Path, *, shared: bool = False) -> Iterator[Hold]:
    """Hold a store for one run, which may be of several ranks; the lock goes with the process, however that ends.

    Raises:
        StoreError: Another run holds it, or nothing can be written there.
    """
    path = lock_of(place)
    with writing(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        file = _held(path, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
    if file is None:
        message = (
            f"another run is at work on {place}. Wait until it is done, or stop it; see: signalcam status {place}."
        )
        raise StoreError(message)
    hold = Hold(path, file)
    try:
        yield hold
    finally:
        hold.release()


def _held(path: Path, kind: int) -> IO[str] | None:
    """Lock a file that is still in its place then, and not one that the last run just took away."""
    for _ in range(10):
        file = path.open("a")
        taken, there = _tried(file, kind), _is_there(path, file)
        if taken and there:
            return file
        file.close()
        if there:
            return None
    return None


def _is_there(path: Path, file: IO[str]) -> bool:
    try:
        return os.fstat(file.fileno()).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False


def _tried(file: IO[str], kind: int, times: int = 10) -> bool:
    """Lock an open file; tried for a while, as who only looks holds it for a moment, too."""
    for number in range(times):
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.1 if number < times - 1 else 0)
        else:
            return True
    return False
