"""PyTorch's model of several inputs for the contract suite; another framework's offers the same names.

``towers()``
    A model of an ECG, a video frame and two numbers about the patient, which also takes ``inside`` (what of
    the ECG is signal), ``lengths`` (the same as numbers) and ``temperature`` by keyword; how often it ran; and
    the layer of each tower. It takes ECGs of any length, and heeds what it is told of them.
``LAYERS``
    A layer of each tower.
"""

import torch
from torch import nn

LAYERS = {"ecg": "ecg_conv", "frame": "frame_conv"}


class Towers(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.ecg_conv = nn.Conv1d(2, 4, 5), nn.Conv1d(4, 5, 3)
        self.frame_conv = nn.Conv2d(1, 3, 3)
        self.head, self.runs = nn.Linear(5 + 3 + 2, 4), []

    def forward(self, ecg, frame, patient, inside=None, lengths=None, temperature=1.0):
        self.runs.append(len(ecg))
        e = self.ecg_conv(self.stem(ecg).relu()).square()
        if lengths is not None:
            inside = torch.arange(ecg.shape[2]) < lengths[:, None]
        if inside is None:
            inside = torch.ones(len(ecg), ecg.shape[2])
        here = inside[:, None, 6:].to(e)
        e = (e * here).sum(2) / here.sum(2)
        f = self.frame_conv(frame).square().flatten(2).mean(2)
        return self.head(torch.cat([e, f, patient], 1)) / temperature


def towers():
    """The model, and the list that grows with each of its runs."""
    model = Towers().eval()
    return model, model.runs
