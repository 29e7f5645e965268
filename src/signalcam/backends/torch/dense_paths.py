"""Run a network with every path open, to find which inputs a layer depends on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from signalcam.backends.attribute_patch import patch_attribute
from signalcam.backends.torch.backward_rules import plain_name

_LEAK = 0.2  # of a rectifier


class DensePaths(TorchFunctionMode):
    """Records every operation, also under ``torch.no_grad()``, and closes no path.

    Rectifiers leak and maxima are averages, so that a unit which happens to be silent, or is passed
    over, still shows what it looks at.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        stand_in = _STAND_INS.get(plain_name(func))
        with torch.enable_grad():
            return stand_in(func, *args, **(kwargs or {})) if stand_in else func(*args, **(kwargs or {}))


def accept_any_length(module: nn.Module) -> AbstractContextManager[None]:
    """Let an exported module take inputs of other lengths than the one it was exported with."""
    checks = getattr(module, "check_input_constraints", None) is True
    return patch_attribute(module, "check_input_constraints", False) if checks else nullcontext()  # noqa: FBT003 - its value


def _leaky(func: Any, input: Tensor, inplace: bool = False) -> Tensor:  # noqa: A002, FBT001, FBT002 - as torch has it
    return functional.leaky_relu(input, _LEAK, inplace=inplace or plain_name(func).endswith("_"))


def _average(
    func: Any,
    input: Tensor,  # noqa: A002 - as torch has it
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,  # noqa: FBT001, FBT002
    return_indices: bool = False,  # noqa: FBT001, FBT002
) -> Any:
    if return_indices or np.any(np.asarray(dilation) != 1):
        return func(input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)
    pool = getattr(functional, plain_name(func).replace("max", "avg"))
    return pool(input, kernel_size, stride or kernel_size, padding, ceil_mode)


_STAND_INS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(("relu", "relu_", "relu6"), _leaky),
    **dict.fromkeys(("max_pool1d", "max_pool2d", "max_pool3d"), _average),
}
