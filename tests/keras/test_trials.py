"""Trials on Keras: what lies before a layer is handed back, and gives what running it gives."""

import keras
import numpy as np
import pytest
from keras import layers

import signalcam as sc
from signalcam.explainer import perturbation_engine

SINGLE = 1e-4  # float32, of the largest value: differences of scores

pytestmark = pytest.mark.filterwarnings("ignore:.*all zero because:signalcam.CamWarning")


def chain():
    return keras.Sequential(
        [
            layers.Input((24, 2)),
            layers.Conv1D(4, 3, activation="relu", name="one"),
            layers.BatchNormalization(),
            layers.Conv1D(5, 3, name="two"),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    )


def graph():
    x = keras.Input((24, 2))
    first = layers.Conv1D(4, 3, padding="same", activation="relu", name="one")(x)
    second = layers.Conv1D(4, 3, padding="same", name="two")(first)
    third = layers.Concatenate()([layers.Add()([first, second]), x])
    return keras.Model(x, layers.Dense(3)(layers.Flatten()(third)))


class Own(keras.Model):
    def __init__(self):
        super().__init__()
        self.one = layers.Conv1D(4, 3, padding="same", name="one")
        self.two = layers.Conv1D(4, 3, padding="same", name="two")
        self.head = layers.Dense(3)

    def call(self, x):
        y = keras.ops.relu(self.one(x)) * 2
        return self.head(keras.ops.mean(keras.ops.relu(self.two(y)) + y, axis=1))


def shared():
    x = keras.Input((24, 4))
    conv = layers.Conv1D(4, 3, padding="same", activation="tanh", name="one")
    y = layers.Conv1D(4, 3, name="two")(conv(conv(x)))
    return keras.Model(x, layers.Dense(3)(layers.Flatten()(y)))


@pytest.mark.parametrize("build", [chain, graph, Own, shared])
@pytest.mark.parametrize("batch_size", [1, 3, None])
def test_handing_back_gives_what_running_the_whole_model_gives(build, batch_size, monkeypatch):
    keras.utils.set_random_seed(0)
    model = build()
    x = np.random.default_rng(0).standard_normal((3, 24, 4 if build is shared else 2)).astype(np.float32)
    options = {
        "layer": "two",
        "target": 1,
        "signed": True,
        "method": ["ablation-cam", "recipro-cam"],
    }
    quick = sc.explain(model, x, batch_size=batch_size, **options)
    assert quick.provenance["trials run"] == perturbation_engine.TAIL
    assert all("call" not in each.__dict__ for each in model.layers)
    monkeypatch.setattr(perturbation_engine.PerturbationContext, "_prefix", lambda self, edit: None)
    slow = sc.explain(model, x, **options)
    assert slow.provenance["trials run"] == perturbation_engine.WHOLE
    size = np.abs(slow.maps.values).max()
    np.testing.assert_allclose(quick.maps.values, slow.maps.values, rtol=0, atol=SINGLE * size)


@pytest.mark.parametrize("build", [graph, Own])
def test_ablation_by_hand(build):
    """A channel put out by zeroing the layer's own weights for it: the layer is linear."""
    keras.utils.set_random_seed(0)
    model = build()
    x = np.random.default_rng(0).standard_normal((3, 24, 2)).astype(np.float32)
    exp = sc.explain(model, x, layer="two", target=1, signed=True, method="ablation-cam")
    two = model.get_layer("two")
    kernel, bias = (np.array(each) for each in two.get_weights())
    full = np.asarray(keras.ops.convert_to_numpy(model(x)))[:, 1]
    fall = np.zeros((3, 4))
    for channel in range(4):
        k, b = kernel.copy(), bias.copy()
        k[..., channel], b[channel] = 0, 0
        two.set_weights([k, b])
        fall[:, channel] = full - np.asarray(keras.ops.convert_to_numpy(model(x)))[:, 1]
    wanted = np.zeros((3, 24))
    for channel in range(4):  # the layer's output, one channel at a time, by way of the mean of four
        k, b = np.zeros_like(kernel), np.zeros_like(bias)
        k[..., channel], b[channel] = kernel[..., channel], bias[channel]
        two.set_weights([k, b])
        alone = sc.explain(model, x, layer="two", target=1, signed=True, method="mean-activation")
        wanted += fall[:, [channel]] * 4 * alone.native().values[:, 0, 0]
    two.set_weights([kernel, bias])
    np.testing.assert_allclose(exp.native().values[:, 0, 0], wanted, rtol=0, atol=SINGLE * np.abs(wanted).max())
