"""Which layer is explained when nobody says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from signalcam.backends.protocol import Backend, Felt, Inputs, Layer
from signalcam.targets import Question


def strengths(
    backend: Backend,
    model: Any,
    few: Inputs,
    layers: Sequence[Layer],
    asked: Question,
    among: Callable[[Any], Any] = np.max,
) -> list[float]:
    """How strongly the targets depend on each layer: the root mean square of the gradient.

    Args:
        backend: The model's.
        model: The model.
        few: Some samples.
        layers: Where to look.
        asked: What is asked of them.
        among: Which of the targets and samples counts: the strongest, or ``np.min``.
    """
    pull = backend.pull(model, few, [each.name for each in layers], asked)
    rows = [[among(_strength(backend, each)) for each in row] for row in pull.rows]
    return [float(among(column)) for column in zip(*rows, strict=True)]


def last_felt(
    backend: Backend, model: Any, few: Inputs, layers: Sequence[Layer], asked: Question
) -> str | None:
    """The last layer that every target depends on, in each of some samples; nothing if none is."""
    found = (
        each.name
        for each in reversed(layers)
        if strengths(backend, model, few, [each], asked, np.min)[0] > 0
    )
    return next(found, None)


def _strength(backend: Backend, arrived: Felt) -> np.ndarray:
    """The root mean square of each sample's gradient."""
    if arrived.gradient is None:
        return np.zeros(1)
    g = backend.numpy(arrived.gradient)
    strength: np.ndarray = np.sqrt(np.mean(g.reshape(len(g), -1) ** 2, axis=1))
    return strength
