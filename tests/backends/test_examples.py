"""The scripts of the folder of examples, run as their reader runs them."""

import os
import re
import subprocess
import sys
from pathlib import Path

from matplotlib.image import imread

EXAMPLES = Path(__file__).parents[2] / "examples"
FRAMEWORK = os.environ.get("SIGNALCAM_FRAMEWORK", "torch")


def test_hybrids_learn_basic_motions_and_their_reasons_are_drawn(tmp_path):
    script, options = EXAMPLES / "basic_motions.py", ["--framework", FRAMEWORK, "--epochs", "40"]
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, script, *options, "--to", tmp_path / "figures"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=1500,
    )
    assert done.returncode == 0, done.stderr
    said = re.findall(r"(\S+): test accuracy (\S+), explained at (\S+)", done.stdout)
    assert [(name, layer) for name, _, layer in said] == [
        ("CNN-LSTM", "conv2"),
        ("CNN-BiLSTM-attention", "conv2"),
    ]
    assert all(float(accuracy) >= 0.9 for _, accuracy, _ in said)
    pictures = {path.name: imread(path) for path in (tmp_path / "figures").iterdir()}
    assert sorted(pictures) == ["CNN-BiLSTM-attention.png", "CNN-LSTM.png", "classes.png"]
    assert all(picture[..., :3].std() > 0.05 for picture in pictures.values())
