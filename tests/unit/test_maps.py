"""Maps after their formula: rectified and normalised."""

import numpy as np
import pytest

from signalcam.errors import MethodError
from signalcam.results.normalization import affine, rectify

KINDS = ["max", "minmax", "symmetric"]
MAPS = np.array([[-1.0, 0.0, 4.0], [2.0, 3.0, 7.0], [-8.0, 0.5, 2.0]])


def normalised(maps, kind):
    maps = np.asarray(maps, float)
    shift, scale = affine(maps, kind)
    return (maps - shift[:, None]) * scale[:, None]


def test_negative_evidence_is_dropped():
    assert rectify(np.array([-2.0, 0.0, 3.0])).tolist() == [0, 0, 3]


def test_what_is_not_finite_stays_so():
    np.testing.assert_array_equal(rectify(np.array([np.nan, np.inf, -np.inf])), [np.nan, np.inf, 0])


def test_max_divides_by_the_largest_and_keeps_zero():
    expected = [[-0.25, 0, 1], [2 / 7, 3 / 7, 1], [-4, 0.25, 1]]
    np.testing.assert_allclose(normalised(MAPS, "max"), expected)


def test_minmax_spreads_each_map_over_zero_to_one():
    expected = [[0, 0.2, 1], [0, 0.2, 1], [0, 0.85, 1]]
    np.testing.assert_allclose(normalised(MAPS, "minmax"), expected)


def test_symmetric_divides_by_the_largest_magnitude_and_keeps_zero():
    expected = [[-0.25, 0, 1], [2 / 7, 3 / 7, 1], [-1, 0.0625, 0.25]]
    np.testing.assert_allclose(normalised(MAPS, "symmetric"), expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [0.0, 3.0, -3.0])
def test_constant_map_becomes_zero(kind, value):
    assert normalised(np.full((1, 4), value), kind).tolist() == [[0, 0, 0, 0]]


def test_map_without_positive_evidence_is_divided_by_its_largest_absolute_value_under_max():
    np.testing.assert_allclose(normalised([[-4.0, -1.0, 0.0]], "max"), [[-1, -0.25, 0]])


@pytest.mark.parametrize("kind", KINDS)
def test_tiny_maps_are_normalised_like_large_ones(kind):
    np.testing.assert_allclose(normalised(MAPS * 1e-30, kind), normalised(MAPS, kind))


@pytest.mark.parametrize("kind", KINDS)
def test_map_too_small_for_its_type_becomes_zero(kind):
    shift, scale = affine(np.float32([[0, 1e-42]]), kind)
    assert (shift.tolist(), scale.tolist()) == ([0], [0])


@pytest.mark.parametrize("kind", KINDS)
def test_each_map_is_normalised_by_itself(kind):
    alone = np.concatenate([normalised(MAPS[i : i + 1], kind) for i in range(3)])
    np.testing.assert_array_equal(normalised(MAPS, kind), alone)


@pytest.mark.parametrize("kind", KINDS)
def test_scale_of_a_map_that_is_not_finite_is_zero(kind):
    assert affine(np.array([[1.0, np.inf], [1.0, np.nan]]), kind)[1].tolist() == [0, 0]


def test_unknown_normalisation_raises_and_lists_what_is_known():
    with pytest.raises(MethodError, match=r"no normalisation 'l2'; choose one of max, minmax, symm"):
        affine(MAPS, "l2")
