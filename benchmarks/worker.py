"""Measures one network in a process of its own and prints what it found as JSON.

Run as ``python -m benchmarks.worker 1-D time memory first [--quick]``; ``benchmarks.run`` does.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import signalcam as sc
from benchmarks.measure import extra_memory, interleaved, quiet, seconds
from benchmarks.models import LAYERS, Case, cases
from benchmarks.peers import Contestant, contestants, forward, signed_maps

CLASS_COUNTS = (1, 3, 10)
PATIENCE = 5.0  # seconds of one call: what is slower is measured once, and never for more classes


@dataclass
class Bench:
    """A network, its batch, and who was found to be slow at which layer."""

    case: Case
    quick: bool
    model: nn.Module = field(init=False)
    x: Tensor = field(init=False)
    slow: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        torch.set_num_threads(1)
        self.model, self.x = self.case.build()
        self.contestants = contestants()
        for each in self.contestants:  # imports happen here
            each.prepare(self.model, LAYERS["last"], [0])
        gc.freeze()  # so that collecting garbage later need not walk through every library

    def clean(self) -> None:
        """Drop the parameter gradients that some contestants leave behind."""
        self.model.zero_grad(set_to_none=True)

    def measured(self, what: str) -> Any:
        """Everything of one kind: ``"time"``, ``"memory"`` or ``"first"``."""
        return self.first() if what == "first" else self.rows(getattr(self, what))

    def rows(self, measure: Callable[[str, int], dict[str, Any]]) -> list[dict[str, Any]]:
        """Measure every layer and number of classes."""
        return [
            {"layer": where, "classes": count} | measure(where, count) for where in LAYERS for count in CLASS_COUNTS
        ]

    def call(self, one: Contestant, where: str, count: int) -> Callable[[Tensor], Any]:
        """What a contestant is measured on."""
        return one.prepare(self.model, LAYERS[where], range(count))

    # --- time ------------------------------------------------------------------------------------

    def time(self, where: str, count: int) -> dict[str, Any]:
        """Seconds of every contestant, interleaved, and how far its maps lie from SignalCAM's."""
        ours = signed_maps(self.model, LAYERS[where], range(count), self.x)
        calls: dict[str, Callable[[], Any]] = {"forward": partial(forward(self.model), self.x)}
        once: dict[str, float] = {}
        apart: dict[str, float] = {}
        refused: dict[str, str] = {}
        for one in self._patient(where, count):
            try:
                call = partial(self.call(one, where, count), self.x)
                kept: list[Any] = []
                once[one.name] = seconds(lambda call=call, kept=kept: kept.append(call()))
                apart[one.name] = difference(one.maps(kept[0]), one.same(ours, self.x))
            except Exception as error:  # noqa: BLE001 - whatever a peer raises is its answer
                refused[one.name] = f"{type(error).__name__}: {error}".splitlines()[0]
                continue
            finally:
                self.clean()
            if once[one.name] > PATIENCE:
                self.slow.add((one.name, where))
            else:
                calls[one.name] = call
        rounds = (2, 3) if self.quick else (3, 15)
        budget = 0.5 if self.quick else 6.0
        spent = interleaved(calls, self.clean, budget=budget, rounds=rounds)
        least = once | {name: min(each) for name, each in spent.items()}
        return _ratios(least) | {"apart": apart, "refused": refused}

    def _patient(self, where: str, count: int) -> list[Contestant]:
        return [each for each in self.contestants if count == 1 or (each.name, where) not in self.slow]

    # --- memory ----------------------------------------------------------------------------------

    def memory(self, where: str, count: int) -> dict[str, Any]:
        """Bytes that every contestant needs at its peak beyond what was there before."""
        bare = partial(forward(self.model), self.x)
        bare()
        found = {"forward": self._extra(bare)[0]}
        for one in self._patient(where, count):
            try:
                call = self.call(one, where, count)
                call(self.x[:2])
            except Exception:  # noqa: BLE001 - told by the timing, which runs the same
                self.clean()
                continue
            found[one.name], slow = self._extra(partial(call, self.x))
            self.slow |= {(one.name, where)} if slow else set()
        return _ratios(found)

    def _extra(self, call: Callable[[], Any]) -> tuple[int, bool]:
        """The smaller of two measurements, or the first if that took long, and whether it did."""
        start = time.process_time()
        first = extra_memory(call, self.clean)
        if time.process_time() - start > PATIENCE:
            return first, True
        return min(first, extra_memory(call, self.clean)), False

    # --- the first call --------------------------------------------------------------------------

    def first(self) -> dict[str, float]:
        """Seconds of SignalCAM's first call on a model it never saw, and of the next."""
        bare = partial(forward(self.model), self.x)
        found = {"forward": min(seconds(bare) for _ in range(5))}
        warm = sc.Explainer(self.case.build()[0], layer=LAYERS["last"], target=[0])
        warm(self.x)  # torch itself is slower when it runs something for the first time
        for name, layer in (("layer named", LAYERS["last"]), ("layer chosen", None)):
            fresh, _ = self.case.build()
            explainer = sc.Explainer(fresh, layer=layer, target=[0])
            found[name] = seconds(partial(explainer, self.x))
            found[f"{name}, next call"] = min(seconds(partial(explainer, self.x)) for _ in range(3))
        return found


def _ratios(values: dict[str, float]) -> dict[str, Any]:
    floor = values.pop("forward")
    return {"forward": floor, "ratios": {name: each / floor for name, each in values.items()}}


def difference(theirs: np.ndarray, ours: np.ndarray) -> float:
    """The largest difference, as a share of the largest value."""
    if theirs.shape != ours.shape:
        message = f"maps of shape {theirs.shape} beside {ours.shape}"
        raise ValueError(message)
    return float(np.abs(theirs - ours).max() / max(np.abs(ours).max(), np.finfo(np.float32).tiny))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", choices=list(cases(quick=False)))
    parser.add_argument("what", choices=["time", "memory", "first"], nargs="+")
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args(arguments)
    with quiet():
        bench = Bench(cases(quick=asked.quick)[asked.case], asked.quick)
        found = {what: bench.measured(what) for what in asked.what}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
