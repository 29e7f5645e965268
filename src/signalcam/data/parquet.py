"""The reader of Parquet and Arrow tables: one row a sample, with lists of numbers as cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from signalcam.data.array_files import Names
from signalcam.data.collate import Entry, read_one_by_one, require_numbers
from signalcam.data.file_stamp import Stamp, digest, read_edition, stamp_if_exists
from signalcam.data.optional_imports import import_optional
from signalcam.data.protocol import Batch
from signalcam.errors import InputError
from signalcam.inputs.layout import Layout


@dataclass(frozen=True)
class ParquetTable:
    """A reader of a table.

    Args:
        path: The file.
        inputs: Columns of the samples; several columns are stacked as channels.
        labels: Column of the true classes.
        names: Column of the names.
    """

    path: str
    inputs: tuple[str, ...]
    labels: str | None
    names: str | None

    def __len__(self) -> int:
        return int(_open_groups(self.path, read_edition(self.path)).ends[-1])

    @property
    def layout(self) -> Layout | None:
        """Layout with columns as channels, if there are several."""
        return Layout("batch channel time", channel_names=self.inputs) if len(self.inputs) > 1 else None

    @property
    def fingerprint(self) -> str:
        """Hash of the file's stamp and the columns."""
        return digest([stamp_if_exists(self.path), self.inputs, self.labels, self.names])

    def read(self, numbers: Sequence[int]) -> Batch:
        """Read rows; the last row groups are cached. See ``Reader``."""
        return read_one_by_one(require_numbers(numbers, len(self)), self._entry, self.layout)

    def _entry(self, number: int) -> Entry:
        groups = _open_groups(self.path, read_edition(self.path))
        group = int(np.searchsorted(groups.ends, number, side="right"))
        rest = tuple(name for name in (self.labels, self.names) if name)
        table = _read_group(self.path, read_edition(self.path), group, (*self.inputs, *rest))
        row = number - int(groups.ends[group - 1] if group else 0)
        cells = [_cell_to_array(table.column(name)[row], name) for name in self.inputs]
        label, name = (table.column(each)[row].as_py() if each else None for each in (self.labels, self.names))
        return cells[0] if len(cells) == 1 else _stack_channels(cells), label, name


@dataclass(frozen=True)
class _RowGroups:
    """Ends of the row groups, and a function that reads one."""

    ends: np.ndarray
    columns: Sequence[str]
    read: Callable[[int, Sequence[str]], Any]


def open_parquet(
    path: str, *, inputs: str | Sequence[str] | None = None, labels: Names = None, names: Names = None
) -> ParquetTable:
    """Open a Parquet or Arrow file.

    Args:
        path: The file.
        inputs: Column of the samples, or columns of their channels; ``None`` takes the only column of lists.
        labels: Column of the true classes.
        names: Column of the names.
    """
    columns = _open_groups(path, read_edition(path)).columns
    columns_asked = (inputs,) if isinstance(inputs, str) else tuple(inputs or _list_columns(path))
    for name in (*columns_asked, labels, names):
        if name is not None and name not in columns:
            message = f"it has no column {name!r}. It holds {', '.join(map(repr, columns))}."
            raise InputError(message)
    usual = [
        next((each for each in those if each in columns), None) for those in (("label", "labels", "y"), ("name", "id"))
    ]
    return ParquetTable(path, columns_asked, labels or usual[0], names or usual[1])


def _list_columns(path: str) -> tuple[str, ...]:
    """Name of the only column of lists."""
    groups = _open_groups(path, read_edition(path))
    arrow = import_optional("pyarrow", "Parquet and Arrow files")
    kinds = groups.read(0, groups.columns).schema if len(groups.ends) else ()
    names = tuple(
        field.name
        for field in kinds
        if arrow.types.is_nested(field.type) or isinstance(field.type, arrow.BaseExtensionType)
    )
    if len(names) != 1:
        message = f"which of the columns {', '.join(map(repr, names or groups.columns))} holds the samples is not known. Name it with inputs='...'."
        raise InputError(message)
    return names


@lru_cache(maxsize=16)
def _open_groups(path: str, _edition: tuple[Stamp, ...]) -> _RowGroups:
    arrow = import_optional("pyarrow", "Parquet and Arrow files")
    if path.lower().endswith((".arrow", ".feather")):
        file = import_optional("pyarrow.ipc", "Arrow files").open_file(arrow.memory_map(path))
        batches = [file.get_batch(each) for each in range(file.num_record_batches)]
        ends = np.cumsum([each.num_rows for each in batches])
        return _RowGroups(ends, file.schema.names, lambda group, names: batches[group].select(list(names)))
    stored = import_optional("pyarrow.parquet", "Parquet files").ParquetFile(path)
    sizes = [stored.metadata.row_group(each).num_rows for each in range(stored.num_row_groups)]
    return _RowGroups(
        np.cumsum(sizes),
        stored.schema_arrow.names,
        lambda group, names: stored.read_row_group(group, columns=list(names)),
    )


@lru_cache(maxsize=2)
def _read_group(path: str, of: tuple[Stamp, ...], group: int, columns: tuple[str, ...]) -> Any:
    return _open_groups(path, of).read(group, columns)


def _cell_to_array(cell: Any, name: str) -> np.ndarray:
    """Convert a cell to an array."""
    if not cell.is_valid:
        message = f"its cell in column {name!r} is empty."
        raise InputError(message)
    if hasattr(cell, "to_numpy"):  # a tensor of fixed shape
        return np.asarray(cell.to_numpy())
    return _values_to_array(cell.values) if hasattr(cell, "values") else np.asarray(cell.as_py())


def _values_to_array(values: Any) -> np.ndarray:
    """Convert numbers, or nested lists of them, to an array; missing values become NaN."""
    if hasattr(values, "flatten") and hasattr(values.type, "value_type"):
        return _stack_channels([_values_to_array(each.values) for each in values])
    return np.asarray(values.to_numpy(zero_copy_only=False))


def _stack_channels(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Stack the channels of one sample."""
    if len({each.shape for each in arrays}) != 1:
        message = f"its channels are of unequal length: {', '.join(str(each.size) for each in arrays[:6])}."
        raise InputError(message)
    return np.stack(arrays)
