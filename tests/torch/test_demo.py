"""The demo and the command line, as a user runs them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import signalcam as sc
from signalcam.demo import tour
from signalcam.demo.heartbeats import label_beats, load_recording

REAL_DATA = os.environ.get("SIGNALCAM_REAL_DATA")


def command(*words, folder):
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "signalcam.cli", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.returncode, done.stdout, done.stderr


def test_the_demo_writes_figures_a_result_and_a_summary_and_says_where(tmp_path):
    code, said, complaint = command("demo", folder=tmp_path)
    assert (code, complaint) == (0, "")
    written = sorted(path.name for path in (tmp_path / "demo").iterdir())
    assert written == [
        "explanation.zarr",
        "normal.png",
        "report.html",
        "scores.png",
        "summary.txt",
        "ventricular.png",
    ]
    assert (tmp_path / "demo" / "summary.txt").read_text(encoding="utf-8") in said
    assert "ventricular (> 99.9 %)" in said
    assert "evidence peaks 0.53 s" in said
    exp = sc.load(tmp_path / "demo" / "explanation.zarr")
    assert exp.methods == ("grad-cam", "hires-cam")
    assert exp.metrics["metric"].values.tolist() == ["deletion", "insertion", "road"]
    # the maps are faithful, but any channels at all point at the beat: the demo says so
    assert "grad-cam and hires-cam beat all baselines" in said
    assert "No method beats random-cam." in said
    assert float(exp.confidence.max()) <= 1


def test_a_demo_that_cannot_write_says_so_and_exits_with_2(tmp_path):
    (tmp_path / "demo").write_text("a file, no folder")
    code, said, complaint = command("demo", folder=tmp_path)
    assert (code, said) == (2, "")
    assert complaint.startswith("signalcam: cannot save to")


def test_methods_and_version_are_listed(tmp_path):
    assert "hires-cam" in command("methods", folder=tmp_path)[1]
    assert command("--version", folder=tmp_path)[1] == f"signalcam {sc.__version__}\n"


def test_heat_lies_on_the_ventricular_beats_by_the_rule_labels():
    ecg = load_recording()
    windows = tour.cut_held_out(ecg, label_beats(ecg))
    found = tour.score(tour.explain_beats(windows), windows)
    assert found.accuracy >= 0.97
    assert found.peak_inside >= 0.95
    assert found.energy_inside >= 0.7
    assert found.chance < 0.4


@pytest.mark.skipif(not REAL_DATA, reason="SIGNALCAM_REAL_DATA names no folder of real data")
def test_heat_lies_on_the_beats_that_cardiologists_annotated():
    windows = tour.cut_held_out(load_recording(), tour.read_annotated_beats(Path(REAL_DATA)))
    found = tour.score(tour.explain_beats(windows), windows)
    assert found.windows == 67
    assert found.accuracy == 1.0
    assert found.peak_inside >= 0.95
    assert found.energy_inside >= 0.7
