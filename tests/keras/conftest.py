"""What the tests of Keras models share: filters, seeds, maps by hand, and how to compare."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
from backends.keras_gradients import gradient

import signalcam as sc


def pytest_configure(config):
    # Keras copies tensors and variables to NumPy in a way NumPy 2 warns of
    config.addinivalue_line(
        "filterwarnings", "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
    )


@pytest.fixture(autouse=True)
def seeded(monkeypatch):
    """The same weights on every engine, fixed names; the precision is what it was afterwards."""
    rng = np.random.default_rng(0)

    def glorot(_self, shape, dtype=None):
        size = 0.5 if len(shape) > 2 else (6 / sum(shape)) ** 0.5
        return keras.ops.convert_to_tensor(rng.uniform(-size, size, shape), dtype=dtype)

    monkeypatch.setattr(keras.initializers.GlorotUniform, "__call__", glorot)
    policy = keras.config.dtype_policy()
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy(policy)


def maps(model, x, layer, **options):
    """Signed maps at the layer's resolution, ``(sample, *positions)``, of one class a sample."""
    exp = sc.explain(model, x, **{"layer": layer, "signed": True, "target": 1, **options})
    return exp.native().values[:, 0, 0]


def by_hand(before, after, x, chosen=1, method="grad-cam"):
    """The same from a network in two halves: to the layer, and from there to the logits."""
    a = np.asarray(keras.ops.convert_to_numpy(before(x)))
    g = gradient(lambda a: keras.ops.sum(after(a)[:, chosen]), a)
    weights = g.mean(axis=tuple(range(1, g.ndim - 1)), keepdims=True) if method == "grad-cam" else g
    return (weights.astype(np.float64) * a).sum(-1)


def difference(found, wanted):
    """The largest difference of any map, in units of the largest value of all."""
    assert found.shape == wanted.shape
    assert np.abs(wanted).max() > 0
    return np.abs(found - wanted).max() / np.abs(wanted).max()


@pytest.fixture(scope="session")
def kit():
    """A test folder called ``keras`` can be no package, so its files share by fixture."""
    return SimpleNamespace(maps=maps, by_hand=by_hand, difference=difference)


@pytest.fixture
def x():
    """Four signals of 24 samples and 2 channels, channels last."""
    return np.random.default_rng(0).standard_normal((4, 24, 2)).astype(np.float32)
