"""Two hybrids of convolution and recurrence in PyTorch, for recordings (batch, channel, time)."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

DIMS = "batch channel time"


class CnnLstm(nn.Module):
    """Convolutions over time, an LSTM behind them, the answer read from its last state."""

    def __init__(self, channels: int = 6, classes: int = 4) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(nn.Conv1d(channels, 32, 9, padding=4), nn.ReLU())
        self.conv2 = nn.Sequential(nn.Conv1d(32, 32, 5, padding=2), nn.ReLU())
        self.lstm = nn.LSTM(32, 32, batch_first=True)
        self.head = nn.Linear(32, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Give one logit a class."""
        states, _ = self.lstm(self.conv2(self.conv1(x)).transpose(1, 2))
        return self.head(states[:, -1])


class CnnBiLstmAttention(nn.Module):
    """Convolutions that keep channels apart, an LSTM both ways, attention over its states."""

    def __init__(self, channels: int = 6, classes: int = 4) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(nn.Conv2d(1, 8, (1, 9), padding=(0, 4)), nn.ReLU())
        self.conv2 = nn.Sequential(nn.Conv2d(8, 8, (1, 5), padding=(0, 2)), nn.ReLU())
        self.lstm = nn.LSTM(8 * channels, 16, batch_first=True, bidirectional=True)
        self.attention = nn.Linear(32, 1)
        self.head = nn.Linear(32, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Give one logit a class."""
        seen = self.conv2(self.conv1(x[:, None]))  # (batch, 8, channel, time)
        states, _ = self.lstm(seen.flatten(1, 2).transpose(1, 2))
        weights = self.attention(states).softmax(1)  # how much each moment counts
        return self.head((weights * states).sum(1))


NETWORKS = {"CNN-LSTM": CnnLstm, "CNN-BiLSTM-attention": CnnBiLstmAttention}


def train(network: Callable[[], nn.Module], x: np.ndarray, y: np.ndarray, epochs: int) -> nn.Module:
    """Build a network, train it on all recordings at once, and return it."""
    torch.manual_seed(0)
    model, inputs, classes = network(), torch.as_tensor(x), torch.as_tensor(y)
    adam = torch.optim.Adam(model.parameters(), 5e-3)
    for _ in range(epochs):
        adam.zero_grad()
        nn.functional.cross_entropy(model(inputs), classes).backward()
        adam.step()
    return model
