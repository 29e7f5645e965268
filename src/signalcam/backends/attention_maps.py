"""Attention weights as activations: heads and queries are channels, keys are positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from signalcam.arrays import Array, namespace
from signalcam.backends.protocol import LayerOutput
from signalcam.backends.unsupported import explain_no_attention
from signalcam.errors import MethodError

Cells = tuple[int, ...]


@dataclass
class AttentionMaps:
    """The attention weights of one run, in order, with the layers that ran around them.

    Attributes:
        model: The class of the model, for messages.
        rows: How many samples the batch holds.
        cells: Positions of each attention's keys, in the order they ran.
        calls: For each layer, by its identity, how many attentions had run before each of its calls and
            after it, and the positions of what it returned.
    """

    model: str
    rows: int
    cells: list[Cells] = field(default_factory=list)
    calls: dict[int, list[tuple[int, int, Cells]]] = field(default_factory=dict)

    def takes(self, shape: Sequence[int]) -> bool:
        """Record the result of a softmax over the last axis, if it may be attention."""
        if len(shape) < 3 or shape[0] % self.rows:
            return False
        self.cells.append(_keys(shape, self.rows)[2:])
        return True

    def ran(self, layer: object, before: int, cells: Sequence[int]) -> None:
        """Record that a layer ran."""
        self.calls.setdefault(id(layer), []).append((before, len(self.cells), tuple(cells)))

    def layer_output(
        self, name: str, layer: object, recorded: Sequence[Array], arrived: Sequence[Array | None]
    ) -> LayerOutput:
        """The weights and gradients of a layer's attention: heads and queries second, keys last.

        Args:
            name: The layer's, with the number of its call.
            layer: The layer.
            recorded: The weights of every attention.
            arrived: The gradient at each; ``None`` where the score does not depend on it.
        """
        number = int(name.rpartition("[")[2][:-1])
        calls = self.calls.get(id(layer), [])
        meant = self._meant(*calls[number]) if number < len(calls) else []
        if not meant:
            raise MethodError(explain_no_attention(name.removesuffix("[0]"), self.model, any_seen=bool(self.cells)))
        weights = [recorded[i] for i in meant]
        if all(arrived[i] is None for i in meant):
            return LayerOutput(name, self._join_heads(weights), None)
        xp = namespace(weights[0])
        g = [xp.zeros_like(recorded[i]) if arrived[i] is None else arrived[i] for i in meant]
        return LayerOutput(name, self._join_heads(weights), self._join_heads(g))

    def _meant(self, before: int, after: int, cells: Cells) -> Sequence[int]:
        """Attention op of a layer: inside it, else the next one after, else the last one before."""
        fits = [i for i, each in enumerate(self.cells) if each in (cells, (prod(cells),))]
        within = [i for i in fits if before <= i < after]
        behind = [i for i in fits if i >= after]
        return within or behind[:1] or fits[-1:]

    def _join_heads(self, weights: Sequence[Array]) -> Array:
        xp = namespace(weights[0])
        return xp.concat([_by_keys(each, self.rows) for each in weights], axis=1)


def _keys(shape: Sequence[int], rows: int) -> tuple[Any, ...]:
    """The shape of weights ``(rows * others, heads, queries, keys)`` with heads and queries as channels."""
    others = shape[0] // rows if len(shape) > 3 else 1
    return (rows, -1, *([others] if others > 1 else []), shape[-1])


def _by_keys(weights: Array, rows: int) -> Array:
    xp, (_, _, *others, keys) = namespace(weights), _keys(weights.shape, rows)
    if not others:
        return xp.reshape(weights, (rows, -1, keys))
    return xp.moveaxis(xp.reshape(weights, (rows, others[0], -1, keys)), 1, 2)
