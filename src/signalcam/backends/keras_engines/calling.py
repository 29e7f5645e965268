"""Call a Keras model as its user would, with arrays of its engine."""

from __future__ import annotations

import re
from inspect import Parameter, signature
from typing import Any

import keras
import numpy as np
from keras import ops

from signalcam.backends.keras_engines.read import plain
from signalcam.backends.keras_engines.tap import walk
from signalcam.backends.protocol import Inputs, is_array
from signalcam.errors import CamError, InputError

_SWITCHES = ("training", "mask")


def prepare(inputs: Inputs) -> Inputs:
    """Turn every array into one of the engine's, floating-point ones in Keras' own precision."""

    def tensor_of(array: Any) -> Any:
        values = array if isinstance(array, np.ndarray) else plain(array)
        kind = keras.config.floatx() if values.dtype.kind == "f" else None
        return ops.convert_to_tensor(values, dtype=kind)

    return inputs.map(tensor_of)


def build(model: Any, prepared: Inputs) -> None:
    """Run a model once that was never run: its first call builds it, and would confuse the taps."""
    if all(getattr(each, "built", True) for _, each in walk(model).nodes()):
        return
    first = prepared.map(lambda array: array[:1])
    try:
        call(model, first.tree)
    except CamError:
        raise
    except (TypeError, ValueError) as error:
        shape = tuple(first.explained.shape[1:])
        message = f"{type(model).__name__} was never run, and its first call with samples of shape {shape} failed: {_words(error)} Pass inputs as the model takes them, batch first, or build it before: model(inputs)."
        raise InputError(message) from error


def _words(error: Exception) -> str:
    """What an error says, without Keras' frame and colours around it."""
    lines = re.sub(r"\x1b\[\d*m", "", str(error)).splitlines()
    told = (each.strip() for each in lines if not each.startswith("Exception encountered"))
    return next(filter(None, told), type(error).__name__).rstrip(".:") + "."


def call(model: Any, tree: Any) -> Any:
    """Call a model as its user would: several inputs as a list, unless its ``call`` names them apart."""
    _check_number(model, tree)
    if isinstance(tree, dict) and not _is_graph(model) and _by_name(model, tree):
        return model(**tree, training=False)
    if not isinstance(tree, tuple | list):
        return model(tree, training=False)
    if not _is_graph(model) and _positional(model) >= len(tree):
        return model(*tree, training=False)
    return model(list(tree), training=False)


def _is_graph(model: Any) -> bool:
    """Whether a model was built from symbolic inputs; Keras 2 marks such ones."""
    return hasattr(model, "_operations") or getattr(model, "_is_graph_network", False)


def _check_number(model: Any, tree: Any) -> None:
    """Refuse another number of inputs than a model was built with: Keras would take the first ones."""
    wanted = [each.name for each in getattr(model, "inputs", None) or []]
    given = 1 if is_array(tree) else len(tree)
    missing = given < len(wanted) or (given > len(wanted) and not isinstance(tree, dict))
    if wanted and missing:
        message = f"{type(model).__name__} takes {len(wanted)} input(s) ({', '.join(wanted)}) but {given} were given. Pass one array, or a tuple or dict of as many arrays as it takes."
        raise InputError(message)


def _named(model: Any) -> list[Parameter]:
    """The inputs a model's own ``call`` names."""
    kinds = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
    parameters = signature(getattr(model.call, "python_function", model.call)).parameters.values()
    return [each for each in parameters if each.kind in kinds and each.name not in _SWITCHES]


def _positional(model: Any) -> int:
    """How many inputs a model's own ``call`` takes in a row."""
    return sum(each.kind is not Parameter.KEYWORD_ONLY for each in _named(model))


def _by_name(model: Any, tree: dict[Any, Any]) -> bool:
    """Whether a dict is for the parameters of a model's ``call``, and not for one of them."""
    named, given = {each.name: each.default is Parameter.empty for each in _named(model)}, set(tree)
    needed = {name for name, required in named.items() if required}
    if needed <= given <= set(named):
        return True
    if len(needed) > 1:
        message = f"the call of {type(model).__name__} takes {', '.join(named)} but the dict holds {', '.join(map(str, tree))}. Name the dict's entries as call does."
        raise InputError(message)
    return False
