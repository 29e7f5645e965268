"""Properties every formula and the resampling hold, whatever the numbers are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalcam.alignment.resampling import AxisGrid, resample
from signalcam.arrays import flatten_positions
from signalcam.attribution.registry import methods

SUMS = 1e-9  # float64: channels, positions or samples added up in another order
LINE = 1e-9  # float64: one multiplication and two additions a sample
ULP = 4e-16  # float64: interpolation may pass its neighbours by the last bit of numbers up to 1

# what a property does not hold for, and why; a method not named here is tested for all of them
BY_PLACE = {"random-cam"}  # its weights belong to the channels' places
NOT_SCALING = {"grad-cam++"}  # its weights saturate with the gradient
NOT_ADDING = NOT_SCALING | {"layer-cam", "grad-cam-elementwise", "eigen-grad-cam"}
NOT_NEGATING = NOT_SCALING | {"layer-cam", "grad-cam-elementwise"}  # they drop negative evidence
AT_UNIT_SCALE = {"kpca-cam"}  # far above 1 its kernel takes two values, and its components tie


def at_unit_scale(formula):
    """The formula of each sample over its largest activation."""

    def scaled(a, g):
        size = np.abs(a).max(axis=(1, 2), keepdims=True)
        return formula(a / np.where(size == 0, 1, size), g)

    return scaled


def each_formula_but(names=(), *, gradients=False):
    """Every registered formula, or every one that reads the gradient, except those named."""
    known = [m for m in methods() if m.formula and m.needs_gradients >= gradients]
    chosen = [m for m in known if m.name not in names]
    return pytest.mark.parametrize(
        "formula",
        [at_unit_scale(m.formula) if m.name in AT_UNIT_SCALE else m.formula for m in chosen],
        ids=[each.name for each in chosen],
    )


each_formula = each_formula_but()
checked = settings(deadline=None, derandomize=True, max_examples=40)
seeds = st.integers(0, 2**32 - 1)


@st.composite
def layers(draw):
    """Activations and gradients of one layer, and a generator for what else is needed."""
    cells = draw(st.lists(st.integers(1, 5), min_size=1, max_size=3))
    shape = (draw(st.integers(1, 4)), draw(st.integers(1, 5)), *cells)
    rng = np.random.default_rng(draw(seeds))
    a = rng.standard_normal(shape) * 10.0 ** draw(st.integers(-3, 3))
    return np.maximum(a, 0) if draw(st.booleans()) else a, rng.standard_normal(shape), rng


def run(formula, a, g):
    return formula(flatten_positions(a), flatten_positions(g))


def assert_close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=SUMS, atol=SUMS * (np.abs(expected).max() or 1))


@each_formula_but(BY_PLACE)
@checked
@given(layers())
def test_shuffling_channels_changes_nothing(formula, layer):
    a, g, rng = layer
    order = rng.permutation(a.shape[1])
    assert_close(run(formula, a[:, order], g[:, order]), run(formula, a, g))


@each_formula
@checked
@given(layers())
def test_shuffling_positions_shuffles_the_map(formula, layer):
    a, g, rng = layer
    a, g = flatten_positions(a), flatten_positions(g)
    order = rng.permutation(a.shape[2])
    assert_close(formula(a[..., order], g[..., order]), formula(a, g)[:, order])


@each_formula
@checked
@given(layers())
def test_sample_does_not_see_its_batch(formula, layer):
    a, g, rng = layer
    others = rng.standard_normal((2, 2, *a.shape[1:])) * 1e6
    together = run(formula, np.concatenate([others[0], a]), np.concatenate([others[1], g]))
    assert_close(together[2:], run(formula, a, g))


@each_formula
@checked
@given(layers())
def test_batch_of_one_equals_a_loop(formula, layer):
    a, g, _ = layer
    alone = [run(formula, a[i : i + 1], g[i : i + 1])[0] for i in range(len(a))]
    assert_close(run(formula, a, g), np.stack(alone))


@each_formula_but(NOT_SCALING, gradients=True)
@checked
@given(layers(), st.sampled_from([0.0, 1e-6, 0.5, 2.0, 1e6]))
def test_scaling_the_score_scales_the_map(formula, layer, factor):
    a, g, _ = layer
    assert_close(run(formula, a, factor * g), factor * run(formula, a, g))


@each_formula_but(NOT_NEGATING, gradients=True)
@checked
@given(layers())
def test_negating_the_score_negates_the_map(formula, layer):
    a, g, _ = layer
    assert_close(run(formula, a, -g), -run(formula, a, g))


@each_formula_but(gradients=True)
@checked
@given(layers(), st.sampled_from([1e-6, 0.5, 2.0, 1e6]))
def test_scaling_the_score_never_flips_the_map_of_rectified_activations(formula, layer, factor):
    a, g, _ = layer
    a = np.maximum(a, 0)
    overlap = (run(formula, a, factor * g) * run(formula, a, g)).sum(axis=1)
    assert (overlap >= 0).all()


@each_formula_but(NOT_ADDING, gradients=True)
@checked
@given(layers())
def test_adding_scores_adds_their_maps(formula, layer):
    a, g, rng = layer
    other = rng.standard_normal(g.shape)
    assert_close(run(formula, a, g + other), run(formula, a, g) + run(formula, a, other))


@each_formula
@checked
@given(layers())
def test_volume_flattened_by_hand_gives_the_same_numbers(formula, layer):
    a, g, _ = layer
    by_hand = [
        np.array([[[row[u] for u in np.ndindex(row.shape)] for row in rows] for rows in each]) for each in (a, g)
    ]
    assert_close(run(formula, a, g), formula(*by_hand))


@each_formula_but(gradients=True)
@checked
@given(layers())
def test_channel_that_is_silent_or_does_not_matter_changes_nothing(formula, layer):
    a, g, rng = layer
    zero, some = np.zeros_like(a[:, :1]), rng.standard_normal((len(a), 1, *a.shape[2:]))
    wide_a, wide_g = (
        np.concatenate([a, zero, some], axis=1),
        np.concatenate([g, some, zero], axis=1),
    )
    assert_close(run(formula, wide_a, wide_g), run(formula, a, g))


# --- resampling ----------------------------------------------------------------------------------------


@st.composite
def lines(draw, cells=None):
    """One axis of a layer, anywhere along one of the input's."""
    count = draw(st.integers(1, 12)) if cells is None else cells
    start = draw(st.integers(-60, 60)) / 2
    jump = draw(st.sampled_from([0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 8.0]))
    return AxisGrid(2, count, draw(st.integers(1, 60)), start, jump)


def maps_on(grid, seed):
    return np.random.default_rng(seed).uniform(-1, 1, (2, *[axis.cells for axis in grid]))


@checked
@given(st.lists(lines(), min_size=1, max_size=3), st.floats(-1e6, 1e6))
def test_resampling_keeps_constants_to_the_last_bit(grid, value):
    maps = np.full((2, *[axis.cells for axis in grid]), value)
    assert (resample(maps, grid) == value).all()


@checked
@given(st.lists(lines(), min_size=1, max_size=3), seeds)
def test_resampling_stays_between_the_smallest_and_the_largest(grid, seed):
    maps = maps_on(grid, seed)
    found = resample(maps, grid)
    assert found.shape == (2, *[axis.length for axis in grid])
    assert found.min() >= maps.min() - ULP * len(grid)
    assert found.max() <= maps.max() + ULP * len(grid)


@checked
@given(lines(), seeds, st.floats(-3, 3), st.floats(-3, 3))
def test_resampling_is_linear_in_the_map(line, seed, one, two):
    maps = maps_on([line], seed)
    mixed = resample(one * maps[:1] + two * maps[1:], [line])
    apart = resample(maps, [line])
    np.testing.assert_allclose(mixed, one * apart[:1] + two * apart[1:], atol=LINE)


@checked
@given(lines(), seeds, st.integers(-5, 5))
def test_moving_the_layer_by_whole_samples_moves_the_map_by_as_many(line, seed, shift):
    maps = maps_on([line], seed)
    moved = AxisGrid(2, line.cells, line.length, line.start + shift, line.jump)
    one, two = resample(maps, [line]), resample(maps, [moved])
    inside = range(max(0, shift), min(line.length, line.length + shift))
    for t in inside:
        np.testing.assert_allclose(two[:, t], one[:, t - shift], atol=LINE)


@checked
@given(st.integers(3, 12), st.integers(1, 8), st.integers(0, 10), seeds)
def test_moving_the_map_by_a_position_moves_it_by_a_jump(cells, jump, start, seed):
    line = AxisGrid(2, cells, start + jump * cells, float(start), float(jump))
    values = maps_on([line], seed)[:, 1:]
    early = np.concatenate([values, values[:, -1:]], axis=1)
    late = np.concatenate([values[:, :1], values], axis=1)
    one, two = resample(early, [line]), resample(late, [line])
    np.testing.assert_allclose(two[:, jump:], one[:, :-jump], atol=LINE)


@checked
@given(lines(), lines(), seeds)
def test_order_of_the_axes_does_not_matter(rows, columns, seed):
    maps = maps_on([rows, columns], seed)
    turned = resample(maps.swapaxes(1, 2), [columns, rows]).swapaxes(1, 2)
    np.testing.assert_allclose(resample(maps, [rows, columns]), turned, atol=LINE)
