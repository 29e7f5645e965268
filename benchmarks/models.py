"""The networks that are measured: residual, plain, random weights from a fixed seed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

SEED = 0
CLASSES = 20


class Block(nn.Module):
    """Two convolutions and a way around them, written as most residual networks are."""

    def __init__(self, rank: int, before: int, after: int, kernel: int, stride: int) -> None:
        super().__init__()
        convolution, norm = _kinds(rank)
        half = kernel // 2
        self.conv1 = convolution(before, after, kernel, stride, half, bias=False)
        self.norm1 = norm(after)
        self.conv2 = convolution(after, after, kernel, 1, half, bias=False)
        self.norm2 = norm(after)
        same = before == after and stride == 1
        shortcut = [convolution(before, after, 1, stride, bias=False), norm(after)]
        self.around = nn.Identity() if same else nn.Sequential(*shortcut)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Add what the convolutions say to what came in."""
        y = self.activation(self.norm1(self.conv1(x)))
        return self.activation(self.norm2(self.conv2(y)) + self.around(x))


class ResidualNetwork(nn.Module):
    """A stem, four stages of two blocks, global average pooling, and one linear layer to logits."""

    def __init__(self, rank: int, channels: int, widths: tuple[int, ...], kernel: int, *, pool: bool) -> None:
        super().__init__()
        convolution, norm = _kinds(rank)
        stem = 2 * kernel + 1 if pool else kernel
        self.stem = nn.Sequential(
            convolution(channels, widths[0], stem, 2, stem // 2, bias=False),
            norm(widths[0]),
            nn.ReLU(inplace=True),
            _pooling(rank)(3, 2, 1) if pool else nn.Identity(),
        )
        self.stage1 = _stage(rank, widths[0], widths[0], kernel, 1)
        self.stage2 = _stage(rank, widths[0], widths[1], kernel, 2)
        self.stage3 = _stage(rank, widths[1], widths[2], kernel, 2)
        self.stage4 = _stage(rank, widths[2], widths[3], kernel, 2)
        self.classify = nn.Linear(widths[3], CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Turn a batch into logits ``(batch, class)``."""
        y = self.stage4(self.stage3(self.stage2(self.stage1(self.stem(x)))))
        return self.classify(y.flatten(2).mean(-1))


@dataclass(frozen=True)
class Case:
    """A network and the batch it is measured on.

    Attributes:
        name: In words, for the table.
        shape: Of the batch.
        widths: Channels of the four stages.
        kernel: Length of the kernels.
        pool: Whether the stem pools, as image networks do.
    """

    name: str
    shape: tuple[int, ...]
    widths: tuple[int, ...]
    kernel: int
    pool: bool

    def build(self) -> tuple[nn.Module, Tensor]:
        """Make the network, in evaluation mode, and its batch."""
        torch.manual_seed(SEED)
        rank = len(self.shape) - 2
        network = ResidualNetwork(rank, self.shape[1], self.widths, self.kernel, pool=self.pool)
        return network.eval(), torch.randn(self.shape)


LAYERS = {"last": "stage4.1.conv2", "middle": "stage2.1.conv2"}

CASES = {
    "1-D": Case("1-D ResNet", (32, 12, 5000), (32, 64, 96, 128), 7, pool=True),
    "2-D": Case("2-D ResNet-18", (16, 3, 128, 128), (64, 128, 256, 512), 3, pool=True),
    "3-D": Case("3-D ResNet", (4, 1, 32, 64, 64), (32, 64, 128, 256), 3, pool=False),
}

QUICK_CASES = {
    "1-D": Case("1-D ResNet, small", (4, 2, 500), (8, 8, 16, 16), 5, pool=True),
    "2-D": Case("2-D ResNet, small", (4, 3, 64, 64), (8, 8, 16, 16), 3, pool=True),
    "3-D": Case("3-D ResNet, small", (2, 1, 16, 32, 32), (4, 8, 8, 16), 3, pool=False),
}


def cases(*, quick: bool) -> dict[str, Case]:
    """The networks of the full run, or small ones of the same kinds."""
    return QUICK_CASES if quick else CASES


def _stage(rank: int, before: int, after: int, kernel: int, stride: int) -> nn.Sequential:
    return nn.Sequential(Block(rank, before, after, kernel, stride), Block(rank, after, after, kernel, 1))


def _kinds(rank: int) -> tuple[type[nn.Module], type[nn.Module]]:
    convolutions = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
    norms = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
    return convolutions[rank], norms[rank]


def _pooling(rank: int) -> type[nn.Module]:
    return {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}[rank]
