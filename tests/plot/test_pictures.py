"""Pictures, spectrograms and volumes: what lies under the heat, and that it says how it got there."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure
from unit.results import scored

import signalcam as sc
from signalcam.plot.image import ImageDisplay
from signalcam.plot.map_view import MapView
from signalcam.plot.overlay import HeatOverlay, blend
from signalcam.plot.volume import VolumeDisplay

MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def given(exp, x, heat=None):
    """The same result of another input, and with another map."""
    if heat is not None:
        exp.layers[0].values[:] = heat
    return replace(exp, input=np.asarray(x))


def title(ax):
    return ax.get_title(loc="left")


def base(ax):
    return np.asarray(ax.images[0].get_array())


@pytest.fixture
def photo(make):
    return make((1, 20, 30, 3), "batch height width channel", [1, 2])


@pytest.fixture
def body(make):
    return make((1, 1, 6, 8, 10), "batch channel depth height width", [2, 3, 4])


def test_channels_that_come_last_are_colours(photo):
    x = np.random.default_rng(1).random((1, 20, 30, 3))
    ax = given(photo, x).plot.image()
    np.testing.assert_allclose(base(ax), x[0], rtol=1e-6)
    assert title(ax).endswith("picture: colours as given")


def test_whole_numbers_up_to_255_are_colours_as_they_are(photo):
    x = np.random.default_rng(1).integers(0, 256, (1, 20, 30, 3)).astype(np.uint8)
    ax = given(photo, x).plot.image()
    np.testing.assert_allclose(base(ax), x[0] / 255, rtol=1e-6)
    assert title(ax).endswith("colours as given")


def test_what_imagenet_normalisation_took_away_is_put_back_and_said(photo):
    x = np.random.default_rng(1).random((1, 20, 30, 3))
    ax = given(photo, (x - MEAN) / DEVIATION).plot.image()
    np.testing.assert_allclose(base(ax), x[0], atol=1e-5)
    assert title(ax).endswith("colours with ImageNet's mean and deviation put back")


def test_other_values_are_spread_from_black_to_white_and_the_ends_are_said(make):
    exp = make((1, 1, 20, 30), "batch channel height width", [2, 3])
    x = np.linspace(-5, 7, 600).reshape(1, 1, 20, 30)
    ax = given(exp, x).plot.image()
    np.testing.assert_allclose(base(ax), (x[0, 0] + 5) / 12, atol=1e-6)
    assert title(ax).endswith("picture: grey from -5 (black) to 7 (white)")


def test_channels_that_are_no_colours_are_averaged_and_it_is_said(make):
    x = np.random.default_rng(1).random((1, 4, 20, 30))
    ax = given(make((1, 4, 20, 30), "batch channel height width", [2, 3]), x).plot.image()
    np.testing.assert_allclose(base(ax), x[0].mean(axis=0), rtol=1e-5)
    assert title(ax).endswith("grey, the mean of 4 channels, as given")
    names = {"channel_names": ["T1", "T2", "FLAIR"]}
    assert base(make((1, 3, 20, 30), "batch channel height width", [2, 3], **names).plot.image()).ndim == 2


def test_keywords_reach_the_pictures(photo):
    ax = photo.plot.image(opacity=0.5, image_kws={"interpolation": "bilinear"}, heat_kws={"gid": "heat"})
    assert ax.images[0].get_interpolation() == "bilinear"
    assert ax.images[1].get_gid() == "heat"
    assert np.max(ax.images[1].get_alpha()) == pytest.approx(0.5)


@pytest.mark.parametrize("figure", ["image", "spectrogram", "volume"])
def test_axes_given_are_drawn_on(make, figure):
    dims = {"image": "height width", "spectrogram": "time frequency", "volume": "depth height width"}[figure]
    axes = list(range(2, 2 + len(dims.split())))
    exp = make((1, 1, *[6] * len(axes)), f"batch channel {dims}", axes)
    ax = Figure().add_subplot()
    assert getattr(exp.plot, figure)(ax=ax, colorbar=False) is ax
    assert len(ax.figure.axes) == 1
    page = Figure()
    assert getattr(exp.plot, figure)(fig=page).figure is page
    with pytest.raises(sc.LayoutError, match="both ax= and fig="):
        getattr(exp.plot, figure)(ax=ax, fig=page)


def test_values_of_a_map_that_are_no_number_have_no_heat_and_are_told(make):
    exp = make((1, 1, 10, 10), "batch channel height width", [2, 3])
    exp.layers[0].values[..., 0, :] = np.nan
    exp.layers[0].values[..., 1, 0] = np.inf
    ax = exp.plot.image()
    opacity = np.asarray(ax.images[1].get_alpha())
    assert (opacity[0] == 0).all()
    assert opacity[1, 0] == 0
    assert "11 % of the map is no number and has no heat" in title(ax)
    ax.figure.savefig("/dev/null", format="png")


def test_a_lower_end_asked_for_is_where_heat_begins(make):
    exp = make((1, 1, 10, 10), "batch channel height width", [2, 3])
    heat = exp.maps.values[0, 0, 0, 0]
    ax = exp.plot.image(vmin=0.5, vmax=1.0)
    np.testing.assert_allclose(ax.images[1].get_alpha(), 0.85 * np.clip((heat - 0.5) / 0.5, 0, 1), atol=1e-6)


@pytest.mark.parametrize("signed", [False, True])
def test_blending_by_table_is_blending(make, signed):
    exp = make((1, 1, 30, 30), "batch channel height width", [2, 3], signed=signed)
    view = MapView.of(exp, 0, None, None, None)
    heat = HeatOverlay.of(view)
    under = np.random.default_rng(2).integers(0, 256, (30, 30, 3)).astype(np.uint8)
    alpha = 0.85 * np.abs(view.heat) / np.abs(view.heat).max()
    low = -np.abs(view.heat).max() if signed else 0
    share = (view.heat - low) / (view.heat.max() - low if not signed else -2 * low)
    expected = (1 - alpha[..., None]) * under + 255 * alpha[..., None] * heat.colours(share)[..., :3]
    mixed = blend(under, heat.levels(view.heat), heat.table())
    np.testing.assert_allclose(mixed, expected, atol=5)  # of 255: colours come in 256 steps


def test_blending_a_grey_picture_gives_colours(make):
    view = MapView.of(make((1, 1, 5, 6), "batch channel height width", [2, 3]), 0, None, None, None)
    heat = HeatOverlay.of(view)
    grey = np.full((5, 6, 1), 80, np.uint8)
    one, three = (blend(each, heat.levels(view.heat), heat.table()) for each in (grey, grey.repeat(3, axis=2)))
    np.testing.assert_array_equal(one, three)


def test_a_display_keeps_its_artists_and_draws_again_elsewhere(photo):
    page, elsewhere = Figure(), Figure().add_subplot()
    display = ImageDisplay.from_explanation(photo, target="AF").plot(fig=page)
    assert display.figure_ is page
    assert [*display.ax_.images] == [display.picture_, display.heat_]
    assert display.bar_.ax in page.axes
    np.testing.assert_array_equal(display.heat_.get_array(), photo.maps.values[0, 1, 0, 0])
    assert display.plot(elsewhere, colorbar=False).ax_ is elsewhere
    assert (display.heat_.axes, display.bar_) == (elsewhere, None)


@pytest.mark.parametrize(
    "dims", ["height width", "frequency time", "depth height width", "time height width", "left $b$ anterior"]
)
def test_names_are_written_as_they_are_and_never_read_as_formulas(make, dims):
    axes = list(range(2, 2 + len(dims.split())))
    dim = next(each for each in dims.split() if each != "time")
    exp = make((1, 1, *[6] * len(axes)), f"batch channel {dims}", axes, axis_units={dim: "$\\u$"}, spacing={dim: 2.0})
    ax = replace(exp, class_names=("a $_{ b$", "$\\x$"), sample_names=("$s",)).plot()
    assert "a $_{ b$" in title(ax)
    ax.figure.savefig("/dev/null", format="png")  # where a formula that is none raises


# --- spectrograms ------------------------------------------------------------------------------


@pytest.fixture
def heard(make):
    return make((1, 1, 33, 40), "batch _ frequency time", [2, 3], sampling_rate=100, spacing={"frequency": 125.0})


def test_power_is_shown_in_decibels_below_the_loudest(heard):
    power = 10.0 ** np.random.default_rng(0).uniform(-12, 2, (1, 1, 33, 40))
    exp = given(heard, power)
    expected = np.maximum(10 * np.log10(power[0, 0]) - 10 * np.log10(power.max()), -80)
    np.testing.assert_allclose(base(exp.plot()), expected, atol=1e-9)
    assert "taken as power, from 80 dB below the loudest" in title(exp.plot())
    twice = base(exp.plot.spectrogram(loudness="amplitude"))
    np.testing.assert_allclose(twice, np.maximum(20 * np.log10(power[0, 0] / power.max()), -80), atol=1e-9)


@pytest.mark.parametrize("units", ["dB", None])
def test_what_is_in_decibels_or_negative_stays_as_it_is(make, units):
    sign = 1 if units else -1
    x = sign * np.random.default_rng(0).uniform(1, 90, (1, 1, 33, 40))
    exp = given(make((1, 1, 33, 40), "batch _ frequency time", [2, 3], units=units), x)
    np.testing.assert_array_equal(base(exp.plot()), x[0, 0])
    ax = exp.plot()
    low, high = ax.images[0].get_clim()
    assert (x < low).mean() == pytest.approx(0.02, abs=0.001)
    assert high == x.max()
    assert f"as given{', dB,' if units else ''} from {low:.3g} (black, with 2 % below)" in title(ax)


def test_a_logarithmic_axis_shows_each_octave_alike_at_its_hertz(heard):
    ax = heard.plot.spectrogram(frequency="log")
    rows = len(base(ax))
    ticks = {float(label.get_text()): at for label, at in zip(ax.get_yticklabels(), ax.get_yticks(), strict=True)}
    assert ticks[1000] - ticks[500] == pytest.approx(ticks[2000] - ticks[1000], rel=0.01)
    heat = heard.maps.values[0, 0, 0, 0]
    shown = np.asarray(ax.images[1].get_array())
    np.testing.assert_array_equal(shown[[0, -1]], heat[[1, -1]])  # 125 Hz, as 0 has no logarithm
    hertz = 125 * (32 ** (200 / (rows - 1)))
    np.testing.assert_array_equal(shown[200], heat[round(hertz / 125)])


def test_falling_frequencies_are_logarithmic_too(make):
    exp = make((1, 1, 33, 40), "batch _ frequency time", [2, 3], coordinates={"frequency": np.arange(33)[::-1] * 125.0})
    shown = np.asarray(exp.plot.spectrogram(frequency="log").images[1].get_array())
    np.testing.assert_array_equal(shown[[0, -1]], exp.maps.values[0, 0, 0, 0][[31, 0]])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"loudness": "loud"}, "expected 'power' or 'amplitude'"),
        ({"loudness": "power"}, "without negative values"),
        ({"frequency": "mel"}, "expected 'given' or 'log'"),
    ],
)
def test_an_unknown_way_to_show_a_spectrogram_is_told(heard, options, said):
    with pytest.raises(sc.MethodError, match=said):
        heard.plot.spectrogram(**options)


def test_a_spectrogram_needs_time_and_a_logarithm_something_above_zero(make):
    with pytest.raises(sc.LayoutError, match="called 'time'"):
        make((1, 1, 5, 6), "batch channel height width", [2, 3]).plot.spectrogram()
    exp = make((1, 1, 2, 6), "batch channel frequency time", [2, 3])
    with pytest.raises(sc.LayoutError, match="above 0"):
        exp.plot.spectrogram(frequency="log")


# --- volumes -----------------------------------------------------------------------------------


def test_slices_go_through_the_place_asked_for_in_its_units(make):
    exp = make(
        (1, 1, 6, 8, 10),
        "batch channel depth height width",
        [2, 3, 4],
        spacing={"depth": 3.0, "height": 0.5, "width": 0.5},
        axis_units={"depth": "mm"},
    )
    ax = exp.plot.volume(at=(9.4, 2, 4.5))
    heat = exp.maps.values[0, 0, 0, 0]
    for image, expected in zip(ax.images[1::2], (heat[3], heat[:, 4], heat[:, :, 9]), strict=True):
        np.testing.assert_array_equal(image.get_array(), expected)
    assert ax.get_xticklabels()[0].get_text() == "depth 9 mm"
    assert "voxels of 3 x 0.5 x 0.5 mm" in title(ax)


def test_all_slices_share_one_scale(body):
    ax = body.plot.volume()
    assert len({each.get_clim() for each in ax.images[1::2]}) == 1
    assert ax.images[1].get_clim()[1] == body.maps.values[0, 0].max()


def test_voxels_without_a_spacing_are_cubes_and_it_is_said(make):
    exp = make((1, 1, 6, 8, 10), "batch channel depth height width", [2, 3, 4], spacing={"depth": 3.0})
    ax = exp.plot.volume()
    left, right, bottom, top = ax.images[2].get_extent()
    assert (right - left, bottom - top) == pytest.approx((10, 6))
    assert "voxels drawn as cubes" in title(ax)


def test_a_montage_shows_evenly_spaced_slices_with_their_places(body):
    ax = body.plot.volume(style="montage", axis="width", count=4)
    heat = body.maps.values[0, 0, 0, 0]
    for image, entry in zip(ax.images[1::2], (0, 3, 6, 9), strict=True):
        np.testing.assert_array_equal(image.get_array(), heat[:, :, entry])
    assert [text.get_text().strip() for text in ax.texts] == [f"width {i}" for i in (0, 3, 6, 9)]
    extents = [image.get_extent() for image in ax.images[::2]]
    for i, one in enumerate(extents):
        for other in extents[:i]:
            apart = one[0] >= other[1] or other[0] >= one[1] or one[3] >= other[2] or other[3] >= one[2]
            assert apart


def test_no_more_slices_are_shown_than_there_are(body):
    assert len(body.plot.volume(style="montage").images) == 2 * 6


def test_a_video_is_a_montage_of_frames_each_with_its_own_heat(make):
    exp = make((1, 3, 5, 8, 10), "batch channel time height width", [2, 3, 4], sampling_rate=4)
    ax = exp.plot()
    assert [text.get_text().strip() for text in ax.texts] == [f"time {t:g} s" for t in np.arange(5) / 4]
    for image, heat in zip(ax.images[1::2], exp.maps.values[0, 0, 0, 0], strict=True):
        np.testing.assert_array_equal(image.get_array(), heat)


def test_a_body_is_shown_upright_with_letters_at_its_sides(make):
    """The head is up, the front is up or to the right, left is to the left; letters say so."""
    x = np.zeros((1, 1, 6, 8, 10))
    exp = make(x.shape, "batch _ left inferior anterior", [2, 3, 4])
    x[0, 0, 5, 0, 9] = 1  # as far left, as high and as far in front as can be
    exp = given(exp, x, x[:, :, None])
    ax = exp.plot.volume()
    corners = []
    for image in ax.images[1::2]:
        shown = np.asarray(image.get_array())
        corners.append(tuple(int(i) for i in np.argwhere(shown == 1)[0]))
    assert corners == [(0, 9), (0, 0), (0, 0)]
    letters = [text.get_text().strip() for text in ax.texts]
    assert letters == ["S", "I", "P", "A", "A", "P", "L", "R", "S", "I", "L", "R"]
    assert [image.get_array().shape for image in ax.images[1::2]] == [(8, 10), (10, 6), (8, 6)]


def test_lines_mark_where_the_slices_cut_each_other(make):
    exp = make((1, 1, 6, 8, 10), "batch _ left inferior anterior", [2, 3, 4])
    ax = exp.plot.volume(at=(1, 2, 3))
    for plane in (1, 2):  # the two in which left lies across
        left = ax.images[2 * plane].get_extent()[0]
        assert ax.lines[2 * plane + 1].get_xdata()[0] == pytest.approx(left + 6 - 1 - 0.5)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"at": (1, 2)}, sc.LayoutError, "one for each of depth, height, width"),
        ({"at": (1, 2, 10)}, sc.LayoutError, "width 10, which lies outside: it runs from 0 to 9"),
        ({"at": (1, float("nan"), 1)}, sc.LayoutError, "lies outside"),
        ({"style": "mosaic"}, sc.MethodError, "'slices' or 'montage'"),
        ({"style": "montage", "count": 0}, sc.MethodError, "1 or more"),
        ({"style": "montage", "axis": "depht"}, sc.LayoutError, "Nearest: 'depth'"),
        ({"style": "montage", "at": (1, 1, 1)}, sc.MethodError, "belongs to style='slices'"),
        ({"style": "slices", "axis": "depth"}, sc.MethodError, "belongs to style='slices'"),
    ],
)
def test_what_a_volume_cannot_show_is_told(body, options, error, said):
    with pytest.raises(error, match=said):
        body.plot.volume(**options)


@pytest.mark.parametrize(("style", "many"), [("slices", 3), ("montage", 6)])
def test_a_display_of_a_volume_keeps_a_picture_and_heat_for_each_slice(body, style, many):
    display = VolumeDisplay.from_explanation(body, style=style).plot()
    assert [*display.ax_.images[::2]] == display.picture_
    assert [*display.ax_.images[1::2]] == display.heat_
    assert len(display.heat_) == len(display.planes) == many
    assert display.bar_.ax in display.figure_.axes


def test_the_title_of_slices_fits_also_where_scores_are_told(body):
    figure = scored(replace(body, sample_names=("ann",))).plot.volume().figure
    figure.draw_without_rendering()
    said = figure.axes[0]._left_title
    assert "random-cam" in said.get_text()
    assert said.get_window_extent().y1 < figure.bbox.y1


def test_a_flat_map_is_no_volume(make):
    with pytest.raises(sc.LayoutError, match="3 axes; this one has height, width"):
        make((1, 1, 5, 6), "batch channel height width", [2, 3]).plot.volume()


def test_an_empty_map_of_a_volume_is_cut_in_the_middle(body):
    body.layers[0].values[:] = 0
    ax = body.plot.volume()
    assert [label.get_text() for label in ax.get_xticklabels()] == ["depth 3", "height 4", "width 5"]
    ax.figure.savefig("/dev/null", format="png")
