"""From a job to its finished store: look at what is there, do the rest, sum up."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from signalcam.errors import StoreError
from signalcam.jobs import aggregate, logs
from signalcam.jobs.archive import Archive, consolidate, label, texts, writing
from signalcam.jobs.job import Job
from signalcam.jobs.local import Crew
from signalcam.jobs.progress import bar, lock_of
from signalcam.jobs.source import fingerprint_of, group_names, groups_of, reader_of


def drive(job: Job, *, progress: bool, log: str | os.PathLike[str] | None = None) -> Path:
    """Do what is not done yet, and tell of it; see ``Job.run``."""
    with logs.logged(log), logs.whole(job.path(job.output.path)):
        return _driven(job, progress=progress)


def _driven(job: Job, *, progress: bool) -> Path:
    place = job.path(job.output.path)
    reader = reader_of(job)
    names = group_names(groups_of(job, len(reader)))
    digest = job.digest(fingerprint_of(job, reader))
    with locked(place), Crew(job) as crew:
        archive = Archive.open(place) if os.path.lexists(place) else None
        if archive is None:
            identity, facts = crew.ask()
            about = {"digest": digest, "samples": len(reader), "job": job.model_dump(mode="json")}
            about |= {"folder": str(job.folder), "identity": identity, "facts": facts}
            archive = Archive(place, about | {"groups": aggregate.groups(about, names)})
            archive.make()
        _require_same(archive, digest)
        units = archive.pending()
        with bar(archive, shown=progress) as done:
            for unit, failed in logs.told(archive, units, crew.run(archive, units)):
                done(unit, failed)
        if units or not (place / "summary").is_dir():
            sum_up(archive)
    return place


def _require_same(archive: Archive, digest: str) -> None:
    if archive.about["digest"] != digest:
        message = f"{archive.place} holds another job, or this one with other data or settings. Give another output, or move it away; nothing was changed."
        raise StoreError(message)


def sum_up(archive: Archive) -> None:
    """Write the aggregates into the store, as the group ``summary``, whole or not at all."""
    import zarr  # noqa: PLC0415 - not needed to import this

    found = aggregate.summed(archive)
    new, place = archive.place / f".summary-{os.getpid()}", archive.place / "summary"
    with writing(archive.place):
        for left in archive.place.glob(".summary-*"):
            shutil.rmtree(left)
        group = zarr.create_group(new, zarr_format=3)
        for name, each in found.data_vars.items():
            group.create_array(str(name), data=each.values, dimension_names=tuple(map(str, each.dims)))  # fmt: skip
        label(group, {str(name): (texts(each.values), each.attrs) for name, each in found.coords.items()})  # fmt: skip
        consolidate(new)
        shutil.rmtree(place, ignore_errors=True)
        new.rename(place)
        consolidate(archive.place)


@contextmanager
def locked(place: Path) -> Iterator[None]:
    """Hold a store for one run; the lock goes with the process, however that ends.

    Raises:
        StoreError: Another run holds it, or nothing can be written there.
    """
    file = lock_of(place)
    with writing(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        held = _held(file)
    if held is None:
        message = f"another run is at work on {place}. Wait until it is done, or stop it; see: signalcam status {place}."
        raise StoreError(message)
    with held:
        try:
            yield
        finally:
            file.unlink()


def _held(file: Path) -> IO[str] | None:
    """Lock a file; tried for a second, as who only looks holds it for a moment, too."""
    for _ in range(10):
        opened = file.open("a")
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(opened.fileno()).st_ino == file.stat().st_ino:  # not one just taken away
                return opened
        except (BlockingIOError, FileNotFoundError):
            pass
        opened.close()
        time.sleep(0.1)
    return None
