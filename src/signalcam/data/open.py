"""From a path, a folder, a pattern or a manifest to a reader."""

from __future__ import annotations

import csv
import glob
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any, TypeAlias

from signalcam.data.collate import NotFinite, reason
from signalcam.data.concat import Concatenation, UnreadableFile, check_some
from signalcam.data.formats import Format, find, format_of, known
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
    """Open files to be read sample by sample when needed.

    Args:
        path: A file; a folder, all files of one kind in it, labelled by the folders they lie in, if these
            differ; a pattern with ``*``; a list of files; or a manifest: a CSV file with the columns ``path`` and, as
            you like, ``label``, ``name``, ``begin`` and ``end`` (in seconds where there is a sampling rate).
        format: What kind of files these are; ``None`` goes by their suffix.
        windows: Cut records into pieces of this length, or as ``BeatWindows`` says.
        layout: The axes of the samples, batch first, with rate, channel names and units: it tells what the files
            do not, and what they must agree with. ``None`` takes the first file's word.
        nan: ``"report"`` leaves out, and tells, samples with NaN or infinite values; ``"keep"`` keeps them.
        options: Of the kind of files; see ``docs/read-your-data.md``.

    Returns:
        A reader. A file that cannot be read is a sample that fails with its reason, and stops nothing.

    Raises:
        InputError: There is no such file, or it is of no known kind; an option is unknown.
        MissingExtra: What reads such files is not installed.

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
    items, single = _items(path, format)
    kind = _kind(items, format)
    kind.check(options)
    cut = windows if isinstance(windows, Windows | None) else Windows(windows)
    said = as_layout(layout)
    if kind.many and (cut or single):
        options = _as_record(kind, said) | options
    how = WindowOptions(kind.open, options, cut, said, kind.files)
    many = kind.many and not options.get("single")
    parts = tuple(_many(item, how) if many else RecordFile(item, how) for item in items)
    reader = Concatenation(parts, said, tuple(item.path for item in items), nan)
    _check_any(items, how, parts)
    return check_some(reader, str(path))


def _as_record(kind: Format, layout: Layout | None) -> dict[str, Any]:
    """What makes a file of rows a file of one record."""
    if "single" not in kind.options:
        message = f"{kind.name} files hold many samples each, which cannot be cut into windows or listed one by one in a manifest. Open them by path alone."
        raise InputError(message)
    return {"single": layout or True}


def _check_any(items: Sequence[Item], how: WindowOptions, parts: Sequence[Reader]) -> None:
    """Raise at once where nothing can be read: the only file, or every file of many samples."""
    broken = [each.reason for each in parts if isinstance(each, UnreadableFile)]
    if len(items) == 1 and not broken:
        try:
            how.opened(items[0].path)
        except (MissingExtra, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - files break in any way
            broken = [reason(error)]
    if len(broken) == len(parts):
        message = f"{items[0].path} could not be read: {broken[0]}"
        raise InputError(message)


@dataclass(frozen=True)
class _Rows:
    """A reader of a file with many samples, opened by each process for itself."""

    item: Item
    how: WindowOptions

    def __len__(self) -> int:
        return len(self._own)

    @property
    def _own(self) -> Reader:
        found: Reader = self.how.opened(self.item.path)
        return found

    @property
    def layout(self) -> Layout | None:
        return self._own.layout

    @property
    def fingerprint(self) -> str:
        return self.how.fingerprint(self.item.path)

    def read(self, numbers: Sequence[int]) -> Batch:
        return self._own.read(numbers)


def _many(item: Item, how: WindowOptions) -> Reader:
    """A file of many samples, or the reason why it is none."""
    try:
        len(how.opened(item.path))
    except (MissingExtra, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - files break in any way; this one is told by its number
        return UnreadableFile(item.path, reason(error))
    return _Rows(item, how)


# --- which files --------------------------------------------------------------------------------------


def _items(path: Where | Sequence[Where], format: str | None) -> tuple[list[Item], bool]:  # noqa: A002 - as `open` has it
    """The files meant, and whether each of them is one sample."""
    if not isinstance(path, str | PathLike):
        return _each(path), False
    given = Path(fspath(path))
    if _is_folder(given, format):
        return _in_folder(given, format), False
    if given.exists():
        return (_listed(given), True) if _is_manifest(given) else ([_item(given)], False)
    found = sorted(glob.glob(str(given), recursive=True))  # noqa: PTH207 - patterns may be absolute
    if not found:
        message = f"nothing lies at {str(given)!r}. Check the path; patterns look like 'folder/**/*.wav'."
        raise InputError(message)
    return [_item(Path(each)) for each in found], False


def _each(paths: Any) -> list[Item]:
    """The files of a list."""
    listed = list(paths) if isinstance(paths, Sequence) else []
    if not listed or not all(isinstance(each, str | PathLike) for each in listed):
        message = f"path is {paths!r}; expected a path, or a list of at least one. What is in memory is read by sc.data.of(samples)."
        raise InputError(message)
    return [_item(Path(each)) for each in listed]


def _is_folder(path: Path, format: str | None) -> bool:  # noqa: A002 - as `open` has it
    """Whether a path is a folder of files; some folders, such as Zarr's, are files themselves."""
    return path.is_dir() and format != "zarr" and (format is not None or format_of(path) is None)


def _item(path: Path) -> Item:
    return Item(str(path), _stem(path))


def _stem(path: Path) -> str:
    """The name of a file without what says of which kind it is."""
    kind = format_of(path)
    suffix = next((each for each in kind.suffixes if path.name.lower().endswith(each)), "") if kind else ""
    return path.name[: -len(suffix or path.suffix) or None]


def _in_folder(folder: Path, format: str | None) -> list[Item]:  # noqa: A002 - as `open` has it
    """All files of one kind, named by where they lie, labelled by the folder they are in."""
    wanted = find(format) if format else None
    found = [
        each
        for each in _inside(folder)
        if wanted is None or any(each.name.lower().endswith(suffix) for suffix in wanted.suffixes)
    ]
    if not found:
        message = f"folder {str(folder)!r} holds no {format or 'file that can be read'}. {known()}"
        raise InputError(message)
    places = [each.relative_to(folder) for each in found]
    labelled = len({each.parts[0] for each in places if len(each.parts) > 1}) > 1 and all(
        len(each.parts) > 1 for each in places
    )
    return [
        Item(str(each), place.with_name(_stem(place)).as_posix(), place.parts[0] if labelled else None)
        for each, place in zip(found, places, strict=True)
    ]


def _inside(folder: Path) -> Iterator[Path]:
    """Files of a known kind, in the order of their names; a Zarr folder is one."""
    for each in sorted(folder.iterdir()):
        if format_of(each):
            yield each
        elif each.is_dir():
            yield from _inside(each)


def _kind(items: Sequence[Item], format: str | None) -> Format:  # noqa: A002 - as `open` has it
    """The one kind of all files."""
    if format is not None:
        return find(format)
    found = Counter(format_of(Path(each.path)) for each in items)
    if None in found:
        which = next(each.path for each in items if format_of(Path(each.path)) is None)
        message = f"{which!r} is of no known kind. {known()}"
        raise InputError(message)
    if len(found) > 1:
        told = " and ".join(f"{count} {each.name}" for each, count in found.most_common() if each)
        message = f"the files are of several kinds: {told}. Say which to read with format='...', or a pattern such as '*.wav'."
        raise InputError(message)
    return next(each for each in found if each)


# --- a manifest ---------------------------------------------------------------------------------------


def _is_manifest(path: Path) -> bool:
    if path.suffix.lower() != ".csv" or path.is_dir():
        return False
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        return "path" in next(csv.reader(file), ())


def _listed(path: Path) -> list[Item]:
    """The files that a manifest names, from where it lies."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
        columns = [each for each in (rows[0] if rows else {}) if each]
    if wrong := [each for each in columns if each not in _COLUMNS]:
        message = f"manifest {str(path)!r} has a column {wrong[0]!r}; expected {', '.join(_COLUMNS)}. Leave others out."
        raise InputError(message)
    if not rows:
        message = f"manifest {str(path)!r} names no files."
        raise InputError(message)
    return [_line(path, number, row) for number, row in enumerate(rows, start=2)]


def _line(manifest: Path, number: int, row: Mapping[str, str]) -> Item:
    file = row["path"] or ""
    if not file:
        message = f"line {number} of manifest {str(manifest)!r} names no path."
        raise InputError(message)
    own = _item(manifest.parent / file)
    begin, end = (_seconds(manifest, number, row, name) for name in ("begin", "end"))
    return replace(own, name=row.get("name") or own.name, label=_label(row.get("label")), begin=begin, end=end)


def _label(text: str | None) -> int | str | None:
    """A class by its number, with or without a decimal point, or by its name."""
    number = (text or "").removesuffix(".0")
    return int(number) if number.isdecimal() else text or None


def _seconds(manifest: Path, number: int, row: Mapping[str, str], name: str) -> float | None:
    try:
        return float(row[name]) if row.get(name) else None
    except ValueError as error:
        message = f"line {number} of manifest {str(manifest)!r} has {name} {row[name]!r}; expected a number."
        raise InputError(message) from error
