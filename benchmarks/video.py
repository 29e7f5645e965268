"""A video of 64 x 224 x 224 in colours, from an explained result to a file: how long it takes, and how large it is.

``python -m benchmarks.video`` prints a row for each kind of file, the least of three rounds. The picture is a coloured
ball before a rough wall, and what shows the heat is what a layer of 8 x 14 x 14 would give.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import PIL

import signalcam as sc
from signalcam.alignment.resampling import AxisGrid
from signalcam.results.explanation import LayerMaps

FRAMES, SIDE = 64, 224
CELLS = (8, 14, 14)
ROUNDS = 3


def explained() -> sc.Explanation:
    """A ball that crosses the picture, and heat that goes along with it."""
    rng = np.random.default_rng(0)
    wall = rng.normal(0.45, 0.05, (1, 3, 1, SIDE // 4, SIDE // 4)).repeat(4, 3).repeat(4, 4)
    video = np.broadcast_to(wall, (1, 3, FRAMES, SIDE, SIDE)).astype(np.float32)
    video = np.clip(video, 0, 1)
    down, across = np.indices((SIDE, SIDE))
    for frame in range(FRAMES):
        at = 20 + frame * (SIDE - 40) / FRAMES
        ball = (down - SIDE / 2) ** 2 + (across - at) ** 2 < 18**2
        video[0, :, frame, ball] = (0.2, 0.9, 0.3)
    when, down, across = np.indices(CELLS)
    heat = np.exp(-((down - 6.5) ** 2 + (across - 1 - 1.6 * when) ** 2) / 3)[None, None, None]
    grid = tuple(
        AxisGrid(2 + i, cells, n, n / cells / 2 - 0.5, n / cells)
        for i, (cells, n) in enumerate(zip(CELLS, (FRAMES, SIDE, SIDE), strict=True))
    )
    return sc.Explanation(
        layers=(LayerMaps("layer4", heat.astype(np.float32), grid),),
        targets=("moves right",),
        methods=("grad-cam",),
        layout=sc.Layout("batch channel time height width", sampling_rate=16),
        input=video,
        scores=np.zeros((1, 1)),
        target_classes=np.array([[-1]]),
        sample_names=(0,),
        provenance={"score": "logit", "signed": "False"},
    )


def main() -> None:
    """Measure and print."""
    exp = explained()
    print("| file | seconds | size |")
    print("| --- | --- | --- |")
    with tempfile.TemporaryDirectory() as given:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else given)
        for suffix in ("webp", "gif", "mp4"):
            path, seconds = folder / f"ball.{suffix}", []
            for _ in range(ROUNDS):
                start = time.perf_counter()
                exp.save_video(path)
                seconds.append(time.perf_counter() - start)
            print(f"| {suffix} | {min(seconds):.2f} | {path.stat().st_size / 2**20:.2f} MiB |")
    print(
        f"Python {sys.version.split()[0]}, Pillow {PIL.__version__}, imageio-ffmpeg {imageio_ffmpeg.__version__}, signalcam {sc.__version__}"
    )


if __name__ == "__main__":
    main()
