"""Find the logits behind a model's output: where softmax and sigmoid are stepped behind."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, Node
from torch.overrides import TorchFunctionMode

from signalcam.targets.model_output import ModelOutput, main_output

_LAST_STEPS = {
    "softmax": "softmax",
    "log_softmax": "log_softmax",
    "sigmoid": "sigmoid",
    "sigmoid_": "sigmoid",
    "expit": "sigmoid",
    "log_sigmoid": "log_sigmoid",
    "logsigmoid": "log_sigmoid",
}
_SELECTIONS = (
    "Alias",
    "Clone",
    "Gather",
    "Roll",
    "Flip",
    "Index",
    "IndexSelect",
    "Permute",
    "ReshapeAlias",
    "Select",
    "Slice",
    "Split",
    "SplitWithSizes",
    "Squeeze",
    "T",
    "ToCopy",
    "Transpose",
    "Unbind",
    "UnsafeSplit",
    "UnsafeView",
    "Unsqueeze",
    "View",
)
_SQUASHED = ("Sigmoid", "Softmax", "LogSoftmax", "Exp", "Reciprocal")  # what makes probabilities
_LEARNED = ("Addmm", "Mm", "Bmm", "Baddbmm", "Convolution", "NativeBatchNorm", "CudnnBatchNorm")


class LastSteps(TorchFunctionMode):
    """Records the inputs of the latest softmax and sigmoid calls, however they are called."""

    def __init__(self, *, alone: bool = False) -> None:
        super().__init__()
        self.alone = alone  # nothing else is recorded: each step begins a record of its own
        self.seen: deque[tuple[Node, Tensor, str]] = deque(maxlen=64)  # the score's own is among the last

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "").partition(".")[0].lstrip("_").removeprefix("special_")
        if name not in _LAST_STEPS:
            return func(*args, **kwargs)
        before = args[0] if args else kwargs["input"]
        before = before.clone() if name.endswith("_") else before
        if self.alone and not before.requires_grad:
            before = before.detach().clone().requires_grad_()
            with torch.enable_grad():
                after = func(before.clone(), *args[1:], **_but_input(kwargs))
        else:
            after = func(*args, **kwargs)
        if isinstance(after, Tensor) and after.grad_fn is not None:
            self.seen.append((after.grad_fn, before, _LAST_STEPS[name]))
        return after

    def find(self, node: Node | None) -> tuple[Tensor, str] | None:
        """The recorded step whose output is made by a node."""
        return next(((before, name) for output_node, before, name in self.seen if output_node is node), None)


def _but_input(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in kwargs.items() if name != "input"}


def read_output(raw: Any, steps: LastSteps, batch: int, select: Callable[[Any], Any] = main_output) -> ModelOutput:
    """Find the scores in the model's output, and the logits behind them."""
    main = select(raw)
    before, last_step = _before_last_step(main, steps, batch) if isinstance(main, Tensor) else (None, "")
    return ModelOutput(raw, main, before, last_step, batch)


def _before_last_step(main: Tensor, steps: LastSteps, batch: int) -> tuple[Tensor | None, str]:
    """Return the logits behind ``main``, shaped like it, and the step that lies between."""
    node = main.grad_fn
    if node is not None and _operation(node) == "Exp":  # probabilities by way of log_softmax
        inner = steps.find(node.next_functions[0][0])
        if inner is not None and inner[1] == "log_softmax":
            return inner[0], "softmax"
    while node is not None:
        step = steps.find(node)
        if step is not None:
            return _selected(main, node, step[0]), step[1]
        parents = [parent for parent, _ in node.next_functions if parent is not None]
        if len(parents) != 1 or _operation(node) not in _SELECTIONS:
            break
        node = parents[0]
    likely = _looks_like(main, batch)
    return (None if likely else main), likely


def _operation(node: Node) -> str:
    return node.name().partition("Backward")[0]


def _selected(main: Tensor, node: Node, before: Tensor) -> Tensor | None:
    """Apply the views and selections between ``node`` and ``main`` to ``before``.

    The backward pass of a selection sends each output's own value to the element it was taken from,
    so sending the outputs' numbers, digit by digit, tells which element that is.
    """
    if node is main.grad_fn:
        return before
    edge, count = GradientEdge(node, 0), main.numel()

    def origin(values: Tensor) -> Tensor:
        sent = values.reshape(main.shape).to(main.dtype)
        (arrived,) = torch.autograd.grad([main], [edge], [sent], retain_graph=True)
        return arrived.reshape(-1).round().long()

    numbers = torch.arange(count, device=main.device)
    hit = origin(torch.ones_like(numbers))
    if int(hit.max()) > 1 or int(hit.sum()) != count:
        return None  # some element was used twice: no plain selection
    index, place = torch.zeros_like(hit), 1
    while place <= count:
        index += origin(numbers // place % 128) * place  # 0..127 is exact in every floating-point type
        place *= 128
    columns = hit.nonzero()[:, 0]
    order = columns[index[columns].argsort()]
    return before.reshape(-1)[order].reshape(main.shape)


def _looks_like(main: Tensor, batch: int) -> str:
    """Name the last step of probabilities where it was not recognised."""
    if main.numel() % batch:
        return ""
    rows = main.detach().float().reshape(batch, -1)
    if bool((rows <= 0).all()) and _adds_up(rows.exp()):
        return "log_softmax"
    if not bool(((rows >= 0) & (rows <= 1)).all()):
        return ""
    return "softmax" if _adds_up(rows) else "sigmoid" if _has_ancestor(main.grad_fn, _SQUASHED) else ""


def _adds_up(rows: Tensor) -> bool:
    """Whether every row of several values adds up to 1."""
    return rows.shape[1] > 1 and bool(((rows.sum(1) - 1).abs() < 1e-3).all())


def _has_ancestor(node: Node | None, operations: Sequence[str]) -> bool:
    """Whether such an operation lies between a node and the nearest layers with weights."""
    waiting, visited = deque([node]), set[Node]()
    while waiting:
        current = waiting.popleft()
        if current is None or current in visited or _operation(current) in _LEARNED:
            continue
        if _operation(current) in operations:
            return True
        visited.add(current)
        waiting.extend(parent for parent, _ in current.next_functions)
    return False
