"""Running a job: open or create its store, run the pending units, write the summary."""

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
from signalcam.jobs.engine_ranks import Rank, visible_gpu
from signalcam.jobs.incremental import IncrementalMerge
from signalcam.jobs.locking import lock_store
from signalcam.jobs.progress import list_commits, progress_bar
from signalcam.jobs.scheduler import JobEngine, Scheduler
from signalcam.jobs.source import data_fingerprint, group_names, open_reader, read_groups
from signalcam.jobs.store import BLOCK, JobStore
from signalcam.jobs.store_layout import (
    as_text_array,
    consolidate_metadata,
    sync_to_disk,
    write_errors_as_text,
    write_labels,
)


def run_job(job: JobConfig, *, progress: bool, log: str | os.PathLike[str] | None = None) -> Path:
    """Run the pending units of a job with logging; see ``Job.run``."""
    with logs.log_to(log), logs.log_run(job.path(job.output.path)):
        return _run_units(job, progress=progress)


def _run_units(job: JobConfig, *, progress: bool) -> Path:
    place = job.path(job.output.path)
    reader = open_reader(job)
    names = group_names(read_groups(job, len(reader)))
    job = job.with_unit_size(_unit_size(job, place, len(reader)))
    digest = job.digest(data_fingerprint(job, reader))
    ranked = job.engine.name == "rank"
    rank = Rank.from_environment(os.environ) if ranked else Rank()
    with lock_store(place, shared=ranked) as hold, Scheduler(job, _make_engine(job)) as scheduler:
        if rank.number:
            rank.wait_for(place)
        archive = JobStore.open(place) if os.path.lexists(place) else None
        if archive is None:
            about = {"digest": digest, "samples": len(reader), "job": job.model_dump(mode="json")}
            archive = _create_store(place, about | {"folder": str(job.folder)}, scheduler, names)
        _require_same_job(archive, digest)
        units, merge = rank.share(archive.pending()), None if ranked else IncrementalMerge(archive)
        with progress_bar(archive, visible=progress and not rank.number) as done:
            for unit, failed in logs.log_units(archive, units, scheduler.run(archive, units)):
                done(unit, failed)
                if merge is not None:
                    merge.record_unit(unit, failed)
        if hold.is_last and _needs_summary(archive):
            IncrementalMerge(archive)  # merges what ranks left: each saw only its own units
            write_summary(archive)
    return place


def _create_store(place: Path, about_job: dict[str, Any], scheduler: Scheduler, names: Sequence[str]) -> JobStore:
    """Create the store from the model's identity and the facts of a first sample."""
    identity, facts = scheduler.probe()
    about = about_job | {"identity": identity, "facts": facts, "block": BLOCK}
    archive = JobStore(place, about | {"groups": aggregate.list_groups(about, names)})
    archive.make()
    return archive


def _make_engine(job: JobConfig) -> JobEngine:
    """Create the job's engine."""
    if job.engine.name == "ray":
        from signalcam.jobs.engine_ray import Actors  # noqa: PLC0415 - an extra

        return Actors(job)
    return Processes(job, visible_gpu(os.environ) if job.engine.name == "rank" else {})


def _unit_size(job: JobConfig, place: Path, samples: int) -> int:
    """Samples per unit: as the job says, as in an existing store, or by the number of samples."""
    if job.units.size is None and os.path.lexists(place):
        return JobStore.open(place).size
    return job.units.size_for(samples)


def _needs_summary(archive: JobStore) -> bool:
    """Whether every unit is done or given up, and some since the last summary."""
    file = archive.place / "summary" / "zarr.json"
    summed_at = file.stat().st_mtime if file.exists() else 0.0
    latest = max((when for when, *_ in list_commits(archive, set())), default=0.0)
    return len(archive.status()) == archive.units and summed_at < latest


def _require_same_job(archive: JobStore, digest: str) -> None:
    if archive.about["digest"] != digest:
        message = f"{archive.place} holds another job, or this one with other data or settings. Give another output, or move it away; nothing was changed."
        raise StoreError(message)


def write_summary(archive: JobStore) -> None:
    """Write the aggregates into the store as the group ``summary``, whole or not at all."""
    import zarr  # noqa: PLC0415 - not needed to import this

    dataset = aggregate.summarize_store(archive)
    temporary, place = archive.place / f".summary-{os.getpid()}", archive.place / "summary"
    with write_errors_as_text(archive.place):
        for leftover in archive.place.glob(".summary-*"):
            shutil.rmtree(leftover)
        group = zarr.create_group(temporary, zarr_format=3)
        for name, variable in dataset.data_vars.items():
            group.create_array(str(name), data=variable.values, dimension_names=tuple(map(str, variable.dims)))
        write_labels(
            group, {str(name): (as_text_array(each.values), each.attrs) for name, each in dataset.coords.items()}
        )
        consolidate_metadata(temporary)
        sync_to_disk([each for each in temporary.rglob("*") if each.is_file()])
        shutil.rmtree(place, ignore_errors=True)
        temporary.rename(place)
        consolidate_metadata(archive.place)
