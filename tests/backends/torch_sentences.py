"""A small classifier of sentences: embedding, one convolution, the strongest place of each channel."""

import numpy as np
import torch
from torch import nn


class Sentences(nn.Module):
    """Takes numbers of words, ``(batch, token)``."""

    def __init__(self, words, classes):
        super().__init__()
        self.embed, self.conv = nn.Embedding(words, 16), nn.Conv1d(16, 24, 3, padding=1)
        self.head = nn.Linear(24, classes)

    def forward(self, ids):
        features = self.conv(self.embed(ids).transpose(1, 2)).relu()
        return self.head(features.amax(2))


def trained(ids, labels, words):
    """Train one for some seconds."""
    torch.manual_seed(0)
    net = Sentences(words, int(labels.max()) + 1)
    x, y = torch.as_tensor(ids), torch.as_tensor(labels)
    optimiser = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(60):
        optimiser.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimiser.step()
    return net.eval()


def logits(model, ids):
    """What it answers."""
    with torch.no_grad():
        return np.asarray(model(torch.as_tensor(ids)))


class Window(nn.Module):
    """One convolution over embedded words, with so many places of padding before and after."""

    def __init__(self, kernel, before, after, stride):
        super().__init__()
        self.embed, self.conv = nn.Embedding(40, 16), nn.Conv1d(16, 24, kernel, stride=stride)
        self.padding, self.head = (before, after), nn.Linear(24, 3)

    def forward(self, ids):
        padded = nn.functional.pad(self.embed(ids).transpose(1, 2), self.padding)
        return self.head(self.conv(padded).relu().amax(2))


def window(*asked):
    """One with random weights."""
    torch.manual_seed(0)
    return Window(*asked).eval()
