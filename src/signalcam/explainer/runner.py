"""Run groups of samples through the model: one question, all layers, all inputs that maps are drawn on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

import numpy as np

from signalcam.alignment.resampling import Axis
from signalcam.arrays import Array
from signalcam.attribution.gradient import Method
from signalcam.backends.protocol import Backend, Felt, Pull
from signalcam.backends.token_grid import Folding
from signalcam.backends.unsupported import WITHOUT_GRADIENT
from signalcam.errors import ModelError
from signalcam.explainer.batch_maps import fine_grid, is_plain, layer_maps, part_of, parts_of_padded
from signalcam.explainer.batch_result import Cut, Given, Part, Said, said_by_all
from signalcam.explainer.batching import first_size, in_batches, sliced
from signalcam.explainer.layer_selection import last_felt
from signalcam.explainer.perturbation_engine import Setting
from signalcam.explainer.receptive_fields import Alignment, candidates, grid, places
from signalcam.inputs.layout import Layout
from signalcam.inputs.padding import Group
from signalcam.inputs.pytree import Inputs, Path
from signalcam.results.layer_maps import LayerMaps
from signalcam.results.layer_maps import Piece as OfOneShape
from signalcam.targets import Question, Selector, Target, question


@dataclass(frozen=True)
class Shown:
    """One input that maps are drawn on.

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
class Piece:
    """What samples of one shape gave.

    Attributes:
        rows: Their numbers.
        parts: One a batch.
        grids: For each layer where its positions lie.
        shapes: For each layer the shape of the input it is drawn on.
    """

    rows: np.ndarray
    parts: Sequence[Part]
    grids: Sequence[dict[int, Axis]]
    shapes: Sequence[tuple[int, ...]]

    @property
    def said(self) -> Said:
        """What the model answered."""
        return said_by_all(self.parts)

    def maps(self, names: Sequence[str]) -> list[OfOneShape]:
        """For each layer the maps."""
        columns = zip(*[part.layers for part in self.parts], strict=True)
        return [
            OfOneShape(self.rows, _maps(name, column, each, shape), shape)
            for name, column, each, shape in zip(names, columns, self.grids, self.shapes, strict=True)
        ]


def _maps(name: str, column: Sequence[Any], each: dict[int, Axis], shape: Sequence[int]) -> LayerMaps:
    return layer_maps(name, column, fine_grid(each, shape, column[0].at))


@dataclass(frozen=True)
class Running:
    """What stays the same for all groups; see ``Explainer``.

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
        shown: The inputs that maps are drawn on, with their layers.
    """

    folding: Folding
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
    shown: Sequence[Shown] = ()

    @property
    def backend(self) -> Backend:
        """The model's."""
        return cast("Backend", self.folding)

    @cached_property
    def layers(self) -> tuple[str, ...]:
        """Every layer, those of the first input first."""
        return tuple(layer for each in self.shown for layer in each.layers)

    @cached_property
    def only_plain(self) -> bool:
        """Whether every method needs no more than one pass."""
        return all(map(is_plain, self.methods))

    @cached_property
    def _reads_gradients(self) -> bool:
        return any(each.needs_gradients and each.kind == "plain" for each in self.methods)

    def ask(self, rows: Sequence[int] | np.ndarray) -> Question:
        """What is asked of some samples, by their numbers."""
        targets = tuple(self.targets.values())
        return question(targets, rows, self.score, self.class_names, self.output)

    # --- where layers look -----------------------------------------------------------------------

    def measured(
        self, given: Inputs, layer: str, layout: Layout | None, cells: Sequence[int] | None = None
    ) -> dict[int, Axis]:
        """Where a layer looks, by layer axis; only the axes that could be measured."""
        axes = self._candidates(given, layout)
        known = self.folding.cells_of(self.model, given, layer) if cells is None else tuple(cells)
        return places(self.folding, self.model, given, layer, known, axes, self._seen)

    def _seen(self, layer: str, given: Inputs) -> np.ndarray:
        """What a layer puts out."""
        asked = replace(self.ask([0] * int(given.explained.shape[0])), kind=None)
        pull = self.backend.pull(self.model, given, [layer], asked)
        return self.backend.numpy(next(iter(pull.rows))[0].activation)

    def _candidates(self, given: Inputs, layout: Layout | None) -> list[int]:
        return candidates(layout, given.explained.ndim, self.backend.channel_axis(self.model))

    def _grid(
        self, given: Inputs, shown: Shown, layer: str, cells: tuple[int, ...], shape: Sequence[int]
    ) -> dict[int, Axis]:
        """Where a layer's positions lie in an input of some shape, as measured on the one given."""
        measured = {
            i: replace(axis, cells=cells[i], length=int(shape[axis.input_axis]))
            for i, axis in self.measured(given, layer, shown.layout, cells).items()
        }
        axes = self._candidates(given, shown.layout)
        return grid(measured, cells, shape, axes, self.align, layer)

    def _setting(self, given: Inputs, shown: Shown, size: int) -> Setting:
        here = given.at(shown.path)
        shape = tuple(map(int, here.explained.shape))

        def placed(layer: str, cells: tuple[int, ...]) -> dict[int, Axis]:
            return self._grid(here, shown, layer, cells, shape)

        return Setting(
            self.backend,
            self.model,
            placed,
            shape,
            size,
            progress=self.progress,
            layout=shown.layout,
            path=shown.path,
        )

    def _settings(self, given: Inputs, size: int) -> list[Setting]:
        """One a layer; layers of one input share theirs."""
        found = [(each, self._setting(given, each, size)) for each in self.shown]
        return [setting for each, setting in found for _ in each.layers]

    # --- groups ----------------------------------------------------------------------------------

    def pieces(self, group: Group, done: Callable[[int], object]) -> list[Piece]:
        """Run a group, in batches that fit; samples that were padded come back as if run alone."""
        size = self.batch_size or first_size(group.inputs, self.backend, self.model)
        settings = self._settings(group.inputs, size)
        if group.own:
            return self._padded(group, settings[0], size, done)

        def run(rows: slice) -> Part:
            return self._part(sliced(group.inputs, rows), group.rows[rows], settings)

        parts = in_batches(run, len(group.rows), size, self.backend, done)
        grids = [setting.grid(each.ran, each.cells) for setting, each in zip(settings, parts[0].layers, strict=True)]
        return [Piece(group.rows, parts, grids, [each.shape for each in settings])]

    def _part(self, batch: Inputs, rows: np.ndarray, settings: Sequence[Setting]) -> Part:
        asked, pull, score = self._pulled(batch, rows)
        inputs = batch if self.only_plain else self.backend.prepared(self.model, batch)
        given = Given(inputs, asked, rows)
        return part_of(pull, self.methods, settings, given, score, signed=self.signed)

    def _pulled(self, batch: Inputs, rows: np.ndarray) -> tuple[Question, Pull, str]:
        """Run a batch once; what was asked, what came up, and what was differentiated."""
        asked = self.ask(rows)
        if not self._reads_gradients:
            asked = replace(asked, kind=None)
        pull = self.backend.pull(self.model, batch, self.layers, asked)
        felt = replace(pull, rows=self._reached(pull, batch, asked)) if self._reads_gradients else pull
        return asked, felt, asked.provenance(pull.reading)

    def _reached(self, pull: Pull, batch: Inputs, asked: Question) -> Iterator[Sequence[Felt]]:
        """Pass on each target's gradients, or say which layer has none."""
        for label, row in zip(self.targets, pull.rows, strict=True):
            for name, felt in zip(self.layers, row, strict=True):
                if self._only_before(felt):
                    raise ModelError(self._of_tokens(name, label, batch, asked))
                if felt.gradient is None:
                    message = (
                        f"layer {name!r} gave no gradient for target {label!r}: its output does "
                        "not reach the score, or a step between them has no gradient (quantised, "
                        "detached, rounded). Choose another: signalcam.layers(model, example). "
                        f"{WITHOUT_GRADIENT}"
                    )
                    raise ModelError(message)
            yield row

    def _only_before(self, felt: Felt) -> bool:
        """Whether a gradient arrives at prefix tokens and at no other."""
        if felt.dropped is None:
            return False
        here, before = self.backend.numpy(felt.gradient), self.backend.numpy(felt.dropped)
        return bool(before.any() and not here.any())

    def _of_tokens(self, name: str, label: str, batch: Inputs, asked: Question) -> str:
        """Say that the gradient reaches no token with a place, and which layer it does reach."""
        here = batch.at(next(each.path for each in self.shown if name in each.layers))
        earlier = self.folding.before(self.model, here, name)
        usable = last_felt(self.backend, self.model, here, earlier, asked)
        way = f"Choose the layer before: {usable!r}." if usable else "Choose an earlier layer."
        return f"layer {name!r} gave no gradient on its tokens for target {label!r}: it reaches only the class token there, or another that has no place in the input. {way}"

    # --- padded groups ---------------------------------------------------------------------------

    def _padded(self, group: Group, setting: Setting, size: int, done: Callable[[int], object]) -> list[Piece]:
        kinds = [self._kind(group, rows) for rows in group.kinds()]

        def run(rows: slice) -> list[tuple[int, Part]]:
            batch, numbers = sliced(group.inputs, rows), group.rows[rows]
            asked, pull, score = self._pulled(batch, numbers)
            shares = [each.within(rows) for each in kinds]
            within = [i for i, share in enumerate(shares) if share.rows.start < share.rows.stop]
            cuts, given = [shares[i] for i in within], Given(batch, asked, numbers)
            parts = parts_of_padded(pull, self.methods, setting, cuts, given, score, signed=self.signed)
            return list(zip(within, parts, strict=True))

        batches = in_batches(run, len(group.rows), size, self.backend, done)
        found = [each for batch in batches for each in batch]
        return [
            self._piece(group, kind, [part for number, part in found if number == i]) for i, kind in enumerate(kinds)
        ]

    def _kind(self, group: Group, rows: slice) -> Cut:
        """How many positions each layer has for samples of one length alone."""
        one, asked = group.alone(rows.start), self.ask(group.rows[rows.start : rows.start + 1])
        pull = self.backend.pull(self.model, one, self.layers, replace(asked, kind=None))
        first = next(iter(pull.rows))
        return Cut(rows, [tuple(map(int, each.activation.shape[2:])) for each in first])

    def _piece(self, group: Group, kind: Cut, parts: Sequence[Part]) -> Piece:
        one, places = group.alone(kind.rows.start), [(s, y) for s in self.shown for y in s.layers]
        shapes = [tuple(map(int, one.at(each.path).explained.shape)) for each, _ in places]
        grids = [
            self._grid(group.inputs.at(each.path), each, native.ran, native.cells, shape)
            for (each, _), native, shape in zip(places, parts[0].layers, shapes, strict=True)
        ]
        return Piece(group.rows[kind.rows], parts, grids, shapes)
