"""Every way to build a Keras model is explained alike, on the engine KERAS_BACKEND names."""

from functools import reduce
from importlib import import_module

import keras
import numpy as np
import pytest
from keras import layers, ops

import signalcam as sc

ENGINE = keras.backend.backend()
TOLERANCE = 1e-5  # of a map's largest value: single precision, summed in another order
SAME = 1e-6  # the same operations, so only the last digit may differ


# --- the same network, built in many ways --------------------------------------------------------


def parts():
    """The layers of one small network: a stem, the explained layer, and a head."""
    stem = [layers.Conv1D(4, 3, padding="same", name="conv1"), layers.ReLU(name="relu1")]
    tail = [layers.ReLU(name="relu2"), layers.Flatten(name="flat"), layers.Dense(3, name="dense")]
    return stem, layers.Conv1D(5, 3, strides=2, padding="same", name="conv5"), tail


def run(chain, x):
    for each in chain:
        x = each(x)
    return x


def functional(stem, conv, tail):
    inputs = keras.Input((24, 2))
    return keras.Model(inputs, run([*stem, conv, *tail], inputs)), "conv5"


def any_length(stem, conv, tail):
    inputs = keras.Input((None, 2))
    middle = run([*stem, conv, tail[0], layers.GlobalAveragePooling1D()], inputs)
    tail[1:2] = [layers.GlobalAveragePooling1D()]
    return keras.Model(inputs, tail[2](middle)), "conv5"


def sequential(stem, conv, tail):
    return keras.Sequential([keras.Input((24, 2)), *stem, conv, *tail]), "conv5"


def deferred(stem, conv, tail):
    return keras.Sequential([*stem, conv, *tail]), "conv5"


class Subclassed(keras.Model):
    def __init__(self, stem, conv, tail):
        super().__init__()
        self.stem, self.conv, self.rest = stem, conv, tail

    def call(self, x):
        return run([*self.stem, self.conv, *self.rest], x)


def subclassed(stem, conv, tail):
    return Subclassed(stem, conv, tail), "conv5"


def nested(stem, conv, tail):
    inputs = keras.Input((24, 2))
    backbone = keras.Sequential([keras.Input((24, 2)), *stem, conv], name="backbone")
    return keras.Model(inputs, run([backbone, *tail], inputs)), "backbone/conv5"


def nested_by_the_end_of_its_path(stem, conv, tail):
    return nested(stem, conv, tail)[0], "conv5"


def nested_twice(stem, conv, tail):
    inputs, middle = keras.Input((24, 2)), keras.Input((24, 2))
    block = keras.Sequential([keras.Input((24, 4)), conv], name="block")
    backbone = keras.Model(middle, run([*stem, block], middle), name="backbone")
    return keras.Model(inputs, run([backbone, *tail], inputs)), "backbone/block/conv5"


class Block(layers.Layer):
    def __init__(self, inner, **options):
        super().__init__(**options)
        self.inner = inner

    def call(self, x):
        return run(self.inner, x)


def custom_layer(stem, conv, tail):
    return keras.Sequential([keras.Input((24, 2)), *stem, Block([conv], name="block"), *tail]), "block/conv5"


def custom_layer_itself(stem, conv, tail):
    return custom_layer(stem, conv, tail)[0], "block"


def nested_model_itself(stem, conv, tail):
    return nested(stem, conv, tail)[0], "backbone"


class Called(layers.Layer):
    """Calls its inner layer's ``call`` by hand."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def build(self, shape):
        self.inner.build(shape)

    def call(self, x):
        return self.inner.call(x)


def called_by_hand(stem, conv, tail):
    return keras.Sequential([keras.Input((24, 2)), *stem, Called(conv), *tail]), "conv5"


WAYS = [
    functional,
    any_length,
    sequential,
    deferred,
    subclassed,
    nested,
    nested_by_the_end_of_its_path,
    nested_twice,
    custom_layer,
    custom_layer_itself,
    nested_model_itself,
    called_by_hand,
]


@pytest.mark.parametrize("method", ["grad-cam", "hires-cam"])
@pytest.mark.parametrize("build", WAYS, ids=lambda build: build.__name__)
def test_model_built_in_any_way_gets_the_map_by_hand(kit, x, build, method):
    stem, conv, tail = parts()
    model, layer = build(stem, conv, tail)
    found = kit.maps(model, x, layer, method=method)
    wanted = kit.by_hand(lambda x: run([*stem, conv], x), lambda a: run(tail, a), x, method=method)
    assert kit.difference(found, wanted) < TOLERANCE


@pytest.mark.parametrize("build", WAYS, ids=lambda build: build.__name__)
def test_a_layer_is_found_when_none_is_named(x, build):
    exp = sc.explain(build(*parts())[0], x, signed=True, target=1)
    assert exp.maps.dims == ("sample", "target", "cam", "layer", "time")
    assert str(exp.maps.layer.values[0]).partition("[")[0].endswith("relu2")


@pytest.mark.parametrize("build", WAYS, ids=lambda build: build.__name__)
def test_layers_are_listed_with_stride_and_receptive_field(x, build):
    found = {each.name.rpartition("/")[2]: each for each in sc.layers(build(*parts())[0], x)}
    assert found["conv1"].stride == (1.0,)
    assert found["conv1"].receptive_field == (3.0,)
    if "conv5" in found:  # otherwise the nested model or layer around it, which returned the same
        assert found["conv5"].shape == (5, 12)
        assert found["conv5"].stride == (2.0,)
        assert found["conv5"].receptive_field == (5.0,)


def test_convolutions_are_listed_without_an_example():
    model, _ = nested_twice(*parts())
    assert [each.name for each in sc.layers(model)] == ["backbone/block/conv5", "backbone/conv1"]


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("build", [functional, sequential, nested_twice], ids=lambda f: f.__name__)
def test_model_saved_and_loaded_gets_the_same_map(kit, x, tmp_path, build, suffix):
    model, layer = build(*parts())
    model.save(tmp_path / f"model{suffix}")
    again = keras.saving.load_model(tmp_path / f"model{suffix}", compile=False)
    assert kit.difference(kit.maps(again, x, layer), kit.maps(model, x, layer)) < SAME


# --- inputs and outputs of many shapes -----------------------------------------------------------


def two_inputs(names):
    first, second = keras.Input((24, 2), name="ecg"), keras.Input((3,), name="about")
    stem, conv, tail = parts()
    a = run([*stem, conv, *tail[:2]], first)
    z = layers.Dense(3, name="dense2")(layers.Concatenate()([a, second]))
    inputs = {"ecg": first, "about": second} if names else [first, second]
    return keras.Model(inputs, z), run, (stem, conv, tail)


@pytest.mark.parametrize("names", [False, True], ids=["list", "dict"])
def test_model_of_several_inputs_gets_the_map_by_hand(kit, x, names):
    model, _, (stem, conv, tail) = two_inputs(names)
    about = np.random.default_rng(1).standard_normal((4, 3)).astype(np.float32)
    given = {"ecg": x, "about": about} if names else (x, about)
    dense = model.get_layer("dense2")

    def after(a):
        return dense(ops.concatenate([run(tail[:2], a), ops.convert_to_tensor(about)], axis=1))

    wanted = kit.by_hand(lambda x: run([*stem, conv], x), after, x)
    assert kit.difference(kit.maps(model, given, "conv5"), wanted) < TOLERANCE


def test_subclassed_model_of_two_arguments_gets_the_map_of_the_functional_one(kit, x):
    about = np.ones((4, 3), np.float32)
    first, _, (stem, conv, tail) = two_inputs(names=False)
    dense = first.get_layer("dense2")

    class Two(keras.Model):
        def __init__(self):
            super().__init__()
            self.stem, self.conv, self.rest, self.dense = stem, conv, tail[:2], dense

        def call(self, ecg, about):
            a = run([*self.stem, self.conv, *self.rest], ecg)
            return self.dense(ops.concatenate([a, about], axis=1))

    given = (x, about)
    assert kit.difference(kit.maps(Two(), given, "conv5"), kit.maps(first, given, "conv5")) < SAME


@pytest.mark.parametrize("shape", ["list", "dict"])
def test_model_of_several_outputs_is_explained_by_its_logits(kit, x, shape):
    stem, conv, tail = parts()
    inputs = keras.Input((24, 2))
    a = run([*stem, conv], inputs)
    z = run(tail, a)
    outputs = [z, a] if shape == "list" else {"features": a, "logits": z}
    model = keras.Model(inputs, outputs)
    wanted = kit.by_hand(lambda x: run([*stem, conv], x), lambda a: run(tail, a), x)
    assert kit.difference(kit.maps(model, x, "conv5"), wanted) < TOLERANCE


def test_each_call_of_a_shared_layer_is_explained_by_its_number(kit, x):
    shared = layers.Conv1D(2, 3, padding="same", name="shared")
    flat, dense = layers.Flatten(), layers.Dense(3)
    inputs = keras.Input((24, 2))
    model = keras.Model(inputs, dense(flat(ops.tanh(shared(ops.tanh(shared(inputs)))))))
    last = lambda a: dense(flat(ops.tanh(a)))  # noqa: E731
    first = lambda a: last(shared(ops.tanh(a)))  # noqa: E731
    once, twice = kit.maps(model, x, "shared[0]"), kit.maps(model, x, "shared[1]")
    assert kit.difference(once, kit.by_hand(shared, first, x)) < TOLERANCE
    wanted = kit.by_hand(lambda x: shared(ops.tanh(shared(x))), last, x)
    assert kit.difference(twice, wanted) < TOLERANCE
    with pytest.raises(sc.ModelError, match=r"'shared\[0\]' or 'shared\[1\]'"):
        sc.explain(model, x, layer="shared")


def test_pattern_takes_every_layer_with_positions_of_such_a_name(x):
    model, _ = nested_twice(*parts())
    names = [each.name for each in sc.layers(model, x)]
    inside = [each for each in reversed(names) if each.startswith("backbone/")]
    exp = sc.explain(model, x, layer="backbone/*", target=1, signed=True)
    assert exp.layer_names == tuple(inside)
    assert sc.explain(model, x, layer="conv?", target=1, signed=True).layer_names == tuple(
        each for each in reversed(names) if each.rpartition("/")[2].startswith("conv")
    )
    with pytest.raises(sc.ModelError, match=r"called 'backbon/\*'.*List all with"):
        sc.explain(model, x, layer="backbon/*")


def test_pattern_takes_each_call_of_a_shared_layer(x):
    shared = layers.Conv1D(2, 3, padding="same", name="shared")
    inputs = keras.Input((24, 2))
    outputs = layers.Dense(3)(layers.Flatten()(ops.tanh(shared(ops.tanh(shared(inputs))))))
    exp = sc.explain(keras.Model(inputs, outputs), x, layer="shared*", target=1, signed=True)
    assert exp.layer_names == ("shared[0]", "shared[1]")


# --- exact logits --------------------------------------------------------------------------------


class Ending(keras.Model):
    """A network whose last step is written in ``call``."""

    def __init__(self, chain, last):
        super().__init__()
        self.chain, self.last = chain, last

    def call(self, x):
        return self.last(run(self.chain, x))


def _in_the_dense(name):
    def build(chain, dense):
        return keras.Sequential([keras.Input((24, 2)), *chain, layers.Dense(dense.units, name, name="dense")])

    return build


def _as_layer(make):
    return lambda chain, dense: keras.Sequential([keras.Input((24, 2)), *chain, dense, make()])


def _as_node(function):
    def build(chain, dense):
        inputs = keras.Input((24, 2))
        return keras.Model(inputs, function(run([*chain, dense], inputs)))

    return build


def _in_call(function):
    return lambda chain, dense: Ending([*chain, dense], function)


SOFTMAX = {
    "Dense(activation)": _in_the_dense("softmax"),
    "Softmax": _as_layer(layers.Softmax),
    "Activation": _as_layer(lambda: layers.Activation("softmax")),
    "ops node": _as_node(ops.softmax),
    "activations node": _as_node(keras.activations.softmax),
    "ops in call": _in_call(ops.softmax),
    "activations in call": _in_call(keras.activations.softmax),
    "squeezed in call": _in_call(lambda z: ops.squeeze(ops.softmax(z)[:, None], 1)),
    "log_softmax in call": _in_call(ops.log_softmax),
}
SIGMOID = {
    "Dense(activation)": _in_the_dense("sigmoid"),
    "Activation": _as_layer(lambda: layers.Activation("sigmoid")),
    "ops node": _as_node(ops.sigmoid),
    "ops in call": _in_call(ops.sigmoid),
    "activations in call": _in_call(keras.activations.sigmoid),
    "indexed in call": _in_call(lambda z: ops.sigmoid(z)[:, 0]),
}


def assert_as_if_it_ended_in_logits(kit, x, build, classes, scale):
    stem, conv, tail = parts()
    chain = [*stem, conv, *tail[:2]]
    dense = layers.Dense(classes, name="dense")
    linear = keras.Sequential([keras.Input((24, 2)), *chain, dense])
    dense.set_weights([scale * weight for weight in dense.get_weights()])
    model = build(chain, dense)
    model(x)
    model.set_weights(linear.get_weights())
    for target in range(max(classes, 2)):
        one, two = (
            sc.explain(each, x, layer="conv5", signed=True, target=target, method=["grad-cam", "hires-cam"])
            for each in (model, linear)
        )
        assert kit.difference(one.maps.values, two.maps.values) < SAME
        assert kit.difference(one.outputs.values, two.outputs.values) < SAME


@pytest.mark.parametrize("scale", [1, 1e4], ids=["", "saturated"])
@pytest.mark.parametrize("build", SOFTMAX.values(), ids=SOFTMAX.keys())
def test_softmax_is_undone_exactly(kit, x, build, scale):
    assert_as_if_it_ended_in_logits(kit, x, build, 3, scale)


@pytest.mark.parametrize("scale", [1, 1e4], ids=["", "saturated"])
@pytest.mark.parametrize("build", list(SIGMOID.values())[:-1], ids=list(SIGMOID)[:-1])
def test_sigmoid_of_many_classes_is_undone_exactly(kit, x, build, scale):
    assert_as_if_it_ended_in_logits(kit, x, build, 3, scale)


@pytest.mark.parametrize("scale", [1, 1e4], ids=["", "saturated"])
@pytest.mark.parametrize("build", SIGMOID.values(), ids=SIGMOID.keys())
def test_sigmoid_of_a_single_output_is_undone_exactly(kit, x, build, scale):
    assert_as_if_it_ended_in_logits(kit, x, build, 1, scale)


def _found(dotted):
    root, *rest = dotted.split(".")
    return reduce(getattr, rest, import_module(root))


def test_framework_s_own_softmax_in_call_is_undone_exactly(kit, x):
    module = {"tensorflow": "tensorflow.nn", "jax": "jax.nn", "torch": "torch"}[ENGINE]
    softmax = lambda z: _found(module).softmax(z, -1)  # noqa: E731 - looked up when called, as users do
    assert_as_if_it_ended_in_logits(kit, x, _in_call(softmax), 3, 1e4)
