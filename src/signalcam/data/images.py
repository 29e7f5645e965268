"""Images by way of Pillow."""

from __future__ import annotations

import numpy as np

from signalcam.data.packages import needed
from signalcam.data.records import Record
from signalcam.layout import Layout

_WHITE = 255.0  # of eight bits


def open_image(path: str, *, mode: str = "RGB", size: tuple[int, int] | None = None) -> Record:
    """Open an image; values of eight bits are brought to 0 .. 1.

    Args:
        path: The file.
        mode: Pillow's name of how it is read: ``"RGB"``, ``"L"`` for grey, ``"F"``, ``"I;16"``.
        size: Height and width to bring it to; ``None`` leaves it as it is.
    """
    pillow = needed("PIL.Image", "images")

    def read(_start: int, _stop: int) -> np.ndarray:
        with pillow.open(path) as file:
            image = file if file.mode == mode else file.convert(mode)
            if size is not None:
                image = image.resize(size[::-1], pillow.Resampling.BILINEAR)
            pixels = np.asarray(image)
        scaled = pixels / np.float32(_WHITE) if pixels.dtype == np.uint8 else pixels
        return scaled[..., None] if scaled.ndim == 2 else scaled

    with pillow.open(path) as file:
        height, width = size or file.size[::-1]
    names = tuple(pillow.new(mode, (1, 1)).getbands())
    layout = Layout("batch height width channel", channel_names=names)
    return Record((height, width, len(names)), layout, read)
