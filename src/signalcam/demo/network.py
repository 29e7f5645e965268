"""The small network that says whether a two-second window holds a ventricular beat."""

from pathlib import Path

from torch import Tensor, nn

CLASSES = ("normal", "ventricular")
"""What the two outputs stand for: no ventricular beat in the window, or at least one."""
WEIGHTS = Path(__file__).with_name("ventricular.safetensors")


class BeatNet(nn.Module):
    """Three convolutions, the mean over time, and a linear head.

    Input (batch, 1, time) as `signalcam.demo.heartbeats.standardise` makes it; output
    (batch, 2), one logit for each of `CLASSES`. The last activation, ``relu3``, has
    32 channels and a quarter of the input's positions.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(1, 16, kernel_size=7, stride=2, padding=3)
        self.norm1 = nn.BatchNorm1d(16)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv1d(16, 32, kernel_size=7, stride=2, padding=3)
        self.norm2 = nn.BatchNorm1d(32)
        self.relu2 = nn.ReLU()
        self.conv3 = nn.Conv1d(32, 32, kernel_size=5, padding=2)
        self.norm3 = nn.BatchNorm1d(32)
        self.relu3 = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool1d(1)
        self.head = nn.Linear(32, len(CLASSES))

    def forward(self, window: Tensor) -> Tensor:
        """Return two logits for each window."""
        hidden: Tensor = self.relu1(self.norm1(self.conv1(window)))
        hidden = self.relu2(self.norm2(self.conv2(hidden)))
        hidden = self.relu3(self.norm3(self.conv3(hidden)))
        logits: Tensor = self.head(self.pool(hidden).flatten(1))
        return logits


def build() -> nn.Module:
    """Return the network with fresh weights, drawn from PyTorch's own random state."""
    return BeatNet()


def load() -> nn.Module:
    """Return the network with the shipped weights, in evaluation mode."""
    from safetensors.torch import load_file  # noqa: PLC0415 - training needs no weights to read

    network = build()
    network.load_state_dict(load_file(WEIGHTS))
    return network.eval()
