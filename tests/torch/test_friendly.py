"""Signals of pandas, xarray, MNE, wfdb, torchaudio, librosa and Hugging Face go in as they are."""

import warnings
from collections import UserDict

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

import signalcam as sc

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what they say while they are imported is not about us
    import mne
    import wfdb

LEADS = ["I", "II", "V1"]


@pytest.fixture
def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv1d(3, 4, 5),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool1d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(4, 2),
    )


@pytest.fixture
def x(rng):
    return rng.normal(size=(4, 3, 200))


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def assert_like_plain(network, given, x, **options):
    """The object gives the maps that the bare array gives; what is known of it is returned."""
    exp = sc.explain(network, given, layer="1", target=1, signed=True, **options)
    plain = sc.explain(network, x, layer="1", target=1, signed=True)
    np.testing.assert_allclose(exp.maps.values, plain.maps.values, rtol=1e-6)
    assert exp.dims == ("time",)
    return exp


# --- pandas ---------------------------------------------------------------------------------------------------


def frame(x, **options):
    return pd.DataFrame(x.T, columns=LEADS, **options)


def test_a_dataframe_is_one_sample_with_named_channels(network, x):
    exp = assert_like_plain(network, frame(x[0]), x[:1])
    assert exp.layout == sc.Layout("batch channel time", channel_names=LEADS)


@pytest.mark.parametrize(
    "index",
    [
        pd.date_range("2026-01-01", periods=200, freq="4ms"),
        pd.timedelta_range("0s", periods=200, freq="4ms"),
        pd.Index(np.arange(200) / 250),
    ],
)
def test_the_rate_is_taken_from_the_index(network, x, index):
    exp = assert_like_plain(network, frame(x[0], index=index), x[:1])
    assert exp.layout.sampling_rate == pytest.approx(250)
    np.testing.assert_allclose(exp.maps.time, np.arange(200) / 250)


def test_an_index_that_begins_elsewhere_or_skips_is_kept(network, x):
    clock = np.arange(200) / 250 - 0.2
    exp = assert_like_plain(network, frame(x[0], index=clock), x[:1])
    np.testing.assert_allclose(exp.maps.time, clock)
    clock[100:] += 3
    exp = assert_like_plain(network, frame(x[0], index=clock), x[:1])
    np.testing.assert_allclose(exp.maps.time, clock)
    assert exp.layout.sampling_rate is None


def test_two_levels_of_rows_are_samples_and_time(network, x):
    tall = pd.concat([frame(each) for each in x], keys=["ann", "bob", "cy", "di"])
    exp = assert_like_plain(network, tall, x)
    assert exp.sample_names == ("ann", "bob", "cy", "di")


def test_a_list_of_dataframes_is_a_batch(network, x):
    assert_like_plain(network, [frame(each) for each in x], x)


def test_a_series_is_one_channel(rng):
    network = torch.nn.Sequential(
        torch.nn.Conv1d(1, 4, 5),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool1d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(4, 2),
    )
    exp = sc.explain(network, pd.Series(rng.normal(size=90), name="pulse"), method="hires-cam", signed=True)
    assert exp.layout.channel_names == ("pulse",)
    assert exp.input.shape == (1, 1, 90)


def test_what_the_user_says_goes_before_what_the_object_says(network, x):
    layout = sc.Layout("batch channel time", channel_names=["a", "b", "c"], units="mV")
    clocked = frame(x[0], index=np.arange(200) / 250)
    exp = assert_like_plain(network, clocked, x[:1], layout=layout)
    assert exp.layout.channel_names == ("a", "b", "c")
    assert (exp.layout.units, exp.layout.sampling_rate) == ("mV", 250)


def test_axes_go_where_a_layout_wants_them(x):
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, (5, 3)),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(4, 2),
    )
    exp = sc.explain(network, frame(x[0]), layout="batch _ time channel", method="hires-cam", signed=True)
    np.testing.assert_array_equal(exp.input, x[:1].swapaxes(1, 2)[:, None])
    assert exp.layout.channel_names == tuple(LEADS)


# --- xarray ---------------------------------------------------------------------------------------------------


def labelled(x, *dims, **coords):
    return xr.DataArray(x, coords, dims or ("sample", "channel", "time"), attrs={"units": "mV"})


def test_a_dataarray_brings_dims_coordinates_and_names(network, x):
    given = labelled(x, sample=list("abcd"), channel=LEADS, time=np.arange(200) / 100 - 1)
    exp = assert_like_plain(network, given.transpose("time", "sample", "channel"), x)
    assert exp.sample_names == tuple("abcd")
    assert exp.layout.dims == ("batch", "channel", "time")
    assert (exp.layout.channel_names, exp.layout.units) == (tuple(LEADS), "mV")
    assert float(exp.maps.time[0]) == -1


def test_units_of_a_coordinate_are_kept(network, x):
    given = labelled(x)
    given["time"] = ("time", np.arange(200) * 4.0, {"units": "ms"})
    exp = assert_like_plain(network, given, x)
    assert exp.maps.time.attrs == {"units": "ms"}


def test_dates_are_seconds_from_the_first(network, x):
    given = labelled(x, time=pd.date_range("2026-01-01", periods=200, freq="10ms"))
    assert assert_like_plain(network, given, x).layout.sampling_rate == 100


def test_a_single_dataarray_and_another_name_for_the_samples_will_do(network, x):
    assert_like_plain(network, labelled(x[0], "channel", "time"), x[:1])
    wide = labelled(x, "patient", "channel", "time")
    assert_like_plain(network, wide, x, layout="batch channel time")
    with pytest.raises(sc.LayoutError, match=r"axis of the DataArray \(patient, .*holds the samples"):
        sc.explain(network, wide)


def test_a_rate_among_the_attributes_is_read(network, x):
    given = labelled(x).assign_attrs(fs=360)
    assert assert_like_plain(network, given, x).layout.sampling_rate == 360


# --- MNE ------------------------------------------------------------------------------------------------------


@pytest.fixture
def epochs(x):
    info = mne.create_info(["Fz", "Cz", "Pz"], 100.0, "eeg")
    events = np.column_stack([np.arange(4) * 300, np.zeros(4, int), [1, 2, 2, 1]])
    return mne.EpochsArray(x, info, events, -0.5, {"left": 1, "right": 2}, verbose=False)


def test_epochs_bring_names_rate_unit_and_their_clock(network, epochs, x):
    exp = assert_like_plain(network, epochs, x)
    assert exp.layout.channel_names == ("Fz", "Cz", "Pz")
    assert (exp.layout.sampling_rate, exp.layout.units) == (100, "V")
    np.testing.assert_allclose(exp.maps.time, epochs.times)
    assert exp.labels is None


def test_events_are_labels_where_the_classes_are_called_so(network, epochs, x):
    exp = assert_like_plain(network, epochs, x, class_names=["right", "left"])
    assert exp.labels.values.tolist() == [1, 0, 0, 1]
    exp = assert_like_plain(network, epochs, x, class_names=["rest", "left"])
    assert exp.labels is None
    exp = assert_like_plain(network, epochs, x, class_names=["right", "left"], labels=[0] * 4)
    assert exp.labels.values.tolist() == [0] * 4


def test_dropped_epochs_leave_the_numbers_of_the_others(network, epochs, x):
    assert assert_like_plain(network, epochs[[1, 3]], x[[1, 3]]).sample_names == (1, 3)


def test_raw_and_evoked_are_one_sample(network, epochs, x):
    raw = mne.io.RawArray(x[0], epochs.info, verbose=False)
    assert assert_like_plain(network, raw, x[:1]).layout.sampling_rate == 100
    evoked = epochs["left"].average()
    exp = assert_like_plain(network, evoked, x[[0, 3]].mean(0, keepdims=True))
    assert exp.sample_names == (evoked.comment,)


# --- wfdb, waveforms, feature dicts ---------------------------------------------------------------------------


def record(x, name="100", **changes):
    about = {"fs": 360, "sig_name": LEADS, "units": ["mV"] * 3, "n_sig": 3, "sig_len": x.shape[1]}
    return wfdb.Record(p_signal=x.T, record_name=name, **(about | changes))


def test_a_record_brings_names_rate_unit_and_its_own_name(network, x):
    exp = assert_like_plain(network, record(x[0]), x[:1])
    assert exp.layout == sc.Layout("batch channel time", 360, LEADS, "mV")
    assert exp.sample_names == ("100",)
    batch = [record(each, str(i)) for i, each in enumerate(x)]
    assert assert_like_plain(network, batch, x).sample_names == ("0", "1", "2", "3")


def test_a_waveform_with_its_rate_goes_in(network, x):
    tensor = torch.as_tensor(x)
    for given, wanted in (((tensor[0], 16000), x[:1]), ((x, 16000.0), x), ([(each, 16000) for each in x], x)):
        exp = assert_like_plain(network, given, wanted)
        assert exp.layout.sampling_rate == 16000


def test_a_waveform_of_one_channel_gets_the_axis_the_network_wants(rng):
    network = torch.nn.Sequential(
        torch.nn.Conv1d(1, 4, 5),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool1d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(4, 2),
    )
    wave = rng.normal(size=90)
    options = {"method": "hires-cam", "signed": True}
    assert sc.explain(network, (wave, 8000), **options).input.shape == (1, 1, 90)
    exp = sc.explain(network, (wave, 8000), preprocess=lambda each: each[:, None], **options)
    assert exp.input.shape == (1, 90)
    assert exp.maps.time.attrs == {"units": "s"}


def test_a_feature_dict_goes_in(x):
    class BatchFeature(UserDict):
        """What Hugging Face's extractors return, but for its methods."""

    class Speech(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = torch.nn.Conv1d(3, 4, 5), torch.nn.Linear(4, 2)

        def forward(self, input_values, attention_mask):
            return self.head(self.conv(input_values).mean(2) * attention_mask.float().mean(1)[:, None])

    given = BatchFeature({"input_values": x.tolist(), "attention_mask": torch.ones(4, 200).long()})
    exp = sc.explain(Speech(), given, layer="conv", method="hires-cam", signed=True)
    np.testing.assert_allclose(exp.input, x, rtol=1e-6)


def test_layers_are_listed_for_them_too(network, x):
    (first, *_) = sc.layers(network, record(x[0]))
    assert first.seconds == pytest.approx((1 / 360, 5 / 360))


def test_a_loader_may_yield_them(network, x):
    explainer = sc.Explainer(network, layer="1", method="hires-cam", signed=True)
    parts = list(explainer.stream([record(x[0], "a"), frame(x[1]), x[2:]]))
    assert [each.sample_names for each in parts] == [("a",), (1,), (2, 3)]


# --- bad input ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "layout", "told"),
    [
        (
            lambda x: record(x[0]),
            sc.Layout("batch channel time", 250),
            "says 250 samples a second, but the object itself says 360",
        ),
        (
            lambda x: frame(x[0], index=np.arange(200) / 100),
            sc.Layout("batch channel time", 250),
            "object itself says 100",
        ),
        (lambda x: (x, 100), sc.Layout("batch channel time", spacing={"time": 0.1}), "says 10 samples a second"),
        (lambda x: [record(x[0]), record(x[1], fs=500)], None, "360 and 500 samples a second"),
        (lambda x: [record(x[0]), record(x[1], sig_name=["I", "III", "V1"])], None, "different channels"),
        (lambda x: record(x[0]), "batch time", r"axes .*channel \(3\).*asks for 'batch time'"),
        (lambda x: record(x[0]), "batch channel frequency", "asks for 'batch channel frequency'"),
        (lambda x: (x[:, None], 100), None, r"waveform with a rate has shape \(4, 1, 3, 200\)"),
        (lambda x: (x, 0), None, "sampling_rate is 0"),
        (lambda x: pd.concat([frame(x[0]), frame(x[1])[:50]], keys=["a", "b"]), None, "from 50 to 200 rows"),
        (lambda x: pd.concat({"u": pd.concat({"a": frame(x[0])})}), None, "have 3 levels"),
    ],
)
def test_objects_that_do_not_fit_are_told(network, x, given, layout, told):
    with pytest.raises(sc.LayoutError, match=told):
        sc.explain(network, given(x), layout=layout)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (lambda x: frame(x[0]).assign(I="loud"), "DataFrame holds object values"),
        (
            lambda x: wfdb.Record(d_signal=np.ones((9, 3), int), fs=10, record_name="7"),
            "'7' holds no signal in physical",
        ),
    ],
)
def test_objects_without_numbers_are_told(network, x, given, told):
    with pytest.raises(sc.InputError, match=told):
        sc.explain(network, given(x))
