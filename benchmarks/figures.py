"""What the figures of a signal of 12 x 5000 values cost: seconds, and kilobytes as PNG, SVG and PDF.

``python -m benchmarks.figures`` prints a row for each kind of figure, drawn from a smooth map and, the worst there is for
strokes and files, from noise. Needs ``.[plot]`` and no framework.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable

import numpy as np
from matplotlib.figure import Figure

from signalcam import Explanation, Layout
from signalcam.alignment.resampling import AxisGrid
from signalcam.results.layer_maps import LayerMaps

RATE, LENGTH = 500, 5000
LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
ROUNDS = 3


def heartbeats(rng: np.random.Generator) -> np.ndarray:
    """Ten seconds of twelve leads: a beat a second, and noise as a recording has it."""
    seconds = np.arange(LENGTH) / RATE
    phase = (seconds % 1)[None] - 0.3
    waves = np.exp(-((phase / 0.012) ** 2)) + 0.2 * np.exp(-(((phase - 0.25) / 0.05) ** 2))
    return rng.uniform(-1.5, 1.5, (12, 1)) * waves + 0.02 * rng.normal(size=(12, LENGTH))


def explained(rng: np.random.Generator, *, noise: bool) -> Explanation:
    """A result with a map over time and channel, by two methods."""
    cells = LENGTH if noise else LENGTH // 16
    values = rng.random((1, 1, 2, 12, cells)).astype(np.float32)
    grid = (
        AxisGrid(1, 12, 12, 0.0, 1.0, 1.0, probed=True),
        AxisGrid(2, cells, LENGTH, 0.0, LENGTH / cells, 1.0, probed=True),
    )
    return Explanation(
        layers=(LayerMaps("conv", values, grid),),
        targets=("AF",),
        methods=("grad-cam", "hires-cam"),
        layout=Layout("batch channel time", RATE, LEADS, "mV"),
        input=heartbeats(rng)[None],
        scores=np.zeros((1, 1)),
        target_classes=np.array([[1]]),
        class_names=("normal", "AF"),
        sample_names=(0,),
    )


def kinds(exp: Explanation) -> dict[str, Callable[[], Figure]]:
    """Every figure of a signal, by its name."""
    plot = exp.plot
    axes: dict[str, Callable[[], object]] = {
        "`signal`, strip": plot.signal,
        "`signal`, line": lambda: plot.signal(style="line"),
        "`signal`, area": lambda: plot.signal(style="area"),
        "`heatmap`": plot.heatmap,
        "`ecg`, 3x4+1": lambda: plot.ecg(layout="3x4+1"),
        "`ecg`, 12x1": lambda: plot.ecg(layout="12x1"),
        "`compare`, 2 methods": lambda: plot.compare("method"),
    }
    return {name: lambda draw=draw: _figure(draw()) for name, draw in axes.items()}  # type: ignore[misc] # each its own


def _figure(drawn: object) -> Figure:
    figure = drawn if isinstance(drawn, Figure) else drawn.get_figure(root=True)  # type: ignore[attr-defined] # axes
    assert isinstance(figure, Figure)  # noqa: S101 - for the type checker
    return figure


def measure(draw: Callable[[], Figure], kind: str) -> tuple[float, float]:
    """Seconds of processor time from the result to the file, the least of some rounds, and its kilobytes."""
    seconds = []
    for _ in range(ROUNDS):
        file, start = io.BytesIO(), time.process_time()
        draw().savefig(file, format=kind, dpi=150)
        seconds.append(time.process_time() - start)
    return min(seconds), file.tell() / 1000


def main() -> None:
    """Print the table."""
    rng = np.random.default_rng(0)
    print("| figure | map | PNG | SVG | PDF |")
    print("| --- | --- | --- | --- | --- |")
    for noise in (False, True):
        exp = explained(rng, noise=noise)
        exp.plot().figure.savefig(io.BytesIO())  # fonts are found once
        for name, draw in kinds(exp).items():
            cells = [f"{s:.2f} s, {kb:.0f} kB" for s, kb in (measure(draw, kind) for kind in ("png", "svg", "pdf"))]
            print(f"| {name} | {'noise' if noise else 'smooth'} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
