"""Several layers put together."""

import math

import numpy as np
import oracles
import pytest

import signalcam as sc
from signalcam.alignment.resampling import AxisGrid, spread_evenly
from signalcam.results.layer_fusion import fuse, refine

LINE = 1e-12  # float64: a few operations a number


def by_hand(how, layers):
    """One number after the other."""
    found = np.zeros_like(layers[0])
    for n, p in np.ndindex(found.shape):
        rows = [each[n] for each in layers]
        shares = [row[p] / row.max() if row.max() > 0 else 0.0 for row in rows]
        spread = [(row[p] - row.min()) / (row.max() - row.min()) if row.max() > row.min() else 0.0 for row in rows]
        found[n, p] = {
            "mean": sum(shares) / len(shares),
            "max": max(shares),
            "product": math.prod(spread),
            "layer-cam": max(math.tanh(2 * each) for each in shares),
        }[how]
    return found


@pytest.mark.parametrize("how", ["mean", "max", "product", "layer-cam"])
def test_fused_maps_equal_those_by_hand(rng, how):
    layers = [np.maximum(rng.standard_normal((3, 20)), 0) * size for size in (1, 100, 1e-3)]
    layers[1][2] = 0
    np.testing.assert_allclose(fuse(layers, how), by_hand(how, layers), rtol=LINE, atol=LINE)


def test_fusing_needs_two_layers_and_a_known_way(rng):
    with pytest.raises(sc.MethodError, match="Explain two layers or more"):
        fuse([rng.random((2, 5))], "mean")
    with pytest.raises(sc.MethodError, match="Choose one of mean, max"):
        fuse([rng.random((2, 5))] * 2, "median")
    with pytest.raises(sc.MethodError, match=r"no fusion 'polycam'.*Nearest: 'poly-cam'"):
        fuse([rng.random((2, 5))] * 2, "polycam")


# --- Poly-CAM ----------------------------------------------------------------------------------------

GRIDS = {
    "signal": [(AxisGrid(2, 40, 50, 4.0, 1.0),), (AxisGrid(2, 18, 50, 6.0, 2.0),), (AxisGrid(2, 5, 50, 9.0, 8.0),)],
    "image": [
        (spread_evenly(2, 12, 24), spread_evenly(3, 10, 20)),
        (AxisGrid(2, 6, 24, 1.0, 4.0), AxisGrid(3, 5, 20, 2.0, 4.0)),
        (spread_evenly(2, 3, 24), spread_evenly(3, 2, 20)),
    ],
    "volume": [
        tuple(spread_evenly(axis, n, 12) for axis, n in enumerate((6, 5, 4), 2)),
        tuple(spread_evenly(axis, 2, 12) for axis in (2, 3, 4)),
    ],
}
each_grid = pytest.mark.parametrize("grids", GRIDS.values(), ids=GRIDS)


def maps_on(rng, grids, samples=3):
    return [np.maximum(rng.standard_normal((samples, *[axis.cells for axis in grid])), 0) for grid in grids]


@each_grid
def test_poly_cam_sharpens_the_deepest_map_by_the_details_of_the_others(rng, grids):
    layers = maps_on(rng, grids)
    found, place = refine(layers, grids)
    assert place == 0
    for n in range(3):
        wanted = oracles.poly_cam_of([each[n] for each in layers], grids)
        np.testing.assert_allclose(found[n], wanted, rtol=1e-9, atol=LINE)


@each_grid
def test_poly_cam_does_not_depend_on_the_order_in_which_layers_are_named(rng, grids):
    layers = maps_on(rng, grids)
    found, place = refine(layers[::-1], grids[::-1])
    assert place == len(grids) - 1
    np.testing.assert_array_equal(found, refine(layers, grids)[0])


def test_poly_cam_of_layers_without_detail_is_the_deepest_map():
    fine, deep = (spread_evenly(2, 16, 16),), (spread_evenly(2, 4, 16),)
    coarse = np.array([[0.0, 1.0, 3.0, 2.0]])
    found, _ = refine([np.full((1, 16), 7.0), coarse], [fine, deep])
    wanted = oracles.resample_line(coarse[0], 1.5, 4.0, 16)
    np.testing.assert_allclose(found[0], wanted, rtol=LINE)


def test_poly_cam_of_blank_maps_is_blank_and_of_others_a_number(rng):
    grids = GRIDS["signal"]
    layers = maps_on(rng, grids)
    layers[0][0], layers[1][1], layers[2][2] = 0, 0, 0
    found, _ = refine(layers, grids)
    assert np.isfinite(found).all()
    assert not found.any()


def test_poly_cam_scales_with_the_deepest_map_alone(rng):
    grids = GRIDS["image"]
    one, two, three = maps_on(rng, grids)
    found, _ = refine([1e-20 * one, 1e6 * two, 5 * three], grids)
    np.testing.assert_allclose(found, 5 * refine([one, two, three], grids)[0], rtol=1e-9)


def test_poly_cam_refuses_layers_along_different_axes(rng):
    grids = [(spread_evenly(2, 8, 8),), (spread_evenly(3, 8, 8),)]
    with pytest.raises(sc.MethodError, match="maps have different axes"):
        refine(maps_on(rng, grids), grids)
