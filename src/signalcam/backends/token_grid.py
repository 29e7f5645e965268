"""Backend wrapper: drop prefix (class) tokens and reshape patch tokens to their spatial grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any
from weakref import WeakKeyDictionary

from signalcam.arrays import Array
from signalcam.backends.protocol import Backend, ForwardResult, Layer, LayerOutput, Pick, Support
from signalcam.errors import LayoutError, ModelError
from signalcam.inputs.pytree import Inputs, is_array, leaves
from signalcam.inputs.tokens import MOST_BEFORE, Tokens, half_length, halved_lengths
from signalcam.targets import Question

_layers_by_model: WeakKeyDictionary[Any, dict[Any, list[Layer]]] = WeakKeyDictionary()


@dataclass(frozen=True)
class TokenSource:
    """An earlier layer with the same grid, which can be measured where attention sees everything.

    Attributes:
        layer: Its name.
        halved: How often neighbours were merged two by two since.
        axes: For each axis of the grid that of the earlier layer.
    """

    layer: str
    halved: int
    axes: tuple[int, ...]


@dataclass(frozen=True)
class TokenGridBackend:
    """A backend with tokens reshaped to the declared grid, or that of an earlier layer.

    Attributes:
        inner: The backend itself, whose verbs are these where nothing else is said.
        declared: How tokens lie, if the user said so.
    """

    inner: Backend
    declared: Tokens | None = None

    def __getattr__(self, name: str) -> Any:
        """Everything else is the inner backend's."""
        return getattr(self.inner, name)

    def layers(self, model: Any, inputs: Inputs | None) -> list[Layer]:
        """List the layers, with tokens on their grids."""
        listed_layers = self.inner.layers(model, inputs)
        if inputs is None:
            return listed_layers
        _layers_by_model.setdefault(model, {})[_shapes(inputs)] = listed_layers
        offered = [each for each in listed_layers if each.role in ("grid", "tokens")]
        return [
            replace(layer, shape=(layer.shape[0], *self.cells(model, inputs, layer.name, layer.shape[1:])))
            for layer in offered
        ]

    def forward_backward(self, model: Any, inputs: Inputs, layers: Sequence[str], question: Question) -> ForwardResult:
        """Run the model once, and reshape the tokens of its layers."""
        pull = self.inner.forward_backward(model, inputs, layers, question)
        return replace(pull, rows=self._folded(model, inputs, pull))

    def _folded(self, model: Any, inputs: Inputs, pull: ForwardResult) -> Iterator[Sequence[LayerOutput]]:
        for row in pull.rows:
            yield [self._fold(model, inputs, each) for each in row]

    def _fold(self, model: Any, inputs: Inputs, layer_output: LayerOutput) -> LayerOutput:
        a, g = layer_output.activation, layer_output.gradient
        _check_rows(layer_output.ran, a, inputs)
        tokens = self.tokens(model, inputs, layer_output.ran, tuple(map(int, a.shape[2:])))
        if tokens is None:
            return layer_output
        dropped = None if g is None or not tokens.prefix else g[..., : tokens.prefix]
        gradient = None if g is None else tokens.take(g)
        return LayerOutput(layer_output.ran, tokens.take(a), gradient, tokens, a, dropped)

    def input_support(self, model: Any, inputs: Inputs, layer: str, pick: Pick) -> Support:
        """Find which inputs some positions depend on, positions counted on a declared grid."""
        if self.declared is None or not self.declared.grid:
            return self.inner.input_support(model, inputs, layer, pick)
        cells: tuple[int, ...] = ()
        picked: Sequence[tuple[int, ...]] = ()

        def numbered(shape: tuple[int, ...]) -> Sequence[tuple[int, ...]]:
            nonlocal cells, picked
            tokens = self._declared_tokens(layer, shape)
            if tokens is None:
                cells, picked = shape, list(pick(shape))
                return picked
            cells = (*shape[:-1], *tokens.grid)
            picked = list(pick(cells))
            return [(*at[: len(shape) - 1], tokens.number(at[len(shape) - 1 :])) for at in picked]

        support = self.inner.input_support(model, inputs, layer, numbered)
        return Support(cells, picked, support.support)

    # --- how tokens lie ----------------------------------------------------------------------------

    def cells(self, model: Any, inputs: Inputs, ran: str, cells: Sequence[int]) -> tuple[int, ...]:
        """The position axes of a layer after reshaping."""
        tokens = self.tokens(model, inputs, ran, tuple(cells))
        return tuple(cells) if tokens is None else (*cells[:-1], *tokens.grid)

    def cells_of(self, model: Any, inputs: Inputs, ran: str) -> tuple[int, ...]:
        """The position axes of a layer as it ran; empty where it did not."""
        layer = self._until(model, inputs, ran)[1]
        return () if layer is None else self.cells(model, inputs, ran, layer.shape[1:])

    def tokens(self, model: Any, inputs: Inputs, ran: str, cells: tuple[int, ...]) -> Tokens | None:
        """The tokens of a layer; ``None`` where its positions need no reshaping."""
        earlier, layer = self._until(model, inputs, ran)
        if layer is None or layer.role not in ("tokens", "inner"):
            return None
        if self.declared is None:
            return _unless_same(find_grid(_sources(earlier), cells, range(MOST_BEFORE + 1)), cells)
        placed_tokens = (
            self._declared_tokens(ran, cells)
            if self.declared.grid
            else grid_after_prefix(self.declared, _sources(earlier), cells, ran)
        )
        before = 0 if placed_tokens is None else placed_tokens.prefix
        if before < self.declared.prefix and not prefix_fits(self.declared, self._every(model, inputs)):
            raise LayoutError(no_prefix_message(self.declared, ran, cells))
        return _unless_same(placed_tokens, cells)

    def _declared_tokens(self, ran: str, cells: tuple[int, ...]) -> Tokens | None:
        """The declared grid, for a layer whose tokens lie along its last axis."""
        if self.declared is None:
            return None
        grid = self.declared.grid
        if len(cells) == len(grid) > 1:
            if any(half_length(grid, times) == cells for times in range(max(grid).bit_length())):
                return None
            if cells[-1] != self.declared.prefix + prod(grid):
                message = f"the tokens of layer {ran!r} lie on a grid of {' x '.join(map(str, cells))}, and {self.declared} says {' x '.join(map(str, grid))}. Pass the grid that it has, or leave tokens=... out."
                raise LayoutError(message)
        return self.declared.fitted(cells[-1], ran)

    def source(self, model: Any, inputs: Inputs, ran: str, cells: tuple[int, ...]) -> TokenSource | None:
        """The layer whose grid places the positions of another; ``None`` for itself."""
        earlier, layer = self._until(model, inputs, ran)
        if layer is None or layer.role == "grid":
            return None
        for candidate in _sources(earlier):
            own = self.cells(model, inputs, candidate.name, candidate.shape[1:])
            long = tuple(i for i, count in enumerate(own) if count > 1)
            if tuple(own[i] for i in long) == cells:
                return TokenSource(candidate.name, 0, long)
            halved = halved_lengths(own, prod(cells))
            if halved and half_length(own, halved) == cells:
                return TokenSource(candidate.name, halved, tuple(range(len(own))))
            if own == cells:
                return TokenSource(candidate.name, 0, tuple(range(len(own))))
        return None

    def role(self, model: Any, inputs: Inputs, ran: str) -> str:
        """The role of a layer's positions; see ``Layer``."""
        layer = self._until(model, inputs, ran)[1]
        return "grid" if layer is None else layer.role

    def layers_before(self, model: Any, inputs: Inputs, ran: str) -> list[Layer]:
        """The layers that finish before another."""
        earlier, _ = self._until(model, inputs, ran)
        return [each for each in earlier if each.role in ("grid", "tokens")]

    def _until(self, model: Any, inputs: Inputs, ran: str) -> tuple[Sequence[Layer], Layer | None]:
        """The layers that finished before a call of one, and that one, if it ran."""
        every = self._every(model, inputs)
        place = next((i for i, each in enumerate(every) if _is(each, ran)), None)
        return ([], None) if place is None else (every[:place], every[place])

    def _every(self, model: Any, inputs: Inputs) -> list[Layer]:
        """All layers that ran."""
        layers_by_key = _layers_by_model.setdefault(model, {})
        key = _shapes(inputs)
        if key not in layers_by_key:
            layers_by_key[key] = self.inner.layers(model, inputs)  # all: a model may take no other number
        return layers_by_key[key]


def _check_rows(ran: str, a: Array, inputs: Inputs) -> None:
    """Raise a ``ModelError`` where a layer has not one row a sample."""
    rows, samples = int(a.shape[0]), int(inputs.explained.shape[0])
    if rows != samples:
        message = f"layer {ran!r} returned {rows} rows for {samples} samples: it runs on windows, channels or steps one by one. Choose the block around it: signalcam.layers(model, example)."
        raise ModelError(message)


def _shapes(inputs: Inputs) -> Any:
    arrays = [(path, each) for path, each in leaves(inputs.tree) if is_array(each)]
    return tuple((path, tuple(map(int, each.shape[1:]))) for path, each in arrays)


def _is(layer: Layer, ran: str) -> bool:
    """Whether a layer has that name, which may be shortened or have a wrapper's prefix."""
    own, name = [each if each.endswith("]") else f"{each}[0]" for each in (layer.name, ran)]
    return own == name or name.endswith(f".{own}") or own.endswith(f"/{name}")


def _sources(earlier: Sequence[Layer]) -> list[Layer]:
    """Layers whose positions have places of their own: convolutions, or else the first tokens."""
    return [each for each in earlier if each.role == "grid"] or list(earlier[:1])


def find_grid(sources: Sequence[Layer], cells: tuple[int, ...], before: Sequence[int]) -> Tokens | None:
    """The first grid of an earlier layer that the tokens fill after some prefix."""
    *others, count = cells
    grids = [
        source.shape[1 + len(others) :]
        for source in sources
        if list(source.shape[1 : 1 + len(others)]) == others and len(source.shape) > 1 + len(others)
    ]
    fits = [(count - prod(grid), number) for number, grid in enumerate(grids)]
    fitting = [each for each in fits if each[0] in before]
    if fitting:
        prefix, number = min(fitting, key=lambda pair: (before.index(pair[0]), pair[1]))
        return Tokens(prefix, grids[number])
    merged = [(grid, halved_lengths(grid, count)) for grid in grids if len(grid) > 1]
    return next((Tokens(0, half_length(grid, times)) for grid, times in merged if times), None)


def grid_after_prefix(declared: Tokens, sources: Sequence[Layer], cells: tuple[int, ...], ran: str) -> Tokens | None:
    """Token grid after ``prefix`` special tokens: an earlier layer's grid, else one-dimensional."""
    grid = find_grid(sources, cells, (declared.prefix, 0))
    if grid is not None or not declared.prefix:
        return grid
    declared.check(cells[-1], ran)
    other = find_grid(sources, cells, range(1, declared.prefix))
    if other is not None:
        message = f"layer {ran!r} has {cells[-1]} tokens, {other.description} by the layers before it, and tokens={declared.prefix} says that {declared.prefix} stand before the first one with a place. Pass tokens={other.prefix}, or the grid too: signalcam.Tokens(prefix={declared.prefix}, grid=({cells[-1] - declared.prefix},))."
        raise LayoutError(message)
    return Tokens(declared.prefix, (cells[-1] - declared.prefix,))


def prefix_fits(declared: Tokens, every: Sequence[Layer]) -> bool:
    """Whether some layer has the declared prefix, or may have it."""
    layers = [(i, each) for i, each in enumerate(every) if each.role in ("tokens", "inner")]
    if declared.grid:
        return any(declared.fits(each.shape[-1]) for _, each in layers)
    return any(_may_have(declared.prefix, each, _sources(every[:i])) for i, each in layers)


def _may_have(prefix: int, layer: Layer, sources: Sequence[Layer]) -> bool:
    grid = find_grid(sources, tuple(layer.shape[1:]), (prefix, 0))
    if grid is None:
        return bool(sources) and layer.role == "tokens"
    return grid.prefix == prefix


def no_prefix_message(declared: Tokens, ran: str, cells: Sequence[int]) -> str:
    """Say that a layer has no prefix tokens although ``tokens=`` gave some."""
    own = " x ".join(map(str, cells))
    return f"layer {ran!r} has {own} tokens, all with a place, as has every other layer, and tokens= says that {declared.prefix} stand before the first one with a place. Pass none before: tokens=0, or Tokens(prefix=0, grid=...)."


def _unless_same(tokens: Tokens | None, cells: tuple[int, ...]) -> Tokens | None:
    same = tokens is not None and not tokens.prefix and tokens.grid == cells[-1:]
    return None if same else tokens
