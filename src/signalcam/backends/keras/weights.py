"""Read a Keras model's weights, and replace them for a block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from signalcam.backends.keras.logits import to_numpy

_STATISTICS = ("moving_mean", "moving_variance")


def layer_weights(model: Any) -> dict[str, list[np.ndarray]]:
    """The floating-point weights of each layer in the order they were made, without statistics."""
    return {name: [to_numpy(each.value) for each in own] for name, own in _by_layer(model).items()}


@contextmanager
def use_weights(model: Any, weights: Mapping[str, Sequence[np.ndarray]]) -> Iterator[None]:
    """Run with other weights while the block is open, and write the original ones back."""
    weights_by_layer = _by_layer(model)
    originals: list[tuple[Any, np.ndarray]] = []
    try:
        for name, values in weights.items():
            for variable, value in zip(weights_by_layer[name], values, strict=True):
                originals.append((variable, variable.numpy()))
                variable.assign(value)
        yield
    finally:
        for variable, old in originals:
            variable.assign(old)


def _by_layer(model: Any) -> dict[str, list[Any]]:
    weights: dict[str, list[Any]] = {}
    for weight in model.weights:
        owner, _, name = weight.path.rpartition("/")
        if "float" in str(weight.dtype) and name not in _STATISTICS:
            weights.setdefault(owner, []).append(weight)
    return weights
