"""Video by way of ffmpeg, which imageio-ffmpeg brings."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np

from signalcam.data.packages import needed
from signalcam.data.records import Record
from signalcam.layout import Layout

_WHITE = 255.0


def open_video(path: str, *, size: tuple[int, int] | None = None) -> Record:
    """Open a video: ``(channel, time, height, width)``, red, green, blue from 0 to 1.

    Args:
        path: The file.
        size: Height and width to bring it to; ``None`` leaves it as it is.
    """
    ffmpeg = needed("imageio_ffmpeg", "videos")
    about = next(ffmpeg.read_frames(path))
    height, width = size or about["size"][::-1]
    count, _ = ffmpeg.count_frames_and_secs(path)

    def frames() -> Iterator[bytes]:
        found = ffmpeg.read_frames(path, output_params=["-vf", f"scale={width}:{height}"])
        next(found)
        return iter(found)

    def read(start: int, stop: int) -> np.ndarray:
        film = np.frombuffer(b"".join(islice(frames(), start, stop)), dtype=np.uint8)
        return film.reshape(-1, height, width, 3).transpose(3, 0, 1, 2) / np.float32(_WHITE)

    layout = Layout("batch channel time height width", float(about["fps"]), ("red", "green", "blue"))  # fmt: skip
    return Record((3, int(count), height, width), layout, read)
