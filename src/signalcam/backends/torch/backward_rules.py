"""Replace the backward pass of elementwise steps: guided rectifiers, DeepLIFT's rescale rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

RECTIFIERS = ("relu", "relu_", "relu6")
ELEMENTWISE = (
    *RECTIFIERS,
    "leaky_relu",
    "leaky_relu_",
    "elu",
    "elu_",
    "selu",
    "selu_",
    "celu",
    "gelu",
    "silu",
    "mish",
    "sigmoid",
    "sigmoid_",
    "tanh",
    "tanh_",
    "softplus",
    "softsign",
    "hardtanh",
    "hardtanh_",
    "hardsigmoid",
    "hardswish",
    "logsigmoid",
    "prelu",
    "exp",
    "square",
    "pow",
    "sqrt",
    "log",
)
Backward = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
_NEAR = 1e-6  # inputs nearer than this have a difference quotient of nothing but rounding


def plain_name(func: Any) -> str:
    """The name of a function, without the variant that exported programs put after a dot."""
    return str(getattr(func, "__name__", "")).partition(".")[0]


class BackwardRule(TorchFunctionMode):
    """Replaces the gradients of elementwise steps; no module is changed.

    Args:
        names: The functions meant.
        rule: From a step's input, its output, its plain downstream gradient and the upstream one to what
            is sent down.
    """

    def __init__(self, names: tuple[str, ...], rule: Backward) -> None:
        super().__init__()
        self.names, self.rule, self.count = names, rule, 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        z = args[0] if args else kwargs.get("input")
        replaces = plain_name(func) in self.names
        if not replaces or not isinstance(z, Tensor) or not z.requires_grad:
            return func(*args, **kwargs)
        self.count += 1
        rest = {name: value for name, value in kwargs.items() if name not in ("input", "inplace")}

        def step(z: Tensor) -> Tensor:
            y: Tensor = func(z.clone(), *args[1:], **rest)
            return y

        return _ReplaceBackward.apply(z, step, self.rule)  # type: ignore[no-untyped-call] # torch's own


class _ReplaceBackward(torch.autograd.Function):
    """One step with another backward pass."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, step: Callable[[Tensor], Tensor], rule: Backward) -> Tensor:
        with torch.enable_grad():
            ctx.z = z.detach().requires_grad_()
            ctx.y = step(ctx.z)
        ctx.rule = rule
        output: Tensor = ctx.y.detach()
        return output

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None, None]:
        (plain,) = torch.autograd.grad(ctx.y, ctx.z, upstream[0], retain_graph=True)
        return ctx.rule(ctx.z.detach(), ctx.y.detach(), plain, upstream[0]), None, None


def guided(_z: Tensor, _y: Tensor, plain: Tensor, upstream: Tensor) -> Tensor:
    """Pass back only positive gradients."""
    return torch.where(upstream > 0, plain, 0)


def rescale(z: Tensor, y: Tensor, plain: Tensor, upstream: Tensor) -> Tensor:
    """Pass the difference quotient between the halves of the batch back to the first: sample and reference."""
    half = len(z) // 2
    step = z[:half] - z[half:]
    near = step.abs() < _NEAR
    slope = (y[:half] - y[half:]) / torch.where(near, 1, step)
    first = torch.where(near, plain[:half], slope * upstream[:half])
    return torch.cat([first, torch.zeros_like(first)])
