"""Record what goes into softmax and sigmoid while a Keras model runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from functools import wraps
from importlib import import_module
from inspect import unwrap
from typing import Any

import keras

from signalcam.backends.attributes import attribute
from signalcam.backends.keras_engines.protocol import Step
from signalcam.backends.protocol import is_array

_STEPS = ("softmax", "log_softmax", "sigmoid")
_recorded: ContextVar[list[Step] | None] = ContextVar("signalcam_steps", default=None)


@contextmanager
def last_steps() -> Iterator[list[Step]]:
    """Record what goes into softmax and sigmoid, in this thread only, however they are spelt."""
    steps: list[Step] = []
    with ExitStack() as stack:
        for module, name in _spellings():
            stack.enter_context(attribute(module, name, _recording(name, getattr(module, name))))
        token = _recorded.set(steps)
        stack.callback(_recorded.reset, token)
        yield steps


def _spellings() -> list[tuple[Any, str]]:
    """Where the engine's softmax and sigmoid are looked up when they are called."""
    engine = keras.backend.backend()
    own = import_module(f"keras.src.backend.{engine}.nn")
    others = {
        "tensorflow": ("tensorflow.nn", "tensorflow.math", "tensorflow"),
        "jax": ("jax.nn",),
        "torch": ("torch", "torch.nn.functional"),
    }
    modules = [own, *(_module(name) for name in others.get(engine, ())), *_of_keras_2()]
    return [
        (module, name)
        for module in modules
        for name in _STEPS
        if callable(getattr(module, name, None))
    ]


def _of_keras_2() -> list[Any]:
    """Where Keras 2 looks, which has a TensorFlow module of its own."""
    if "tf_keras" not in sys.modules:
        return []
    own = import_module("tf_keras.src.backend")
    return [own, own.tf, own.tf.nn, own.tf.math, _module("tensorflow.compat.v1.nn")]


@contextmanager
def held_steps(nodes: Iterable[Any]) -> Iterator[None]:
    """Record those functions as well that layers hold themselves, until the block ends."""
    with ExitStack() as stack:
        for node, name, kind in _held(nodes):
            stack.enter_context(attribute(node, name, _recording(kind, getattr(node, name))))
        yield


def _held(nodes: Iterable[Any]) -> list[tuple[Any, str, str]]:
    """Where layers hold one of the engine's functions themselves, as in ``activation=tf.nn.softmax``."""
    spelt = {id(unwrap(getattr(module, name))): name for module, name in _spellings()}
    return [
        (node, attribute, spelt[id(unwrap(value))])
        for node in nodes
        for attribute, value in node.__dict__.items()
        if _may_be_step(value) and id(unwrap(value)) in spelt
    ]


def _may_be_step(value: Any) -> bool:
    return callable(value) and str(getattr(value, "__name__", "")).startswith(_STEPS)


def _module(name: str) -> Any:
    root, *rest = name.split(".")
    found: Any = import_module(root)
    for each in rest:
        found = getattr(found, each)
    return found


def _recording(name: str, own: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(own)
    def call(*args: Any, **kwargs: Any) -> Any:
        y = own(*args, **kwargs)
        steps = _recorded.get()
        before = args[0] if args else next(iter(kwargs.values()))
        if steps is not None and is_array(y) and is_array(before):
            steps.append(Step(name, y, before))
        return y

    return call
