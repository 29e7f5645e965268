"""Long records: window by window, stitched to the map that the whole record gives at once."""

import itertools
import warnings

import numpy as np
import pytest
import torch
import zarr
from torch import nn

import signalcam as sc

SAME = 1e-5  # of the largest value: float32 sums taken in another order
WINDOW, LENGTH = 200, 3000  # samples; the record is a whole number of every layer's jumps longer


class Local(nn.Module):
    """Two strided convolutions and a dense output that adds up: no gradient depends on the length."""

    def __init__(self, *, padded=False):
        super().__init__()
        more = 2 * padded
        self.first = nn.Conv1d(2, 4, 5, stride=2, padding=more)
        self.second = nn.Conv1d(4, 6, 5, stride=2, padding=more)
        self.relu, self.dense = nn.ReLU(), nn.Conv1d(6, 3, 1)

    def forward(self, x):
        return self.dense(self.relu(self.second(torch.relu(self.first(x))))).sum(-1)


class Classifier(nn.Module):
    """Takes windows of one length only."""

    def __init__(self, length=WINDOW):
        super().__init__()
        self.conv = nn.Conv1d(2, 5, 7, stride=4, padding=3)
        self.head = nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(5 * ((length + 3) // 4), 4))

    def forward(self, x):
        return self.head(self.conv(x))


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Local().eval()


@pytest.fixture
def padded():
    torch.manual_seed(0)
    return Local(padded=True).eval()


@pytest.fixture
def classifier():
    torch.manual_seed(0)
    return Classifier().eval()


@pytest.fixture
def record():
    return np.random.default_rng(0).standard_normal((2, LENGTH)).astype(np.float32)


def explained(model, record, **options):
    return sc.explain_record(model, record, **{"window": WINDOW, "target": 1, "signed": True, **options})


def assert_same(found, wanted, where=slice(None)):
    top = np.abs(wanted).max()
    np.testing.assert_allclose(found[..., where], wanted[..., where], atol=SAME * top, rtol=0)


# --- the map of the whole record -----------------------------------------------------------------


@pytest.mark.parametrize("method", ["hires-cam", "layer-cam"])
@pytest.mark.parametrize("layer", ["first", "second", "relu"])
@pytest.mark.parametrize("overlap", [0.2, 0.5, 0.83])
def test_unpadded_network_gives_the_map_of_the_whole_record(net, record, method, layer, overlap):
    found = explained(net, record, method=method, layer=layer, overlap=overlap)
    whole = sc.explain(net, record[None], method=method, layer=layer, target=1, signed=True)
    assert_same(found.native().values, whole.native().values)
    assert_same(found.maps.values, whole.maps.values)
    assert found.maps.dims == whole.maps.dims


@pytest.mark.parametrize("layer", ["first", "second"])
def test_padded_network_gives_it_but_for_the_ends_of_the_record(padded, record, layer):
    found = explained(padded, record, method="hires-cam", layer=layer)
    whole = sc.explain(padded, record[None], method="hires-cam", layer=layer, target=1, signed=True)
    assert_same(found.native().values, whole.native().values)  # windows there are padded as it is


def test_grad_cam_gives_it_where_scores_add_up(net, record):
    found = explained(net, record, method="grad-cam", layer="relu")
    whole = sc.explain(net, record[None], method="grad-cam", layer="relu", target=1, signed=True)
    assert_same(found.native().values, whole.native().values)


def test_region_and_output_are_asked_of_every_window(net, record):
    ask = sc.Output(lambda output: output[:, 2] - output[:, 0])
    found = explained(net, record, method="hires-cam", layer="second", target=ask)
    whole = sc.explain(net, record[None], method="hires-cam", layer="second", target=ask, signed=True)
    assert_same(found.native().values, whole.native().values)


def test_several_layers_targets_and_methods_are_stitched_together(net, record):
    how = {"method": ["hires-cam", "layer-cam"], "layer": ["first", "second"], "target": [0, 2]}
    found = explained(net, record, **how)
    whole = sc.explain(net, record[None], signed=True, **how)
    assert found.maps.dims == ("sample", "target", "cam", "layer", "time")
    assert_same(found.maps.values, whole.maps.values)
    one = found.sel(target=2, layer="second")
    assert one.windows["target"].values.tolist() == ["2"]
    assert_same(one.maps.values, whole.sel(target=2, layer="second").maps.values)


def test_record_of_one_window_gives_its_map(classifier, record):
    found = explained(classifier, record[:, :WINDOW], layer="conv")
    whole = sc.explain(classifier, record[None, :, :WINDOW], layer="conv", target=1, signed=True)
    np.testing.assert_array_equal(found.maps, whole.maps)


def test_last_window_is_shifted_back_by_whole_jumps(net, record):
    found = explained(net, record[:, :2998], layer="second", method="hires-cam", overlap=0.3)
    whole = sc.explain(net, record[None, :, :2998], layer="second", method="hires-cam", target=1, signed=True)
    assert found.windows["stop"].values[-1] == 2996  # 2998 less what is no whole jump of 4
    shared = found.native().values.shape[-1]
    assert_same(found.native().values, whole.native().values[..., :shared])


def test_upsampled_layer_is_stitched_at_the_input_s_resolution(record):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv1d(2, 4, 5), nn.Conv1d(4, 3, 3, stride=3), nn.Upsample(scale_factor=1.7)).eval()
    ask = sc.Output(lambda output: output.sum((1, 2)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sc.CamWarning)
        found = explained(net, record, method="hires-cam", layer="2", target=ask)
    assert found.maps.shape[-1] == LENGTH
    assert np.isfinite(found.maps).all()


# --- no seams ------------------------------------------------------------------------------------


def test_there_are_no_steps_at_the_windows_borders(classifier):
    t = np.arange(LENGTH) / 40
    smooth = np.stack([np.sin(t), np.cos(t)]).astype(np.float32)
    found = explained(classifier, smooth, layer="conv", overlap=0.5)
    native = found.native().values[0, 0, 0]
    steps = np.abs(np.diff(native))
    borders = np.unique(np.concatenate([found.windows["start"], found.windows["stop"]]) // 4)
    near = np.concatenate([borders + i for i in (-2, -1, 0, 1)])
    near = near[(near > 2) & (near < len(steps) - 3)]
    others = np.setdiff1d(np.arange(3, len(steps) - 3), near)
    assert steps[near].max() <= 1.1 * steps[others].max()


def test_constant_map_stays_constant(classifier, record):
    found = explained(classifier, record, layer="conv", method="uniform")
    assert np.ptp(found.maps.values) < 1e-6


def test_windows_that_do_not_meet_are_bridged(net, record):
    with pytest.warns(sc.CamWarning, match=r"overlap by 0 samples, but .* sees 13.*0.04 \(9 samples\)"):
        found = explained(net, record, layer="second", method="hires-cam", overlap=0)
    whole = sc.explain(net, record[None], layer="second", method="hires-cam", target=1, signed=True)
    assert found.native().shape == whole.native().shape
    assert np.isfinite(found.maps).all()


def test_window_shorter_than_the_receptive_field_is_told(record):
    torch.manual_seed(0)
    deep = nn.Sequential(
        *[nn.Conv1d(2, 2, 9, padding=4) for _ in range(4)], nn.Conv1d(2, 3, 1), nn.AdaptiveAvgPool1d(1), nn.Flatten()
    ).eval()
    with pytest.warns(sc.CamWarning, match="sees 33 samples, but a window has 24"):
        found = explained(deep, record, window=24, layer="3")
    assert found.maps.shape[-1] == LENGTH


# --- what a record may be ------------------------------------------------------------------------


def pieces(record, sizes=(1, 7, 311, 50)):
    start = 0
    for size in itertools.cycle(sizes):
        if start >= record.shape[1]:
            return
        yield record[:, start : start + size]
        start += size


def on_disk(record, folder):
    np.save(folder / "record.npy", record)
    return np.load(folder / "record.npy", mmap_mode="r")


def in_zarr(record, folder):
    array = zarr.create_array(folder / "record.zarr", shape=record.shape, dtype=record.dtype, chunks=(2, 700))
    array[...] = record
    return array


SOURCES = {
    "memmap": on_disk,
    "zarr": in_zarr,
    "chunks": lambda record, _folder: pieces(record),
    "list of chunks": lambda record, _folder: list(pieces(record)),
    "tensor": lambda record, _folder: torch.as_tensor(record),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_every_source_gives_the_same(net, record, kind, tmp_path):
    wanted = explained(net, record, layer="second")
    found = explained(net, SOURCES[kind](record, tmp_path), layer="second")
    np.testing.assert_array_equal(found.maps, wanted.maps)
    assert found.windows.identical(wanted.windows)
    assert found.input.shape == (1, 2, LENGTH)
    stretch, same = found.between(1000, 1100), wanted.between(1000, 1100)
    np.testing.assert_array_equal(stretch.maps, same.maps)
    if "chunks" in kind:
        assert np.isnan(stretch.input).all()
    else:
        np.testing.assert_array_equal(stretch.input, same.input)


class Watched:
    """A record that remembers what was read of it."""

    def __init__(self, length):
        self.shape, self.dtype, self.reads = (2, length), np.dtype(np.float32), []

    def __getitem__(self, key):
        start, stop, _ = key[1].indices(self.shape[1])
        self.reads.append((start, stop))
        return np.random.default_rng(start).standard_normal((2, stop - start)).astype(np.float32)


@pytest.mark.parametrize("length", [100_000, 300_000])
def test_record_is_read_once_in_order_and_in_pieces(net, length):
    record = Watched(length)
    found = explained(net, record, window=5000, layer="second", batch_size=4)
    assert [start for start, _ in record.reads] == [0, *[stop for _, stop in record.reads[:-1]]]
    assert record.reads[-1][1] == length
    assert max(stop - start for start, stop in record.reads) <= 2**16
    assert found.isel(target=0).between(70_000, 70_010).maps.shape[-1] == 11
    assert record.reads[-1] == (70_000, 70_011)


def test_memmap_stays_one_in_the_result(net, record, tmp_path):
    found = explained(net, on_disk(record, tmp_path), layer="second").isel(sample=0, target=0)
    assert isinstance(found.input, np.memmap)
    assert not found.input.flags.owndata


def test_channels_may_come_last(record):
    class Last(Local):
        def forward(self, x):
            return super().forward(x.transpose(1, 2))

    torch.manual_seed(0)
    net = Last().eval()
    found = explained(net, np.ascontiguousarray(record.T), layer="second", layout="batch time channel")
    np.testing.assert_array_equal(
        found.maps, explained(Local.eval(net), record.T, layer="second", layout="batch time channel").maps
    )
    assert found.dims == ("time",)
    assert found.input.shape == (1, LENGTH, 2)


@pytest.mark.parametrize("layout", ["batch _ channel time", "batch _ time channel"])
def test_network_over_channels_too_gets_a_map_with_a_channel_axis(record, layout):
    turned = layout.endswith("channel")
    kernel, stride = ((5, 1), (2, 1)) if turned else ((1, 5), (1, 2))
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 3, kernel, stride), nn.ReLU(), nn.Conv2d(3, 2, 1)).eval()
    image = record.T[None] if turned else record[None]
    ask = sc.Output(lambda output: output[:, 1].sum((1, 2)))
    how = {"target": ask, "layer": "0", "method": "hires-cam", "layout": layout, "signed": True}
    found = sc.explain_record(net, image, window=WINDOW, **how)
    whole = sc.explain(net, image[None], **how)
    assert found.maps.dims == whole.maps.dims
    assert_same(found.maps.values, whole.maps.values)
    assert found.between(100, 200).maps.sizes["time"] == 101


def test_waveform_with_its_rate_is_taken(classifier, record):
    found = explained(classifier, (record, 100.0), window=2.0, layer="conv")
    np.testing.assert_array_equal(found.maps, explained(classifier, record, layer="conv").maps)
    assert found.windows["stop_time"].values[0] == 2


def test_several_samples_are_no_record(classifier, record):
    with pytest.raises(sc.InputError, match="holds 2 samples"):
        explained(classifier, (np.stack([record, record]), 100.0), window=2.0, layer="conv")


def test_map_by_channel_is_that_of_the_whole_record(net, record):
    how = {"method": sc.PerChannel("layer-cam"), "layer": "relu", "target": 0, "layout": "batch channel time"}
    found, whole = explained(net, record, **how), sc.explain(net, record[None], signed=True, **how)
    assert found.maps.dims[-2:] == ("channel", "time")
    assert_same(found.maps.values, whole.maps.values, slice(0, LENGTH - 40))


@pytest.mark.parametrize("method", ["recipro-cam", "eigen-cam"])
def test_methods_that_try_or_draw_elsewhere_are_stitched_too(net, record, method):
    found = explained(net, record, method=method, layer="second", batch_size=8)
    assert found.maps.sizes["time"] == LENGTH
    assert np.isfinite(found.maps).all()
    assert found.native().values.any()


def test_resized_maps_are_stitched_at_the_input_s_resolution(net, record):
    found = explained(net, record, layer="second", align="resize")
    assert found.native().shape == (1, 1, 1, LENGTH)


def test_layer_is_found_where_nobody_names_one(net, record):
    assert explained(net, record).layer_names == sc.explain(net, record[None], target=1).layer_names


def test_progress_counts_windows(classifier, record, capsys):
    explained(classifier, record, layer="conv", progress=True)
    assert "29/29" in capsys.readouterr().err


# --- seconds, windows, stretches -----------------------------------------------------------------


def test_windows_and_stretches_are_in_seconds_where_there_is_a_rate(classifier, record):
    layout = sc.Layout("batch channel time", sampling_rate=100, channel_names=["I", "II"])
    names = ["N", "AF", "VT", "other"]
    found = explained(classifier, record, window=2.0, layout=layout, class_names=names, target="AF", layer="conv")
    table = found.windows
    assert table["start_time"].values.tolist() == list(np.arange(29.0))
    assert table["stop_time"].attrs["units"] == "s"
    assert (table["stop"] - table["start"] == WINDOW).all()
    assert table["class"].values.tolist() == names
    alone = sc.explain(classifier, record[None, :, 500:700], target=1, layer="conv")
    np.testing.assert_allclose(table["logit"].values[5], alone.logits[0], rtol=1e-5)
    assert table["predicted"].values[5] == alone.classes[0]
    stretch = found.between(4.0, 6.0)
    np.testing.assert_allclose(stretch.maps["time"], np.arange(400, 601) / 100)
    np.testing.assert_allclose(stretch.maps.values, found.maps.values[..., 400:601], rtol=1e-6)
    assert stretch.windows["start_time"].values.tolist() == [3, 4, 5, 6]
    again = stretch.between(5.0, 5.5)
    np.testing.assert_allclose(again.maps["time"], np.arange(500, 551) / 100)


def test_clock_that_does_not_begin_at_zero_is_kept(classifier, record):
    layout = sc.Layout("batch channel time", coordinates={"time": 50 + np.arange(LENGTH) / 100})
    found = explained(classifier, record, window=2.0, layout=layout, layer="conv")
    assert found.windows["start_time"].values[0] == 50
    assert found.between(60, 61).maps["time"].values[0] == 60


def test_uneven_clock_is_refused(classifier, record):
    layout = sc.Layout("batch channel time", coordinates={"time": np.arange(LENGTH) ** 1.5})
    with pytest.raises(sc.LayoutError, match="not evenly spaced"):
        explained(classifier, record, layout=layout, layer="conv")


def test_windows_predict_their_own_class(classifier, record):
    found = explained(classifier, record, target="predicted", layer="conv")
    assert (found.windows["target_class"].values[:, 0] == found.windows["predicted"].values).all()
    assert found.target_classes[0, 0] == -1
    with pytest.raises(sc.TargetError, match=r"window by window.*Read .windows"):
        _ = found.predicted


def test_labels_are_one_a_window(classifier, record):
    labels = np.arange(29) % 4
    found = explained(classifier, record, target=sc.TrueLabel(), labels=labels, layer="conv", batch_size=4)
    assert found.windows["target_class"].values[:, 0].tolist() == labels.tolist()
    per = explained(classifier, record, target=sc.PerSample(labels), layer="conv", batch_size=5)
    np.testing.assert_allclose(per.maps.values, found.maps.values, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["array", "zarr", "chunks"])
def test_result_comes_back_from_disk(classifier, record, kind, tmp_path):
    given = record if kind == "array" else SOURCES[kind](record, tmp_path)
    layout = sc.Layout("batch channel time", sampling_rate=100)
    found = explained(classifier, given, window=2.0, layout=layout, layer="conv")
    found.save(tmp_path / "kept.zarr")
    back = sc.load(tmp_path / "kept.zarr")
    assert back.maps.identical(found.maps)
    assert back.windows.identical(found.windows)
    np.testing.assert_array_equal(back.input, found.input[:])


# --- what is refused, and what is told -------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "options", "error", "told"),
    [
        (slice(0, 150), {}, sc.InputError, "150 samples, fewer than a window of 200"),
        (slice(None), {"window": 0}, sc.InputError, "window is 0"),
        (slice(None), {"overlap": 1}, sc.InputError, "overlap is 1"),
        (slice(None), {"target": sc.PerSample([0, 1])}, sc.InputError, "29 windows.*2 classes"),
        (slice(None), {"labels": [0, 1]}, sc.InputError, "2 labels for 29 windows"),
        (slice(None), {"window": 100}, sc.ModelError, "does not take a window of 100 samples"),
        (slice(None), {"preprocess": np.abs}, sc.InputError, "preprocess="),
        (slice(None), {"layout": "batch time"}, sc.LayoutError, "leaves 1 axes"),
        (slice(None), {"layout": "batch channel width"}, sc.LayoutError, "which axis"),
        (slice(None), {"extra": {"age": np.ones(3)}}, sc.InputError, "extra holds an array"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_a_sentence(classifier, record, changed, options, error, told):
    with pytest.raises(error, match=told):
        explained(classifier, record[:, changed], **{"layer": "conv", **options})


def test_iterator_takes_no_labels(classifier, record):
    with pytest.raises(sc.InputError, match="one a window"):
        explained(classifier, pieces(record), labels=[0], layer="conv")
    with pytest.raises(sc.InputError, match="unknown number of windows"):
        explained(classifier, pieces(record), target=sc.PerSample([0, 1]), layer="conv")


@pytest.mark.parametrize("given", ["day.npy", None, {"ecg": np.zeros((2, 300))}])
def test_what_is_no_record_is_refused(classifier, given):
    with pytest.raises(sc.InputError, match="the record is"):
        explained(classifier, given, layer="conv")


@pytest.mark.parametrize("method", ["hires-cam", "eigen-cam"])
def test_window_that_the_network_does_not_take_is_told(net, record, method):
    with pytest.raises(sc.ModelError, match=r"a window of 8 samples.*Give a longer window"):
        explained(net, record, window=8, layer="second", method=method)


@pytest.mark.parametrize("method", ["hires-cam", "guided-grad-cam"])
@pytest.mark.parametrize("kind", ["int16", "uint8", "int32"])
def test_whole_numbers_of_a_recorder_are_explained_as_float32_and_stay_on_disk(net, record, tmp_path, kind, method):
    counts = np.clip(np.round(record * 40 + 128), 0, 255).astype(kind)
    np.save(tmp_path / "counts.npy", counts)
    on_disk = np.load(tmp_path / "counts.npy", mmap_mode="r")
    found = explained(net, on_disk, layer="second", method=method)
    whole = explained(net, counts.astype(np.float32), layer="second", method=method)
    np.testing.assert_array_equal(found.maps.values, whole.maps.values)
    np.testing.assert_array_equal(found.windows["score"], whole.windows["score"])
    assert isinstance(found.input, np.memmap)
    assert found.input.dtype == kind


def test_indices_stay_whole_numbers():
    torch.manual_seed(0)
    reader = nn.Sequential(nn.Embedding(9, 4), Transposed(), nn.Conv1d(4, 3, 5), Summed()).eval()
    words = np.random.default_rng(0).integers(0, 9, 600)
    found = explained(reader, words, layer="2", layout="batch time", align="resize")
    assert found.maps.sizes["time"] == 600
    with torch.no_grad():
        expected = reader(torch.as_tensor(words[None, :WINDOW]))[0, 1]
    assert found.windows["score"].values[0, 0] == pytest.approx(float(expected), rel=1e-5)


class Transposed(nn.Module):
    def forward(self, x):
        return x.transpose(1, 2)


class Summed(nn.Module):
    def forward(self, x):
        return x.sum(-1)


@pytest.mark.parametrize("kind", ["float32", "int16"])
def test_a_longer_window_is_not_advised_where_the_channels_are_wrong(net, record, kind):
    told = r"a window of 200 samples: [^\n]*1, 1, 200[^\n]*Windows of 400 and 1600 samples are refused, too\. A batch of windows has shape \(1, 1, 200\): give a record with the channels"
    with pytest.raises(sc.ModelError, match=told) as caught:
        explained(net, record[:1].astype(kind), layer="second")
    assert "longer window" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_chunks_must_be_alike(classifier, record):
    with pytest.raises(sc.LayoutError, match="like those before"):
        explained(classifier, [record, record[:1]], window=3100, layer="conv")


def test_nan_is_refused_by_the_window_s_number(net, record):
    record[0, 1050] = np.nan
    with pytest.raises(sc.InputError, match=r"windows 9, 10 .* sample 900"):
        explained(net, record, layer="second")


def test_window_with_nan_is_left_out_where_others_have_the_place(net, record):
    whole = sc.explain(net, record[None], layer="second", target=1, signed=True, method="hires-cam")
    record[0, 1050] = np.nan
    with pytest.warns(sc.CamWarning) as caught:
        found = explained(net, record, layer="second", nan="warn", method="hires-cam")
    assert any("windows 9, 10 hold NaN" in str(each.message) for each in caught)
    assert np.isnan(found.maps.values[..., 1050]).all()
    assert_same(found.native().values, whole.native().values, slice(0, 225))


def test_warnings_come_once_for_all_windows(net, record):
    record[:, 1000:2000] = 0
    with pytest.warns(sc.CamWarning) as caught:
        explained(net, record, layer="second", batch_size=2, signed=False, method="grad-cam")
    assert len({str(each.message) for each in caught}) == len(caught)
    assert any("of 29 windows" in str(each.message) for each in caught)


def test_no_stretch_of_what_is_not_there(net, record):
    found = explained(net, record, layer="second")
    with pytest.raises(sc.LayoutError, match="it runs from 0"):
        found.between(5000, 6000)
    with pytest.raises(sc.LayoutError, match="axis of positions"):
        found.between(0, 1, dim="channel")


def test_windows_of_a_stretch_keep_their_numbers_when_saved(net, tmp_path):
    record = np.random.default_rng(0).normal(size=(2, LENGTH)).astype("float32")
    stretch = sc.explain_record(net, record, window=WINDOW, target=1).between(1000, 1300)
    stretch.save(tmp_path / "stretch.zarr")
    assert stretch.windows["window"].values[0] > 0
    assert sc.load(tmp_path / "stretch.zarr").windows.identical(stretch.windows)


@pytest.mark.parametrize("wrong", [{"window": "2 s"}, {"window": None}, {"overlap": "a"}, {"overlap": None}], ids=str)
def test_windows_and_overlaps_that_are_no_numbers_are_refused(net, wrong):
    record = np.zeros((2, LENGTH), "float32")
    with pytest.raises(sc.InputError, match=f"{next(iter(wrong))} is"):
        sc.explain_record(net, record, **{"window": WINDOW, **wrong})
