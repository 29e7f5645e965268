"""``Runner``: run groups of samples through the model, with all layers and targets at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

import numpy as np

from signalcam.alignment.resampling import AxisGrid
from signalcam.arrays import Array
from signalcam.attribution.registry import Method
from signalcam.backends.protocol import Backend, ForwardResult, LayerOutput
from signalcam.backends.token_grid import TokenGridBackend
from signalcam.backends.unsupported import WITHOUT_GRADIENT
from signalcam.errors import ModelError
from signalcam.explainer.batch_maps import (
    compute_batch,
    compute_padded_batch,
    grid_at_level,
    join_batches,
    needs_one_pass,
)
from signalcam.explainer.batch_result import BatchRequest, BatchResult, LengthGroup, ModelOutputs, concatenate_outputs
from signalcam.explainer.batching import first_size, run_in_batches, slice_batch
from signalcam.explainer.layer_selection import last_layer_with_gradient
from signalcam.explainer.perturbation_engine import ContextSettings
from signalcam.explainer.receptive_fields import Alignment, candidate_axes, layer_grid, measure_layer
from signalcam.inputs.layout import Layout
from signalcam.inputs.padding import Group
from signalcam.inputs.pytree import Inputs, Path
from signalcam.results.layer_maps import GroupMaps as OfOneShape
from signalcam.results.layer_maps import LayerMaps
from signalcam.targets import Question, Selector, Target, make_question


@dataclass(frozen=True)
class ExplainedInput:
    """One explained input and its layers.

    Attributes:
        name: What ``of=`` takes; empty where there is only one.
        path: Keys that lead to it.
        layout: Of its axes, if it is known.
        layers: Whose maps are drawn on it.
    """

    name: str
    path: Path
    layout: Layout | None
    layers: tuple[str, ...] = ()


@dataclass(frozen=True)
class GroupResult:
    """The results of samples of one shape.

    Attributes:
        rows: Their numbers.
        parts: One a batch.
        grids: For each layer where its positions lie.
        shapes: For each layer the shape of the input it is drawn on.
    """

    rows: np.ndarray
    parts: Sequence[BatchResult]
    grids: Sequence[dict[int, AxisGrid]]
    shapes: Sequence[tuple[int, ...]]

    @property
    def outputs(self) -> ModelOutputs:
        """The model's outputs."""
        return concatenate_outputs(self.parts)

    def maps(self, names: Sequence[str]) -> list[OfOneShape]:
        """The maps of each layer."""
        columns = zip(*[part.layers for part in self.parts], strict=True)
        return [
            OfOneShape(self.rows, _maps(name, column, grid, shape), shape)
            for name, column, grid, shape in zip(names, columns, self.grids, self.shapes, strict=True)
        ]


def _maps(name: str, column: Sequence[Any], grid: dict[int, AxisGrid], shape: Sequence[int]) -> LayerMaps:
    return join_batches(name, column, grid_at_level(grid, shape, column[0].at))


@dataclass(frozen=True)
class Runner:
    """The options that stay the same for all groups; see ``Explainer``.

    Attributes:
        folding: The model's backend, tokens folded.
        model: The model.
        methods: What is computed.
        targets: What is asked, by name.
        score: What is differentiated.
        class_names: Of the classes.
        output: Which of the model's outputs is meant.
        signed: Whether what is negative is kept.
        align: How positions are placed.
        batch_size: Samples at a time; ``None`` for as many as fit.
        progress: Whether bars are shown.
        explained: The inputs that maps are drawn on, with their layers.
    """

    folding: TokenGridBackend
    model: Any
    methods: Sequence[Method]
    targets: Mapping[str, Target]
    score: str | Callable[[Array], Array]
    class_names: Sequence[str] | None
    output: Selector
    signed: bool
    align: Alignment
    batch_size: int | None
    progress: bool
    explained: Sequence[ExplainedInput] = ()

    @property
    def backend(self) -> Backend:
        """The model's backend."""
        return cast("Backend", self.folding)

    @cached_property
    def layers(self) -> tuple[str, ...]:
        """Every layer, those of the first input first."""
        return tuple(layer for each in self.explained for layer in each.layers)

    @cached_property
    def only_plain(self) -> bool:
        """Whether one forward and one backward pass are enough for every method."""
        return all(map(needs_one_pass, self.methods))

    @cached_property
    def _reads_gradients(self) -> bool:
        return any(each.needs_gradients and each.kind == "plain" for each in self.methods)

    def ask(self, rows: Sequence[int] | np.ndarray) -> Question:
        """The question for some samples, by their numbers."""
        targets = tuple(self.targets.values())
        return make_question(targets, rows, self.score, self.class_names, self.output)

    # --- where layers look -----------------------------------------------------------------------

    def measure(
        self, inputs: Inputs, layer: str, layout: Layout | None, cells: Sequence[int] | None = None
    ) -> dict[int, AxisGrid]:
        """Measure where a layer looks: a grid axis for each layer axis that could be measured."""
        axes = self._candidates(inputs, layout)
        positions = self.folding.cells_of(self.model, inputs, layer) if cells is None else tuple(cells)
        return measure_layer(self.folding, self.model, inputs, layer, positions, axes, self._layer_activation)

    def _layer_activation(self, layer: str, inputs: Inputs) -> np.ndarray:
        """The activation of a layer."""
        question = replace(self.ask([0] * int(inputs.explained.shape[0])), kind=None)
        pull = self.backend.forward_backward(self.model, inputs, [layer], question)
        return self.backend.numpy(next(iter(pull.rows))[0].activation)

    def _candidates(self, inputs: Inputs, layout: Layout | None) -> list[int]:
        return candidate_axes(layout, inputs.explained.ndim, self.backend.channel_axis(self.model))

    def _grid(
        self, inputs: Inputs, explained: ExplainedInput, layer: str, cells: tuple[int, ...], shape: Sequence[int]
    ) -> dict[int, AxisGrid]:
        """A layer's grid for an input of some shape, measured on another of the same kind."""
        grid = {
            i: replace(axis, cells=cells[i], length=int(shape[axis.input_axis]))
            for i, axis in self.measure(inputs, layer, explained.layout, cells).items()
        }
        axes = self._candidates(inputs, explained.layout)
        return layer_grid(grid, cells, shape, axes, self.align, layer)

    def _setting(self, inputs: Inputs, explained: ExplainedInput, size: int) -> ContextSettings:
        here = inputs.at(explained.path)
        shape = tuple(map(int, here.explained.shape))

        def grid_of(layer: str, cells: tuple[int, ...]) -> dict[int, AxisGrid]:
            return self._grid(here, explained, layer, cells, shape)

        return ContextSettings(
            self.backend,
            self.model,
            grid_of,
            shape,
            size,
            progress=self.progress,
            layout=explained.layout,
            path=explained.path,
        )

    def _settings(self, inputs: Inputs, size: int) -> list[ContextSettings]:
        """Settings for each layer; layers of one input share theirs."""
        settings = [(each, self._setting(inputs, each, size)) for each in self.explained]
        return [setting for each, setting in settings for _ in each.layers]

    # --- groups ----------------------------------------------------------------------------------

    def run_group(self, group: Group, done: Callable[[int], object]) -> list[GroupResult]:
        """Run a group in batches that fit; padded samples give the results of running alone."""
        size = self.batch_size or first_size(group.inputs, self.backend, self.model)
        settings = self._settings(group.inputs, size)
        if group.own:
            return self._padded(group, settings[0], size, done)

        def run(rows: slice) -> BatchResult:
            return self._part(slice_batch(group.inputs, rows), group.rows[rows], settings)

        parts = run_in_batches(run, len(group.rows), size, self.backend, done)
        grids = [setting.grid(each.ran, each.cells) for setting, each in zip(settings, parts[0].layers, strict=True)]
        return [GroupResult(group.rows, parts, grids, [each.shape for each in settings])]

    def _part(self, batch: Inputs, rows: np.ndarray, settings: Sequence[ContextSettings]) -> BatchResult:
        question, pull, score = self._pulled(batch, rows)
        inputs = batch if self.only_plain else self.backend.to_model(self.model, batch)
        request = BatchRequest(inputs, question, rows)
        return compute_batch(pull, self.methods, settings, request, score, signed=self.signed)

    def _pulled(self, batch: Inputs, rows: np.ndarray) -> tuple[Question, ForwardResult, str]:
        """Run a batch once: the question, the layers' outputs, and the score's name."""
        question = self.ask(rows)
        if not self._reads_gradients:
            question = replace(question, kind=None)
        pull = self.backend.forward_backward(self.model, batch, self.layers, question)
        layer_result = replace(pull, rows=self._reached(pull, batch, question)) if self._reads_gradients else pull
        return question, layer_result, question.provenance(pull.reading)

    def _reached(self, pull: ForwardResult, batch: Inputs, question: Question) -> Iterator[Sequence[LayerOutput]]:
        """Yield each target's gradients; raise where a layer has none."""
        for label, row in zip(self.targets, pull.rows, strict=True):
            for name, layer_output in zip(self.layers, row, strict=True):
                if self._only_before(layer_output):
                    raise ModelError(self._of_tokens(name, label, batch, question))
                if layer_output.gradient is None:
                    message = (
                        f"layer {name!r} gave no gradient for target {label!r}: its output does "
                        "not reach the score, or a step between them has no gradient (quantised, "
                        "detached, rounded). Choose another: signalcam.layers(model, example). "
                        f"{WITHOUT_GRADIENT}"
                    )
                    raise ModelError(message)
            yield row

    def _only_before(self, layer_output: LayerOutput) -> bool:
        """Whether the gradient reaches prefix tokens only."""
        if layer_output.dropped is None:
            return False
        here, before = self.backend.numpy(layer_output.gradient), self.backend.numpy(layer_output.dropped)
        return bool(before.any() and not here.any())

    def _of_tokens(self, name: str, label: str, batch: Inputs, question: Question) -> str:
        """Say that the gradient reaches no token with a place, and name a layer where it does."""
        here = batch.at(next(each.path for each in self.explained if name in each.layers))
        earlier = self.folding.layers_before(self.model, here, name)
        usable = last_layer_with_gradient(self.backend, self.model, here, earlier, question)
        way = f"Choose the layer before: {usable!r}." if usable else "Choose an earlier layer."
        return f"layer {name!r} gave no gradient on its tokens for target {label!r}: it reaches only the class token there, or another that has no place in the input. {way}"

    # --- padded groups ---------------------------------------------------------------------------

    def _padded(
        self, group: Group, setting: ContextSettings, size: int, done: Callable[[int], object]
    ) -> list[GroupResult]:
        kinds = [self._kind(group, rows) for rows in group.kinds()]

        def run(rows: slice) -> list[tuple[int, BatchResult]]:
            batch, numbers = slice_batch(group.inputs, rows), group.rows[rows]
            question, pull, score = self._pulled(batch, numbers)
            shares = [each.within(rows) for each in kinds]
            within = [i for i, share in enumerate(shares) if share.rows.start < share.rows.stop]
            cuts, request = [shares[i] for i in within], BatchRequest(batch, question, numbers)
            parts = compute_padded_batch(pull, self.methods, setting, cuts, request, score, signed=self.signed)
            return list(zip(within, parts, strict=True))

        batches = run_in_batches(run, len(group.rows), size, self.backend, done)
        results = [each for batch in batches for each in batch]
        return [
            self._piece(group, kind, [part for number, part in results if number == i]) for i, kind in enumerate(kinds)
        ]

    def _kind(self, group: Group, rows: slice) -> LengthGroup:
        """The number of positions each layer has for one length alone."""
        one, question = group.alone(rows.start), self.ask(group.rows[rows.start : rows.start + 1])
        pull = self.backend.forward_backward(self.model, one, self.layers, replace(question, kind=None))
        first = next(iter(pull.rows))
        return LengthGroup(rows, [tuple(map(int, each.activation.shape[2:])) for each in first])

    def _piece(self, group: Group, kind: LengthGroup, parts: Sequence[BatchResult]) -> GroupResult:
        one, places = group.alone(kind.rows.start), [(s, y) for s in self.explained for y in s.layers]
        shapes = [tuple(map(int, one.at(each.path).explained.shape)) for each, _ in places]
        grids = [
            self._grid(group.inputs.at(explained.path), explained, native.ran, native.cells, shape)
            for (explained, _), native, shape in zip(places, parts[0].layers, shapes, strict=True)
        ]
        return GroupResult(group.rows[kind.rows], parts, grids, shapes)
