"""Find the layers whose output has positions, by watching one run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor, nn

from signalcam.backends.protocol import Layer, Role
from signalcam.backends.torch.hooks import (
    CHANNELS_LAST,
    CONVOLUTIONS,
    channels_last,
    is_quantised,
    positions,
    split_call_number,
)
from signalcam.inputs.pytree import map_arrays

_IDLE = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
_INNER = (nn.Linear, nn.Embedding, nn.MultiheadAttention)


@dataclass
class LayerWalk:
    """Records, while the model runs, which layers have outputs with positions."""

    rows: int
    entries: list[tuple[Layer, Tensor]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    live: tuple[int, int] | None = None  # axes and channels of the latest convolution, until tokens take over
    convolved: int = 0  # runs of convolutions

    def note(self, name: str, module: nn.Module, output: Any) -> None:
        """Record the output of a layer."""
        call = self.counts[name] = self.counts.get(name, -1) + 1
        tensor, channels_second = positions(module, output)
        if is_quantised(module):
            self.live = None
            return
        if tensor is None:
            return
        if isinstance(module, (*CHANNELS_LAST, nn.RNNBase)):
            self.live = None
        if isinstance(module, CONVOLUTIONS):
            self.live = (tensor.ndim, tensor.shape[1])
            self.convolved += 1
        role, turned = self._role(module, tensor), channels_second(tensor)
        if role is None or turned[0, 0].numel() < 2:
            return
        layer = Layer(f"{name}[{call}]", type(module).__name__, tuple(turned.shape[1:]), role)
        self.entries = [
            _offered_once(entry, name, tensor)
            for entry in self.entries
            if not (entry[0].role == "grid" and _same(entry, name, tensor))
        ]
        self.entries.append((layer, tensor))

    def _role(self, module: nn.Module, tensor: Tensor) -> Role | None:
        """The role of a layer's output: tokens, or channels first like the convolutions before it."""
        if isinstance(module, _IDLE):
            return None
        if isinstance(module, nn.RNNBase):
            return "recurrent"
        if isinstance(module, _INNER):
            return "inner"
        if channels_last(module, tensor):
            return "tokens" if len(tensor) == self.rows else "inner"
        return "grid" if self._fits(module, tensor) else None

    def _fits(self, module: nn.Module, tensor: Tensor) -> bool:
        """Whether the output is channel first, as the convolutions before it were."""
        if isinstance(module, CHANNELS_LAST):
            return False
        if self.live is not None:
            return tensor.ndim == self.live[0]
        inside = list(module.modules())
        recurrent = any(isinstance(each, (nn.RNNBase, nn.MultiheadAttention)) for each in inside)
        widths = [each.out_channels for each in inside if isinstance(each, CONVOLUTIONS)]
        return not recurrent and tensor.shape[1] in widths

    def layers(self, raw: Any) -> list[Layer]:
        """The candidates in the order they finished, the model's own output left out.

        Tokens are offered only where no network of convolutions or recurrent layers does better.
        """
        returned: list[Any] = []
        map_arrays(returned.append, dict(raw) if isinstance(raw, Mapping) else raw)
        roles = [layer.role for layer, _ in self.entries]
        offered = self.convolved < 2 and "recurrent" not in roles
        entries = []
        for layer, tensor in self.entries:
            last = any(tensor is each for each in returned)
            if layer.role == "grid" and last:
                continue
            inner = layer.role == "tokens" and (last or not offered)
            role: Role = "inner" if inner else layer.role
            entries.append(replace(layer, name=self._plain(layer.name), role=role))
        return entries

    def _plain(self, name: str) -> str:
        bare = split_call_number(name)[0]
        return name if self.counts[bare] else bare


def _same(entry: tuple[Layer, Tensor], name: str, tensor: Tensor) -> bool:
    """Whether a layer inside another returned the same tensor."""
    return entry[1] is tensor and entry[0].name.startswith(f"{name}.")


def _offered_once(entry: tuple[Layer, Tensor], name: str, tensor: Tensor) -> tuple[Layer, Tensor]:
    """The inner one of two layers with the same tensor is dropped where both are tokens."""
    return (replace(entry[0], role="inner"), entry[1]) if _same(entry, name, tensor) else entry
