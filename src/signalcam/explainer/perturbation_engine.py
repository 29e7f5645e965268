"""The engine behind methods that run the model again, on changed inputs or activations."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import array_api_compat
import numpy as np

from signalcam.alignment.resampling import AxisGrid, resample_batch
from signalcam.arrays import Array, Layered, flatten_positions, namespace
from signalcam.attribution.context import Edit as Changed
from signalcam.attribution.context import Item
from signalcam.backends.protocol import Backend, Edit, LayerOutput
from signalcam.errors import MethodError
from signalcam.explainer.batching import count_samples, slice_batch
from signalcam.inputs.layout import Layout, name_axes
from signalcam.inputs.pytree import Inputs, repeat_samples
from signalcam.targets import Question
from signalcam.targets.question import GradientKind, Rule

WHOLE, TAIL = "the whole model", "only what lies behind the layer"
_SAME = 1e-3  # of a score's size: two ways of running the same numbers, also in half precision
_tails: WeakKeyDictionary[Any, dict[Any, bool]] = WeakKeyDictionary()
_log = logging.getLogger("signalcam")

Grid = Callable[[str, tuple[int, ...]], dict[int, AxisGrid]]


class _CannotBeCut(Exception):  # noqa: N818 - no error: the whole model is run instead
    """Cached activations could not be replayed; the whole model is run instead."""


@dataclass
class ContextSettings:
    """The settings that stay the same for every trial.

    Attributes:
        backend: The model's.
        model: The model.
        grid: From a layer's name and positions to where they lie in the input.
        shape: Of the whole input the map is drawn on.
        size: Rows the model is run with at a time; halved when memory runs out.
        progress: Show a bar on the terminal.
        layout: Names of the input's axes, if the user gave them.
        path: Keys that lead to that input; ``None`` for the one the batch names.
        ran: What was run for other activations, for the result.
    """

    backend: Backend
    model: Any
    grid: Grid
    shape: tuple[int, ...]
    size: int
    progress: bool = False
    layout: Layout | None = None
    path: tuple[Any, ...] | None = None
    ran: str = ""


@dataclass
class PerturbationContext:
    """One batch at one layer: the ``AttributionContext`` that methods are given.

    Attributes:
        setting: What stays the same.
        inputs: The batch, where the model is.
        question: What is asked, with every class fixed.
        layer_outputs: The layer, and the gradient of each target there where it is known already.
        target_scores: For each target the scores ``(b,)`` of the batch.
        method: The name of the method that is running.
    """

    setting: ContextSettings
    inputs: Inputs
    question: Question
    layer_outputs: Sequence[LayerOutput]
    target_scores: Sequence[Array]
    method: str = ""
    _kinds: dict[GradientKind, list[Array]] = field(default_factory=dict)

    @cached_property
    def a(self) -> Layered:
        """``(b, c, p)``, the layer's activations."""
        return flatten_positions(self.layer_outputs[0].activation)

    @cached_property
    def scores(self) -> list[Array]:
        """For each target the scores ``(b,)``, detached from any graph."""
        return [self.array(each) for each in self.target_scores]

    @property
    def cells(self) -> tuple[int, ...]:
        """The layer's position axes."""
        return tuple(self.layer_outputs[0].activation.shape[2:])

    @property
    def x(self) -> Array:
        """The input the map is drawn on."""
        return self.inputs.explained

    @property
    def dims(self) -> tuple[str, ...]:
        """The names of the input's axes."""
        grid = self.setting.grid(self.layer_outputs[0].ran, self.cells)
        axes = sorted(each.input_axis for each in grid.values())
        return tuple(name_axes(self.setting.layout, self.x.ndim, axes).dims)

    def gradient(self, target: int, kind: GradientKind = "plain") -> Layered:
        """The gradient of a target ``(b, c, p)``, from the first pass where it was computed there."""
        if kind == "plain" and self.layer_outputs[target].gradient is not None:
            return flatten_positions(self.layer_outputs[target].gradient)
        if kind not in self._kinds:
            self._kinds[kind] = self._felt_as(kind)
        return self._kinds[kind][target]

    def _felt_as(self, kind: GradientKind) -> list[Array]:
        setting, ran = self.setting, self.layer_outputs[0].ran
        question = replace(self.question, kind=kind)
        pull = setting.backend.forward_backward(setting.model, self.inputs, [ran], question)
        rows = [row[0].gradient for row in pull.rows]
        if any(each is None for each in rows):
            message = f"{self.method} reads the gradient at layer {ran!r}, and there is none. Choose another layer: signalcam.layers(model, example)."
            raise MethodError(message)
        return [flatten_positions(each) for each in rows]

    # --- trials ----------------------------------------------------------------------------------

    def run_with_inputs(self, trials: int, edit: Changed) -> list[Array]:
        """Run the model on other inputs."""
        self._require_measurements()

        def run(samples: slice, numbers: slice, times: int) -> list[Array]:
            x = edit(samples, numbers)
            flat = namespace(x).reshape(x, (-1, *x.shape[2:]))
            rows = self._rows(samples, times).with_explained(flat)
            return self._push(rows, samples, times)

        return self._in_chunks(trials, run)

    def run_with_activations(self, trials: int, edit: Changed) -> list[Array]:
        """Score the model on other activations of the layer; run the whole model where that fails."""
        prefix = self._prefix(edit)
        if prefix is not None:
            with suppress(_CannotBeCut):
                return self._try_layer(trials, edit, prefix)
            _tails[self.setting.model][self._key] = False
        return self._try_layer(trials, edit, None)

    def _try_layer(self, trials: int, edit: Changed, prefix: Any | None) -> list[Array]:
        def run(samples: slice, numbers: slice, times: int) -> list[Array]:
            values = edit(samples, numbers)
            try:
                return self._push_layer(values, samples, times, prefix)
            except Exception as error:
                if prefix is None or self.setting.backend.ran_out_of_memory(error):
                    raise
                _log.info("what lies before the layer cannot be handed back: %s", error)
                raise _CannotBeCut from error

        scores = self._in_chunks(trials, run)
        self.setting.ran = TAIL if prefix is not None else WHOLE
        return scores

    def _push_layer(self, values: Array, samples: slice, times: int, prefix: Any) -> list[Array]:
        xp, layer_output = namespace(values), self.layer_outputs[0]
        shaped = xp.reshape(values, (-1, *layer_output.activation.shape[1:]))
        edited = _as(shaped, layer_output.activation)
        if layer_output.tokens is not None:
            count = count_samples(self.inputs)
            edited = layer_output.tokens.put(edited, repeat_samples(layer_output.whole, count, samples, times))
        edit = Edit(layer_output.ran, edited, prefix, samples, times)
        return self._push(self._rows(samples, times), samples, times, edit)

    def _push(self, rows: Inputs, samples: slice, times: int, edit: Edit | None = None) -> list[Array]:
        setting, question = self.setting, self.question.repeated_for(samples, times)
        return setting.backend.forward(setting.model, rows, question, edit)

    def _rows(self, samples: slice, times: int) -> Inputs:
        count = count_samples(self.inputs)
        return replace(self.inputs, tree=repeat_samples(self.inputs.tree, count, samples, times))

    @property
    def _key(self) -> Any:
        return self.layer_outputs[0].ran, tuple(self.x.shape[1:])

    def _prefix(self, edit: Changed) -> Any | None:
        """Cached activations before the layer, if replaying them reproduces the scores; checked once a model."""
        setting, ran, key = self.setting, self.layer_outputs[0].ran, self._key
        prefixes = _tails.setdefault(setting.model, {})
        if prefixes.get(key) is False:
            return None
        prefix = setting.backend.cache_prefix(setting.model, self.inputs, ran)
        if prefix is not None and key not in prefixes:
            prefixes[key] = self._same(edit, prefix)
            _log.info("for layer %r %s is run again", ran, TAIL if prefixes[key] else WHOLE)
        return prefix if prefixes.get(key) else None

    def _same(self, edit: Changed, prefix: Any) -> bool:
        """Whether the first trials of two samples score alike with and without the cache."""
        samples = slice(0, min(2, count_samples(self.inputs)))
        values = edit(samples, slice(0, 2))
        times, numpy = int(values.shape[1]), self.setting.backend.numpy
        whole = [numpy(each) for each in self._push_layer(values, samples, times, None)]
        try:
            replayed = self._push_layer(values, samples, times, prefix)
        except Exception as error:
            if self.setting.backend.ran_out_of_memory(error):
                raise
            _log.info("what lies before the layer cannot be handed back: %s", error)
            return False
        return all(map(_alike, whole, [numpy(each) for each in replayed]))

    def _in_chunks(self, trials: int, run: Callable[[slice, slice, int], list[Array]]) -> list[Array]:
        """Run all trials of all samples, at most ``batch_size`` rows at a time."""
        setting, count = self.setting, count_samples(self.inputs)
        chunks: list[list[Array]] = []
        with self._bar(count * trials, "trial") as bar:
            for samples, numbers in _chunks(count, trials, setting.size):
                times = numbers.stop - numbers.start
                try:
                    chunks.append(run(samples, numbers, times))
                except Exception as error:
                    if setting.size == 1 or not setting.backend.ran_out_of_memory(error):
                        raise
                    setting.size = (setting.size + 1) // 2
                    return self._in_chunks(trials, run)
                bar.update((samples.stop - samples.start) * times)
        return [_as(_join_chunks(each, count, trials), self.a) for each in zip(*chunks, strict=True)]

    # --- the rest --------------------------------------------------------------------------------

    def input_gradients(self, x: Array, rule: Rule | None = None) -> list[tuple[Array, Array]]:
        """Differentiate each score with respect to the input, as many samples at a time as fit."""
        self._require_measurements()
        backend, count = self.setting.backend, count_samples(self.inputs)
        inputs, gradients = self.inputs.with_explained(x), []
        for samples, _ in _chunks(count, 1, self.setting.size):
            question = self.question.repeated_for(samples, 1)
            part = slice_batch(inputs, samples)
            gradients.append(backend.input_gradients(self.setting.model, part, question, rule))
        xp = namespace(x)
        return [
            (xp.concat([v for v, _ in parts], axis=0), xp.concat([g for _, g in parts], axis=0))
            for parts in zip(*gradients, strict=True)
        ]

    def _require_measurements(self) -> None:
        kind = str(self.x.dtype)
        if "float" not in kind:
            message = f"{self.method} changes or differentiates the input, and this one holds whole numbers ({kind}). Pass measurements as x.astype('float32'); for indices take a method of the layer alone, such as grad-cam or ablation-cam."
            raise MethodError(message)

    def at_input(self, maps: Array) -> Array:
        """Interpolate maps of this layer to the input."""
        return self._spread(maps, self.layer_outputs[0].ran, self.cells)

    def _spread(self, maps: Array, ran: str, cells: tuple[int, ...]) -> Array:
        grid = self.setting.grid(ran, cells)
        return resample_batch(maps, cells, grid, self.x.ndim, self.array)

    def from_input(self, maps: Array) -> Array:
        """The transpose of ``at_input``."""
        grid = self.setting.grid(self.layer_outputs[0].ran, self.cells)
        return resample_batch(maps, self.cells, grid, self.x.ndim, self.array, back=True)

    def with_inputs(self, x: Array) -> PerturbationContext:
        """The context of the same targets for other inputs."""
        self._require_measurements()
        setting, inputs = self.setting, self.inputs.with_explained(x)
        pull = setting.backend.forward_backward(
            setting.model, inputs, [self.layer_outputs[0].ran], replace(self.question, kind="plain")
        )
        layer_outputs = [row[0] for row in pull.rows]
        scores = [each.value for each in pull.scored_targets]
        return replace(self, inputs=inputs, layer_outputs=layer_outputs, target_scores=scores, _kinds={})

    @cached_property
    def _offsets(self) -> list[list[Array]]:
        setting = self.setting
        offsets = setting.backend.offsets(setting.model, self.inputs)
        if not offsets:
            return [[] for _ in self.target_scores]
        question = replace(self.question, kind="offset")
        pull = setting.backend.forward_backward(setting.model, self.inputs, list(offsets), question)
        return [list(self._add_offsets(row, offsets)) for row in pull.rows]

    def _add_offsets(self, row: Sequence[LayerOutput], offsets: dict[str, Array]) -> Iterator[Array]:
        for layer_output in row:
            if layer_output.gradient is None:
                continue
            g, xp = flatten_positions(layer_output.gradient), namespace(layer_output.gradient)
            offset = self.array(offsets[layer_output.ran])
            shares = xp.matmul(offset[None, None, :], g)
            yield self._spread_evenly(shares, layer_output)

    def _spread_evenly(self, shares: Array, layer_output: LayerOutput) -> Array:
        """Spread shares over the input so that the sum of each sample is kept."""
        cells = tuple(layer_output.activation.shape[2:])
        grid = self.setting.grid(layer_output.ran, cells)
        return resample_batch(shares, cells, grid, self.x.ndim, self.array, keep_sums=True)[:, 0]

    def offsets(self, target: int) -> list[Array]:
        """The contribution of each layer's biases to the score."""
        return self._offsets[target]

    def with_progress(self, items: Sequence[Item]) -> Iterator[Item]:
        """Yield the items, with a progress bar if ``progress=True``."""
        with self._bar(len(items), "step") as bar:
            for item in items:
                yield item
                bar.update()

    def _bar(self, total: int, unit: str) -> Any:
        from tqdm.auto import tqdm  # noqa: PLC0415 - not needed to import signalcam

        silent = not self.setting.progress
        return tqdm(total=total, unit=unit, desc=self.method, leave=False, disable=silent)

    def array(self, values: object) -> Array:
        """Move a NumPy array to the device and type of the activations."""
        xp = namespace(self.a)
        plain = np.asarray(self.setting.backend.numpy(values), np.float32)
        return _as(xp.asarray(plain, device=array_api_compat.device(self.a)), self.a)


def _alike(whole: np.ndarray, tail: np.ndarray) -> bool:
    return np.allclose(whole, tail, rtol=_SAME, atol=_SAME * float(np.abs(whole).max()))


def _as(array: Array, like: Array) -> Array:
    return array if array.dtype == like.dtype else namespace(array).astype(array, like.dtype)


def _chunks(count: int, trials: int, size: int) -> Iterator[tuple[slice, slice]]:
    """Split samples and trials into blocks: many samples with all their trials, or one sample with some."""
    if trials >= size:
        for sample in range(count):
            for start in range(0, trials, size):
                yield slice(sample, sample + 1), slice(start, min(start + size, trials))
        return
    step = size // trials
    for start in range(0, count, step):
        yield slice(start, min(start + step, count)), slice(0, trials)


def _join_chunks(chunks: Sequence[Array], count: int, trials: int) -> Array:
    xp = namespace(chunks[0])
    return xp.reshape(xp.concat(list(chunks), axis=0), (count, trials))
