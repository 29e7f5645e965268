"""Figures say what they show, show what is there, and touch nothing global."""

import sys

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import signalcam as sc

LEADS = ["I", "II", "V1"]


@pytest.fixture
def signal(make):
    return make((2, 3, 400), "batch channel time", [2], sampling_rate=100, channel_names=LEADS, units="mV")


def strip(ax):
    return np.asarray(ax.images[0].get_array())


def colour_bar(ax):
    return next(each for each in ax.figure.axes if each is not ax)


def test_the_strip_holds_the_raw_map_for_every_channel(signal):
    ax = signal.plot(1, target="AF")
    np.testing.assert_array_equal(strip(ax), [signal.maps.values[1, 1, 0, 0]])


def test_each_channel_is_a_thin_black_line_with_its_name(signal):
    ax = signal.plot()
    assert [label.get_text() for label in ax.get_yticklabels()] == LEADS
    traces = [line for line in ax.lines if len(line.get_xdata()) == 400]
    assert len(traces) == 3
    assert all(line.get_color() == "black" and line.get_linewidth() < 1 for line in traces)


def test_lines_lie_in_their_rows_at_one_scale(signal):
    ax = signal.plot()
    first, second, _ = (line.get_ydata() for line in ax.lines if len(line.get_xdata()) == 400)
    gains = np.ptp(first) / np.ptp(signal.input[0, 0]), np.ptp(second) / np.ptp(signal.input[0, 1])
    assert gains[0] == pytest.approx(gains[1])
    assert first.min() > second.max() - 1


def test_time_is_in_seconds_where_the_rate_is_known(signal):
    ax = signal.plot()
    assert ax.get_xlabel() == "time (s)"
    assert ax.get_xlim() == pytest.approx((-0.005, 3.995))


def test_the_title_tells_truth_prediction_confidence_method_and_layer(signal):
    title = signal.plot(target="AF").get_title(loc="left")
    assert title == "true: AF · predicted: normal (> 99.9 %)\ngrad-cam at conv, for AF"


def test_the_one_colour_bar_says_what_it_shows(signal):
    ax = signal.plot(target="AF")
    assert len(ax.figure.axes) == 2
    assert colour_bar(ax).get_ylabel() == "evidence for AF (logit)"


def test_a_scale_bar_gives_the_unit(signal):
    assert any("mV" in text.get_text() for text in signal.plot().texts)


def test_a_single_channel_has_a_true_axis_with_its_unit(make):
    exp = make((1, 1, 50), "batch channel time", [2], channel_names=["MLII"], units="mV")
    ax = exp.plot()
    assert ax.get_ylabel() == "MLII (mV)"
    assert ax.get_xlabel() == "time (samples)"
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), exp.input[0, 0])


def test_a_signed_map_is_diverging_and_symmetric(make):
    ax = make((1, 2, 50), "batch channel time", [2], signed=True).plot()
    low, high = ax.images[0].get_clim()
    assert low == -high
    assert ax.images[0].get_cmap().name == "RdBu_r"
    assert colour_bar(ax).get_ylabel().startswith("evidence against / for")


def test_zero_is_the_lightest_colour_of_an_unsigned_map(signal):
    image = signal.plot().images[0]
    assert image.get_clim()[0] == 0
    assert min(image.cmap(0.0)[:3]) > min(image.cmap(1.0)[:3])


def test_a_map_over_time_and_channel_gives_each_channel_its_own_strip(make):
    exp = make((1, 1, 60, 3), "batch _ time channel", [2, 3], channel_names=LEADS)
    drawn = strip(exp.plot()).reshape(3, -1, 60)  # several lines a channel, all alike
    for line in drawn.swapaxes(0, 1):
        np.testing.assert_array_equal(line, exp.maps.values[0, 0, 0, 0].T)


def test_channels_can_be_chosen_by_name_and_number(signal):
    ax = signal.plot(channels=["V1", 0])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["V1", "I"]


def test_an_unknown_channel_is_told(signal):
    with pytest.raises(sc.LayoutError, match="I, II, V1"):
        signal.plot(channels=["V9"])


def test_an_unknown_target_is_told(signal):
    with pytest.raises(sc.TargetError, match="Nearest: 'AF'"):
        signal.plot(target="AFL")


def test_axes_given_are_drawn_on_and_returned(signal):
    ax = Figure().add_subplot()
    assert signal.plot(ax=ax, colorbar=False) is ax
    assert len(ax.figure.axes) == 1


def test_nothing_global_is_touched(signal):
    before = dict(mpl.rcParams)
    signal.plot()
    assert dict(mpl.rcParams) == before
    assert plt.get_fignums() == []


def test_an_image_is_covered_as_far_as_the_map_is_strong(make):
    exp = make((1, 3, 20, 30), "batch channel height width", [2, 3])
    ax = exp.plot()
    heat = exp.maps.values[0, 0, 0, 0]
    np.testing.assert_allclose(ax.images[1].get_alpha(), 0.85 * heat / heat.max(), rtol=1e-6)
    assert ax.images[0].get_array().shape == (20, 30, 3)
    assert ax.yaxis_inverted()


def test_a_spectrogram_has_time_across_and_frequency_upwards(make):
    exp = make((1, 1, 20, 30), "batch _ time frequency", [2, 3], sampling_rate=10)
    ax = exp.plot()
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("time (s)", "frequency")
    assert not ax.yaxis_inverted()
    np.testing.assert_array_equal(ax.images[1].get_array(), exp.maps.values[0, 0, 0, 0].T)


def test_a_volume_is_cut_through_its_strongest_point(make):
    exp = make((1, 1, 6, 8, 10), "batch channel depth height width", [2, 3, 4])
    ax = exp.plot()
    peak = np.unravel_index(exp.maps.values[0, 0, 0, 0].argmax(), (6, 8, 10))
    labels = [label.get_text() for label in ax.get_xticklabels()]
    assert labels == [f"{dim} {at}" for dim, at in zip(exp.dims, peak, strict=True)]
    shown = np.asarray(ax.images[1].get_array())
    assert np.nanmax(shown[:8, :10]) == exp.maps.values.max(axis=(3, 4, 5, 6))[0, 0, 0]


def test_a_constant_input_and_an_empty_map_can_be_drawn(make):
    exp = make((1, 2, 50), "batch channel time", [2])
    exp.input[:] = 1.0
    exp.layers[0].values[:] = 0.0
    exp.plot().figure.savefig("/dev/null", format="png")


def test_a_missing_matplotlib_names_the_extra(signal, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(sc.MissingExtra, match=r"signalcam\[plot\]"):
        signal.plot()


def test_channels_that_differ_do_not_run_into_each_other():
    """Drawn, the middle of each channel's strip has the colour of its own value and no other's."""
    import torch  # noqa: PLC0415 - only here

    torch.manual_seed(1)
    network = torch.nn.Sequential(
        torch.nn.Conv1d(2, 4, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool1d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(4, 3),
    )
    x = torch.randn(1, 2, 300)
    x[:, 1] = 0  # so that its own share is nothing
    exp = sc.explain(
        network,
        x,
        layer="1",
        method=sc.PerChannel("mean-activation"),
        target=1,
        signed=True,
        layout="batch channel time",
    )
    ax = exp.plot()
    (strip,) = ax.images
    rows = np.asarray(strip.get_array()).reshape(2, -1, 300)
    assert (rows[0] == rows[0, :1]).all()
    assert (rows[1] == 0).all()
    drawn = np.asarray(strip.make_image(FigureCanvasAgg(ax.figure).get_renderer())[0])
    quiet = drawn[: drawn.shape[0] * 2 // 5]  # drawn from below: the second channel
    assert (quiet == quiet[0, 0]).all()


MEL = 700 * (10 ** (np.linspace(20, 2600, 40) / 2595) - 1)  # 40 bands, as wide as they are heard


def test_an_even_axis_is_drawn_at_its_places(make):
    exp = make(
        (1, 1, 20, 30),
        "batch _ frequency time",
        [2, 3],
        coordinates={"frequency": np.arange(20) * 50.0},
        sampling_rate=10,
    )
    ax = exp.plot()
    assert (ax.get_ylabel(), ax.get_xlabel()) == ("frequency (Hz)", "time (s)")
    assert ax.images[0].get_extent() == pytest.approx([-0.05, 2.95, -25, 975])


def test_a_falling_axis_is_turned_upright(make):
    exp = make((1, 1, 20, 30), "batch _ frequency time", [2, 3], coordinates={"frequency": np.arange(20)[::-1] * 50.0})
    ax = exp.plot()
    assert ax.get_ylim() == (-25, 975)
    assert ax.images[0].get_extent()[2:] == [975, -25]


def test_bands_of_unequal_width_are_drawn_alike_with_ticks_where_they_are(make):
    exp = make((1, 1, 40, 30), "batch _ frequency time", [2, 3], coordinates={"frequency": MEL})
    ax = exp.plot()
    assert ax.images[0].get_extent()[2:] == [-0.5, 39.5]
    ticks = {float(label.get_text()): at for label, at in zip(ax.get_yticklabels(), ax.get_yticks(), strict=True)}
    assert {100, 500, 1000, 2000, 5000} <= set(ticks)
    np.testing.assert_allclose(np.interp(list(ticks.values()), np.arange(40), MEL), list(ticks))


def test_an_uneven_clock_is_drawn_sample_by_sample(make):
    times = np.concatenate([np.arange(30), 100 + np.arange(20)]) / 10
    ax = make((1, 2, 50), "batch channel time", [2], coordinates={"time": times}).plot()
    assert ax.get_xlim() == (-0.5, 49.5)
    labels = [float(label.get_text()) for label in ax.get_xticklabels()]
    assert labels == sorted(labels)
    assert len(labels) >= 3


def test_slices_of_a_volume_have_the_shape_of_the_body(make):
    exp = make(
        (1, 1, 6, 8, 10),
        "batch channel depth height width",
        [2, 3, 4],
        spacing={"depth": 3.0, "height": 0.5, "width": 0.5},
        axis_units={"depth": "mm"},
    )
    ax = exp.plot()
    left, right, bottom, top = ax.images[2].get_extent()
    assert (right - left, bottom - top) == pytest.approx((5, 18))
    peak = np.unravel_index(exp.maps.values[0, 0, 0, 0].argmax(), (6, 8, 10))
    assert ax.get_xticklabels()[0].get_text() == f"depth {peak[0] * 3} mm"
