"""Where a layer's positions lie in the input: measured once for each model, layer and shape."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal
from weakref import WeakKeyDictionary

import numpy as np

from signalcam.align import Axis, Pick, Probe, evenly, measure, placed
from signalcam.backends.protocol import Backend, Inputs
from signalcam.batches import samples_in
from signalcam.errors import CamWarning
from signalcam.layout import DUMMY, Layout

PROBED_SAMPLES = 2  # two real samples with noise on top keep every path of a network alive
_remembered: WeakKeyDictionary[Any, dict[Any, dict[int, Axis]]] = WeakKeyDictionary()

Alignment = Literal["receptive-field", "resize"]


def candidates(layout: Layout | None, ndim: int, channel_axis: int) -> list[int]:
    """Axes of the input that may carry positions, the channel axis last.

    Args:
        layout: Names of the axes, if the user gave them.
        ndim: How many axes the input has, batch included.
        channel_axis: Where the framework has the channels, if nothing else is known.
    """
    dims = list(layout.dims) if layout else [""] * ndim
    if layout is None:
        dims[channel_axis] = "channel"
    axes = [axis for axis in range(1, ndim) if dims[axis] not in DUMMY]
    return sorted(axes, key=lambda axis: dims[axis] == "channel")


def grid(
    measured: dict[int, Axis],
    cells: Sequence[int],
    input_shape: Sequence[int],
    axes: Sequence[int],
    align: Alignment,
    layer: str,
) -> dict[int, Axis]:
    """Give each axis of a layer its place along an axis of the input.

    Args:
        measured: What ``measured_axes`` found.
        cells: The layer's positions.
        input_shape: Of the explained array, batch included.
        axes: From ``candidates``.
        align: ``"resize"`` keeps which axis is which and spreads the positions evenly.
        layer: Its name, for messages.
    """
    found = placed(cells, measured, input_shape, axes, layer)
    if align == "resize":
        return {i: evenly(axis.input_axis, axis.cells, axis.length) for i, axis in found.items()}
    return found


def warn_of_spread(
    found: Sequence[Sequence[dict[int, Axis]]], layers: Sequence[str], align: Alignment
) -> None:
    """Warn, once for each layer, where its place in the input had to be guessed.

    Args:
        found: For samples of each shape, and each layer, where its positions lie.
        layers: Their names.
        align: What was asked for.
    """
    for layer, grids in zip(layers, zip(*found, strict=True), strict=True):
        axes = [axis for each in grids for axis in each.values()]
        if align != "resize" and any(not each.probed and each.cells > 1 for each in axes):
            message = (
                f"where layer {layer!r} looks could not be measured (each position sees the whole input, "
                "or the input is no floating-point signal); its positions are spread evenly over the "
                "input. Pass align='resize' to do so without this warning."
            )
            warnings.warn(message, CamWarning, stacklevel=4)


def measured_axes(
    backend: Backend, model: Any, inputs: Inputs, layer: str, axes: Sequence[int]
) -> dict[int, Axis]:
    """Measure where a layer looks; remembered for as long as the model lives."""
    array = inputs.explained
    known = _remembered.setdefault(model, {})
    key = (layer, inputs.path, tuple(array.shape[1:]), tuple(axes))
    if key not in known:
        real = "float" in getattr(array.dtype, "name", str(array.dtype))
        lengths = [array.shape[axis] for axis in axes]
        known[key] = measure(_probe(backend, model, inputs, layer), axes, lengths) if real else {}
    return known[key]


def _probe(backend: Backend, model: Any, inputs: Inputs, layer: str) -> Probe:
    """See which inputs a layer's positions depend on, at any input length."""
    count = samples_in(inputs)
    rows = [i % count for i in range(PROBED_SAMPLES)]
    few = inputs.map(lambda array: array[rows] if array.shape[0] == count else array)
    x = np.nan_to_num(backend.numpy(few.explained), posinf=0, neginf=0).astype(np.float32)
    noise = 0.5 * (float(x.std()) or 1.0)

    def probe(longer: dict[int, int], pick: Pick) -> tuple[Any, Any, np.ndarray]:
        wide = x
        for axis, length in longer.items():
            wide = wide.take(np.arange(length) % x.shape[axis], axis=axis)
        rng = np.random.default_rng(0)
        wide = wide + noise * rng.standard_normal(wide.shape, dtype=np.float32)
        reach = backend.reach(model, few.with_explained(wide), layer, pick)
        return reach.shape, reach.picked, reach.support

    return probe
