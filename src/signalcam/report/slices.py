"""Slices of pictures and volumes with their heat, for served pages."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from signalcam.alignment.resampling import resample, sample_at
from signalcam.report.quantize import _quantize_range, read_picture
from signalcam.report.summary import kind_of, layer_rows
from signalcam.results.explanation import Explanation


@dataclass(frozen=True)
class Slice:
    """A slice of one sample.

    Attributes:
        picture: ``(planes, up, across)``, 0 to 255 from the sample's lowest to its highest value; 1 plane is
            grey, 3 are red, green and blue.
        heat: ``(up, across)``, the map.
        strongest: Largest magnitude of the map in all slices.
        at: The slice that holds it; 0 for a picture.
    """

    picture: np.ndarray
    heat: np.ndarray
    strongest: float
    at: int


def cut_slice(exp: Explanation, sample: int, target: int, method: int, layer: int, at: int = -1) -> Slice:
    """Cut one slice out of a sample, given by numbers; a negative ``at`` takes the strongest slice."""
    single = exp.isel(sample=sample, target=target, cam=method, layer=layer)
    _, dims = kind_of(exp)
    values, axes = layer_rows(single, single.layers[0], dims)
    cells = values[0, 0, 0, 0]
    pixels, *_ = _quantize_range(read_picture(single, dims), np.uint8, 0, 255)
    size = np.where(np.isfinite(cells), np.abs(cells), 0)
    if len(dims) == 2:
        return Slice(pixels, resample(cells, axes), float(size.max()), 0)
    deep = axes[0]
    peak = int(size.reshape(len(size), -1).max(axis=1).argmax())
    strongest = int(np.clip(np.rint(deep.start + deep.jump * peak), 0, deep.length - 1))
    position = min(strongest if at < 0 else at, deep.length - 1)
    heat = sample_at(np.moveaxis(cells, 0, -1), deep, np.asarray([position]))[..., 0]
    return Slice(pixels[:, position], resample(heat, axes[1:]), float(size.max()), strongest)
