"""The reader of videos, with the ffmpeg of imageio-ffmpeg."""

from __future__ import annotations

from contextlib import closing
from itertools import islice

import numpy as np

from signalcam.data.optional_imports import import_optional
from signalcam.data.windows import Record
from signalcam.inputs.layout import Layout

_WHITE = 255.0


def open_video(path: str, *, size: tuple[int, int] | None = None) -> Record:
    """Open a video: ``(channel, time, height, width)``, red, green, blue from 0 to 1.

    Args:
        path: The file.
        size: Height and width to resize to; ``None`` keeps the size.
    """
    ffmpeg, pillow = import_optional("imageio_ffmpeg", "videos"), import_optional("PIL.Image", "videos")
    with closing(ffmpeg.read_frames(path)) as film:
        about = next(film)
    count, _ = ffmpeg.count_frames_and_secs(path)
    width, height = about["size"]
    shape = size or (height, width)

    def frame(pixels: bytes) -> np.ndarray:
        return np.asarray(pillow.frombytes("RGB", (width, height), pixels).resize(shape[::-1]))

    def read(start: int, stop: int) -> np.ndarray:
        with closing(ffmpeg.read_frames(path)) as film:
            # the first item describes the film
            frames = np.stack([frame(each) for each in islice(film, start + 1, stop + 1)])
        return frames.transpose(3, 0, 1, 2) / np.float32(_WHITE)

    layout = Layout("batch channel time height width", float(about["fps"]), ("red", "green", "blue"))
    return Record((3, int(count), *shape), layout, read)
