"""JAX: the taps are ports, through which a vjp lets gradients out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from signalcam.arrays import Array
from signalcam.backends.keras_engines.protocol import Forward, Run, Step, Watch
from signalcam.backends.keras_engines.read import look, read
from signalcam.backends.protocol import Pick, Question, Reach
from signalcam.targets import Asked


@jax.custom_vjp  # type: ignore[untyped-decorator] # jax need not be there for mypy
def _port(y: Array, _gate: Array) -> Array:
    """Hand on ``y``; ``_gate`` is there to receive the gradient that arrives."""
    return y


_port.defvjp(lambda y, _gate: (y, None), lambda _, arrived: (arrived, arrived))


def pull(_model: Any, forward: Forward, batch: int, question: Question) -> Run:
    """Run forward once; differentiate each score with respect to what was tapped."""
    names: list[str] = []

    def run(gates: Sequence[Array]) -> tuple[Any, list[Array]]:
        kept: list[Array] = []

        def watch(y: Array) -> Array:
            kept.append(_port(y, gates[len(kept)]))
            return kept[-1]

        raw, found = forward(watch)
        steps = [step for step in found if _readable(step, gates)]
        names[:] = [step.name for step in steps]
        return (raw, [(step.after, step.before) for step in steps]), kept

    (raw, pairs), back, kept = jax.vjp(run, _gates(forward), has_aux=True)
    steps = [Step(name, *pair) for name, pair in zip(names, pairs, strict=True)]
    seen = look(raw, steps, batch)
    reading = read(raw, steps, batch, seen)
    asked = question(reading)

    def values(raw: Any, pairs: Any) -> list[Array]:
        again = [Step(step.name, *pair) for step, pair in zip(steps, pairs, strict=True)]
        return [each.value for each in question(read(raw, again, batch, seen))]

    _, head = jax.vjp(values, raw, pairs)
    return Run(reading, asked, kept, _rows(asked, head, back))


def _readable(step: Step, gates: Sequence[Array]) -> bool:
    """Whether a step's arrays outlive it: those of a recurrent layer's loop do not."""
    here = [getattr(each, "_trace", None) for each in gates[:1]]
    traced = [each for each in (step.after, step.before) if isinstance(each, jax.core.Tracer)]
    return all(any(each._trace is trace for trace in here) for each in traced)  # noqa: SLF001 - no public name


def _rows(
    asked: Sequence[Asked], head: Callable[..., Any], back: Callable[..., Any]
) -> Iterator[Sequence[Array | None]]:
    for number in range(len(asked)):
        ones = [jnp.full_like(each.value, i == number) for i, each in enumerate(asked)]
        yield back(head(ones))[0]


def _gates(forward: Forward) -> list[Array]:
    """A zero shaped like each tapped output, found without computing anything."""
    shapes: list[Any] = []

    def watch(y: Array) -> Array:
        shapes.append((y.shape, y.dtype))
        return y

    def run() -> Any:
        return forward(watch)[0]

    jax.eval_shape(run)
    return [jnp.zeros(shape, dtype) for shape, dtype in shapes]


def reach(_model: Any, forward: Callable[[Array, Watch], None], x: Array, pick: Pick) -> Reach:
    """Differentiate the tapped output at some positions with respect to ``x``."""

    def run(x: Array) -> Array:
        kept: list[Array] = []

        def watch(y: Array) -> Array:
            kept.append(y)
            return y

        forward(x, watch)
        return kept[-1]

    last, back = jax.vjp(run, x)
    cells = tuple(last.shape[2:])
    picked = pick(cells)
    signs = jnp.asarray(np.random.default_rng(0).choice([-1.0, 1.0], last.shape[1]), last.dtype)
    felt = []
    for index in picked:
        here = (slice(None), slice(None), *index)
        (gradient,) = back(jnp.zeros_like(last).at[here].set(signs))
        felt.append(np.abs(np.asarray(gradient, np.float64)).sum(0))
    return Reach(cells, picked, np.asarray(felt))
