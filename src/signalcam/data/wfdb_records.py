"""The reader of WFDB records, PhysioNet's format: header, signal files and annotations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from signalcam.data import units
from signalcam.data.optional_imports import import_optional
from signalcam.data.windows import Record
from signalcam.inputs.layout import Layout


def open_wfdb(path: str, *, channels: Sequence[str] | None = None) -> Record:
    """Open a WFDB record in physical units; voltages are in mV.

    Args:
        path: The header file, ``.hea``.
        channels: Names of the channels to read, in this order; ``None`` reads all.
    """
    wfdb = import_optional("wfdb", "WFDB records")
    name = path[: -len(".hea")]
    first = wfdb.rdrecord(name, sampto=1, channel_names=channels)
    names = tuple(first.sig_name)
    factors, channel_units = units.common_unit(first.units, "mV")
    layout = Layout("batch channel time", float(first.fs), names, units.unit_of_text(channel_units))

    def read(start: int, stop: int) -> np.ndarray:
        record = wfdb.rdrecord(name, sampfrom=start, sampto=stop, channel_names=channels)
        return np.ascontiguousarray(record.p_signal.T * factors)

    def events(annotator: str) -> list[tuple[int, str]]:
        annotations = wfdb.rdann(name, annotator)
        return list(zip(map(int, annotations.sample), annotations.symbol, strict=True))

    return Record((len(names), int(wfdb.rdheader(name).sig_len)), layout, read, events)


def wfdb_files(path: str) -> list[str]:
    """List the files that a header refers to."""
    header: Any = import_optional("wfdb", "WFDB records").rdheader(path[: -len(".hea")])
    siblings = [each.name for each in Path(path).parent.glob(f"{Path(path).stem}.*")]
    return sorted(
        {str(Path(path).with_name(each)) for each in [*(getattr(header, "file_name", None) or ()), *siblings]}
    )
