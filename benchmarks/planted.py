"""Do maps lie where the cause was planted? ``python -m benchmarks.planted [--quick]`` writes the tables of docs/planted-causes.md.

For each cause and number of axes, networks are trained from several seeds; those that have not learnt the cause
(accuracy below 0.9) are named and left out. Each method explains new samples, with its map at its receptive fields
and stretched. Intervals are 95 % bootstrap intervals of the mean over seeds x samples.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import xarray as xr
from torch import nn

import signalcam as sc

METHODS = (
    "grad-cam",
    "hires-cam",
    "grad-cam++",
    "layer-cam",
    "xgrad-cam",
    "score-cam",
    "ablation-cam",
    "eigen-cam",
    "random-cam",
)
SPACES: dict[int, tuple[int, ...]] = {1: (256,), 2: (40, 40), 3: (16, 24, 24)}
CAUSES = ("event", "burst", "channel", "xor", "distractor")
LEARNT = 0.9
SHOWN = ("pointing-game", "mass-accuracy", "auroc")


def main() -> None:
    """Train, explain, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one seed, the event only")
    parser.add_argument("--alignment", action="store_true", help="the last table only")
    asked = parser.parse_args()
    quick = asked.quick
    seeds = range(1 if quick else 5)
    for rank, space in () if asked.alignment else SPACES.items():
        print(f"\n### {rank} ax{'i' if rank == 1 else 'e'}s, {' x '.join(map(str, space))}\n")
        for cause in CAUSES[:1] if quick else CAUSES:
            _table(cause, space, seeds)
    print("\n### Where a map begins and ends, in ms (unpadded, strided network; `burst`)\n")
    _alignment(seeds)


def _trials(
    cause: str, space: Sequence[int], seeds: Sequence[int]
) -> Iterator[tuple[object, sc.synthetic.Planted, float]]:
    """A trained network, new samples, and how well it does on them, for each seed."""
    for seed in seeds:
        data = sc.synthetic.planted(cause, 640, space, seed=seed)
        model, new = sc.synthetic.train(data[:600], seed), data[600:]
        yield model, new, sc.synthetic.accuracy(model, new)


def _table(cause: str, space: Sequence[int], seeds: Sequence[int]) -> None:
    found, right = [], []
    for model, new, accuracy in _trials(cause, space, seeds):
        right.append(accuracy)
        if accuracy < LEARNT:
            continue
        exp = sc.explain(model, new.inputs, layout=new.layout, method=list(METHODS))
        found.append(sc.metrics.localisation(exp, new.truth, SHOWN))
    said = ", ".join(f"{each:.2f}" for each in right)
    if not found:
        print(f"`{cause}`: no network learnt it (accuracy {said}).\n")
        return
    scores = xr.concat(found, "seed")
    print(f"`{cause}` (accuracy {said}; chance {scores['chance'].mean().item():.2f})\n")
    print(f"| method | {' | '.join(SHOWN)} |\n|---|{'---|' * len(SHOWN)}")
    for method in METHODS:
        cells = [_interval(scores[name].sel(cam=method)) for name in SHOWN]
        print(f"| {method} | {' | '.join(cells)} |")
    print(flush=True)


def _alignment(seeds: Sequence[int]) -> None:
    """How far the strongest stretch begins and ends from the burst, for a narrow and a wide receptive field."""
    print("| network | method | alignment | onset error | offset error | its middle |\n|---|---|---|---|---|---|")
    for name, network, length in (("field of 27", None, 256), ("field of 75", wide, 400)):
        trained = [_learnt(network, length, seed) for seed in seeds]
        for method in METHODS:
            for align in ("receptive-field", "resize"):
                cells = _errors(trained, method, align)
                print(f"| {name} | {method} | {align} | {' | '.join(cells)} |", flush=True)


def wide() -> nn.Module:
    """A network whose positions see 75 values each, 4 apart."""
    return nn.Sequential(
        nn.Conv1d(1, 16, 15, 2),
        nn.BatchNorm1d(16),
        nn.ReLU(),
        nn.Conv1d(16, 16, 15, 2),
        nn.BatchNorm1d(16),
        nn.ReLU(),
        nn.Conv1d(16, 16, 9),
        nn.BatchNorm1d(16),
        nn.ReLU(),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(16, 3),
    )


def _learnt(network: Callable[[], nn.Module] | None, length: int, seed: int) -> tuple[nn.Module, sc.synthetic.Planted]:
    data = sc.synthetic.planted("burst", 640, length, seed=seed)
    return sc.synthetic.train(data[:600], seed, network=network), data[600:]


def _errors(trained: Sequence[tuple[nn.Module, sc.synthetic.Planted]], method: str, align: str) -> list[str]:
    """Without sign: of the onset, of the offset, and of the middle between both."""
    found = []
    for model, new in trained:
        exp = sc.explain(model, new.inputs, layout=new.layout, method=method, align=align)
        found.append(sc.metrics.localisation(exp, new.truth, ["onset-error", "offset-error"]))
    scores = 1000 * xr.concat(found, "seed")
    onset, offset = scores["onset-error"], scores["offset-error"]
    return [_interval(np.abs(each), 0) for each in (onset, offset, (onset + offset) / 2)]


def _interval(values: xr.DataArray, digits: int = 2) -> str:
    """Mean and a 95 % bootstrap interval."""
    flat = values.values.ravel()
    flat = flat[np.isfinite(flat)]
    draws = np.random.default_rng(0).choice(flat, (1000, len(flat))).mean(axis=1)
    low, high = np.quantile(draws, [0.025, 0.975])
    return f"{flat.mean():.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


if __name__ == "__main__":
    main()
