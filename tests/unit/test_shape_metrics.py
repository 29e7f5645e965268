"""How concentrated a map is, against pairs and shares by hand."""

import numpy as np
import pytest

from signalcam.metrics.perturbation import PerturbationExperiment, PerturbedAxes, PerturbedUnits
from signalcam.metrics.sparsity import entropy, gini


def study(maps, width=1):
    maps = np.asarray(maps, float)
    return PerturbationExperiment(
        None, None, maps, PerturbedAxes((), (2,), (1,)), PerturbedUnits(maps.shape[1:], (width,)), 2, 0
    )


def test_gini_and_entropy_know_one_position_from_all_alike():
    found = study([np.eye(8)[3], np.ones(8), np.zeros(8)])
    np.testing.assert_allclose(gini(found), [1 - 1 / 8, 0, 0], atol=1e-12)
    np.testing.assert_allclose(entropy(found), [0, 1, 1], atol=1e-12)


def test_gini_is_half_the_mean_difference_over_the_mean():
    e = np.abs(np.random.default_rng(0).normal(size=(3, 15)))
    slow = np.abs(e[:, :, None] - e[:, None, :]).mean(axis=(1, 2)) / (2 * e.mean(axis=1))
    np.testing.assert_allclose(gini(study(-e)), slow)


def test_entropy_is_that_of_the_shares():
    e = np.random.default_rng(0).normal(size=15)
    share = [abs(each) / np.abs(e).sum() for each in e]
    slow = -sum(p * np.log(p) for p in share) / np.log(15)
    assert entropy(study([e])) == pytest.approx(slow)


def test_interpolated_maps_are_looked_at_as_coarsely_as_their_layer_saw():
    coarse = np.random.default_rng(0).random((2, 6))
    np.testing.assert_allclose(gini(study(coarse.repeat(4, axis=1), 4)), gini(study(coarse)))
