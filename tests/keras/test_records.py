"""Long records through Keras models, channels last."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import signalcam as sc

SAME = 1e-5  # of a map's largest value: float32 sums taken in another order
WINDOW, LENGTH = 200, 2000


@pytest.fixture
def record():
    return np.random.default_rng(0).standard_normal((LENGTH, 2)).astype(np.float32)


@pytest.fixture
def model():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((None, 2)),
            layers.Conv1D(4, 5, strides=2, activation="relu", name="first"),
            layers.Conv1D(6, 5, strides=2, activation="relu", name="second"),
            layers.Conv1D(3, 1, name="dense"),
        ]
    )


@pytest.mark.parametrize("layer", ["first", "second"])
def test_stitched_map_is_that_of_the_whole_record(kit, model, record, layer):
    ask = sc.Output(lambda output: ops.sum(output[..., 1], axis=1))
    how = {"layer": layer, "method": "hires-cam", "target": ask, "signed": True}
    found = sc.explain_record(model, record, window=WINDOW, overlap=0.3, **how)
    whole = sc.explain(model, record[None], **how)
    assert kit.difference(found.native().values, whole.native().values) < SAME
    assert kit.difference(found.maps.values, whole.maps.values) < SAME


def test_classifier_of_one_length_keeps_each_window_s_prediction(kit, record):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((WINDOW, 2)),
            layers.Conv1D(5, 7, strides=4, padding="same", name="conv"),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dense(4, activation="softmax"),
        ]
    )
    layout = sc.Layout("batch time channel", sampling_rate=100)
    chunks = (record[start : start + 333] for start in range(0, LENGTH, 333))
    found = sc.explain_record(model, chunks, window=2.0, layout=layout, layer="conv", target=2)
    alone = sc.explain(model, record[None, 300:500], layer="conv", target=2)
    np.testing.assert_allclose(found.windows["probability"][3], alone.probabilities[0], rtol=1e-4)
    assert found.windows["start_time"].values.tolist() == list(np.arange(19.0))
    assert found.maps.sizes["time"] == LENGTH
