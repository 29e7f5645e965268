"""Training of the demo's network: ``python -m signalcam.demo.train`` writes the shipped weights again.

The network is trained on the recording after its first `HELD_OUT` seconds, with labels from the signal itself.
On one machine, with equal versions, the weights are equal to the byte.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

import torch
from safetensors.torch import save
from torch import Tensor, nn

from signalcam.demo.heartbeats import (
    HELD_OUT,
    RATE,
    BeatWindows,
    cut_windows,
    label_beats,
    load_recording,
)
from signalcam.demo.network import WEIGHTS, build

SEED = 0
EPOCHS = 15
BATCH = 32
LEARNING_RATE = 1e-2  # at the top of the one-cycle schedule
WEIGHT_DECAY = 1e-2


def main() -> None:
    """Train the network, write its weights next to this file, and print its accuracy."""
    train_windows, test_windows = cut_training_windows(), cut_held_out_windows()
    begin = perf_counter()
    network = train(train_windows)
    seconds = perf_counter() - begin
    WEIGHTS.write_bytes(save(network.state_dict()))
    sys.stdout.write(
        f"{sum(parameter.numel() for parameter in network.parameters())} parameters,"
        f" {WEIGHTS.stat().st_size} bytes, trained in {seconds:.1f} s\n"
        f"training: {describe(network, train_windows)}\nheld out: {describe(network, test_windows)}\n"
    )


def cut_training_windows() -> BeatWindows:
    """Cut the training part of the recording, a window every 0.1 s."""
    ecg = load_recording()
    return cut_windows(ecg, label_beats(ecg), HELD_OUT, len(ecg) / RATE, 0.1)


def cut_held_out_windows() -> BeatWindows:
    """Cut the held-out part of the recording, a window every 0.5 s."""
    ecg = load_recording()
    return cut_windows(ecg, label_beats(ecg), 0.0, HELD_OUT, 0.5)


def train(windows: BeatWindows, seed: int = SEED) -> nn.Module:
    """Train a new network on ``windows`` and return it in evaluation mode."""
    inputs, labels = torch.from_numpy(windows.network_input), torch.from_numpy(windows.label)
    with use_one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build()
        fit(network, inputs, labels)
    return network.eval()


@contextmanager
def use_one_thread() -> Iterator[None]:
    """Use one thread inside the block, so that sums are added in a fixed order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def fit(network: nn.Module, inputs: Tensor, labels: Tensor) -> None:
    """Minimise the cross-entropy of ``labels``, in place, over `EPOCHS` shuffled passes."""
    steps = EPOCHS * -(-len(inputs) // BATCH)
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps)
    for _ in range(EPOCHS):
        for batch in torch.split(torch.randperm(len(inputs)), BATCH):
            optimiser.zero_grad()
            loss = nn.functional.cross_entropy(network(inputs[batch]), labels[batch])
            torch.autograd.backward(loss)
            optimiser.step()
            schedule.step()


def predict(network: nn.Module, windows: BeatWindows) -> Tensor:
    """Return the index of the likelier class for each window."""
    with torch.inference_mode():
        logits: Tensor = network(torch.from_numpy(windows.network_input))
    return logits.argmax(dim=1)


def describe(network: nn.Module, windows: BeatWindows) -> str:
    """Describe the windows and the network's accuracy on them, in one line."""
    right = predict(network, windows).numpy() == windows.label
    return f"{len(right)} windows, {windows.label.sum()} positive, accuracy {right.mean():.3f}"


if __name__ == "__main__":
    main()
