"""``open``: a reader from a file, a folder, a pattern, a list or a manifest."""

from __future__ import annotations

import csv
import glob
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any, TypeAlias

from signalcam.data.collate import NotFinite, describe_error
from signalcam.data.concat import Concatenation, UnreadableFile, require_samples
from signalcam.data.formats import Format, describe_formats, find, format_of
from signalcam.data.protocol import Batch, Reader
from signalcam.data.windows import Item, RecordFile, WindowOptions, Windows
from signalcam.errors import InputError, MissingExtra
from signalcam.inputs.layout import Layout, as_layout

Where: TypeAlias = str | PathLike[str]
_COLUMNS = ("path", "label", "name", "begin", "end")  # of a manifest


def open(  # noqa: A001 - a public name, called as sc.data.open
    path: Where | Sequence[Where],
    *,
    format: str | None = None,  # noqa: A002 - the word users know
    windows: Windows | float | None = None,
    layout: Layout | str | Sequence[str] | None = None,
    nan: NotFinite = "report",
    **options: Any,
) -> Reader:
    """Open files as a reader; samples are read when needed.

    Args:
        path: A file, a pattern with ``*``, or a list of files. Or a folder with files of one format, labelled by their
            subfolders if these differ. Or a manifest: a CSV file with the column ``path`` and optionally ``label``,
            ``name``, ``begin`` and ``end`` (in seconds, or in samples without a sampling rate).
        format: Name of the file format; ``None`` decides by suffix.
        windows: Cut records into windows of this length, or as ``Windows`` says.
        layout: Axes of the samples, batch first, with rate, channel names and units. It completes what the files say,
            and they must agree with it. ``None`` takes the layout of the first file.
        nan: ``"report"`` lists samples with NaN or infinite values as failed; ``"keep"`` keeps them.
        options: Options of the file format; see ``docs/read-your-data.md``.

    Returns:
        A reader. A file that cannot be read is a failed sample with its reason.

    Raises:
        InputError: A file does not exist or has an unknown format, or an option is unknown.
        MissingExtra: The package that reads such files is not installed.

    Example:
        >>> import numpy as np
        >>> np.save("beats.npy", np.zeros((20, 2, 200), dtype="float32"))
        >>> reader = sc.data.open("beats.npy")
        >>> len(reader), reader.read(range(3)).inputs.shape
        (20, (3, 2, 200))
    """
    if nan not in ("report", "keep"):
        message = f"nan is {nan!r}; expected 'report' or 'keep'."
        raise InputError(message)
    items, single = _list_items(path, format)
    kind = _common_format(items, format)
    kind.check(options)
    cut = windows if isinstance(windows, Windows | None) else Windows(windows)
    axes = as_layout(layout)
    if kind.many and (cut or single):
        options = _single_option(kind, axes) | options
    settings = WindowOptions(kind.open, options, cut, axes, kind.files)
    has_many = kind.many and not options.get("single")
    parts = tuple(_open_many(item, settings) if has_many else RecordFile(item, settings) for item in items)
    reader = Concatenation(parts, axes, tuple(item.path for item in items), nan)
    _require_readable(items, settings, parts)
    return require_samples(reader, str(path))


def _single_option(kind: Format, layout: Layout | None) -> dict[str, Any]:
    """Option that reads a file of rows as one record."""
    if "single" not in kind.options:
        message = f"{kind.name} files hold many samples each, which cannot be cut into windows or listed one by one in a manifest. Open them by path alone."
        raise InputError(message)
    return {"single": layout or True}


def _require_readable(items: Sequence[Item], settings: WindowOptions, parts: Sequence[Reader]) -> None:
    """Raise at once if no file can be read."""
    broken = [each.reason for each in parts if isinstance(each, UnreadableFile)]
    if len(items) == 1 and not broken:
        try:
            settings.open_file(items[0].path)
        except (MissingExtra, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - broken files raise anything
            broken = [describe_error(error)]
    if len(broken) == len(parts):
        message = f"{items[0].path} could not be read: {broken[0]}"
        raise InputError(message)


@dataclass(frozen=True)
class _ManySamplesFile:
    """A reader of a file with many samples; each process opens the file itself."""

    item: Item
    settings: WindowOptions

    def __len__(self) -> int:
        return len(self._reader)

    @property
    def _reader(self) -> Reader:
        reader: Reader = self.settings.open_file(self.item.path)
        return reader

    @property
    def layout(self) -> Layout | None:
        return self._reader.layout

    @property
    def fingerprint(self) -> str:
        return self.settings.fingerprint(self.item.path)

    def read(self, numbers: Sequence[int]) -> Batch:
        return self._reader.read(numbers)


def _open_many(item: Item, settings: WindowOptions) -> Reader:
    """Open a file of many samples; if it cannot be read, return a failed sample."""
    try:
        len(settings.open_file(item.path))
    except (MissingExtra, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - broken files raise anything; the reason becomes a failed sample
        return UnreadableFile(item.path, describe_error(error))
    return _ManySamplesFile(item, settings)


# --- which files --------------------------------------------------------------------------------------


def _list_items(path: Where | Sequence[Where], format: str | None) -> tuple[list[Item], bool]:  # noqa: A002 - as `open` has it
    """List the files of a path, and whether each is one sample, as in a manifest."""
    if not isinstance(path, str | PathLike):
        return _list_paths(path), False
    location = Path(fspath(path))
    if _is_folder(location, format):
        return _list_folder(location, format), False
    if location.exists():
        return (_read_manifest(location), True) if _is_manifest(location) else ([_make_item(location)], False)
    matches = sorted(glob.glob(str(location), recursive=True))  # noqa: PTH207 - patterns may be absolute
    if not matches:
        message = f"nothing found at {str(location)!r}. Check the path; patterns look like 'folder/**/*.wav'."
        raise InputError(message)
    return [_make_item(Path(each)) for each in matches], False


def _list_paths(paths: Any) -> list[Item]:
    """List the files of a list of paths."""
    files = list(paths) if isinstance(paths, Sequence) else []
    if not files or not all(isinstance(each, str | PathLike) for each in files):
        message = f"path is {paths!r}; expected a path, or a list of at least one. For samples in memory use sc.data.of(samples)."
        raise InputError(message)
    return [_make_item(Path(each)) for each in files]


def _is_folder(path: Path, format: str | None) -> bool:  # noqa: A002 - as `open` has it
    """Whether a path is a folder of files; a Zarr folder counts as a file."""
    return path.is_dir() and format != "zarr" and (format is not None or format_of(path) is None)


def _make_item(path: Path) -> Item:
    return Item(str(path), _stem(path))


def _stem(path: Path) -> str:
    """File name without the suffix of its format."""
    kind = format_of(path)
    suffix = next((each for each in kind.suffixes if path.name.lower().endswith(each)), "") if kind else ""
    return path.name[: -len(suffix or path.suffix) or None]


def _list_folder(folder: Path, format: str | None) -> list[Item]:  # noqa: A002 - as `open` has it
    """List the files of a folder, named by relative path and labelled by subfolder."""
    kind = find(format) if format else None
    files = [
        file
        for file in _files_inside(folder)
        if kind is None or any(file.name.lower().endswith(suffix) for suffix in kind.suffixes)
    ]
    if not files:
        message = f"folder {str(folder)!r} holds no {format or 'file that can be read'}. {describe_formats()}"
        raise InputError(message)
    relative_paths = [each.relative_to(folder) for each in files]
    labelled = len({each.parts[0] for each in relative_paths if len(each.parts) > 1}) > 1 and all(
        len(inner.parts) > 1 for inner in relative_paths
    )
    return [
        Item(str(file), relative.with_name(_stem(relative)).as_posix(), relative.parts[0] if labelled else None)
        for file, relative in zip(files, relative_paths, strict=True)
    ]


def _files_inside(folder: Path) -> Iterator[Path]:
    """Yield files of a known format, recursively and sorted; a Zarr folder is one file."""
    for entry in sorted(folder.iterdir()):
        if format_of(entry):
            yield entry
        elif entry.is_dir():
            yield from _files_inside(entry)


def _common_format(items: Sequence[Item], format: str | None) -> Format:  # noqa: A002 - as `open` has it
    """Find the one format of all files."""
    if format is not None:
        return find(format)
    kinds = Counter(format_of(Path(each.path)) for each in items)
    if None in kinds:
        unknown = next(each.path for each in items if format_of(Path(each.path)) is None)
        message = f"{unknown!r} has no known format. {describe_formats()}"
        raise InputError(message)
    if len(kinds) > 1:
        counts_text = " and ".join(f"{count} {each.name}" for each, count in kinds.most_common() if each)
        message = f"the files have several formats: {counts_text}. Choose one with format='...', or a pattern such as '*.wav'."
        raise InputError(message)
    return next(each for each in kinds if each)


# --- a manifest ---------------------------------------------------------------------------------------


def _is_manifest(path: Path) -> bool:
    if path.suffix.lower() != ".csv" or path.is_dir():
        return False
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        return "path" in next(csv.reader(file), ())


def _read_manifest(path: Path) -> list[Item]:
    """List the files of a manifest, with paths relative to it."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
        columns = [each for each in (rows[0] if rows else {}) if each]
    if unknown := [each for each in columns if each not in _COLUMNS]:
        message = (
            f"manifest {str(path)!r} has a column {unknown[0]!r}; expected {', '.join(_COLUMNS)}. Leave others out."
        )
        raise InputError(message)
    if not rows:
        message = f"manifest {str(path)!r} names no files."
        raise InputError(message)
    return [_parse_line(path, number, row) for number, row in enumerate(rows, start=2)]


def _parse_line(manifest: Path, number: int, row: Mapping[str, str]) -> Item:
    file = row["path"] or ""
    if not file:
        message = f"line {number} of manifest {str(manifest)!r} names no path."
        raise InputError(message)
    item = _make_item(manifest.parent / file)
    begin, end = (_parse_seconds(manifest, number, row, name) for name in ("begin", "end"))
    return replace(item, name=row.get("name") or item.name, label=_parse_label(row.get("label")), begin=begin, end=end)


def _parse_label(text: str | None) -> int | str | None:
    """Parse a class: a whole number, with or without ``.0``, or a name."""
    number = (text or "").removesuffix(".0")
    return int(number) if number.isdecimal() else text or None


def _parse_seconds(manifest: Path, number: int, row: Mapping[str, str], name: str) -> float | None:
    try:
        return float(row[name]) if row.get(name) else None
    except ValueError as error:
        message = f"line {number} of manifest {str(manifest)!r} has {name} {row[name]!r}; expected a number."
        raise InputError(message) from error
