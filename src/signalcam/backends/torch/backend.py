"""The PyTorch backend: forward hooks on layers, gradients from the score down to the layer only."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from contextvars import ContextVar
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from signalcam.backends.protocol import Edit, ForwardResult, Layer, LayerOutput, Pick, Support
from signalcam.backends.torch.attention import AttentionRecorder
from signalcam.backends.torch.backward_rules import ELEMENTWISE, RECTIFIERS, BackwardRule, guided, rescale
from signalcam.backends.torch.borrow import Stop, borrow, device_of, prepare, run, to_numpy, unwrap_module
from signalcam.backends.torch.dense_paths import DensePaths, accept_any_length
from signalcam.backends.torch.hooks import (
    CONVOLUTIONS,
    SEES_EVERYTHING,
    Call,
    calls_for,
    differentiate,
    find_module,
    positions,
    removing,
    select_call,
    split_call_number,
    takes_hooks,
    tap,
)
from signalcam.backends.torch.layers import LayerWalk
from signalcam.backends.torch.logits import LastSteps, read_output
from signalcam.backends.torch.rerun import PrefixCache, cache_prefix, record_offsets, replace_activation
from signalcam.backends.torch.weights import layer_weights, use_weights
from signalcam.backends.unsupported import explain_no_rectifier
from signalcam.errors import MethodError, ModelError
from signalcam.inputs.pytree import Inputs, map_arrays
from signalcam.targets import Question, ScoredTarget
from signalcam.targets.question import GradientKind, Rule

_DEVICES = ("cpu", "cuda", "mps", "xpu")
_switched_off: ContextVar[Sequence[tuple[str, torch.dtype]]] = ContextVar("autocast", default=())


class TorchBackend:
    """The backend for PyTorch modules; see ``signalcam.backends.protocol.Backend``."""

    name = "torch"
    version = torch.__version__

    def owns(self, model: object) -> bool:
        """Whether the model is a module of PyTorch."""
        return isinstance(model, nn.Module)

    @contextmanager
    def full_precision(self) -> Iterator[None]:
        """Compute in the tensors' own precision, also where the user runs under autocast."""
        used = [each for each in _DEVICES if torch.is_autocast_enabled(each)]
        token = _switched_off.set([(each, torch.get_autocast_dtype(each)) for each in used])
        with ExitStack() as stack:
            stack.callback(_switched_off.reset, token)
            for device in used:
                stack.enter_context(torch.autocast(device, enabled=False))
            yield

    def channel_axis(self, _model: object) -> int:
        """Return 1: PyTorch has channels after the batch."""
        return 1

    def numpy(self, array: Any) -> np.ndarray:
        """Copy a tensor to NumPy, in single precision at least."""
        return to_numpy(array) if isinstance(array, Tensor) else np.asarray(array)

    def layers(self, model: object, inputs: Inputs | None) -> list[Layer]:
        """List the layers whose output has positions; by their class alone where there is no input."""
        module = unwrap_module(model)
        if inputs is None:
            convolutions = [(name, each) for name, each in module.named_modules() if isinstance(each, CONVOLUTIONS)]
            return [Layer(name, type(each).__name__) for name, each in convolutions]
        prepared = prepare(module, inputs)
        walk = LayerWalk(int(prepared.explained.shape[0]))

        def watch(name: str) -> Callable[[nn.Module, Any, Any], None]:
            return lambda layer, _inputs, output: walk.note(name, layer, output)

        handles = [
            layer.register_forward_hook(watch(name))
            for name, layer in module.named_modules()
            if name and takes_hooks(layer)
        ]
        with removing(handles), borrow(module), torch.no_grad():
            raw = run(module, prepared)
        return walk.layers(raw)

    def resolve(self, model: object, layer: object) -> str:
        """Return the name of a layer given by name or as a module."""
        module = unwrap_module(model)
        if isinstance(layer, str):
            find_module(module, layer)
            return layer
        names: list[str] = [name for name, each in module.named_modules() if each is layer and name]
        if not names:
            message = (
                f"{type(layer).__name__} is no layer of {type(module).__name__}. "
                "Give a name from signalcam.layers(model)."
            )
            raise ModelError(message)
        return names[0]

    def forward_backward(
        self, model: object, inputs: Inputs, layers: Sequence[str], question: Question
    ) -> ForwardResult:
        """Run the model once, recorded from the layers on, and differentiate each score."""
        module, twice = unwrap_module(model), question.kind == "rescale"
        if question.kind == "attention":
            return _attended(module, inputs, layers, question)
        caught: dict[nn.Module, list[Call | None]] = {find_module(module, name): [] for name in layers}
        with borrow(module), _as_user():
            prepared = prepare(module, inputs)
            count = int(prepared.explained.shape[0])
            model_inputs = _with_reference(prepared, count) if twice else prepared
            with ExitStack() as stack:
                if twice:
                    stack.enter_context(BackwardRule(ELEMENTWISE, rescale))
                if question.kind == "curved":  # fused attention cannot be differentiated twice
                    stack.enter_context(sdpa_kernel(SDPBackend.MATH))
                steps = stack.enter_context(LastSteps())
                taps = [tap(each, calls, count if twice else None) for each, calls in caught.items()]
                stack.enter_context(removing(taps))
                raw = run(module, model_inputs)
            calls = [calls_for(name, caught[find_module(module, name)]) for name in layers]
            raw = map_arrays(lambda array: array[:count], raw) if twice else raw
            reading = read_output(raw, steps, count, question.main)
            question.check(reading.class_count)
            scored_targets = question.ask(reading)
        return ForwardResult(reading, scored_targets, _rows(scored_targets, layers, calls, question.kind))

    def to_model(self, model: object, inputs: Inputs) -> Inputs:
        """Put every array where the model is, in its floating-point type."""
        return prepare(unwrap_module(model), inputs)

    def forward(self, model: object, inputs: Inputs, question: Question, edit: Edit | None = None) -> list[Tensor]:
        """Run the model without recording, and score each target."""
        module = unwrap_module(model)
        with borrow(module), _as_user(), ExitStack() as stack:
            prepared = prepare(module, inputs)
            steps = stack.enter_context(LastSteps(alone=True))
            if edit is not None:
                stack.enter_context(replace_activation(find_module(module, edit.ran), edit))
            raw = run(module, prepared)
            reading = read_output(raw, steps, int(prepared.explained.shape[0]), question.main)
            return [each.value.detach().reshape(-1) for each in question.ask(reading)]

    def cache_prefix(self, model: object, inputs: Inputs, ran: str) -> PrefixCache | None:
        """Cache the outputs of the outermost modules before a layer."""
        module = unwrap_module(model)
        with borrow(module), _as_user():
            prepared = prepare(module, inputs)
            rows = int(prepared.explained.shape[0])
            return cache_prefix(module, find_module(module, ran), ran, rows, lambda: run(module, prepared))

    def input_gradients(
        self, model: object, inputs: Inputs, question: Question, rule: Rule | None
    ) -> list[tuple[Tensor, Tensor]]:
        """Score each target, and differentiate it with respect to the explained input."""
        module = unwrap_module(model)
        with borrow(module), _as_user(), ExitStack() as stack:
            prepared = prepare(module, inputs)
            x = prepared.explained.clone().requires_grad_()
            bent = stack.enter_context(BackwardRule(RECTIFIERS, guided)) if rule else None
            steps = stack.enter_context(LastSteps())
            raw = run(module, prepared.with_explained(x.clone()))
            if bent is not None and not bent.count:
                raise MethodError(explain_no_rectifier(module))
            scored_targets = question.ask(read_output(raw, steps, int(x.shape[0]), question.main))
            return [(each.value.detach().reshape(-1), _at_input(each.value, x)) for each in scored_targets]

    def offsets(self, model: object, inputs: Inputs) -> dict[str, Tensor]:
        """The bias that each layer adds to every position, by its name and call."""
        module = unwrap_module(model)
        recorded, names = record_offsets(module), {each: name for name, each in module.named_modules()}
        offsets_by_call: dict[str, Tensor] = {}
        calls = dict.fromkeys(recorded, 0)

        def note(layer: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.ndim >= 3 and output[0, 0].numel() > 1:
                offsets_by_call[f"{names[layer]}[{calls[layer]}]"] = recorded[layer]
            calls[layer] += 1

        handles = [each.register_forward_hook(note) for each in recorded if takes_hooks(each)]
        with removing(handles), borrow(module), torch.no_grad():
            run(module, prepare(module, inputs))
        return offsets_by_call

    def input_support(self, model: object, inputs: Inputs, layer: str, pick: Pick) -> Support:
        """Differentiate a layer's output at some positions with respect to the input."""
        module = unwrap_module(model)
        with borrow(module):
            prepared = prepare(module, inputs)
            x = prepared.explained.clone().requires_grad_()
            outputs: list[Tensor] = []

            def stop(called: nn.Module, _inputs: Any, output: Any) -> None:
                tensor, channels_second = positions(called, output)
                outputs.append(x if tensor is None else channels_second(tensor))
                if len(outputs) > (split_call_number(layer)[1] or 0):
                    raise Stop

            target = find_module(module, layer)
            handle = target.register_forward_hook(stop)
            with removing([handle]), accept_any_length(module), DensePaths(), suppress(Stop):
                run(module, prepared.with_explained(x.clone()))
            cells = tuple(outputs[-1].shape[2:])
            picked = pick(cells)
            gradients = [_sensitivity(outputs[-1], x, index) for index in picked]
            if isinstance(target, SEES_EVERYTHING):
                gradients = [np.ones_like(each) for each in gradients]
        return Support(cells, picked, np.asarray(gradients))

    def weights(self, model: object) -> dict[str, list[np.ndarray]]:
        """The parameters of each submodule that has its own."""
        return layer_weights(unwrap_module(model))

    def use_weights(self, model: object, weights: Mapping[str, Sequence[np.ndarray]]) -> AbstractContextManager[None]:
        """Give the module other parameters while the block is open."""
        return use_weights(unwrap_module(model), weights)

    def free_memory(self, model: object) -> int:
        """Bytes free on the model's device."""
        device = device_of(unwrap_module(model))
        if device is not None and device.type == "cuda":
            return torch.cuda.mem_get_info(device)[0]
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")

    def ran_out_of_memory(self, error: Exception) -> bool:
        """Whether the error is the allocator's, on whichever device."""
        return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def _attended(module: nn.Module, inputs: Inputs, layers: Sequence[str], question: Question) -> ForwardResult:
    """Run the model once, recorded from its first attention on, and differentiate by its weights."""
    with borrow(module), _as_user(), ExitStack() as stack:
        prepared = prepare(module, inputs)
        count = int(prepared.explained.shape[0])
        steps = stack.enter_context(LastSteps())
        attention = stack.enter_context(AttentionRecorder(module, layers, count))
        stack.enter_context(removing(attention.hooks()))
        reading = read_output(run(module, prepared), steps, count, question.main)
        question.check(reading.class_count)
        scored_targets = question.ask(reading)
    return ForwardResult(reading, scored_targets, attention.rows(scored_targets))


def _sensitivity(output: Tensor, x: Tensor, index: tuple[int, ...]) -> np.ndarray:
    """The gradient of one output position with respect to each input value, samples summed."""
    here = output.permute(*range(2, output.ndim), 0, 1)[index]
    signs = torch.randint(2, here.shape[1:2], generator=torch.Generator().manual_seed(0)) * 2.0 - 1
    total = (here * signs.to(here)).sum()
    if not total.requires_grad:
        return np.zeros(x.shape[1:])
    (gradient,) = torch.autograd.grad(total, x, retain_graph=True, materialize_grads=True)
    return to_numpy(gradient.abs().sum(0)).astype(np.float64)


def _at_input(value: Tensor, x: Tensor) -> Tensor:
    """Differentiate a score with respect to the input; zero where it does not depend on it."""
    if not value.requires_grad:
        return torch.zeros_like(x)
    (gradient,) = torch.autograd.grad(value.sum(), x, retain_graph=True, materialize_grads=True)
    return gradient


def _with_reference(inputs: Inputs, count: int) -> Inputs:
    """The batch with every sample once more behind it, for a reference run."""
    return inputs.map(lambda array: torch.cat([array, array]) if len(array) == count else array)


@contextmanager
def _as_user() -> Iterator[None]:
    """Run the model under the user's own settings, also inside ``full_precision``."""
    with ExitStack() as stack:
        for device, kind in _switched_off.get():
            stack.enter_context(torch.autocast(device, kind))
        yield


def _rows(
    scored_targets: Sequence[ScoredTarget],
    layers: Sequence[str],
    calls: Sequence[Sequence[Call]],
    kind: GradientKind | None,
) -> Iterator[list[LayerOutput]]:
    """Differentiate one score after the other, and yield gradients by layer, channels second."""
    flat = [call for each in calls for call in each]
    used: dict[str, Call] = {}
    unread = kind is None and all(len(called) == 1 for called in calls)
    for scored_target in scored_targets:
        keep = scored_target is not scored_targets[-1]
        arrived = iter([None] * len(flat) if unread else differentiate(scored_target.value, flat, kind, keep=keep))
        own = [[next(arrived) for _ in called] for called in calls]
        yield [_felt_at(*one, used) for one in zip(layers, calls, own, strict=True)]


def _felt_at(name: str, calls: Sequence[Call], arrived: Sequence[Tensor | None], used: dict[str, Call]) -> LayerOutput:
    """The call of a layer that the score depends on; the same one for every score."""
    call, gradient = select_call(name, calls, arrived, used.get(name))
    used[name] = call
    turned = None if gradient is None else call.channels_second(gradient)[: call.rows]
    return LayerOutput(f"{split_call_number(name)[0]}[{call.number}]", call.activation, turned)


BACKEND = TorchBackend()
