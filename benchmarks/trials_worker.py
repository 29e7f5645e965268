"""Measures methods that try many changed samples, in a process of its own; prints JSON.

Run as ``python -m benchmarks.trials_worker time memory [--quick]``; ``benchmarks.run`` does.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import signalcam as sc
from benchmarks.measure import extra_memory, interleaved, quiet, seconds
from benchmarks.models import Case, cases
from benchmarks.peers import declare_torchvision_operators, forward

LAYER, TARGET, ROWS = "stage4", 3, 16
LARGE = Case("2-D ResNet-18", (1, 3, 224, 224), (64, 128, 256, 512), 3, pool=True)
Calls = Mapping[str, Callable[[], Any]]


def ours(model: nn.Module, method: str, x: Tensor, rows: int = ROWS) -> np.ndarray:
    """SignalCAM's map at the layer."""
    explainer = sc.Explainer(model, layer=LAYER, method=method, target=TARGET, batch_size=rows)
    return np.asarray(explainer(x).native()[:, 0, 0])


def grad_cam(model: nn.Module, name: str, x: Tensor) -> np.ndarray:
    """The package grad-cam's map, with the same rows at a time; stretched and normalised by it."""
    import pytorch_grad_cam  # noqa: PLC0415 - a peer is loaded when its turn comes
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget  # noqa: PLC0415 - as above

    with getattr(pytorch_grad_cam, name)(model, [model.get_submodule(LAYER)]) as cam:
        cam.batch_size = ROWS
        return np.asarray(cam(x, [ClassifierOutputTarget(TARGET)] * len(x)))


def torchcam(model: nn.Module, x: Tensor) -> np.ndarray:
    """Torchcam's map, with the same rows at a time."""
    from torchcam.methods import ScoreCAM  # noqa: PLC0415 - a peer is loaded when its turn comes

    with torch.no_grad(), ScoreCAM(model, LAYER, batch_size=ROWS) as extract:
        found = extract(TARGET, model(x), normalized=False)[0]
        return np.asarray(found)


def floor(model: nn.Module, x: Tensor, trials: int) -> None:
    """As many bare forward passes as there are trials."""
    rows = x[:1].expand(ROWS, *x.shape[1:]).contiguous()
    call = forward(model)
    for _ in range(len(x) * trials // ROWS):
        call(rows)


def timed(model: nn.Module, x: Tensor, channels: int) -> dict[str, Any]:
    """Seconds of each contestant for each method, and how far score-cam's maps lie apart."""
    score: Calls = {
        "K forwards": partial(floor, model, x, channels),
        "signalcam": partial(ours, model, "score-cam", x),
        "torchcam": partial(torchcam, model, x),
        "grad-cam": partial(grad_cam, model, "ScoreCAM", x),
    }
    ablation: Calls = {
        "K forwards": partial(floor, model, x, channels),
        "signalcam": partial(ours, model, "ablation-cam", x),
        "grad-cam": partial(grad_cam, model, "AblationCAM", x),
    }
    theirs, mine = torchcam(model, x), ours(model, "score-cam", x)
    apart = float(np.abs(theirs - mine).max() / np.abs(mine).max())
    return {
        "score-cam": _least(score),
        "ablation-cam": _least(ablation),
        "recipro-cam": _least({"signalcam": partial(ours, model, "recipro-cam", x)}),
        "apart": apart,
    }


def _least(calls: Calls) -> dict[str, float]:
    for each in calls.values():
        seconds(each)
    spent = interleaved(calls, lambda: None, budget=60.0, rounds=(1, 2))
    return {name: min(each) for name, each in spent.items()}


def memory(model: nn.Module, x: Tensor) -> dict[str, dict[str, int]]:
    """Bytes at the peak beyond what was there before, by rows at a time."""
    found: dict[str, dict[str, int]] = {}
    for method in ("score-cam", "ablation-cam"):
        for rows in (4, 16, 64):
            call = partial(ours, model, method, x[:1], rows)
            call()
            found.setdefault(method, {})[str(rows)] = extra_memory(call, lambda: None)
    bare = torch.randn(64, *x.shape[1:])
    for rows in (4, 16, 64):
        call = partial(forward(model), bare[:rows])
        found.setdefault("forward", {})[str(rows)] = extra_memory(call, lambda: None)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["time", "memory"], nargs="+")
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    declare_torchvision_operators()
    case = cases(quick=True)["2-D"] if asked.quick else LARGE
    model, x = case.build()
    with quiet():
        found: dict[str, Any] = {}
        if "time" in asked.what:
            found["time"] = timed(model, x, case.widths[-1])
        if "memory" in asked.what:
            found["memory"] = memory(model, x)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
