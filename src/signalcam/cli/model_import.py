"""A model by the name of what builds it, for the command line."""

import sys
from functools import reduce
from importlib import import_module
from pathlib import Path
from typing import Any

from signalcam.backends import backend_of, network_of
from signalcam.errors import ModelError


def import_model(name: str) -> Any:
    """Import a model, or what returns one when called with nothing.

    Args:
        name: ``"module:attribute"``; modules are also looked for in the current folder.

    Raises:
        ModelError: It cannot be imported or built, or is no model.

    Example:
        >>> type(model_from("signalcam.demo.network:load")).__name__
        'BeatNet'
    """
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        message = (
            f"{name!r} names no model. Write module:function, such as my_models:load, where function returns the model."
        )
        raise ModelError(message)
    candidate = _build_model(name, module, attribute)
    backend_of(network_of(candidate))  # says itself what is wrong
    return candidate


def _build_model(name: str, module: str, attribute: str) -> Any:
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        target = reduce(getattr, attribute.split("."), import_module(module))
        return target() if callable(target) and not _is_model(target) else target
    except Exception as error:
        message = f"no model came from {name!r}: {type(error).__name__}: {error}. Give module:function, where function needs no arguments."
        raise ModelError(message) from error
    finally:
        sys.path.remove(here)


def _is_model(candidate: Any) -> bool:
    try:
        backend_of(network_of(candidate))
    except ModelError:
        return False
    return True
