"""Import of a model from ``module:function``, as the command line names it."""

import sys
from functools import reduce
from importlib import import_module
from pathlib import Path
from typing import Any

from signalcam.backends import backend_of, network_of
from signalcam.errors import ModelError


def import_model(name: str) -> Any:
    """Import a model, or call a function without arguments that returns one.

    Args:
        name: ``"module:attribute"``. The current folder is searched for modules, too.

    Raises:
        ModelError: The model cannot be imported or built, or no backend owns it.

    Example:
        >>> type(import_model("signalcam.demo.network:load")).__name__
        'BeatNet'
    """
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        message = (
            f"{name!r} names no model. Write module:function, such as my_models:load; the function returns the model."
        )
        raise ModelError(message)
    candidate = _build_model(name, module, attribute)
    backend_of(network_of(candidate))  # raises the fitting error
    return candidate


def _build_model(name: str, module: str, attribute: str) -> Any:
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        target = reduce(getattr, attribute.split("."), import_module(module))
        return target() if callable(target) and not _is_model(target) else target
    except Exception as error:
        message = f"no model came from {name!r}: {type(error).__name__}: {error}. Give module:function; the function needs no arguments."
        raise ModelError(message) from error
    finally:
        sys.path.remove(folder)


def _is_model(candidate: Any) -> bool:
    try:
        backend_of(network_of(candidate))
    except ModelError:
        return False
    return True
