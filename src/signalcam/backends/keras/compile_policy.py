"""Decide which runs to compile, and when a compiled run is out of date."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any
from weakref import WeakKeyDictionary

from signalcam.backends.keras.engine import Compiled, Engine, OutputInfo, Run, RunRequest
from signalcam.backends.keras.hooks import KerasWalk
from signalcam.inputs.pytree import is_array

AFTER = 4  # runs alike before one is compiled: compiling costs what it saves in about so many
_MOST_KINDS = 16  # kinds of runs remembered for each model
_PLAIN = (bool, int, float, str, bytes, type(None))
_log = logging.getLogger("signalcam")


@dataclass
class _RunHistory:
    """Earlier runs of one kind: equal layers, shapes and question, and an unchanged model."""

    state: Sequence[Any]
    runs: int = 0
    classes: int | None = None
    shapes: Sequence[tuple[Any, Any]] | None = None
    info: OutputInfo | None = None
    compiled: Compiled | None = None
    tried: bool = False


_remembered: WeakKeyDictionary[Any, OrderedDict[Any, _RunHistory]] = WeakKeyDictionary()


def run_request(engine: Engine, task: RunRequest, layers: Sequence[str], walked: KerasWalk) -> Run:
    """Run a request: eagerly at first, compiled once ``AFTER`` runs of its kind have come."""
    history = _history_of(task, layers, walked)
    if history is None:
        return engine.forward_backward(task)
    if history.runs >= AFTER and history.info is not None and not history.tried:
        history.compiled, history.tried = _compiled(engine, task, history.info), True
    task.question.check(history.classes)
    run = history.compiled(task) if history.compiled else None
    return run or _counted(engine.forward_backward(replace(task, shapes=history.shapes)), history)


def _counted(run: Run, history: _RunHistory) -> Run:
    if run.info != history.info:
        history.info, history.runs, history.compiled, history.tried = run.info, 0, None, False
    history.runs, history.classes = history.runs + 1, run.reading.class_count
    history.shapes = [(each.shape, each.dtype) for each in run.activations]
    return run


def _compiled(engine: Engine, task: RunRequest, info: OutputInfo) -> Compiled | None:
    try:
        return engine.compile_request(task, info)
    except Exception as error:  # noqa: BLE001 - whatever a model does that cannot be traced, it can still be run
        _log.info("%s runs uncompiled: %s", type(task.model).__name__, error)
        return None


def _history_of(task: RunRequest, layers: Sequence[str], walked: KerasWalk) -> _RunHistory | None:
    """Find the history of a kind of run; ``None`` where the kind cannot be known."""
    repeated, spec = task.question.repeated, tuple(_spec(task.tree))
    if repeated is None or None in spec or task.question.kind == "curved":  # has no compiled form
        return None
    ours, key = _remembered.setdefault(task.model, OrderedDict()), (tuple(layers), spec, repeated)
    state = _state(walked)
    if key not in ours or not _same(ours[key].state, state):
        ours[key] = _RunHistory(state)
    ours.move_to_end(key)
    while len(ours) > _MOST_KINDS:
        ours.popitem(last=False)
    return ours[key]


def _spec(tree: Any) -> Iterator[Any]:
    """Describe nested inputs by structure, shapes and types; ``None`` where that is not possible."""
    if is_array(tree):
        yield tuple(tree.shape), str(tree.dtype)
    elif isinstance(tree, dict):
        yield from chain(("{",), *((key, *_spec(entry)) for key, entry in tree.items()), ("}",))
    elif isinstance(tree, tuple | list):
        yield from chain((type(tree),), *map(_spec, tree), (")",))
    else:
        yield (type(tree), tree) if isinstance(tree, _PLAIN) else None


def _state(walked: KerasWalk) -> list[Any]:
    """Everything a layer holds, so that a later replacement is noticed."""
    nodes = [walked.model, *walked.paths.values()]
    return [*nodes, *chain.from_iterable(each.__dict__.values() for each in nodes)]


def _same(old: Sequence[Any], new: Sequence[Any]) -> bool:
    return len(old) == len(new) and all(a is b for a, b in zip(old, new, strict=True))
