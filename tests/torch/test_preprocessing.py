"""Maps on the raw signal, through what is made of it before the network sees it."""

import numpy as np
import pytest
import torch
from unit.results import assert_same

import signalcam as sc

RATE, HOP, LENGTH = 2000, 20, 4000
LAYOUT = sc.Layout("batch time", sampling_rate=RATE)
NAMED = sc.Layout("batch time frequency", coordinates={"frequency": np.arange(33) * RATE / 64})


def spectrogram(x):
    """Log power of windows of 64 samples, centred, a hop of 20: (batch, frame, frequency)."""
    padded = torch.nn.functional.pad(torch.as_tensor(x, dtype=torch.float32), (32, 32))
    spectra = torch.fft.rfft(padded.unfold(-1, 64, HOP) * torch.hann_window(64), dim=-1)
    return torch.log(spectra.abs() ** 2 + 1e-3)


class Detector(torch.nn.Module):
    """Hears tones: the mean of one band of a spectrogram against silence."""

    def __init__(self):
        super().__init__()
        self.band = torch.nn.Conv2d(1, 1, (5, 3), padding=(2, 1), bias=False)
        torch.nn.init.constant_(self.band.weight, 1 / 15)
        self.loud = torch.nn.ReLU()

    def forward(self, x):
        heard = self.loud(self.band(x[:, None])).mean((2, 3))
        return torch.cat([heard, 0.1 - heard], 1)


def tones(*places):
    """A tone of 0.1 s at 500 Hz for each place, in faint noise."""
    t = np.arange(LENGTH) / RATE
    noise = np.random.default_rng(0).normal(scale=0.003, size=(len(places), LENGTH))
    each = [(np.abs(t - place) < 0.05) * np.sin(2 * np.pi * 500 * t) for place in places]
    return (np.stack(each) + noise).astype(np.float32)


def explained(raw=None, preprocess=spectrogram, **options):
    raw = tones(0.5, 1.3) if raw is None else raw
    return sc.explain(
        Detector(),
        raw,
        **{"layer": "loud", "target": 0, "layout": LAYOUT, "preprocess": preprocess, **options},
    )


@pytest.fixture(scope="module")
def exp():
    return explained(preprocess=sc.Preprocessing(spectrogram, layout=NAMED), labels=[0, 0])


def test_heat_lies_on_the_tone_in_seconds_of_the_raw_signal(exp):
    assert exp.dims == ("time",)
    assert exp.maps.shape[-1] == LENGTH
    heat = exp.maps.squeeze().values
    centres = heat @ exp.maps.time.values / heat.sum(1)
    np.testing.assert_allclose(centres, [0.5, 1.3], atol=0.02)  # two steps
    np.testing.assert_array_equal(exp.input, tones(0.5, 1.3))
    assert exp.provenance["preprocess"].startswith("time: from 0 on, a step is 20")


def test_the_networks_own_view_stays_with_its_axes(exp):
    own = exp.at_network_input
    assert own.dims == ("time", "frequency")
    assert float(own.maps.isel(sample=0).squeeze().sum("time").idxmax("frequency")) == 500
    np.testing.assert_allclose(own.maps.time, np.arange(201) / 100)
    np.testing.assert_array_equal(own.input, spectrogram(exp.input))
    over = own.maps.mean("frequency").sel(time=[0.5, 1.3])
    np.testing.assert_allclose(over, exp.maps.sel(time=[0.5, 1.3]), atol=1e-6)  # float32 means


def test_the_networks_own_view_follows_what_is_done_to_the_result(exp):
    for each in (exp.isel(sample=1), exp.normalized(), exp.sel(target="0")):
        assert len(each.at_network_input) == len(each)
    assert exp.normalized().at_network_input.maps.max() == 1


def test_both_views_are_saved(exp, tmp_path):
    exp.save(tmp_path / "a")
    same = sc.load(tmp_path / "a")
    assert_same(exp, same)
    assert exp.at_network_input.maps.identical(same.at_network_input.maps)


def test_a_function_alone_will_do(exp):
    found = explained()
    np.testing.assert_allclose(found.maps, exp.maps)
    assert found.at_network_input.layout.dims == ("batch", "time", "feature")


@pytest.mark.parametrize(
    "told",
    [{"start": 0, "jump": 20}, {"jump": 0.01, "unit": "seconds"}],
)
def test_a_declared_line_is_believed(exp, told):
    found = explained(preprocess=sc.Preprocessing(spectrogram, layout=NAMED, **told))
    np.testing.assert_allclose(found.maps, exp.maps)
    aside = explained(preprocess=sc.Preprocessing(spectrogram, layout=NAMED, start=100, jump=20))
    gap = aside.maps.idxmax("time") - exp.maps.idxmax("time")
    np.testing.assert_allclose(gap, 0.05, atol=1e-6)


def test_raw_tensors_reach_the_function_as_tensors(exp):
    kinds = []

    def keeping(x):
        kinds.append((type(x), x.dtype))
        return spectrogram(x)

    found = explained(torch.as_tensor(tones(0.5, 1.3)), keeping)
    assert set(kinds) == {(torch.Tensor, torch.float32)}
    np.testing.assert_allclose(found.maps, exp.maps)


def test_raw_integers_are_nudged_in_integers():
    raw = np.round(tones(0.5) * 20000).astype(np.int16)
    found = explained(raw, lambda x: spectrogram(x / 20000))
    assert abs(float(found.maps.idxmax("time").squeeze()) - 0.5) < 0.06


def test_channels_that_are_kept_have_their_own_maps():
    network = torch.nn.Sequential(
        torch.nn.Conv1d(3, 4, 5),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool1d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(4, 2),
    )
    raw = np.random.default_rng(0).normal(size=(2, 3, 600)).astype(np.float32)
    layout = sc.Layout("batch channel time", 100, ["x", "y", "z"])
    found = sc.explain(
        network,
        raw,
        layer="1",
        method=sc.PerChannel("mean-activation"),
        layout=layout,
        signed=True,
        preprocess=lambda x: (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True),
    )
    assert found.dims == ("channel", "time")
    assert found.maps.channel.values.tolist() == ["x", "y", "z"]


def test_samples_that_are_cut_off_get_no_heat():
    found = explained(tones(1.0), lambda x: spectrogram(x[:, 1000:3000]))
    assert (found.maps.sel(time=slice(0, 0.45)) == 0).all()
    assert (found.maps.sel(time=slice(1.55, 2)) == 0).all()
    assert abs(float(found.maps.idxmax("time").squeeze()) - 1.0) < 0.06


def test_a_line_is_looked_for_once_while_streaming():
    calls = []

    def counted(x):
        calls.append(len(x))
        return spectrogram(x)

    explainer = sc.Explainer(Detector(), layer="loud", target=0, layout=LAYOUT, preprocess=counted)
    parts = list(explainer.stream([tones(0.5), tones(0.6), tones(0.7)]))
    assert [each.sample_names for each in parts] == [(0,), (1,), (2,)]
    assert calls.count(1) == 3
    assert len(calls) == 3 + 2


# --- bad input ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("preprocess", "error", "told"),
    [
        (lambda x: spectrogram(x)[:1], sc.LayoutError, "made 1 inputs of 2 raw samples"),
        (lambda x: spectrogram(x) * np.nan, sc.InputError, "preprocess returned, samples 0, 1 hold NaN"),
        (lambda x: None, sc.InputError, "preprocess returned NoneType"),
        (lambda x: "loud", sc.InputError, "preprocess returned str"),
        (
            lambda x: np.stack([x.std(-1)] * 9, 1)[:, :, None].repeat(9, 2),
            sc.LayoutError,
            r"along 'time' could not be seen.*Preprocessing\(function, start",
        ),
        ("mfcc", sc.InputError, "preprocess is str; give a function"),
    ],
)
def test_a_preprocessing_that_does_not_fit_is_told(preprocess, error, told):
    with pytest.raises(error, match=told):
        explained(preprocess=preprocess)


def test_an_error_inside_the_function_is_the_functions_own():
    def broken(x):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        explained(preprocess=broken)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"start": 3}, "start is 3 and jump None"),
        ({"jump": 0}, "jump 0; give a jump above 0"),
        ({"jump": float("nan")}, "jump nan"),
        ({"jump": 1, "unit": "frames"}, "unit is 'frames'"),
    ],
)
def test_half_a_declaration_is_told(options, told):
    with pytest.raises(sc.LayoutError, match=told):
        sc.Preprocessing(spectrogram, **options)


def test_seconds_without_a_rate_are_told():
    how = sc.Preprocessing(spectrogram, layout=NAMED, jump=0.01, unit="seconds")
    with pytest.raises(sc.LayoutError, match="in seconds, but the raw signal's rate is not known"):
        explained(preprocess=how, layout="batch time")


def test_two_rates_that_disagree_are_told():
    how = sc.Preprocessing(spectrogram, layout=sc.Layout("batch time frequency", sampling_rate=50))
    with pytest.raises(sc.LayoutError, match=r"says 50 steps a second, but .* they are 100"):
        explained(preprocess=how)


def test_a_declared_line_along_an_unknown_axis_is_told():
    flat = sc.Preprocessing(lambda x: np.stack([x.std(-1)] * 9, 1)[:, :, None].repeat(9, 2), jump=2)
    with pytest.raises(sc.LayoutError, match="which axis of the network's input"):
        explained(preprocess=flat)


def test_several_raw_arrays_are_told():
    with pytest.raises(sc.InputError, match="takes one raw array"):
        explained(tuple(tones(0.5, 1.3)))


def test_raw_signals_of_unequal_length_are_told():
    x = tones(0.5, 1.3)
    with pytest.raises(sc.InputError, match="raw signals of equal length, and these differ"):
        explained([x[0], x[1][..., :-20]])
    lengths = sc.Layout("batch time", lengths=[x.shape[1], x.shape[1] - 20])
    with pytest.raises(sc.InputError, match="Explain those of each length by themselves"):
        explained(x, layout=lengths)
