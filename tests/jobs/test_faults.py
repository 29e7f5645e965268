"""Processes killed at random moments leave the same bits, and no process behind."""

import os
import subprocess
import sys
from pathlib import Path

import signalcam

ROOT = Path(__file__).parents[2]


def test_five_kills_change_no_bit_and_leave_no_process():
    source = str(Path(signalcam.__file__).parents[1])
    found = subprocess.run(
        [sys.executable, "-m", "benchmarks.faults", "--kills", "5"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": source},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert "arrays that differ: none; processes left: none" in found.stdout
