"""JAX: each tapped output passes an identity with a dummy argument; its cotangent is the layer's gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from signalcam.arrays import Array
from signalcam.backends.keras.engine import Compiled, OutputInfo, Run, RunRequest, RunResult, Step, Watch
from signalcam.backends.keras.logits import Traced, find_last_step, finish_run, read_output, trace_outputs
from signalcam.backends.protocol import Pick, Support
from signalcam.targets import ScoredTarget


@jax.custom_vjp  # type: ignore[untyped-decorator] # jax need not be there for mypy
def _port(y: Array, _gate: Array) -> Array:
    """Return ``y``; ``_gate`` receives the gradient that arrives."""
    return y


_port.defvjp(lambda y, _gate: (y, None), lambda _, arrived: (arrived, arrived))


def forward_backward(task: RunRequest) -> Run:
    """Run forward once; differentiate each score with respect to the tapped outputs."""
    runs: list[RunResult] = []

    def run(gates: Sequence[Array]) -> tuple[Any, list[Array]]:
        ran, activations = _through(task, gates, gates)
        runs.append(ran)
        return (ran.raw, [(step.after, step.before) for step in ran.steps]), activations

    (raw, pairs), back, activations = jax.vjp(run, _gates(task), has_aux=True)

    def ran_with(raw: Any, pairs: Any) -> RunResult:
        names = [step.name for step in runs[-1].steps]
        steps = [Step(name, *pair) for name, pair in zip(names, pairs, strict=True)]
        return replace(runs[-1], raw=raw, steps=steps)

    info = find_last_step(ran_with(raw, pairs), task.batch)
    reading = read_output(ran_with(raw, pairs), task.batch, info)
    task.question.check(reading.class_count)

    def values(raw: Any, pairs: Any) -> tuple[list[Array], list[Array]]:
        scored_targets = task.question.ask(read_output(ran_with(raw, pairs), task.batch, info))
        return [each.value for each in scored_targets], [each.picks for each in scored_targets]

    scores, head, picks = jax.vjp(values, raw, pairs, has_aux=True)
    scored_targets = [ScoredTarget(*pair) for pair in zip(scores, picks, strict=True)]
    rows = (back(head(_only(number, scores)))[0] for number in range(len(scores)))
    if task.question.kind == "curved":
        rows = (_curved(task, info, activations, number) for number in range(len(scores)))
    return Run(reading, scored_targets, activations, rows, runs[-1].calls, info)


def _curved(task: RunRequest, info: OutputInfo, activations: Sequence[Array], number: int) -> list[Array]:
    """The gradients less half of the Hessian times the activations."""

    def score(additions: Sequence[Array]) -> Array:
        ran, _ = _through(task, additions, additions, jnp.add)
        return task.question.ask(read_output(ran, task.batch, info))[number].value.sum()

    g, back = jax.vjp(jax.grad(score), [jnp.zeros_like(each) for each in activations])
    nothing = [jnp.zeros_like(each) for each in activations]
    turned = [back([*nothing[:i], y, *nothing[i + 1 :]])[0][i] for i, y in enumerate(activations)]
    return [each - half / 2 for each, half in zip(g, turned, strict=True)]


def compile_request(task: RunRequest, info: OutputInfo) -> Compiled:
    """Compile the run and its backward passes; weights are arguments."""
    traces: list[Traced] = []
    bare = replace(task, tree=None)

    def run(weights: Sequence[Array], tree: Any, own: Sequence[Array]) -> dict[str, Any]:
        mapping = list(zip(bare.model.variables, weights, strict=True))
        here, outside = replace(bare, tree=tree), [*weights, *jax.tree.leaves(tree)]
        calls: list[tuple[Any, int]] = []

        def scored(gates: Sequence[Array]) -> tuple[list[Array], dict[str, Any]]:
            ran, activations = _through(here, gates, [*gates, *outside])
            calls[:] = ran.calls
            reading = read_output(ran, here.batch, info)
            scored_targets = here.question.ask(reading, own)
            return [each.value for each in scored_targets], trace_outputs(
                ran, reading, scored_targets, activations, info
            )

        with keras.StatelessScope(state_mapping=mapping):
            values, back, aux = jax.vjp(scored, _gates(here), has_aux=True)
            rows = [back(_only(number, values))[0] for number in range(len(values))]
        traces.append(Traced(calls, [[True] * len(row) for row in rows]))
        return {**aux, "rows": rows}

    weights, own = _weights(task), task.question.own
    program = jax.jit(run).lower(weights, task.tree, own).compile()

    def again(task: RunRequest) -> Run | None:
        return finish_run(program(_weights(task), task.tree, task.question.own), traces[-1], task, info)

    return again


def _weights(task: RunRequest) -> list[Array]:
    return [each.value for each in task.model.variables]


def _through(
    task: RunRequest,
    gates: Sequence[Array],
    outside: Sequence[Array],
    through: Callable[[Array, Array], Array] = _port,
) -> tuple[RunResult, list[Array]]:
    """Run the model with every tapped output passing a gate."""
    activations: list[Array] = []

    def watch(y: Array) -> Array:
        activations.append(through(y, gates[len(activations)]))
        return activations[-1]

    ran = task.forward(task.tree, watch)
    traces = {id(trace) for each in outside if (trace := getattr(each, "_trace", None)) is not None}
    return replace(ran, steps=[step for step in ran.steps if _readable(step, traces)]), activations


def _readable(step: Step, traces: set[int]) -> bool:
    """Whether a step's arrays outlive it: those of a recurrent layer's loop do not."""
    traced = [each for each in (step.after, step.before) if isinstance(each, jax.core.Tracer)]
    return all(id(each._trace) in traces for each in traced)  # noqa: SLF001 - no public name


def _only(number: int, values: Sequence[Array]) -> list[Array]:
    """Ones for one target's scores, zeros for the others'."""
    return [jnp.full_like(each, i == number) for i, each in enumerate(values)]


def _gates(task: RunRequest) -> list[Array]:
    """Zeros shaped like each tapped output, from abstract evaluation."""
    return [jnp.zeros(*each) for each in task.shapes or _shapes(task)]


def _shapes(task: RunRequest) -> list[tuple[Any, Any]]:
    shapes: list[tuple[Any, Any]] = []

    def watch(y: Array) -> Array:
        shapes.append((y.shape, y.dtype))
        return y

    def run() -> Any:
        return task.forward(task.tree, watch).raw

    with keras.StatelessScope():  # a seed that moves on as the model runs would hold a tracer
        jax.eval_shape(run)
    return shapes


def no_grad() -> AbstractContextManager[None]:
    """JAX records only what is differentiated."""
    return nullcontext()


def input_gradients(
    _model: Any, forward: Callable[[Array], RunResult], x: Array, ask: Callable[[RunResult, OutputInfo], list[Array]]
) -> list[tuple[Array, Array]]:
    """Score each target and differentiate it with respect to ``x``."""
    bare = forward(x)
    info = find_last_step(replace(bare, steps=[each for each in bare.steps if _readable(each, set())]), int(x.shape[0]))

    def scored(x: Array) -> list[Array]:
        ran, traces = forward(x), {id(x._trace)}  # noqa: SLF001 - no public name
        return ask(replace(ran, steps=[each for each in ran.steps if _readable(each, traces)]), info)

    values, back = jax.vjp(scored, x)
    return [(each, back(_only(i, values))[0]) for i, each in enumerate(values)]


def input_support(model: Any, forward: Callable[[Array, Watch], None], x: Array, pick: Pick) -> Support:
    """Differentiate the tapped output at some positions with respect to ``x``, in one program a shape."""
    picks: list[tuple[tuple[int, ...], Sequence[tuple[int, ...]]]] = []

    def tapped(x: Array) -> Array:
        activations: list[Array] = []

        def watch(y: Array) -> Array:
            activations.append(y)
            return y

        forward(x, watch)
        return activations[-1]

    def run(weights: Sequence[Array], x: Array) -> Array:
        with keras.StatelessScope(state_mapping=list(zip(model.variables, weights, strict=True))):
            last, back = jax.vjp(tapped, x)
        cells = tuple(last.shape[2:])
        picks[:] = [(cells, pick(cells))]
        signs = np.random.default_rng(0).choice([-1.0, 1.0], last.shape[1])

        def differentiate(index: Array) -> Array:
            here = (slice(None), slice(None), *index)
            seed = jnp.zeros_like(last).at[here].set(jnp.asarray(signs, last.dtype))
            return jnp.abs(back(seed)[0]).sum(0)

        numbers = np.asarray(picks[0][1], np.int32).reshape(-1, len(cells))
        return jax.lax.map(differentiate, jnp.asarray(numbers))

    support = jax.jit(run)([each.value for each in model.variables], x)
    cells, picked = picks[0]
    return Support(cells, picked, np.asarray(support, np.float64))
