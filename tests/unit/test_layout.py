"""Layouts: names, units and lengths of the input's axes."""

import numpy as np
import pytest

from signalcam import Layout, LayoutError
from signalcam.inputs.layout import as_layout, check_layout, infer_layout, name_axes

ECG = Layout("batch channel time", sampling_rate=500, channel_names=["I", "II"], units="mV")


@pytest.mark.parametrize(
    "dims",
    ["batch channel time", "batch, channel, time", ("batch", "channel", "time"), ["batch", "channel", "time"]],
)
def test_axes_may_be_written_as_words_or_as_a_sequence(dims):
    assert Layout(dims).dims == ("batch", "channel", "time")


@pytest.mark.parametrize("dims", ["", "channel time", "time batch", "batch time time", "batch channel batch"])
def test_axes_that_repeat_or_do_not_begin_with_batch_raise(dims):
    with pytest.raises(LayoutError, match="must name each axis once, batch first"):
        Layout(dims)


@pytest.mark.parametrize("word", ["sample", "target", "cam", "layer", "class"])
def test_axes_with_a_name_the_result_needs_itself_raise(word):
    with pytest.raises(LayoutError, match=f"'{word}': the result .*Call it"):
        Layout(f"batch channel {word}")


@pytest.mark.parametrize("rate", [0, -250.0, float("nan")])
def test_rate_that_is_not_positive_raises(rate):
    with pytest.raises(LayoutError, match="sampling_rate is"):
        Layout("batch channel time", sampling_rate=rate)


def test_axes_without_meaning_may_repeat():
    assert Layout("batch _ _ time").dims == ("batch", "_", "_", "time")


@pytest.mark.parametrize("given", [None, ECG])
def test_nothing_and_a_layout_are_taken_as_they_are(given):
    assert as_layout(given) is given


def test_axis_names_make_a_layout():
    assert as_layout("batch time") == Layout("batch time")


# --- units and coordinates ---------------------------------------------------------------------------------


def test_time_is_in_seconds_at_a_known_rate():
    assert ECG.coordinate("time", np.array([0, 250, 750])).tolist() == [0, 0.5, 1.5]
    assert ECG.unit("time") == "s"


def test_time_is_in_samples_without_a_rate():
    layout = Layout("batch channel time")
    assert layout.coordinate("time", np.array([0, 250])).tolist() == [0, 250]
    assert layout.unit("time") == ""


def test_channels_have_their_names():
    assert ECG.coordinate("channel", np.array([1, 0])).tolist() == ["II", "I"]
    assert ECG.unit("channel") == ""


def test_places_between_channels_have_no_name():
    assert ECG.coordinate("channel", np.array([0.5])).tolist() == [0.5]


def test_other_axes_are_counted_in_samples():
    assert ECG.coordinate("height", np.arange(3)).tolist() == [0, 1, 2]


# --- does it fit the input? ----------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", [None, ECG, Layout("batch time channel", channel_names="ab")])
def test_fitting_layout_is_accepted(layout):
    check_layout(layout, (4, 2, 2))


@pytest.mark.parametrize("layout", [None, ECG])
def test_input_without_a_batch_axis_raises(layout):
    with pytest.raises(LayoutError, match=r"shape \(5000,\).*inputs\[None\]"):
        check_layout(layout, (5000,))


def test_layout_with_more_axes_than_the_input_suggests_a_batch_axis():
    with pytest.raises(LayoutError, match=r"needs 3 axes.*inputs\[None\]"):
        check_layout(ECG, (2, 5000))


def test_layout_with_fewer_axes_than_the_input_asks_for_all_names():
    with pytest.raises(LayoutError, match=r"needs 3 axes. Name every axis"):
        check_layout(ECG, (4, 2, 50, 100))


def test_wrong_number_of_channel_names_raises():
    with pytest.raises(LayoutError, match=r"2 channel names .* has 12 channels"):
        check_layout(ECG, (4, 12, 5000))


def test_channel_names_without_a_channel_axis_raise():
    with pytest.raises(LayoutError, match=r"1 channel names .* has no channels"):
        check_layout(Layout("batch time", channel_names=["I"]), (4, 5000))


# --- names that were not given ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ndim", "axes", "dims"),
    [
        (3, (2,), "batch channel time"),
        (3, (1,), "batch time channel"),
        (2, (1,), "batch time"),
        (4, (2, 3), "batch channel height width"),
        (4, (1, 2), "batch height width channel"),
        (5, (2, 3, 4), "batch channel depth height width"),
        (4, (3,), "batch channel _ time"),
        (6, (2, 3, 4, 5), "batch channel axis2 axis3 axis4 axis5"),
        (3, (), "batch channel _"),
    ],
)
def test_axes_are_named_after_what_the_network_does_with_them(ndim, axes, dims):
    assert infer_layout(ndim, axes) == Layout(dims)
    assert name_axes(None, ndim, axes) == Layout(dims)


def test_layout_given_keeps_its_names():
    assert name_axes(ECG, 3, (2,)) == ECG


def test_axis_of_the_map_has_a_name_though_the_layout_gave_none():
    layout = Layout("batch _ time _", sampling_rate=10)
    assert name_axes(layout, 4, (1, 2)) == Layout("batch axis1 time _", sampling_rate=10)


# --- axes with places of their own ------------------------------------------------------------------------------

MEL = (50.0, 120.0, 300.0, 900.0)
SPECTROGRAM = Layout("batch frequency time", 10, coordinates={"frequency": MEL})


def test_entries_of_an_axis_lie_where_the_layout_says():
    assert SPECTROGRAM.coordinate("frequency", np.arange(4)).tolist() == list(MEL)
    assert SPECTROGRAM.unit("frequency") == "Hz"


def test_places_between_entries_are_interpolated_and_go_on_beyond_the_ends():
    places = SPECTROGRAM.coordinate("frequency", np.array([0.5, 2.25, -1.0, 4.0]))
    assert places.tolist() == [85.0, 450.0, -20.0, 1500.0]


def test_single_entry_lies_where_it_lies_whatever_is_asked():
    layout = Layout("batch frequency time", coordinates={"frequency": [40.0]})
    assert layout.coordinate("frequency", np.array([0.0, 0.5])).tolist() == [40.0, 40.0]
    assert layout.line("frequency", 1) == (40.0, 1.0)


def test_spacing_counts_from_nought_in_its_own_unit():
    layout = Layout("batch depth height", spacing={"depth": 1.5}, axis_units={"depth": "mm"})
    assert layout.coordinate("depth", np.array([0, 2])).tolist() == [0, 3]
    assert (layout.unit("depth"), layout.unit("height")) == ("mm", "")
    assert layout.line("depth", 4) == (0, 1.5)


def test_time_may_begin_before_nought():
    times = np.arange(-20, 30) / 100
    layout = Layout("batch time", sampling_rate=100, coordinates={"time": times})
    assert layout.coordinate("time", np.array([0]))[0] == -0.2
    assert layout.unit("time") == "s"
    assert layout.line("time", 50) == pytest.approx((-0.2, 0.01))


def test_entries_that_are_unevenly_spaced_have_no_line():
    assert SPECTROGRAM.line("frequency", 4) is None
    assert ECG.line("channel", 2) == (0, 1)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"coordinates": {"hertz": [1, 2]}}, r"names axis 'hertz'.*It has frequency, time"),
        ({"coordinates": {"batch": [1, 2]}}, "names axis 'batch'"),
        ({"spacing": {"width": 2}}, "spacing names axis 'width'"),
        ({"axis_units": {"width": "mm"}}, "axis_units names axis 'width'"),
        ({"axis_units": {"frequency": "kHz"}}, "where its entries lie is not known"),
        ({"coordinates": {"frequency": [1, 3, 2]}}, "neither rise nor fall"),
        ({"coordinates": {"frequency": [1, 1, 2]}}, "neither rise nor fall"),
        ({"coordinates": {"frequency": [1, np.nan]}}, "neither rise nor fall"),
        ({"coordinates": {"frequency": ["low", "high"]}}, "no row of numbers"),
        ({"coordinates": {"frequency": [[1, 2]]}}, "no row of numbers"),
        ({"coordinates": {"frequency": []}}, "no row of numbers"),
        ({"spacing": {"frequency": 0}}, "above 0"),
        ({"spacing": {"frequency": "wide"}}, "above 0"),
        ({"spacing": {"frequency": 1}, "coordinates": {"frequency": [1, 2]}}, "both coordinates and"),
        ({"sampling_rate": 100, "spacing": {"time": 0.02}}, "100 a second, but .* 0.02 s apart"),
        ({"sampling_rate": 100, "coordinates": {"time": [0, 0.1]}}, "100 a second, but"),
        ({"sampling_rate": 100, "spacing": {"time": 0.01}, "axis_units": {"time": "ms"}}, "0.01 ms apart"),
    ],
)
def test_places_that_do_not_fit_raise(wrong, told):
    with pytest.raises(LayoutError, match=told):
        Layout("batch frequency time", **wrong)


def test_numbers_for_channels_ask_for_names():
    with pytest.raises(LayoutError, match="channel_names"):
        Layout("batch channel time", coordinates={"channel": [1, 2]})


def test_wrong_number_of_coordinates_raises():
    with pytest.raises(LayoutError, match="4 coordinates for axis 'frequency', which has 5 entries"):
        check_layout(SPECTROGRAM, (1, 5, 9))
    check_layout(SPECTROGRAM, (1, 4, 9))


def test_line_of_an_axis_of_any_length_is_known_at_once():
    assert ECG.line("time", 10**12) == (0, 1 / ECG.sampling_rate)
    assert Layout("batch channel time").line("time", 10**12) == (0, 1)


@pytest.mark.parametrize("names", [5, [None, ["a"]], [["a"], 3]], ids=str)
def test_token_names_that_are_no_lists_are_refused(names):
    with pytest.raises(LayoutError, match="where a list was expected"):
        Layout("batch token", token_names=names)
