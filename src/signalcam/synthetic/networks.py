"""Here you find small networks that learn synthetic data in seconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from signalcam.errors import MissingExtra
from signalcam.synthetic.planted import Planted

if TYPE_CHECKING:
    from torch import nn

EPOCHS = 30
BATCH = 64
LEARNING_RATE = 1e-2  # maximum of the one-cycle schedule
SIGNAL = ((7, 2), (5, 2), (3, 1))  # kernel and stride of each convolution
PICTURE = ((5, 2), (3, 1), (3, 1))  # in images and volumes, whose axes are short
WIDTH = 16


def train(
    data: Planted,
    seed: int = 0,
    *,
    network: Callable[[], nn.Module] | None = None,
    padded: bool = False,
    epochs: int = EPOCHS,
) -> nn.Module:
    """Train a network of three convolutions on synthetic data.

    A position of its map is 4 values wide in signals, and 2 in images and volumes. The convolutions are followed by
    the mean over all positions and two linear layers, which return logits. The last layer with positions is
    ``relu3``. PyTorch's random state is not changed.

    Args:
        data: The training data.
        seed: Seed of the weights and of the order of samples.
        network: Return a network to train instead, from ``(sample, channel, *positions)`` to logits.
        padded: Pad the convolutions, so that the map covers the input's edges. Without padding a map stretched to
            the input is misplaced, which ``align="receptive-field"`` corrects.
        epochs: Number of passes over the data.

    Returns:
        The network, in evaluation mode.

    Raises:
        MissingExtra: PyTorch is not installed.

    Example:
        >>> import signalcam as sc
        >>> beats = sc.synthetic.planted("event")
        >>> model = sc.synthetic.train(beats[:300])
        >>> sc.synthetic.accuracy(model, beats[300:])
        1.0
    """
    try:
        import torch  # noqa: PLC0415 - only training needs it
    except ImportError as error:
        raise MissingExtra("training a network", "torch") from error
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _build_network(data, padded=padded) if network is None else network()
        _fit(model, data, epochs)
    return model.eval()


def accuracy(network: nn.Module, data: Planted) -> float:
    """Return the share of samples that the network classifies correctly, from 0 to 1."""
    import torch  # noqa: PLC0415 - installed, since the network is of PyTorch

    with torch.inference_mode():
        predicted = network(torch.from_numpy(data.inputs)).argmax(dim=1).numpy()
    return float((predicted == data.labels).mean())


def _build_network(data: Planted, *, padded: bool) -> nn.Module:
    from torch import nn  # noqa: PLC0415 - installed, since the caller imports it

    rank = data.inputs.ndim - 2
    convolution = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[rank - 1]
    pool = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)[rank - 1]
    norm = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[rank - 1]
    network = nn.Sequential()
    width = data.inputs.shape[1]
    for number, (kernel, stride) in enumerate(SIGNAL if rank == 1 else PICTURE, 1):
        layer = convolution(width, WIDTH, kernel, stride, kernel // 2 if padded else 0)
        network.add_module(f"conv{number}", layer)
        network.add_module(f"norm{number}", norm(WIDTH))
        network.add_module(f"relu{number}", nn.ReLU())
        width = WIDTH
    network.add_module("pool", pool(1))
    network.add_module("flatten", nn.Flatten())
    network.add_module("hidden", nn.Linear(WIDTH, WIDTH))
    network.add_module("relu4", nn.ReLU())
    network.add_module("head", nn.Linear(WIDTH, len(data.class_names)))
    return network


def _fit(network: nn.Module, data: Planted, epochs: int) -> None:
    import torch  # noqa: PLC0415 - installed, since the caller imports it

    inputs, labels = torch.from_numpy(data.inputs), torch.from_numpy(data.labels)
    steps = epochs * -(-len(inputs) // BATCH)
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps)
    with torch.enable_grad():
        for _ in range(epochs):
            for rows in torch.split(torch.randperm(len(inputs)), BATCH):
                optimiser.zero_grad()
                loss = torch.nn.functional.cross_entropy(network(inputs[rows]), labels[rows])
                torch.autograd.backward(loss)
                optimiser.step()
                schedule.step()
