"""Questions put to Keras networks whose outputs have positions, or come in several."""

import keras
import numpy as np
import pytest

import signalcam as sc


def dense(last=None):
    """One row of class scores a position, channels last."""
    x = keras.Input((24, 2))
    y = keras.layers.Conv1D(5, 3, padding="same", activation="relu", name="features")(x)
    return keras.Model(x, keras.layers.Conv1D(3, 1, activation=last)(y))


def signal():
    return np.random.default_rng(0).standard_normal((3, 24, 2)).astype(np.float32)


def maps(model, target, **options):
    exp = sc.explain(model, signal(), layer="features", target=target, signed=True, **options)
    return exp.native().values[:, 0, 0]


@pytest.mark.parametrize("where", [None, 4, slice(3, 9)], ids=str)
def test_the_map_of_a_region_is_that_of_the_function_it_stands_for(where):
    chosen = slice(where, where + 1) if isinstance(where, int) else where or slice(None)

    def by_hand(out):
        return keras.ops.sum(out[:, chosen, 1], axis=1)

    model = dense()
    found, wanted = (maps(model, each) for each in (sc.Region(1, where=where), by_hand))
    np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())


def test_a_region_of_probabilities_is_that_of_the_logits_behind_them():
    squashed, plain = dense("softmax"), dense()
    squashed.set_weights(plain.get_weights())
    found, wanted = (maps(each, sc.Region(1, where=4)) for each in (squashed, plain))
    np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())


def test_one_of_several_outputs_can_be_chosen():
    x = keras.Input((24, 2))
    y = keras.layers.Conv1D(5, 3, activation="relu", name="features")(x)
    pooled = keras.layers.GlobalAveragePooling1D()(y)
    outputs = {"kind": keras.layers.Dense(3)(pooled), "risk": keras.layers.Dense(2)(pooled)}
    model = keras.Model(x, outputs)
    found = maps(model, sc.Regression(1), output="risk")
    wanted = maps(model, lambda out: out["risk"][:, 1])
    np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())
    with pytest.raises(sc.TargetError, match="Nearest: 'risk'"):
        maps(model, 1, output="risks")
