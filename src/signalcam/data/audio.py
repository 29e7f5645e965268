"""Sound: WAV, FLAC, OGG, AIFF, MP3."""

from __future__ import annotations

import numpy as np

from signalcam.data.packages import needed
from signalcam.data.records import Record
from signalcam.layout import Layout


def open_audio(path: str, *, mono: bool = False) -> Record:
    """Open a sound file; its full scale is from -1 to 1.

    Args:
        path: The file.
        mono: Take the mean of the channels.
    """
    soundfile = needed("soundfile", "sound files")
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
