"""PyTorch: taps by forward hooks, gradients only from the score down to the tap."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from signalcam.backends.protocol import Felt, Inputs, Layer, Pick, Pull, Reach
from signalcam.backends.pytorch.borrow import (
    Stop,
    borrowed,
    device_of,
    prepare,
    run,
    to_numpy,
    unwrapped,
)
from signalcam.backends.pytorch.probe import AllPaths
from signalcam.backends.pytorch.read import LastSteps, read
from signalcam.backends.pytorch.tap import (
    SEES_EVERYTHING,
    Call,
    chosen,
    gradients,
    hooked,
    module_called,
    positions,
    split,
    takes_hooks,
    tap,
    the_one,
)
from signalcam.backends.pytorch.walk import CONVOLUTIONS, Walk
from signalcam.errors import ModelError
from signalcam.targets import Asked, Question

_DEVICES = ("cpu", "cuda", "mps", "xpu")


class TorchBackend:
    """PyTorch, behind the verbs of ``signalcam.backends.protocol.Backend``."""

    name = "torch"
    version = torch.__version__

    def owns(self, model: object) -> bool:
        """Whether the model is a module of PyTorch."""
        return isinstance(model, nn.Module)

    @contextmanager
    def exactly(self) -> Iterator[None]:
        """Compute in the tensors' own precision, also where the user runs under autocast."""
        with ExitStack() as stack:
            for device in filter(torch.is_autocast_enabled, _DEVICES):
                stack.enter_context(torch.autocast(device, enabled=False))
            yield

    def channel_axis(self, _model: object) -> int:
        """PyTorch has the channels behind the batch."""
        return 1

    def numpy(self, array: Any) -> np.ndarray:
        """Copy a tensor to NumPy, in single precision at least."""
        return to_numpy(array) if isinstance(array, Tensor) else np.asarray(array)

    def layers(self, model: object, inputs: Inputs | None) -> list[Layer]:
        """List the layers whose output has positions; by their class alone where there is no input."""
        module = unwrapped(model)
        if inputs is None:
            named = [
                (name, each)
                for name, each in module.named_modules()
                if isinstance(each, CONVOLUTIONS)
            ]
            return [Layer(name, type(each).__name__) for name, each in named]
        walk = Walk()

        def watch(name: str) -> Callable[[nn.Module, Any, Any], None]:
            return lambda each, _inputs, output: walk.note(name, each, output)

        handles = [
            each.register_forward_hook(watch(name))
            for name, each in module.named_modules()
            if name and takes_hooks(each)
        ]
        with hooked(handles), borrowed(module), torch.no_grad():
            raw = run(module, prepare(module, inputs))
        return walk.layers(raw)

    def resolve(self, model: object, layer: object) -> str:
        """Return the name of a layer given by name or as a module."""
        module = unwrapped(model)
        if isinstance(layer, str):
            module_called(module, layer)
            return layer
        names: list[str] = [name for name, each in module.named_modules() if each is layer and name]
        if not names:
            message = (
                f"{type(layer).__name__} is no layer of {type(module).__name__}. "
                "Give a name from signalcam.layers(model)."
            )
            raise ModelError(message)
        return names[0]

    def pull(
        self, model: object, inputs: Inputs, layers: Sequence[str], question: Question
    ) -> Pull:
        """Run the model once, recorded from the layers on, and differentiate each score."""
        module = unwrapped(model)
        caught: dict[nn.Module, list[Call | None]] = {
            module_called(module, name): [] for name in layers
        }
        with borrowed(module):
            prepared = prepare(module, inputs)
            with ExitStack() as stack:
                steps = stack.enter_context(LastSteps())
                stack.enter_context(hooked([tap(each, calls) for each, calls in caught.items()]))
                raw = run(module, prepared)
            calls = [chosen(name, caught[module_called(module, name)]) for name in layers]
            reading = read(raw, steps, prepared.explained.shape[0])
            question.check(reading.told)
            asked = question.ask(reading)
        return Pull(reading, asked, _rows(asked, layers, calls))

    def reach(self, model: object, inputs: Inputs, layer: str, pick: Pick) -> Reach:
        """Differentiate a layer's output at some positions with respect to the input."""
        module = unwrapped(model)
        with borrowed(module):
            prepared = prepare(module, inputs)
            x = prepared.explained.clone().requires_grad_()
            outputs: list[Tensor] = []

            def stop(each: nn.Module, _inputs: Any, output: Any) -> None:
                tensor, channels_second = positions(each, output)
                outputs.append(x if tensor is None else channels_second(tensor))
                if len(outputs) > (split(layer)[1] or 0):
                    raise Stop

            target = module_called(module, layer)
            handle = target.register_forward_hook(stop)
            with hooked([handle]), AllPaths(), suppress(Stop):
                run(module, prepared.with_explained(x.clone()))
            cells = tuple(outputs[-1].shape[2:])
            picked = pick(cells)
            felt = [_sensitivity(outputs[-1], x, index) for index in picked]
            if isinstance(target, SEES_EVERYTHING):
                felt = [np.ones_like(each) for each in felt]
        return Reach(cells, picked, np.asarray(felt))

    def free_memory(self, model: object) -> int:
        """Bytes free on the model's device."""
        device = device_of(unwrapped(model))
        if device is not None and device.type == "cuda":
            return torch.cuda.mem_get_info(device)[0]
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")

    def ran_out_of_memory(self, error: Exception) -> bool:
        """Whether the error is the allocator's, on whichever device."""
        return isinstance(
            error, torch.OutOfMemoryError | MemoryError
        ) or "can't allocate memory" in str(error)


def _sensitivity(output: Tensor, x: Tensor, index: tuple[int, ...]) -> np.ndarray:
    """How strongly each input value is felt at one position of the output, all samples together."""
    here = output.permute(*range(2, output.ndim), 0, 1)[index]
    signs = torch.randint(2, here.shape[1:2], generator=torch.Generator().manual_seed(0)) * 2.0 - 1
    total = (here * signs.to(here)).sum()
    if not total.requires_grad:
        return np.zeros(x.shape[1:])
    (gradient,) = torch.autograd.grad(total, x, retain_graph=True, materialize_grads=True)
    return to_numpy(gradient.abs().sum(0)).astype(np.float64)


def _rows(
    asked: Sequence[Asked], layers: Sequence[str], calls: Sequence[Sequence[Call]]
) -> Iterator[list[Felt]]:
    """Differentiate one score after the other, and sort what arrives by layer, channels second."""
    flat = [call for each in calls for call in each]
    used: dict[str, Call] = {}
    for each in asked:
        arrived = iter(gradients(each.value, flat, keep=each is not asked[-1]))
        own = [[next(arrived) for _ in called] for called in calls]
        yield [_felt_at(*one, used) for one in zip(layers, calls, own, strict=True)]


def _felt_at(
    name: str, calls: Sequence[Call], arrived: Sequence[Tensor | None], used: dict[str, Call]
) -> Felt:
    """The call of a layer that the score depends on; the same one for every score."""
    call, gradient = the_one(name, calls, arrived, used.get(name))
    used[name] = call
    turned = None if gradient is None else call.channels_second(gradient)
    return Felt(f"{split(name)[0]}[{call.number}]", call.activation, turned)


BACKEND = TorchBackend()
