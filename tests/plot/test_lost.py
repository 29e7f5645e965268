"""Where a map is no number, a figure says so: grey is no colour of heat, and the title tells how much."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import ListedColormap, to_rgba

import signalcam as sc
from signalcam.plot.ecg import EcgDisplay
from signalcam.plot.map_view import MISSING_COLOUR
from signalcam.plot.signal import SignalDisplay

GREY = to_rgba(MISSING_COLOUR)
SAID = "10.2 % of the map is no number and is grey"


@pytest.fixture(params=[False, True], ids=["unsigned", "signed"])
def broken(make, request):
    """The last 40 of 400 samples are no number."""
    exp = make(
        (1, 2, 400),
        "batch channel time",
        [2],
        signed=request.param,
        sampling_rate=100,
        channel_names=["I", "II"],
        units="mV",
    )
    exp.layers[0].values[..., 360:380] = np.nan
    exp.layers[0].values[..., 380:] = np.inf
    return exp


def gone(exp):
    """Samples without a number: one more than were broken, as maps are interpolated."""
    return np.flatnonzero(~np.isfinite(exp.maps.values[0, 0, 0, 0])).tolist()


def colours(artist):
    return artist.to_rgba(artist.get_array())


@pytest.mark.parametrize("style", ["strip", "area", "heat"])
def test_an_image_is_grey_there_and_nowhere_else(broken, style):
    display = SignalDisplay.from_explanation(broken).plot(style=style)
    grey = np.isclose(colours(display.strip_)[0], GREY).all(axis=1)
    assert np.flatnonzero(grey).tolist() == gone(broken)
    assert SAID in display.ax_.get_title(loc="left")


def test_a_stroke_is_grey_there_and_nowhere_else(broken):
    strip = SignalDisplay.from_explanation(broken, channels=[0]).plot(style="line").strip_
    grey = np.isclose(colours(strip), GREY).all(axis=1)
    begins = [piece[0, 0] for piece in np.array(strip.get_segments(), object)[grey]]
    assert begins == pytest.approx([gone(broken)[0] / 100])
    assert not np.isclose(colours(strip)[~grey], GREY).all(axis=1).any()


def test_paper_is_grey_there_and_nowhere_else(broken):
    display = EcgDisplay.from_explanation(broken).plot()
    grey = np.isclose(colours(display.strip_)[0, :, :3], GREY[:3]).all(axis=1)
    assert np.flatnonzero(grey).tolist() == gone(broken)
    assert colours(display.strip_)[0, 399, 3] > 0.5
    assert SAID in display.ax_.get_title(loc="left")


def test_panels_of_a_comparison_say_it_each(broken):
    titles = [ax.get_title(loc="left") for ax in broken.plot.compare("target").axes]
    assert sum(SAID in title for title in titles) == 2


def test_a_mean_says_what_it_leaves_out(broken):
    title = broken.plot.summary().get_title(loc="left")
    assert "10.2 % of the map is no number and left out" in title


def test_a_colour_map_may_have_its_own_colour_for_it(broken):
    own = ListedColormap(["white", "red"]).with_extremes(bad="blue")
    display = SignalDisplay.from_explanation(broken).plot(cmap=own)
    assert colours(display.strip_)[0, 399].tolist() == [0, 0, 1, 1]


def test_a_whole_map_is_not_said_to_lack_anything(make):
    exp = make((1, 2, 400), "batch channel time", [2])
    assert "no number" not in exp.plot().get_title(loc="left")
    assert "no number" not in exp.plot.summary().get_title(loc="left")


def test_a_model_that_answered_nothing_has_predicted_nothing(broken):
    nothing = replace(broken, probabilities=np.full((1, 2), np.nan))
    assert "predicted: no number\n" in nothing.plot().get_title(loc="left")


def test_an_unknown_colour_map_is_told(broken):
    with pytest.raises(sc.MethodError, match=r"cmap is 'viridi'.*Nearest: 'viridis'"):
        broken.plot(cmap="viridi")
    with pytest.raises(sc.MethodError, match=r"cmap is 5, .*Give a name"):
        broken.plot.ecg(cmap=5)
    with pytest.raises(sc.MethodError, match=r"cmap is 'nope'"):
        broken.plot.compare("target", cmap="nope")
