"""Trained Keras networks of old, where SIGNALCAM_REAL_DATA says where they are."""

import os
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import signalcam as sc

REAL_DATA = os.environ.get("SIGNALCAM_REAL_DATA")
pytestmark = pytest.mark.skipif(not REAL_DATA, reason="SIGNALCAM_REAL_DATA names no folder of real data")
CLASSES = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]


def test_a_legacy_face_network_looks_at_the_middle_of_a_happy_face():
    case = Path(REAL_DATA) / "fer_xception"
    model = keras.models.load_model(case / "emotion_model.hdf5", compile=False)
    face = Image.open(case / "astronaut.png").convert("L").crop((162, 56, 290, 184)).resize((64, 64))
    x = ((np.asarray(face, "float32") / 255 - 0.5) * 2)[None, ..., None]
    exp = sc.explain(model, x, layer="add_4", class_names=CLASSES, labels=["happy"])
    assert exp.class_name(int(exp.predicted[0])) == "happy"
    assert float(exp.confidence[0, 3]) > 0.99
    assert exp.provenance["score"] == "logit; logits before softmax"
    assert exp.dims == ("height", "width")
    native = exp.native().values[0, 0, 0]
    assert native[1:3].sum() > native[[0, 3]].sum()  # the two middle rows of four: the face
    if "SIGNALCAM_FIGURES" in os.environ:
        exp.plot(0).figure.savefig(Path(os.environ["SIGNALCAM_FIGURES"]) / "fer.png", dpi=100)


def eegnet():
    """EEGNet-8,2, channels first: (batch, 1, 60 electrodes, 151 samples at 128 Hz), 4 classes."""
    layers, first = keras.layers, {"data_format": "channels_first"}
    return keras.Sequential(
        [
            keras.Input((1, 60, 151)),
            layers.Conv2D(8, (1, 32), padding="same", use_bias=False, **first),
            layers.BatchNormalization(axis=1),
            layers.DepthwiseConv2D((60, 1), depth_multiplier=2, use_bias=False, **first),
            layers.BatchNormalization(axis=1),
            layers.Activation("elu"),
            layers.AveragePooling2D((1, 4), **first),
            layers.Dropout(0.5),
            layers.SeparableConv2D(16, (1, 16), padding="same", use_bias=False, **first),
            layers.BatchNormalization(axis=1),
            layers.Activation("elu", name="last"),
            layers.AveragePooling2D((1, 8), **first),
            layers.Dropout(0.5),
            layers.Flatten(),
            layers.Dense(4, name="head"),
            layers.Softmax(),
        ]
    )


def test_a_legacy_eeg_network_is_explained_exactly_with_its_trained_weights():
    model = eegnet()  # Keras 3 cannot read the network of the file, but its weights
    model.load_weights(Path(REAL_DATA) / "eegnet_legacy_h5" / "EEGNet-8-2-weights.h5")
    rng = np.random.default_rng(0)  # the recordings are not to be had; this is their scale
    x = rng.normal(scale=0.02, size=(5, 1, 60, 151)).astype("float32")
    layout = sc.Layout("batch _ channel time", sampling_rate=128)
    exp = sc.explain(model, x, layer="last", method="hires-cam", layout=layout, target=[0, 1, 2, 3], signed=True)
    assert exp.provenance["score"] == "logit; logits before softmax"

    last = keras.Model(model.inputs, model.get_layer("last").output).predict(x, verbose=0)[:, :, 0]
    kernel, bias = model.get_layer("head").get_weights()
    kernel = kernel.reshape(16, 4, 4).repeat(8, axis=1) / 8  # flattened channels first, means of 8
    expected = np.einsum("bcp,cpk->bkp", last[..., :32], kernel)
    maps = exp.native().values[:, :, 0, 0]  # electrodes are one row by now
    np.testing.assert_allclose(maps[..., :32], expected, atol=1e-5)  # float32 sums of 16
    assert (maps[..., 32:] == 0).all()  # the pooling leaves out the last 5 of 37
    np.testing.assert_allclose(maps.sum(-1) + bias, exp.outputs, rtol=1e-4, atol=1e-4)
