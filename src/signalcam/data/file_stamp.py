"""Fingerprints of files from size and modification time, and a hash of values."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Stamp = tuple[int, int]  # size and modification time of a file


def stamp_of(path: str) -> Stamp:
    """Size and modification time of a file, or of all files in a folder."""
    place = Path(path)
    if not place.is_dir():
        status = place.stat()
        return status.st_size, status.st_mtime_ns
    inside = [one.stat() for one in place.rglob("*") if one.is_file()]
    return sum(one.st_size for one in inside), max((one.st_mtime_ns for one in inside), default=0)


def edition(path: str) -> tuple[Stamp, ...]:
    """Stamps that change when a cached open file is out of date; of a folder only its metadata files."""
    place = Path(path)
    about = [place / name for name in ("zarr.json", ".zarray", ".zgroup")] if place.is_dir() else []
    status = [one.stat() for one in (place, *about) if one == place or one.exists()]
    return tuple((one.st_size, one.st_mtime_ns) for one in status)


def stamp_if_exists(path: str) -> Stamp | None:
    """Stamp of a file or folder; ``None`` if it does not exist."""
    return stamp_of(path) if Path(path).exists() else None


def digest(parts: Iterable[Any]) -> str:
    """Hash values into a short text."""
    sha = hashlib.sha256()
    for part in parts:
        sha.update(part if isinstance(part, bytes) else repr(part).encode())
        sha.update(b"\0")
    return sha.hexdigest()[:32]
