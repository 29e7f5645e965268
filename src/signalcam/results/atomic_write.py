"""Here you find how a file or folder is written whole or not at all."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def write_whole(path: Path, prefix: str = ".saving-") -> Iterator[Path]:
    """Yield a path to write to; on success move what is there to ``path``.

    The new file or folder is written next to its place, since only a move within one disk is atomic. What is there
    already is replaced: a file by a file, a folder by a folder. An old folder is put back if the move fails.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=path.parent) as folder:
        new = Path(folder) / f"new{path.suffix}"
        yield new
        if new.is_dir() and path.exists():
            _replace_folder(new, path, Path(folder) / "old")
        else:
            new.replace(path)


def _replace_folder(new: Path, path: Path, old: Path) -> None:
    path.replace(old)
    try:
        new.replace(path)
    except BaseException:
        old.replace(path)
        raise
