"""Objects that are hardly Keras models, or models asked for what they cannot give."""

from importlib.util import find_spec

import keras
import numpy as np
import pytest
from keras import layers, ops

import signalcam as sc
from signalcam.backends.unsupported import explain_engine

ENGINE = keras.backend.backend()
TOLERANCE = 1e-5  # of a map's largest value: single precision, summed in another order
SAME = 1e-6  # the same operations, so only the last digit may differ
only_tensorflow = pytest.mark.skipif(ENGINE != "tensorflow", reason="these are TensorFlow's")


def run(chain, x):
    for each in chain:
        x = each(x)
    return x


def small(*middle, classes=3, **options):
    """A convolution, the layers in the middle, and a flatten head in logits."""
    conv = layers.Conv1D(4, 3, padding="same", name="conv", **options)
    return keras.Sequential([keras.Input((24, 2)), conv, *middle, layers.Flatten(), layers.Dense(classes)])


def refused(model, x, error=sc.ModelError, **options):
    """What is said instead of a map: one line, and the model is as it was."""
    with pytest.raises(error) as told:
        sc.explain(model, x, signed=True, **options)
    if hasattr(model, "_flatten_layers"):
        assert not any("call" in vars(each) for each in model._flatten_layers())
    sentence = str(told.value)
    assert "\n" not in sentence
    return sentence


# --- of TensorFlow, but no layers ----------------------------------------------------------------


@only_tensorflow
def test_module_of_tensorflow_is_refused_with_a_way_out(x):
    import tensorflow as tf  # noqa: PLC0415 - one engine a process

    class Module(tf.Module):
        def __call__(self, x):
            return tf.reduce_mean(x, axis=1)

    said = refused(Module(), x)
    assert "Module is a TensorFlow module or a loaded SavedModel" in said
    assert "keras.saving.load_model" in said


@pytest.fixture
def exported(tmp_path):
    """A folder with a model saved for serving, and that model."""
    model = keras.Sequential([keras.Input((24, 4)), layers.Conv1D(3, 3, name="inner")])
    model.export(tmp_path / "exported", verbose=False)
    return str(tmp_path / "exported"), model


@only_tensorflow
def test_loaded_saved_model_is_refused_with_a_way_out(x, exported):
    import tensorflow as tf  # noqa: PLC0415 - one engine a process

    loaded = tf.saved_model.load(exported[0])
    for each in (loaded, loaded.serve, loaded.signatures["serving_default"]):
        assert "keeps no layers to look into" in refused(each, x)


@only_tensorflow
def test_exported_model_alone_is_refused_with_a_way_out(x, exported):
    said = refused(layers.TFSMLayer(exported[0], call_endpoint="serve"), x)
    assert "no layers left to look into" in said
    assert "choose a layer before the TFSMLayer" in said


@only_tensorflow
def test_layers_around_an_exported_model_get_the_map_by_hand(kit, x, exported):
    folder, inner = exported
    opaque = layers.TFSMLayer(folder, call_endpoint="serve", name="opaque")
    model = small(opaque)
    tail = model.layers[-2:]
    before = model.get_layer("conv")
    wanted = kit.by_hand(before, lambda a: run([inner, *tail], a), x)
    assert kit.difference(kit.maps(model, x, "conv"), wanted) < TOLERANCE
    wanted = kit.by_hand(lambda x: inner(before(x)), lambda a: run(tail, a), x)
    assert kit.difference(kit.maps(model, x, "opaque"), wanted) < TOLERANCE
    assert "none inside the TFSMLayer 'opaque'" in refused(model, x, layer="inner")


# --- Keras 2 -------------------------------------------------------------------------------------


@pytest.fixture
def keras2():
    """Keras 2, where it is installed."""
    if ENGINE != "tensorflow" or find_spec("tf_keras") is None:
        pytest.skip("tf_keras is not installed, or Keras 3 runs on another engine")
    import tf_keras  # noqa: PLC0415 - not on every machine

    return tf_keras


def parts2(keras2):
    tail = [keras2.layers.ReLU(name="relu2"), keras2.layers.Flatten(), keras2.layers.Dense(3)]
    options = {"padding": "same"}
    stem = [keras2.layers.Conv1D(4, 3, name="conv1", **options), keras2.layers.ReLU(name="relu1")]
    return stem, keras2.layers.Conv1D(5, 3, strides=2, name="conv5", **options), tail


def sequential2(keras2, stem, conv, tail):
    return keras2.Sequential([keras2.Input((24, 2)), *stem, conv, *tail]), "conv5"


def deferred2(keras2, stem, conv, tail):
    return keras2.Sequential([*stem, conv, *tail]), "conv5"


def functional2(keras2, stem, conv, tail):
    inputs = keras2.Input((24, 2))
    return keras2.Model(inputs, run([*stem, conv, *tail], inputs)), "conv5"


def nested2(keras2, stem, conv, tail):
    inputs = keras2.Input((24, 2))
    body = keras2.Sequential([keras2.Input((24, 2)), *stem, conv], name="body")
    return keras2.Model(inputs, run([body, *tail], inputs)), "body/conv5"


def subclassed2(keras2, stem, conv, tail):
    class Net(keras2.Model):
        def __init__(self):
            super().__init__()
            self.stem, self.conv, self.rest = stem, conv, tail

        def call(self, x):
            return run([*self.stem, self.conv, *self.rest], x)

    return Net(), "conv5"


WAYS2 = [sequential2, deferred2, functional2, nested2, subclassed2]


@pytest.mark.parametrize("method", ["grad-cam", "hires-cam"])
@pytest.mark.parametrize("build", WAYS2, ids=lambda build: build.__name__)
def test_model_of_keras_2_gets_the_map_by_hand(kit, x, keras2, build, method):
    stem, conv, tail = parts2(keras2)
    model, layer = build(keras2, stem, conv, tail)
    found = kit.maps(model, x, layer, method=method)
    wanted = kit.by_hand(lambda x: run([*stem, conv], x), lambda a: run(tail, a), x, method=method)
    assert kit.difference(found, wanted) < TOLERANCE
    assert not any("call" in vars(each) for each in model._flatten_layers())


@pytest.mark.parametrize("build", WAYS2, ids=lambda build: build.__name__)
def test_layers_of_keras_2_are_found_and_placed(x, keras2, build):
    model, _ = build(keras2, *parts2(keras2))
    found = {each.name.rpartition("/")[2]: each for each in sc.layers(model, x)}
    assert found["conv1"].receptive_field == (3.0,)
    last = found["relu2"]
    assert (last.stride, last.receptive_field) == ((2.0,), (5.0,))
    exp = sc.explain(model, x, signed=True, target=1)
    assert str(exp.maps.layer.values[0]).endswith("relu2")
    assert exp.provenance["tf_keras"].endswith("on tensorflow")


@pytest.mark.filterwarnings("ignore:.*all zero because:signalcam.CamWarning")
def test_other_backward_passes_are_the_same_for_keras_2_and_3(x, keras2):
    def build(own):
        return own.Sequential(
            [
                own.Input((24, 2)),
                own.layers.Conv1D(4, 3, activation="relu", name="one"),
                own.layers.BatchNormalization(),
                own.layers.LeakyReLU(0.1),
                own.layers.Conv1D(5, 3, activation="tanh"),
                own.layers.PReLU(),
                own.layers.ReLU(),
                own.layers.Flatten(),
                own.layers.Dense(3, activation="softmax"),
            ]
        )

    two, three = build(keras2), build(keras)
    rng = np.random.default_rng(2)
    drawn = [rng.uniform(0.1, 0.6, each.shape) - (each.ndim > 1) * 0.3 for each in two.get_weights()]
    two.set_weights(drawn)
    three.set_weights(drawn)
    options = {"layer": "one", "target": 1, "signed": True}
    for method in ("shapley-cam", "lift-cam", "guided-grad-cam", "full-grad"):
        found, wanted = (sc.explain(each, x, method=method, **options).maps.values for each in (two, three))
        assert np.abs(found - wanted).max() < TOLERANCE * np.abs(wanted).max(), method


def endings2(keras2):
    import tensorflow as tf  # noqa: PLC0415 - one engine a process

    own = keras2.layers
    return {
        "Dense": lambda kind: [own.Dense(3, kind, name="dense")],
        "Activation": lambda kind: [own.Dense(3, name="dense"), own.Activation(kind)],
        "tf function": lambda kind: [own.Dense(3, getattr(tf.nn, kind), name="dense")],
        "Lambda": lambda kind: [own.Dense(3, name="dense"), own.Lambda(getattr(tf.nn, kind))],
        "node": lambda kind: [own.Dense(3, name="dense"), getattr(tf.nn, kind)],
    }


@pytest.mark.parametrize("kind", ["softmax", "sigmoid", "log_softmax"])
@pytest.mark.parametrize("ending", ["Dense", "Activation", "tf function", "Lambda", "node"])
def test_logits_of_keras_2_are_found(kit, x, keras2, ending, kind):
    stem, conv, tail = parts2(keras2)
    inputs = keras2.Input((24, 2))
    middle = run([*stem, conv, *tail[:2]], inputs)
    linear = keras2.Model(inputs, tail[2](middle))
    model = keras2.Model(inputs, run(endings2(keras2)[ending](kind), middle))
    model.set_weights(linear.get_weights())
    one, two = (sc.explain(each, x, layer="conv5", signed=True, target=1) for each in (model, linear))
    assert kit.difference(one.maps.values, two.maps.values) < SAME
    assert kind in one.provenance["score"]


def test_keras_2_model_of_several_inputs_is_called_as_its_user_would(kit, x, keras2):
    about = np.ones((4, 3), np.float32)
    first, second = keras2.Input((24, 2), name="ecg"), keras2.Input((3,), name="about")
    stem, conv, tail = parts2(keras2)
    join, dense = keras2.layers.Concatenate(), keras2.layers.Dense(3)
    out = dense(join([run([*stem, conv, *tail[:2]], first), second]))
    wanted = kit.by_hand(lambda x: run([*stem, conv], x), lambda a: dense(join([run(tail[:2], a), about])), x)
    for inputs, given in (
        ([first, second], (x, about)),
        ({"ecg": first, "about": second}, {"ecg": x, "about": about}),
    ):
        found = kit.maps(keras2.Model(inputs, out), given, "conv5")
        assert kit.difference(found, wanted) < TOLERANCE


def test_step_by_step_layers_of_keras_2_are_refused(x, keras2):
    each = keras2.layers.Conv1D(3, 3, name="inner")
    inputs = keras2.Input((6, 8, 2))
    a = keras2.layers.TimeDistributed(each, name="steps")(inputs)
    model = keras2.Model(inputs, keras2.layers.Dense(3)(keras2.layers.Flatten()(a)))
    assert "inside 'steps'" in refused(model, x.reshape(4, 6, 4, 2).repeat(2, 2), layer="inner")


@pytest.mark.parametrize(
    ("package", "engine", "sentence"),
    [
        ("tf_keras", "jax", "Set KERAS_BACKEND=tensorflow"),
        ("tf_keras", "torch", "Set KERAS_BACKEND=tensorflow"),
        ("keras", "numpy", "has no gradients"),
        ("keras", "openvino", "has no gradients"),
    ],
)
def test_engine_that_will_not_do_is_named_with_a_way_out(package, engine, sentence):
    assert sentence in explain_engine(package, engine)


# --- softmax and sigmoid held as an attribute ----------------------------------------------------


def engine_functions():
    if ENGINE == "torch":
        import torch  # noqa: PLC0415 - one engine a process

        return torch.sigmoid, torch.sigmoid
    nn = __import__("tensorflow").nn if ENGINE == "tensorflow" else __import__("jax").nn
    return nn.softmax, nn.sigmoid


@pytest.mark.parametrize("number", [0, 1], ids=["softmax", "sigmoid"])
def test_logits_are_found_behind_the_engines_own_function_as_an_activation(kit, x, number):
    linear = small()
    function = engine_functions()[number]
    model = keras.Sequential([keras.Input((24, 2)), *linear.layers[:-1], layers.Dense(3, activation=function)])
    model.set_weights(linear.get_weights())
    assert kit.difference(kit.maps(model, x, "conv"), kit.maps(linear, x, "conv")) < SAME
    assert model.layers[-1].activation is function


# --- input that will not do ----------------------------------------------------------------------


class Joined(keras.Model):
    """Not built before it is called."""

    def __init__(self):
        super().__init__()
        self.conv, self.flat = layers.Conv1D(4, 3, name="conv"), layers.Flatten()
        self.dense = layers.Dense(3)

    def call(self, x):
        return self.dense(self.flat(self.conv(x)))


UNBUILT = {
    "subclassed": Joined,
    "Sequential": lambda: keras.Sequential([layers.Conv1D(4, 3, name="conv"), layers.Flatten()]),
}


@pytest.mark.parametrize("build", UNBUILT.values(), ids=UNBUILT.keys())
@pytest.mark.parametrize("shape", [(4, 24), (4, 24, 2, 2)], ids=["vector", "image"])
def test_model_not_built_says_what_input_it_cannot_take(build, shape):
    said = refused(build(), np.zeros(shape, np.float32), sc.InputError, layer="conv")
    assert f"was never run, and its first call with samples of shape {shape[1:]}" in said
    assert "build it before: model(inputs)" in said


def test_error_of_the_users_own_is_handed_on(x):
    class Broken(Exception):  # noqa: N818 - raised by a model of the tests
        pass

    class Net(Joined):
        def call(self, x):
            raise Broken

    with pytest.raises(Broken):
        sc.explain(Net(), x, layer="conv")


def test_layer_of_another_model_is_told_apart_though_it_has_the_same_name(x):
    model, other = small(layers.ReLU()), small(layers.ReLU())
    said = refused(model, x, layer=other.layers[0])
    assert "the Conv1D 'conv' is no layer of Sequential: it belongs to another model" in said


def test_layer_without_positions_is_refused_in_our_words_alone(x):
    model = small(layers.ReLU(), layers.Dense(2, name="narrow"))
    flat = model.layers[-2].name
    assert refused(model, x, layer=flat).startswith(f"layer {flat!r} has no positions")


class Lazy(Joined):
    """Holds a layer that only ``predict`` uses."""

    def __init__(self):
        super().__init__()
        self.early = layers.Conv1D(2, 3, padding="same", name="early")
        self.early.build((None, 24, 2))

    def predict_step(self, data):
        return self(self.early(data))


def test_layer_that_only_predict_runs_is_refused(x):
    model = Lazy()
    model(x)
    said = refused(model, x, layer="early")
    assert "never ran for this input" in said
    assert "Choose one that runs" in said


# --- a dict of inputs ----------------------------------------------------------------------------


class ByName(keras.Model):
    """Names its inputs."""

    def __init__(self):
        super().__init__()
        self.conv, self.flat = layers.Conv1D(4, 3, name="conv"), layers.Flatten()
        self.dense, self.join = layers.Dense(3), layers.Concatenate()

    def tail(self, a, age):
        return self.dense(self.join([self.flat(ops.tanh(a)), age]))

    def call(self, ecg, age, training=None):
        return self.tail(self.conv(ecg), age)


class ByKeyword(ByName):
    def call(self, ecg, *, age, training=None):
        return self.tail(self.conv(ecg), age)


class OneDict(ByName):
    def call(self, inputs, training=None):
        return self.tail(self.conv(inputs["ecg"]), inputs["age"])


class OneDictAndMore(ByName):
    def call(self, inputs, scale=1.0, mask=None):
        return self.tail(self.conv(inputs["ecg"]), inputs["age"] * scale)


class OneDictOfItsOwnName(ByName):
    def call(self, given):
        return self.tail(self.conv(given["ecg"]), given["age"])


@pytest.mark.parametrize("kind", [ByName, ByKeyword, OneDict, OneDictAndMore, OneDictOfItsOwnName])
@pytest.mark.parametrize("built", [False, True], ids=["not built", "built"])
def test_dict_is_spread_where_call_names_its_entries_and_stays_one_elsewhere(kit, x, kind, built):
    age = np.ones((4, 3), np.float32)
    model = kind()
    if built:
        named = kind in (ByName, ByKeyword)
        model(x, age=age) if named else model({"ecg": x, "age": age})
    found = kit.maps(model, {"age": age, "ecg": x}, "conv")
    wanted = kit.by_hand(model.conv, lambda a: model.tail(a, age), x)
    assert kit.difference(found, wanted) < TOLERANCE


def test_dict_with_other_names_than_call_has_is_refused(x):
    given = {"ecg": x, "years": np.ones((4, 3), np.float32)}
    said = refused(ByName(), given, sc.InputError, layer="conv")
    assert "takes ecg, age but the dict holds ecg, years" in said


@only_tensorflow
def test_dict_is_spread_for_a_call_the_user_compiled(kit, x):
    import tensorflow as tf  # noqa: PLC0415 - one engine a process

    class Compiled(ByName):
        @tf.function
        def call(self, ecg, age):
            return self.tail(self.conv(ecg), age)

    age, model = np.ones((4, 3), np.float32), Compiled()
    found = kit.maps(model, {"ecg": x, "age": age}, "conv")
    wanted = kit.by_hand(model.conv, lambda a: model.tail(a, age), x)
    assert kit.difference(found, wanted) < TOLERANCE


# --- step by step --------------------------------------------------------------------------------


@pytest.fixture
def windows():
    """Four samples of 6 windows, each 8 long with 2 channels."""
    return np.random.default_rng(0).standard_normal((4, 6, 8, 2)).astype(np.float32)


def stepwise(*inner, shape=(8, 2), data_format="channels_last"):
    """A network that runs a convolution on each window, the wrapper, and what comes after."""
    options = {"padding": "same", "data_format": data_format, "name": "inner"}
    each = keras.Sequential([keras.Input(shape), layers.Conv1D(3, 3, **options), *inner])
    steps = layers.TimeDistributed(each, name="steps")
    tail = [layers.ReLU(), layers.Flatten(), layers.Dense(3)]
    inputs = keras.Input((6, *shape))
    return keras.Model(inputs, run([steps, *tail], inputs)), steps, tail


@pytest.mark.parametrize("how", ["name", "path", "object"])
def test_layer_inside_time_distributed_is_refused_with_a_way_out(windows, how):
    model, steps, _ = stepwise()
    name = {"name": "inner", "path": f"steps/{steps.layer.name}/inner"}
    layer = name.get(how, steps.layer.layers[0])
    said = refused(model, windows, layer=layer)
    assert "runs step by step inside 'steps'" in said
    assert "Choose 'steps' itself" in said


@pytest.mark.parametrize("vector", [False, True], ids=["positions", "one vector a step"])
def test_time_distributed_itself_gets_the_map_by_hand(kit, windows, vector):
    pooled = [layers.GlobalAveragePooling1D()] if vector else []
    model, steps, tail = stepwise(*pooled)
    found = kit.maps(model, windows, "steps")
    wanted = kit.by_hand(steps, lambda a: run(tail, a), windows)
    assert kit.difference(found, wanted) < TOLERANCE


def test_time_distributed_of_channels_first_gets_the_map_of_channels_last(kit, windows):
    last, _, _ = stepwise()
    first, _, _ = stepwise(shape=(2, 8), data_format="channels_first")
    turn = layers.Permute((1, 3, 2))  # so that the head sees the same order
    inputs = keras.Input((6, 2, 8))
    steps, *tail = first.layers[1:]
    model = keras.Model(inputs, run([steps, turn, *tail], inputs))
    model.set_weights(last.get_weights())
    turned = np.ascontiguousarray(windows.swapaxes(2, 3))
    exp = sc.explain(model, turned, layer="steps", signed=True, target=1)
    assert exp.native().values[:, 0, 0].shape == (4, 6, 8)
    assert kit.difference(exp.native().values[:, 0, 0], kit.maps(last, windows, "steps")) < 1e-5


def test_layers_inside_time_distributed_are_not_proposed(windows):
    model, _, _ = stepwise()
    assert {each.name for each in sc.layers(model, windows)} == {"steps", "re_lu"}
    assert [each.name for each in sc.layers(model)] == ["steps"]
    exp = sc.explain(model, windows, signed=True, target=1)
    assert str(exp.maps.layer.values[0]) == "re_lu"


@pytest.mark.parametrize("layer", ["cell", "backward"])
def test_parts_of_recurrent_layers_are_refused(x, layer):
    both = layers.Bidirectional(layers.LSTM(3, return_sequences=True), name="both")
    model = small(both)
    part = both.forward_layer.cell if layer == "cell" else both.backward_layer
    said = refused(model, x, layer=part)
    assert ("step by step" if layer == "cell" else "map would lie reversed") in said


def test_object_of_no_framework_is_refused(x):
    assert "Pass the network itself" in refused(object(), x)


def test_framework_that_cannot_be_used_is_named(x, monkeypatch):
    monkeypatch.setattr("signalcam.backends._BACKENDS", {"keras": "signalcam.backends.missing"})
    said = refused(object(), x)
    assert "No module named 'signalcam.backends.missing'. Install what is missing" in said
