"""Record the inputs of softmax and sigmoid while a Keras model runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any

from signalcam.arrays import Array
from signalcam.backends.keras.engine import Step
from signalcam.backends.keras.patch_points import patch_functions, patch_held_functions
from signalcam.inputs.pytree import is_array, map_arrays

_STEPS = ("softmax", "log_softmax", "sigmoid")
_recorded: ContextVar[Callable[[str, Array, Array], None] | None] = ContextVar("signalcam_steps", default=None)


@contextmanager
def record_last_steps(twice: int | None = None) -> Iterator[list[Step]]:
    """Record the inputs of softmax and sigmoid, in this thread only, wherever they are looked up.

    Args:
        twice: How many rows the batch has where each sample is run beside a reference; of such arrays the
            first half is kept, and cut at once: a loop's arrays do not outlive it.
    """
    steps: list[Step] = []

    def record(name: str, y: Array, before: Array) -> None:
        steps.append(Step(name, *first_half((y, before), twice)))

    with patch_functions(_STEPS, _recording):
        token = _recorded.set(record)
        try:
            yield steps
        finally:
            _recorded.reset(token)


def record_held_steps(nodes: Iterable[Any]) -> AbstractContextManager[None]:
    """Record also those functions that layers hold themselves, until the block ends."""
    return patch_held_functions(_STEPS, _recording, nodes)


def first_half(tree: Any, rows: int | None) -> Any:
    """Take the first half of every array with that many rows."""
    return map_arrays(lambda y: y[: rows // 2] if rows and y.shape[0] == rows else y, tree)


def _recording(name: str, own: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(own)
    def call(*args: Any, **kwargs: Any) -> Any:
        y = own(*args, **kwargs)
        record = _recorded.get()
        before = args[0] if args else next(iter(kwargs.values()))
        if record is not None and is_array(y) and is_array(before):
            record(name, y, before)
        return y

    return call
