"""Styles, scales, long records and displays of signals."""

import io

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

import signalcam as sc
from signalcam.plot.map_view import clock, envelope
from signalcam.plot.signal import SignalDisplay, cut_runs, strongest

LEADS = ["I", "II", "V1"]
STYLES = ["strip", "line", "area"]


@pytest.fixture
def each_its_own(make):
    """A map over time and channel."""
    return make((1, 3, 400), "batch channel time", [1, 2], sampling_rate=100, channel_names=LEADS, units="mV")


@pytest.fixture
def signal(make):
    return make((2, 3, 400), "batch channel time", [2], sampling_rate=100, channel_names=LEADS, units="mV")


def colour_bar(ax):
    return next(each for each in ax.figure.axes if each is not ax)


def drawn(figure):
    """The pixels, RGB in 0..255."""
    file = io.BytesIO()
    figure.savefig(file, format="rgba")
    width, height = figure.canvas.get_width_height()
    return np.frombuffer(file.getvalue(), np.uint8).reshape(height, width, 4)[..., :3]


@pytest.mark.parametrize("style", STYLES)
def test_every_style_draws_every_line_over_the_same_scale(signal, style):
    display = SignalDisplay.from_explanation(signal, target="AF").plot(style=style)
    assert [len(line.get_xdata()) for line in display.line_] == [400] * 3
    assert display.strip_.get_clim() == (0, signal.maps.values[0, 1, 0, 0].max())
    assert display.bar_.ax.get_ylabel() == "evidence for AF (logit)"
    assert display.ax_.figure is display.figure_


@pytest.mark.parametrize("style", STYLES)
def test_arguments_reach_the_artists(signal, style):
    display = SignalDisplay.from_explanation(signal).plot(
        style=style, line_kws={"color": "navy"}, strip_kws={"alpha": 0.5}, vmax=2, cmap="viridis"
    )
    assert {line.get_color() for line in display.line_} == {"navy"}
    assert display.strip_.get_alpha() == 0.5
    assert display.strip_.get_clim() == (0, 2)
    assert display.strip_.get_cmap().name == "viridis"


def test_a_stroke_has_the_level_of_its_samples_and_leaves_none_out(signal):
    display = SignalDisplay.from_explanation(signal).plot(style="line")
    assert isinstance(display.strip_, LineCollection)
    strokes, values = display.strip_.get_segments(), display.strip_.get_array()
    heat, top = signal.maps.values[0, 0, 0, 0], signal.maps.values[0, 0, 0, 0].max()
    first = [(stroke, value) for stroke, value in zip(strokes, values, strict=True) if stroke[0, 1] > 1.5]
    seen = np.concatenate([stroke[:-1] if i < len(first) - 1 else stroke for i, (stroke, _) in enumerate(first)])
    np.testing.assert_array_equal(seen, np.column_stack(display.line_[0].get_data()))
    for stroke, value in first:
        here = heat[np.round(stroke[:-1, 0] * 100).astype(int)]
        assert np.abs(here - value).max(initial=0) <= top / 32 / 2 + 1e-6  # half of one of 32 levels
    assert len(np.unique(values)) >= 16


def test_runs_are_cut_where_the_level_changes():
    points = np.column_stack([np.arange(5), np.zeros(5)])
    pieces, levels = cut_runs(points, np.array([1, 1, 2, 2, 1]))
    assert [piece[:, 0].tolist() for piece in pieces] == [[0, 1, 2], [2, 3, 4], [4]]
    assert levels.tolist() == [1, 2, 1]


def test_an_area_is_coloured_below_the_line_alone(make):
    exp = make((1, 1, 50), "batch channel time", [2])
    exp.input[:] = 0.0
    exp.input[..., 25:] = 1.0
    exp.layers[0].values[:] = 1.0
    ax = Figure(figsize=(2, 2), dpi=100).add_axes((0, 0, 1, 1))
    exp.plot.signal(ax=ax, style="area", colorbar=False, strip_kws={"cmap": "viridis"}, line_kws={"visible": False})
    picture = drawn(ax.figure)
    yellow = (picture[..., 2] < 100) & (picture[..., 0] > 200)
    assert yellow[100, 150]
    assert not yellow[100, 50]
    assert yellow[198, 50]


def test_channels_share_one_scale_and_the_bar_says_so(each_its_own):
    ax = each_its_own.plot()
    np.testing.assert_array_equal(ax.images[0].get_array(), each_its_own.maps.values[0, 0, 0, 0])
    assert colour_bar(ax).get_ylabel() == "evidence for normal (logit)\none scale for all channels"


def test_channels_have_their_own_scale_if_asked_and_the_bar_says_so(each_its_own):
    ax = each_its_own.plot(norm="own")
    maps = each_its_own.maps.values[0, 0, 0, 0]
    np.testing.assert_allclose(ax.images[0].get_array(), maps / maps.max(axis=1, keepdims=True))
    assert colour_bar(ax).get_ylabel() == "evidence for normal\nas a share of each channel's largest"


def test_an_own_scale_keeps_the_sign_and_zeros(make):
    exp = make((1, 2, 50), "batch channel time", [1, 2], signed=True)
    exp.layers[0].values[:, :, :, 1] = 0
    shown = np.asarray(exp.plot(norm="own").images[0].get_array())
    assert np.abs(shown[0]).max() == 1
    assert (np.sign(shown[0]) == np.sign(exp.maps.values[0, 0, 0, 0, 0])).all()
    assert (shown[1] == 0).all()


def test_a_heat_map_is_the_map_alone_with_its_channels(each_its_own):
    ax = each_its_own.plot.heatmap(channels=["V1", "I"])
    np.testing.assert_array_equal(ax.images[0].get_array(), each_its_own.maps.values[0, 0, 0, 0, [2, 0]])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["V1", "I"]
    assert not ax.lines  # nothing covers the heat
    assert ax.get_xlabel() == "time (s)"


def test_a_heat_map_of_one_map_for_all_channels_is_one_row(signal):
    ax = signal.plot.heatmap()
    assert ax.images[0].get_array().shape == (1, 400)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["all channels"]


def test_the_first_channel_is_on_top_of_a_heat_map(make):
    exp = make((1, 2, 50), "batch channel time", [1, 2])
    exp.layers[0].values[:] = np.array([0.0, 1.0])[:, None]
    ax = Figure(figsize=(2, 2), dpi=100).add_axes((0, 0, 1, 1))
    exp.plot.heatmap(ax=ax, colorbar=False)
    picture = drawn(ax.figure)
    assert picture[50, 100].sum() > picture[150, 100].sum()


def test_an_envelope_keeps_every_extreme_and_both_ends(rng):
    values = rng.normal(size=123_457)
    kept = envelope(values)
    assert len(kept) <= 2002
    assert (np.diff(kept) > 0).all()
    assert {0, 123_456, values.argmin(), values.argmax()} <= set(kept.tolist())
    size = -(-len(values) // 1000)
    for start in range(0, len(values), size):
        here = values[kept[(kept >= start) & (kept < start + size)]]
        stretch = values[start : start + size]
        assert (here.min(), here.max()) == (stretch.min(), stretch.max())


def test_a_short_line_and_a_short_map_are_drawn_in_full(rng):
    assert envelope(rng.normal(size=2000)).tolist() == list(range(2000))
    row = rng.normal(size=1600)
    assert strongest(row) is row


def test_a_long_map_keeps_its_peaks_with_their_sign():
    row = np.zeros(100_000)
    row[[77, 50_000]] = 3.0, -5.0
    row[60_000:60_500] = np.nan
    short = strongest(row)
    assert len(short) <= 1600
    assert (np.nanmax(short), np.nanmin(short)) == (3.0, -5.0)
    assert np.isnan(short).any()


def test_missing_values_are_gaps_in_a_long_line(rng):
    values = rng.normal(size=10_000)
    values[3000:4000] = np.nan
    kept = envelope(values)
    assert np.isnan(values[kept]).any()
    assert np.nanmax(values) in values[kept]


@pytest.mark.parametrize("draw", ["signal", "ecg"])
@pytest.mark.parametrize("gone", [[1], [0, 1, 2]])
def test_a_channel_that_holds_nothing_is_drawn_without_a_line(signal, draw, gone):
    signal.input[:, gone] = np.nan
    getattr(signal.plot, draw)().figure.savefig(io.BytesIO())


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("times", [np.arange(50)[::-1], np.r_[0:30, 100:120]])
def test_every_style_is_drawn_over_a_falling_and_an_uneven_clock(make, style, times):
    exp = make((1, 2, 50), "batch channel time", [2], coordinates={"time": times / 10})
    exp.plot(style=style).figure.savefig(io.BytesIO())


def test_a_long_record_has_hours_and_minutes(make):
    exp = make((1, 1, 7200), "batch channel time", [2], sampling_rate=1)
    ax = exp.plot()
    ax.figure.draw_without_rendering()
    assert ax.get_xlabel() == "time (h:m:s)"
    labels = [label.get_text() for label in ax.get_xticklabels()]
    assert {"0:15:00", "0:30:00", "1:45:00"} <= set(labels)


def test_a_short_stretch_late_in_a_record_has_the_time_of_the_record(make):
    exp = make((1, 1, 50_000), "batch channel time", [2], sampling_rate=10)
    ax = exp.between(3600, 3610).plot()
    ax.figure.draw_without_rendering()
    assert "1:00:02" in [label.get_text() for label in ax.get_xticklabels()]


def test_ten_minutes_and_less_are_in_seconds(make):
    ax = make((1, 1, 600), "batch channel time", [2], sampling_rate=1).plot()
    assert ax.get_xlabel() == "time (s)"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0:00:00"), (59.96, "0:01:00"), (3661.5, "1:01:01.5"), (90_000, "25:00:00"), (-2, "-0:00:02")],
)
def test_a_clock_says(seconds, said):
    assert clock(seconds) == said


def test_an_unknown_style_or_norm_is_told(signal):
    with pytest.raises(sc.CamError, match=r"no style 'strips'\. Nearest: 'strip'"):
        signal.plot(style="strips")
    with pytest.raises(sc.CamError, match=r"no norm 'robust'.*'shared', 'own'"):
        signal.plot(norm="robust")


def test_axes_and_a_figure_at_once_are_refused(signal):
    figure = Figure()
    with pytest.raises(sc.LayoutError, match="both ax= and fig="):
        signal.plot(ax=figure.add_subplot(), fig=figure)


def test_a_figure_or_a_part_of_one_can_be_drawn_in(signal):
    left, right = Figure(layout="constrained").subfigures(1, 2)
    assert signal.plot(fig=left).figure is left
    assert len(right.axes) == 0


@pytest.mark.parametrize("draw", ["signal", "heatmap", "ecg"])
def test_a_map_of_nothing_finite_is_refused(signal, draw):
    signal.layers[0].values[1] = np.nan
    with pytest.raises(sc.InputError, match="sample 1 holds no finite value"):
        getattr(signal.plot, draw)(1)


def test_figures_change_no_setting(each_its_own):
    before = dict(mpl.rcParams)
    for style in STYLES:
        each_its_own.plot(style=style)
    each_its_own.plot.heatmap()
    each_its_own.plot.ecg()
    each_its_own.plot.compare("target")
    each_its_own.plot.summary()
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("kind", ["svg", "pdf"])
@pytest.mark.parametrize("style", [*STYLES, "heat"])
def test_a_vector_file_of_twelve_by_five_thousand_is_small(make, kind, style, tmp_path):
    exp = make((1, 12, 5000), "batch channel time", [1, 2], sampling_rate=500)  # a map of noise is the worst there is
    exp.input[:] = np.sin(np.arange(5000) / 30) ** 15 + 0.02 * exp.input
    exp.plot.signal(style=style).figure.savefig(tmp_path / "figure", format=kind, dpi=150)
    assert (tmp_path / "figure").stat().st_size < 1_000_000


def test_one_channel_may_be_named_without_a_list(signal):
    for one in ("II", 1, np.int64(1)):
        assert SignalDisplay.from_explanation(signal, channels=one).names == ["II"]


@pytest.mark.parametrize("channels", [[], [1.0], "III", 1.5, [None]], ids=str)
def test_channels_that_are_none_are_refused(signal, channels):
    with pytest.raises(sc.LayoutError, match=r"no such channel|channels= is empty"):
        signal.plot.signal(0, channels=channels)


def test_units_beside_the_scale_are_never_read_as_a_formula(make):
    exp = make((1, 2, 50), "batch channel time", [2], units="$x$")
    ax = exp.plot.signal(0)
    assert not next(each for each in ax.texts if "$x$" in each.get_text()).get_parse_math()


def test_short_names_of_line_options_are_taken(signal):
    for draw in (signal.plot.signal, signal.plot.ecg):
        line = next(each for each in draw(0, line_kws={"lw": 2, "c": "blue"}).lines if len(each.get_xdata()) > 100)
        assert (line.get_linewidth(), line.get_color()) == (2, "blue")
