"""Methods with backward passes of their own on Keras: against plain loops and the identities they must hold."""

import keras
import numpy as np
import pytest
from backends.keras_gradients import gradient
from keras import layers, ops

import signalcam as sc
from signalcam.arrays import namespace
from signalcam.backends import backend_of
from signalcam.inputs.conversion import as_inputs
from signalcam.targets import PerSample, Question

SINGLE = 2e-5  # float32, of the largest value: sums in another order
SCORE = 1e-4  # float32: sums over a whole network in another order than the network's own
SLOPE = 2e-2  # of the largest value: differences of gradients in single precision
LENGTHS = {1: (24,), 2: (12, 10), 3: (6, 7, 8)}
FOUR = ["shapley-cam", "lift-cam", "guided-grad-cam", "full-grad"]
every_rank = pytest.mark.parametrize("rank", [1, 2, 3])
pytestmark = pytest.mark.filterwarnings("ignore:.*all zero because:signalcam.CamWarning")


def of_rank(kind, rank):
    return getattr(layers, f"{kind}{rank}D")


def signal(rank=1, batch=3):
    return np.random.default_rng(1).standard_normal((batch, *LENGTHS[rank], 2)).astype(np.float32)


def network(rank=1, *middle, last=None):
    """A rectified layer to explain, what is in the middle, and a deep head."""
    return keras.Sequential(
        [
            keras.Input((*LENGTHS[rank], 2)),
            of_rank("Conv", rank)(4, 3, padding="same", activation="relu", name="one"),
            *middle,
            layers.Flatten(),
            layers.Dense(8, activation="relu"),
            layers.Dense(3, activation=last),
        ]
    )


def ask(kind="plain", classes=(0, 1, 2)):
    return Question((PerSample(()),), "logit", None, (np.asarray(classes),), kind)


def felt(model, x, layer, kind):
    """Activation, gradient of that kind and score of classes 0, 1 and 2, in NumPy."""
    backend = backend_of(model)
    pull = backend.forward_backward(model, as_inputs(x), [layer], ask(kind))
    ((one,),) = pull.rows
    return [
        backend.numpy(each).astype(np.float64) for each in (one.activation, one.gradient, pull.scored_targets[0].value)
    ]


def total(a, g):
    return (a * g).reshape(len(a), -1).sum(1)


def close(found, wanted, tolerance=SINGLE):
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * np.abs(wanted).max())


def behind(model, a, layer="one"):
    """The scores of classes 0, 1 and 2 from other activations of a layer, channels second."""
    names = [each.name for each in model.layers]
    y = ops.convert_to_tensor(np.moveaxis(a, 1, -1).astype(np.float32))
    for each in model.layers[names.index(layer) + 1 :]:
        y = each(y)
    return y


# --- shapley-cam ----------------------------------------------------------------------------------


@every_rank
def test_shapley_cam_is_grad_cam_for_rectifier_networks(kit, rank):
    pool = of_rank("MaxPooling", rank)(2)
    model = network(rank, pool, of_rank("Conv", rank)(3, 2), layers.ReLU(), last="softmax")
    curved, plain = (kit.maps(model, signal(rank), "one", method=each) for each in ("shapley-cam", "grad-cam"))
    assert kit.difference(curved, plain) < SINGLE


class Quadratic(layers.Layer):
    """A constant, a line and a square of the mean activations, for each of three classes."""

    def build(self, shape):
        self.form = self.add_weight(shape=(3, shape[-1], shape[-1]), initializer="random_normal")

    def call(self, a):
        mean = ops.mean(a, axis=tuple(range(1, len(a.shape) - 1)))
        return ops.einsum("bi,kij,bj->bk", mean, self.form, mean) + mean[:, :3] + 1.0


@every_rank
def test_half_the_curvature_makes_a_quadratic_score_complete(rank):
    model = keras.Sequential(
        [
            keras.Input((*LENGTHS[rank], 2)),
            of_rank("Conv", rank)(4, 3, name="one"),
            Quadratic(),
        ]
    )
    a, g, score = felt(model, signal(rank), "one", "curved")
    np.testing.assert_allclose(total(a, g), score - 1, rtol=SCORE, atol=SCORE)


def test_curvature_is_how_the_gradient_changes_along_the_activations():
    model = network(1, layers.Conv1D(3, 3, activation="tanh"), layers.Activation("gelu"))
    a, found, _ = felt(model, signal(), "one", "curved")
    rows = ops.convert_to_tensor(np.eye(3, dtype=np.float32))

    def slope(a):
        g = gradient(lambda y: ops.sum(run(model.layers[1:], y) * rows), np.moveaxis(a, 1, -1))
        return np.moveaxis(g, -1, 1)

    a = a.astype(np.float32)
    turned = (slope(1.01 * a) - slope(0.99 * a)) / 0.02
    close(found, slope(a) - turned / 2, SLOPE)


def run(chain, y):
    for each in chain:
        y = each(y)
    return y


def test_two_targets_and_two_calls_of_a_layer_each_get_their_own_curvature(kit):
    x = keras.Input((24, 4))
    conv = layers.Conv1D(4, 3, padding="same", activation="tanh", name="shared")
    y = layers.Flatten()(layers.Conv1D(3, 3, activation="tanh")(conv(conv(x))))
    model, given = keras.Model(x, layers.Dense(3)(y)), np.tile(signal(), (1, 1, 2))
    options = {"method": "shapley-cam", "signed": True}
    both = sc.explain(model, given, layer="shared[1]", target=[0, 2], **options).native().values
    for place, target in enumerate([0, 2]):
        alone = kit.maps(model, given, "shared[1]", target=target, method="shapley-cam")
        close(both[:, place, 0], alone)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow lacks some")
def test_missing_second_derivative_is_told_in_a_sentence():
    import tensorflow as tf  # noqa: PLC0415 - one engine a process

    model = network(2, layers.Lambda(tf.nn.local_response_normalization))
    with pytest.raises(sc.MethodError, match=r"second derivatives, and TensorFlow has none.*Use grad-cam"):
        sc.explain(model, signal(2), layer="one", method="shapley-cam", target=1)


# --- lift-cam -------------------------------------------------------------------------------------

SMOOTH = [
    "relu",
    "elu",
    "selu",
    "gelu",
    "silu",
    "mish",
    "tanh",
    "sigmoid",
    "softplus",
    "softsign",
    "leaky_relu",
    "celu",
    "hard_sigmoid",
    "hard_silu",
    "log_sigmoid",
    "hard_tanh",
    "tanh_shrink",
    "sparse_plus",
    "squareplus",
    "exponential",
]


def assert_complete(model, x, layer="one"):
    """What the channels add up to is the fall of the score when the layer falls silent."""
    a, g, score = felt(model, x, layer, "rescale")
    empty = ops.convert_to_numpy(behind(model, np.zeros_like(a), layer))[range(3), range(3)]
    wanted = score - empty
    np.testing.assert_allclose(total(a, g), wanted, rtol=SCORE, atol=SCORE * np.abs(wanted).max())


@pytest.mark.parametrize("step", SMOOTH)
def test_rescaled_contributions_add_up_to_what_the_activations_change(step):
    middle = [layers.Conv1D(3, 3, activation=step), layers.Activation(step), layers.AveragePooling1D(2)]
    assert_complete(network(1, *middle), signal())


LAYERS = {
    "ReLU": layers.ReLU,
    "ReLU to 6": lambda: layers.ReLU(max_value=6.0),
    "ELU": layers.ELU,
    "ReLU with all": lambda: layers.ReLU(max_value=0.5, negative_slope=0.1, threshold=0.2),
    "LeakyReLU": layers.LeakyReLU,
    "PReLU": lambda: layers.PReLU(alpha_initializer="random_normal"),
    "a function": lambda: layers.Lambda(ops.tanh),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_rescaled_contributions_add_up_whatever_layer_the_step_is(kind):
    assert_complete(network(1, LAYERS[kind](), layers.Conv1D(3, 2)), signal())


@every_rank
def test_rescaled_contributions_add_up_for_any_number_of_axes(rank):
    middle = [layers.BatchNormalization(), layers.Activation("gelu"), of_rank("Conv", rank)(3, 2)]
    assert_complete(network(rank, *middle, layers.ELU()), signal(rank))


def own_functions():
    """The engine's own functions, as users hand them to layers."""
    engine = keras.backend.backend()
    if engine == "tensorflow":
        import tensorflow as tf  # noqa: PLC0415 - one engine a process

        return [tf.nn.elu, tf.tanh, tf.math.sigmoid]
    if engine == "jax":
        import jax  # noqa: PLC0415 - one engine a process

        return [jax.nn.elu, jax.numpy.tanh, jax.nn.sigmoid]
    import torch  # noqa: PLC0415 - one engine a process

    return [torch.nn.functional.elu, torch.tanh, torch.sigmoid]


@pytest.mark.parametrize("number", range(3))
def test_functions_of_the_engine_itself_are_rescaled(number):
    assert_complete(network(1, layers.Conv1D(3, 3, activation=own_functions()[number])), signal())


class Powers(layers.Layer):
    """Raises one half of the channels to the power of the other: a product, and no step of one input."""

    def call(self, a):
        one, other = ops.split(ops.sigmoid(a) + 0.5, 2, axis=-1)
        return ops.power(one, other)


def test_functions_of_two_inputs_keep_both_gradients():
    model = keras.Sequential(
        [
            keras.Input((24, 2)),
            layers.Conv1D(4, 3, name="one"),
            Powers(),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )
    _, g, _ = felt(model, signal(), "one", "rescale")
    assert (np.abs(g).sum((0, 2)) > 0).all()


@pytest.mark.parametrize("last", ["softmax", "sigmoid"])
def test_logits_are_found_beside_the_silent_reference(last):
    model, plain = network(last=last), network()
    plain.set_weights(model.get_weights())
    for found, wanted in zip(
        felt(model, signal(), "one", "rescale"),
        felt(plain, signal(), "one", "rescale"),
        strict=True,
    ):
        close(found, wanted)


@every_rank
def test_lift_cam_takes_what_each_channel_adds_where_the_score_is_a_line(kit, rank):
    model = keras.Sequential(
        [
            keras.Input((*LENGTHS[rank], 2)),
            of_rank("Conv", rank)(4, 3, activation="relu", name="one"),
            layers.BatchNormalization(),
            of_rank("AveragePooling", rank)(2),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )
    x = signal(rank)
    a, g, _ = felt(model, x, "one", "plain")
    weights = (a * g).reshape(*a.shape[:2], -1).sum(-1)
    wanted = np.einsum("bc,bc...->b...", weights, a)
    found = kit.maps(model, x, "one", method="lift-cam", target=sc.PerSample([0, 1, 2]))
    close(found, wanted)


# --- guided-grad-cam ------------------------------------------------------------------------------


def conv(x, kernel):
    """A convolution without padding, ``(b, t, c)``, in plain loops."""
    length = x.shape[1] - len(kernel) + 1
    return np.stack([sum(x[:, t + k] @ kernel[k] for k in range(len(kernel))) for t in range(length)], 1)


def conv_back(g, kernel):
    """Its transpose."""
    found = np.zeros((len(g), g.shape[1] + len(kernel) - 1, kernel.shape[1]))
    for t in range(g.shape[1]):
        for k in range(len(kernel)):
            found[:, t + k] += g[:, t] @ kernel[k].T
    return found


@pytest.mark.parametrize("rectifier", ["inside", "layer", "activation"])
def test_guided_gradients_equal_those_by_hand(rectifier):
    inside = "relu" if rectifier == "inside" else None
    step = {"inside": [], "layer": [layers.ReLU()], "activation": [layers.Activation("relu")]}
    model = keras.Sequential(
        [
            keras.Input((24, 2)),
            layers.Conv1D(4, 3, activation=inside),
            *step[rectifier],
            layers.Conv1D(5, 3, activation="relu"),
            layers.GlobalAveragePooling1D(),
            layers.Dense(3),
        ]
    )
    x = signal()
    one, bias1, two, bias2, head, _ = (each.astype(np.float64) for each in model.get_weights())
    z1 = conv(x.astype(np.float64), one) + bias1
    z2 = conv(np.maximum(z1, 0), two) + bias2
    up = np.repeat(head.T[:, None] / z2.shape[1], z2.shape[1], axis=1)  # classes 0, 1 and 2
    up = conv_back(np.where((z2 > 0) & (up > 0), up, 0), two)
    wanted = conv_back(np.where((z1 > 0) & (up > 0), up, 0), one)
    backend = backend_of(model)
    ((_, found),) = backend.input_gradients(model, as_inputs(x), ask(), "guided")
    close(backend.numpy(found), wanted)


LEAKY = {
    "LeakyReLU": lambda: layers.LeakyReLU(negative_slope=0.1),
    "ReLU": lambda: layers.ReLU(negative_slope=0.1),
    "ReLU with an end": lambda: layers.ReLU(negative_slope=0.1, max_value=99.0),
    "PReLU": lambda: layers.PReLU(alpha_initializer=keras.initializers.Constant(0.1)),
}


@pytest.mark.parametrize("kind", LEAKY)
def test_leaky_rectifiers_keep_their_gradient(kind):
    model = keras.Sequential(
        [
            keras.Input((24, 2)),
            layers.Conv1D(4, 3),
            LEAKY[kind](),
            layers.Conv1D(5, 3, activation="relu"),
            layers.GlobalAveragePooling1D(),
            layers.Dense(3),
        ]
    )
    x, backend = signal(), backend_of(model)
    one, bias1, two, bias2, head, *_ = (each for each in model.get_weights() if each.shape != (22, 4))
    z1 = conv(x.astype(np.float64), one) + bias1
    z2 = conv(np.where(z1 > 0, z1, 0.1 * z1), two) + bias2
    up = np.repeat(head.T[:, None] / z2.shape[1], z2.shape[1], axis=1)
    up = conv_back(np.where((z2 > 0) & (up > 0), up, 0), two)
    wanted = conv_back(np.where(z1 > 0, up, 0.1 * up), one)
    ((_, found),) = backend.input_gradients(model, as_inputs(x), ask(), "guided")
    close(backend.numpy(found), wanted)


def test_guided_gradients_need_rectifiers():
    model = keras.Sequential(
        [
            keras.Input((24, 2)),
            layers.Conv1D(4, 3, activation="tanh", name="one"),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )
    with pytest.raises(sc.MethodError, match=r"needs rectifiers.*Sequential ran none.*Use grad-cam"):
        sc.explain(model, signal(), layer="one", method="guided-grad-cam", target=1)


@every_rank
def test_guided_grad_cam_is_the_product_of_both(rank):
    model, x = network(rank), signal(rank)
    options = {"layer": "one", "target": 1, "signed": True}
    rough = sc.explain(model, x, **options | {"signed": False}).maps.values[:, 0, 0, 0]
    exp = sc.explain(model, x, method="guided-grad-cam", **options)
    ((_, fine),) = backend_of(model).input_gradients(model, as_inputs(x), ask(classes=(1, 1, 1)), "guided")
    close(exp.maps.values[:, 0, 0, 0], rough * backend_of(model).numpy(fine).sum(-1))


# --- full-grad ------------------------------------------------------------------------------------


def accounted(model, x, layer):
    """Input times gradient and every layer's offsets, added up, with nothing spread over; and the scores."""
    kept = {}

    def plan(case):
        ((score, g),) = case.input_gradients(case.x)
        axes = tuple(range(1, len(g.shape)))
        kept["scores"] = score
        kept["parts"] = [namespace(g).sum(case.x * g, axis=axes)]
        for each in case.offsets(0):
            kept["parts"].append(namespace(each).sum(each, axis=tuple(range(1, len(each.shape)))))
        return [case.a[:, 0, :]]

    method = sc.Method("kept", None, "none", plan=plan, needs_gradients=False)
    sc.explain(model, x, layer=layer, target=1, method=method, signed=True)
    numpy = backend_of(model).numpy
    return sum(numpy(each).astype(np.float64) for each in kept["parts"]), numpy(kept["scores"])


def settled(model):
    """Statistics and shifts as training leaves them."""
    rng = np.random.default_rng(2)
    for each in model.weights:
        if each.name in ("bias", "beta", "moving_mean"):
            each.assign(rng.normal(0, 0.5, each.shape))
        if each.name in ("gamma", "moving_variance"):
            each.assign(rng.uniform(0.5, 2, each.shape))
    return model


@pytest.mark.parametrize(
    ("rank", "options"),
    [(1, {}), (2, {}), (3, {}), (1, {"center": False}), (2, {"scale": False}), (1, {"center": False, "scale": False})],
)
def test_offsets_and_the_input_add_up_to_the_score(rank, options):
    conv = of_rank("Conv", rank)
    model = settled(
        keras.Sequential(
            [
                keras.Input((*LENGTHS[rank], 2)),
                conv(4, 3, activation="relu", name="one"),
                layers.BatchNormalization(**options),
                layers.Activation("relu"),
                conv(3, 2, padding="same"),
                layers.BatchNormalization(**options),
                layers.ReLU(),
                of_rank("MaxPooling", rank)(2),
                layers.Dense(4, activation="relu"),
                layers.Flatten(),
                layers.Dense(3),
            ]
        )
    )
    found, wanted = accounted(model, signal(rank), "one")
    close(found + model.layers[-1].get_weights()[1][1], wanted, SCORE)


FURTHER = {
    "depthwise": lambda: layers.DepthwiseConv1D(3, depth_multiplier=2, activation="relu"),
    "separable": lambda: layers.SeparableConv1D(5, 3, activation="relu"),
    "transposed": lambda: layers.Conv1DTranspose(5, 3, strides=2, activation="relu"),
    "einsum": lambda: layers.EinsumDense("btc,cd->btd", (22, 5), bias_axes="d", activation="relu"),
    "causal": lambda: layers.Conv1D(5, 3, padding="causal", dilation_rate=2, activation="leaky_relu"),
    "PReLU": lambda: layers.Conv1D(5, 3, activation=layers.PReLU(alpha_initializer="random_normal")),
}


@pytest.mark.parametrize("kind", FURTHER)
def test_every_layer_with_a_bias_and_positions_accounts_for_it(kind):
    model = settled(
        keras.Sequential(
            [
                keras.Input((24, 2)),
                layers.Conv1D(4, 3, activation="relu", name="one"),
                FURTHER[kind](),
                layers.Flatten(),
                layers.Dense(3, use_bias=False),
            ]
        )
    )
    found, wanted = accounted(model, signal(), "one")
    close(found, wanted, SCORE)


def test_channels_first_and_shared_layers_account_for_their_offsets():
    options = {"data_format": "channels_first", "padding": "same"}
    x = keras.Input((2, 24))
    shared = layers.Conv1D(4, 3, activation="relu", name="shared", **options)
    y = layers.Conv1D(4, 3, activation="relu", name="one", **options)(x)
    y = layers.BatchNormalization(axis=1)(shared(shared(y)))
    model = settled(keras.Model(x, layers.Dense(3, use_bias=False)(layers.Flatten()(y))))
    found, wanted = accounted(model, np.moveaxis(signal(), -1, 1).copy(), "one")
    close(found, wanted, SCORE)


@every_rank
def test_full_grad_map_adds_up_to_the_score(rank):
    model = settled(network(rank, layers.BatchNormalization(), layers.ReLU(), last="softmax"))
    exp = sc.explain(model, signal(rank), layer="one", method="full-grad", signed=True, target=[0, 1])
    found = exp.maps.values[:, :, 0, 0].reshape(3, 2, -1).astype(np.float64).sum(-1)
    np.testing.assert_allclose(found, exp.scores, rtol=SCORE, atol=SCORE)


def test_full_grad_puts_each_offset_where_its_gradient_is():
    """One layer of kernel 1, so that its positions are the input's: x dy/dx and b dy/dz, and the head's bias."""
    model = settled(
        keras.Sequential(
            [
                keras.Input((10, 1)),
                layers.Conv1D(3, 1, activation="relu", name="one"),
                layers.Flatten(),
                layers.Dense(2),
            ]
        )
    )
    x = np.random.default_rng(3).standard_normal((2, 10, 1)).astype(np.float32)
    kernel, bias, head, last = model.get_weights()
    z = x @ kernel[0] + bias
    g = np.where(z > 0, head[:, 1].reshape(10, 3), 0)
    wanted = (g * (x @ kernel[0] + bias)).sum(-1) + last[1] / 10
    exp = sc.explain(model, x, layer="one", method="full-grad", signed=True, target=1)
    close(exp.maps.values[:, 0, 0, 0], wanted)


# --- the model is borrowed ------------------------------------------------------------------------


class Breaking(layers.Layer):
    """Raises at one of its calls."""

    def __init__(self):
        super().__init__()
        self.left = [10**9]

    def call(self, a):
        self.left[0] -= 1
        if not self.left[0]:
            raise RuntimeError("in mid-run")
        return a


def held(model):
    """What every layer and the modules of functions hold, by identity."""
    modules = [keras.activations, keras.src.activations, keras.src.backend.nn]
    nodes = [*model._flatten_layers(), *modules]
    return [{key: id(value) for key, value in vars(each).items()} for each in nodes]


@pytest.mark.parametrize("method", FOUR)
def test_layers_hold_afterwards_what_they_held_before(method):
    breaking = Breaking()
    model = network(1, breaking, layers.PReLU(), last="softmax")
    asked = {"layer": "one", "method": method, "target": 1}
    model(signal(), training=False)
    sc.explain(model, signal(), **asked)  # Keras notes on a layer that it was called
    before, calls = held(model), breaking.left[0]
    sc.explain(model, signal(), **asked)
    assert held(model) == before
    calls -= breaking.left[0]
    for number in {1, calls // 2 + 1, calls}:  # in passes that all methods share, and in its own
        breaking.left[0] = number
        with pytest.raises(RuntimeError, match="in mid-run"):
            sc.explain(model, signal(), **asked)
        assert held(model) == before


@pytest.mark.parametrize("method", FOUR)
def test_sample_does_not_see_its_batch(method):
    model = network(1, layers.BatchNormalization(), layers.Activation("tanh"))
    options = {"layer": "one", "method": method, "target": 1, "signed": True}
    together = sc.explain(model, signal(), **options).maps.values
    alone = sc.explain(model, signal()[1:2], **options).maps.values
    close(alone[0], together[1])
