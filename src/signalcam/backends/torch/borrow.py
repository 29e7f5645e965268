"""Borrow a module for the length of a block, and hand it back unchanged."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from inspect import Parameter, signature
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from signalcam.errors import CamError, InputError, ModelError
from signalcam.inputs.pytree import Inputs, check_extra, unpack_extra

RECURRENT = (nn.RNN.forward, nn.LSTM.forward, nn.GRU.forward)


class Stop(Exception):  # noqa: N818 - no error: the rest of the model is not needed
    """Ends a run once the wanted layer has run."""


def unwrap_module(model: object) -> nn.Module:
    """Return the module inside compiled and parallel wrappers."""
    inner = getattr(model, "_orig_mod", None)
    if inner is None and isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
        inner = model.module
    if isinstance(inner, nn.Module):
        return unwrap_module(inner)
    if isinstance(model, torch.jit.ScriptModule):
        message = f"{type(model).__name__} is a scripted or traced module, which takes no hooks, so no layer can be seen or changed. Pass the nn.Module it was made from, or what torch.export.export makes of that."
        raise ModelError(message)
    if not isinstance(model, nn.Module):
        message = f"{type(model).__name__} is no nn.Module. Pass the network itself."
        raise ModelError(message)
    return model


@contextmanager
def borrow(module: nn.Module) -> Iterator[None]:
    """Set the module to evaluation mode, frozen and recording, for a block; then restore it.

    Recurrent layers run in training mode without dropout: the same numbers, and cuDNN then keeps
    what their backward pass needs.
    """
    modules, parameters = list(module.modules()), list(module.parameters())
    _require_usable(module)
    recurrent = [each for each in modules if getattr(type(each), "forward", None) in RECURRENT]
    changes: list[tuple[object, str, object]] = [
        *((each, "training", each in recurrent) for each in modules),
        *((each, "dropout", 0.0) for each in recurrent),
        *((each, "requires_grad", False) for each in parameters if each.is_leaf),
    ]
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in changes]
    devices = {each.device.index for each in parameters if each.is_cuda}
    try:
        for change in changes:
            setattr(*change)
        with (
            _uncompiled(),
            torch.random.fork_rng(devices),
            torch.inference_mode(mode=False),
            torch.enable_grad(),
        ):
            yield
    finally:
        for old in before:
            setattr(*old)


def _require_usable(module: nn.Module) -> None:
    """Raise a ``ModelError`` where the weights hold no values, or cannot be differentiated through."""
    tensors = (*module.parameters(), *module.buffers())
    if any(each.is_meta for each in tensors):
        message = f"{type(module).__name__} lies on the meta device, which holds no values. Load its weights first."
        raise ModelError(message)
    if any(each.is_inference() for each in tensors):
        message = (
            f"{type(module).__name__} was made under torch.inference_mode(), so nothing can be differentiated "
            "through it. Build or load it outside that block."
        )
        raise ModelError(message)


def _uncompiled() -> Any:
    """Run compiled parts eagerly, so that hooks fire; a no-op where nothing was compiled."""
    used = "torch._dynamo" in sys.modules
    return torch.compiler.set_stance("force_eager") if used else nullcontext()


def device_of(module: nn.Module) -> torch.device | None:
    """The device of a module's first parameter or buffer; ``None`` if it has neither."""
    first = next(chain(module.parameters(), module.buffers()), None)
    return None if first is None else first.device


def prepare(module: nn.Module, inputs: Inputs) -> Inputs:
    """Move every array to the module's device and floating-point type."""
    device = device_of(module)
    floats = (each.dtype for each in module.parameters() if each.is_floating_point())
    floating = next(floats, None)

    def tensor_of(array: Any) -> Tensor:
        tensor = torch.as_tensor(_shareable(array)).detach()
        dtype = floating if floating and tensor.is_floating_point() else tensor.dtype
        tensor = tensor.to(device=device, dtype=dtype)
        return tensor.clone() if tensor.is_inference() else tensor

    return inputs.map(tensor_of)


def _shareable(array: Any) -> Any:
    """Copy NumPy's read-only, backward and foreign-endian arrays, which torch refuses or warns of."""
    if not isinstance(array, np.ndarray):
        return array
    ours = array.dtype.newbyteorder("=")
    if array.dtype == ours and array.flags.writeable and min(array.strides) >= 0:
        return array
    return np.array(array, dtype=ours, order="C")


def _called(module: nn.Module, tree: Any) -> Any:
    inputs, extra = unpack_extra(tree)
    names, any_name = _parameters(module, extra)
    if isinstance(inputs, dict):
        by_name = any_name or set(inputs) <= set(names)
        return module(**inputs, **extra) if by_name else module(inputs, **extra)
    if isinstance(inputs, tuple | list) and _takes_many(module, len(inputs), extra):
        return module(*inputs, **extra)
    return module(inputs, **extra)


def _parameters(module: nn.Module, extra: Mapping[str, Any]) -> tuple[list[str], bool]:
    """The names of a module's inputs, and whether it takes any other."""
    parameters = signature(module.forward).parameters
    any_name = any(each.kind is Parameter.VAR_KEYWORD for each in parameters.values())
    if not any_name:
        check_extra(extra, list(parameters), module)
    return [name for name in parameters if name not in extra], any_name


def _takes_many(module: nn.Module, count: int, extra: Mapping[str, Any]) -> bool:
    parameters = signature(module.forward).parameters
    kinds = [each.kind for name, each in parameters.items() if name not in extra]
    positional = sum(kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD) for kind in kinds)
    return Parameter.VAR_POSITIONAL in kinds or positional >= count


def run(module: nn.Module, inputs: Inputs) -> Any:
    """Call the module as its user would; an error gains a note, never another type."""
    try:
        return _called(module, inputs.tree)
    except (Stop, CamError):
        raise
    except Exception as error:
        if not inputs.explained.is_floating_point():
            kind = str(inputs.explained.dtype).removeprefix("torch.")
            message = f"the input has dtype {kind} and the model refused it ({error}). Pass x.astype('float32')."
            raise InputError(message) from error
        error.add_note(
            f"SignalCAM ran {type(module).__name__} on shape {tuple(inputs.explained.shape)}; the model "
            "raised this. The first axis is the batch: if this is a single sample, pass inputs[None]."
        )
        raise


def to_numpy(tensor: Tensor) -> np.ndarray:
    """Copy a tensor to NumPy, in single precision at least."""
    wide = tensor.detach().float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor.detach()
    array: np.ndarray = wide.cpu().numpy()
    return array
