"""Fingerprints of files from size and modification time, and a hash of values."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Stamp = tuple[int, int]  # size and modification time of a file


def stamp_of(path: str) -> Stamp:
    """Size and modification time of a file, or of all files in a folder."""
    location = Path(path)
    if not location.is_dir():
        status = location.stat()
        return status.st_size, status.st_mtime_ns
    inside = [file.stat() for file in location.rglob("*") if file.is_file()]
    return sum(each.st_size for each in inside), max((each.st_mtime_ns for each in inside), default=0)


def read_edition(path: str) -> tuple[Stamp, ...]:
    """Stamps that change when a cached open file is out of date; of a folder only its metadata files."""
    location = Path(path)
    metadata = [location / name for name in ("zarr.json", ".zarray", ".zgroup")] if location.is_dir() else []
    status = [file.stat() for file in (location, *metadata) if file == location or file.exists()]
    return tuple((each.st_size, each.st_mtime_ns) for each in status)


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
