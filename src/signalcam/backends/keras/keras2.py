"""Keras 2, the package ``tf_keras``: tapped like Keras 3, which must run on TensorFlow as well."""

from __future__ import annotations

from signalcam.backends.keras.backend import KerasBackend

BACKEND = KerasBackend("tf_keras")
