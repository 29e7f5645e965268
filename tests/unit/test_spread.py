"""Spreading a layer's maps over the input, where they are."""

import tracemalloc

import numpy as np
import pytest

from signalcam.alignment.resampling import AxisGrid, resample, resample_batch, spread_evenly

LINE = 1e-12  # float64: a few multiplications and additions
GRIDS = {
    "signal": ((7,), 3, {0: AxisGrid(2, 7, 20, 1.5, 2.5)}),
    "image": ((4, 5), 4, {0: spread_evenly(2, 4, 9), 1: AxisGrid(3, 5, 8, -0.5, 1.7)}),
    "swapped image": ((4, 5), 4, {0: spread_evenly(3, 4, 9), 1: AxisGrid(2, 5, 8, -0.5, 1.7)}),
    "volume, channels last": (
        (2, 3, 4),
        5,
        {0: spread_evenly(1, 2, 5), 1: spread_evenly(2, 3, 3), 2: spread_evenly(3, 4, 6)},
    ),
    "an axis without a place": ((1, 6), 4, {1: spread_evenly(3, 6, 12)}),
    "fewer samples than positions": ((9,), 3, {0: AxisGrid(2, 9, 4, 0.0, 0.4)}),
}
every_grid = pytest.mark.parametrize(("cells", "ndim", "grid"), GRIDS.values(), ids=GRIDS)


def run(maps, cells, ndim, grid, **options):
    return resample_batch(maps, cells, grid, ndim, np.asarray, **options)


@every_grid
def test_spread_maps_are_those_resampled(rng, cells, ndim, grid):
    maps = rng.standard_normal((2, 3, int(np.prod(cells))))
    found = run(maps, cells, ndim, grid)
    kept = sorted(grid, key=lambda i: grid[i].input_axis)
    small = [cells[i] for i in sorted(grid)]
    turned = maps.reshape(2, 3, *small).transpose(0, 1, *[2 + sorted(grid).index(i) for i in kept])
    wanted = resample(turned, [grid[i] for i in kept])
    lengths = {grid[i].input_axis: grid[i].length for i in grid}
    assert found.shape == (2, 3, *[lengths.get(axis, 1) for axis in range(1, ndim)])
    np.testing.assert_allclose(found.reshape(wanted.shape), wanted, rtol=LINE, atol=LINE)


@every_grid
def test_way_back_is_the_transpose(rng, cells, ndim, grid):
    maps = rng.standard_normal((2, 3, int(np.prod(cells))))
    there = run(maps, cells, ndim, grid)
    other = rng.standard_normal(there.shape)
    back = run(other, cells, ndim, grid, back=True)
    assert back.shape == maps.shape
    np.testing.assert_allclose((there * other).sum(), (maps * back).sum(), rtol=1e-9)


@every_grid
def test_shares_keep_their_sums(rng, cells, ndim, grid):
    maps = rng.standard_normal((2, 3, int(np.prod(cells))))
    found = run(maps, cells, ndim, grid, keep_sums=True)
    np.testing.assert_allclose(found.reshape(2, 3, -1).sum(-1), maps.sum(-1), rtol=1e-9, atol=LINE)


def test_long_signal_is_spread_without_its_length_squared(rng):
    grid, maps = {0: spread_evenly(2, 2500, 5000)}, rng.standard_normal((1, 2, 2500))
    tracemalloc.start()
    try:
        run(maps, (2500,), 3, grid)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100 * 5000 * 8
