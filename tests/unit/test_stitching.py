"""Windows and their cells, without a network."""

import numpy as np
import pytest

from signalcam.alignment.resampling import AxisGrid
from signalcam.alignment.stitching import OverlapAdd, WindowSteps, common_step, whole_cells
from signalcam.explainer.records.windows import RollingBuffer, count_windows, iterate_chunks
from signalcam.results.record import RecordArray

LAYER = AxisGrid(2, 23, 100, 4.0, 4.0, 9.0, probed=True)  # unpadded: 9 samples, every 4


@pytest.mark.parametrize(("jump", "unit"), [(4.0, 4), (0.5, 1), (2.5, 5), (4.000001, 4), (15.97, 0), (np.pi, 0)])
def test_cells_lie_the_same_way_again_after_whole_jumps(jump, unit):
    assert common_step(AxisGrid(2, 20, 100, 0.0, jump, 9.0, probed=True)) == unit


def test_nothing_is_known_of_cells_that_were_not_measured():
    assert common_step(None) == common_step(AxisGrid(2, 20, 100, 0.0, 5.0)) == 0


@pytest.mark.parametrize(("overlap", "stride"), [(0.5, 48), (0.0, 100), (0.9, 8), (0.99, 1)])
def test_stride_is_a_multiple_of_the_jump_where_that_is_not_too_long(overlap, stride):
    steps = WindowSteps.of(100, overlap, [LAYER])
    assert steps.stride == stride
    assert steps.fits(LAYER) == (stride > 4)


def test_cells_that_see_beyond_the_edge_are_known():
    padded = AxisGrid(2, 25, 100, 0.0, 4.0, 9.0, probed=True)
    assert np.flatnonzero(whole_cells(padded, 100)).tolist() == list(range(1, 24))
    assert whole_cells(LAYER, 100).all()
    assert whole_cells(AxisGrid(2, 25, 100, 0.0, 4.0, 900.0, probed=True), 100).all()


def stitched(values, steps, samples, axis=LAYER, room=0):
    stitch = OverlapAdd(axis, axis, steps, room)
    starts = np.arange(0, samples - steps.window + 1, steps.stride)
    for start in starts:
        first = round(start / axis.jump)
        stitch.add(int(start), values[..., first : first + axis.cells])
    return stitch.result(samples)


@pytest.mark.parametrize("room", [0, 10_000])
@pytest.mark.parametrize("overlap", [0.2, 0.5, 0.75])
def test_windows_of_one_map_give_that_map(room, overlap):
    values = np.random.default_rng(0).standard_normal((2, 3, 1000)).astype(np.float32)
    steps = WindowSteps.of(100, overlap, [LAYER])
    found, axis = stitched(values, steps, 100 + 10 * steps.stride, room=room)
    np.testing.assert_allclose(found, values[..., : axis.cells], rtol=1e-6)
    assert (axis.start, axis.jump, axis.cells) == (4.0, 4.0, 23 + 10 * steps.stride // 4)


def test_error_of_a_measured_jump_does_not_add_up():
    stitch = OverlapAdd(AxisGrid(2, 23, 100, 4.0, 4.000001, 9.0, probed=True), None, WindowSteps(100, 40, 4), 0)
    for start in range(0, 4_000_000, 40_000):
        stitch.add(start, np.ones((1, 23)))
    found, axis = stitch.result(4_000_000)
    assert (axis.jump, found.shape[-1]) == (4.0, 3_960_000 // 4 + 23)


def test_steps_between_windows_are_faded():
    steps = WindowSteps.of(100, 0.5, [LAYER])
    stitch = OverlapAdd(LAYER, LAYER, steps, 0)
    for number in range(10):
        stitch.add(number * steps.stride, np.full((1, 23), number % 2, np.float32))
    found, _ = stitch.result(1000)
    assert np.abs(np.diff(found[0])).max() < 0.15


def test_gap_between_windows_is_bridged_straight():
    steps = WindowSteps(100, 120, 4)
    stitch = OverlapAdd(LAYER, LAYER, steps, 0)
    for number in range(2):
        stitch.add(number * 120, np.full((1, 23), number, np.float32))
    found, _ = stitch.result(220)
    np.testing.assert_allclose(found[0, 22:31], np.linspace(0, 1, 9))


def test_tape_counts_and_gives_every_window():
    record = np.arange(1003)[None]
    tape = RollingBuffer(iterate_chunks(record, 1, 10, np.asarray), 1)
    found = list(tape.windows(100, 48, 4))
    starts = [start for start, _ in found]
    assert starts == [*range(0, 900, 48), 900]
    assert count_windows(1003, 100, 48, 4) == len(found)
    assert all((each[0] == np.arange(start, start + 100)).all() for start, each in found)


def test_record_is_read_where_it_is_indexed():
    record = RecordArray(np.arange(12).reshape(2, 6), (1, 2, 6), np.dtype(int))
    assert record[0, 1, 2:4].tolist() == [8, 9]
    assert record[:, :, 1:2].shape == (1, 2, 1)
    assert np.asarray(record).shape == (1, 2, 6)
    assert (len(record), record.ndim) == (1, 3)
    assert np.isnan(RecordArray(None, (1, 2, 6), np.dtype("f4"))[0, :, 2:4]).all()
