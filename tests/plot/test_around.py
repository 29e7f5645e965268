"""The figure of maps around events: what is drawn, of which channel, and what cannot be."""

import sys

import numpy as np
import pytest
from matplotlib.figure import Figure

import signalcam as sc

EVENTS = [[1.0, 2.0], [1.5]]


@pytest.fixture
def exp(make):
    return make((2, 2, 400), "batch channel time", [2], sampling_rate=100, channel_names=["I", "II"], units="mV")


def test_the_mean_signal_stands_above_the_mean_map(exp):
    around = exp.around(EVENTS)
    above, below = around.plot(target="AF", channels=["II"]).axes
    table = around.table.sel(target="AF").squeeze()
    np.testing.assert_array_equal(above.lines[0].get_ydata(), table["signal_mean"].sel(channel="II"))
    np.testing.assert_array_equal(below.lines[0].get_ydata(), table["mean"])
    low, high = (table["mean"] - table["std"]).values, (table["mean"] + table["std"]).values
    band = below.collections[0].get_paths()[0].vertices[:, 1]
    assert np.isclose([band.min(), band.max()], [low.min(), high.max()]).all()
    assert above.get_ylabel() == "II (mV)"
    assert below.get_xlabel() == "time from the event (s)"
    assert below.get_xlim() == (-0.2, 0.4)
    assert below.get_ylim()[0] == 0
    assert above.get_title(loc="left") == "grad-cam at conv for AF\nmean ± standard deviation of 3 events"


def test_several_channels_are_told_apart(exp):
    above, below = exp.around(EVENTS).plot().axes
    assert [text.get_text() for text in above.get_legend().get_texts()] == ["I", "II"]
    assert above.lines[0].get_color() != above.lines[1].get_color()
    assert above.get_ylabel() == "amplitude (mV)"
    assert len(below.lines) == 2  # the map, and where the event is
    assert below.lines[0].get_color() not in [line.get_color() for line in above.lines[:2]]


def test_maps_of_channels_are_drawn_in_their_colours(make):
    exp = make((2, 3, 400), "batch channel time", [1, 2], signed=True, sampling_rate=100)
    above, below = exp.around(EVENTS).plot(channels=[0, 2]).axes
    assert [line.get_color() for line in above.lines] == [line.get_color() for line in below.lines]
    assert below.get_ylim()[0] < 0


def test_one_line_without_names_is_an_amplitude(make):
    exp = make((2, 400), "batch time", [1])
    above, below = exp.around([[100.0], [200.0]], 10, 20).plot().axes
    assert above.get_ylabel() == "amplitude"
    assert below.get_xlabel() == "time from the event (samples)"
    assert above.lines[0].get_color() == "black"


def test_it_is_drawn_where_it_is_asked_to_be(exp):
    part = Figure().subfigures(1, 2)[1]
    assert exp.around(EVENTS).plot(fig=part) is part
    assert len(part.axes) == 2


@pytest.mark.parametrize(
    ("asked", "error", "said"),
    [
        ({"target": "VF"}, sc.TargetError, "no target 'VF'"),
        ({"channels": ["V1"]}, sc.LayoutError, "no such channel"),
        ({"fig": 3}, sc.LayoutError, "fig="),
    ],
)
def test_what_cannot_be_drawn_is_told_in_a_sentence(asked, error, said, exp):
    with pytest.raises(error, match=said):
        exp.around(EVENTS).plot(**asked)


def test_without_matplotlib_the_extra_is_named(exp, monkeypatch):
    monkeypatch.setitem(sys.modules, "signalcam.plot.event_average", None)
    with pytest.raises(sc.MissingExtra, match="plot"):
        exp.around(EVENTS).plot()


def test_maps_with_more_axes_are_no_lines(make):
    exp = make((2, 1, 8, 400), "batch channel frequency time", [2, 3], sampling_rate=100)
    with pytest.raises(sc.LayoutError, match="cannot show frequency"):
        exp.around(EVENTS).plot()
