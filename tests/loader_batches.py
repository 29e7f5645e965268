"""How batches are put together, in a module that the processes of a loader can import."""

import torch


def stacked(items):
    """A batch as a dict."""
    return {"ecg": torch.stack([x for x, _ in items]), "rhythm": [int(y) for _, y in items]}
