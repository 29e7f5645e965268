"""From a job to its finished store: look at what is there, do the rest, sum up."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from signalcam.errors import StoreError
from signalcam.jobs import aggregate
from signalcam.jobs.archive import Archive, consolidate, label, texts, writing
from signalcam.jobs.crew import Crew, Hands
from signalcam.jobs.job import Job
from signalcam.jobs.local import Processes
from signalcam.jobs.locking import locked
from signalcam.jobs.progress import bar
from signalcam.jobs.rank import Rank, gpu
from signalcam.jobs.source import fingerprint_of, group_names, groups_of, reader_of


def drive(job: Job, *, progress: bool) -> Path:
    """Do what is not done yet; see ``Job.run``."""
    place = job.path(job.output.path)
    reader = reader_of(job)
    names = group_names(groups_of(job, len(reader)))
    digest = job.digest(fingerprint_of(job, reader))
    ranked = job.engine.name == "rank"
    rank = Rank.told(os.environ) if ranked else Rank()
    with locked(place, shared=ranked) as hold, Crew(job, _hands(job)) as crew:
        if rank.number:
            rank.wait_for(place)
        archive = Archive.open(place) if os.path.lexists(place) else None
        if archive is None:
            identity, facts = crew.ask()
            about = {"digest": digest, "samples": len(reader), "job": job.model_dump(mode="json")}
            about |= {"folder": str(job.folder), "identity": identity, "facts": facts}
            archive = Archive(place, about | {"groups": aggregate.groups(about, names)})
            archive.make()
        _require_same(archive, digest)
        units = rank.share(archive.pending())
        with bar(archive, shown=progress and not rank.number) as done:
            for unit, failed in crew.run(archive, units):
                done(unit, failed)
        if hold.alone and _lacks_sum(archive):
            sum_up(archive)
    return place


def _hands(job: Job) -> Hands:
    """The job's engine."""
    if job.engine.name == "ray":
        from signalcam.jobs.ray_actors import Actors  # noqa: PLC0415 - an extra

        return Actors(job)
    return Processes(job, gpu(os.environ) if job.engine.name == "rank" else {})


def _lacks_sum(archive: Archive) -> bool:
    """Whether all units are done, or given up, and some of them after they were summed up last."""
    committed, kept = archive.committed(), archive.place / "summary" / "zarr.json"
    latest = max((each.stat().st_mtime_ns for each in committed.values()), default=0)
    summed_at = kept.stat().st_mtime_ns if kept.exists() else -1
    return len(committed) == archive.units and summed_at < latest


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
