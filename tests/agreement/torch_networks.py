"""The networks of ``cases`` in PyTorch."""

import torch
from torch import nn

from agreement.cases import CLASSES, EPSILON, Case, Conv, grown, weights


def network(case: Case) -> nn.Module:
    """Build a case's network with its weights, ready to be asked."""
    model = nn.Sequential()
    channels = case.channels
    for number, conv in enumerate(case.convs, 1):
        _add_block(model, case, number, channels, conv)
        channels = conv.filters
    _add_head(model, case, channels)
    drawn = {name: torch.from_numpy(array) for name, array in weights(case).items()}
    missing, unexpected = model.load_state_dict(drawn, strict=False)
    assert not unexpected
    assert all(name.endswith("num_batches_tracked") for name in missing)
    return model.eval()


def _of_rank(kind: str, case: Case):
    return getattr(nn, f"{kind}{case.rank}d")


def _add_block(model: nn.Module, case: Case, number: int, channels: int, conv: Conv) -> None:
    convolution = _of_rank("Conv", case)(
        channels, conv.filters, conv.kernel, stride=conv.stride, padding=_padding(conv)
    )
    model.add_module(f"conv{number}", convolution)
    model.add_module(f"norm{number}", _of_rank("BatchNorm", case)(conv.filters, eps=EPSILON))
    model.add_module(f"relu{number}", nn.ReLU())
    if conv.pool > 1:
        model.add_module(f"pool{number}", _of_rank("MaxPool", case)(conv.pool))


def _padding(conv: Conv) -> int | str:
    """PyTorch's own 'same' refuses strides; ``cases`` says when half a kernel is what Keras pads."""
    return conv.kernel // 2 if conv.padding == "same" and conv.stride > 1 else conv.padding


def _add_head(model: nn.Module, case: Case, channels: int) -> None:
    features = channels
    if case.flat:
        features *= torch.Size(grown(case)[-1]).numel()
    else:
        model.add_module("mean", _of_rank("AdaptiveAvgPool", case)(1))
    model.add_module("flat", nn.Flatten())
    model.add_module("head", nn.Linear(features, CLASSES))
    if case.softmax:
        model.add_module("softmax", nn.Softmax(-1))
