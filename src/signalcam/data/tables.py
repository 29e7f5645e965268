"""CSV and TSV files that hold one signal each: rows are time, columns are channels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from signalcam.data.packages import needed
from signalcam.data.records import Record
from signalcam.errors import InputError
from signalcam.layout import Layout

_CLOCKS = ("time", "t", "seconds", "time_s", "time (s)", "timestamp")


def open_csv(path: str, *, channels: Sequence[str] | None = None, time: str | None = None, delimiter: str | None = None) -> Record:  # fmt: skip
    """Open a CSV or TSV file with a line of names.

    Args:
        path: The file.
        channels: The columns of the signal; ``None`` takes all but the clock.
        time: The column with the seconds, from which the rate is known; ``None`` looks for the usual names.
        delimiter: Between cells; ``None`` takes a tab for ``.tsv`` and a comma else.
    """
    pandas = needed("pandas", "CSV files")
    frame = pandas.read_csv(path, sep=delimiter or ("\t" if path.lower().endswith(".tsv") else ","))
    columns = {str(name): name for name in frame.columns}
    clock = time or next((name for name in columns if name.lower() in _CLOCKS), None)
    names = tuple(channels or (name for name in columns if name != clock))
    for name in (*names, *([clock] if clock else [])):
        if name not in columns:
            message = f"it has no column {name!r}. It holds {', '.join(columns)}."
            raise InputError(message)
        if frame[columns[name]].dtype.kind not in "fiub":
            message = f"its column {name!r} holds what is no number. Name the columns to take with channels=[...]."
            raise InputError(message)
    values = frame[[columns[name] for name in names]].to_numpy().T
    rate = _rate(frame[columns[clock]].to_numpy()) if clock else None
    return Record(values.shape, Layout("batch channel time", rate, names), lambda start, stop: values[:, start:stop])  # fmt: skip


def _rate(seconds: np.ndarray) -> float:
    """Samples a second."""
    steps = np.diff(seconds.astype(float))
    if not len(steps) or not steps.mean() > 0 or np.ptp(steps) > 0.01 * steps.mean():
        message = "its clock does not go up in even steps. Resample it, or name the columns to take with channels=[...] and time='...'."
        raise InputError(message)
    rate = float(1 / steps.mean())
    return float(round(rate)) if abs(rate - round(rate)) < 1e-3 * rate else rate
