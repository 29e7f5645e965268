"""The reader of CSV and TSV files with one signal each: rows are time, columns are channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from signalcam.data.optional_imports import import_optional
from signalcam.data.windows import Record
from signalcam.errors import InputError
from signalcam.inputs.layout import Layout

_CLOCKS = ("time", "t", "seconds", "time_s", "time (s)", "timestamp")


def open_csv(
    path: str,
    *,
    channels: Sequence[str] | None = None,
    time: str | None = None,
    delimiter: str | None = None,
    header: bool | None = None,
) -> Record:
    """Open a CSV or TSV file.

    Args:
        path: The file.
        channels: Columns of the signal; ``None`` takes all but the time column.
        time: Column with the seconds, which gives the rate; ``None`` looks for the usual names.
        delimiter: Separator of cells; ``None`` takes a tab for ``.tsv`` and a comma otherwise.
        header: Whether the first line holds column names. ``False`` numbers the columns from 0. ``None`` raises if the
            first line holds numbers.
    """
    delimiter = delimiter or ("\t" if path.lower().endswith(".tsv") else ",")
    frame = _read_table(path, delimiter, header, channels)
    columns = {str(name): name for name in frame.columns}
    clock = time or next((name for name in columns if name.lower() in _CLOCKS), None)
    names = tuple(channels or (name for name in columns if name != clock))
    for name in (*names, *([clock] if clock else [])):
        if name not in columns:
            message = f"it has no column {name!r}. It holds {', '.join(columns)}."
            raise InputError(message)
        if frame[columns[name]].dtype.kind not in "fiub":
            message = (
                f"its column {name!r} holds values that are no numbers. Name the columns to take with channels=[...]."
            )
            raise InputError(message)
    values = frame[[columns[name] for name in names]].to_numpy().T
    rate = _sampling_rate(frame[columns[clock]].to_numpy()) if clock else None
    return Record(values.shape, Layout("batch channel time", rate, names), lambda start, stop: values[:, start:stop])


def _read_table(path: str, delimiter: str, header: bool | None, channels: Sequence[str] | None) -> Any:  # noqa: FBT001 - as `open_csv` got it
    """Read all cells; raise if the first line may be data or the columns have no names."""
    pandas = import_optional("pandas", "CSV files")
    # without a header: with fewer names than cells pandas would take the first column as an index
    first = pandas.read_csv(path, sep=delimiter, header=None, nrows=2, dtype=str, keep_default_na=False).iloc[0]
    if header is None and all(map(_is_number, first)):
        message = f"its first line, {', '.join(first[:4])}, holds numbers where the names of the columns are expected. Write these above it, or open with header=False (header=True, if it holds names)."
        raise InputError(message)
    if header is not False and channels is None and "" in map(str.strip, first):
        message = "one of its columns has no name, as the index that pandas writes. Leave that out (index=False), or name the columns to take with channels=[...]."
        raise InputError(message)
    return pandas.read_csv(path, sep=delimiter, header=None if header is False else 0)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _sampling_rate(seconds: np.ndarray) -> float:
    """Sampling rate from a column of seconds, rounded if it is nearly whole."""
    steps = np.diff(seconds.astype(float))
    if not len(steps) or not steps.mean() > 0 or np.ptp(steps) > 0.01 * steps.mean():
        message = "its clock does not go up in even steps. Resample it, or name the columns to take with channels=[...] and time='...'."
        raise InputError(message)
    rate = float(1 / steps.mean())
    return float(round(rate)) if abs(rate - round(rate)) < 1e-3 * rate else rate
