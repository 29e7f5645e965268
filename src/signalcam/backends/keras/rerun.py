"""Run a Keras model again with other activations; what lies before the layer need not run."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

from signalcam.backends.attribute_patch import patch_attribute
from signalcam.backends.keras.hooks import KerasWalk
from signalcam.backends.keras.method_patches import is_symbolic
from signalcam.inputs.pytree import repeat_samples

Own = Callable[..., Any]
_here: ContextVar[bool] = ContextVar("signalcam_again", default=False)


@dataclass
class KerasPrefixCache:
    """What a model's outermost layers returned before one of them did.

    Attributes:
        rows: Samples that went in.
        before: Each layer and what its call returned, in order.
        output: What the layer itself returned.
    """

    rows: int
    before: list[tuple[Any, Any]] = field(default_factory=list)
    output: Any = None


@contextmanager
def cache_prefix(keras_walk: KerasWalk, layer: Any, call_number: int, rows: int) -> Iterator[KerasPrefixCache]:
    """Keep what every outermost layer returns, in this thread, until a layer's call has."""
    prefix, starts, calls = KerasPrefixCache(rows), list[int](), 0

    def around(node: Any, own: Own, args: Any, kwargs: Any) -> Any:
        nonlocal calls
        if prefix.output is not None:
            return own(*args, **kwargs)
        starts.append(len(prefix.before))
        y = own(*args, **kwargs)
        start = starts.pop()
        if prefix.output is not None or is_symbolic(y):
            return y
        del prefix.before[start:]
        calls += node is layer
        if calls > call_number:
            prefix.output = y
        else:
            prefix.before.append((node, y))
        return y

    nodes = [node for _, node in keras_walk.nodes() if id(node) not in keras_walk.looped]
    with _wrapped(nodes, around):
        yield prefix


@contextmanager
def replay_prefix(
    layer: Any, prefix: KerasPrefixCache, samples: slice, times: int, last: Callable[[Any], Any]
) -> Iterator[None]:
    """Replay cached outputs of all earlier layers and return edited activations from this one."""
    queues: dict[int, tuple[Any, deque[Any]]] = {}

    def wide(y: Any) -> Any:
        return repeat_samples(y, prefix.rows, samples, times)

    for node, y in (*prefix.before, (layer, prefix.output)):
        outputs = queues.setdefault(id(node), (node, deque()))[1]
        outputs.append(wide(y))
    outputs = queues[id(layer)][1]
    outputs.append(last(outputs.pop()))

    def around(node: Any, own: Own, args: Any, kwargs: Any) -> Any:
        waiting = queues[id(node)][1]
        return waiting.popleft() if waiting else own(*args, **kwargs)

    with _wrapped([node for node, _ in queues.values()], around):
        yield


@contextmanager
def _wrapped(nodes: list[Any], around: Callable[[Any, Own, Any, Any], Any]) -> Iterator[None]:
    """Wrap the calls of layers, for this thread only."""
    with ExitStack() as stack:
        for node in nodes:
            for name in ("call", "quantized_call"):
                own = getattr(node, name, None)
                if callable(own):
                    stack.enter_context(patch_attribute(node, name, _around(node, own, around)))
        token = _here.set(True)
        stack.callback(_here.reset, token)
        yield


def _around(node: Any, own: Own, around: Callable[[Any, Own, Any, Any], Any]) -> Own:
    @wraps(own)
    def call(*args: Any, **kwargs: Any) -> Any:
        return around(node, own, args, kwargs) if _here.get() else own(*args, **kwargs)

    return call
