"""Call a Keras model as its user would, whatever its ``call`` takes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from inspect import Parameter, signature
from typing import Any

import keras
import numpy as np
from keras import ops

from signalcam.backends.keras.hooks import walk_model
from signalcam.backends.keras.logits import to_numpy
from signalcam.errors import CamError, InputError
from signalcam.inputs.pytree import Inputs, check_extra, is_array, unpack_extra

_SWITCHES = ("training", "mask")


def to_engine(inputs: Inputs) -> Inputs:
    """Turn every array into one of the engine's, floating-point ones in Keras' own precision."""

    def tensor_of(array: Any) -> Any:
        values = array if isinstance(array, np.ndarray) else to_numpy(array)
        kind = keras.config.floatx() if values.dtype.kind == "f" else None
        return ops.convert_to_tensor(values, dtype=kind)

    return inputs.map(tensor_of)


def build(model: Any, inputs: Inputs) -> None:
    """Run an unbuilt model once, so that taps do not see the call that builds it."""
    if all(getattr(each, "built", True) for _, each in walk_model(model).nodes()):
        return
    count = inputs.explained.shape[0]
    first = inputs.map(lambda array: array[:1] if array.shape[0] == count else array)
    try:
        call(model, first.tree)
    except CamError:
        raise
    except (TypeError, ValueError) as error:
        shape = tuple(first.explained.shape[1:])
        message = f"{type(model).__name__} was never run, and its first call with samples of shape {shape} failed: {_words(error)} Pass inputs as the model takes them, batch first, or build it before: model(inputs)."
        raise InputError(message) from error


def _words(error: Exception) -> str:
    """The text of an error, without Keras' frame and colours."""
    lines = re.sub(r"\x1b\[\d*m", "", str(error)).splitlines()
    words = (each.strip() for each in lines if not each.startswith("Exception encountered"))
    return next(filter(None, words), type(error).__name__).rstrip(".:") + "."


def call(model: Any, tree: Any) -> Any:
    """Call a model as its user would: several inputs as a list, unless its ``call`` names them."""
    inputs, extra = unpack_extra(tree)
    _check_number(model, inputs)
    _check_extra(model, extra)
    if isinstance(inputs, dict) and not _is_graph(model) and _by_name(model, inputs, extra):
        return model(**inputs, **extra, training=False)
    if not isinstance(inputs, tuple | list):
        return model(inputs, **extra, training=False)
    if not _is_graph(model) and _positional(model, extra) >= len(inputs):
        return model(*inputs, **extra, training=False)
    return model(list(inputs), **extra, training=False)


def _check_extra(model: Any, extra: Mapping[str, Any]) -> None:
    """Refuse a keyword that a model's ``call`` does not take."""
    parameters = signature(getattr(model.call, "python_function", model.call)).parameters
    if all(each.kind is not Parameter.VAR_KEYWORD for each in parameters.values()):
        check_extra(extra, [each for each in parameters if each != "training"], model)


def _is_graph(model: Any) -> bool:
    """Whether a model was built from symbolic inputs; Keras 2 marks such ones."""
    return hasattr(model, "_operations") or getattr(model, "_is_graph_network", False)


def _check_number(model: Any, tree: Any) -> None:
    """Refuse another number of inputs than a model was built with: Keras would use the first ones."""
    input_names = [each.name for each in getattr(model, "inputs", None) or []]
    count = 1 if is_array(tree) else len(tree)
    missing = count < len(input_names) or (count > len(input_names) and not isinstance(tree, dict))
    if input_names and missing:
        message = f"{type(model).__name__} takes {len(input_names)} input(s) ({', '.join(input_names)}) but {count} were given. Pass one array, or a tuple or dict of as many arrays as it takes."
        raise InputError(message)


def _parameters(model: Any) -> list[Parameter]:
    """The inputs that a model's own ``call`` names."""
    kinds = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
    parameters = signature(getattr(model.call, "python_function", model.call)).parameters.values()
    return [each for each in parameters if each.kind in kinds and each.name not in _SWITCHES]


def _positional(model: Any, extra: Mapping[str, Any]) -> int:
    """The number of inputs a model's own ``call`` takes by position."""
    free = [each for each in _parameters(model) if each.name not in extra]
    return sum(each.kind is not Parameter.KEYWORD_ONLY for each in free)


def _by_name(model: Any, tree: dict[Any, Any], extra: Mapping[str, Any]) -> bool:
    """Whether a dict is for the parameters of a model's ``call``, and not for one of them."""
    free = [each for each in _parameters(model) if each.name not in extra]
    is_required, keys = {each.name: each.default is Parameter.empty for each in free}, set(tree)
    needed = {name for name, required in is_required.items() if required}
    if needed <= keys <= set(is_required):
        return True
    if len(needed) > 1:
        message = f"the call of {type(model).__name__} takes {', '.join(is_required)} but the dict holds {', '.join(map(str, tree))}. Name the dict's entries as call does."
        raise InputError(message)
    return False
