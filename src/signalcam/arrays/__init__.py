"""The array standard's functions for the arrays of every framework."""

from types import ModuleType
from typing import Any, TypeAlias

import array_api_compat
import numpy as np

Array: TypeAlias = Any  # an array of any framework; the standard defines no common base class

try:
    from jaxtyping import Float
except ImportError:  # shapes are checked by the tests only, so users need not install it
    Layered: TypeAlias = Any
    Map: TypeAlias = Any
    Weights: TypeAlias = Any
else:
    Layered = Float[Any, "b c p"]  # type: ignore[misc] # the same names, with shapes
    Map = Float[Any, "b p"]  # type: ignore[misc] # the same names, with shapes
    Weights = Float[Any, "b c"]  # type: ignore[misc] # the same names, with shapes


def namespace(array: Array) -> ModuleType:
    """Return the module that holds the array standard's functions for ``array``."""
    if type(array).__module__.startswith("tensorflow."):
        from signalcam.arrays import tensorflow  # noqa: PLC0415 - TensorFlow is loaded

        return tensorflow
    module: ModuleType = array_api_compat.array_namespace(array)
    return module


def take_entries(array: Array, places: np.ndarray, axis: int) -> Array:
    """Take entries along an axis by index."""
    xp, here = namespace(array), array_api_compat.device(array)
    return xp.take(array, xp.asarray(places.astype(np.int32), device=here), axis=axis)


def flatten_positions(array: Array) -> Layered:
    """Turn ``(b, c, *positions)`` into ``(b, c, p)``, in single precision at least."""
    xp = namespace(array)
    wide = array if array.dtype in (xp.float32, xp.float64) else xp.astype(array, xp.float32)
    return xp.reshape(wide, (*wide.shape[:2], -1))
