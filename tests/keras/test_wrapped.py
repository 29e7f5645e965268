"""Keras models inside what other packages wrap them in."""

import keras
import pytest
from keras import layers

import signalcam as sc


def network():
    conv = layers.Conv1D(4, 5, activation="relu", name="conv")
    tail = [layers.GlobalAveragePooling1D(), layers.Dense(3)]
    return keras.Sequential([keras.Input((24, 2)), conv, *tail])


class Fitted:
    """Shaped as aeon's deep classifiers are, whose package is not installed with what it needs."""

    __module__ = "aeon.classification.deep_learning"

    def __init__(self, model=None):
        self.model_ = model

    def fit(self):
        """Stand in for training."""


def test_network_of_a_fitted_estimator_is_explained(kit, x):
    model = network()
    assert kit.difference(kit.maps(Fitted(model), x, "conv"), kit.maps(model, x, "conv")) == 0
    assert sc.layers(Fitted(model), x)[0].name == sc.layers(model, x)[0].name


def test_estimator_that_is_not_fitted_says_so(x):
    with pytest.raises(sc.ModelError, match=r"Fitted holds no network yet.*Call fit first"):
        sc.explain(Fitted(), x)


def test_ensemble_names_its_networks(x):
    ensemble = Fitted()
    ensemble.classifiers_ = [Fitted(network())]
    with pytest.raises(sc.ModelError, match=r"several networks.*model\.classifiers_\[0\]"):
        sc.explain(ensemble, x)
