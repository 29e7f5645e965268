"""Where functions of Keras and its engine are looked up when they are called."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib import import_module
from inspect import unwrap
from typing import Any

import keras

from signalcam.backends.attribute_patch import patch_attribute

Wrapped = Callable[[str, Callable[..., Any]], Callable[..., Any]]
_ENGINES = {
    "tensorflow": ("tensorflow.nn", "tensorflow.math", "tensorflow"),
    "jax": ("jax.nn", "jax.numpy"),
    "torch": ("torch", "torch.nn.functional"),
}


@contextmanager
def patch_functions(names: Sequence[str], wrapped: Wrapped, *, composed: bool = False) -> Iterator[None]:
    """Wrap functions by name, wherever they are looked up, for the block.

    Args:
        names: The functions'.
        wrapped: From a name and its function to what stands in for it.
        composed: Keras' own activations as well, which it may compose of several functions.
    """
    with ExitStack() as stack:
        for module, name in _spellings(names, composed=composed):
            stack.enter_context(patch_attribute(module, name, wrapped(name, getattr(module, name))))
        yield


@contextmanager
def patch_held_functions(
    names: Sequence[str], wrapped: Wrapped, nodes: Iterable[Any], *, composed: bool = False
) -> Iterator[None]:
    """Wrap functions that layers hold themselves, as in ``activation=tf.nn.softmax``."""
    spellings = _spellings(names, composed=composed)
    names_by_id = {id(_bare(getattr(module, name))): name for module, name in spellings}
    with ExitStack() as stack:
        for node, entry, value in _functions(nodes, names):
            name = names_by_id.get(id(_bare(value)))
            if name is not None:
                stack.enter_context(patch_attribute(node, entry, wrapped(name, value)))
        yield


def _functions(nodes: Iterable[Any], names: Sequence[str]) -> list[tuple[Any, str, Any]]:
    """What layers hold that may be one of those functions, going by its own name."""
    return [
        (node, entry, value)
        for node in nodes
        for entry, value in node.__dict__.items()
        if callable(value) and str(getattr(_bare(value), "__name__", "")).startswith(tuple(names))
    ]


def _bare(function: Any) -> Any:
    """A function without what is around it, and without what it is called with."""
    inner = unwrap(function)
    return unwrap(inner.func) if isinstance(inner, partial) else inner


def _spellings(names: Sequence[str], *, composed: bool) -> list[tuple[Any, str]]:
    engine = keras.backend.backend()
    own = f"keras.src.backend.{engine}"
    modules = list(map(_module, (f"{own}.nn", f"{own}.numpy", *_ENGINES.get(engine, ()))))
    modules += _of_keras_2(composed=composed)
    if composed:
        modules += [import_module("keras.src.activations"), keras.activations]
    return [(module, name) for module in modules for name in names if callable(getattr(module, name, None))]


def _of_keras_2(*, composed: bool) -> list[Any]:
    """Where Keras 2 looks, which has a TensorFlow module of its own."""
    if "tf_keras" not in sys.modules:
        return []
    own = import_module("tf_keras.src.backend")
    modules = [own, own.tf, own.tf.nn, own.tf.math, _module("tensorflow.compat.v1.nn")]
    return [*modules, import_module("tf_keras.src.activations")] if composed else modules


def _module(name: str) -> Any:
    """A module by its path; TensorFlow's are attributes and cannot all be imported."""
    root, *rest = name.split(".")
    module: Any = import_module(root)
    for part in rest:
        module = getattr(module, part)
    return module
