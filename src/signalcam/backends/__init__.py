"""``backend_of``: the backend of a model, chosen by what the user has already imported."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

from signalcam.backends.estimators import unwrap_network
from signalcam.backends.unsupported import explain_onnx, explain_tensorflow
from signalcam.errors import ModelError

if TYPE_CHECKING:
    from signalcam.backends.protocol import Backend

# framework: the file that speaks it; Keras first, as its models on torch are modules of torch too
_BACKENDS = {
    "keras": "signalcam.backends.keras.backend",
    "tf_keras": "signalcam.backends.keras.keras2",
    "torch": "signalcam.backends.torch.backend",
}


def backend_of(model: object) -> Backend:
    """Return the backend that owns a model.

    Raises:
        ModelError: The model belongs to no framework that is imported, or cannot be looked into.
    """
    owner, unusable = _owner(model)
    if owner is None:
        raise ModelError(_why_nobody(model, unusable)) from next(iter(unusable), None)
    return owner


def network_of(model: object) -> object:
    """Return the network in an estimator, learner or exported program; anything else unchanged.

    Raises:
        ModelError: An estimator holds no network yet, or several; a program cannot be unflattened.
    """
    network = unwrap_network(model, lambda candidate: _is_exported(candidate) or _owner(candidate)[0] is not None)
    if _is_exported(network):
        unflattened: object = import_module("signalcam.backends.torch.exported").unflatten(network)
        return unflattened
    return network


def _is_exported(model: object) -> bool:
    """Whether a model is a program of ``torch.export``."""
    kind = type(model)
    return kind.__name__ == "ExportedProgram" and kind.__module__.startswith("torch.export")


def _owner(model: object) -> tuple[Backend | None, list[ImportError]]:
    """The backend that owns a model, and the errors of frameworks that could not be used."""
    unusable: list[ImportError] = []
    for framework in (each for each in _BACKENDS if each in sys.modules):
        try:
            backend: Backend = import_module(_BACKENDS[framework]).BACKEND
        except ImportError as error:  # an old Keras, say, which is no matter for a model of torch
            unusable.append(error)
            continue
        if backend.owns(model):
            return backend, unusable
    return None, unusable


def _why_nobody(model: object, unusable: list[ImportError]) -> str:
    frameworks = ", ".join(_BACKENDS)
    message = f"no backend owns {type(model).__name__!r}: expected a model of {frameworks}. Pass the network itself."
    if unusable:
        return f"{message} A framework could not be used, so its models are not known: {unusable[0]}. Install what is missing (SignalCAM needs Keras 3)."
    return explain_tensorflow(model) or explain_onnx(model) or message
