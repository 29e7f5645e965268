"""The biases of each layer of a Keras model, and the shifts of its normalisations."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from signalcam.backends.keras.hooks import CONVOLUTIONS, KerasWalk, move_channels_second
from signalcam.backends.keras.logits import to_numpy

_LINEAR = (*CONVOLUTIONS, "Dense", "EinsumDense")


def record_offsets(keras_walk: KerasWalk) -> dict[str, tuple[Any, np.ndarray]]:
    """Each layer with a bias, by path; recurrent steps have no place and are left out."""
    offsets = {path: (node, _offset(node)) for path, node in keras_walk.nodes() if id(node) not in keras_walk.looped}
    return {path: (node, each) for path, (node, each) in offsets.items() if each is not None}


def is_bias_output(node: Any, offset: np.ndarray, y: Any, keras_walk: KerasWalk) -> bool:
    """Whether an output has positions, and as many channels as the bias has entries."""
    turned = move_channels_second(node, y, keras_walk)
    channel, last = 1 if turned is y else -1, len(y.shape)
    axis = int(np.ravel(getattr(node, "axis", channel))[0])  # Keras 2 has a list of one
    matches = axis % last == channel % last and offset.shape == (turned.shape[1],)
    return bool(matches and np.prod(turned.shape[2:]) > 1)


def _offset(node: Any) -> np.ndarray | None:
    kinds = {each.__name__ for each in type(node).__mro__}
    if "BatchNormalization" in kinds:
        return _shift(node)
    bias = getattr(node, "bias", None) if kinds & set(_LINEAR) else None
    return None if bias is None else _numbers(bias)


def _shift(node: Any) -> np.ndarray:
    """The shift of a normalisation with fixed statistics, after scaling."""
    scale = 1 / np.sqrt(_numbers(node.moving_variance) + node.epsilon)
    if node.scale:
        scale = scale * _numbers(node.gamma)
    moved = -_numbers(node.moving_mean) * scale
    shift: np.ndarray = moved + _numbers(node.beta) if node.center else moved
    return shift


def _numbers(variable: Any) -> np.ndarray:
    return to_numpy(ops.convert_to_tensor(variable))
