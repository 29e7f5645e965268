"""The reader of EDF, BDF and FIF recordings, and of FIF epochs, with MNE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from signalcam.data import units
from signalcam.data.collate import Entry, read_one_by_one, require_numbers
from signalcam.data.edf import read_header
from signalcam.data.file_stamp import Stamp, digest, read_edition, stamp_if_exists
from signalcam.data.optional_imports import import_optional
from signalcam.data.protocol import Batch
from signalcam.data.windows import Record
from signalcam.errors import InputError
from signalcam.inputs.layout import Layout

_LOG_LEVEL = "ERROR"  # MNE's log level
_FIFF_VOLTS = 107  # FIFF's code of the unit


def open_mne(path: str, *, channels: Sequence[str] | None = None) -> Record:
    """Open an EDF, BDF or FIF recording; voltages are in volts, other channels in the units of the file.

    Args:
        path: The file.
        channels: Names of the channels to read, in this order; ``None`` reads all.
    """
    io = import_optional("mne", "EDF, BDF and FIF files").io
    readers = {".edf": io.read_raw_edf, ".bdf": io.read_raw_bdf}
    reader = readers.get(path[-4:].lower())
    raw = (reader or io.read_raw_fif)(path, preload=False, verbose=_LOG_LEVEL)
    picked = _channel_indices(raw.ch_names, channels)
    layout = _layout(raw, picked)
    factors: Any = 1.0
    if reader:
        factors, channel_units = units.common_unit(
            [_channel_units(path, len(raw.ch_names))[each] for each in picked], "V"
        )
        layout = replace(layout, units=units.unit_of_text(channel_units))

    def events(name: str) -> list[tuple[int, str]]:
        if name != "annotations":
            message = f"it has no events {name!r}. Take around='annotations'."
            raise InputError(message)
        onsets = raw.time_as_index(raw.annotations.onset - _annotation_offset(raw), use_rounding=True)
        return list(zip(onsets.tolist(), map(str, raw.annotations.description), strict=True))

    def read(start: int, stop: int) -> Any:
        return raw.get_data(picked, start, stop, verbose=_LOG_LEVEL) * factors

    return Record((len(picked), int(raw.n_times)), layout, read, events)


def _channel_units(path: str, channels: int) -> tuple[str, ...]:
    """Units of an EDF or BDF file's channels; raise ``InputError`` for a truncated file."""
    about, size = read_header(path), Path(path).stat().st_size
    if size < about.size:
        message = f"it ends after {size} of {about.size} bytes."
        raise InputError(message)
    return about.units if len(about.units) == channels else ("",) * channels


def _annotation_offset(raw: Any) -> float:
    """Seconds to subtract from the onsets of dated annotations: the start of the recording."""
    return float(raw.first_time) if raw.info["meas_date"] and raw.annotations.orig_time else 0.0


def _channel_indices(names: Sequence[str], channels: Sequence[str] | None) -> list[int]:
    missing = [each for each in channels or () if each not in names]
    if missing:
        message = f"it has no channel {missing[0]!r}. It holds {', '.join(names)}."
        raise InputError(message)
    return [list(names).index(each) for each in channels or names]


def _layout(recording: Any, picked: Sequence[int]) -> Layout:
    info = recording.info
    volts = {int(info["chs"][each]["unit"]) for each in picked} == {_FIFF_VOLTS}
    names = [recording.ch_names[each] for each in picked]
    return Layout("batch channel time", float(info["sfreq"]), names, "V" if volts else None)


@dataclass(frozen=True)
class Epochs:
    """A reader of epochs written by MNE; events become labels.

    Args:
        path: The file, which ends with ``-epo.fif`` or ``_epo.fif``.
        channels: Names of the channels to read, in this order; ``None`` reads all.
    """

    path: str
    channels: Sequence[str] | None = None

    def __len__(self) -> int:
        return len(self._epochs)

    @property
    def _epochs(self) -> Any:
        return _read_epochs(self.path, read_edition(self.path))

    @property
    def layout(self) -> Layout:
        """Layout with channels and sampling rate."""
        return _layout(self._epochs, _channel_indices(self._epochs.ch_names, self.channels))

    @property
    def fingerprint(self) -> str:
        """Hash of the file's stamp and the channels."""
        return digest([stamp_if_exists(self.path), self.channels])

    def read(self, numbers: Sequence[int]) -> Batch:
        """Read epochs; see ``Reader``."""
        epochs = self._epochs
        picked = _channel_indices(epochs.ch_names, self.channels)
        labels = {code: name for name, code in epochs.event_id.items()}

        def entry(number: int) -> Entry:
            array = epochs.get_data(picks=picked, item=[number], verbose=_LOG_LEVEL)[0]
            return array, labels.get(int(epochs.events[number, 2])), int(epochs.selection[number])

        return read_one_by_one(require_numbers(numbers, len(self)), entry, self.layout)


@lru_cache(maxsize=16)
def _read_epochs(path: str, _edition: tuple[Stamp, ...]) -> Any:
    mne = import_optional("mne", "EDF, BDF and FIF files")
    return mne.read_epochs(path, preload=False, verbose=_LOG_LEVEL)
