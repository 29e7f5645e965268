"""Find the layers whose output has positions, by watching one run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor, nn

from signalcam.backends.protocol import Layer, map_arrays
from signalcam.backends.pytorch.tap import CHANNELS_LAST, is_quantised, positions, split

CONVOLUTIONS = (
    nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
)  # fmt: skip
_IDLE = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)


@dataclass
class Walk:
    """Notes, while the model runs, which layers put out positions that a map can be drawn on."""

    found: list[tuple[Layer, Tensor]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    live: tuple[int, int] | None = (
        None  # axes and channels of the latest convolution, until tokens take over
    )

    def note(self, name: str, module: nn.Module, output: Any) -> None:
        """See one layer finish."""
        call = self.counts[name] = self.counts.get(name, -1) + 1
        tensor, _ = positions(module, output)
        if isinstance(module, (*CHANNELS_LAST, nn.RNNBase)) and tensor is not None:
            self.live = None
        if is_quantised(module):
            self.live = None
            return
        if isinstance(module, CONVOLUTIONS) and tensor is not None:
            self.live = (tensor.ndim, tensor.shape[1])
        if tensor is None or not self._fits(module, tensor) or tensor[0, 0].numel() < 2:
            return
        self.found = [
            each
            for each in self.found
            if not (each[1] is tensor and each[0].name.startswith(f"{name}."))
        ]
        self.found.append(
            (Layer(f"{name}[{call}]", type(module).__name__, tuple(tensor.shape[1:])), tensor)
        )

    def _fits(self, module: nn.Module, tensor: Tensor) -> bool:
        """Whether the output is channel first, as the convolutions before it were."""
        if isinstance(module, (*_IDLE, *CHANNELS_LAST, nn.RNNBase)):
            return False
        if self.live is not None:
            return tensor.ndim == self.live[0]
        inside = list(module.modules())
        recurrent = any(isinstance(each, (nn.RNNBase, nn.MultiheadAttention)) for each in inside)
        widths = [each.out_channels for each in inside if isinstance(each, CONVOLUTIONS)]
        return not recurrent and tensor.shape[1] in widths

    def layers(self, raw: Any) -> list[Layer]:
        """The candidates in the order they finished, the model's own output left out."""
        returned: list[Any] = []
        map_arrays(returned.append, dict(raw) if isinstance(raw, Mapping) else raw)
        kept = [
            layer for layer, tensor in self.found if not any(tensor is each for each in returned)
        ]
        return [replace(each, name=self._plain(each.name)) for each in kept]

    def _plain(self, name: str) -> str:
        bare = split(name)[0]
        return name if self.counts[bare] else bare
