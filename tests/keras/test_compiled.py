"""Runs that keep coming back are compiled: faster, the same answer, and never a stale one."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import signalcam as sc
from signalcam.backends.keras import compile_policy
from signalcam.backends.keras.backend import BACKEND
from signalcam.errors import TargetError

pytestmark = pytest.mark.skipif(keras.backend.backend() == "torch", reason="torch under Keras is not compiled")
CLOSE = 2e-6  # of the largest value: a compiler adds up in another order


@pytest.fixture
def compiling(monkeypatch):
    """How often something was compiled; two runs alike are enough."""
    engine, counted = BACKEND.engine, []
    own = engine.compile_request

    def counting(task, seen):
        counted.append(task.batch)
        return own(task, seen)

    monkeypatch.setattr(engine, "compile_request", counting)
    monkeypatch.setattr(compile_policy, "AFTER", 1)
    return counted


@pytest.fixture
def signals():
    return np.random.default_rng(0).standard_normal((4, 32, 3)).astype("float32")


def network(last="softmax", seed=0):
    keras.utils.set_random_seed(seed)
    inputs = layers.Input((32, 3))
    x = layers.Conv1D(4, 5, padding="same", activation="relu", name="one")(inputs)
    x = layers.Conv1D(6, 3, strides=2, padding="same", activation="relu", name="two")(x)
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(inputs, layers.Dense(3, activation=last, name="head")(x))


def eager(model, *args, monkeypatch, **options):
    with monkeypatch.context() as patch:
        patch.setattr(compile_policy, "AFTER", 10**9)
        patch.setattr(compile_policy, "_remembered", type(compile_policy._remembered)())
        return sc.explain(model, *args, **options)


def alike(one, other):
    top = float(np.abs(other.maps).max())
    np.testing.assert_allclose(one.maps.values, other.maps.values, rtol=0, atol=CLOSE * top)
    np.testing.assert_allclose(one.scores, other.scores, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(one.classes, other.classes)
    assert one.provenance["score"] == other.provenance["score"]


@pytest.mark.parametrize("last", ["softmax", "sigmoid", None])
def test_compiled_run_gives_what_the_eager_one_gives(compiling, monkeypatch, signals, last):
    model = network(last)
    asked = {"layer": ["one", "two"], "target": ["predicted", 1], "signed": True}
    asked["method"] = ["grad-cam", "hires-cam"]
    for shift in range(3):
        found = sc.explain(model, signals + shift, **asked)
        alike(found, eager(model, signals + shift, monkeypatch=monkeypatch, **asked))
    assert compiling == [4]


@pytest.mark.parametrize("method", ["lift-cam", "shapley-cam", "full-grad"])
def test_other_backward_passes_come_out_alike_from_run_to_run(compiling, monkeypatch, signals, method):
    model = network()
    model.get_layer("two").activation = keras.activations.tanh
    asked = {"layer": "one", "target": ["predicted", 1], "signed": True, "method": method}
    for shift in range(3):
        found = sc.explain(model, signals + shift, **asked)
        alike(found, eager(model, signals + shift, monkeypatch=monkeypatch, **asked))
    assert compiling


def test_each_batch_brings_its_own_classes_into_the_compiled_run(compiling, monkeypatch, signals):
    model = network()
    for classes in ([0, 1, 2, 0], [2, 2, 1, 1], [1, 0, 0, 2]):
        asked = {"layer": "two", "target": sc.PerSample(classes), "signed": True}
        found = sc.explain(model, signals, **asked)
        alike(found, eager(model, signals, monkeypatch=monkeypatch, **asked))
    assert compiling == [4]


def test_class_that_does_not_exist_is_told_after_compiling_too(compiling, signals):
    model = network()
    for _ in range(3):
        sc.explain(model, signals, layer="two", target=sc.PerSample([0, 1, 2, 0]))
    with pytest.raises(TargetError, match="class 3 does not exist"):
        sc.explain(model, signals, layer="two", target=sc.PerSample([0, 1, 2, 3]))


def test_ragged_last_batch_compiles_nothing(compiling, signals):
    model = network()
    many = np.concatenate([signals] * 4)[:13]
    sc.explain(model, many, layer="two", batch_size=4)
    assert compiling == [4]


def test_sizes_that_never_come_back_compile_nothing(compiling, signals):
    model = network()
    for size in (1, 2, 3, 4):
        sc.explain(model, signals[:size], layer="two")
    assert compiling == []


def test_what_is_compiled_for_a_model_is_bounded(compiling, monkeypatch, signals):
    monkeypatch.setattr(compile_policy, "_MOST_KINDS", 2)
    model = network()
    for target in range(3):
        sc.explain(model, signals, layer="two", target=target)
    assert len(compile_policy._remembered[model]) == 2


def test_new_weights_are_used_by_the_compiled_run(compiling, monkeypatch, signals):
    model = network()
    for _ in range(3):
        before = sc.explain(model, signals, layer="two", target=0, signed=True)
    model.set_weights(network(seed=1).get_weights())
    found = sc.explain(model, signals, layer="two", target=0, signed=True)
    alike(found, eager(model, signals, layer="two", target=0, signed=True, monkeypatch=monkeypatch))
    assert not np.allclose(found.maps, before.maps)
    assert compiling == [4]


def test_changed_layer_is_not_answered_by_what_was_compiled_before(compiling, monkeypatch, signals):
    model = network()
    for _ in range(3):
        sc.explain(model, signals, layer="one", target=0, signed=True)
    model.get_layer("two").activation = keras.activations.tanh
    found = sc.explain(model, signals, layer="one", target=0, signed=True)
    alike(found, eager(model, signals, layer="one", target=0, signed=True, monkeypatch=monkeypatch))


class Undecided(keras.Model):
    """Softmax where the input is negative, its logits where it is not."""

    def __init__(self):
        super().__init__()
        self.conv = layers.Conv1D(4, 3, padding="same", name="conv")
        self.head = layers.Dense(3)

    def call(self, x):
        z = self.head(ops.mean(self.conv(x), axis=1))
        return ops.where(ops.mean(x) < 0, ops.softmax(z), z)


@pytest.mark.filterwarnings("ignore:the logits before:signalcam.CamWarning")
def test_output_made_otherwise_is_run_eagerly(compiling, monkeypatch, signals):
    model = Undecided()
    asked = {"layer": "conv", "target": 0, "signed": True}
    for x in (signals - 2, signals - 2, signals - 2, signals + 2):
        alike(sc.explain(model, x, **asked), eager(model, x, monkeypatch=monkeypatch, **asked))
    assert compiling == [4]


class Looking(keras.Model):
    """Looks at a number in the middle of its run, which no tracer can."""

    def __init__(self):
        super().__init__()
        self.conv = layers.Conv1D(4, 3, padding="same", name="conv")
        self.head = layers.Dense(3, activation="softmax")

    def call(self, x):
        y = self.conv(x)
        bright = float(np.asarray(ops.convert_to_numpy(ops.mean(x)))) > 0
        return self.head(ops.mean(ops.relu(y) if bright else y, axis=1))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="JAX traces every run")
def test_model_that_cannot_be_traced_stays_eager(compiling, monkeypatch, signals):
    model = Looking()
    asked = {"layer": "conv", "target": 0, "signed": True}
    for x in (signals, signals - 3, signals + 3):
        alike(sc.explain(model, x, **asked), eager(model, x, monkeypatch=monkeypatch, **asked))
    assert compiling == [4]


def test_a_function_of_the_user_is_never_frozen_into_a_compiled_run(compiling, signals):
    model, wanted = network(None), {"class": 0}
    explainer = sc.Explainer(model, layer="two", target=sc.Output(lambda z: z[:, wanted["class"]]), signed=True)
    for wanted["class"] in (0, 0, 0, 1):
        found = explainer(signals)
        plain = sc.explain(model, signals, layer="two", target=wanted["class"], signed=True)
        np.testing.assert_allclose(found.maps.values[:, 0], plain.maps.values[:, 0], atol=1e-6)


def test_model_comes_back_as_it_was_from_a_compiled_run(compiling, signals):
    model = network()
    before = [dict(each.__dict__) for each in model.layers]
    for _ in range(3):
        sc.explain(model, signals, layer="two")
    assert compiling == [4]
    assert [dict(each.__dict__).keys() for each in model.layers] == [each.keys() for each in before]
    assert "call" not in model.get_layer("two").__dict__
