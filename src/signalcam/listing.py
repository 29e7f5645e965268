"""Which layers of a model can be explained, and what each of them sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from signalcam.align import Axis
from signalcam.backends.protocol import Layer
from signalcam.batches import as_inputs
from signalcam.choosing import strengths
from signalcam.explain import Explainer
from signalcam.layout import Layout
from signalcam.placing import PROBED_SAMPLES
from signalcam.tokens import Tokens


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
    model: Any, example: Any = None, *,
    layout: Layout | str | Sequence[str] | None = None, of: Any = None, extra: Mapping[str, Any] | None = None,
    tokens: Tokens | int | None = None,
) -> list[LayerInfo]:  # fmt: skip
    """List the layers a map can be drawn at, best first.

    Args:
        model: As for ``explain``.
        example: Inputs, batch first, of which the first samples are used. Without it the
            convolutions are listed by name alone, last first.
        layout: As for ``explain``.
        of: As for ``explain``: strides and receptive fields are those in this input.
        extra: As for ``explain``.
        tokens: As for ``explain``.

    Returns:
        The layers the predicted class depends on, the last first, then the others.

    Example:
        >>> import signalcam as sc
        >>> [each.name for each in sc.layers(network, ecg)][:2]
        ['relu2', 'conv2']
    """
    explainer = Explainer(model, layout=layout, of=of, tokens=tokens)
    backend = explainer.backend
    if example is None:
        return [LayerInfo(each.name, each.kind) for each in reversed(backend.layers(model, None))]
    if (signals := explainer.taken(example)) is not None:
        explainer, example = explainer.told_by(signals), signals.array
    here = explainer.drawn(as_inputs(example, of, extra))
    rows = here.samples.alike()[0][:PROBED_SAMPLES]
    few = here.samples.group(rows).inputs
    found, asked = backend.layers(model, few), explainer.running.ask(rows)
    felt = strengths(backend, model, few, found, asked) if found else []
    last_first = list(zip(found, felt, strict=True))[::-1]
    best_first = sorted(last_first, key=lambda each: each[1] == 0)
    layout = here.layouts.get(few.path)
    return [
        _info(
            layer,
            strength,
            explainer.running.measured(few, layer.name, layout, layer.shape[1:]),
            layout,
        )
        for layer, strength in best_first
    ]


def _info(
    layer: Layer, strength: float, measured: Mapping[int, Axis], layout: Layout | None
) -> LayerInfo:
    along = [measured.get(i) for i in range(len(layer.shape) - 1)]
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
