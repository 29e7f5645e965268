"""The layers to explain: those named, those of a pattern, or the last one that has positions and a gradient."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping, Sequence
from typing import Any

import numpy as np

from signalcam.backends.protocol import Layer
from signalcam.backends.unsupported import WITHOUT_GRADIENT, explain_no_positions
from signalcam.errors import ModelError
from signalcam.explainer.layer_selection import (
    is_pattern,
    last_layer_with_gradient,
    layers_depending_on_input,
    match_layers,
)
from signalcam.explainer.receptive_fields import PROBED_SAMPLES
from signalcam.explainer.runner import ExplainedInput, Runner
from signalcam.inputs.explained_inputs import ExplainedInputs
from signalcam.inputs.pytree import Inputs, path_to_str
from signalcam.inputs.validation import as_list

_log = logging.getLogger("signalcam")


def choose_layers(
    runner: Runner, selection: ExplainedInputs, memory: MutableMapping[Any, Any]
) -> tuple[ExplainedInput, ...]:
    """Choose the layers of every explained input, looking at a few of its samples.

    Args:
        runner: Runs the model; it has no layers yet.
        selection: The inputs, and the layers asked for.
        memory: What earlier calls chose, by input and pattern.

    Raises:
        ModelError: There is no such layer, or none that has positions and a gradient.
    """
    rows = selection.samples.alike()[0][:PROBED_SAMPLES]
    few = selection.samples.group(rows).inputs
    return tuple(
        ExplainedInput(
            name, path, selection.layouts.get(path), _layers_of(runner, few.at(path), rows, requested, memory)
        )
        for name, path, requested in zip(selection.names, selection.paths, selection.layers, strict=True)
    )


def _layers_of(
    runner: Runner, few: Inputs, rows: np.ndarray, requested: Any, memory: MutableMapping[Any, Any]
) -> tuple[str, ...]:
    if requested is not None:
        names = [name for layer in as_list(requested) for name in _resolve(runner, few, rows, layer, memory)]
        return tuple(dict.fromkeys(names))
    if few.path not in memory:
        memory[few.path] = (_last_layer(runner, few, rows),)
        _log.info("explaining layer %r", memory[few.path][0])
    layers: tuple[str, ...] = memory[few.path]
    return layers


def _resolve(
    runner: Runner, few: Inputs, rows: np.ndarray, layer: Any, memory: MutableMapping[Any, Any]
) -> Sequence[str]:
    """The layers meant by a name, an object or a pattern."""
    if not is_pattern(layer):
        return [runner.backend.resolve(runner.model, layer)]
    key = ("pattern", few.path, layer)
    if key not in memory:
        _, candidates = _candidates(runner, few, rows)
        memory[key] = match_layers(layer, [each.name for each in candidates])
    names: Sequence[str] = memory[key]
    return names


def _candidates(runner: Runner, few: Inputs, rows: np.ndarray) -> tuple[list[Layer], list[Layer]]:
    """The layers with positions that ran, and those of them that depend on the explained input."""
    layers = runner.backend.layers(runner.model, few)
    return layers, layers_depending_on_input(runner.backend, runner.model, few, layers, runner.ask(rows))


def _last_layer(runner: Runner, few: Inputs, rows: np.ndarray) -> str:
    """The last layer that depends on the explained input and that every target depends on."""
    question, (layers, candidates) = runner.ask(rows), _candidates(runner, few, rows)
    last = last_layer_with_gradient(runner.backend, runner.model, few, candidates, question)
    needs_gradient = any(each.needs_gradients or each.family == "gradient" for each in runner.methods)
    if last is None and candidates and not needs_gradient:
        return candidates[-1].name
    if last is None and not layers:
        raise ModelError(explain_no_positions(runner.model))
    if last is None:
        of_it = f" that depends on {path_to_str(few.path[-1:])!r}" if len(candidates) < len(layers) else ""
        message = (
            f"no layer of {type(runner.model).__name__}{of_it} has both positions and a gradient for "
            f"target {next(iter(runner.targets))!r}. Name one with layer=..., or list them with "
            f"signalcam.layers(model, example). {WITHOUT_GRADIENT if candidates else ''}".rstrip()
        )
        raise ModelError(message)
    return last
