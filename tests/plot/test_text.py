"""Texts are written out readable, within their axes, each token on the colour of its heat."""

from dataclasses import replace
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

import signalcam as sc
from signalcam.plot.text import _WrappedText
from signalcam.results.token_text import words

NAMES = ["the", "film", "costs", "$5", "or", "$6", "<b>", "bold"]


@pytest.fixture
def text(make):
    """Build a result of whole numbers whose tokens have names."""

    def build(*names, signed=False):
        rows = (len(names), max(map(len, names)))
        exp = make(rows, "batch token", [1], signed=signed)
        return replace(exp, layout=sc.Layout("batch token", token_names=names))

    return build


def written(ax):
    """The strips and the words, once drawn."""
    ax.figure.draw_without_rendering()
    artist = next(each for each in ax.get_children() if isinstance(each, _WrappedText))
    return artist.strips, artist.texts


def test_each_token_stands_on_its_heat(text):
    exp = text(NAMES, NAMES)
    strips, texts = written(exp.plot(1))
    assert [each.get_text() for each in texts] == NAMES
    np.testing.assert_array_equal(strips.get_array(), exp.maps.values[1, 0, 0, 0])
    assert strips.get_clim()[0] == 0


def test_dollars_and_tags_are_words_like_others(text):
    ax = text(NAMES).plot(style="bar")
    ax.figure.draw_without_rendering()
    assert [each.get_text() for each in ax.get_yticklabels()] == NAMES
    assert not any(each.get_parse_math() for each in ax.get_yticklabels())
    assert not any(each.get_parse_math() for each in written(text(NAMES).plot())[1])


@pytest.mark.parametrize("size", [(9, 3), (3, 2), (1.5, 1)])
@pytest.mark.parametrize("names", [NAMES, [f"word{i}" for i in range(150)], ["W" * 200], ["שלום", "עולם"] * 20])
def test_nothing_leaves_the_axes_given(text, names, size):
    fig = Figure(size)
    ax = text(names).plot(ax=fig.add_axes((0, 0, 1, 0.8)), colorbar=False)
    strips, texts = written(ax)
    box = ax.get_window_extent()
    for each in (strips, *texts):
        inner = each.get_window_extent()
        assert inner.x0 >= box.x0 - 1
        assert inner.x1 <= box.x1 + 1
        assert inner.y0 >= box.y0 - 1
        assert inner.y1 <= box.y1 + 1


def test_a_figure_grows_with_its_text_and_letters_keep_their_size(text):
    ax = text([f"word{i}" for i in range(200)]).plot()
    assert ax.figure.get_figheight() > 3
    assert {each.get_fontsize() for each in written(ax)[1]} == {11.0}


def test_words_do_not_overlap(text):
    _, texts = written(text(NAMES * 10).plot())
    boxes = [each.get_window_extent() for each in texts]
    for one, other in pairwise(boxes):
        assert one.x1 <= other.x0 + 1 or other.y1 < one.y0 + 1


def test_a_text_from_right_to_left_begins_at_the_right(text):
    _, texts = written(text(["שלום", "עולם", "טוב"]).plot())
    assert texts[0].get_window_extent().x0 > texts[1].get_window_extent().x1


def test_tokens_without_a_name_are_left_out_and_their_heat_is_told(text):
    exp = text(["", "good", "day", ""])
    heat = exp.maps.values[0, 0, 0, 0]
    ax = exp.plot(cmap="Oranges")
    strips, texts = written(ax)
    assert [each.get_text() for each in texts] == ["good", "day"]
    hidden = 100 * (heat[0] + heat[3]) / heat.sum()
    assert f"\n{hidden:.1f} % of the heat lies on tokens that are not shown" in ax.get_title("left")
    assert strips.get_clim()[1] == pytest.approx(heat[1:3].max())


def test_a_signed_text_is_diverging_about_zero(text):
    strips, _ = written(text(NAMES, signed=True).plot())
    assert strips.get_cmap().name == "RdBu_r"
    assert strips.get_clim()[0] == -strips.get_clim()[1]


def test_letters_have_the_contrast_that_small_text_needs(text):
    strips, texts = written(text([f"w{i}" for i in range(60)], signed=True).plot())
    for background, each in zip(strips.get_facecolor(), texts, strict=True):
        light = [
            np.where(
                np.asarray(c[:3]) <= 0.04045, np.asarray(c[:3]) / 12.92, ((np.asarray(c[:3]) + 0.055) / 1.055) ** 2.4
            )
            @ [0.2126, 0.7152, 0.0722]
            for c in (background, mpl.colors.to_rgba(each.get_color()))
        ]
        assert (max(light) + 0.05) / (min(light) + 0.05) >= 4.5


def test_bars_are_as_long_as_the_heat(text):
    exp = text(NAMES)
    ax = exp.plot.text(style="bar")
    np.testing.assert_allclose([bar.get_width() for bar in ax.patches], exp.maps.values[0, 0, 0, 0])
    assert ax.yaxis_inverted()
    assert ax.get_xlabel() == "evidence for normal (logit)"


def test_the_colour_bar_says_what_it_shows(text):
    ax = text(NAMES).plot()
    assert [each.get_xlabel() for each in ax.child_axes] == ["evidence for normal (logit)"]


def test_nothing_global_is_touched_by_a_text(text):
    before = dict(mpl.rcParams)
    text(NAMES).plot()
    assert dict(mpl.rcParams) == before


def test_part_of_a_result_keeps_the_names_of_its_own_tokens(text):
    exp = text(["a", "b", "c", "d"], NAMES[:4])
    assert exp.isel(sample=1).layout.token_names == (tuple(NAMES[:4]),)
    assert exp.between(1, 2, dim="token").layout.token_names == (("b", "c"), tuple(NAMES[1:3]))


def test_names_are_saved(text, tmp_path):
    exp = text(["a", "$b"], ["</c>", "ç"])
    exp.save(tmp_path / "maps.zarr")
    assert sc.load(tmp_path / "maps.zarr").layout == exp.layout


def test_a_map_without_names_is_told_how_to_get_them(make):
    with pytest.raises(sc.LayoutError, match="token_names"):
        make((1, 5), "batch token", [1]).plot.text()


def test_a_text_of_empty_names_is_refused(text):
    with pytest.raises(sc.LayoutError, match="nothing to draw"):
        text(["", ""]).plot()


def test_an_unknown_style_is_told(text):
    with pytest.raises(sc.LayoutError, match="'inline' or 'bar'"):
        text(NAMES).plot(style="bars")


def test_names_need_a_token_axis():
    with pytest.raises(sc.LayoutError, match="'token'"):
        sc.Layout("batch time", token_names=[["a"]])


def test_names_are_lists_not_strings():
    with pytest.raises(sc.LayoutError, match="list of names"):
        sc.Layout("batch token", token_names=["a good day"])


@pytest.mark.parametrize(
    ("names", "texts", "glued"),
    [
        (["play", "##ing", "##", "##s"], ["play", "ing", "##", "s"], [0, 1, 0, 1]),
        (["▁good", "ness", "▁me"], ["good", "ness", "me"], [0, 1, 0]),
        (["ĠcafÃ©", "s", "Ċ", "Ġ"], ["café", "s", "↵", " "], [0, 1, 1, 1]),
        (["o", "n", " ", "a"], ["o", "n", " ", "a"], [1, 1, 1, 1]),
        (["a\x07b", "$x$"], ["a\ufffdb", "$x$"], [0, 0]),
        (["# ", "##"], ["#", "##"], [0, 0]),
    ],
)
def test_pieces_of_words_are_readable(names, texts, glued):
    found = words(names)
    assert [each.text for each in found] == texts
    assert [each.glued for each in found] == [bool(each) for each in glued]


def test_every_byte_comes_back_as_it_was():
    """What GPT-2's own table makes of UTF-8, written down again as its authors describe it."""
    printed = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    table, more = {}, 0
    for byte in range(256):
        table[byte] = chr(byte) if byte in printed else chr(256 + more)
        more += byte not in printed
    for word in (" naïve", " 東京", " 🙂", " ß"):
        (found,) = words(["".join(table[byte] for byte in word.encode())])
        assert found.text == word.strip()


@pytest.mark.parametrize("style", ["inline", "bar"])
def test_a_figure_given_is_drawn_in_and_keeps_its_size(text, style):
    figure = Figure(figsize=(5, 4), layout="constrained")
    ax = text(NAMES).plot.text(0, style=style, fig=figure)
    assert ax.figure is figure
    assert tuple(figure.get_size_inches()) == (5, 4)
