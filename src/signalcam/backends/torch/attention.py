"""Record attention weights, however attention is computed, so that gradients arrive there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from signalcam.backends.attention_maps import AttentionMaps
from signalcam.backends.protocol import LayerOutput
from signalcam.backends.torch.backward_rules import plain_name
from signalcam.backends.torch.hooks import Call, differentiate, find_module, positions, split_call_number
from signalcam.targets import ScoredTarget


class AttentionRecorder(TorchFunctionMode):
    """Records the weights of every attention of a run, from the first one on.

    Args:
        module: What runs.
        layers: Names of the layers to look at.
        rows: How many samples the batch holds.
    """

    def __init__(self, module: nn.Module, layers: Sequence[str], rows: int) -> None:
        super().__init__()
        self.layers = [(_called(name), find_module(module, name)) for name in layers]
        self.attended = AttentionMaps(type(module).__name__, rows)
        self.kept: list[Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = plain_name(func)
        if name == "multi_head_attention_forward":
            with self:
                return _open(func)(*args, **kwargs)
        if name == "scaled_dot_product_attention":
            return self._attend(func, *args, **kwargs)
        y = func(*args, **kwargs)
        return self._record(y) if name == "softmax" and _over_last(y, *args, **kwargs) else y

    def _attend(self, func: Any, query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Attend to unit vectors, which gives the weights, and then weigh the values."""
        count = key.shape[-2]
        units = torch.eye(count, dtype=value.dtype, device=value.device)
        spread = units.expand(*key.shape[:-1], count)
        weights = self._record(func(query, key, spread, *args, **kwargs))
        shared = weights.shape[-3] // value.shape[-3] if value.ndim > 3 else 1
        return weights @ (value.repeat_interleave(shared, -3) if shared > 1 else value)

    def _record(self, weights: Tensor) -> Tensor:
        if not self.attended.takes(weights.shape):
            return weights
        leaf = weights if weights.requires_grad else weights.detach().requires_grad_()
        self.kept.append(leaf)
        return leaf.clone()

    def hooks(self) -> list[RemovableHandle]:
        """Hooks that record when each layer runs."""
        return [hook for each in {layer for _, layer in self.layers} for hook in self._around(each)]

    def _around(self, layer: nn.Module) -> list[RemovableHandle]:
        begun: list[int] = []

        def before(_module: nn.Module, _inputs: Any) -> None:
            begun.append(len(self.kept))

        def after(module: nn.Module, _inputs: Any, output: Any) -> None:
            tensor, channels_second = positions(module, output)
            cells = () if tensor is None else channels_second(tensor).shape[2:]
            self.attended.ran(module, begun.pop(), cells)

        return [layer.register_forward_pre_hook(before), layer.register_forward_hook(after)]

    def rows(self, scored_targets: Sequence[ScoredTarget]) -> Iterator[list[LayerOutput]]:
        """Differentiate one score after the other, and yield gradients by layer."""
        calls = [Call(i, each, lambda t: t) for i, each in enumerate(self.kept)]
        detached = [each.activation for each in calls]
        for scored_target in scored_targets:
            arrived = differentiate(scored_target.value, calls, None, keep=scored_target is not scored_targets[-1])
            yield [self.attended.layer_output(*layer, detached, arrived) for layer in self.layers]


def _called(name: str) -> str:
    return name if split_call_number(name)[1] is not None else f"{name}[0]"


def _open(func: Any) -> Any:
    """A function of torch whose steps can be recorded, without the fused path."""
    names = {**func.__globals__, "has_torch_function": lambda _tensors: False}
    opened = FunctionType(func.__code__, names, func.__name__, func.__defaults__, func.__closure__)
    opened.__kwdefaults__ = func.__kwdefaults__
    return opened


def _over_last(y: Tensor, _x: Any = None, dim: Any = None, *_rest: Any, **_more: Any) -> bool:
    return dim in (-1, y.ndim - 1)
