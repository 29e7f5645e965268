"""What cannot be meant by those who draw, keep or score a result is told in a sentence, by a typed error."""

import numpy as np
import pytest
from matplotlib.figure import Figure

import signalcam as sc


@pytest.fixture
def exp(make):
    return make((2, 2, 400), "batch channel time", [2], sampling_rate=100, channel_names=["I", "II"], units="mV")


@pytest.fixture
def volume(make):
    return make((1, 1, 4, 5, 6), "batch channel depth height width", [2, 3, 4])


@pytest.mark.parametrize(
    ("figure", "option", "near"),
    [
        ("__call__", "stile", "style"),
        ("signal", "chanels", "channels"),
        ("heatmap", "line_kw", "line_kws"),
        ("ecg", "sped", "speed"),
        ("summary", "chanel", "channel"),
        ("compare", "chanels", "channels"),
    ],
)
def test_an_option_that_a_figure_does_not_have_is_told_with_the_nearest(exp, figure, option, near):
    first = ["target"] if figure == "compare" else []
    with pytest.raises(sc.MethodError, match=rf"has no option '{option}'\. Nearest: .*'{near}'"):
        getattr(exp.plot, figure)(*first, **{option: 1})


def test_options_of_pictures_and_films_are_known_too(volume, make, tmp_path):
    for draw in (
        make((1, 1, 5, 6), "batch channel height width", [2, 3]).plot,
        make((1, 1, 5, 6), "batch channel height time", [2, 3]).plot,
        volume.plot,
        lambda **options: volume.save_video(tmp_path / "why.gif", **options),
    ):
        draw(opacity=0.5)
        with pytest.raises(sc.MethodError, match=r"has no option 'opacty'\. Nearest: 'opacity'"):
            draw(opacty=0.5)


@pytest.mark.parametrize("sample", [None, slice(0, 2), [0], "0", True, 0.0])
def test_a_sample_is_one_number(exp, sample):
    for draw in (exp.plot, exp.plot.ecg, lambda each: exp.plot.compare("target", each)):
        with pytest.raises(sc.TargetError, match=r"sample is .*one sample, by its number from 0"):
            draw(sample)


def test_a_sample_may_be_counted_from_the_end_by_any_whole_number(exp):
    assert exp.plot(np.int64(-1)).get_title(loc="left") == exp.plot(1).get_title(loc="left")


def test_axes_and_figures_are_not_confused(exp):
    axes, page = Figure().add_subplot(), Figure()
    for draw in (exp.plot, exp.plot.ecg, exp.plot.summary):
        with pytest.raises(sc.LayoutError, match=r"ax= is of type Figure; give axes .* as ax=, or a fig"):
            draw(ax=page)
    for draw in (exp.plot, exp.plot.summary, lambda **where: exp.plot.compare("target", **where)):
        with pytest.raises(sc.LayoutError, match=r"fig= is of type Axes; give"):
            draw(fig=axes)


def test_a_rate_of_frames_is_a_number(volume, tmp_path):
    with pytest.raises(sc.LayoutError, match=r"fps is 'a'; give frames a second"):
        volume.save_video(tmp_path / "why.gif", fps="a")


@pytest.mark.parametrize("path", [None, 5, ["a"]])
def test_what_is_no_path_is_told(exp, volume, path):
    for use in (exp.save, sc.load, exp.to_html, volume.save_video):
        with pytest.raises(sc.StoreError, match=r"the path is .*give the name of a file or folder"):
            use(path)


@pytest.mark.parametrize("given", [np.zeros((1, 400)), None, "maps.zarr"])
def test_what_is_scored_is_a_result(given):
    kind = f"a {type(given).__name__} was given first"
    with pytest.raises(sc.InputError, match=kind):
        sc.metrics.evaluate(given, None)
    with pytest.raises(sc.InputError, match=kind):
        sc.metrics.sanity(given, None)
    with pytest.raises(sc.InputError, match=kind):
        sc.metrics.localisation(given, [[(0, 1)]])
