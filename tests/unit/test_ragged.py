"""Samples of unequal length, without a framework: marks, batches, and maps put together."""

import numpy as np
import pytest

from signalcam import Layout, Lengths, Mask
from signalcam.alignment.resampling import AxisGrid
from signalcam.errors import InputError, LayoutError
from signalcam.inputs.padding import (
    RaggedArray,
    RaggedBatch,
    check_ragged,
    cut_to_lengths,
    group_by_length,
    length_axes,
    may_differ,
    padding_share,
)
from signalcam.inputs.pytree import Inputs, WithExtra
from signalcam.results.layer_maps import GroupMaps, LayerMaps, join_groups
from unit.results import numbers

ITEMS = RaggedArray(tuple(numbers(2, n) for n in (4, 7, 4)))


def samples(tree, path=(), axes=(2,)):
    return RaggedBatch(Inputs(tree, path), {path: axes}, np.asarray)


# --- marks ---------------------------------------------------------------------------------------


def test_mask_and_lengths_of_several_axes():
    sizes = np.array([[2, 3], [1, 1]])
    np.testing.assert_array_equal(Lengths().filled(sizes, (2, 3)), sizes)
    mask = Mask().filled(sizes, (2, 3))
    assert mask[0].all()
    assert mask[1].tolist() == [[True, False, False], [False, False, False]]


def test_marks_are_filled_for_the_samples_of_a_group():
    tree = WithExtra(ITEMS, {"n": Lengths(), "m": Mask(), "age": np.arange(3)})
    group = samples(tree, (0,)).group(np.array([2, 1]))
    assert group.inputs.tree.extra["n"].tolist() == [4, 7]
    assert group.inputs.tree.extra["m"].sum(1).tolist() == [4, 7]
    assert group.inputs.tree.extra["age"].tolist() == [2, 1]
    assert (group.inputs.explained[0, :, 4:] == 0).all()
    alone = group.alone(0)
    assert alone.explained.shape == (1, 2, 4)
    assert alone.tree.extra["m"].tolist() == [[True] * 4]
    assert alone.tree.extra["n"].tolist() == [4]


def test_marks_follow_an_input_that_is_made_longer():
    group = samples(WithExtra(np.zeros((2, 1, 5)), {"m": Mask(), "n": Lengths()}), (0,)).group()
    longer = group.inputs.with_explained(np.zeros((2, 1, 20)))
    assert longer.tree.extra["m"].shape == (2, 20)
    assert longer.tree.extra["n"].tolist() == [20, 20]


def test_mark_of_another_input_is_named():
    tree = WithExtra({"ecg": ITEMS, "age": np.zeros((3, 1))}, {"n": Lengths(of="ecg")})
    given = RaggedBatch(Inputs(tree, (0, "age")), {(0, "ecg"): (2,)}, np.asarray)
    assert given.group(np.array([1])).inputs.tree.extra["n"].tolist() == [7]
    wrong = WithExtra({"ecg": ITEMS}, {"n": Lengths(of="egc")})
    with pytest.raises(InputError, match=r"'egc'\. Nearest: 'ecg'"):
        samples(wrong, (0, "ecg")).group()


@pytest.mark.parametrize(
    ("layout", "ndim", "channel_axis", "free", "marked"),
    [
        (None, 3, 1, (2,), (2,)),
        (None, 3, -1, (1,), (1,)),
        (None, 2, 1, (1,), (1,)),
        (None, 4, 1, (2, 3), (2, 3)),
        (Layout("batch channel frequency time"), 4, 1, (2, 3), (3,)),
        (Layout("batch _ time channel"), 4, 1, (2,), (2,)),
    ],
)
def test_axes_that_may_differ_and_that_marks_are_about(layout, ndim, channel_axis, free, marked):
    assert may_differ(layout, ndim, channel_axis) == free
    assert length_axes(layout, ndim, channel_axis) == marked


def test_samples_that_differ_in_their_channels_are_refused():
    items = RaggedArray((np.zeros((2, 4)), np.zeros((3, 4))))
    check_ragged(items, Layout("batch time channel"), 1)
    with pytest.raises(LayoutError, match=r"2 and 3 entries along axis 0 of each \(channel\)"):
        check_ragged(items, None, 1)


def test_padded_array_is_cut():
    x = numbers(3, 2, 7)
    short = cut_to_lengths(Inputs({"ecg": x}, ("ecg",)), ("ecg",), 2, [4, 7, 1]).explained
    assert short.shapes[:, 1].tolist() == [4, 7, 1]
    np.testing.assert_array_equal(short.arrays[0], x[0, :, :4])


# --- groups --------------------------------------------------------------------------------------


def test_samples_alike_are_found_the_longest_first():
    assert [each.tolist() for each in samples(ITEMS).alike()] == [[1], [0, 2]]
    assert [each.tolist() for each in samples(np.zeros((2, 3, 4))).alike()] == [[0, 1]]


@pytest.mark.parametrize("axes", [1, 2])
def test_padded_batches_hold_every_sample_once_and_little_padding(axes, rng):
    shapes = rng.integers(10, 200, (300, axes))
    batches = group_by_length(shapes)
    assert sorted(np.concatenate(batches)) == list(range(300))
    assert max(padding_share(shapes[each]) for each in batches) < 0.2


# --- maps ----------------------------------------------------------------------------------------


def piece(rows, length, jump=2.0, start=0.5):
    cells = int(length // jump)
    grid = (AxisGrid(2, cells, length, start, jump, 3.0, probed=True),)
    return GroupMaps(np.array(rows), LayerMaps("conv", numbers(len(rows), 1, 1, cells), grid), (len(rows), 2, length))


def test_maps_in_the_same_places_stay_at_the_layers_resolution():
    pieces = [piece([1, 3], 12), piece([0, 2], 8)]
    whole = join_groups(pieces)
    assert whole.values.shape == (4, 1, 1, 6)
    assert whole.grid[0].length == 12
    np.testing.assert_array_equal(whole.values[[1, 3]], pieces[0].maps.values)
    np.testing.assert_array_equal(whole.values[[0, 2], ..., :4], pieces[1].maps.values)
    assert np.isnan(whole.values[[0, 2], ..., 4:]).all()
    full = whole.at_input([2], [12])
    np.testing.assert_array_equal(full[[0, 2], ..., :8], pieces[1].maps.at_input([2], [8]))
    assert np.isnan(full[[0, 2], ..., 8:]).all()


def test_maps_in_other_places_are_kept_at_the_inputs_resolution():
    pieces = [piece([1], 12), piece([0], 8, start=0.0)]
    whole = join_groups(pieces)
    assert whole.values.shape == (2, 1, 1, 12)
    for each in pieces:
        (row,), n = each.rows, each.shape[2]
        found = whole.select([row])
        np.testing.assert_array_equal(found.at_input([2], [n])[0], each.maps.at_input([2], [n])[0])


def test_taking_samples_cuts_to_the_longest():
    whole = join_groups([piece([1, 3], 12), piece([0, 2], 8)])
    some = whole.select([2, 0])
    assert (some.values.shape[-1], some.grid[0].length, some.sizes) == (4, 8, None)
    assert whole.select([]).values.shape[0] == 0


def test_what_lies_beyond_a_samples_end_is_taken_away():
    maps = piece([0, 1], 12).maps
    short = maps.mask_padding(np.array([[2, 12], [2, 5]]))
    assert np.isfinite(short.values[1]).sum() == 3  # centres 0.5, 2.5, 4.5
    full = short.at_input([2], [12])
    np.testing.assert_array_equal(full[0], maps.at_input([2], [12])[0])
    np.testing.assert_array_equal(full[1, ..., :5], maps.at_input([2], [12])[1, ..., :5])
    assert np.isnan(full[1, ..., 5:]).all()
