"""What else Keras models do: precisions, traps, padding and strides, recurrent parts, bad input."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import signalcam as sc
from signalcam.explainer.layer_selection import gradient_norms
from signalcam.inputs.conversion import as_inputs

ENGINE = keras.backend.backend()
TOLERANCE = 1e-5  # of a map's largest value: single precision, summed in another order
only_tensorflow = pytest.mark.skipif(ENGINE != "tensorflow", reason="tf.function is TensorFlow's")
only_torch = pytest.mark.skipif(ENGINE != "torch", reason="a module of torch needs torch")


def run(chain, x):
    for each in chain:
        x = each(x)
    return x


def small(*middle, classes=3, shape=(24, 2), **options):
    """A convolution, the layers in the middle, and a flatten head in logits."""
    conv = layers.Conv1D(4, 3, padding="same", name="conv", **options)
    return keras.Sequential([keras.Input(shape), conv, *middle, layers.Flatten(), layers.Dense(classes)])


# --- precisions and layouts ----------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_gives_the_map_of_single_precision(kit, x, policy):
    full = small(layers.ReLU(), layers.Conv1D(4, 3))
    wanted = kit.maps(full, x, "conv")
    keras.config.set_dtype_policy(policy)
    mixed = small(layers.ReLU(), layers.Conv1D(4, 3))
    mixed.set_weights(full.get_weights())
    found = kit.maps(mixed, x, "conv")
    assert found.dtype == np.float32
    assert kit.difference(found, wanted) < (0.01 if "bfloat" not in policy else 0.05)


def test_channels_first_gives_the_map_of_channels_last(kit, x):
    def build(data_format, shape):
        options = {"data_format": data_format, "padding": "same"}
        return keras.Sequential(
            [
                keras.Input(shape),
                layers.Conv1D(4, 3, name="conv", **options),
                layers.ReLU(),
                layers.Conv1D(3, 3, strides=2, **options),
                layers.GlobalAveragePooling1D(data_format=data_format),
            ]
        )

    last, first = build("channels_last", (24, 2)), build("channels_first", (2, 24))
    first.set_weights(last.get_weights())
    turned = np.ascontiguousarray(x.transpose(0, 2, 1))
    assert kit.difference(kit.maps(first, turned, "conv"), kit.maps(last, x, "conv")) < TOLERANCE
    assert sc.explain(first, turned, layer="conv", signed=True).maps.sizes["time"] == 24


# --- where the maps are --------------------------------------------------------------------------

GEOMETRY = {  # layers, cells, stride and receptive field for 100 samples
    "valid": ([("conv", 5, 1, "valid"), ("conv", 5, 2, "valid")], 46, 2, 9),
    "same": ([("conv", 5, 1, "same"), ("conv", 5, 1, "same")], 100, 1, 9),
    "same, strided": ([("conv", 3, 2, "same"), ("conv", 3, 2, "same")], 25, 4, 7),
    "causal": ([("conv", 5, 1, "causal"), ("conv", 3, 1, "causal")], 100, 1, 7),
    "pooled": (
        [("conv", 3, 1, "valid"), ("pool", 2, 2, "valid"), ("conv", 3, 1, "valid")],
        47,
        2,
        8,
    ),
}
STARTS = {"valid": 4, "same": 0, "same, strided": 3, "causal": -3, "pooled": 3.5}
# "same" with stride 2 pads an even length at its end only, so the first looks at 0, 1, 2: 1 + 2 * 1


def geometry(spec, length):
    inputs = keras.Input((length, 4))
    a = inputs
    for number, (kind, size, stride, padding) in enumerate(spec):
        if kind == "pool":
            a = layers.AveragePooling1D(size, strides=stride, padding=padding)(a)
            continue
        a = layers.Conv1D(4, size, strides=stride, padding=padding, name=f"conv{number}")(a)
        a = layers.Activation("gelu")(a)
    return keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling1D()(a))), f"conv{len(spec) - 1}"


@pytest.mark.parametrize("length", [None, 100], ids=["any length", "fixed length"])
@pytest.mark.parametrize("name", GEOMETRY)
def test_layer_is_placed_where_arithmetic_says(name, length):
    spec, cells, stride, field = GEOMETRY[name]
    model, layer = geometry(spec, length)
    x = np.random.default_rng(0).standard_normal((2, 100, 4)).astype(np.float32)
    exp = sc.explain(model, x, layer=layer, signed=True, target=1)
    axis = exp.layers[0].grid[0]
    assert (axis.cells, axis.start, axis.jump, axis.field) == (cells, STARTS[name], stride, field)
    assert (axis.input_axis, axis.length, axis.probed) == (1, 100, True)


# --- traps ---------------------------------------------------------------------------------------


class Skip(keras.Model):
    """The layer ``idle`` hands back its very input, which also goes another way."""

    def __init__(self, idle):
        super().__init__()
        self.conv, self.idle = layers.Conv1D(4, 3, name="conv"), idle
        self.flat, self.dense = layers.Flatten(), layers.Dense(3)

    def tail(self, a, around):
        return self.dense(self.flat(ops.tanh(a) + ops.square(around)))

    def call(self, x, training=None):
        a = self.conv(x)
        return self.tail(self.idle(a), a)


IDLE = {
    "Dropout": lambda: layers.Dropout(0.5, name="idle"),
    "Identity": lambda: layers.Identity(name="idle"),
    "linear": lambda: layers.Activation("linear", name="idle"),
}


@pytest.mark.parametrize("make", IDLE.values(), ids=IDLE.keys())
def test_gradient_of_a_skip_path_is_not_counted(kit, x, make):
    model = Skip(make())
    model(x)
    around = model.conv(x)
    wanted = kit.by_hand(model.conv, lambda a: model.tail(a, around), x)
    assert kit.difference(kit.maps(model, x, "idle"), wanted) < TOLERANCE
    both = kit.by_hand(model.conv, lambda a: model.tail(a, a), x)
    assert kit.difference(kit.maps(model, x, "conv"), both) < TOLERANCE


@only_tensorflow
def test_call_compiled_by_the_user_gets_the_same_map(kit, x):
    import tensorflow as tf  # noqa: PLC0415 - one engine a process

    class Compiled(Skip):
        @tf.function
        def call(self, x, training=None):
            return super().call(x, training)

    model = Compiled(layers.Identity(name="idle"))
    model(x)
    around = model.conv(x)
    wanted = kit.by_hand(model.conv, lambda a: model.tail(a, around), x)
    assert kit.difference(kit.maps(model, x, "idle"), wanted) < TOLERANCE


def test_rematerialised_layers_get_the_same_map(kit, x):
    with keras.RematScope(mode="full"):
        model = small(layers.ReLU(), layers.Conv1D(4, 3))
    plain = small(layers.ReLU(), layers.Conv1D(4, 3))
    plain.set_weights(model.get_weights())
    assert kit.difference(kit.maps(model, x, "conv"), kit.maps(plain, x, "conv")) < TOLERANCE


def test_batch_normalisation_uses_what_it_has_learnt(kit, x):
    norm = layers.BatchNormalization(name="norm")
    model = small(norm, layers.ReLU(name="relu"))
    rng = np.random.default_rng(2)
    norm.set_weights([rng.uniform(0.5, 2, each.shape) for each in norm.get_weights()])
    conv, _, *rest = model.layers
    wanted = kit.by_hand(conv, lambda a: run(rest, norm(a, training=False)), x)
    assert kit.difference(kit.maps(model, x, "conv"), wanted) < TOLERANCE
    alone = np.concatenate([kit.maps(model, x[i : i + 1], "conv") for i in range(len(x))])
    assert kit.difference(alone, wanted) < TOLERANCE


def test_model_compiled_and_used_before_gets_the_same_map(kit, x):
    model = small(layers.ReLU())
    wanted = kit.maps(model, x, "conv")
    model.compile("sgd", "mse")
    model.predict(x, verbose=0)
    assert kit.difference(kit.maps(model, x, "conv"), wanted) < TOLERANCE
    model.predict(x, verbose=0)


# --- recurrent hybrids ---------------------------------------------------------------------------

HYBRIDS = {
    "LSTM": lambda: [layers.LSTM(5, return_sequences=True, name="mixer"), layers.LSTM(4)],
    "GRU": lambda: [layers.GRU(5, return_sequences=True, name="mixer"), layers.GRU(4)],
    "bidirectional": lambda: [
        layers.Bidirectional(layers.LSTM(3, return_sequences=True), name="mixer"),
        layers.LSTM(4),
    ],
}


@pytest.mark.parametrize("layer", ["conv", "mixer"])
@pytest.mark.parametrize("middle", HYBRIDS.values(), ids=HYBRIDS.keys())
@pytest.mark.filterwarnings("ignore::signalcam.CamWarning")  # a recurrent layer sees the whole input
def test_recurrent_network_gets_the_map_by_hand_at_both_kinds_of_layer(kit, x, middle, layer):
    model = small(layers.ReLU(), layers.MaxPooling1D(2), *middle())
    names = [each.name for each in model.layers]
    cut = names.index(layer) + 1
    before, after = model.layers[:cut], model.layers[cut:]
    wanted = kit.by_hand(lambda x: run(before, x), lambda a: run(after, a), x)
    assert kit.difference(kit.maps(model, x, layer), wanted) < TOLERANCE


def test_softmax_behind_a_loop_is_found_from_many_layers_at_once(x):
    deep = [layers.Conv1D(4, 3, padding="same", name=f"conv{i}") for i in range(9)]
    ending = [layers.LSTM(4), layers.Dense(3, activation="softmax")]
    explainer = sc.Explainer(keras.Sequential([keras.Input((24, 2)), *deep, *ending]))
    given, asked = as_inputs(x), explainer.runner.ask(range(len(x)))
    listed = explainer.backend.layers(explainer.model, given)
    assert [each.name for each in listed] == [f"conv{i}" for i in range(9)]
    assert min(gradient_norms(explainer.backend, explainer.model, given, listed, asked)) > 0


def test_attention_behind_a_convolution_gets_the_map_by_hand(kit, x):
    inputs = keras.Input((24, 2))
    conv = layers.Conv1D(4, 3, padding="same", name="conv")
    attention, flat = layers.MultiHeadAttention(2, 3), layers.Flatten()
    dense = layers.Dense(3, activation="softmax")
    a = conv(inputs)
    model = keras.Model(inputs, dense(flat(attention(a, a) + a)))
    linear = lambda a: ops.matmul(flat(attention(a, a) + a), dense.kernel) + dense.bias  # noqa: E731
    assert kit.difference(kit.maps(model, x, "conv"), kit.by_hand(conv, linear, x)) < TOLERANCE


# --- bad input -----------------------------------------------------------------------------------


def assert_untouched(model):
    assert not any("call" in vars(each) for each in model._flatten_layers())


@pytest.mark.parametrize(
    ("layer", "sentence"),
    [
        ("convv", "Nearest: 'conv'"),
        ("dense", "no positions"),
        (lambda: layers.Conv1D(1, 1), "is no layer of Sequential"),
    ],
    ids=["unknown", "no positions", "of another model"],
)
def test_layer_that_will_not_do_is_refused_in_a_sentence(x, layer, sentence):
    model = small(layers.ReLU())
    model.layers[-1].name = "dense"
    with pytest.raises(sc.ModelError, match=sentence):
        sc.explain(model, x, layer=layer() if callable(layer) else layer)
    assert_untouched(model)


def test_layer_is_taken_as_an_object(kit, x):
    model = small(layers.ReLU())
    found = kit.maps(model, x, model.layers[0])
    assert kit.difference(found, kit.maps(model, x, "conv")) == 0


def test_wrong_number_of_inputs_is_refused_in_a_sentence(x):
    model = small(layers.ReLU())
    with pytest.raises(sc.InputError, match=r"takes 1 input.* 2 were given"):
        sc.explain(model, (x, x), layer="conv")
    first, second = keras.Input((24, 2), name="ecg"), keras.Input((24, 2), name="rr")
    joined = layers.Conv1D(4, 3, name="conv")(layers.Concatenate()([first, second]))
    two = keras.Model([first, second], layers.Dense(3)(layers.Flatten()(joined)))
    for given in (x, {"ecg": x}, (x, x, x)):
        with pytest.raises(sc.InputError, match=r"takes 2 input\(s\) \(ecg, rr\)"):
            sc.explain(two, given, layer="conv")
    assert_untouched(model)
    assert_untouched(two)


def test_dense_output_asks_for_a_target_of_its_own(x):
    model = keras.Sequential([keras.Input((24, 2)), layers.Conv1D(3, 3, name="conv"), layers.Conv1D(2, 3)])
    with pytest.raises(sc.TargetError, match="target=Output"):
        sc.explain(model, x, layer="conv")
    target = sc.Output(lambda out: ops.sum(out, axis=(1, 2)))
    assert sc.explain(model, x, layer="conv", target=target, signed=True).maps.sizes["time"] == 24
    assert_untouched(model)


@only_torch
def test_module_of_torch_is_explained_by_the_torch_backend(kit, x):
    from torch import nn  # noqa: PLC0415 - one engine a process

    net = nn.Sequential(nn.Conv1d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 22, 3)).eval()
    turned = np.ascontiguousarray(x.transpose(0, 2, 1))
    assert "torch" in sc.explain(net, turned, layer="0", signed=True).provenance
    exp = sc.explain(small(layers.ReLU()), x, layer="conv", signed=True)
    assert exp.provenance["keras"].endswith("on torch")
