"""Which layers depend on the input and on the score, measured by activations and gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from signalcam.backends.protocol import Backend, Layer, LayerOutput
from signalcam.errors import ModelError, nearest
from signalcam.inputs.pytree import Inputs, WithExtra, is_array, leaves, unpack_extra
from signalcam.targets import Question

_MIN_CHANGE = 1e-6  # of a layer's largest value: what another input changes is more than rounding


def gradient_norms(
    backend: Backend,
    model: Any,
    few: Inputs,
    layers: Sequence[Layer],
    question: Question,
    among: Callable[[Any], Any] = np.max,
) -> list[float]:
    """The root mean square of the gradient at each layer.

    Args:
        backend: The model's.
        model: The model.
        few: Some samples.
        layers: Where to look.
        question: What is asked of them.
        among: Which of the targets and samples counts: the strongest, or ``np.min``.
    """
    pull = backend.forward_backward(model, few, [each.name for each in layers], question)
    rows = [[among(_strength(backend, each)) for each in row] for row in pull.rows]
    return [float(among(column)) for column in zip(*rows, strict=True)]


def last_layer_with_gradient(
    backend: Backend, model: Any, few: Inputs, layers: Sequence[Layer], question: Question
) -> str | None:
    """The last layer that every target depends on in each of some samples; ``None`` if there is none.

    Of tokens at more than one place: behind the last attention only the one that is read out counts.
    """

    def reaches_positions(layer: Layer) -> bool:
        least = 1 if layer.role == "grid" else 2
        pull = backend.forward_backward(model, few, [layer.name], question)
        return min(_places(backend, row[0]) for row in pull.rows) >= least

    return next((each.name for each in reversed(layers) if reaches_positions(each)), None)


def _places(backend: Backend, arrived: LayerOutput) -> int:
    """Minimum over samples of the number of positions with a non-zero gradient."""
    if arrived.gradient is None:
        return 0
    g = backend.numpy(arrived.gradient)
    places = g.reshape(*g.shape[:2], -1).any(axis=1).sum(axis=1)
    return int(places.min())


def _strength(backend: Backend, arrived: LayerOutput) -> np.ndarray:
    """The root mean square of each sample's gradient, ``(b,)``."""
    if arrived.gradient is None:
        return np.zeros(1)
    g = backend.numpy(arrived.gradient)
    strength: np.ndarray = np.sqrt(np.mean(g.reshape(len(g), -1) ** 2, axis=1))
    return strength


def layers_depending_on_input(
    backend: Backend, model: Any, few: Inputs, layers: Sequence[Layer], target_question: Question
) -> list[Layer]:
    """Layers that depend on the explained input and on no other input with spatial axes.

    Seen by changing one input at a time, which works for whole numbers too, where a gradient would not.

    Args:
        backend: The model's.
        model: The model.
        few: Some samples.
        layers: Where to look.
        target_question: What is asked of them.
    """
    arrays = {path: each for path, each in leaves(unpack_extra(few.tree)[0]) if is_array(each)}
    within = isinstance(few.tree, WithExtra)
    paths = [(0, *path) if within else path for path in arrays]
    rivals = [path for path in paths if path != few.path and _may_hold_positions(backend, few, path)]
    if len(paths) == 1 or not layers:
        return list(layers)
    question = replace(target_question, kind=None)
    before = _activations(backend, model, few, layers, question)

    def depending(path: tuple[Any, ...]) -> list[bool]:
        other = few.at(path)
        after = _activations(
            backend, model, other.with_explained(_other(backend.numpy(other.explained))), layers, question
        )
        return [_differ(*pair) for pair in zip(before, after, strict=True)]

    own = depending(few.path)
    others = [depending(path) for path in rivals]
    alone = [mine and not any(row[i] for row in others) for i, mine in enumerate(own)]
    selection = alone if any(alone) else own
    return [layer for layer, keep in zip(layers, selection, strict=True) if keep]


def _may_hold_positions(backend: Backend, few: Inputs, path: tuple[Any, ...]) -> bool:
    """Whether an input has spatial axes of its own, unlike a mask of the explained input."""
    shape, own = tuple(few.at(path).explained.shape), tuple(few.explained.shape)
    if len(shape) < min(3, len(own)):
        return False
    values = backend.numpy(few.at(path).explained)
    return shape != own or values.dtype.kind == "f" or not np.isin(values, (0, 1)).all()


def _activations(
    backend: Backend, model: Any, few: Inputs, layers: Sequence[Layer], question: Question
) -> list[np.ndarray]:
    pull = backend.forward_backward(model, few, [each.name for each in layers], question)
    return [backend.numpy(each.activation) for each in next(iter(pull.rows))]


def _other(x: np.ndarray) -> np.ndarray:
    """A changed input of the same kind: with noise added, or reversed where values are whole numbers."""
    if x.dtype.kind != "f":
        return np.ascontiguousarray(x[..., ::-1] if x.ndim > 1 else x[::-1])
    size = float(np.nan_to_num(x).std()) or 1.0
    return x + size * np.random.default_rng(0).standard_normal(x.shape).astype(x.dtype)


def _differ(before: np.ndarray, after: np.ndarray) -> bool:
    return float(np.abs(after - before).max()) > _MIN_CHANGE * float(np.abs(before).max())


def is_pattern(layer: object) -> bool:
    """Whether a name is a pattern for several layers: ``"stage4.*"``."""
    return isinstance(layer, str) and ("*" in layer or "?" in layer)


def match_layers(pattern: str, names: Sequence[str]) -> list[str]:
    """The layers that a pattern matches, in the order they ran. A pattern may match the end of a Keras path.

    Args:
        pattern: ``*`` stands for any characters, ``?`` for one; a bracket is a call's number.
        names: Of the layers with positions that ran.

    Raises:
        ModelError: It fits none.
    """
    plain = pattern.replace("[", "[[]")
    matches = [each for each in names if fnmatchcase(each, plain) or fnmatchcase(each, f"*/{plain}")]
    if not matches:
        message = (
            f"no layer with positions that ran is called {pattern!r}.{nearest(pattern, names)} "
            "List all with signalcam.layers(model, example)."
        )
        raise ModelError(message)
    return matches
