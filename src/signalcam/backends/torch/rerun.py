"""Run a network again with other inputs or activations; the layers before need not run."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from signalcam.backends.attribute_patch import patch_attribute
from signalcam.backends.protocol import Edit
from signalcam.backends.torch.borrow import Stop
from signalcam.backends.torch.hooks import put_activation, removing, split_call_number, takes_hooks
from signalcam.inputs.pytree import repeat_samples


@dataclass
class PrefixCache:
    """The cached outputs of a network's outermost modules before a layer.

    Attributes:
        rows: Samples that went in.
        before: Each module and what its call returned, in order.
        output: What the layer itself returned.
    """

    rows: int
    before: list[tuple[nn.Module, Any]] = field(default_factory=list)
    output: Any = None


def cache_prefix(
    module: nn.Module, layer: nn.Module, ran: str, rows: int, run: Callable[[], Any]
) -> PrefixCache | None:
    """Run up to a layer's call, and cache the outputs of every outermost module on the way."""
    prefix, starts, call_number = PrefixCache(rows), list[int](), split_call_number(ran)[1] or 0
    calls = 0

    def start(_each: nn.Module, _inputs: Any) -> None:
        starts.append(len(prefix.before))

    def end(called: nn.Module, _inputs: Any, output: Any) -> None:
        nonlocal calls
        del prefix.before[starts.pop() :]
        if called is layer:
            calls += 1
            if calls > call_number:
                prefix.output = output
                raise Stop
        prefix.before.append((called, output))

    parts = [each for each in module.modules() if each is not module]
    if not all(map(takes_hooks, parts)):
        return None
    handles = [each.register_forward_pre_hook(start) for each in parts]
    handles += [each.register_forward_hook(end) for each in parts]
    with removing(handles), suppress(Stop):
        run()
    return prefix


@contextmanager
def replace_activation(layer: nn.Module, edit: Edit) -> Iterator[None]:
    """Make a layer's call return other activations, until the block ends."""
    with ExitStack() as stack:
        if edit.prefix is None:
            stack.enter_context(removing([_exchanged(layer, edit)]))
        else:
            for module, outputs in _handed_back(layer, edit, edit.prefix):
                own = module.forward
                stack.enter_context(patch_attribute(module, "forward", _handing(outputs, own)))
        yield


def _exchanged(layer: nn.Module, edit: Edit) -> Any:
    call_number, calls = split_call_number(edit.ran)[1] or 0, 0

    def hook(layer: nn.Module, _inputs: Any, output: Any) -> Any:
        nonlocal calls
        calls += 1
        return put_activation(layer, output, edit.values) if calls == call_number + 1 else output

    return layer.register_forward_hook(hook)


def _handed_back(layer: nn.Module, edit: Edit, prefix: PrefixCache) -> Sequence[tuple[nn.Module, deque[Any]]]:
    """Each module that need not run, and the outputs of its calls in order."""
    queues: dict[nn.Module, deque[Any]] = {}

    def wide(output: Any) -> Any:
        return repeat_samples(output, prefix.rows, edit.samples, edit.times)

    for module, output in prefix.before:
        queues.setdefault(module, deque()).append(wide(output))
    last = put_activation(layer, wide(prefix.output), edit.values)
    queues.setdefault(layer, deque()).append(last)
    return list(queues.items())


def _handing(outputs: deque[Any], own: Callable[..., Any]) -> Callable[..., Any]:
    def forward(*args: Any, **kwargs: Any) -> Any:
        return outputs.popleft() if outputs else own(*args, **kwargs)

    return forward


def record_offsets(module: nn.Module) -> dict[nn.Module, Tensor]:
    """The bias of each layer: a convolution's, or a normalisation's shift."""
    offsets = {each: _offset(each) for each in module.modules()}
    return {each: offset for each, offset in offsets.items() if offset is not None}


def _offset(layer: nn.Module) -> Tensor | None:
    if isinstance(layer, nn.modules.batchnorm._NormBase):  # noqa: SLF001 - their common base has no public name
        return _shift(layer)
    convolves = isinstance(layer, nn.modules.conv._ConvNd | nn.Linear)  # noqa: SLF001 - as above
    bias = getattr(layer, "bias", None)
    return bias.detach() if convolves and isinstance(bias, Tensor) else None


def _shift(layer: Any) -> Tensor | None:
    """The shift of a normalisation with fixed statistics, after scaling."""
    if layer.running_mean is None or layer.running_var is None:
        return None
    scale = (layer.running_var + layer.eps).rsqrt()
    if layer.weight is not None:
        scale = scale * layer.weight.detach()
    moved: Tensor = -layer.running_mean * scale
    return moved if layer.bias is None else moved + layer.bias.detach()
