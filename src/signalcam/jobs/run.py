"""From a job to its finished store: look at what is there, do the rest, sum up."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from signalcam.errors import StoreError
from signalcam.jobs import aggregate, logs
from signalcam.jobs.config import JobConfig
from signalcam.jobs.engine_local import Processes
from signalcam.jobs.engine_ranks import Rank, gpu
from signalcam.jobs.incremental import IncrementalMerge
from signalcam.jobs.locking import lock_store
from signalcam.jobs.progress import bar, commits
from signalcam.jobs.scheduler import JobEngine, Scheduler
from signalcam.jobs.source import fingerprint_of, group_names, groups_of, reader_of
from signalcam.jobs.store import BLOCK, JobStore, consolidate, label, on_disk, texts, writing


def drive(job: JobConfig, *, progress: bool, log: str | os.PathLike[str] | None = None) -> Path:
    """Do what is not done yet, and tell of it; see ``Job.run``."""
    with logs.log_to(log), logs.whole(job.path(job.output.path)):
        return _driven(job, progress=progress)


def _driven(job: JobConfig, *, progress: bool) -> Path:
    place = job.path(job.output.path)
    reader = reader_of(job)
    names = group_names(groups_of(job, len(reader)))
    job = job.sized(_size(job, place, len(reader)))
    digest = job.digest(fingerprint_of(job, reader))
    ranked = job.engine.name == "rank"
    rank = Rank.told(os.environ) if ranked else Rank()
    with lock_store(place, shared=ranked) as hold, Scheduler(job, _hands(job)) as crew:
        if rank.number:
            rank.wait_for(place)
        archive = JobStore.open(place) if os.path.lexists(place) else None
        if archive is None:
            about = {"digest": digest, "samples": len(reader), "job": job.model_dump(mode="json")}
            archive = _made(place, about | {"folder": str(job.folder)}, crew, names)
        _require_same(archive, digest)
        units, rolling = rank.share(archive.pending()), None if ranked else IncrementalMerge(archive)
        with bar(archive, shown=progress and not rank.number) as done:
            for unit, failed in logs.told(archive, units, crew.run(archive, units)):
                done(unit, failed)
                if rolling is not None:
                    rolling.done(unit, failed)
        if hold.alone and _lacks_sum(archive):
            IncrementalMerge(archive)  # what ranks left, each of which saw only its own units
            write_summary(archive)
    return place


def _made(place: Path, known: dict[str, Any], crew: Scheduler, names: Sequence[str]) -> JobStore:
    """Make the store, with what a first sample says of all."""
    identity, facts = crew.ask()
    about = known | {"identity": identity, "facts": facts, "block": BLOCK}
    archive = JobStore(place, about | {"groups": aggregate.groups(about, names)})
    archive.make()
    return archive


def _hands(job: JobConfig) -> JobEngine:
    """The job's engine."""
    if job.engine.name == "ray":
        from signalcam.jobs.engine_ray import Actors  # noqa: PLC0415 - an extra

        return Actors(job)
    return Processes(job, gpu(os.environ) if job.engine.name == "rank" else {})


def _size(job: JobConfig, place: Path, samples: int) -> int:
    """How large units are: as asked, as in the store that there is, or as suits the number of samples."""
    if job.units.size is None and os.path.lexists(place):
        return JobStore.open(place).size
    return job.units.size_for(samples)


def _lacks_sum(archive: JobStore) -> bool:
    """Whether all units are done, or given up, and some of them after they were summed up last."""
    kept = archive.place / "summary" / "zarr.json"
    summed_at = kept.stat().st_mtime if kept.exists() else 0.0
    latest = max((when for when, *_ in commits(archive, set())), default=0.0)
    return len(archive.status()) == archive.units and summed_at < latest


def _require_same(archive: JobStore, digest: str) -> None:
    if archive.about["digest"] != digest:
        message = f"{archive.place} holds another job, or this one with other data or settings. Give another output, or move it away; nothing was changed."
        raise StoreError(message)


def write_summary(archive: JobStore) -> None:
    """Write the aggregates into the store, as the group ``summary``, whole or not at all."""
    import zarr  # noqa: PLC0415 - not needed to import this

    found = aggregate.summarize_store(archive)
    new, place = archive.place / f".summary-{os.getpid()}", archive.place / "summary"
    with writing(archive.place):
        for left in archive.place.glob(".summary-*"):
            shutil.rmtree(left)
        group = zarr.create_group(new, zarr_format=3)
        for name, each in found.data_vars.items():
            group.create_array(str(name), data=each.values, dimension_names=tuple(map(str, each.dims)))
        label(group, {str(name): (texts(each.values), each.attrs) for name, each in found.coords.items()})
        consolidate(new)
        on_disk([each for each in new.rglob("*") if each.is_file()])
        shutil.rmtree(place, ignore_errors=True)
        new.rename(place)
        consolidate(archive.place)
