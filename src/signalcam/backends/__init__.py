"""Which framework a model belongs to, judged by what the user has already imported."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

from signalcam.errors import ModelError

if TYPE_CHECKING:
    from signalcam.backends.protocol import Backend

# framework: the file that speaks it; Keras first, as its models on torch are modules of torch too
_BACKENDS = {"keras": "signalcam.backends.keras", "torch": "signalcam.backends.torch"}


def backend_of(model: object) -> Backend:
    """Return the backend that owns a model.

    Raises:
        ModelError: The model belongs to no framework that is imported.
    """
    for framework, file in _BACKENDS.items():
        if framework in sys.modules:
            backend: Backend = import_module(file).BACKEND
            if backend.owns(model):
                return backend
    known = ", ".join(_BACKENDS)
    message = f"no backend owns {type(model).__name__!r}: expected a model of {known}. Pass the network itself."
    raise ModelError(message)
