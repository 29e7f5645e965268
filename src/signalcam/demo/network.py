"""Network of the demo: classifies two-second windows by whether they contain a ventricular beat."""

from pathlib import Path

from torch import Tensor, nn

CLASSES = ("normal", "ventricular")
"""Names of the two outputs: no ventricular beat in the window, or at least one."""
WEIGHTS = Path(__file__).with_name("ventricular.safetensors")


class BeatNet(nn.Module):
    """Three convolutions, the mean over time, and a linear head.

    The input is (batch, 1, time), as `signalcam.demo.heartbeats.standardise` returns it.
    The output is (batch, 2), one logit per class of `CLASSES`.
    The last activation, ``relu3``, has 32 channels and a quarter of the input's positions.
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
        """Return the logits, (batch, 2)."""
        hidden: Tensor = self.relu1(self.norm1(self.conv1(window)))
        hidden = self.relu2(self.norm2(self.conv2(hidden)))
        hidden = self.relu3(self.norm3(self.conv3(hidden)))
        logits: Tensor = self.head(self.pool(hidden).flatten(1))
        return logits


def build() -> nn.Module:
    """Build the network with random weights, drawn from PyTorch's global generator."""
    return BeatNet()


def load() -> nn.Module:
    """Load the network with the shipped weights, in evaluation mode."""
    from safetensors.torch import load_file  # noqa: PLC0415 - not needed for training

    network = build()
    network.load_state_dict(load_file(WEIGHTS))
    return network.eval()
