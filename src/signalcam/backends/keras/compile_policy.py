"""Which runs are worth compiling, and for how long what was compiled stays right."""

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
_KEPT = 16  # kinds of runs remembered for each model
_PLAIN = (bool, int, float, str, bytes, type(None))
_log = logging.getLogger("signalcam")


@dataclass
class _Known:
    """What is known of runs alike: same layers, shapes and question, and a model in the same state."""

    state: Sequence[Any]
    runs: int = 0
    classes: int | None = None
    shapes: Sequence[tuple[Any, Any]] | None = None
    seen: OutputInfo | None = None
    compiled: Compiled | None = None
    tried: bool = False


_remembered: WeakKeyDictionary[Any, OrderedDict[Any, _Known]] = WeakKeyDictionary()


def run_request(engine: Engine, task: RunRequest, layers: Sequence[str], walked: KerasWalk) -> Run:
    """Run a task: as it is at first, compiled once its like has come ``AFTER`` times."""
    known = _known(task, layers, walked)
    if known is None:
        return engine.forward_backward(task)
    if known.runs >= AFTER and known.seen is not None and not known.tried:
        known.compiled, known.tried = _compiled(engine, task, known.seen), True
    task.question.check(known.classes)
    run = known.compiled(task) if known.compiled else None
    return run or _counted(engine.forward_backward(replace(task, shapes=known.shapes)), known)


def _counted(run: Run, known: _Known) -> Run:
    if run.seen != known.seen:
        known.seen, known.runs, known.compiled, known.tried = run.seen, 0, None, False
    known.runs, known.classes = known.runs + 1, run.reading.told
    known.shapes = [(each.shape, each.dtype) for each in run.kept]
    return run


def _compiled(engine: Engine, task: RunRequest, seen: OutputInfo) -> Compiled | None:
    try:
        return engine.compile_request(task, seen)
    except Exception as error:  # noqa: BLE001 - whatever a model does that cannot be traced, it can still be run
        _log.info("%s runs uncompiled: %s", type(task.model).__name__, error)
        return None


def _known(task: RunRequest, layers: Sequence[str], walked: KerasWalk) -> _Known | None:
    """Look runs alike up; ``None`` where nothing tells that they will be alike again."""
    repeated, spec = task.question.repeated, tuple(_spec(task.tree))
    if repeated is None or None in spec or task.question.kind == "curved":  # has no compiled form
        return None
    ours, key = _remembered.setdefault(task.model, OrderedDict()), (tuple(layers), spec, repeated)
    state = _state(walked)
    if key not in ours or not _same(ours[key].state, state):
        ours[key] = _Known(state)
    ours.move_to_end(key)
    while len(ours) > _KEPT:
        ours.popitem(last=False)
    return ours[key]


def _spec(tree: Any) -> Iterator[Any]:
    """Describe nested inputs by structure, shapes and kinds; ``None`` for what has no such description."""
    if is_array(tree):
        yield tuple(tree.shape), str(tree.dtype)
    elif isinstance(tree, dict):
        yield from chain(("{",), *((key, *_spec(entry)) for key, entry in tree.items()), ("}",))
    elif isinstance(tree, tuple | list):
        yield from chain((type(tree),), *map(_spec, tree), (")",))
    else:
        yield (type(tree), tree) if isinstance(tree, _PLAIN) else None


def _state(walked: KerasWalk) -> list[Any]:
    """Everything a layer holds, so that whatever is replaced in it later is noticed."""
    nodes = [walked.model, *walked.paths.values()]
    return [*nodes, *chain.from_iterable(each.__dict__.values() for each in nodes)]


def _same(old: Sequence[Any], new: Sequence[Any]) -> bool:
    return len(old) == len(new) and all(a is b for a, b in zip(old, new, strict=True))
