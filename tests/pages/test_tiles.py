"""Tiles: never less, more or weaker than what a loop over all samples finds, however they are read."""

import threading
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.results import make, numbers

from signalcam import Layout, LayoutError, io, load
from signalcam.alignment.resampling import AxisGrid, resample
from signalcam.report import downsample
from signalcam.report.downsample import Overview, SignalRows, Tiles, column_bounds
from signalcam.results.layer_maps import LayerMaps

ROUNDING = 1e-5  # of float32, where a map is interpolated from another stretch


def signals(length=1000, channels=2, cells=60, start=7.5, jump=16.25, **changes):
    """Two samples with two maps each, one of which has a row a channel."""
    time = AxisGrid(2, cells, length, start, jump, jump, probed=True, **changes)
    grids = {"conv": (time,), "leads": (AxisGrid(1, channels, channels, 0.0, 1.0), time)}
    layers = [LayerMaps(name, numbers(2, 1, 1, *[a.cells for a in grid]), grid) for name, grid in grids.items()]
    return make(
        layers=tuple(layers),
        targets=("N",),
        methods=("grad-cam",),
        layout=Layout("batch channel time", 10.0),
        input=numbers(2, channels, length),
        scores=numbers(2, 1),
        target_classes=np.zeros((2, 1), int),
        logits=None,
        probabilities=None,
        classes=None,
        true_classes=None,
        sample_names=(0, 1),
    )


def slow(exp, sample, layer, start, stop, columns, unit=1):
    """The same by a loop over columns, from maps at the input's resolution."""
    x = np.asarray(exp.input[sample])
    own = exp.layers[layer]
    full = resample(own.values[sample, 0, 0], own.grid).reshape(-1, x.shape[1])
    first, last = start // unit, -(-stop // unit)
    count = min(columns, last - first)
    whole = [(first + number * (last - first) // count) * unit for number in range(count + 1)]
    edges = [min(each, x.shape[1]) for each in whole]
    places, low, high, heat = [], [], [], []
    for a, b in pairwise(edges):
        places.append((a + b - 1) / 2 / 10)
        low.append([min(row[a:b]) for row in x])
        high.append([max(row[a:b]) for row in x])
        heat.append([max(row[a:b], key=abs) for row in full])
    return np.array(places), *(np.array(each).T for each in (low, high, heat))


def assert_equal(tile, expected):
    x, low, high, heat = expected
    np.testing.assert_allclose(tile.x, x, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(tile.low, low)
    np.testing.assert_array_equal(tile.high, high)
    np.testing.assert_allclose(tile.heat, heat, rtol=0, atol=ROUNDING)


@settings(deadline=None, max_examples=60)
@given(
    length=st.integers(30, 700),
    start=st.floats(-20, 40),
    jump=st.floats(0.3, 40),
    columns=st.integers(1, 300),
    stretch=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    cells=st.integers(1, 40),
    layer=st.integers(0, 1),
    seen=st.sampled_from([{}, {"first": 5}, {"first": 3, "last": 20}]),
)
def test_every_column_holds_what_a_loop_over_its_samples_finds(
    length, start, jump, columns, stretch, cells, layer, seen
):
    exp = signals(length, cells=cells, start=start, jump=jump, **seen)
    begin, end = sorted(round(each * (length - 1)) for each in stretch)
    tile = Tiles(exp).tile(1, layer=layer, begin=begin / 10, end=end / 10, columns=columns)
    shown = begin, end + 1
    unit = 16 if shown[1] - shown[0] > columns * 32 else 1
    assert_equal(tile, slow(exp, 1, layer, *shown, columns, unit))


@settings(deadline=None, max_examples=30)
@given(
    length=st.integers(3000, 9000),
    columns=st.integers(1, 40),
    jump=st.floats(0.5, 200),
    stretch=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    layer=st.integers(0, 1),
)
def test_overview_shows_what_a_loop_finds_in_columns_of_whole_bins(length, columns, jump, stretch, layer):
    exp = signals(length, cells=40, jump=jump)
    begin, end = sorted(round(each * (length - 1)) for each in stretch)
    shown = begin, end + 1
    unit = 16 if shown[1] - shown[0] > columns * 32 else 1
    asked = {"layer": layer, "begin": begin / 10, "end": end / 10, "columns": columns}
    tile = Tiles(exp).tile(0, **asked)
    assert tile.done == 1
    assert_equal(tile, slow(exp, 0, layer, *shown, columns, unit))


def test_columns_cover_the_stretch_without_gap_or_overlap():
    edges = column_bounds(130, 990, 7, 990, 64)
    assert edges[0] == 128
    assert edges[-1] == 990
    assert (np.diff(edges) > 0).all()


def test_stretch_of_fewer_samples_than_columns_shows_each_sample():
    exp = signals()
    tile = Tiles(exp).tile(0, begin=10.0, end=12.0, columns=500)
    np.testing.assert_allclose(tile.x, np.arange(100, 121) / 10)
    np.testing.assert_array_equal(tile.low, exp.input[0, :, 100:121])


def test_gap_in_the_signal_hides_nothing_beside_it():
    exp = signals()
    exp.input[0, 0, 200:300] = np.nan
    tile = Tiles(exp).tile(0, columns=40)
    assert np.flatnonzero(np.isnan(tile.low[0])).tolist() == [8, 9, 10, 11]
    exp.input[0, 0, 210:211] = 1.0
    assert Tiles(exp).tile(0, columns=40).low[0, 8] == 1.0


def test_sample_of_unequal_length_ends_where_it_ends():
    sizes = np.array([[[60, 1000]], [[20, 330]]])
    line = signals().layers[0].grid
    exp = signals()
    layer = LayerMaps("conv", exp.layers[0].values, line, sizes)
    shapes = np.array([[2, 1000], [2, 330]])
    exp.input[1, :, 330:] = np.nan
    exp = make(
        **{name: getattr(exp, name) for name in ("targets", "methods", "layout", "input", "scores")},
        layers=(layer,),
        shapes=shapes,
        sample_names=(0, 1),
    )
    alone = exp.isel(sample=[1])
    tile = Tiles(exp).tile(1, columns=50)
    assert tile.x[-1] < 33
    assert np.isfinite(tile.heat).all()
    assert_equal(tile, slow(alone, 0, 0, 0, 330, 50))


def test_axis_that_falls_is_walked_in_its_own_order():
    exp = signals(40, cells=40, start=0.0, jump=1.0)
    layout = Layout("batch channel frequency", coordinates={"frequency": 80.0 - 2 * np.arange(40)})
    spectrum = make(**{**vars(exp), "layout": layout, "layers": exp.layers[:1]})
    tile = Tiles(spectrum).tile(0, begin=20, end=40, columns=99)
    np.testing.assert_allclose(tile.x, np.arange(40, 18, -2))
    np.testing.assert_array_equal(tile.low, exp.input[0, :, 20:31])


def test_uneven_axis_is_walked_by_entry():
    exp = signals(40, cells=40, start=0.0, jump=1.0)
    layout = Layout("batch channel frequency", coordinates={"frequency": 2.0 ** np.arange(40)})
    mel = make(**{**vars(exp), "layout": layout, "layers": exp.layers[:1]})
    np.testing.assert_array_equal(Tiles(mel).tile(0, begin=3, end=9).x, np.arange(3, 10))


@pytest.mark.parametrize(("begin", "end", "place"), [(200.0, 300.0, 99.9), (-9.0, -5.0, 0.0)])
def test_stretch_where_nothing_lies_shows_the_nearest_sample(begin, end, place):
    assert Tiles(signals()).tile(0, begin=begin, end=end).x == pytest.approx([place])


def test_place_as_it_is_drawn_means_its_own_sample_only():
    x = 7777 * 0.1
    tile = Tiles(signals(9000)).tile(0, begin=x, end=x + 0.1)
    np.testing.assert_allclose(tile.x, [777.7, 777.8])


def test_map_that_does_not_follow_the_long_axis_is_the_same_all_along():
    exp = signals()
    leads = LayerMaps("leads", numbers(2, 1, 1, 2), (AxisGrid(1, 2, 2, 0.0, 1.0),))
    both = make(**{**vars(exp), "layers": (exp.layers[0], leads)})
    tile = Tiles(both).tile(1, layer=1, columns=20)
    np.testing.assert_array_equal(tile.heat, leads.values[1, 0, 0][:, None].repeat(20, axis=1))


def test_images_have_no_long_axis():
    image = make(
        grids={"conv": (AxisGrid(2, 3, 6, 0.5, 2.0), AxisGrid(3, 4, 8, 0.5, 2.0))},
        input=np.zeros((3, 1, 6, 8), np.float32),
        layout=Layout("batch _ height width"),
    )
    with pytest.raises(LayoutError, match="height, width"):
        Tiles(image)


# --- what is too long to be read whenever it is looked at --------------------------------------------


def test_impatient_answer_says_how_far_it_got_and_the_next_goes_on(monkeypatch):
    monkeypatch.setattr(downsample, "_BLOCK", 6400)
    found = Tiles(signals(20_000, cells=1200))
    shares = [found.tile(0, columns=20, patience=0).done for _ in range(4)]
    assert shares == [0.32, 0.64, 0.96, 1.0]


def test_what_is_not_read_yet_is_blank_and_what_is_read_is_right(monkeypatch):
    monkeypatch.setattr(downsample, "_BLOCK", 6400)
    exp = signals(20_000, cells=1200)
    tile = Tiles(exp).tile(0, columns=20, patience=0)
    whole = slow(exp, 0, 0, 0, 20_000, 20, 16)
    np.testing.assert_array_equal(tile.low[:, :6], whole[1][:, :6])
    assert np.isnan(tile.low[:, 7:]).all()
    assert np.isnan(tile.heat[:, 7:]).all()


def test_short_stretch_is_whole_before_the_overview_is():
    found = Tiles(signals(200_000, cells=12_000))
    assert found.tile(0, columns=1000, patience=0, begin=19_000, end=19_500).done == 1


def test_overview_reads_a_block_at_a_time_and_everything_once(monkeypatch):
    monkeypatch.setattr(downsample, "_BLOCK", 2000)
    values, read = numbers(2, 20_001), []

    def part(stretch):
        read.append((stretch.start, stretch.stop))
        return values[:, stretch]

    overview = Overview(SignalRows(2, 20_001, part))
    overview.read_ahead(until=np.inf)
    assert max(stop - start for start, stop in read) <= 2000
    assert [0, *(stop for _, stop in read)] == [*(start for start, _ in read), 20_001]


def test_overview_of_many_rows_takes_wider_bins_and_no_more_memory():
    overview = Overview(SignalRows(64, 10_000_000, lambda _: np.zeros((64, 0))))
    assert overview.unit == 128
    assert overview.nbytes <= 2 * 4 * downsample._MOST_BINS


def test_overviews_held_are_bounded_and_the_last_used_stay(monkeypatch):
    monkeypatch.setattr(downsample, "_CACHE_BYTES", 150_000)
    found = Tiles(signals(60_000, cells=900))
    for sample, layer in ((0, 0), (1, 0), (0, 1)):
        found.tile(sample, layer=layer, columns=10)
    assert sum(each.nbytes for each in found._kept.values()) <= 150_000
    assert (0, 0, 0, 1) in found._kept


def test_many_threads_get_what_one_gets():
    exp = signals(100_000, cells=6000)
    alone, found, answers = Tiles(exp).tile(0, columns=30), Tiles(exp), []

    def ask():
        answers.append(found.tile(0, columns=30))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(answers) == 8
    for each in answers:
        np.testing.assert_array_equal(each.low, alone.low)
        np.testing.assert_array_equal(each.heat, alone.heat)


# --- from disk ---------------------------------------------------------------------------------------


def test_tiles_of_a_store_left_on_disk_are_those_of_the_result(tmp_path):
    exp = signals(20_000, cells=1200)
    exp.save(tmp_path / "maps.zarr")
    lazy = Tiles(io.load_lazy(tmp_path / "maps.zarr"))
    for layer in range(2):
        for asked in ({"columns": 20}, {"begin": 100, "end": 130, "columns": 400}):
            one, other = (each.tile(1, layer=layer, **asked) for each in (lazy, Tiles(exp)))
            np.testing.assert_array_equal(one.low, other.low)
            np.testing.assert_array_equal(one.heat, other.heat)


def test_one_sample_of_many_lies_in_few_chunks(tmp_path):
    many = signals(500)
    exp = make(**{**vars(many), "input": numbers(4000, 2, 500), "sample_names": tuple(range(4000))})
    exp.save(tmp_path / "maps.zarr")
    chunks = io.load_lazy(tmp_path / "maps.zarr").input.source.chunks
    assert chunks[1:] == (2, 500)
    assert np.prod(chunks) <= 2**18
    np.testing.assert_array_equal(load(tmp_path / "maps.zarr").input, exp.input)


def test_opening_reads_no_input_and_no_map(tmp_path):
    exp = signals()
    exp.save(tmp_path / "maps.zarr")
    for chunk in (tmp_path / "maps.zarr" / "input" / "c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(b"not a chunk")
    lazy = io.load_lazy(tmp_path / "maps.zarr")
    assert lazy.input.shape == exp.input.shape
    assert len(lazy) == 2
    np.testing.assert_array_equal(lazy.layers[0].values[0], exp.layers[0].values[0])
