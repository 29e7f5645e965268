"""What changes when data do: size and time of files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Stamp = tuple[int, int]  # of a file: size, and time of the last change


def stamp_of(path: str) -> Stamp:
    """Size and time of the last change of a file, or of all files of a folder."""
    place = Path(path)
    if not place.is_dir():
        status = place.stat()
        return status.st_size, status.st_mtime_ns
    inside = [one.stat() for one in place.rglob("*") if one.is_file()]
    return sum(one.st_size for one in inside), max((one.st_mtime_ns for one in inside), default=0)


def edition(path: str) -> tuple[Stamp, ...]:
    """Changes when what is kept of an opened file is out of date; of a folder only what describes it is looked at."""
    place = Path(path)
    about = [place / name for name in ("zarr.json", ".zarray", ".zgroup")] if place.is_dir() else []
    status = [one.stat() for one in (place, *about) if one == place or one.exists()]
    return tuple((one.st_size, one.st_mtime_ns) for one in status)


def stamp_if_exists(path: str) -> Stamp | None:
    """The same; ``None`` where there is no such file."""
    return stamp_of(path) if Path(path).exists() else None


def digest(parts: Iterable[Any]) -> str:
    """A short text that differs where any of the parts does."""
    sha = hashlib.sha256()
    for part in parts:
        sha.update(part if isinstance(part, bytes) else repr(part).encode())
        sha.update(b"\0")
    return sha.hexdigest()[:32]
