"""Convolutions with a recurrence or attention behind them: the examples' networks, and odder ones."""

from types import SimpleNamespace

import hybrids_keras
import keras
import numpy as np
import pytest
from keras import layers, ops

import signalcam as sc

TOLERANCE = 1e-5  # of a map's largest value: single precision, summed in another order
METHODS = ["grad-cam", "hires-cam"]


def halves(model, layer="conv2"):
    """The model to a layer, and from there to the logits in front of its softmax."""
    at, head = model.get_layer(layer).output, model.layers[-1]
    body = keras.Model(at, head.input)
    return keras.Model(model.input, at), lambda a: body(a) @ head.kernel + head.bias


@pytest.fixture(scope="module", params=hybrids_keras.NETWORKS)
def hybrid(request):
    """One of the networks, what goes in, and its explanation at the layer it finds itself."""
    keras.utils.set_random_seed(0)
    model = hybrids_keras.NETWORKS[request.param](channels=2)
    x = np.random.default_rng(0).standard_normal((3, 24, 2)).astype("float32")
    exp = sc.explain(model, x, method=METHODS, target=1, signed=True, layout="batch time channel")
    return SimpleNamespace(name=request.param, model=model, x=x, exp=exp)


def test_hybrid_gets_the_map_by_hand(kit, hybrid):
    before, after = halves(hybrid.model)
    for number, method in enumerate(METHODS):
        wanted = kit.by_hand(before, after, hybrid.x, method=method)
        assert kit.difference(hybrid.exp.native().values[:, 0, number], wanted) < TOLERANCE


def test_attentions_softmax_is_not_taken_for_the_answers(hybrid):
    before, after = halves(hybrid.model)
    logits = ops.convert_to_numpy(after(before(hybrid.x)))
    np.testing.assert_allclose(hybrid.exp.outputs, logits, atol=1e-5)


def test_convolution_is_chosen_and_the_recurrence_behind_it_is_not(hybrid):
    exp = hybrid.exp
    assert exp.layer_names == ("conv2",)
    assert exp.dims == (("time",) if hybrid.name == "CNN-LSTM" else ("time", "channel"))
    assert exp.maps.shape[4:] == hybrid.x.shape[1 : 1 + len(exp.dims)]


def test_recordings_of_unequal_length_get_the_map_they_have_alone(x):
    model, short = hybrids_keras.cnn_lstm(channels=2), [x[0], x[1][:17], x[2]]
    options = {"layout": "batch time channel", "layer": "conv2", "target": 1, "signed": True}
    exp = sc.explain(model, short, **options)
    for number, each in enumerate(short):
        alone = sc.explain(model, each[None], **options).maps
        own = exp.isel(sample=number).maps
        np.testing.assert_allclose(own, alone, atol=TOLERANCE * float(abs(alone).max()))


class Masked(keras.Model):
    """A recurrence that is told where each recording ends."""

    def __init__(self):
        super().__init__()
        self.conv = layers.Conv1D(4, 3, padding="same", activation="relu", name="conv")
        self.lstm, self.head = layers.LSTM(5), layers.Dense(3)

    def call(self, x, inside=None):
        return self.head(self.lstm(self.conv(x), mask=inside))


def test_masked_recurrence_takes_padded_recordings_in_one_batch(x):
    model, samples = Masked(), [x[0], x[1][:22], x[2][:23]]
    model(x, inside=np.ones((4, 24), bool))
    options = {"layout": "batch time channel", "layer": "conv", "target": 1, "signed": True}
    exp = sc.explain(model, samples, extra={"inside": sc.Mask()}, **options)
    assert exp.provenance["unequal lengths"].startswith("padded and marked")
    for number, each in enumerate(samples):
        alone = sc.explain(model, each[None], extra={"inside": sc.Mask()}, **options).maps
        own = exp.isel(sample=number).maps
        np.testing.assert_allclose(own, alone, atol=TOLERANCE * float(abs(alone).max()))


def test_recurrence_with_dropout_is_explained_as_it_answers(kit, x):
    inputs = keras.Input((24, 2))
    a = layers.Conv1D(4, 3, padding="same", activation="relu", name="conv")(inputs)
    states = layers.Bidirectional(layers.LSTM(3, dropout=0.5, recurrent_dropout=0.5))(a)
    model = keras.Model(inputs, layers.Dense(3, activation="softmax")(states))
    wanted, answers = kit.by_hand(*halves(model, "conv"), x), model.predict(x, verbose=0)
    assert kit.difference(kit.maps(model, x, "conv"), wanted) < TOLERANCE
    np.testing.assert_allclose(model.predict(x, verbose=0), answers, atol=1e-6)
