"""Which layers of a model can be explained, and what each of them sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from signalcam.backends.protocol import Inputs, Layer
from signalcam.batches import as_inputs
from signalcam.explain import Explainer
from signalcam.layout import Layout, as_layout


@dataclass(frozen=True)
class LayerInfo:
    """A layer that can be explained.

    Attributes:
        name: What ``layer=`` takes.
        kind: Its class.
        shape: ``(channel, *positions)`` of its output for one sample; empty without an example.
        stride: Input samples between neighbouring positions, for each axis; 0 where unknown.
        receptive_field: Input samples that one position sees, for each axis; 0 where unknown.
        seconds: ``(stride, receptive field)`` along time, where the layout has a sampling rate.
        gradient: How strongly the predicted class depends on it (root mean square).
    """

    name: str
    kind: str
    shape: tuple[int, ...] = ()
    stride: tuple[float, ...] = ()
    receptive_field: tuple[float, ...] = ()
    seconds: tuple[float, float] | None = None
    gradient: float | None = None


def layers(
    model: Any, example: Any = None, *, layout: Layout | str | Sequence[str] | None = None
) -> list[LayerInfo]:
    """List the layers a map can be drawn at, best first.

    Args:
        model: As for ``explain``.
        example: Inputs, batch first, of which the first samples are used. Without it the
            convolutions are listed by name alone, last first.
        layout: As for ``explain``.

    Returns:
        The layers the predicted class depends on, the last first, then the others.

    Example:
        >>> import signalcam as sc
        >>> [each.name for each in sc.layers(network, ecg)][:2]
        ['relu2', 'conv2']
    """
    explainer = Explainer(model, layout=layout)
    if example is None:
        found = explainer.backend.layers(model, None)
        return [LayerInfo(each.name, each.kind) for each in reversed(found)]
    if (signals := explainer.taken(example)) is not None:
        explainer, example = explainer.of(signals), signals.array
    given = as_inputs(example)
    found = explainer.listed(given)
    last_first = list(zip(found, explainer.felt(given, found), strict=True))[::-1] if found else []
    best_first = sorted(last_first, key=lambda each: each[1] == 0)
    return [_info(explainer, given, *each) for each in best_first]


def _info(explainer: Explainer, given: Inputs, layer: Layer, strength: float) -> LayerInfo:
    measured = explainer.measured(given, layer.name)
    along = [measured.get(i) for i in range(len(layer.shape) - 1)]
    layout = as_layout(explainer.layout)
    rate = layout.sampling_rate if layout else None
    timed = [axis for axis in along if axis and layout and layout.dims[axis.input_axis] == "time"]
    return LayerInfo(
        layer.name,
        layer.kind,
        layer.shape,
        tuple(axis.jump if axis else 0.0 for axis in along),
        tuple(axis.field if axis else 0.0 for axis in along),
        (timed[0].jump / rate, timed[0].field / rate) if timed and rate else None,
        strength,
    )
