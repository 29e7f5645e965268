"""TensorFlow: a tape that watches nothing but the taps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from signalcam.arrays import Array
from signalcam.backends.keras_engines.protocol import Forward, Run, Seen, Watch
from signalcam.backends.keras_engines.read import look, read
from signalcam.backends.protocol import Pick, Question, Reach
from signalcam.targets import Asked

_MANY = (
    8  # taps beyond which a second pass, as a graph, is cheaper than an eager tape's by-products
)


def pull(_model: Any, forward: Forward, batch: int, question: Question) -> Run:
    """Run forward once; differentiate each score with respect to what was tapped."""
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
        kept, watch = _taps(tape)
        raw, steps = forward(watch)
        seen = look(raw, steps, batch)
        reading = read(raw, steps, batch, seen)
        asked = question(reading)
    rows = _rows(tape, asked, kept)
    if len(kept) > _MANY:
        rows = _rows_of_graph(forward, batch, question, seen)
    return Run(reading, asked, kept, rows)


def _taps(tape: Any) -> tuple[list[Array], Watch]:
    kept: list[Array] = []

    def watch(y: Array) -> Array:
        fresh = tf.identity(y)  # a layer may hand back its very input, which is not to be watched
        tape.watch(fresh)
        kept.append(fresh)
        return fresh

    return kept, watch


def _rows(
    tape: Any, asked: Sequence[Asked], kept: Sequence[Array]
) -> Iterator[Sequence[Array | None]]:
    for each in asked:
        yield tape.gradient(each.value, list(kept))


def _rows_of_graph(
    forward: Forward, batch: int, question: Question, seen: Seen
) -> Iterator[Sequence[Array | None]]:
    """Differentiate in a graph: an eager tape computes every kernel's gradient on its way."""
    reached: list[list[bool]] = []

    def run() -> list[list[Array]]:
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            kept, watch = _taps(tape)
            raw, steps = forward(watch)
            asked = question(read(raw, steps, batch, seen))
        rows = [list(row) for row in _rows(tape, asked, kept)]
        reached[:] = [[each is not None for each in row] for row in rows]
        return [[each for each in row if each is not None] for row in rows]

    for row, there in zip(
        tf.function(run, autograph=False).get_concrete_function()(), reached, strict=True
    ):
        waiting = iter(row)
        yield [next(waiting) if each else None for each in there]


def reach(_model: Any, forward: Callable[[Array, Watch], None], x: Array, pick: Pick) -> Reach:
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
    return Reach(cells, picked, np.asarray([each.numpy() for each in support], dtype=np.float64))
