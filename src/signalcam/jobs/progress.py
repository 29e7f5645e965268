"""Progress of a job: ``status``, commit times, and the progress bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from signalcam.errors import StoreError
from signalcam.jobs.locking import is_locked
from signalcam.jobs.store import QUARANTINED, JobStore

_RECENT_UNITS = 100  # units that say how fast a job is


@dataclass(frozen=True)
class Status:
    """Progress of a job.

    Attributes:
        samples: Number of samples in the job.
        done: Number of committed samples, whether explained or recorded as failed.
        failed: How many of these could not be explained; the store says why.
        quarantined: Number of samples in units given up; another run tries them again.
        running: Whether a run is at work.
        per_second: Samples committed per second, lately; 0 if unknown.
        seconds_left: Seconds until all are done at that rate; ``None`` if unknown.
    """

    samples: int
    done: int
    failed: int
    quarantined: int
    running: bool
    per_second: float
    seconds_left: float | None

    def __str__(self) -> str:
        parts = [f"{self.done} of {self.samples} samples done ({self.done / self.samples:.1%})"]
        parts += [f"{self.failed} failed"] if self.failed else []
        parts += [f"{self.quarantined} quarantined"] if self.quarantined else []
        parts += [f"{self.per_second:.4g} a second"] if self.per_second else []
        parts += [f"{_format_seconds(self.seconds_left)} to go"] if self.seconds_left and self.running else []
        return "; ".join([*parts, "running" if self.running else "not running"])


def status(store: str | PathLike[str]) -> Status:
    """Read the progress of a job from its store.

    Args:
        store: The job's output.

    Raises:
        StoreError: The path holds no job's store.

    Example:
        >>> from signalcam.jobs import status
        >>> status("nothing.zarr")
        Traceback (most recent call last):
        signalcam.errors.StoreError: there is no store at nothing.zarr. Give the output of a job.
    """
    place = Path(store)
    if not place.exists():
        message = f"there is no store at {place}. Give the output of a job."
        raise StoreError(message)
    archive = JobStore.open(place)
    failures = archive.status()
    given_up = {unit for unit, failed in failures.items() if failed == QUARANTINED}
    done = archive.count(failures.keys() - given_up)
    quarantined = archive.count(given_up)
    pace = _recent_pace(archive, given_up)
    left = archive.samples - done - quarantined
    return Status(
        samples=archive.samples,
        done=done,
        failed=sum(failed for failed in failures.values() if failed != QUARANTINED),
        quarantined=quarantined,
        running=is_locked(place),
        per_second=pace,
        seconds_left=left / pace if pace else None,
    )


def _recent_pace(archive: JobStore, given_up: set[int]) -> float:
    """Samples per second between the first and the last of the latest commits."""
    latest: list[tuple[float, int]] = []
    for when, _, units in sorted(list_commits(archive, given_up), reverse=True):
        latest.append((when, archive.count(units)))
        if len(latest) > 1 and (len(latest) > _RECENT_UNITS or len(units) > 1):
            break
    return _samples_a_second(latest)


def list_commits(archive: JobStore, given_up: set[int]) -> Iterator[tuple[float, int, range]]:
    """Yield commit time, first unit and units, for each unit and each merged block."""
    files = [(file, range(unit, unit + 1)) for unit, file in archive.committed().items() if unit not in given_up]
    files += [(archive.status_of(each), archive.units_of(each)) for each in range(archive.blocks)]
    for file, units in files:
        with suppress(FileNotFoundError):  # merged into its block since, or not yet
            yield file.stat().st_mtime, units.start, units


def _samples_a_second(latest: list[tuple[float, int]]) -> float:
    """Samples per second from ``(time, samples)``, latest first; the earliest commit only starts the clock."""
    span = latest[0][0] - latest[-1][0] if latest else 0.0
    return sum(samples for _, samples in latest[:-1]) / span if span > 0 else 0.0


def _format_seconds(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


@contextmanager
def progress_bar(archive: JobStore, *, visible: bool) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar over samples; yield the function to call for each finished unit."""
    from tqdm import tqdm  # noqa: PLC0415 - not needed to look at a status

    before = status(archive.place)
    counts = {"failed": before.failed, "quarantined": 0}
    with tqdm(total=before.samples, initial=before.done, unit="sample", disable=None if visible else True) as line:

        def done(unit: int, failed: int) -> None:
            samples = len(archive.rows(unit))
            if failed == QUARANTINED:
                counts["quarantined"] += samples
            else:
                counts["failed"] += failed
                line.update(samples)
            line.set_postfix({name: each for name, each in counts.items() if each})

        yield done
