"""Logging of a job: events for Python's ``logging`` and, on request, a file with one JSON object a line."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from signalcam.errors import CamError, CamWarning, StoreError
from signalcam.jobs.progress import status
from signalcam.jobs.store import QUARANTINED, JobStore

_log = logging.getLogger("signalcam.jobs")
_log.addHandler(logging.NullHandler())  # no output without a handler
_PATH_VARIABLE = "SIGNALCAM_JOB_LOG"  # names the log file for the processes of a run
_MOST_FAILURES = 1000  # failed samples of a run that are logged one by one
_RECORD_FIELDS = set(vars(logging.makeLogRecord({}))) | {"message", "asctime"}  # attributes of every record


class JsonLines(logging.Formatter):
    """Format a log record as one JSON object: time (UTC), event, level, message, process and numbers.

    Example:
        >>> import logging
        >>> handler = logging.StreamHandler()
        >>> handler.setFormatter(JsonLines())
        >>> logging.getLogger("signalcam").addHandler(handler)
        >>> logging.getLogger("signalcam").removeHandler(handler)
    """

    def format(self, record: logging.LogRecord) -> str:
        """Format a record as one line, without a newline."""
        fields = {name: each for name, each in vars(record).items() if name not in _RECORD_FIELDS}
        kind = "warning" if record.levelno >= logging.WARNING else "note"
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "event": fields.pop("event", kind),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            "pid": record.process,
        }
        return json.dumps(entry | fields, default=str)


class JsonLinesFile(logging.Handler):
    """Append each record to a file by a single write, so that several processes may share it."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__()
        self.path = Path(path).absolute()
        self.trouble = ""
        self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self.setFormatter(JsonLines())

    def emit(self, record: logging.LogRecord) -> None:
        """Append a line; stop after the first one that fails."""
        line = f"{self.format(record)}\n".encode()
        if self.trouble:
            return
        try:
            complete = os.write(self._file, line) == len(line)
            self.trouble = "" if complete else "no room for a whole line"
        except OSError as error:
            self.trouble = error.strerror or str(error)

    def close(self) -> None:
        """Close the file."""
        super().close()
        os.close(self._file)


class _RootForwarder(logging.Handler):
    """Pass on to the root's handlers the records that they would have received anyway."""

    def emit(self, record: logging.LogRecord) -> None:
        root = logging.getLogger()
        if root.handlers:
            root.handle(record)


@contextmanager
def log_to(path: str | os.PathLike[str] | None) -> Iterator[None]:
    """Also append log records to a file inside the block; ``None`` writes none."""
    if path is None:
        yield
        return
    try:
        lines = JsonLinesFile(path)
    except OSError as error:
        message = (
            f"the log {path} cannot be written ({error.strerror}). Name a file in an existing folder; nothing was done."
        )
        raise StoreError(message) from error
    try:
        with _with_handler(lines):
            yield
    finally:
        lines.close()
    if lines.trouble:
        message = f"the log {path} is not complete ({lines.trouble}); the job itself is."
        warnings.warn(message, CamWarning, stacklevel=3)


LogEntries = list[tuple[int, str, dict[str, Any]]]
"""Level, message and extra fields of records logged in another process."""


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.told: LogEntries = []

    def emit(self, record: logging.LogRecord) -> None:
        fields = {name: each for name, each in vars(record).items() if name not in _RECORD_FIELDS}
        self.told.append((record.levelno, record.getMessage(), {"pid": record.process, **fields}))


@contextmanager
def collect_logs() -> Iterator[LogEntries]:
    """Collect the records logged inside the block, for ``replay_logs`` in the driver."""
    keeper = _Collector()
    with _with_handler(keeper):
        yield keeper.told


def replay_logs(entries: LogEntries) -> None:
    """Log again what another process collected."""
    for level, message, fields in entries:
        _log.log(level, "%s", message, extra=fields)


@contextmanager
def _with_handler(lines: logging.Handler) -> Iterator[None]:
    """Send all records from INFO on to a handler; other handlers receive no more than before."""
    logger = logging.getLogger("signalcam")
    level, propagate, above = logger.level, logger.propagate, _RootForwarder(logger.getEffectiveLevel())
    handlers: list[logging.Handler] = [lines]
    if not logger.isEnabledFor(logging.INFO):
        handlers += [above] if propagate else []
        logger.setLevel(logging.INFO)
        logger.propagate = False
    for handler in handlers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for handler in handlers:
            logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate


def log_environment() -> dict[str, str]:
    """Environment by which a worker process finds the log file of its run."""
    files = [each.path for each in logging.getLogger("signalcam").handlers if isinstance(each, JsonLinesFile)]
    return {_PATH_VARIABLE: str(files[-1])} if files else {}


def log_path_from_environment() -> str | None:
    """Path of the log file of the run that this process belongs to, if any."""
    return os.environ.get(_PATH_VARIABLE)


# --- events ------------------------------------------------------------------------------------------


def log_event(event: str, message: str = "", level: int = logging.INFO, **numbers: Any) -> None:
    """Log an event of one or two words, with a message where there is more to say, and numbers as fields."""
    _log.log(level, "%s", message or event, extra={"event": event, **numbers})


@contextmanager
def log_run(place: Path) -> Iterator[None]:
    """Log when a run begins and how it ends."""
    began = time.monotonic()
    log_event("begun", store=str(place))
    try:
        yield
    except KeyboardInterrupt:
        log_event("interrupted", **_progress_counts(place), seconds=_seconds_since(began))
        raise
    except BaseException as error:
        log_event(
            "stopped",
            reason=f"{type(error).__name__}: {error}",
            **_progress_counts(place),
            seconds=_seconds_since(began),
        )
        raise
    log_event("done", **_progress_counts(place), seconds=_seconds_since(began))


def _seconds_since(began: float) -> float:
    return round(time.monotonic() - began, 3)


def _progress_counts(place: Path) -> dict[str, Any]:
    """Progress of a job as numbers; empty if INFO is not logged or there is no store."""
    if not _log.isEnabledFor(logging.INFO):
        return {}
    try:
        progress = asdict(status(place))
    except CamError:
        return {}
    return {name: progress[name] for name in ("samples", "done", "failed", "quarantined")}


def log_units(archive: JobStore, units: Sequence[int], results: Iterator[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Log and yield each finished unit, with its number of failed samples or ``QUARANTINED``."""
    began, left = time.monotonic(), _MOST_FAILURES
    if len(units) < archive.units:
        log_event("resumed", units=archive.units, units_left=len(units), **_progress_counts(archive.place))
    for unit, failed in results:
        rows = archive.rows(unit)
        about: dict[str, Any] = {
            "unit": unit,
            "first": rows.start,
            "samples": len(rows),
            "seconds": _seconds_since(began),
        }
        if failed == QUARANTINED:
            log_event("quarantined", "a unit was given up; the next run tries it again", logging.WARNING, **about)
        else:
            log_event("unit done", **about, failed=failed)
            left = _log_failures(archive, rows, left) if failed else left
        yield unit, failed


def _log_failures(archive: JobStore, rows: range, left: int) -> int:
    """Log why samples failed; return how many more may be logged."""
    if left <= 0 or not _log.isEnabledFor(logging.INFO):
        return left
    reasons = [str(each) for each in archive.group["failed"][rows.start : rows.stop]]
    failed = [(number, why) for number, why in zip(rows, reasons, strict=True) if why]
    for number, why in failed[:left]:
        log_event("sample failed", sample=number, reason=why)
    if len(failed) >= left:
        log_event("note", f"{_MOST_FAILURES} failed samples are listed; the store tells why for all, as failed")
    return left - len(failed)


def log_start(process: subprocess.Popen[bytes]) -> None:
    """Log that a process was started."""
    log_event("process started", pid=process.pid)


def log_end(process: subprocess.Popen[bytes], why: str) -> None:
    """Log that a process died by itself, or why it is killed now."""
    code = process.poll()
    if code is None:
        log_event("process ended", pid=process.pid, how=why)
    else:
        log_event("process ended", "a process died", logging.WARNING, pid=process.pid, how=_describe_exit(code))


def _describe_exit(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
