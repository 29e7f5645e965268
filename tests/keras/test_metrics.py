"""Scoring maps of Keras models, from the front door, on every engine."""

from itertools import pairwise

import keras
import numpy as np
import pytest
from keras import layers

import signalcam as sc

pytestmark = pytest.mark.filterwarnings("ignore:with imputer:signalcam.CamWarning")


@pytest.fixture
def model():
    return keras.Sequential(
        [
            keras.Input((24, 2)),
            layers.Conv1D(4, 3, strides=2, padding="same", name="conv"),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    )


def test_deletion_is_that_of_a_loop_over_the_model(model, x):
    exp = sc.explain(model, x, layer="conv", signed=True)
    scores = sc.metrics.evaluate(exp, model, "deletion", steps=4, baselines=[])
    for sample, own in enumerate(x):
        ranked = np.argsort(-exp.maps.values[sample, 0, 0, 0].reshape(12, 2).mean(1))
        curve = []
        for step in range(5):
            changed = own.copy().reshape(12, 2, 2)
            changed[ranked[: 3 * step]] = 0
            p = keras.ops.convert_to_numpy(model(changed.reshape(1, 24, 2)))
            curve.append(p[0, exp.classes[sample]])
        wanted = sum((a + b) / 8 for a, b in pairwise(curve))
        assert float(scores["value"][0, sample, 0, 0, 0]) == pytest.approx(wanted, abs=1e-5)


def test_baselines_stand_beside_and_the_model_comes_back(model, x):
    before = [np.array(each) for each in model.get_weights()]
    exp = sc.explain(model, x, layer="conv", signed=True)
    wanted = ["deletion", "insertion", "road", "average-drop", "adcc", "mufidelity"]
    scores = sc.metrics.evaluate(exp, model, wanted, steps=3, seed=1)
    assert list(scores.cam.values) == ["grad-cam", "random-cam", "input-energy"]
    assert np.isfinite(scores["mean"].sel(cam="grad-cam")).all()
    for each, was in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(each, was)


def test_logit_behind_a_softmax_and_accuracy_are_measured(model, x):
    exp = sc.explain(model, x, layer="conv", signed=True, labels=[0, 1, 2, 0])
    scores = sc.metrics.evaluate(exp, model, "deletion", measure="logit", steps=2, baselines=[])
    np.testing.assert_allclose(scores["score"][:, 0], exp.logits[np.arange(4), exp.classes], atol=1e-5)
    named = sc.metrics.evaluate(exp, model, "deletion", measure="accuracy", steps=2, baselines=[])
    np.testing.assert_array_equal(named["score"][:, 0], exp.classes == [0, 1, 2, 0])


def test_images_lose_pixels_of_all_channels(model):
    model = keras.Sequential(
        [
            keras.Input((10, 12, 2)),
            layers.Conv2D(4, 3, name="conv"),
            layers.ReLU(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3),
        ]
    )
    x = np.random.default_rng(0).standard_normal((2, 10, 12, 2)).astype(np.float32)
    exp = sc.explain(model, x, layer="conv", signed=True)
    known = []

    def look(x, there):
        known.append(x.shape)
        return 0 * x

    scores = sc.metrics.evaluate(exp, model, "deletion", imputer=look, steps=3)
    assert {each[1:] for each in known} == {(2, 10, 12)}
    assert np.isfinite(scores["value"]).all()
