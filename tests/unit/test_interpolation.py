"""What ROAD puts in place of what is removed, against dense systems and plain interpolation."""

import sys
from itertools import product

import numpy as np
import pytest

import signalcam as sc
from signalcam.metrics.interpolation import interpolate_removed

SHAPES = [(9,), (6, 7), (4, 5, 3), (1, 8), (1, 5, 6)]


def by_dense_system(x, known):
    """One equation a missing value, written out neighbour by neighbour and solved in full."""
    places = list(np.ndindex(known.shape))
    unknown = [each for each in places if not known[each]]
    number = {each: i for i, each in enumerate(unknown)}
    matrix, right = np.zeros((len(unknown),) * 2), np.zeros((len(unknown), len(x)))
    for i, place in enumerate(unknown):
        for offset in product((-1, 0, 1), repeat=known.ndim):
            there = tuple(p + o for p, o in zip(place, offset, strict=True))
            if not any(offset) or there not in set(places):
                continue
            weight = 2.0 ** -sum(map(abs, offset))
            matrix[i, i] += weight
            if known[there]:
                right[i] += weight * x[(slice(None), *there)]
            else:
                matrix[i, number[there]] -= weight
    filled = x.copy()
    for values, place in zip(np.linalg.solve(matrix, right), unknown, strict=True):
        filled[(slice(None), *place)] = values
    return filled


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_missing_values_solve_the_dense_system(shape, share, rng):
    x, known = rng.standard_normal((3, *shape)), rng.random(shape) > share
    known.reshape(-1)[0] = True
    np.testing.assert_allclose(interpolate_removed(x, known), by_dense_system(x, known), atol=2e-5)


def test_signal_is_interpolated_as_numpy_does(rng):
    x, known = rng.standard_normal((2, 50)), rng.random(50) > 0.7
    places = np.flatnonzero(known)
    by_numpy = [np.interp(np.arange(50), places, row[known]) for row in x]
    np.testing.assert_allclose(interpolate_removed(x, known), by_numpy, atol=1e-12)


def test_weights_of_two_axes_are_those_of_the_paper():
    x, known = np.zeros((1, 3, 3)), np.ones((3, 3), bool)
    known[1, 1] = False
    for place, weight in (((0, 1), 1 / 6), ((0, 0), 1 / 12)):
        lit = x.copy()
        lit[(0, *place)] = 1
        assert interpolate_removed(lit, known)[0, 1, 1] == pytest.approx(weight)


@pytest.mark.parametrize("shape", SHAPES)
def test_known_values_stay_as_they_are(shape, rng):
    x, known = rng.standard_normal((2, *shape)), rng.random(shape) > 0.5
    known.reshape(-1)[0] = True
    np.testing.assert_array_equal(interpolate_removed(x, known)[:, known], x[:, known])
    np.testing.assert_array_equal(interpolate_removed(x, np.ones(shape, bool)), x)


@pytest.mark.parametrize("shape", SHAPES)
def test_where_nothing_is_known_each_channel_is_its_mean(shape, rng):
    x = rng.standard_normal((2, *shape))
    filled = interpolate_removed(x, np.zeros(shape, bool))
    np.testing.assert_allclose(
        filled.reshape(2, -1), x.reshape(2, -1).mean(1)[:, None] + np.zeros(x[0].size), atol=1e-12
    )


def test_what_is_given_is_not_written_to(rng):
    x, known = rng.standard_normal((1, 9)), np.arange(9) % 2 == 0
    before = x.copy()
    interpolate_removed(x, known)
    np.testing.assert_array_equal(x, before)


def test_a_ramp_is_restored(rng):
    x, known = np.arange(20.0)[None], rng.random(20) > 0.6
    known[[0, -1]] = True
    np.testing.assert_allclose(interpolate_removed(x, known), x, atol=1e-12)


def test_two_axes_without_scipy_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.sparse", None)
    with pytest.raises(sc.MissingExtra, match=r"signalcam\[metrics\]"):
        interpolate_removed(np.ones((1, 3, 3)), np.eye(3, dtype=bool))


@pytest.mark.parametrize("shape", [(40, 33), (9, 11, 10)])
@pytest.mark.parametrize("known", [1, 2, 30])
def test_one_value_left_in_a_large_hole_fills_it(shape, known, rng):
    x, mask = rng.standard_normal((1, *shape)), np.zeros(shape, bool)
    mask.reshape(-1)[rng.choice(mask.size, known, replace=False)] = True
    filled = interpolate_removed(x, mask)
    inside = x[0][mask]
    assert filled.min() >= inside.min() - 1e-3
    assert filled.max() <= inside.max() + 1e-3
