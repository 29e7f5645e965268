"""Read a module's weights, and replace them for a block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from signalcam.backends.torch.borrow import to_numpy


def layer_weights(module: nn.Module) -> dict[str, list[np.ndarray]]:
    """The floating-point parameters of each submodule in the order they were made."""
    weights = {name: _own(each) for name, each in module.named_modules()}
    return {name: [to_numpy(each.detach()) for _, each in own] for name, own in weights.items() if own}


@contextmanager
def use_weights(module: nn.Module, weights: Mapping[str, Sequence[np.ndarray]]) -> Iterator[None]:
    """Run with other parameters while the block is open; the module's own are never written to."""
    originals: list[tuple[nn.Module, str, nn.Parameter]] = []
    try:
        for name, values in weights.items():
            owner = module.get_submodule(name)
            for (attribute, old), value in zip(_own(owner), values, strict=True):
                originals.append((owner, attribute, old))
                setattr(owner, attribute, nn.Parameter(_like(value, old), old.requires_grad))
        yield
    finally:
        for owner, attribute, old in reversed(originals):
            setattr(owner, attribute, old)


def _own(module: nn.Module) -> list[tuple[str, nn.Parameter]]:
    own = module.named_parameters(recurse=False)
    return [(name, each) for name, each in own if each.is_floating_point()]


def _like(value: np.ndarray, old: Tensor) -> Tensor:
    return torch.as_tensor(value).to(device=old.device, dtype=old.dtype)
