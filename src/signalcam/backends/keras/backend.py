"""The Keras backend: layers are tapped by replacing ``call`` on them for the length of a run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from typing import Any

import keras
import numpy as np
from keras import ops

from signalcam.arrays import Array
from signalcam.backends.attention_maps import AttentionMaps
from signalcam.backends.keras import compile_policy
from signalcam.backends.keras.activation_log import record_last_steps
from signalcam.backends.keras.attention import record_attention
from signalcam.backends.keras.backward_rules import guided, replace_backward, rescale_against_zero
from signalcam.backends.keras.biases import is_bias_output, record_offsets
from signalcam.backends.keras.call import build, call, to_engine
from signalcam.backends.keras.engine import Engine, OutputInfo, RunRequest, RunResult, Step, Watch
from signalcam.backends.keras.hooks import (
    SEES_EVERYTHING,
    KerasWalk,
    move_channels_back,
    move_channels_second,
    tensor_with_positions,
    walk_model,
)
from signalcam.backends.keras.logits import find_last_step, read_output, to_numpy
from signalcam.backends.keras.method_patches import MethodPatch, accept_any_length, patch_methods
from signalcam.backends.keras.rerun import KerasPrefixCache, cache_prefix, replay_prefix
from signalcam.backends.keras.weights import layer_weights, use_weights
from signalcam.backends.protocol import Edit, ForwardResult, Layer, LayerOutput, Pick, Support
from signalcam.backends.unsupported import explain_engine, explain_exported, explain_no_rectifier
from signalcam.errors import MethodError, ModelError
from signalcam.inputs.pytree import Inputs
from signalcam.targets import Question
from signalcam.targets.question import Rule

_FULL = (
    "ResourceExhausted",
    "RESOURCE_EXHAUSTED",
    "OutOfMemory",
    "out of memory",
    "allocate memory",
    "MemoryError",
)


@dataclass(frozen=True)
class KerasBackend:
    """The backend for Keras models; see ``signalcam.backends.protocol.Backend``.

    Attributes:
        name: The package the models are of.
    """

    name: str = "keras"

    @property
    def version(self) -> str:
        """Keras' version and its engine."""
        return f"{import_module(self.name).__version__} on {keras.backend.backend()}"

    @property
    def engine(self) -> Engine:
        """The engine Keras runs on."""
        engine: Engine = import_module(f"signalcam.backends.keras.engines.{keras.backend.backend()}")
        return engine

    def owns(self, model: object) -> bool:
        """Whether the model is a layer of the package; raise if it can never be explained."""
        if not isinstance(model, import_module(self.name).layers.Layer):
            return False
        message = explain_exported(model) or explain_engine(self.name, keras.backend.backend())
        if message:
            raise ModelError(message)
        return True

    def full_precision(self) -> AbstractContextManager[None]:
        """Formulas already run in the arrays' own precision."""
        return nullcontext()

    def channel_axis(self, model: Any) -> int:
        """The axis of channels of the model's inputs."""
        return 1 if walk_model(model).channels_first else -1

    def numpy(self, array: Any) -> np.ndarray:
        """Copy an array of the engine to NumPy, in single precision at least."""
        return array if isinstance(array, np.ndarray) else to_numpy(array)

    def layers(self, model: Any, inputs: Inputs | None) -> list[Layer]:
        """List the layers whose output has positions; by their class alone where there is no input."""
        keras_walk = walk_model(model)
        if inputs is None:
            return [Layer(name, type(each).__name__) for name, each in keras_walk.convolutions()]
        prepared = to_engine(inputs)
        build(model, prepared)
        return keras_walk.candidates(lambda: call(model, prepared.tree))

    def resolve(self, model: Any, layer: object) -> str:
        """Return the path of a layer given by path, by the end of its path, or as an object."""
        return walk_model(model).path(layer)

    def forward_backward(self, model: Any, inputs: Inputs, layers: Sequence[str], question: Question) -> ForwardResult:
        """Run the model once, recorded from the layers on, and differentiate each score."""
        keras_walk, prepared = walk_model(model), to_engine(inputs)
        build(model, prepared)
        nodes = {keras_walk.find(name) for name in layers}
        if question.kind == "attention":
            return self._attended(model, keras_walk, prepared, layers, question)
        rows, twice = int(prepared.explained.shape[0]), question.kind == "rescale"
        entry = "activation" if question.kind == "offset" else "call"

        def forward(tree: Any, watch: Watch) -> RunResult:
            calls: list[tuple[Any, int]] = []
            taps = [_tap(node, watch, calls, entry) for node in nodes]
            with patch_methods(taps, keras_walk.all_nodes), record_last_steps(2 * rows if twice else None) as steps:
                raw = call(model, tree)
            return RunResult(raw, steps[-8:], calls, question)  # the score's own step is among the last

        forward_twice = rescale_against_zero(forward, rows, keras_walk) if twice else forward
        task = RunRequest(model, forward_twice, prepared.tree, rows, question)
        run = compile_policy.run_request(self.engine, task, layers, keras_walk)
        selection = [_select_call(keras_walk, name, run.calls, run.activations) for name in layers]
        layer_rows = (
            [
                _layer_output(keras_walk, name, call_index, run.calls, run.activations, row)
                for name, call_index in zip(layers, selection, strict=True)
            ]
            for row in run.rows
        )
        return ForwardResult(run.reading, run.scored_targets, layer_rows)

    def _attended(
        self, model: Any, keras_walk: KerasWalk, prepared: Inputs, layers: Sequence[str], question: Question
    ) -> ForwardResult:
        """Run the model once, recorded from its first attention on, and differentiate by its weights."""
        meant = [(_called(name), keras_walk.find(name)) for name in layers]
        nodes = list(dict.fromkeys(node for _, node in meant))
        rows, attention_maps = int(prepared.explained.shape[0]), list[AttentionMaps]()

        def forward(tree: Any, watch: Watch) -> RunResult:
            with (
                record_attention(keras_walk, nodes, rows, watch) as attended,
                patch_methods([], keras_walk.all_nodes),
                record_last_steps() as steps,
            ):
                raw = call(model, tree)
            attention_maps.append(attended)
            return RunResult(raw, steps[-8:], [], question)

        run = self.engine.forward_backward(RunRequest(model, forward, prepared.tree, rows, question))
        layer_rows = (
            [attention_maps[-1].layer_output(*each, run.activations, row) for each in meant] for row in run.rows
        )
        return ForwardResult(run.reading, run.scored_targets, layer_rows)

    def to_model(self, _model: Any, inputs: Inputs) -> Inputs:
        """Turn every array into one of the engine's, in Keras' own precision."""
        return to_engine(inputs)

    def forward(self, model: Any, inputs: Inputs, question: Question, edit: Edit | None = None) -> list[Array]:
        """Run the model without recording, and score each target."""
        keras_walk, prepared = walk_model(model), to_engine(inputs)
        whole = edit is not None and edit.prefix is None
        shadows = [_exchanged(keras_walk, edit)] if edit is not None and whole else []
        back = nullcontext() if edit is None or whole else _handing_back(keras_walk, edit)
        with self.engine.no_grad(), back:
            ran = RunResult(*_bare_run(model, keras_walk, shadows, prepared.tree), [], question)
            rows = int(prepared.explained.shape[0])
            scored_targets = question.ask(read_output(ran, rows, find_last_step(ran, rows)))
            return [ops.reshape(each.value, (-1,)) for each in scored_targets]

    def cache_prefix(self, model: Any, inputs: Inputs, ran: str) -> KerasPrefixCache | None:
        """Cache the outputs of the outermost layers before a layer."""
        keras_walk, prepared = walk_model(model), to_engine(inputs)
        node, rows = keras_walk.find(ran), int(prepared.explained.shape[0])
        watched = cache_prefix(keras_walk, node, _number(ran) or 0, rows)
        with self.engine.no_grad(), watched as prefix:
            _bare_run(model, keras_walk, [], prepared.tree)
        return None if prefix.output is None else prefix

    def input_gradients(
        self, model: Any, inputs: Inputs, question: Question, rule: Rule | None
    ) -> list[tuple[Array, Array]]:
        """Score each target, and differentiate it with respect to the explained input."""
        keras_walk, prepared = walk_model(model), to_engine(inputs)
        build(model, prepared)
        rows = int(prepared.explained.shape[0])

        def forward(x: Array) -> RunResult:
            tree = prepared.with_explained(x).tree
            return RunResult(*_bare_run(model, keras_walk, [], tree), [], question)

        def ask(ran: RunResult, info: OutputInfo) -> list[Array]:
            scored_targets = question.ask(read_output(ran, rows, info))
            return [ops.reshape(each.value, (-1,)) for each in scored_targets]

        bending = guided()
        with nullcontext() if rule is None else replace_backward(bending, keras_walk):
            gradients = self.engine.input_gradients(model, forward, prepared.explained, ask)
        if rule is not None and not bending.count:
            raise MethodError(explain_no_rectifier(model))
        return gradients

    def offsets(self, model: Any, inputs: Inputs) -> dict[str, Array]:
        """The bias that each layer adds to every position, by its name and call."""
        keras_walk, prepared = walk_model(model), to_engine(inputs)
        build(model, prepared)
        recorded = record_offsets(keras_walk)
        outputs: dict[str, list[Any]] = {path: [] for path in recorded}

        def keep(path: str, y: Any) -> Any:
            outputs[path].append(y)
            return y

        shadows = [MethodPatch(node, partial(keep, path)) for path, (node, _) in recorded.items()]
        with self.engine.no_grad():
            _bare_run(model, keras_walk, shadows, prepared.tree)
        return {
            f"{path}[{number}]": recorded[path][1]
            for path, output in outputs.items()
            for number, y in enumerate(output)
            if min(len(each.shape) for each in output) > 2 and is_bias_output(*recorded[path], y, keras_walk)
        }

    def input_support(self, model: Any, inputs: Inputs, layer: str, pick: Pick) -> Support:
        """Differentiate a layer's output at some positions with respect to the input."""
        keras_walk, prepared = walk_model(model), to_engine(inputs)
        node, call_number = keras_walk.find(layer), _number(layer) or 0

        def forward(x: Array, watch: Watch) -> None:
            count = 0

            def record(y: Any) -> Any:
                nonlocal count
                if count == call_number:
                    watch(move_channels_second(node, tensor_with_positions(y), keras_walk))
                count += 1
                return y

            with (
                patch_methods([MethodPatch(node, record)], keras_walk.all_nodes),
                accept_any_length(keras_walk.all_nodes),
            ):
                try:
                    call(model, prepared.with_explained(x).tree)
                except Exception:
                    if count <= call_number:
                        raise
                    # what lies behind the layer does not take an input of this length, and need not

        support = self.engine.input_support(model, forward, prepared.explained, pick)
        everything = type(node).__name__ in SEES_EVERYTHING
        return replace(support, support=np.ones_like(support.support)) if everything else support

    def weights(self, model: Any) -> dict[str, list[np.ndarray]]:
        """The weights of each layer that has its own."""
        return layer_weights(model)

    def use_weights(self, model: Any, weights: Mapping[str, Sequence[np.ndarray]]) -> AbstractContextManager[None]:
        """Give the model other weights while the block is open."""
        return use_weights(model, weights)

    def free_memory(self, _model: object) -> int:
        """Bytes free in the machine's memory."""
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")

    def ran_out_of_memory(self, error: Exception) -> bool:
        """Whether the error is an allocator's, whichever engine raised it."""
        return any(word in f"{type(error).__name__} {error}" for word in _FULL)


def _bare_run(
    model: Any, keras_walk: KerasWalk, shadows: Sequence[MethodPatch], tree: Any
) -> tuple[Any, Sequence[Step]]:
    """Run the model with nothing tapped: its output and its last steps."""
    with patch_methods(shadows, keras_walk.all_nodes), record_last_steps() as steps:
        raw = call(model, tree)
    return raw, steps[-8:]


def _exchanged(keras_walk: KerasWalk, edit: Edit) -> MethodPatch:
    """Make a layer's call return other activations."""
    node, call_number, count = keras_walk.find(edit.ran), _number(edit.ran) or 0, 0

    def exchange(y: Any) -> Any:
        nonlocal count
        count += 1
        return _as_given(keras_walk, edit, y) if count == call_number + 1 else y

    return MethodPatch(node, exchange)


def _handing_back(keras_walk: KerasWalk, edit: Edit) -> AbstractContextManager[None]:
    """Replay cached outputs of earlier layers, and return edited activations from one call."""
    prefix: KerasPrefixCache = edit.prefix  # type: ignore[assignment] # there, or the whole model would run

    def last(y: Any) -> Any:
        return _as_given(keras_walk, edit, y)

    return replay_prefix(keras_walk.find(edit.ran), prefix, edit.samples, edit.times, last)


def _as_given(keras_walk: KerasWalk, edit: Edit, y: Any) -> Any:
    """Replace the activations in a layer's output."""
    old = tensor_with_positions(y)
    fresh = ops.cast(move_channels_back(keras_walk.find(edit.ran), edit.values, old, keras_walk), old.dtype)
    return fresh if y is old else type(y)([fresh if each is old else each for each in y])


def _tap(node: Any, watch: Watch, calls: list[tuple[Any, int]], entry: str) -> MethodPatch:
    """Pass a layer's output to a function, or the input of the activation that the layer holds."""
    own = callable(getattr(node, entry, None)) and not hasattr(type(node), entry)
    return MethodPatch(node, partial(_watched, node, watch, calls), entry if own else "call")


def _watched(node: Any, watch: Watch, calls: list[tuple[Any, int]], y: Any) -> Any:
    number = sum(each is node for each, _ in calls)
    calls.append((node, number))
    tensor = tensor_with_positions(y)
    if tensor is None:
        message = f"layer {node.name!r} has no positions: its output is one vector a sample. Choose an earlier layer, before pooling or flattening."
        raise ModelError(message)
    fresh = watch(tensor)
    if y is tensor:
        return fresh
    return type(y)([fresh if each is tensor else each for each in y])


def _number(name: str) -> int | None:
    _, bracket, rest = name.partition("[")
    return int(rest[:-1]) if bracket and rest[:-1].isdigit() else None


def _called(name: str) -> str:
    return name if _number(name) is not None else f"{name}[0]"


def _select_call(
    keras_walk: KerasWalk, name: str, calls: Sequence[tuple[Any, int]], activations: Sequence[Array]
) -> list[int]:
    """The index of the tapped output that a layer name means."""
    node, call_number = keras_walk.find(name), _number(name)
    places = [i for i, (each, number) in enumerate(calls) if each is node and call_number in (None, number)]
    if not places:
        message = f"layer {name!r} never ran for this input, or not so often. Choose one that runs: signalcam.layers(model, example)."
        raise ModelError(message)
    usable = [i for i in places if np.prod(move_channels_second(node, activations[i], keras_walk).shape[2:]) > 1]
    if not usable:
        message = f"layer {name!r} has no positions: its output is one vector a sample. Choose an earlier layer, before pooling or flattening."
        raise ModelError(message)
    return usable


def _layer_output(
    keras_walk: KerasWalk,
    name: str,
    places: Sequence[int],
    calls: Sequence[tuple[Any, int]],
    activations: Sequence[Array],
    row: Sequence[Array | None],
) -> LayerOutput:
    node = keras_walk.find(name)
    if len(places) > 1:
        places = [i for i in places if row[i] is not None and bool(np.any(to_numpy(row[i])))] or places[:1]
    if len(places) > 1:
        bare = name.partition("[")[0]
        options = " or ".join(repr(f"{bare}[{calls[i][1]}]") for i in places)
        message = f"layer {name!r} ran more than once and more than one run reaches the score. Say which: {options}."
        raise ModelError(message)
    place, gradient = places[0], row[places[0]]
    turned = None if gradient is None else move_channels_second(node, gradient, keras_walk)
    ran = f"{name.partition('[')[0]}[{calls[place][1]}]"
    return LayerOutput(ran, move_channels_second(node, activations[place], keras_walk), turned)


BACKEND = KerasBackend()
