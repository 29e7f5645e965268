"""What the metrics cost: ROAD's interpolation beside grad-cam's, and a whole evaluation.

Run as ``python -m benchmarks.metrics`` in the environment of ``requirements.txt``, on one thread; it takes a minute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import version

import numpy as np
import torch
from torch import nn

import signalcam as sc
from benchmarks.measure import extra_memory, seconds
from benchmarks.peers import declare_torchvision_operators
from signalcam.metrics.interpolation import interpolate_removed

SHARES = (0.1, 0.5, 0.9)
ROUNDS = 3


def main() -> None:
    """Print every number, as two tables."""
    torch.set_num_threads(1)
    declare_torchvision_operators()
    print(", ".join(f"{each} {version(each)}" for each in ("signalcam", "grad-cam", "torch", "numpy", "scipy")))
    print("\n| input | removed | SignalCAM, ms | grad-cam, ms | share | largest difference |")
    print("| --- | --- | --- | --- | --- | --- |")
    for row in imputation():
        print(f"| {' | '.join(row)} |")
    print("\n| network, input | metrics | model runs on rows | seconds | of the bare runs | peak, MiB |")
    print("| --- | --- | --- | --- | --- | --- |")
    print(f"| {' | '.join(evaluation())} |")


def imputation() -> Iterator[tuple[str, ...]]:
    """Input, share removed, both times and how far apart the results are."""
    for name, shape in (("12 x 5000", (12, 5000)), ("3 x 224 x 224", (3, 224, 224))):
        for share in SHARES:
            x, known = _case(shape, share)
            ours = _best(lambda x=x, known=known: interpolate_removed(x, known))
            theirs = _best(lambda x=x, known=known: grad_cam(x, known))
            apart = np.abs(interpolate_removed(x, known) - grad_cam(x, known)).max()
            yield (
                name,
                f"{share:.0%}",
                f"{1e3 * ours:.1f}",
                f"{1e3 * theirs:.0f}",
                f"{ours / theirs:.3f}",
                f"{apart:.0e}",
            )


def _case(shape: tuple[int, ...], share: float) -> tuple[np.ndarray, np.ndarray]:
    """A sample, and what a smooth map that is highest in its middle leaves of it."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape).astype(np.float32)
    rings = sum(
        np.linspace(-1, 1, n).reshape([-1 if i == a else 1 for i in range(len(shape) - 1)]) ** 2
        for a, n in enumerate(shape[1:])
    )
    return x, np.asarray(rings > np.quantile(rings, share))


def grad_cam(x: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The same by grad-cam's imputer, without its noise."""
    from pytorch_grad_cam.metrics.road import NoisyLinearImputer  # noqa: PLC0415 - a peer is loaded when its turn comes

    wide = torch.as_tensor(x.reshape(len(x), -1, x.shape[-1]))
    mask = torch.as_tensor(known.reshape(-1, x.shape[-1]).astype(np.float32))
    found: np.ndarray = NoisyLinearImputer(noise=0)(wide, mask).numpy()
    return found.reshape(x.shape)


def _best(call: Callable[[], object]) -> float:
    call()
    return min(seconds(call) for _ in range(ROUNDS))


def evaluation() -> tuple[str, ...]:
    """Sixteen signals scored by three metrics, with two baselines."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv1d(12, 32, 15, stride=4),
        nn.ReLU(),
        nn.Conv1d(32, 64, 15, stride=4),
        nn.ReLU(),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(64, 5),
    ).eval()
    x = torch.randn(16, 12, 5000)
    exp = sc.explain(network, x)
    rows = 16 * (3 * 4 * 10 + 3 * 2 + 2)  # methods x curves x steps, confidence, the maps

    def run() -> object:
        return sc.metrics.evaluate(exp, network, batch_size=64)

    def bare() -> None:
        with torch.no_grad():
            for _ in range(rows // 16):
                network(x)

    whole, floor = _best(run), _best(bare)
    peak = extra_memory(run, lambda: None) / 2**20
    return (
        "two convolutions, 16 x 12 x 5000",
        "deletion, insertion, road",
        str(rows),
        f"{whole:.1f}",
        f"{whole / floor:.2f}",
        f"{peak:.0f}",
    )


if __name__ == "__main__":
    main()
