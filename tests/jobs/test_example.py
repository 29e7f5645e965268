"""The example that draws what a job has summed up, run as its reader runs it."""

import re
import subprocess
import sys
from pathlib import Path

from matplotlib.image import imread

EXAMPLE = Path(__file__).parents[2] / "examples" / "heartbeats_job.py"


def test_the_mean_map_of_ventricular_beats_lies_on_the_beat(tmp_path):
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, EXAMPLE, "--to", tmp_path],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    said = re.search(r"strongest at (\S+) s, the beat at 1 s", done.stdout)
    assert said, done.stdout
    assert 0.85 < float(said[1]) < 1.45
    assert imread(tmp_path / "job-means.png")[..., :3].std() > 0.05
