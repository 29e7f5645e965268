"""Do maps lie where the cause was planted? ``python -m benchmarks.planted [--quick]`` writes the tables of docs/planted-causes.md.

For each cause and number of axes, networks are trained from several seeds; those that have not learnt the cause
(accuracy below 0.9) are named and left out. Each method explains new samples, with its map at its receptive fields
and stretched. Intervals are 95 % bootstrap intervals of the mean over seeds x samples.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

import numpy as np
import xarray as xr

import signalcam as sc

METHODS = (
    "grad-cam", "hires-cam", "grad-cam++", "layer-cam", "xgrad-cam", "score-cam", "ablation-cam", "eigen-cam", "random-cam",
)  # fmt: skip
SPACES: dict[int, tuple[int, ...]] = {1: (256,), 2: (40, 40), 3: (16, 24, 24)}
CAUSES = ("event", "burst", "channel", "xor", "distractor")
LEARNT = 0.9
SHOWN = ("pointing-game", "mass-accuracy", "auroc")
ERRORS = ("onset-error", "offset-error")


def main() -> None:
    """Train, explain, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one seed, the event only")
    quick = parser.parse_args().quick
    seeds = range(1 if quick else 5)
    for rank, space in SPACES.items():
        print(f"\n### {rank} ax{'i' if rank == 1 else 'e'}s, {' x '.join(map(str, space))}\n")
        for cause in CAUSES[:1] if quick else CAUSES:
            _table(cause, space, seeds)
    print("\n### Where a map begins and ends, in ms (unpadded, strided network; `burst`)\n")
    _alignment(seeds)


def _trials(cause: str, space: Sequence[int], seeds: Sequence[int]) -> Iterator[tuple[object, sc.synthetic.Planted, float]]:  # fmt: skip
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
        cells = [_interval(scores[name].sel({"method": method})) for name in SHOWN]
        print(f"| {method} | {' | '.join(cells)} |")
    print(flush=True)


def _alignment(seeds: Sequence[int]) -> None:
    print(
        "| method | alignment | onset error | offset error | mean of both, without sign |\n|---|---|---|---|---|"
    )
    trained = [each[:2] for each in _trials("burst", SPACES[1], seeds)]
    for method in METHODS:
        for align in ("receptive-field", "resize"):
            found = [
                sc.metrics.localisation(
                    sc.explain(model, new.inputs, layout=new.layout, method=method, align=align),
                    new.truth,
                    ERRORS,
                )
                for model, new in trained
            ]
            scores = 1000 * xr.concat(found, "seed")
            place = np.abs(scores[ERRORS[0]] + scores[ERRORS[1]]) / 2
            cells = [_interval(each, 0) for each in (*(scores[name] for name in ERRORS), place)]
            print(f"| {method} | {align} | {' | '.join(cells)} |", flush=True)


def _interval(values: xr.DataArray, digits: int = 2) -> str:
    """Mean and a 95 % bootstrap interval."""
    flat = values.values.ravel()
    flat = flat[np.isfinite(flat)]
    draws = np.random.default_rng(0).choice(flat, (1000, len(flat))).mean(axis=1)
    low, high = np.quantile(draws, [0.025, 0.975])
    return f"{flat.mean():.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


if __name__ == "__main__":
    main()
