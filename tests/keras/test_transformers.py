"""Attention models of Keras: tokens on the grid of the patch embedding, without the class token."""

import keras
import numpy as np
import pytest
from backends.keras_gradients import gradient
from keras import layers, ops

import signalcam as sc

TOLERANCE = 1e-5  # of a map's largest value: single precision, summed in another order


class ClassToken(layers.Layer):
    """A learned token in front."""

    def build(self, shape):
        self.token = self.add_weight(shape=(1, 1, shape[-1]), initializer="ones")

    def call(self, x):
        token = ops.broadcast_to(self.token, (ops.shape(x)[0], 1, x.shape[-1]))
        return ops.concatenate([token, x], 1)


def block(x, number):
    normed = layers.LayerNormalization(name=f"norm{number}")(x)
    x = layers.Add()([x, layers.MultiHeadAttention(2, 6)(normed, normed)])
    dense = layers.Dense(12, activation="gelu")(layers.LayerNormalization(name=f"post{number}")(x))
    return layers.Add(name=f"out{number}")([x, dense])


def parts():
    """A patch transformer for images, and what lies behind its last norm before attention."""
    inputs = keras.Input((16, 24, 3))
    patches = layers.Conv2D(12, 4, strides=4, data_format="channels_last")(inputs)
    x = block(ClassToken()(layers.Reshape((24, 12))(patches)), 0)
    outputs = layers.Dense(4)(block(x, 1)[:, 0])
    return keras.Model(inputs, outputs), np.random.default_rng(0).normal(size=(2, 16, 24, 3)).astype("float32")


def test_tokens_fold_to_the_grid_of_the_patches():
    model, x = parts()
    exp = sc.explain(model, x, layer="norm1", target=1, signed=True)
    norm = model.get_layer("norm1")
    before = keras.Model(model.inputs, norm.output)
    residual = keras.Model(model.inputs, norm.input)
    names = [each.name for each in model.layers]
    attention = model.layers[names.index("norm1") + 1]
    added, last = model.layers[names.index("norm1") + 2], model.layers[-1]
    post, out = model.get_layer("post1"), model.get_layer("out1")
    dense = model.layers[names.index("post1") + 1]
    skip = residual(ops.convert_to_tensor(x))

    def score(a):
        y = added([skip, attention(a, a)])
        return ops.sum(last(out([y, dense(post(y))])[:, 0])[:, 1])

    a = ops.convert_to_numpy(before(ops.convert_to_tensor(x)))
    g = ops.convert_to_numpy(gradient(score, a))[:, 1:]
    wanted = (a[:, 1:] * g.mean(1, keepdims=True)).sum(-1).reshape(2, 4, 6)
    found = exp.native().values[:, 0, 0]
    assert np.abs(found - wanted).max() < TOLERANCE * np.abs(wanted).max()
    assert [(each.start, each.jump) for each in exp.layers[0].grid] == [(1.5, 4), (1.5, 4)]


def test_last_tokens_that_the_score_depends_on_are_chosen():
    model, x = parts()
    exp = sc.explain(model, x, method=["eigen-cam", "ablation-cam"], signed=True)
    assert exp.layers[0].name == "norm1"
    assert exp.native().shape[3:] == (4, 6)


def test_layer_behind_the_last_attention_names_the_one_before():
    model, x = parts()
    with pytest.raises(sc.ModelError, match=r"only the class token.*'norm1'"):
        sc.explain(model, x, layer="out1")


# --- grids of two and three axes, channels last ----------------------------------------------------


@keras.saving.register_keras_serializable("tests")
class Shifted(layers.Layer):
    """Attention within windows that are shifted round, on tokens ``(b, *grid, d)``."""

    def __init__(self, shift, **more):
        super().__init__(**more)
        self.shift, self.norm = shift, layers.LayerNormalization()
        self.attention = layers.MultiHeadAttention(2, 4)

    def call(self, x):
        grid, width = x.shape[1:-1], x.shape[-1]
        count = len(grid)
        axes = list(range(1, count + 1))
        y = ops.roll(self.norm(x), [-self.shift] * count, axes)
        halves = [size for cells in grid for size in (cells // 2, 2)]
        coarse, fine = list(range(1, 2 * count, 2)), list(range(2, 2 * count + 1, 2))
        y = ops.transpose(ops.reshape(y, (-1, *halves, width)), (0, *coarse, *fine, 2 * count + 1))
        tokens = ops.reshape(y, (-1, 2**count, width))
        y = self.attention(tokens, tokens)
        y = ops.reshape(y, (-1, *(cells // 2 for cells in grid), *[2] * count, width))
        order = [place for axis in axes for place in (axis, axis + count)]
        y = ops.reshape(ops.transpose(y, (0, *order, 2 * count + 1)), (-1, *grid, width))
        return x + ops.roll(y, [self.shift] * count, axes)


def windows(axes):
    """Patches with channels last, two blocks of attention in windows, the second one shifted."""
    keras.utils.set_random_seed(0)
    shape = ((16, 32), (8, 16, 16))[axes - 2]
    conv = (layers.Conv2D, layers.Conv3D)[axes - 2]
    inputs = keras.Input((*shape, 2))
    x = conv(8, 4, strides=4, data_format="channels_last")(inputs)
    x = layers.LayerNormalization(name="norm")(Shifted(1, name="second")(Shifted(0)(x)))
    outputs = layers.Dense(4)(ops.mean(x, axis=tuple(range(1, axes + 1))))
    x = np.random.default_rng(0).normal(size=(2, *shape, 2)).astype("float32")
    return keras.Model(inputs, outputs), x


def video():
    """Tubelets of a video in one row behind a class token."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 16, 12, 2))
    patches = layers.Conv3D(12, (2, 4, 4), strides=(2, 4, 4), data_format="channels_last")(inputs)
    y = block(ClassToken()(layers.Reshape((36, 12))(patches)), 0)
    outputs = layers.Dense(4)(ops.mean(y, axis=1))
    x = np.random.default_rng(0).normal(size=(2, 6, 16, 12, 2)).astype("float32")
    return keras.Model(inputs, outputs), x


@pytest.mark.parametrize(
    ("made", "layer", "prefix", "grid", "places"),
    [
        (lambda: windows(2), "norm", 0, (4, 8), [(1.5, 4)] * 2),
        (lambda: windows(2), "second", 0, (4, 8), [(1.5, 4)] * 2),
        (lambda: windows(3), "second", 0, (2, 4, 4), [(1.5, 4)] * 3),
        (video, "out0", 1, (3, 4, 3), [(0.5, 2), (1.5, 4), (1.5, 4)]),
    ],
    ids=["images", "images, shifted", "volumes, shifted", "video"],
)
def test_tokens_on_grids_of_several_axes_lie_where_they_came_from(made, layer, prefix, grid, places):
    model, x = made()
    exp = sc.explain(model, x, layer=layer, method="grad-cam", target=1, signed=True)
    node = model.get_layer(layer)
    a = ops.convert_to_numpy(keras.Model(model.inputs, node.output)(ops.convert_to_tensor(x)))
    behind = keras.Model(node.output, model.outputs)
    g = gradient(lambda y: ops.sum(behind(y)[:, 1]), a)
    a, g = (each.reshape(2, -1, each.shape[-1])[:, prefix:] for each in (a, g))
    wanted = (a * g.mean(1, keepdims=True)).sum(-1).reshape(2, *grid)
    found = exp.native().values[:, 0, 0]
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() < TOLERANCE * np.abs(wanted).max()
    assert [(each.start, each.jump) for each in exp.layers[0].grid] == places
