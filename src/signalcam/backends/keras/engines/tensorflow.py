"""TensorFlow: a tape that watches nothing but the taps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf

from signalcam.arrays import Array
from signalcam.backends.keras.engine import Compiled, OutputInfo, Rows, Run, RunRequest, RunResult, Watch
from signalcam.backends.keras.logits import Traced, find_last_step, finish_run, read_output, trace_outputs
from signalcam.backends.protocol import Pick, Support
from signalcam.backends.unsupported import explain_one_derivative
from signalcam.errors import MethodError
from signalcam.targets import ScoredTarget

_MANY = 8  # taps beyond which a second pass, as a graph, is cheaper than an eager tape's by-products


def forward_backward(task: RunRequest) -> Run:
    """Run forward once; differentiate each score with respect to what was tapped."""
    curved = task.question.kind == "curved"
    tape, second = (tf.GradientTape(persistent=True, watch_accessed_variables=False) for _ in range(2))
    with second if curved else nullcontext(), tape:
        kept, watch = _taps(tape, *([second] if curved else []))
        ran = task.forward(task.tree, watch)
        seen = find_last_step(ran, task.batch)
        reading = read_output(ran, task.batch, seen)
        task.question.check(reading.told)
        asked = task.question.ask(reading)
    if curved:
        return Run(reading, asked, kept, _curved(tape, second, asked, kept), ran.calls, seen)
    rows = _rows_of_graph(task, seen) if len(kept) > _MANY else _rows(tape, asked, kept)
    return Run(reading, asked, kept, rows, ran.calls, seen)


def compile_request(task: RunRequest, seen: OutputInfo) -> Compiled:
    """Trace the run and its backward passes into one graph."""
    found: list[Traced] = []
    bare = replace(task, tree=None)

    def run(tree: Any, own: Sequence[Array]) -> dict[str, Any]:
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            kept, watch = _taps(tape)
            ran = bare.forward(tree, watch)
            reading = read_output(ran, bare.batch, seen)
            asked = bare.question.ask(reading, own)
        rows = [list(row) for row in _rows(tape, asked, kept)]
        found.append(Traced(ran.calls, [[each is not None for each in row] for row in rows]))
        there = [[each for each in row if each is not None] for row in rows]
        return {**trace_outputs(ran, reading, asked, kept, seen), "rows": there}

    graph = tf.function(run, autograph=False).get_concrete_function(task.tree, _own(task))

    def again(task: RunRequest) -> Run | None:
        return finish_run(graph(task.tree, _own(task)), found[-1], task, seen)

    return again


def _own(task: RunRequest) -> list[Array]:
    return [tf.constant(each) for each in task.question.own]


def _taps(*tapes: Any) -> tuple[list[Array], Watch]:
    kept: list[Array] = []

    def watch(y: Array) -> Array:
        fresh = tf.identity(y)  # a layer may hand back its very input, which is not to be watched
        for tape in tapes:
            tape.watch(fresh)
        kept.append(fresh)
        return fresh

    return kept, watch


def _rows(tape: Any, asked: Sequence[ScoredTarget], kept: Sequence[Array]) -> Iterator[Sequence[Array | None]]:
    for each in asked:
        yield tape.gradient(each.value, list(kept))


def _curved(
    first: Any, second: Any, asked: Sequence[ScoredTarget], kept: Sequence[Array]
) -> Iterator[Sequence[Array | None]]:
    """Each gradient less half of what the Hessian makes of the activations themselves."""
    try:
        for each in asked:
            with second:
                g = [
                    None if row is None else tf.convert_to_tensor(row) for row in first.gradient(each.value, list(kept))
                ]
                along = [
                    None if row is None else tf.reduce_sum(row * tf.stop_gradient(y))
                    for row, y in zip(g, kept, strict=True)
                ]
            yield [
                None if row is None else row - second.gradient(total, y, unconnected_gradients="zero") / 2
                for row, total, y in zip(g, along, kept, strict=True)
            ]
    except LookupError as error:
        raise MethodError(explain_one_derivative("TensorFlow", error)) from error


def _rows_of_graph(task: RunRequest, seen: OutputInfo) -> Rows:
    """Differentiate in a graph: an eager tape computes every kernel's gradient on its way."""
    run = compile_request(task, seen)(task)
    return run.rows if run else ()


def no_grad() -> AbstractContextManager[None]:
    """A tape watches only what it is told to."""
    return nullcontext()


def input_gradients(
    _model: Any, forward: Callable[[Array], RunResult], x: Array, ask: Callable[[RunResult, OutputInfo], list[Array]]
) -> list[tuple[Array, Array]]:
    """Score each target and differentiate it with respect to ``x``."""
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
        tape.watch(x)
        ran = forward(x)
        values = ask(ran, find_last_step(ran, int(x.shape[0])))
    return [(each, tape.gradient(each, x, unconnected_gradients="zero")) for each in values]


def input_support(_model: Any, forward: Callable[[Array, Watch], None], x: Array, pick: Pick) -> Support:
    """Differentiate the tapped output at some positions with respect to ``x``, in a graph."""
    found: list[tuple[tuple[int, ...], Sequence[tuple[int, ...]]]] = []

    def run(x: Array) -> list[Array]:
        kept: list[Array] = []

        def watch(y: Array) -> Array:
            kept.append(y)
            return y

        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            tape.watch(x)
            forward(x, watch)
            last = tf.cast(kept[-1], tf.float32)
            cells = tuple(int(length) for length in last.shape[2:])
            found[:] = [(cells, pick(cells))]
            signs = np.random.default_rng(0).choice([-1.0, 1.0], last.shape[1])
            weighed = last * tf.constant(signs.reshape(1, -1, *[1] * len(cells)), tf.float32)
            everything = slice(None), slice(None)
            totals = [tf.reduce_sum(weighed[(*everything, *index)]) for index in found[0][1]]
        felt = [tape.gradient(each, x, unconnected_gradients="zero") for each in totals]
        return [tf.reduce_sum(tf.abs(each), axis=0) for each in felt]

    # a graph of its own for each size is meant, so TensorFlow is not to count and warn
    support = tf.function(run, autograph=False).get_concrete_function(x)(x)
    cells, picked = found[0]
    return Support(cells, picked, np.asarray([each.numpy() for each in support], dtype=np.float64))
