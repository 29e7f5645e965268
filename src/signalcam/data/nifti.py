"""The reader of NIfTI volumes, with nibabel."""

from __future__ import annotations

import numpy as np

from signalcam.data.optional_imports import import_optional
from signalcam.data.windows import Record
from signalcam.errors import LayoutError
from signalcam.inputs.layout import Layout

_SPACE = ("depth", "height", "width")
_SECONDS = {"sec": 1.0, "msec": 1e3, "usec": 1e6}  # of each unit per second


def open_nifti(path: str) -> Record:
    """Open a NIfTI volume in stored orientation, with axes depth, height and width.

    Args:
        path: The file. With a fourth axis it is ``(channel, time, depth, height, width)``.
    """
    nibabel = import_optional("nibabel", "NIfTI volumes")
    image = nibabel.load(path)
    shape = tuple(image.shape)
    if len(shape) not in (3, 4):
        message = f"it has shape {shape}; expected three axes, or four with time."
        raise LayoutError(message)
    space, clock = image.header.get_xyzt_units()
    steps = [float(each) for each in image.header.get_zooms()]
    units = dict.fromkeys(_SPACE, space) if space != "unknown" else None
    spacing = dict(zip(_SPACE, steps, strict=False)) if all(step > 0 for step in steps[:3]) else None
    timed = len(shape) == 4
    rate = _SECONDS[clock] / steps[3] if timed and clock in _SECONDS and steps[3] > 0 else None
    dims = ("batch", "channel", "time", *_SPACE) if timed else ("batch", "channel", *_SPACE)
    layout = Layout(dims, rate, spacing=spacing, axis_units=units if spacing else None)

    def read(start: int, stop: int) -> np.ndarray:
        if not timed:
            return np.asarray(image.dataobj, dtype=np.float32)[None]
        return np.moveaxis(np.asarray(image.dataobj[..., start:stop], dtype=np.float32), -1, 0)[None]

    return Record((1, *shape[3:], *shape[:3]), layout, read)
