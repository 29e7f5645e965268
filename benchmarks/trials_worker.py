"""Measures methods that try many changed samples, in a process of its own; prints JSON.

Run as ``python -m benchmarks.trials_worker time memory [--quick]``; ``benchmarks.run`` does.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import signalcam as sc
from benchmarks.measure import extra_memory, interleaved, quiet, seconds
from benchmarks.models import Case, cases
from benchmarks.peers import declare_torchvision_operators, forward, grad_cam_look

LAST, TARGET, ROWS = "stage4", 0, 16
LARGE = {
    "2-D": Case("2-D ResNet-18", (1, 3, 224, 224), (64, 128, 256, 512), 3, pool=True),
    "1-D": Case("1-D ResNet", (1, 12, 5000), (32, 64, 96, 128), 7, pool=True),
}
PLACES = {"2-D, last": ("2-D", LAST), "1-D, last": ("1-D", LAST), "1-D, first": ("1-D", "stem")}
FILLED = Case("2-D ResNet-18", (1, 3, 128, 128), (64, 128, 256, 256), 3, pool=True)
FILLINGS = ((4, 256), (16, 256), (64, 256), (16, 64), (16, 1024))  # rows at a time, channels
METHODS = ("score-cam", "ablation-cam", "recipro-cam")
Run = Callable[[nn.Module, str, Tensor, int], np.ndarray]  # model, layer, sample, rows at a time -> its map


# --- contestants ---------------------------------------------------------------------------------


def contestants(method: str) -> dict[str, Run]:
    """Who offers a method, SignalCAM first."""
    peers: dict[str, dict[str, Run]] = {
        "score-cam": {"torchcam": torchcam, "grad-cam": partial(grad_cam, "ScoreCAM")},
        "ablation-cam": {"grad-cam": partial(grad_cam, "AblationCAM")},
    }
    return {"signalcam": partial(ours, method)} | peers.get(method, {})


def ours(method: str, model: nn.Module, layer: str, x: Tensor, rows: int, *, signed: bool = False) -> np.ndarray:
    """SignalCAM's map at the layer."""
    explainer = sc.Explainer(model, layer=layer, method=method, target=TARGET, batch_size=rows, signed=signed)
    return explainer(x).native().values[:, 0, 0]


def grad_cam(name: str, model: nn.Module, layer: str, x: Tensor, rows: int) -> np.ndarray:
    """The package grad-cam's map, stretched and normalised by it."""
    import pytorch_grad_cam  # noqa: PLC0415 - a peer is loaded when its turn comes
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget  # noqa: PLC0415 - as above

    with getattr(pytorch_grad_cam, name)(model, [model.get_submodule(layer)]) as cam:
        cam.batch_size = rows
        return np.asarray(cam(x, [ClassifierOutputTarget(TARGET)] * len(x)))


def torchcam(model: nn.Module, layer: str, x: Tensor, rows: int) -> np.ndarray:
    """Torchcam's map at the layer."""
    from torchcam.methods import ScoreCAM  # noqa: PLC0415 - a peer is loaded when its turn comes

    with torch.no_grad(), ScoreCAM(model, layer, batch_size=rows) as extract:
        return np.asarray(extract(TARGET, model(x), normalized=False)[0])


def floor(model: nn.Module, x: Tensor, rows: int, trials: int) -> None:
    """As many bare forward passes as there are trials, so many rows at a time."""
    call = forward(model)
    for start in range(0, trials, rows):
        some = min(rows, trials - start)
        call(x.expand(some, *x.shape[1:]).contiguous())


# --- time ----------------------------------------------------------------------------------------


def timed(case: Case, layer: str, method: str, *, quick: bool) -> dict[str, Any]:
    """Seconds of each contestant, in turn; of SignalCAM's first call; how far the maps lie apart."""
    model, x = case.build()
    run = contestants(method)
    first = seconds(partial(run["signalcam"], model, layer, x, ROWS))
    wanted = ours(method, model, layer, x, ROWS, signed=True)
    channels = case.widths[-1 if layer == LAST else 0]
    trials = wanted[0].size + 1 if method == "recipro-cam" else channels
    calls: dict[str, Callable[[], Any]] = {"forwards": partial(floor, model, x, ROWS, trials)}
    apart, refused = dict[str, float](), dict[str, str]()
    for name, each in run.items():
        try:
            apart[name] = difference(each(model, layer, x, ROWS), wanted, x, name)
        except Exception as error:  # noqa: BLE001 - whatever a peer raises is its answer
            refused[name] = f"{type(error).__name__}: {error}".splitlines()[0]
            continue
        calls[name] = partial(each, model, layer, x, ROWS)
    rounds, budget = ((1, 1), 0.0) if quick else ((2, 9), 20.0)
    spent = interleaved(calls, lambda: None, budget=budget, rounds=rounds)
    least = {name: min(each) for name, each in spent.items()}
    return {"least": least, "first": first, "trials": trials, "apart": apart, "refused": refused}


def difference(found: np.ndarray, signed: np.ndarray, x: Tensor, name: str) -> float:
    """The largest difference from SignalCAM's map, as a share of its largest value."""
    same = grad_cam_look(signed[None], x)[0] if name == "grad-cam" else np.maximum(signed, 0)
    return float(np.abs(found - same).max() / max(np.abs(same).max(), np.finfo(np.float32).tiny))


# --- memory --------------------------------------------------------------------------------------


def filled(case: Case, rows: int) -> dict[str, Any]:
    """Bytes at the peak beyond what was there before: of one bare pass over the rows, of every contestant."""
    model, x = case.build()
    calls = {
        f"{method}, {name}": partial(run, model, LAST, x, rows)
        for method in ("score-cam", "ablation-cam")
        for name, run in contestants(method).items()
    }
    floor(model, x, rows, rows)
    found = {
        "forward": _peak(partial(floor, model, x, rows, rows)),
        "first": _peak(calls["ablation-cam, signalcam"]),
    }
    ratios = {name: _peak(call) / found["forward"] for name, call in calls.items()}
    return found | {"rows": rows, "channels": case.widths[-1], "ratios": ratios}


def _peak(call: Callable[[], Any]) -> int:
    return extra_memory(call, lambda: None)


def _warm() -> None:
    """Let every contestant load what it loads once."""
    for method in METHODS:
        for run in contestants(method).values():
            model, x = cases(quick=True)["2-D"].build()
            run(model, LAST, x[:1], ROWS)


def _places(*, quick: bool) -> dict[str, tuple[Case, str]]:
    """Networks, and the layer that is explained in each."""
    small = {name: _single(case) for name, case in cases(quick=True).items()}
    chosen = small if quick else LARGE
    return {name: (chosen[network], layer) for name, (network, layer) in PLACES.items()}


def _single(case: Case) -> Case:
    return replace(case, shape=(1, *case.shape[1:]))


def _fillings(*, quick: bool) -> list[tuple[Case, int]]:
    case = _single(cases(quick=True)["2-D"]) if quick else FILLED
    sizes = ((2, 8), (4, 16)) if quick else FILLINGS
    return [(replace(case, widths=(*case.widths[:3], each)), rows) for rows, each in sizes]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["time", "memory"], nargs="+")
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    declare_torchvision_operators()
    found = dict[str, Any]()
    with quiet(), contextlib.redirect_stderr(io.StringIO()):  # torchcam and grad-cam show bars
        _warm()
        if "time" in asked.what:
            found["time"] = [
                {"network": name, "method": method} | timed(*place, method, quick=asked.quick)
                for name, place in _places(quick=asked.quick).items()
                for method in METHODS
            ]
        if "memory" in asked.what:
            found["memory"] = [filled(*each) for each in _fillings(quick=asked.quick)]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
