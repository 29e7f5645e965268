"""The reader of sound files: WAV, FLAC, OGG, AIFF, MP3."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from signalcam.data.optional_imports import import_optional
from signalcam.data.windows import Record
from signalcam.errors import InputError
from signalcam.inputs.layout import Layout

_BYTE_ORDERS = {b"RIFF": "little", b"FORM": "big"}  # WAV and AIFF headers state the file's size in bytes
_UNKNOWN_SIZE = 2**31 - 1  # this size or more: written to a pipe, so the size was not known


def open_audio(path: str, *, mono: bool = False) -> Record:
    """Open a sound file; its full scale is from -1 to 1.

    Args:
        path: The file.
        mono: Take the mean of the channels.
    """
    soundfile = import_optional("soundfile", "sound files")
    _check_whole(path)
    about = soundfile.info(path)
    channels = 1 if mono else about.channels
    layout = Layout("batch channel time", float(about.samplerate))

    def read(start: int, stop: int) -> np.ndarray:
        sound, _ = soundfile.read(path, start=start, stop=stop, dtype="float32", always_2d=True)
        if len(sound) < stop - start:
            message = f"it ends after {start + len(sound)} of {about.frames} samples."
            raise EOFError(message)
        return np.ascontiguousarray(sound.mean(axis=1, keepdims=True).T if mono else sound.T)

    return Record((channels, int(about.frames)), layout, read)


def _check_whole(path: str) -> None:
    """Raise for a truncated file; libsndfile would read it as a shorter sound."""
    with Path(path).open("rb") as file:
        start = file.read(8)
    order: Any = _BYTE_ORDERS.get(start[:4])
    expected, size = int.from_bytes(start[4:], order or "big") + 8, Path(path).stat().st_size
    if order and size < expected < _UNKNOWN_SIZE:
        message = f"it ends after {size} of {expected} bytes."
        raise InputError(message)
