"""Record attention weights while a Keras model runs, however attention is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from inspect import signature
from typing import Any

from signalcam.arrays import Array
from signalcam.backends.attention_maps import AttentionMaps
from signalcam.backends.attribute_patch import patch_attribute
from signalcam.backends.keras.engine import Watch
from signalcam.backends.keras.hooks import KerasWalk, move_channels_second, tensor_with_positions
from signalcam.backends.keras.method_patches import is_symbolic
from signalcam.backends.keras.patch_points import patch_functions, patch_held_functions
from signalcam.inputs.pytree import is_array

_SOFTMAX = ("softmax",)
_SCORES = "return_attention_scores"


@dataclass(frozen=True)
class _Run:
    """The records of one run, and the function that receives its attention weights."""

    attended: AttentionMaps
    watch: Watch

    def record(self, weights: Array) -> Array:
        """Record a softmax over the last axis."""
        return self.watch(weights) if self.attended.takes(tuple(weights.shape)) else weights


_running: ContextVar[_Run | None] = ContextVar("signalcam_attention", default=None)


@contextmanager
def record_attention(keras_walk: KerasWalk, layers: Sequence[Any], rows: int, watch: Watch) -> Iterator[AttentionMaps]:
    """Pass attention weights to a function, in this thread only, until the block ends.

    Args:
        keras_walk: The model's layers.
        layers: Those to note the runs of.
        rows: How many samples the batch holds.
        watch: From attention weights to what the model goes on with.
    """
    attended = AttentionMaps(type(keras_walk.model).__name__, rows)
    nodes = [keras_walk.model, *keras_walk.paths.values()]
    with ExitStack() as stack:
        stack.enter_context(patch_functions(_SOFTMAX, _seeing, composed=True))
        stack.enter_context(patch_held_functions(_SOFTMAX, _seeing, nodes, composed=True))
        for node in nodes:
            if callable(own := getattr(node, "call", None)) and _SCORES in signature(own).parameters:
                stack.enter_context(patch_attribute(node, "call", _with_weights(own)))
        for node in layers:
            stack.enter_context(patch_attribute(node, "call", _noting(node, node.call, keras_walk)))
        token = _running.set(_Run(attended, watch))
        stack.callback(_running.reset, token)
        yield attended


def _seeing(_name: str, own: Callable[..., Any]) -> Callable[..., Any]:
    """Watch a softmax over the last axis; its own inner calls are not watched."""

    @wraps(own)
    def call(x: Any, *args: Any, **kwargs: Any) -> Any:
        run = _running.get()
        token = _running.set(None)
        try:
            y = own(x, *args, **kwargs)
        finally:
            _running.reset(token)
        if run is None or not is_array(y) or is_symbolic(y):
            return y
        return run.record(y) if _axis(*args, **kwargs) in (-1, len(y.shape) - 1) else y

    return call


def _axis(axis: Any = -1, *_rest: Any, dim: Any = None, **_more: Any) -> Any:
    return axis if dim is None else dim


def _with_weights(own: Callable[..., Any]) -> Callable[..., Any]:
    """Make a layer compute its weights, which a fused kernel hides, without returning them."""

    @wraps(own)
    def call(*args: Any, **kwargs: Any) -> Any:
        bound = signature(own).bind(*args, **kwargs)
        if _running.get() is None or bound.arguments.get(_SCORES):
            return own(*args, **kwargs)
        bound.arguments[_SCORES] = True
        return own(*bound.args, **bound.kwargs)[0]

    return call


def _noting(node: Any, own: Callable[..., Any], keras_walk: KerasWalk) -> Callable[..., Any]:
    """Record when a layer ran, and which positions it has."""

    @wraps(own)
    def call(*args: Any, **kwargs: Any) -> Any:
        run = _running.get()
        before = len(run.attended.cells) if run else 0
        y = own(*args, **kwargs)
        tensor = tensor_with_positions(y)
        if run is not None and tensor is not None and not is_symbolic(tensor):
            run.attended.ran(node, before, move_channels_second(node, tensor, keras_walk).shape[2:])
        return y

    return call
