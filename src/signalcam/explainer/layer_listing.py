"""``layers``: the layers of a model that can be explained, what each sees, and why to choose it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from math import prod
from typing import Any, overload

from signalcam.alignment.resampling import AxisGrid
from signalcam.backends.protocol import Layer
from signalcam.explainer.api import Explainer
from signalcam.explainer.layer_selection import gradient_norms
from signalcam.explainer.receptive_fields import PROBED_SAMPLES
from signalcam.inputs.conversion import as_inputs
from signalcam.inputs.layout import Layout
from signalcam.inputs.tokens import Tokens

_FEW = 4  # positions: fewer do not show a place
_TEXTURE = 8  # samples along every axis: less is no event
_NEARLY_ALL = 0.9  # of the input
_HEAD = ("layer", "class", "channels x positions", "stride", "sees", "gradient", "why")


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
        why: What makes it a good or a poor choice.
    """

    name: str
    kind: str
    shape: tuple[int, ...] = ()
    stride: tuple[float, ...] = ()
    receptive_field: tuple[float, ...] = ()
    seconds: tuple[float, float] | None = None
    gradient: float | None = None
    why: str = ""

    @property
    def sees(self) -> str:
        """The receptive field of one position, in words."""
        if self.seconds:
            return f"{self.seconds[1]:.3g} s"
        return f"{_times(self.receptive_field)} samples"


@dataclass(frozen=True, repr=False)
class Layers:
    """Layers, best first; a sequence that prints as a table."""

    rows: tuple[LayerInfo, ...]

    @overload
    def __getitem__(self, place: int) -> LayerInfo: ...
    @overload
    def __getitem__(self, place: slice) -> Layers: ...
    def __getitem__(self, place: int | slice) -> LayerInfo | Layers:
        return Layers(self.rows[place]) if isinstance(place, slice) else self.rows[place]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[LayerInfo]:
        return iter(self.rows)

    def __repr__(self) -> str:
        if not self.rows:
            return "no layer with positions"
        cells = [_HEAD, *map(_cells, self.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        rows = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in cells)
        return "\n".join(rows)

    def _repr_html_(self) -> str:
        def line(cells: Sequence[str], tag: str) -> str:
            return f"<tr>{''.join(f'<{tag}>{escape(each)}</{tag}>' for each in cells)}</tr>"

        rows = "".join(line(_cells(each), "td") for each in self.rows)
        return f"<table>{line(_HEAD, 'th')}{rows}</table>"


def _cells(row: LayerInfo) -> tuple[str, ...]:
    stride, sees = _times(row.stride), _times(row.receptive_field)
    if row.seconds:
        stride, sees = f"{stride} ({row.seconds[0]:.3g} s)", f"{sees} ({row.seconds[1]:.3g} s)"
    gradient = "" if row.gradient is None else f"{row.gradient:.3g}"
    return row.name, row.kind, _times(row.shape), stride, sees, gradient, row.why


def _times(numbers: Sequence[float]) -> str:
    return " x ".join(f"{each:.4g}" if each else "?" for each in numbers)


def layers(
    model: Any,
    example: Any = None,
    *,
    layout: Layout | str | Sequence[str] | None = None,
    of: Any = None,
    extra: Mapping[str, Any] | None = None,
    tokens: Tokens | int | None = None,
) -> Layers:
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
        The layer that is taken where none is named, then others the predicted class depends on, the
        last first; behind these the ones that show little, and those it does not depend on.

    Example:
        >>> import signalcam as sc
        >>> [each.name for each in sc.layers(network, ecg)][:2]
        ['relu2', 'conv2']
    """
    explainer = Explainer(model, layout=layout, of=of, tokens=tokens)
    backend = explainer.backend
    if example is None:
        every_layer = reversed(backend.layers(explainer.model, None))
        why = "a convolution; pass an example to see what it sees"
        return Layers(tuple(LayerInfo(each.name, each.kind, why=why) for each in every_layer))
    request = explainer.read_inputs(example)
    explainer = explainer.with_request(request)
    here = explainer.select_inputs(as_inputs(request.inputs, of, extra))
    rows = here.samples.alike()[0][:PROBED_SAMPLES]
    few = here.samples.group(rows).inputs
    candidates, question = backend.layers(explainer.model, few), explainer.runner.ask(rows)
    norms = gradient_norms(backend, explainer.model, few, candidates, question) if candidates else []
    layout, last_first = here.layouts.get(few.path), list(zip(candidates, norms, strict=True))[::-1]
    grids = [
        (layer, strength, explainer.runner.measure(few, layer.name, layout, layer.shape[1:]))
        for layer, strength in sorted(last_first, key=lambda pair: pair[1] == 0)
    ]
    return _ranked([(_info(*each, layout), each[2]) for each in grids])


def _info(layer: Layer, strength: float, grid: Mapping[int, AxisGrid], layout: Layout | None) -> LayerInfo:
    along = [grid.get(i) for i in range(len(layer.shape) - 1)]
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


# --- why -----------------------------------------------------------------------------------------


def _ranked(last_first: Sequence[tuple[LayerInfo, Mapping[int, AxisGrid]]]) -> Layers:
    """Say why each layer is a good or a poor choice, and move poor ones behind good ones."""
    rows: list[tuple[int, LayerInfo]] = []
    for place, (row, grid) in enumerate(last_first):
        flaw = _flaw(row, grid)
        good = _praise(row, [earlier for earlier, _ in last_first[:place]])
        first = "last with positions" if place == 0 and row.gradient else ""
        why = ", but ".join(filter(None, (first, flaw))) if flaw else good
        rank = 3 if not row.gradient else 0 if first else 2 if flaw else 1
        rows.append((rank, replace(row, why=why)))
    return Layers(tuple(row for _, row in sorted(rows, key=lambda pair: pair[0])))


def _flaw(row: LayerInfo, grid: Mapping[int, AxisGrid]) -> str:
    """The drawback of a layer; empty if there is none."""
    count, field = prod(row.shape[1:]), row.receptive_field
    shares = [axis.field / axis.length for axis in grid.values()]
    flaws = {
        "no gradient from the predicted class": not row.gradient,
        f"only {count} positions: too few to show a place": count < _FEW,
        "where it looks could not be measured, as where each position sees everything": not any(field),
        "one position sees nearly the whole input": min(shares, default=0) >= _NEARLY_ALL,
        f"each position sees only {_times(field)} samples: texture, not events": max(field, default=0) < _TEXTURE,
    }
    return next((flaw for flaw, there in flaws.items() if there), "")


def _praise(row: LayerInfo, later: Sequence[LayerInfo]) -> str:
    """The advantage of a layer over later ones."""
    if not later:
        return f"last with positions; sees {row.sees}"
    same = [each.name for each in later if (each.stride, each.receptive_field) == (row.stride, row.receptive_field)]
    if same:
        return f"sees the same as {same[-1]!r}, which comes later"
    return f"earlier: finer, less about the class; sees {row.sees}"
