"""Replace the backward pass of elementwise steps: guided rectifiers, DeepLIFT's rescale rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any

import numpy as np
from keras import ops

from signalcam.arrays import Array
from signalcam.backends.attribute_patch import patch_attribute
from signalcam.backends.keras.activation_log import first_half
from signalcam.backends.keras.engine import Forward, RunResult, Watch
from signalcam.backends.keras.hooks import KerasWalk
from signalcam.backends.keras.method_patches import is_symbolic
from signalcam.backends.keras.patch_points import patch_functions, patch_held_functions
from signalcam.inputs.pytree import is_array, map_arrays

_RECTIFIERS = ("relu", "relu_", "relu6", "relu6_")
_ELEMENTWISE = (
    *_RECTIFIERS,
    "leaky_relu",
    "leaky_relu_",
    "elu",
    "elu_",
    "selu",
    "selu_",
    "celu",
    "celu_",
    "gelu",
    "silu",
    "swish",
    "mish",
    "sigmoid",
    "sigmoid_",
    "tanh",
    "tanh_",
    "softplus",
    "softsign",
    "hard_tanh",
    "hardtanh",
    "hardtanh_",
    "hard_sigmoid",
    "hardsigmoid",
    "hard_silu",
    "hard_swish",
    "hardswish",
    "log_sigmoid",
    "logsigmoid",
    "tanh_shrink",
    "tanhshrink",
    "soft_shrink",
    "softshrink",
    "hard_shrink",
    "hardshrink",
    "sparse_plus",
    "sparse_sigmoid",
    "squareplus",
    "threshold",
    "prelu",
    "exp",
    "exponential",
    "square",
    "pow",
    "power",
    "sqrt",
    "log",
)
_LEAKY = ("PReLU",)  # layers that compose what is no rectifier of rectifiers
_NEAR = 1e-6  # inputs nearer than this have a difference quotient of nothing but rounding


@dataclass
class BackwardReplacement:
    """Another backward pass for some functions.

    Attributes:
        names: The functions'.
        bend: From a function's input and output to the output with another way back.
        count: How many were bent.
    """

    names: Sequence[str]
    bend: Callable[[Array, Array], Array]
    count: int = 0


_bending: ContextVar[BackwardReplacement | None] = ContextVar("signalcam_bending", default=None)


def guided() -> BackwardReplacement:
    """Pass back only positive gradients at rectifiers; leaky ones are left alone."""
    return BackwardReplacement(_RECTIFIERS, lambda _z, y: ops.custom_gradient(_gate)(y))


def rescale(rows: int) -> BackwardReplacement:
    """Pass back the difference quotient between samples and their references in the second half.

    Args:
        rows: How many samples there are, and as many references.
    """
    return BackwardReplacement(_ELEMENTWISE, lambda z, y: _rescaled(z, y) if z.shape[0] % (2 * rows) == 0 else y)


@contextmanager
def replace_backward(bending: BackwardReplacement, keras_walk: KerasWalk) -> Iterator[None]:
    """Replace the functions, in this thread only, until the block ends; no layer is changed."""
    nodes = [keras_walk.model, *keras_walk.paths.values()]
    leaky = [each for each in nodes if bending.names == _RECTIFIERS and _is_leaky(each)]
    with ExitStack() as stack:
        stack.enter_context(patch_functions(bending.names, _bendable, composed=True))
        stack.enter_context(patch_held_functions(bending.names, _bendable, nodes, composed=True))
        for function in leaky:
            stack.enter_context(patch_attribute(function, "call", _straight(function.call)))
        token = _bending.set(bending)
        stack.callback(_bending.reset, token)
        yield


def _bendable(_name: str, own: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function; its own inner calls and leaky rectifiers are left alone."""
    plain = _straight(own)

    @wraps(own)
    def call(*args: Any, **kwargs: Any) -> Any:
        bending = _bending.get()
        z: Any = args[0] if args else next(iter(kwargs.values()), None)
        if bending is None or not _is_number(z):
            return own(*args, **kwargs)
        if bending.names == _RECTIFIERS and _leaks(args, kwargs):
            return plain(*args, **kwargs)
        copied = z.clone() if hasattr(z, "clone") else z  # torch may go on in place
        y = plain(*args, **kwargs)
        if not _is_number(y) or tuple(y.shape) != tuple(copied.shape) or _of_two(copied, args[1:]):
            return y
        bending.count += 1
        return bending.bend(copied, y)

    return call


def _straight(own: Callable[..., Any]) -> Callable[..., Any]:
    """Call a function without replacements inside it."""

    @wraps(own)
    def call(*args: Any, **kwargs: Any) -> Any:
        token = _bending.set(None)
        try:
            return own(*args, **kwargs)
        finally:
            _bending.reset(token)

    return call


def _is_number(value: Any) -> bool:
    return is_array(value) and "float" in str(value.dtype) and not is_symbolic(value)


def _of_two(z: Array, others: Sequence[Any]) -> bool:
    """Whether a function has a second batched input, whose gradient would be lost: a product."""
    return any(is_array(each) and each.shape[0] == z.shape[0] for each in others)


def _is_leaky(node: Any) -> bool:
    return any(each.__name__ in _LEAKY for each in type(node).__mro__)


def _leaks(args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
    """Whether a rectifier is called with a slope below zero, by name (Keras 3 and 2) or position."""
    slopes = [kwargs.get("negative_slope"), kwargs.get("alpha"), *args[1:2]]
    numbers = (int, float, np.generic, np.ndarray)
    return any(isinstance(each, numbers) and not isinstance(each, bool) and bool(each) for each in slopes)


def _gate(y: Array) -> tuple[Array, Callable[..., Array]]:
    """Return ``y``, and pass back only positive gradients."""

    def back(*arrived: Array, upstream: Array | None = None) -> Array:
        g = arrived[0] if upstream is None else upstream  # each engine of Keras has its own way
        return ops.where(g > 0, g, ops.zeros_like(g))

    return ops.copy(y), back


def _rescaled(z: Array, y: Array) -> Array:
    """Return ``y``, and pass the difference quotient between the halves back to the first.

    Nothing is sent to the second, the reference. ``z`` less itself adds nothing but a way back.
    """
    half = z.shape[0] // 2
    step = z[:half] - z[half:]
    far = ops.logical_and(ops.abs(step) >= _NEAR, ops.isfinite(step))
    slope = (y[:half] - y[half:]) / ops.where(far, step, ops.ones_like(step))
    slope = ops.where(far, slope, ops.zeros_like(slope))
    both = ops.concatenate([slope, slope], axis=0)
    sent = (z - ops.stop_gradient(z)) * ops.stop_gradient(both)
    return ops.where(ops.concatenate([far, far], axis=0), ops.stop_gradient(y) + sent, y)


def rescale_against_zero(forward: Forward, rows: int, keras_walk: KerasWalk) -> Forward:
    """Run every sample twice, once with zeros at the tapped layer, by the rescale rule.

    Args:
        forward: Runs the model once.
        rows: How many samples the batch holds.
        keras_walk: The model's layers.
    """

    def twice(array: Array) -> Array:
        return ops.concatenate([array, array], axis=0) if array.shape[0] == rows else array

    def both(tree: Any, watch: Watch) -> RunResult:
        def watch_first_half(y: Array) -> Array:
            half = y.shape[0] // 2
            return ops.concatenate([watch(y[:half]), ops.zeros_like(y[half:])], axis=0)

        with replace_backward(rescale(rows), keras_walk):
            ran = forward(map_arrays(twice, tree), watch_first_half)
        return replace(ran, raw=first_half(ran.raw, 2 * rows))

    return both
