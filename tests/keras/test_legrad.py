"""LeGrad on Keras: the positive gradient at attention weights, whichever way attention is spelt."""

import keras
import numpy as np
import pytest
from backends.keras_gradients import gradient
from keras import layers, ops

import signalcam as sc

TOLERANCE = 1e-5  # of a map's largest value: single precision, summed in another order
WIDTH, HEADS, TARGET = 12, 2, 1


class ClassToken(layers.Layer):
    """A learned token in front."""

    def build(self, shape):
        self.token = self.add_weight(shape=(1, 1, shape[-1]), initializer="ones")

    def call(self, x):
        token = ops.broadcast_to(self.token, (ops.shape(x)[0], 1, x.shape[-1]))
        return ops.concatenate([token, x], 1)


class Own(layers.Layer):
    """Self-attention that a user wrote."""

    def build(self, shape):
        self.kernel = self.add_weight(shape=(4, HEADS, WIDTH, 6), initializer="random_normal")

    def heads(self, x):
        return [ops.einsum("btc,hcd->bhtd", x, self.kernel[i]) for i in range(3)]

    def call(self, x):
        q, k, v = self.heads(x)
        return self.mixed(ops.softmax(8 * q @ ops.transpose(k, (0, 1, 3, 2)), axis=-1), v)

    def mixed(self, weights, v):
        return ops.einsum("bhtd,hcd->btc", weights @ v, self.kernel[3])


def attention(how):
    if how == "own":
        return Own(name="attention")
    if how == "module":
        return layers.MultiHeadAttention(HEADS, 6, name="attention")
    return layers.GroupQueryAttention(6, 4, 2, name="attention")


def network(how):
    """Patches, a class token, one residual block of attention, the answer from the class token."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((80, 2))
    x = ClassToken()(layers.Conv1D(WIDTH, 8, strides=8, data_format="channels_last")(inputs))
    normed = layers.LayerNormalization(name="norm")(x)
    layer = attention(how)
    y = layer(normed) if how == "own" else layer(normed, normed)
    y = layers.Add(name="out")([x, y])
    model = keras.Model(inputs, layers.Dense(4)(y[:, 0]))
    return model, np.random.default_rng(0).normal(size=(3, 80, 2)).astype("float32")


def weights_of(how, layer, normed):
    """Attention weights of the one block, ``(b, h, q, n)``, and what becomes of them."""
    if how == "own":
        q, k, v = layer.heads(normed)
        return ops.softmax(8 * q @ ops.transpose(k, (0, 1, 3, 2)), axis=-1), lambda p: layer.mixed(p, v)
    _, found = layer(normed, normed, return_attention_scores=True)
    v = layer._value_dense(normed)
    if how == "grouped":
        v = ops.repeat(v, 2, axis=2)
    return found, lambda p: layer._output_dense(ops.einsum("bhqn,bnhd->bqhd", p, v))


def by_hand(how, model, x):
    normed = keras.Model(model.inputs, model.get_layer("norm").output)(ops.convert_to_tensor(x))
    layer = model.get_layer("attention")
    weights, mixed = weights_of(how, layer, normed)
    g = gradient(
        lambda p: ops.sum(model.layers[-1](mixed(p)[:, 0])[:, TARGET]),
        ops.convert_to_numpy(weights),
    )
    return np.maximum(g, 0).mean((1, 2))[:, 1:]


def heat(model, x, layer=None, **options):
    exp = sc.explain(model, x, layer=layer, method="le-grad", target=TARGET, signed=True, **options)
    return exp.native().values[:, 0, 0]


def assert_close(found, wanted):
    assert found.shape == wanted.shape
    assert np.abs(wanted).max() > 0
    assert np.abs(found - wanted).max() < TOLERANCE * np.abs(wanted).max()


@pytest.mark.parametrize(
    ("how", "layer"),
    [
        ("module", "attention"),
        ("module", "out"),
        ("module", None),
        ("grouped", "norm"),
        ("own", "attention"),
    ],
)
def test_map_is_that_of_hand_written_attention(how, layer):
    model, x = network(how)
    assert_close(heat(model, x, layer), by_hand(how, model, x))


def test_class_token_is_dropped_and_patches_are_folded_to_their_grid():
    inputs = keras.Input((16, 24, 3))
    patches = layers.Conv2D(WIDTH, 4, strides=4, data_format="channels_last")(inputs)
    x = ClassToken()(layers.Reshape((24, WIDTH))(patches))
    x = layers.Add(name="out")([x, layers.MultiHeadAttention(HEADS, 6)(x, x)])
    model = keras.Model(inputs, layers.Dense(4)(x[:, 0]))
    images = np.random.default_rng(0).normal(size=(2, 16, 24, 3)).astype("float32")
    assert heat(model, images, "out").shape == (2, 4, 6)


def test_answers_before_and_after_are_the_same_and_runs_alike_give_one_map():
    model, x = network("module")
    before, own = ops.convert_to_numpy(model(x)), dict(model.get_layer("attention").__dict__)
    maps = [heat(model, x, "norm", batch_size=2) for _ in range(2)]
    assert all(np.allclose(each, maps[0], rtol=0, atol=TOLERANCE) for each in maps)
    assert np.array_equal(ops.convert_to_numpy(model(x)), before)
    assert model.get_layer("attention").__dict__ == own


def test_model_without_attention_is_refused_with_the_way_out():
    model = keras.Sequential(
        [
            keras.Input((50, 2)),
            layers.Conv1D(4, 3, data_format="channels_last"),
            layers.GlobalAveragePooling1D(data_format="channels_last"),
            layers.Dense(2),
        ]
    )
    with pytest.raises(sc.MethodError, match=r"no softmax attention was seen.*use grad-cam"):
        heat(model, np.ones((2, 50, 2), np.float32))
