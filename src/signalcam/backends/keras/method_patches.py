"""Patch methods of Keras layers for the length of a block, to watch or change what they return."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from typing import Any

import keras

from signalcam.backends.attribute_patch import patch_attribute
from signalcam.backends.keras.activation_log import record_held_steps
from signalcam.errors import CamError

_active: ContextVar[dict[int, Callable[[Any], Any]] | None] = ContextVar("signalcam_taps", default=None)


@dataclass(frozen=True)
class MethodPatch:
    """A layer, and a function for each of its outputs.

    Attributes:
        node: The layer.
        record: From an output to what the model goes on with.
        entry: ``"activation"`` to see what goes into the activation it holds, in place of its output.
    """

    node: Any
    record: Callable[[Any], Any]
    entry: str = "call"


@contextmanager
def patch_methods(shadows: Sequence[MethodPatch], nodes: Sequence[Any]) -> Iterator[None]:
    """Watch the outputs of layers, in this thread only, until the block ends."""
    with ExitStack() as stack:
        for node in nodes:
            stack.enter_context(_opened(node))
        stack.enter_context(record_held_steps(nodes))
        for shadow in shadows:
            stack.enter_context(_shadowed(shadow))
        token = _active.set({id(shadow.node): shadow.record for shadow in shadows})
        stack.callback(_active.reset, token)
        yield


@contextmanager
def _opened(node: Any) -> Iterator[None]:
    """Undo recomputation and ``tf.function`` for the block: they hide a layer's tensors."""
    with ExitStack() as stack:
        if node.__dict__.get("_remat_mode") is not None:
            stack.enter_context(patch_attribute(node, "_remat_mode", None))
        python = getattr(getattr(node, "call", None), "python_function", None)
        if python is not None:
            stack.enter_context(patch_attribute(node, "call", python))
        yield


@contextmanager
def _shadowed(shadow: MethodPatch) -> Iterator[None]:
    node, names = shadow.node, ("call", "quantized_call")
    with ExitStack() as stack:
        for name in names if shadow.entry == "call" else (shadow.entry,):
            own = getattr(node, name, None)
            if callable(own):
                around = _seeing if name in names else _seeing_before
                stack.enter_context(patch_attribute(node, name, around(node, own)))
        yield


def _seeing(node: Any, own: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(own)
    def call(*args: Any, **kwargs: Any) -> Any:
        return _record_output(node, own(*args, **kwargs))

    return call


def _seeing_before(node: Any, own: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(own)
    def activation(z: Any, *args: Any, **kwargs: Any) -> Any:
        return own(_record_output(node, z), *args, **kwargs)

    return activation


def _record_output(node: Any, y: Any) -> Any:
    watch = (_active.get() or {}).get(id(node))
    if watch is None or is_symbolic(y):
        return y
    with _in_our_words():
        return watch(y)


@contextmanager
def _in_our_words() -> Iterator[None]:
    """Mark an error as handled, so that Keras does not wrap it in a page of its own."""
    try:
        yield
    except CamError as error:
        error.__dict__["_keras_call_info_injected"] = True
        raise


def is_symbolic(y: Any) -> bool:
    """Whether anything in an output is a symbol for shapes only."""
    return any(map(_is_symbolic, keras.tree.flatten(y)))


def _is_symbolic(y: Any) -> bool:
    """Whether a layer only infers shapes; Keras 2 does so in a graph it drops."""
    graph = getattr(getattr(y, "graph", None), "name", "")
    return isinstance(y, keras.KerasTensor) or str(graph).endswith("_scratch_graph")


@contextmanager
def accept_any_length(nodes: Sequence[Any]) -> Iterator[None]:
    """Let models take inputs of other lengths than they were declared for."""
    with ExitStack() as stack:
        for node in nodes:
            if isinstance(node, keras.Model):
                stack.enter_context(patch_attribute(node, "_assert_input_compatibility", _anything))
            elif getattr(node, "_is_graph_network", False):  # a model of Keras 2
                stack.enter_context(patch_attribute(node, "_manual_input_spec", None))
        yield


def _anything(*_inputs: Any) -> None:
    """Accept inputs as they come."""
