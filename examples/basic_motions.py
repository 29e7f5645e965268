"""What made a hybrid of convolution and recurrence say "badminton"?

Trains two small networks on BasicMotions in seconds, explains the 40 recordings it was not trained on,
and draws what it found. The recordings come with aeon, of which only they are needed:

    pip install "signalcam[torch,plot]" && pip install --no-deps aeon
    python examples/basic_motions.py --to figures
    KERAS_BACKEND=jax python examples/basic_motions.py --framework keras --to figures
"""

from collections.abc import Mapping
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import numpy as np
import typer
from matplotlib.figure import Figure

import signalcam as sc

CLASSES = ["Standing", "Running", "Walking", "Badminton"]
CHANNELS = ["acc. 1", "acc. 2", "acc. 3", "gyro. 1", "gyro. 2", "gyro. 3"]
COLOURS = ["#000000", "#E69F00", "#56B4E9", "#009E73"]
METHODS = ["grad-cam", "hires-cam"]


def read(part: str) -> tuple[np.ndarray, np.ndarray]:
    """Read recordings ``(40, 6 channels, 100 samples)`` at 10 Hz, and their classes by number."""
    text = (files("aeon") / f"datasets/data/BasicMotions/BasicMotions_{part}.ts").read_text()
    rows = [row.split(":") for row in text.split("@data")[1].split()]
    x = np.array([[channel.split(",") for channel in row[:-1]] for row in rows], "float32")
    return x, np.array([CLASSES.index(row[-1]) for row in rows])


def explained(framework: str, epochs: int) -> dict[str, sc.Explanation]:
    """Train each network, then explain what it says to the test set."""
    hybrids = import_module(f"hybrids_{framework}")
    (x, y), (x_test, y_test) = read("TRAIN"), read("TEST")
    mean, std = x.mean((0, 2), keepdims=True), x.std((0, 2), keepdims=True)
    order = [["batch", "channel", "time"].index(dim) for dim in hybrids.DIMS.split()]
    x, x_test = (((each - mean) / std).transpose(order) for each in (x, x_test))
    layout = sc.Layout(hybrids.DIMS, sampling_rate=10, channel_names=CHANNELS, units="SD")
    return {
        name: sc.explain(
            hybrids.train(network, x, y, epochs),
            x_test,
            method=METHODS,
            layout=layout,
            class_names=CLASSES,
            labels=y_test.tolist(),
            signed=True,
        )
        for name, network in hybrids.NETWORKS.items()
    }


def draw_recordings(exp: sc.Explanation) -> Figure:
    """Draw the first recording of each class over its heat, one method beside the other."""
    figure = Figure(figsize=(15, 13), layout="constrained")
    panels = figure.subplots(len(CLASSES), len(METHODS))
    for number, row in enumerate(panels):
        sample = int(np.argmax(exp.labels.values == number))
        for method, ax in zip(METHODS, row, strict=True):
            exp.plot.signal(sample, method=method, ax=ax)
    return figure


def draw_classes(both: Mapping[str, sc.Explanation]) -> Figure:
    """Draw the mean map of each class by both methods: over time, and over time and channels."""
    figure = Figure(figsize=(13, 10), layout="constrained")
    panels = figure.subplots(1 + len(CLASSES), len(METHODS), height_ratios=[3, 1, 1, 1, 1])
    over_time, over_both = both.values()
    for method, column in zip(METHODS, panels.T, strict=True):
        _lines(column[0], over_time.sel(cam=method))
        bar = _grids(column[1:], over_both.sel(cam=method))
        figure.colorbar(bar, ax=column[1:], label="evidence against / for the class (logit)", pad=0.01)
        for ax, name in zip(
            column,
            ["CNN-LSTM", *(f"CNN-BiLSTM-attention, {name}" for name in CLASSES)],
            strict=True,
        ):
            ax.set_title(f"{name}: {method}", loc="left", fontsize="medium")
        column[-1].set_xlabel("time (s)")
    panels[0, 1].legend(title="said of (recordings)", loc="upper left")
    return figure


def _lines(ax: Any, exp: sc.Explanation) -> None:
    """Mean map of each class, and one standard deviation to either side."""
    for name, colour in zip(CLASSES, COLOURS, strict=True):
        own = _said(exp, name)
        mean, spread = own.mean("sample").squeeze(), own.std("sample").squeeze()
        ax.plot(mean.time, mean, color=colour, label=f"{name} ({len(own)})")
        ax.fill_between(mean.time, mean - spread, mean + spread, color=colour, alpha=0.15, lw=0)
    ax.set(xlim=(0, 10), ylabel="evidence (logit)")


def _grids(panels: Any, exp: sc.Explanation) -> Any:
    """Mean map of each class over channels and time, all on one scale."""
    means = [_said(exp, name).mean("sample").squeeze().transpose("channel", "time") for name in CLASSES]
    top = float(max(abs(mean).max() for mean in means))
    for ax, mean in zip(panels, means, strict=True):
        drawn = ax.imshow(mean, cmap="RdBu_r", vmin=-top, vmax=top, aspect="auto", extent=(0, 10, 5.5, -0.5))
        ax.set_yticks(range(len(CHANNELS)), CHANNELS, fontsize="small")
        ax.label_outer()
    return drawn


def _said(exp: sc.Explanation, name: str) -> sc.Explanation:
    """The samples of which a network said so."""
    return exp.isel(sample=np.flatnonzero(exp.predicted == CLASSES.index(name)))


def main(framework: Literal["torch", "keras"] = "torch", to: Path = Path("figures"), epochs: int = 60) -> None:
    """Train both networks, explain the test set, and leave the figures in a folder."""
    both = explained(framework, epochs)
    to.mkdir(parents=True, exist_ok=True)
    for name, exp in both.items():
        accuracy = float((exp.predicted == exp.labels).mean())
        print(f"{name}: test accuracy {accuracy:.3f}, explained at {exp.layer_names[0]}")
        draw_recordings(exp).savefig(to / f"{name}.png", dpi=110)
    draw_classes(both).savefig(to / "classes.png", dpi=110)
    print(f"figures are in {to}")


if __name__ == "__main__":
    typer.run(main)
