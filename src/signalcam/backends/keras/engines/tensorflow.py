"""TensorFlow: a gradient tape that watches the tapped outputs only."""

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
    """Run forward once; differentiate each score with respect to the tapped outputs."""
    curved = task.question.kind == "curved"
    tape, second = (tf.GradientTape(persistent=True, watch_accessed_variables=False) for _ in range(2))
    with second if curved else nullcontext(), tape:
        activations, watch = _taps(tape, *([second] if curved else []))
        ran = task.forward(task.tree, watch)
        info = find_last_step(ran, task.batch)
        reading = read_output(ran, task.batch, info)
        task.question.check(reading.class_count)
        scored_targets = task.question.ask(reading)
    if curved:
        return Run(
            reading, scored_targets, activations, _curved(tape, second, scored_targets, activations), ran.calls, info
        )
    rows = _rows_of_graph(task, info) if len(activations) > _MANY else _rows(tape, scored_targets, activations)
    return Run(reading, scored_targets, activations, rows, ran.calls, info)


def compile_request(task: RunRequest, info: OutputInfo) -> Compiled:
    """Trace the run and its backward passes into one graph."""
    traces: list[Traced] = []
    bare = replace(task, tree=None)

    def run(tree: Any, own: Sequence[Array]) -> dict[str, Any]:
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            activations, watch = _taps(tape)
            ran = bare.forward(tree, watch)
            reading = read_output(ran, bare.batch, info)
            scored_targets = bare.question.ask(reading, own)
        rows = [list(row) for row in _rows(tape, scored_targets, activations)]
        traces.append(Traced(ran.calls, [[each is not None for each in row] for row in rows]))
        there = [[each for each in row if each is not None] for row in rows]
        return {**trace_outputs(ran, reading, scored_targets, activations, info), "rows": there}

    graph = tf.function(run, autograph=False).get_concrete_function(task.tree, _own(task))

    def again(task: RunRequest) -> Run | None:
        return finish_run(graph(task.tree, _own(task)), traces[-1], task, info)

    return again


def _own(task: RunRequest) -> list[Array]:
    return [tf.constant(each) for each in task.question.own]


def _taps(*tapes: Any) -> tuple[list[Array], Watch]:
    activations: list[Array] = []

    def watch(y: Array) -> Array:
        fresh = tf.identity(y)  # a layer may hand back its very input, which is not to be watched
        for tape in tapes:
            tape.watch(fresh)
        activations.append(fresh)
        return fresh

    return activations, watch


def _rows(
    tape: Any, scored_targets: Sequence[ScoredTarget], activations: Sequence[Array]
) -> Iterator[Sequence[Array | None]]:
    for scored_target in scored_targets:
        yield tape.gradient(scored_target.value, list(activations))


def _curved(
    first: Any, second: Any, scored_targets: Sequence[ScoredTarget], activations: Sequence[Array]
) -> Iterator[Sequence[Array | None]]:
    """Each gradient less half of the Hessian times the activations."""
    try:
        for scored_target in scored_targets:
            with second:
                g = [
                    None if row is None else tf.convert_to_tensor(row)
                    for row in first.gradient(scored_target.value, list(activations))
                ]
                along = [
                    None if row is None else tf.reduce_sum(row * tf.stop_gradient(y))
                    for row, y in zip(g, activations, strict=True)
                ]
            yield [
                None if row is None else row - second.gradient(total, y, unconnected_gradients="zero") / 2
                for row, total, y in zip(g, along, activations, strict=True)
            ]
    except LookupError as error:
        raise MethodError(explain_one_derivative("TensorFlow", error)) from error


def _rows_of_graph(task: RunRequest, info: OutputInfo) -> Rows:
    """Differentiate in a graph: an eager tape computes the gradient of every kernel on its way."""
    run = compile_request(task, info)(task)
    return run.rows if run else ()


def no_grad() -> AbstractContextManager[None]:
    """Do nothing: a tape watches only what it is given."""
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
    picks: list[tuple[tuple[int, ...], Sequence[tuple[int, ...]]]] = []

    def run(x: Array) -> list[Array]:
        activations: list[Array] = []

        def watch(y: Array) -> Array:
            activations.append(y)
            return y

        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            tape.watch(x)
            forward(x, watch)
            last = tf.cast(activations[-1], tf.float32)
            cells = tuple(int(length) for length in last.shape[2:])
            picks[:] = [(cells, pick(cells))]
            signs = np.random.default_rng(0).choice([-1.0, 1.0], last.shape[1])
            weighed = last * tf.constant(signs.reshape(1, -1, *[1] * len(cells)), tf.float32)
            everything = slice(None), slice(None)
            totals = [tf.reduce_sum(weighed[(*everything, *index)]) for index in picks[0][1]]
        gradients = [tape.gradient(each, x, unconnected_gradients="zero") for each in totals]
        return [tf.reduce_sum(tf.abs(each), axis=0) for each in gradients]

    # a graph of its own for each size is meant, so TensorFlow is not to count and warn
    support = tf.function(run, autograph=False).get_concrete_function(x)(x)
    cells, picked = picks[0]
    return Support(cells, picked, np.asarray([each.numpy() for each in support], dtype=np.float64))
