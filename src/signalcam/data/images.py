"""The reader of images, with Pillow."""

from __future__ import annotations

from typing import Any

import numpy as np

from signalcam.data.optional_imports import import_optional
from signalcam.data.windows import Record
from signalcam.errors import InputError
from signalcam.inputs.layout import Layout

_WHITE, _DEEP_WHITE = 255.0, 65535.0  # largest value of 8 bits, and of 16
_DEEP = ("I", "F")  # first letters of Pillow's modes with more than 8 bits


def open_image(path: str, *, mode: str = "RGB", size: tuple[int, int] | None = None) -> Record:
    """Open an image; values of 8 bits, and of 16 in one channel, are scaled to 0 .. 1.

    Args:
        path: The file.
        mode: Pillow's mode: ``"RGB"``, ``"L"`` for grey, ``"F"``, ``"I;16"``.
        size: Height and width to resize to; ``None`` keeps the size.
    """
    pillow = import_optional("PIL.Image", "images")

    def read(_start: int, _stop: int) -> np.ndarray:
        with pillow.open(path) as file:
            image = _convert_mode(pillow, file, mode)
            if size is not None:
                image = image.resize(size[::-1], pillow.Resampling.BILINEAR)
            pixels = np.asarray(image)
        scaled = pixels / np.float32(_WHITE) if pixels.dtype == np.uint8 else pixels
        layers = scaled[..., None] if scaled.ndim == 2 else scaled
        return np.repeat(layers, len(names) // layers.shape[-1], axis=-1)

    with pillow.open(path) as file:
        height, width = size or file.size[::-1]
    names = tuple(pillow.new(mode, (1, 1)).getbands())
    layout = Layout("batch height width channel", channel_names=names)
    return Record((height, width, len(names)), layout, read)


def _convert_mode(pillow: Any, file: Any, mode: str) -> Any:
    """Convert an image to a mode; Pillow alone would clip values of more than 8 bits."""
    if file.mode == mode:
        return file
    if not file.mode.startswith(_DEEP) or mode.startswith(_DEEP):
        return file.convert(mode)
    if file.mode.startswith("I;16") and mode in ("L", "RGB"):
        return pillow.fromarray(np.asarray(file, np.float32) / np.float32(_DEEP_WHITE))
    message = f"its values have more than eight bits (Pillow's mode {file.mode!r}), too many for mode {mode!r}. Open with mode='F', which keeps them."
    raise InputError(message)
