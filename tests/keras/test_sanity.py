"""Weights are lent and given back, whatever Keras runs on."""

import keras
import numpy as np

import signalcam as sc


def network():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((40, 2))
    x = keras.layers.Conv1D(6, 5, strides=2, name="conv")(inputs)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.LSTM(5, return_sequences=True, name="lstm")(keras.ops.relu(x))
    x = keras.layers.GlobalAveragePooling1D()(x)
    return keras.Model(inputs, keras.layers.Dense(3, name="head")(x))


def test_other_weights_are_lent_layer_by_layer_and_given_back():
    model, x = network(), np.random.default_rng(0).normal(size=(3, 40, 2)).astype("float32")
    before = [each.copy() for each in model.get_weights()]
    exp = sc.explain(model, x, layer="conv", signed=True)
    found = sc.metrics.sanity(exp, model, ["cascading", "independent", "random-logit"])
    for mine, yours in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, yours)
    assert len(found["weights"]) == 4
    assert (found["independent"][:, :, 0, 0, 0] < 0.999).any(axis=0).all()
    conv = found["independent"].sel(weights=[each for each in found["weights"].values if "conv" in each])
    other = network()
    other.set_weights(before)
    weights = other.get_layer("conv").get_weights()
    names = [
        each.path.rpartition("/")[0] for each in model.weights if "moving" not in each.path and "seed" not in each.path
    ]
    rng = np.random.default_rng((0, 4, list(dict.fromkeys(names)).index("conv")))
    other.get_layer("conv").set_weights([rng.normal(w.mean(), w.std(), w.shape).astype("f4") for w in weights])
    target = sc.PerSample(exp.predicted.values.tolist())
    again = sc.explain(other, x, layer="conv", signed=True, target=target)
    for i in range(3):
        a, b = (each.native().values[i, 0, 0].argsort().argsort() for each in (exp, again))
        assert abs(conv.values[0, i, 0, 0, 0] - np.corrcoef(a, b)[0, 1]) < 1e-4


def test_sums_are_complete_where_the_head_is_linear():
    inputs = keras.Input((40, 2))
    x = keras.layers.Conv1D(6, 5, strides=2, activation="relu", name="conv")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling1D()(x)))
    x = np.random.default_rng(0).normal(size=(3, 40, 2)).astype("float32")
    exp = sc.explain(model, x, method="hires-cam", target=[0, 1], signed=True)
    assert sc.metrics.sanity(exp, model, "completeness")["completeness"].max() < 1e-4
