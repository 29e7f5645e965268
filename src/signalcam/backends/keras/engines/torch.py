"""PyTorch under Keras: tapped outputs are leaves, weights need no gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import keras
import numpy as np
import torch

from signalcam.arrays import Array
from signalcam.backends.keras.engine import OutputInfo, Run, RunRequest, RunResult, Watch
from signalcam.backends.keras.logits import find_last_step, read_output
from signalcam.backends.protocol import Pick, Support
from signalcam.backends.torch.hooks import curvature_gradient
from signalcam.targets import ScoredTarget


@contextmanager
def _recording(model: Any) -> Iterator[None]:
    """Record whatever the caller switched off, but no gradient of weights, whose flags stay."""
    weights = [(each, each.value.detach()) for each in model.variables]
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(mode=False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(keras.StatelessScope(state_mapping=weights))
        yield


def forward_backward(task: RunRequest) -> Run:
    """Run forward once; differentiate each score with respect to the tapped outputs."""
    activations: list[Any] = []

    def watch(y: Any) -> Any:
        torch.set_grad_enabled(True)
        activations.append(y if y.requires_grad else y.detach().requires_grad_())
        return activations[-1].clone()

    with _recording(task.model):
        ran = task.forward(task.tree, watch)
        info = find_last_step(ran, task.batch)
        reading = read_output(ran, task.batch, info)
        task.question.check(reading.class_count)
        scored_targets = task.question.ask(reading)
    detached = [each.detach() for each in activations]
    rows = _rows(scored_targets, activations, curves=task.question.kind == "curved")
    return Run(reading, scored_targets, detached, rows, ran.calls, info)


def compile_request(_task: RunRequest, _info: OutputInfo) -> None:
    """Return ``None``: torch runs eagerly, and compiling is the user's choice."""


def _rows(
    scored_targets: Sequence[ScoredTarget], activations: Sequence[Any], *, curves: bool
) -> Iterator[Sequence[Array | None]]:
    for scored_target in scored_targets:
        if not scored_target.value.requires_grad:
            yield [None] * len(activations)
            continue
        last = scored_target is scored_targets[-1]
        with torch.inference_mode(mode=False), torch.enable_grad():
            total = scored_target.value.sum()
            yield (
                [curvature_gradient(total, y) for y in activations]
                if curves
                else torch.autograd.grad(total, activations, retain_graph=not last, allow_unused=True)
            )


@contextmanager
def no_grad() -> Iterator[None]:
    """Record nothing."""
    with torch.inference_mode(mode=False), torch.no_grad():
        yield


def input_gradients(
    model: Any, forward: Callable[[Array], RunResult], x: Array, ask: Callable[[RunResult, OutputInfo], list[Array]]
) -> list[tuple[Array, Array]]:
    """Score each target and differentiate it with respect to ``x``."""
    with _recording(model):
        x = x.detach().clone().requires_grad_()
        ran = forward(x)
        values = ask(ran, find_last_step(ran, int(x.shape[0])))
        gradients = [_of_input(each, x) for each in values]
    return [(each.detach(), gradient) for each, gradient in zip(values, gradients, strict=True)]


def _of_input(value: Any, x: Any) -> Any:
    if not value.requires_grad:
        return torch.zeros_like(x)
    return torch.autograd.grad(value.sum(), x, retain_graph=True, materialize_grads=True)[0]


def input_support(model: Any, forward: Callable[[Array, Watch], None], x: Array, pick: Pick) -> Support:
    """Differentiate the tapped output at some positions with respect to ``x``."""
    activations: list[Any] = []

    def watch(y: Any) -> Any:
        activations.append(y)
        return y

    with _recording(model):
        x = x.detach().clone().requires_grad_()
        forward(x, watch)
        last = activations[-1]
        cells = tuple(last.shape[2:])
        picked = pick(cells)
        signs = torch.as_tensor(np.random.default_rng(0).choice([-1.0, 1.0], last.shape[1]))
        gradients = []
        for index in picked:
            here = last[(slice(None), slice(None), *index)]
            total = (here * signs.to(here)).sum()
            (gradient,) = torch.autograd.grad(total, x, retain_graph=True, materialize_grads=True)
            gradients.append(gradient.abs().sum(0).double().cpu().numpy())
    return Support(cells, picked, np.asarray(gradients))
