"""A day of recording, 250 samples a second on two channels: how long it takes, and how much memory.

``python -m benchmarks.record`` prints a row for an hour and for a day, each from chunks and from a memmap. Linux only.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

import signalcam as sc

RATE, CHANNELS, WINDOW = 250, 2, 10.0
HOURS = (1, 24)


def network() -> nn.Module:
    """A small strided network whose dense output adds up over time."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv1d(CHANNELS, 8, 9, stride=4),
        nn.ReLU(),
        nn.Conv1d(8, 16, 9, stride=4),
        nn.ReLU(),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(16, 4),
    ).eval()


def record(folder: Path, hours: int) -> np.ndarray:
    """Noise in a file, written an hour at a time."""
    step = RATE * 3600
    path = folder / f"{hours}.npy"
    array = np.lib.format.open_memmap(path, "w+", np.float32, (CHANNELS, hours * step))
    rng = np.random.default_rng(0)
    for hour in range(hours):
        array[:, hour * step : (hour + 1) * step] = rng.standard_normal((CHANNELS, step), np.float32)
    array.flush()
    del array
    return np.load(path, mmap_mode="r")


def chunks(hours: int) -> Iterator[np.ndarray]:
    """The same as a recorder gives it: a minute at a time, no file mapped."""
    rng = np.random.default_rng(0)
    for _ in range(hours * 60):
        yield rng.standard_normal((CHANNELS, RATE * 60), np.float32)


def held(peak: str = "VmRSS") -> float:
    """MiB that are resident: now, or with ``VmHWM`` at most since the peak was reset."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(each for each in lines if each.startswith(peak)).split()[1]) / 1024


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    model, layout = network(), sc.Layout("batch channel time", sampling_rate=RATE)
    how = {"window": WINDOW, "layout": layout, "layer": "3", "method": "hires-cam", "target": 1}
    print("| record | windows | read from | seconds | peak above what was resident before | the layer's own map |")
    print("| --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for hours in HOURS:
            signal = record(Path(folder), hours)
            explained(model, np.array(signal[:, : RATE * 600]), how)  # what is found out about a model is kept
            size = f"{hours} h, {signal.nbytes / 2**20:.0f} MiB"
            for name, given in (("chunks", chunks(hours)), ("memmap", signal)):
                Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
                before, start = held(), time.perf_counter()
                exp = explained(model, given, how)
                seconds, peak = time.perf_counter() - start, held("VmHWM")
                own = exp.native().values.nbytes / 2**20
                count = exp.windows.sizes["window"]
                print(f"| {size} | {count} | {name} | {seconds:.1f} | {peak - before:.0f} MiB | {own:.1f} MiB |")
    print(
        f"Python {sys.version.split()[0]}, torch {torch.__version__}, numpy {np.__version__}, signalcam {sc.__version__}"
    )


def explained(model: nn.Module, signal: np.ndarray, how: dict[str, object]) -> sc.Explanation:
    """The explanation that is measured."""
    return sc.explain_record(model, signal, **how)


if __name__ == "__main__":
    main()
