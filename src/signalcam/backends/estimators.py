"""Find the network inside an estimator or learner, without importing its package."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from signalcam.errors import ModelError

_log = logging.getLogger("signalcam")

# skorch and braindecode; aeon and scikeras; a search over estimators; fastai, tsai and trainers
_NETWORK_ATTRIBUTES = ("module_", "model_", "best_estimator_", "model")
_OF_ESTIMATORS = ("skorch", "braindecode", "aeon", "scikeras")


def unwrap_network(model: object, is_network: Callable[[object], bool]) -> object:
    """Return the network an object holds; the object itself where it is one, or holds none.

    Args:
        model: Whatever the user passed.
        is_network: Whether a backend takes an object.

    Raises:
        ModelError: An estimator is not fitted, or is made of several parts.
    """
    if is_network(model):
        return model
    kind = type(model).__name__
    for name in _NETWORK_ATTRIBUTES:
        inner = getattr(model, name, None)
        if is_network(inner):
            _log.info("explaining the network in %s.%s", kind, name)
            return inner
        if name == "best_estimator_" and inner is not None:
            return unwrap_network(inner, is_network)
    if message := _why_none(model):
        raise ModelError(f"{kind} {message}")
    return model


def _why_none(model: Any) -> str:
    """The reason why an estimator holds no network; empty where it is no estimator."""
    if hasattr(model, "named_steps"):
        return "prepares its input before the network sees it: expected the estimator alone. Pass its last step, model[-1], and explain what the steps before it make of the input, model[:-1].transform(x)."
    for name in ("classifiers_", "regressors_"):
        if getattr(model, name, None):
            return f"asks several networks: expected one. Explain each of them: model.{name}[0] and so on."
    packages = {each.__module__.partition(".")[0] for each in type(model).__mro__}
    if packages.intersection(_OF_ESTIMATORS) and hasattr(model, "fit"):
        return "holds no network yet: expected a fitted estimator. Call fit first, or pass the network itself."
    return ""
