"""Alignment: where a layer's positions lie in the input, and maps put there."""

import numpy as np
import oracles
import pytest
from oracles import Step

from signalcam.alignment.receptive_field import measure_grid, place_layer
from signalcam.alignment.resampling import AxisGrid, resample, sample_at, spread_evenly
from signalcam.errors import LayoutError

SINGLE = 1e-6  # float32: about eight units in the last place of a number near 1
DOUBLE = 1e-12  # float64: a few hundred times its resolution


def axis(cells, length, start=0.0, jump=1.0, input_axis=2):
    return AxisGrid(input_axis, cells, length, start, jump)


# --- resampling --------------------------------------------------------------------------------------

LINES = [(3.0, 2.0, 30), (-1.5, 4.0, 25), (27.5, 16.0, 90), (0.5, 0.5, 6), (0.0, 1.0, 9)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_map_at_the_inputs_own_positions_is_left_as_it_is(rng, dtype):
    maps = rng.standard_normal((2, 3, 40)).astype(dtype)
    np.testing.assert_array_equal(resample(maps, [axis(40, 40)]), maps)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("start", "jump", "length"), LINES)
def test_constant_map_stays_constant_to_the_last_bit(start, jump, length, dtype):
    found = resample(np.full((2, 9), 0.1, dtype), [axis(9, length, start, jump)])
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, np.full((2, length), 0.1, dtype))


@pytest.mark.parametrize("seen", [{}, {"first": 2}, {"first": 1, "last": 4}])
@pytest.mark.parametrize(("start", "jump", "length"), LINES)
def test_values_at_some_samples_are_those_of_the_whole_map(rng, start, jump, length, seen):
    line, maps = AxisGrid(2, 9, length, start, jump, **seen), rng.standard_normal((2, 9))
    some = np.array([length - 1, 0, 3, 3, 5])
    np.testing.assert_array_equal(sample_at(maps, line, some), resample(maps, [line])[:, some])


@pytest.mark.parametrize(("start", "jump", "length"), LINES)
def test_resampling_one_axis_is_linear_interpolation_with_held_ends(rng, start, jump, length):
    line = axis(9, length, start, jump)
    maps = rng.standard_normal((3, 9))
    found = resample(maps, [line])
    for row, values in zip(found, maps, strict=True):
        expected = np.interp(np.arange(length), line.centres, values)
        np.testing.assert_allclose(row, expected, atol=DOUBLE)
        oracle = oracles.resample_line(values, start, jump, length)
        np.testing.assert_allclose(row, oracle, atol=DOUBLE)


@pytest.mark.parametrize(
    ("cells", "lines"),
    [
        ((4, 3), [(1.5, 2.0, 9), (-1.0, 4.0, 7)]),
        ((2, 4, 3), [(0.5, 2.0, 4), (3.0, 2.0, 11), (0.0, 1.0, 3)]),
    ],
    ids=["image", "volume"],
)
def test_resampling_several_axes_weighs_all_corners(rng, cells, lines):
    maps = rng.standard_normal((2, *cells))
    grid = [axis(count, length, start, jump) for count, (start, jump, length) in zip(cells, lines, strict=True)]
    found = resample(maps, grid)
    for each, cube in zip(found, maps, strict=True):
        np.testing.assert_allclose(each, oracles.resample(cube, lines), atol=DOUBLE)


def test_each_value_lands_where_its_position_looks():
    line = axis(5, 40, 7.0, 6.0)
    maps = np.float32([[1, -2, 3, 5, 8]])
    places = line.centres.astype(int)
    np.testing.assert_allclose(resample(maps, [line])[:, places], maps, rtol=SINGLE)


def test_single_position_fills_its_axis():
    found = resample(np.float32([[[3.0], [4.0]]]), [axis(2, 2), axis(1, 5, 2.0, 5.0)])
    np.testing.assert_array_equal(found, [[[3] * 5, [4] * 5]])


def test_map_without_axes_to_move_along_is_left_as_it_is():
    np.testing.assert_array_equal(resample(np.float32([1, 2]), []), [1, 2])


def test_positions_spread_evenly_have_the_places_of_a_resized_image():
    line = spread_evenly(2, 5, 20)
    expected = [(u + 0.5) * 20 / 5 - 0.5 for u in range(5)]  # align_corners=False
    np.testing.assert_allclose(line.centres, expected, atol=DOUBLE)
    assert (line.field, line.probed) == (0, False)


def test_two_values_resized_to_four_are_those_of_every_image_library():
    found = resample(np.array([0.0, 1.0]), [spread_evenly(1, 2, 4)])
    np.testing.assert_allclose(found, [0, 0.25, 0.75, 1], atol=DOUBLE)


def test_as_many_positions_as_samples_spread_evenly_are_the_samples():
    assert spread_evenly(2, 7, 7).centres.tolist() == list(range(7))


# --- measuring ---------------------------------------------------------------------------------------


class Network:
    """What a stack of convolutions sees, by index arithmetic alone.

    ``along`` lists, for each axis of the layer, the input axis it runs along and the steps there.
    ``leak`` lets every position see everything a little; ``fixed`` refuses inputs of another size;
    ``lenient`` answers inputs shorter than its kernels by no positions at all, as JAX does.
    """

    def __init__(self, shape, along, leak=0.0, *, fixed=False, lenient=False):
        self.shape, self.along, self.leak = shape, along, leak
        self.fixed, self.lenient = fixed, lenient

    def __call__(self, sizes, pick):
        shape = [sizes.get(i, length) for i, length in enumerate(self.shape)]
        cells = tuple(oracles.cells_after(steps, shape[i]) for i, steps in self.along)
        if self.lenient:
            cells = tuple(max(each, 0) for each in cells)
        elif min(cells) < 1 or (self.fixed and tuple(shape) != tuple(self.shape)):
            message = "this network takes inputs of another size"
            raise ValueError(message)
        picked = pick(cells)
        if any(not 0 <= i < c for place in picked for i, c in zip(place, cells, strict=True)):
            message = "there is no such position"
            raise IndexError(message)
        seen = [self._seen(place, shape) for place in picked]
        return cells, picked, np.reshape(seen, (len(picked), *shape[1:]))

    def _seen(self, place, shape):
        seen = np.ones(shape[1:])
        for position, (i, steps) in zip(place, self.along, strict=True):
            profile = np.zeros(shape[i])
            for sample, ways in oracles.seen_from(steps, position).items():
                if 0 <= sample < shape[i]:
                    profile[sample] += ways
            seen = seen * profile.reshape([-1 if j == i else 1 for j in range(1, len(shape))])
        return seen + self.leak * seen.max()


def look(network, axes=None):
    axes = [*range(2, len(network.shape)), 1] if axes is None else axes  # channels last in doubt
    return measure_grid(network, axes, [network.shape[i] for i in axes])


def assert_lies(found, input_axis, steps, length):
    start, jump, field = oracles.geometry(steps)
    assert found.probed
    assert (found.input_axis, found.length) == (input_axis, length)
    assert found.cells == oracles.cells_after(steps, length)
    assert (found.start, found.jump, found.field) == pytest.approx((start, jump, field), abs=DOUBLE)


STACKS = {  # the six stacks of a receptive-field table: start, jump and field as tabled there
    "unpadded": ([Step(15)] * 3, (21, 1, 43)),
    "unpadded, strided": ([Step(15, 2)] * 3, (49, 8, 99)),
    "unpadded, pooled": ([Step(9), Step(4, 4)] * 2, (27.5, 16, 56)),
    "dilated, padded at both sides": ([Step(3, 1, d, 2 * d) for d in (1, 2, 4, 8)], (-15, 1, 31)),
    "same, strided": ([Step(7, 2, 1, 3)] * 3, (0, 8, 43)),
    "same": ([Step(7, 1, 1, 3)] * 3, (0, 1, 19)),
}
each_stack = pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS)


@each_stack
def test_oracle_agrees_with_the_table_of_the_notes(stack):
    steps, expected = stack
    assert oracles.geometry(steps) == expected


@each_stack
def test_stack_is_measured_exactly(stack):
    steps, _ = stack
    found = look(Network((2, 3, 1000), [(2, steps)]))
    assert list(found) == [0]
    assert_lies(found[0], 2, steps, 1000)


def test_network_that_answers_short_inputs_by_nothing_is_measured_all_the_same():
    steps = [Step(100)]
    found = look(Network((2, 1, 200, 220), [(2, steps), (3, steps)], lenient=True))
    assert_lies(found[0], 2, steps, 200)
    assert_lies(found[1], 3, steps, 220)


def test_causal_convolutions_look_back():
    steps = [Step(3, 1, d, 2 * d, 0) for d in (1, 2, 4)]
    assert_lies(look(Network((2, 3, 200), [(2, steps)]))[0], 2, steps, 200)


def test_centres_may_lie_half_way_between_samples():
    steps = [Step(2, 2)]
    found = look(Network((2, 3, 64), [(2, steps)]))[0]
    assert found.centres[:3].tolist() == [0.5, 2.5, 4.5]


def test_signal_with_channels_last_is_measured_along_its_time():
    steps = [Step(5, 2), Step(3)]
    assert_lies(look(Network((2, 120, 3), [(1, steps)]), [2, 1])[0], 1, steps, 120)


def test_image_is_measured_along_both_axes():
    rows, columns = [Step(3, 2), Step(3, 2)], [Step(2, 2)]
    found = look(Network((2, 3, 60, 40), [(2, rows), (3, columns)]))
    assert_lies(found[0], 2, rows, 60)
    assert_lies(found[1], 3, columns, 40)


def test_layer_may_hold_its_axes_in_another_order_than_the_input():
    rows, columns = [Step(3, 2)], [Step(5)]
    found = look(Network((2, 3, 60, 40), [(3, columns), (2, rows)]))
    assert_lies(found[0], 3, columns, 40)
    assert_lies(found[1], 2, rows, 60)


def test_volume_is_measured_along_all_three_axes():
    steps = [[Step(3)], [Step(3, 2)], [Step(2, 2)]]
    network = Network((2, 1, 12, 14, 16), list(zip([2, 3, 4], steps, strict=True)))
    found = look(network)
    for i in range(3):
        assert_lies(found[i], i + 2, steps[i], network.shape[i + 2])


def test_long_image_is_measured_along_both_axes():
    steps = [Step(7, 2, 1, 3)] * 2
    found = look(Network((2, 3, 96, 128), [(2, steps), (3, steps)]))
    assert_lies(found[0], 2, steps, 96)
    assert_lies(found[1], 3, steps, 128)


def test_long_image_of_one_fixed_size_is_measured_too():
    steps = [Step(7, 2, 1, 3)]
    found = look(Network((2, 3, 64, 80), [(2, steps), (3, steps)], fixed=True))
    assert_lies(found[0], 2, steps, 64)
    assert_lies(found[1], 3, steps, 80)


def test_layer_that_also_walks_over_channels_is_measured_there_too():
    time, leads = [Step(7, 2)], [Step(3)]
    found = look(Network((2, 1, 100, 12), [(2, time), (3, leads)]), [2, 3])
    assert_lies(found[0], 2, time, 100)
    assert_lies(found[1], 3, leads, 12)


@pytest.mark.parametrize("leads", [2, 3, 12])
def test_layer_that_keeps_few_channels_apart_is_measured_where_no_others_are_taken(leads):
    found = look(Network((2, leads, 100), [(1, [Step(1)]), (2, [Step(7)])], fixed=True), [2, 1])
    assert_lies(found[0], 1, [Step(1)], leads)


@pytest.mark.parametrize("length", [16, 20, 30])
def test_field_longer_than_the_input_is_measured_on_longer_inputs(length):
    steps = [Step(15, 1, 1, 7)] * 3
    found = look(Network((2, 3, length), [(2, steps)]))[0]
    start, jump, field = oracles.geometry(steps)
    assert field > length
    assert (found.cells, found.length) == (length, length)
    assert (found.start, found.jump, found.field) == pytest.approx((start, jump, field), abs=DOUBLE)


def test_padding_between_dilated_taps_does_not_mislead():
    steps = [Step(3, 1, 4, 4)]  # at the ends whole taps are missing, not only samples
    assert_lies(look(Network((2, 3, 8), [(2, steps)]))[0], 2, steps, 8)


def test_layer_that_sees_everything_a_little_is_measured_by_what_it_sees_well():
    found = look(Network((2, 3, 100), [(2, [Step(9)])], leak=1e-2))[0]
    assert (found.start, found.jump, found.field) == (4, 1, 9)


@pytest.mark.parametrize("fixed", [False, True])
def test_layer_that_sees_everything_alike_is_not_measured(fixed):
    everything = Network((2, 3, 20), [(2, [Step(1999, 1, 1, 999)])], fixed=fixed)
    assert look(everything) == {}


def test_single_position_is_measured_on_longer_inputs():
    steps = [Step(20)]
    assert_lies(look(Network((2, 3, 20), [(2, steps)]))[0], 2, steps, 20)


def test_single_position_of_a_network_of_one_fixed_length_is_not_measured():
    assert look(Network((2, 3, 20), [(2, [Step(20)])], fixed=True)) == {}


def test_single_row_of_positions_lies_along_the_axis_that_is_left():
    height, width = [Step(12)], [Step(5, 2)]
    found = look(Network((2, 1, 12, 80), [(2, height), (3, width)]))
    assert_lies(found[0], 2, height, 12)
    assert_lies(found[1], 3, width, 80)


def test_layer_that_sees_nothing_is_not_measured():
    def blind(sizes, pick):
        picked = pick((10,))
        return (10,), picked, np.zeros((len(picked), 3, sizes.get(2, 20)))

    assert measure_grid(blind, [1, 2], [3, 20]) == {}


def seeing(span, cells):
    """A network that sees ``span(position)``, first and last, of one input axis."""

    def probe(sizes, pick):
        length = sizes.get(1, LENGTH)
        picked = pick((cells(length),))
        support = np.zeros((len(picked), length))
        for row, (position,) in zip(support, picked, strict=True):
            first, last = span(position)
            row[max(first, 0) : last + 1] = 1
        return (cells(length),), picked, support

    return probe


LENGTH = 200


def test_edges_that_move_apart_are_not_measured():
    widening = seeing(lambda u: (u, 3 * u + 5), lambda length: length // 4)
    assert measure_grid(widening, [1], [LENGTH]) == {}


def test_layer_finer_than_the_input_is_measured_to_the_nearest_sample():
    doubled = seeing(lambda u: (u // 2, u // 2), lambda length: 2 * length)
    found = measure_grid(doubled, [1], [LENGTH])[0]
    assert found.jump == pytest.approx(0.5, rel=0.01)
    np.testing.assert_allclose(found.centres, np.arange(2 * LENGTH) // 2, atol=1)


def test_very_long_input_is_not_made_longer_without_end():
    tried = []

    def everything(sizes, pick):
        tried.append(sizes.get(1, 10_000))
        picked = pick((100,))
        return (100,), picked, np.ones((len(picked), tried[-1]))

    assert measure_grid(everything, [1], [10_000]) == {}
    assert max(tried) < 8 * 10_000 + 64  # eight times the length, in whole steps of 64


def test_layer_too_coarse_for_a_small_image_is_measured_on_the_whole():
    steps = [Step(16, 16)]
    found = look(Network((2, 3, 96, 128), [(2, steps), (3, steps)]))
    assert_lies(found[0], 2, steps, 96)
    assert_lies(found[1], 3, steps, 128)


def test_error_of_a_network_on_its_own_input_passes_through():
    def broken(sizes, pick):
        message = "out of order"
        raise RuntimeError(message)

    with pytest.raises(RuntimeError, match="out of order"):
        measure_grid(broken, [2], [20])


# --- giving every axis a place -------------------------------------------------------------------------

MEASURED = AxisGrid(2, 10, 100, 3.0, 10.0, 7.0, probed=True)


def test_measured_axis_keeps_its_place():
    assert place_layer((10,), {0: MEASURED}, (2, 3, 100), [2, 1], "conv") == {0: MEASURED}


def test_axis_that_could_not_be_measured_is_spread_over_the_likeliest_axis():
    found = place_layer((10,), {}, (2, 3, 100), [2, 1], "conv")
    assert found == {0: spread_evenly(2, 10, 100)}


def test_axes_that_could_not_be_measured_keep_their_order():
    found = place_layer((5, 10), {}, (2, 3, 50, 100), [3, 2, 1], "conv")
    assert found == {0: spread_evenly(2, 5, 50), 1: spread_evenly(3, 10, 100)}


def test_measured_axis_leaves_the_others_to_the_rest():
    found = place_layer((5, 10), {1: MEASURED}, (2, 3, 100, 50), [2, 3, 1], "conv")
    assert found == {0: spread_evenly(3, 5, 50), 1: MEASURED}


def test_axis_of_one_cell_without_an_axis_left_is_dropped():
    found = place_layer((1, 10), {1: MEASURED}, (2, 100), [2], "conv")
    assert found == {1: MEASURED}


def test_more_positions_than_axes_raise():
    with pytest.raises(LayoutError, match=r"layer 'conv' has positions \(4, 10\) .* \(2, 3, 100\)"):
        place_layer((4, 10), {}, (2, 3, 100), [2], "conv")
