"""Record the outputs of layers, and the gradients that arrive there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from signalcam.errors import ModelError, nearest
from signalcam.targets.question import GradientKind

SEES_EVERYTHING = (
    nn.RNNBase,
    nn.MultiheadAttention,
    nn.TransformerEncoderLayer,
    nn.TransformerEncoder,
)  # at any position
CHANNELS_LAST = (
    nn.Linear,
    nn.Embedding,
    nn.LayerNorm,
    nn.MultiheadAttention,
    nn.TransformerEncoder,
    nn.TransformerEncoderLayer,
)

CONVOLUTIONS = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)


@dataclass(frozen=True)
class Call:
    """One run of a tapped layer: its output, and how to move its channels to the second axis."""

    number: int
    tensor: Tensor
    channels_second: Callable[[Tensor], Tensor]
    rows: int | None = None  # of the batch that count; none for all

    @property
    def activation(self) -> Tensor:
        """The layer's output, ``(b, c, *positions)``."""
        return self.channels_second(self.tensor.detach())[: self.rows]


def positions(module: nn.Module, output: Any) -> tuple[Tensor | None, Callable[[Tensor], Tensor]]:
    """Find the tensor with positions in a layer's output, and how to move its channels second."""
    tensors = [each for each in (output if isinstance(output, tuple | list) else [output]) if isinstance(each, Tensor)]
    tensor = next((each for each in tensors if each.ndim >= 3 and each.is_floating_point()), None)
    if isinstance(module, nn.RNNBase):
        return tensor, lambda t: t.movedim(-1, 1) if module.batch_first else t.permute(1, 2, 0)
    if tensor is not None and channels_last(module, tensor):
        return tensor, lambda t: t.movedim(-1, 1)
    return tensor, lambda t: t


def channels_last(module: nn.Module, tensor: Tensor) -> bool:
    """Whether a layer has channels last, ``(b, *positions, c)``: by its class, or by its parts."""
    if isinstance(module, nn.LayerNorm):
        return len(module.normalized_shape) == 1
    if isinstance(module, CHANNELS_LAST):
        return True
    inside = list(module.modules())[1:]
    second, last = tensor.shape[1], tensor.shape[-1]
    if second in [each.out_channels for each in inside if isinstance(each, CONVOLUTIONS)]:
        return False
    norms = [each.normalized_shape for each in inside if isinstance(each, nn.LayerNorm)]
    linear = [each.out_features for each in inside if isinstance(each, nn.Linear)]
    own = linear[-1:] == [last]  # as the last linear layer left it, though there may be as many tokens
    return (last,) in norms or own or (last in linear and second not in linear)


def put_activation(module: nn.Module, output: Any, values: Tensor) -> Any:
    """Replace the activations in a layer's output, channels second."""
    tensor, channels_second = positions(module, output)
    if tensor is None:
        message = f"a {type(module).__name__} returned nothing with positions this time. Choose another layer: signalcam.layers(model, example)."
        raise ModelError(message)
    sizes = torch.empty(*range(2, 2 + tensor.ndim), device="meta")  # each axis known by its length
    order = [length - 2 for length in channels_second(sizes).shape]
    back = [order.index(axis) for axis in range(tensor.ndim)]
    laid = torch.contiguous_format if tensor.is_contiguous() else torch.preserve_format  # for view()
    fresh = values.permute(back).to(tensor.dtype, copy=True, memory_format=laid)  # edited in place, maybe
    return replace_tensor(output, tensor, fresh)


def replace_tensor(output: Any, old: Tensor, new: Tensor) -> Any:
    """Replace one tensor in a layer's output."""
    if output is old:
        return new
    entries = [new if each is old else each for each in output]
    return type(output)(*entries) if hasattr(output, "_fields") else type(output)(entries)


def tap(module: nn.Module, calls: list[Call | None], count: int | None = None) -> RemovableHandle:
    """Record from this layer's output on; what lies before it is not recorded.

    The model goes on with a copy, so that a layer working in place cannot change what is kept. With a
    ``count``, rows from that number on are set to zero: the reference to compare with.
    """

    def hook(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        tensor, channels_second = positions(module, output)
        if tensor is None:
            calls.append(None)
            return output
        if torch.is_inference_mode_enabled():
            message = "the model switches to torch.inference_mode() itself, which records nothing. Use torch.no_grad() in its forward."
            raise ModelError(message)
        torch.set_grad_enabled(True)
        leaf = tensor if tensor.requires_grad else tensor.detach().requires_grad_()
        calls.append(Call(len(calls), leaf, channels_second, count))
        fresh = leaf.clone()
        if count is not None:
            fresh = torch.cat([fresh[:count], torch.zeros_like(fresh[count:])])
        return replace_tensor(output, tensor, fresh)

    return module.register_forward_hook(hook)


def takes_hooks(module: nn.Module) -> bool:
    """Whether a layer accepts hooks; scripted and traced parts do not."""
    return not isinstance(module, torch.jit.ScriptModule)


def is_quantised(module: nn.Module) -> bool:
    """Whether a layer computes with whole numbers, whatever it returns."""
    return type(module).__module__.startswith("torch.ao.nn.quantized")


@contextmanager
def removing(handles: Sequence[RemovableHandle]) -> Iterator[None]:
    """Remove hooks when the block ends, however it ends."""
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def split_call_number(name: str) -> tuple[str, int | None]:
    """``"conv[1]"`` is the second call of ``conv``."""
    bare, bracket, rest = name.partition("[")
    return (bare, int(rest[:-1])) if bracket and rest[:-1].isdigit() else (name, None)


def find_module(module: nn.Module, name: str) -> nn.Module:
    """Return the layer of that name; wrappers' prefixes and call numbers are ignored."""
    modules: dict[str, nn.Module] = dict(module.named_modules(remove_duplicate=False))
    bare = split_call_number(name)[0]
    plain = bare if bare in modules else bare.removeprefix("_orig_mod.").removeprefix("module.")
    if not plain or plain not in modules:
        names = [each for each in modules if each]
        message = (
            f"layer {name!r} is not in {type(module).__name__}.{nearest(bare, names)} "
            "List all with signalcam.layers(model)."
        )
        raise ModelError(message)
    if not takes_hooks(modules[plain]):
        message = (
            f"layer {name!r} belongs to a scripted or traced part, which takes no hooks. Choose a layer "
            "outside it, or pass a model made of nn.Modules."
        )
        raise ModelError(message)
    if is_quantised(modules[plain]):
        message = f"layer {name!r} is quantised, so nothing in it can be followed. Choose a layer before it: signalcam.layers(model, example)."
        raise ModelError(message)
    return modules[plain]


def calls_for(name: str, calls: Sequence[Call | None]) -> Sequence[Call]:
    """The calls of a layer that a name may mean; raise with the reason if there is none."""
    call_number = split_call_number(name)[1]
    if not calls or (call_number is not None and call_number >= len(calls)):
        ran = f"ran {len(calls)} times" if calls else "never ran"
        message = f"layer {name!r} {ran} for this input. Choose one that runs: signalcam.layers(model, example)."
        raise ModelError(message)
    usable = [call for call in (calls if call_number is None else [calls[call_number]]) if call is not None]
    usable = [call for call in usable if call.activation[0, 0].numel() > 1]
    if not usable:
        message = (
            f"layer {name!r} has no positions: its output is one vector a sample, or whole numbers "
            "without a gradient. Choose an earlier layer, before pooling, flattening or rounding."
        )
        raise ModelError(message)
    return usable


def differentiate(
    score: Tensor, calls: Sequence[Call], kind: GradientKind | None, *, keep: bool
) -> list[Tensor | None]:
    """Differentiate the sum of a score over the batch; ``None`` for calls it does not depend on."""
    if not score.requires_grad:
        return [None] * len(calls)
    activations = [call.tensor for call in calls]
    with torch.inference_mode(mode=False), torch.enable_grad():
        total = score.sum()
        if kind == "curved":
            return [curvature_gradient(total, each) for each in activations]
        return list(torch.autograd.grad(total, activations, retain_graph=keep, allow_unused=True))


def curvature_gradient(total: Tensor, activation: Tensor) -> Tensor | None:
    """The gradient less half of the Hessian times the activations."""
    (g,) = torch.autograd.grad(total, activation, create_graph=True, allow_unused=True)
    if g is None or not g.requires_grad:
        return g  # the score is linear there
    (turned,) = torch.autograd.grad(
        (g * activation.detach()).sum(), activation, retain_graph=True, materialize_grads=True
    )
    return g.detach() - turned / 2


def select_call(
    name: str, calls: Sequence[Call], arrived: Sequence[Tensor | None], used: Call | None
) -> tuple[Call, Tensor | None]:
    """The call of a layer that a score depends on, with its gradient; raise where several do.

    Args:
        name: The layer's.
        calls: Its calls that the user may have meant.
        arrived: The gradient at each.
        used: The call that an earlier score depended on.
    """
    pairs = list(zip(calls, arrived, strict=True))
    if len(pairs) == 1:
        return pairs[0]
    with_gradient = [pair for pair in pairs if pair[1] is not None and bool(pair[1].any())]
    others = [used] if used is not None and with_gradient and with_gradient[0][0] is not used else []
    if len(with_gradient) + len(others) > 1:
        numbers = sorted({call.number for call in (*others, *(call for call, _ in with_gradient))})
        options = " or ".join(repr(f"{split_call_number(name)[0]}[{number}]") for number in numbers)
        message = (
            f"layer {name!r} ran {len(calls)} times and more than one run reaches the score. Say which: {options}."
        )
        raise ModelError(message)
    return with_gradient[0] if with_gradient else next(pair for pair in pairs if pair[0] is (used or calls[0]))
