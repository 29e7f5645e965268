"""How far are maps of trained networks on real recordings to be trusted? ``python -m benchmarks.trust [ecg] [keyword] [volume]``.

SIGNALCAM_REAL_DATA names the folder of real data. The tables stand in docs/how-far-to-trust.md.
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import signalcam as sc
from signalcam.demo import tour
from signalcam.demo.heartbeats import load_recording
from signalcam.demo.network import CLASSES
from signalcam.demo.network import load as load_beats
from tests.real import networks

FOLDER = Path(os.environ.get("SIGNALCAM_REAL_DATA", ""))
METHODS = ["grad-cam", "hires-cam", "grad-cam++", "layer-cam", "score-cam", "ablation-cam", "eigen-cam"]
METRICS = ["deletion", "insertion", "road", "mass-accuracy", "auroc"]
CROP, CENTRE, HIPPOCAMPUS = 40, slice(18, 22), 14


def ecg() -> sc.metrics.Comparison:
    """Windows of MIT-BIH record 208 that the network never saw; cardiologists say where the ventricular beats are."""
    windows = tour.cut_held_out(load_recording(), tour.read_annotated_beats(FOLDER))
    exp = tour.explain_beats(windows)
    rows = np.flatnonzero((windows.label == 1) & (exp.predicted.values == 1))
    truth = [[(beat - tour.BEFORE, beat + tour.AFTER) for beat in windows.ventricular[row]] for row in rows]
    return sc.metrics.compare(
        load_beats(),
        windows.network_input[rows],
        METHODS,
        layers=["relu2", "relu3"],
        metrics=METRICS,
        truth=truth,
        target="ventricular",
        class_names=CLASSES,
        layout=exp.layout,
        imputer="mean",
    )


def keyword() -> sc.metrics.Comparison:
    """Two spoken words at 10 places of a second each, some room noise under them; truth is where speech is loud."""
    case = FOLDER / "kws_honk"
    network = networks.load(networks.KeywordNet(), case / "res8_narrow.pt")
    noise, _ = networks.wave(case / "noise_1000ms.wav")
    inputs, truth, labels = [], [], []
    for word in ("yes", "no"):
        x, rate = networks.wave(case / f"{word}_1000ms.wav")
        for number, shift in enumerate(np.linspace(-0.25, 0.2, 10)):
            moved = np.roll(x, round(shift * rate))
            inputs.append(networks.mfcc(moved + 0.1 * np.roll(noise, 1600 * number)))
            loud = np.sqrt(np.convolve(moved**2, np.ones(800) / 800, "same"))[::160]
            truth.append(np.repeat((loud > 0.2 * loud.max())[:101, None], 40, axis=1))
            labels.append(word)
    truth = [np.pad(each, ((0, 101 - len(each)), (0, 0))) for each in truth]
    return sc.metrics.compare(
        network,
        np.stack(inputs),
        METHODS,
        layers="conv6",
        metrics=METRICS,
        truth=np.stack(truth),
        labels=labels,
        class_names=networks.KeywordNet.words,
        layout=sc.Layout("batch time coefficient", sampling_rate=100),
        imputer="mean",
    )


def volume() -> sc.metrics.Comparison:
    """Blocks of one magnetic resonance image: why is their centre called hippocampus? Truth is what is called so."""
    import nibabel  # noqa: PLC0415 - only this case needs it

    case = FOLDER / "meshnet_mri"
    network = networks.mesh_net(case / "model18cls")
    whole = np.asarray(nibabel.load(case / "t1_crop.nii.gz").dataobj).astype("float32")
    whole = ((whole - whole.min()) / (whole.max() - whole.min()))[64:192, 64:192, 64:192]
    with torch.no_grad():
        segmented = network(torch.tensor(whole.copy())[None, None])[0].argmax(0).numpy()
    inside = np.argwhere(segmented == HIPPOCAMPUS)
    half = CROP // 2
    inside = inside[((inside >= half) & (inside <= 128 - half)).all(axis=1)]
    chosen = np.random.default_rng(0).choice(inside, 12, replace=False)
    blocks = [tuple(slice(int(at) - half, int(at) + half) for at in place) for place in chosen]

    def centre(output: torch.Tensor) -> torch.Tensor:
        return output[:, HIPPOCAMPUS, CENTRE, CENTRE, CENTRE].mean((1, 2, 3))

    return sc.metrics.compare(
        network,
        np.stack([whole[block] for block in blocks])[:, None],
        ["grad-cam", "hires-cam", "grad-cam++", "layer-cam", "eigen-cam"],
        layers="12",
        metrics=["deletion", "mass-accuracy", "auroc"],
        truth=np.stack([segmented[block] == HIPPOCAMPUS for block in blocks]),
        target=centre,
        layout="batch _ left inferior anterior",
        measure="logit",
        imputer="mean",
        steps=5,
        window=4,
    )


CASES: dict[str, Callable[[], sc.metrics.Comparison]] = {
    "ecg": ecg,
    "keyword": keyword,
    "volume": volume,
}


def main() -> None:
    """Run the cases named, all by default."""
    for name in sys.argv[1:] or CASES:
        case = CASES[name]
        start = time.perf_counter()
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            found = case()
        print(f"### {name}\n\n{case.__doc__}\n\n```text\n{found}\n```\n")
        for each in dict.fromkeys(str(each.message) for each in told if issubclass(each.category, sc.CamWarning)):
            print(f"Warned: {each}\n")
        print(f"{time.perf_counter() - start:.0f} s\n", flush=True)


if __name__ == "__main__":
    main()
