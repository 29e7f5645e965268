"""Where does a network look for ventricular beats? The mean over all heartbeats of a recording, summed up by a job.

Cuts two seconds around every clear beat of the 90 seconds that the demo's network was not trained on, so that all beats
lie at the same place, lets a job explain them, and draws what it summed up:

    pip install "signalcam[demo,jobs]"
    python examples/heartbeats_job.py --to figures
"""

from pathlib import Path

import numpy as np
import typer
from matplotlib.figure import Figure

import signalcam as sc
from signalcam.demo.heartbeats import (
    HELD_OUT,
    RATE,
    WINDOW,
    find_inside,
    find_near,
    label_beats,
    load_recording,
    standardise,
)
from signalcam.jobs import summary
from signalcam.plot.curves import COLOURS

CLASSES = ("normal", "ventricular")


def cut() -> tuple[np.ndarray, np.ndarray]:
    """Windows in mV ``(n, 240)`` with a beat in their middle, and whether it is ventricular.

    Left out are windows with an unsure beat, and those of a normal beat beside a ventricular one.
    """
    ecg = load_recording()
    beats = label_beats(ecg)
    last = round(HELD_OUT * RATE) - WINDOW
    windows, labels = [], []
    for sample, kind in zip(beats.sample, beats.kind, strict=True):
        first = sample - WINDOW // 2
        near = beats.kind[find_near(beats, first)]
        alone = kind == "normal" and (near == "normal").all()
        clear = kind == "ventricular" and not (beats.kind[find_inside(beats, first)] == "unsure").any()
        if 0 <= first <= last and (alone or clear):
            windows.append(ecg[first : first + WINDOW])
            labels.append(int(kind == "ventricular"))
    return np.stack(windows), np.array(labels)


def explained(to: Path, windows: np.ndarray, labels: np.ndarray) -> sc.Explanation:
    """Let a job explain all windows; what it has done already is not done again."""
    np.savez(to / "beats.npz", x=standardise(windows), y=labels)
    return sc.Job(
        data={"path": str(to.resolve() / "beats.npz"), "inputs": "x", "labels": "y"},
        model={"build": "signalcam.demo.network:load", "class_names": CLASSES},
        explain={"method": ["grad-cam", "hires-cam"], "target": ["ventricular"]},
        layout={"dims": "batch channel time", "sampling_rate": RATE},
        units={"size": 32, "batch": 32},
        output=str(to / "beats.zarr"),
    ).run()


def draw(exp: sc.Explanation, windows: np.ndarray, labels: np.ndarray) -> Figure:
    """The mean heartbeat of each class, above its mean map."""
    figure = Figure(figsize=(9, 5.5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[2, 3])
    seconds = np.arange(WINDOW) / RATE
    for number, colour in enumerate(COLOURS[: len(CLASSES)]):
        above.plot(seconds, windows[labels == number].mean(axis=0), color=colour)
    above.set_ylabel("mean of MLII (mV)")
    exp.plot.summary(by="label", method="grad-cam", ax=below)
    return figure


def main(to: Path = Path("figures")) -> None:
    """Cut the beats, run the job, and leave the store and the figure in a folder."""
    to.mkdir(parents=True, exist_ok=True)
    windows, labels = cut()
    exp = explained(to, windows, labels)
    print(exp)
    mean = summary(to / "beats.zarr").mean_0.sel({"of": "label: ventricular", "cam": "grad-cam"})
    where = float(mean.squeeze().idxmax())
    print(f"mean map of ventricular beats: strongest at {where:.2f} s, the beat at 1 s")
    draw(exp, windows, labels).savefig(to / "job-means.png", dpi=110)
    ax = exp.plot.summary(by="label", method="grad-cam", spread="quantiles")
    ax.figure.savefig(to / "job-quantiles.png", dpi=110)
    print(f"figures are in {to}")


if __name__ == "__main__":
    typer.run(main)
