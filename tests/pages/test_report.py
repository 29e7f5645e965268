"""The report, opened in a browser: clicked, typed into, zoomed, and read back."""

import base64
import re
from dataclasses import replace

import numpy as np
import pytest
from pages.made import ecg, picture
from unit.results import make, scored

from signalcam import Layout, StoreError

pytest.importorskip("bokeh", reason="Bokeh is not installed: pip install 'signalcam[report]'")

ROUNDED = 1e-3  # of the largest value: what the page rounds to, and 32 bits
EVIL = "</script><script>window.pwned=1</script><img src=x onerror='window.pwned=1'>$$\\sin$$"
SHOWN = "return [...document.querySelectorAll('#{} option')].map(o => o.innerText)"


def thinned(values, columns):
    """The strongest value of each column, by a loop over all of them."""
    count, found = len(values), []
    for k in range(columns):
        part = values[k * count // columns : (k + 1) * count // columns]
        found.append(max(part, key=abs))
    return np.array(found)


@pytest.fixture(scope="module")
def exp():
    return ecg()


@pytest.fixture
def opened(page, exp, tmp_path):
    return page.open(exp, tmp_path)


def test_a_page_says_what_was_explained_and_how_sure_the_model_was(opened):
    assert opened.text("sentence").startswith("Net on 3 samples: grad-cam and hires-cam")
    assert opened.text("name") == "sample rec 0"
    assert opened.text("verdict") == "true: normal · predicted: normal (5.0 %) · right"
    assert "evidence for normal (logit)" in opened.text("meaning")


def test_the_map_drawn_is_the_strongest_of_each_column(opened, exp):
    for layer in (0, 1):
        if layer:
            opened.choose("layer", layer)
        values, places = opened.heat()
        wanted = exp.maps.values[0, 0, 0, layer]
        assert values.shape[0] == 1
        assert 300 < values.shape[1] < 1400
        np.testing.assert_allclose(values[0], thinned(wanted, values.shape[1]), atol=ROUNDED * wanted.max())
        assert abs(places[0] - 0.002) < 0.004
        assert abs(places[-1] - 7.996) < 0.004


def test_each_channel_fills_its_row_where_it_is_asked_to(opened, exp):
    assert "all channels at one scale" in opened.text("meaning")
    opened.doing("document.getElementById('own').click()")
    ys = opened.model("map-lines", "m.data.ys.map(y => [...y])")
    for row, drawn in enumerate(ys):
        assert np.abs(np.array(drawn) - (2 - row)).max() == pytest.approx(0.46, rel=1e-3)
    assert "each channel at its own scale" in opened.text("meaning")


def test_target_and_method_chosen_are_the_ones_drawn(opened, exp):
    opened.choose("target", 1)
    opened.choose("method", 1)
    values, _ = opened.heat()
    wanted = exp.maps.values[0, 1, 1, 0]
    np.testing.assert_allclose(values[0], thinned(wanted, values.shape[1]), atol=ROUNDED * wanted.max())
    assert "evidence for noise" in opened.text("meaning")


def test_lines_go_through_the_lowest_and_highest_value_of_every_column(opened, exp):
    columns = opened.heat()[0].shape[1]
    ys = opened.model("map-lines", "m.data.ys.map(y => [...y])")
    gain = {}
    for row, drawn in enumerate(ys):
        x = exp.input[0, row]
        parts = [x[k * 4000 // columns : (k + 1) * 4000 // columns] for k in range(columns)]
        wanted = np.array([[part.min(), part.max()] for part in parts])
        pairs = np.sort(np.array(drawn).reshape(-1, 2), axis=1)
        gain[row] = np.polyfit(wanted.ravel(), pairs.ravel(), 1)
        np.testing.assert_allclose(np.polyval(gain[row], wanted), pairs, atol=1e-3)
    assert np.ptp([slope for slope, _ in gain.values()]) < 1e-3  # all at one scale


def test_zooming_in_shows_every_sample_and_all_channels_move_together(opened, exp):
    for _ in range(5):
        opened.doing(opened.key("+", "document.getElementById('figure')"))
    start, end = opened.model("map-across", "[m.start, m.end]")
    assert end - start == pytest.approx(8 / 32)
    values, places = opened.heat()
    numbers = np.rint(places * 500).astype(int)
    assert np.array_equal(np.diff(numbers), np.ones(len(numbers) - 1))
    wanted = exp.maps.values[0, 0, 0, 0]
    np.testing.assert_allclose(values[0], wanted[numbers], atol=ROUNDED * wanted.max())
    xs = opened.model("map-lines", "m.data.xs.map(x => [x[0], x[x.length - 1]])")
    assert len(xs) == 3
    assert len({tuple(each) for each in xs}) == 1
    opened.doing(opened.key("ArrowRight", "document.getElementById('figure')"))
    assert opened.model("map-across", "m.start") == pytest.approx(start + 0.2 * 8 / 32)
    opened.doing(opened.key("0", "document.getElementById('figure')"))
    assert opened.model("map-across", "m.end - m.start") == pytest.approx(8)


def test_the_wheel_zooms_about_the_mouse_and_a_drag_moves_along(opened):
    from selenium.webdriver import ActionChains  # noqa: PLC0415 - not everybody has it
    from selenium.webdriver.common.actions.wheel_input import ScrollOrigin  # noqa: PLC0415 - the same

    figure = opened.driver.find_element("id", "figure")
    before = opened.model("map-across", "[m.start, m.end]")
    ActionChains(opened.driver).scroll_from_origin(ScrollOrigin.from_element(figure), 0, -600).perform()
    opened.until("document.documentElement.dataset.drawn > 2")
    start, end = opened.model("map-across", "[m.start, m.end]")
    assert before[0] < start < end < before[1]
    ActionChains(opened.driver).move_to_element(figure).click_and_hold().move_by_offset(-80, 0).release().perform()
    opened.until(f"Bokeh.documents[0].get_model_by_name('map-across').start > {start}")
    moved = opened.model("map-across", "[m.start, m.end]")
    assert moved[1] - moved[0] == pytest.approx(end - start)


def test_another_sample_keeps_the_stretch_looked_at(opened):
    opened.doing(opened.key("+", "document.getElementById('figure')"))
    before = opened.model("map-across", "[m.start, m.end]")
    opened.doing(opened.key("n"))
    assert opened.text("name") == "sample rec 1"
    assert opened.model("map-across", "[m.start, m.end]") == before


def test_pointing_at_the_figure_reads_time_channel_value_and_importance(opened, exp):
    from selenium.webdriver import ActionChains  # noqa: PLC0415 - not everybody has it

    figure = opened.driver.find_element("id", "figure")
    ActionChains(opened.driver).move_to_element(figure).perform()
    opened.until("document.getElementById('reading').innerText")
    said = opened.text("reading")
    found = re.fullmatch(r"time ([\d.]+) s · (\S+) · (\S+) to (\S+) mV · importance (\S+)", said)
    assert found, said
    number, row = round(float(found[1]) * 500), ["I", "II", "V1"].index(found[2])
    near = exp.input[0, row, max(number - 8, 0) : number + 9]
    assert (
        near.min() - 0.01 * abs(near.min()) <= float(found[3]) <= float(found[4]) <= near.max() + 0.01 * abs(near.max())
    )
    assert float(found[5]) == pytest.approx(exp.maps.values[0, 0, 0, 0, number], rel=0.1)


def test_words_say_where_the_heat_is_strongest(opened, exp):
    wanted = exp.maps[0, 0, 0, 0]
    said = float(re.search(r"strongest at time ([\d.]+) s", opened.text("summary"))[1])
    assert said == pytest.approx(float(wanted.idxmax("time")), abs=0.02)


def test_samples_are_filtered_sorted_and_chosen_from_the_table(page, tmp_path):
    exp = ecg(samples=6)
    page.open(exp, tmp_path)
    assert [row[0] for row in page.rows()] == [f"rec {i}" for i in range(6)]
    page.filter("outcome", "wrong")
    wrong = [i for i in range(6) if i % 3 != i % 2]
    assert [row[0] for row in page.rows()] == [f"rec {i}" for i in wrong]
    page.filter("predicted", "2")
    assert [row[2] for row in page.rows()] == ["noise ✗", "noise ✗"]
    page.filter("outcome", "")
    page.filter("predicted", "")
    sure = exp.probabilities[np.arange(6), exp.classes]
    page.filter("least", "50")
    assert len(page.rows()) == (sure >= 0.5).sum()
    page.filter("least", "")
    page.js("document.querySelectorAll('#heads button')[3].click()")
    page.until("document.querySelectorAll('#heads th')[3].getAttribute('aria-sort') === 'ascending'")
    assert [row[0] for row in page.rows()] == [f"rec {i}" for i in np.argsort(sure)]
    page.doing("document.querySelectorAll('#rows tr')[4].click()")
    assert page.text("name") == f"sample rec {np.argsort(sure)[4]}"
    page.js(
        "const e = document.getElementById('text'); e.value = 'nobody'; e.dispatchEvent(new Event('input', {bubbles: true}))"
    )
    page.until("document.getElementById('count').innerText === 'no sample passes the filter'")


def test_many_samples_come_in_pages(page, tmp_path):
    page.open(ecg(samples=120, length=200), tmp_path)
    assert page.text("count") == "1 to 50 of 120"
    page.js("document.getElementById('forth').click()")
    page.until("document.getElementById('count').innerText === '51 to 100 of 120'")
    assert page.rows()[0][0] == "rec 50"
    page.doing("document.querySelectorAll('#rows tr')[49].click()")
    page.doing(page.key("n"))
    assert page.text("name") == "sample rec 100"
    assert page.text("count") == "101 to 120 of 120"


def test_the_table_is_walked_by_keys(opened):
    opened.js("document.querySelector('#rows tr').focus()")
    opened.js(opened.key("ArrowDown", "document.activeElement"))
    assert opened.js("return document.activeElement.innerText").startswith("rec 1")
    opened.doing(opened.key("Enter", "document.activeElement"))
    assert opened.text("name") == "sample rec 1"
    opened.doing(opened.key("p"))
    assert opened.text("name") == "sample rec 0"


def test_tabs_are_walked_by_keys_and_name_what_they_show(opened):
    opened.js("document.getElementById('tab-samples').focus()")
    opened.js(opened.key("ArrowLeft", "document.activeElement"))
    opened.until("!document.getElementById('page-about').hidden")
    assert opened.js("return document.getElementById('tab-about').getAttribute('aria-selected')") == "true"
    assert "logit; logits returned by the model" in opened.text("about")


def test_everything_that_can_be_used_has_a_name_and_figures_are_described(opened):
    nameless = opened.js(
        "return [...document.querySelectorAll('button, select, input')].filter(e => e.checkVisibility() && !(e.innerText.trim()"
        "|| e.getAttribute('aria-label') || e.closest('label'))).map(e => e.outerHTML)"
    )
    assert nameless == []
    assert "rec 0" in opened.js("return document.getElementById('figure').getAttribute('aria-label')")
    assert opened.js("return document.getElementById('figure').getAttribute('aria-describedby')") == "summary"


def test_dark_mode_is_followed_while_the_page_is_open(opened):
    assert opened.model("map-line", "m.line_color.value") == "#111"
    with opened.dark():
        opened.until("Bokeh.documents[0].get_model_by_name('map-line').line_color.value === '#f4f6f8'")
        assert opened.js("return getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 28)"
        assert opened.model("map-colours", "m.palette[0]") == "#14171c"
    opened.until("Bokeh.documents[0].get_model_by_name('map-line').line_color.value === '#111'")


def test_one_colour_scale_for_all_samples_is_the_largest_of_them(opened, exp):
    own = opened.model("map-colours", "m.high")
    assert own == pytest.approx(exp.maps.values[0, 0, 0, 0].max(), rel=ROUNDED)
    opened.doing("document.getElementById('same').click()")
    every = opened.model("map-colours", "m.high")
    assert every == pytest.approx(exp.layers[0].values[:, 0, 0].max(), rel=ROUNDED)


def test_mean_maps_and_deviations_are_those_of_each_class(opened, exp):
    opened.doing("document.getElementById('tab-means').click()")
    names = opened.js(SHOWN.format("group"))
    assert names[0] == "all samples (3)"
    assert "true: normal (2)" in names
    opened.choose("group", names.index("true: normal (2)"))
    values, _ = opened.heat("mean")
    maps = exp.maps.values[[0, 2], 0, 0, 0]
    wanted = maps.mean(axis=0)
    np.testing.assert_allclose(values[0], thinned(wanted, values.shape[1]), atol=ROUNDED * wanted.max())
    low, mean, high = (np.array(each) for each in opened.model("mean-lines", "m.data.ys.map(y => [...y])"))
    np.testing.assert_allclose(mean - low, high - mean, atol=1e-4)
    ends = np.arange(len(mean) + 1) * 4000 // len(mean)
    middle = np.floor((ends[:-1] + ends[1:]) / 2)
    deviation = exp.layers[0].values[[0, 2], 0, 0].std(axis=0)
    straight = np.interp(middle, exp.layers[0].grid[0].centres, deviation)
    np.testing.assert_allclose(high - mean, straight, atol=ROUNDED * wanted.max())


def test_a_map_of_each_channel_has_a_strip_each_and_signs_have_two_colours(page, tmp_path):
    from signalcam.alignment.resampling import AxisGrid  # noqa: PLC0415 - beside what it is for
    from signalcam.results.layer_maps import LayerMaps  # noqa: PLC0415 - the same

    grid = (AxisGrid(1, 3, 3, 0.0, 1.0), AxisGrid(2, 40, 400, 4.5, 10.0))
    values = np.random.default_rng(3).standard_normal((2, 2, 2, 3, 40)).astype("f4")
    exp = ecg(samples=2, length=400, layers=(LayerMaps("conv", values, grid),))
    page.open(exp, tmp_path)
    drawn, _ = page.heat()
    np.testing.assert_allclose(drawn, exp.maps.values[0, 0, 0, 0], atol=ROUNDED * 4)
    assert page.model("map-colours", "[m.low, m.high]") == pytest.approx(
        [-np.abs(values[0, 0, 0]).max(), np.abs(values[0, 0, 0]).max()], rel=0.2
    )
    assert "against / for" in page.text("meaning")
    assert re.search(r"strongest on (I|II|V1) at", page.text("summary"))


def test_samples_of_unequal_length_end_where_they_end(page, tmp_path):
    shapes = np.array([[3, 400], [3, 240], [3, 400]])
    exp = ecg(length=400)
    exp = ecg(length=400, layers=tuple(each.mask_padding(shapes) for each in exp.layers), shapes=shapes)
    page.open(exp, tmp_path)
    assert page.js("return document.getElementById('tab-means').hidden")
    page.doing(page.key("n"))
    drawn, places = page.heat()
    np.testing.assert_allclose(drawn[0], exp.maps.values[1, 0, 0, 0, :240], atol=ROUNDED * drawn.max())
    assert places[-1] == pytest.approx(239 / 500)


def test_what_is_not_finite_is_left_blank(page, tmp_path):
    x = np.ones((3, 3, 400))
    x[0, 1], x[0, 2, 100:200] = np.nan, np.inf
    page.open(ecg(length=400, input=x), tmp_path)
    lines = page.model("map-lines", "m.data.ys.map(y => [...y].map(v => Number.isFinite(v)))")
    assert all(lines[0])
    assert not any(lines[1])
    assert lines[2] == [not 100 <= i < 200 for i in range(400)]


def test_a_single_sample_has_no_table(page, tmp_path):
    page.open(ecg(samples=1), tmp_path)
    assert page.js("return document.getElementById('table').checkVisibility()") is False
    assert page.js("return document.getElementById('tab-means').checkVisibility()") is False


HEAD = "document.querySelectorAll('#heads th')[{}]"


def told(value):
    return f"{value:.3g}"


def test_scores_that_a_result_carries_stand_beside_each_sample_and_sort_the_table(page, tmp_path):
    exp = scored(ecg(samples=5))
    exp.metrics["value"][0, 3] = np.nan
    value = exp.metrics["value"].values
    page.open(exp, tmp_path)
    assert page.js(f"return {HEAD.format(4)}.innerText").split() == ["deletion", "lower", "is", "better"]
    assert [row[4:] for row in page.rows()] == [
        [*map(told, value[:, i, 0, 0, 0])] if i != 3 else ["-", told(value[1, 3, 0, 0, 0])] for i in range(5)
    ]
    assert page.text("trusted") == (
        f"This map scored: deletion {told(value[0, 0, 0, 0, 0])} (lower is better) · insertion {told(value[1, 0, 0, 0, 0])} (higher is better)."
    )
    for state in ("ascending", "descending"):
        page.js(f"{HEAD.format(4)}.firstChild.click()")
        page.until(f"{HEAD.format(4)}.getAttribute('aria-sort') === '{state}'")
        order = np.argsort(value[0, :, 0, 0, 0] * (1 if state == "ascending" else -1))  # NaN last
        assert [row[0] for row in page.rows()] == [f"rec {i}" for i in order]
    page.choose("method", 1)
    order = np.argsort(-value[0, :, 0, 1, 0])
    page.until(f"document.querySelector('#rows td').innerText === 'rec {order[0]}'")
    assert [row[5] for row in page.rows()] == [told(value[1, i, 0, 1, 0]) for i in order]
    assert f"insertion {told(value[1, 0, 0, 1, 0])}" in page.text("trusted")
    assert page.problems() == []


def test_means_and_curves_stand_beside_those_of_the_baselines(page, tmp_path):
    exp = scored(ecg())
    page.open(exp, tmp_path)
    page.doing("document.getElementById('tab-means').click()")
    rows = "return [...document.querySelectorAll('#trust-rows tr')].map(r => [...r.children].map(c => c.innerText))"
    for target in (0, 1):
        if target:
            page.choose("mean-target", 1)
        mean = exp.metrics["mean"].values[:, target, :, 0]
        every = [
            [name, *(f"{told(each)} ({told(each)} to {told(each)})" for each in mean[:, i])]
            for i, name in enumerate(exp.metrics["cam"].values)
        ]
        assert page.js(rows) == every
        drawn = page.model("curve-lines", "m.data.ys.map(y => [...y])")
        wanted = exp.metrics["curve_score"].values[0, :, target, :, 0].mean(axis=0)
        np.testing.assert_allclose(drawn, wanted, rtol=1e-3)
    assert page.model("curve-lines", "m.data.dashes") == ["solid", "solid", "dashed", "dotted"]
    page.js("const e = document.getElementById('curve'); e.value = 1; e.dispatchEvent(new Event('change'))")
    assert "$least$ first" in page.text("curve-summary")
    with page.dark():
        page.until(
            "Bokeh.documents.map(d => d.get_model_by_name('curve-lines')).find(Boolean).data.colours[2] === '#a3acb8'"
        )
    assert page.problems() == []


def test_scores_of_a_single_picture_are_shown_without_mean_maps(page, tmp_path):
    exp = scored(picture((3, 3, 24, 40), "batch channel height width", (2, 3)).isel(sample=0))
    exp = replace(exp, metrics=exp.metrics.drop_vars(["curve_score", "removed"]))
    page.open(exp, tmp_path)
    page.js("document.getElementById('tab-means').click()")
    page.until("document.getElementById('trust').checkVisibility()")
    shown = "return document.getElementById('{}').checkVisibility()"
    assert [page.js(shown.format(name)) for name in ("averaged", "group", "mean-method")] == [False] * 3


def test_long_records_have_a_clock(page, tmp_path):
    exp = ecg(samples=1, length=4000, layout=Layout("batch channel time", 1, ["I", "II", "V1"]))
    page.open(exp, tmp_path)
    assert "0:30:00" in page.model("map-x", "[...m.major_label_overrides.values()]")
    assert page.model("map-x", "m.axis_label.text") == "time (h:m:s)"
    assert re.search(r"strongest at time \d:\d\d:\d\d ", page.text("summary"))


def test_pictures_lie_as_they_are_under_their_heat(page, tmp_path):
    exp = picture((3, 3, 24, 40), "batch channel height width", (2, 3))
    page.open(exp, tmp_path)
    heat = page.model("map-heat", "[...m.data.image[0]]")
    np.testing.assert_allclose(np.reshape(heat, (24, 40)), exp.maps.values[0, 0, 0, 0], atol=ROUNDED * np.max(heat))
    pixels = np.array(page.model("map-lines", "[...m.data.image[0]]"), "uint32").view("u1").reshape(24, 40, 4)
    x = exp.input[0]
    np.testing.assert_allclose(np.moveaxis(pixels[..., :3], -1, 0), 255 * (x - x.min()) / np.ptp(x), atol=0.51)
    assert page.model("map-up", "m.start > m.end")  # the first row on top
    page.doing("document.getElementById('tab-means').click()")
    page.choose("shows", "deviation")
    drawn = np.reshape(page.model("mean-heat", "[...m.data.image[0]]"), (24, 40))
    cells = np.ix_(range(1, 24, 4), range(1, 40, 4))
    assert page.model("mean-colours", "m.high") == pytest.approx(drawn.max())
    assert "deviates over these samples" in page.text("mean-meaning")
    assert drawn[cells].max() == pytest.approx(exp.layers[0].values[:, 0, 0].std(axis=0).max(), rel=0.5)


def test_slices_of_a_volume_are_chosen_by_a_slider(page, tmp_path):
    exp = picture(
        (3, 16, 24, 40), "batch depth height width", (1, 2, 3), spacing={"depth": 1.5}, axis_units={"depth": "mm"}
    )
    page.open(exp, tmp_path)
    for at in (int(page.js("return document.getElementById('slice').value")), 5):
        if at == 5:
            page.doing("const e = document.getElementById('slice'); e.value = 5; e.dispatchEvent(new Event('input'))")
        heat = np.reshape(page.model("map-heat", "[...m.data.image[0]]"), (24, 40))
        np.testing.assert_allclose(heat, exp.maps.values[0, 0, 0, 0, at], atol=ROUNDED * exp.maps.values.max())
    assert page.text("slice-at") == "7.5 mm"


def test_a_spectrogram_stands_upright_with_round_frequencies(page, tmp_path):
    places = {"frequency": np.geomspace(50, 8000, 24)}
    exp = picture((3, 1, 24, 40), "batch _ frequency time", (2, 3), coordinates=places)
    page.open(exp, tmp_path)
    assert page.model("map-up", "m.start < m.end")
    labels = dict(page.model("map-y", "m.ticker.ticks.map(at => [m.major_label_overrides.get(at), at])"))
    assert {"100", "1000"} <= set(labels)
    assert labels["100"] == pytest.approx(np.interp(100, places["frequency"], np.arange(24)), abs=1e-6)


def test_names_are_data_wherever_they_land(page, tmp_path):
    layout = Layout(
        ["batch", "channel", EVIL],
        channel_names=[EVIL, f"{EVIL} 2"],
        units=EVIL,
        spacing={EVIL: 0.1},
        axis_units={EVIL: EVIL},
    )
    exp = make(
        layout=layout,
        class_names=(EVIL, f"{EVIL} 1", f"{EVIL} 2"),
        sample_names=(EVIL, f"{EVIL} b", "c"),
        targets=(EVIL, f"{EVIL} t"),
        methods=(EVIL, f"{EVIL} m"),
        provenance={EVIL: EVIL, "model": EVIL, "score": EVIL},
        layers=tuple(type(each)(f"{EVIL}{i}", each.values, each.grid) for i, each in enumerate(make().layers)),
    )
    exp = scored(exp, (EVIL, f"{EVIL} 2"), (EVIL, f"{EVIL} 2"))
    page.open(exp, tmp_path)
    for name in ("target", "method", "layer", "predicted", "group"):
        assert any(EVIL in each.replace(" ", " ") for each in page.js(SHOWN.format(name))), name
    for name in ("sentence", "name", "verdict", "meaning", "summary"):
        assert EVIL in page.text(name), name
    assert EVIL in page.rows()[0][0]
    assert EVIL in page.text("trusted")
    assert EVIL in page.text("heads")
    assert page.js("return document.title").startswith(EVIL)
    labels = page.model("map-y", "[...m.major_label_overrides.values()].map(v => [v.type, v.text])")
    assert ["PlainText", EVIL] in labels  # in which $$ begins no formula
    assert page.model("map-x", "[m.axis_label.type, m.axis_label.text]") == ["PlainText", f"{EVIL} ({EVIL})"]
    page.doing("document.getElementById('tab-means').click()")
    assert page.text("trust").count(EVIL) >= 6
    assert page.model("curve-y", "m.axis_label.type") == "PlainText"
    page.js("document.getElementById('tab-about').click()")
    assert EVIL in page.text("about")
    assert page.js("return [window.pwned ?? null, document.querySelectorAll('main img').length]") == [None, 0]
    assert page.problems() == []


def test_a_page_asks_no_network_and_its_policy_is_kept(opened, tmp_path):
    assert [each.partition(":")[0] for each in opened.requests()] == ["file"]
    assert opened.problems() == []
    policy = opened.js("return document.querySelector('meta[http-equiv]').content")
    assert "default-src 'none'" in policy
    assert "connect-src 'none'" in policy
    assert "unsafe-eval" not in policy
    assert "script-src 'sha256-" in policy
    opened.js(
        "const s = document.createElement('script'); s.textContent = 'window.let_in = 1'; document.body.append(s);"
        "setTimeout(() => { try { eval('1'); window.evaluated = true } catch { window.evaluated = false } })"
    )
    opened.until("window.evaluated !== undefined")
    assert opened.js("return [window.let_in ?? null, window.evaluated]") == [None, False]


def test_a_page_shows_in_a_frame_as_notebooks_do(page, tmp_path, exp):
    display = pytest.importorskip("IPython.display", reason="IPython is not installed")
    frame = exp.show(height=600)
    assert isinstance(frame, display.IFrame)
    (tmp_path / "notebook.html").write_text(
        f"<!doctype html><meta charset=utf-8>{frame._repr_html_()}", encoding="utf-8"
    )
    page.driver.get((tmp_path / "notebook.html").as_uri())
    page.driver.switch_to.frame(0)
    page.until("document.documentElement.dataset.ready")
    assert page.text("name") == "sample rec 0"
    page.driver.switch_to.default_content()


def test_the_thumbnail_is_static_and_its_picture_opens(page, tmp_path, exp):
    volume = picture((3, 16, 24, 40), "batch depth height width", (1, 2, 3))
    text = exp._repr_html_() + volume._repr_html_()
    assert "<script" not in text
    assert len(text) < 100_000
    (tmp_path / "small.html").write_text(f"<!doctype html><meta charset=utf-8>{text}", encoding="utf-8")
    page.driver.get((tmp_path / "small.html").as_uri())
    assert page.js("return document.images[0].naturalWidth") == 40
    assert base64.b64decode(re.search(r"base64,([^\"]+)", text)[1]).startswith(b"\x89PNG")


def test_a_report_is_written_whole_or_not_at_all(exp, tmp_path):
    place = tmp_path / "deep" / "report.html"
    exp.to_html(place)
    before = place.read_text(encoding="utf-8")
    assert before.startswith("<!doctype html>")
    assert [each.name for each in place.parent.iterdir()] == ["report.html"]
    exp.isel(sample=0).to_html(place)
    assert place.read_text(encoding="utf-8") != before


@pytest.mark.parametrize("name", ["folder", "file/report.html"])
def test_a_place_that_cannot_be_written_to_is_named(exp, tmp_path, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StoreError, match=rf"cannot write a report to .*{name}.*Choose a file"):
        exp.to_html(tmp_path / name)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "folder"]
    assert list((tmp_path / "folder").iterdir()) == []


def test_the_command_writes_a_saved_result_and_refuses_what_is_none(tmp_path, exp):
    from typer.testing import CliRunner  # noqa: PLC0415 - for this test

    from signalcam.cli import app  # noqa: PLC0415 - the same

    exp.save(tmp_path / "maps.zarr")
    done = CliRunner().invoke(app, ["report", str(tmp_path / "maps.zarr"), "--to", str(tmp_path / "out.html")])
    assert done.exit_code == 0, done.output
    exp.to_html(tmp_path / "same.html")
    texts = [
        re.sub(r"[0-9a-f-]{36}|p\d{4,}", "", (tmp_path / name).read_text(encoding="utf-8"))
        for name in ("out.html", "same.html")
    ]
    assert texts[0] == texts[1]
    refused = CliRunner().invoke(app, ["report", str(tmp_path / "nothing.zarr")])
    assert refused.exit_code == 2
    assert "there is nothing at" in refused.output


def test_tokens_with_names_are_read_as_text_under_their_heat(page, tmp_path):
    from signalcam.alignment.resampling import AxisGrid  # noqa: PLC0415 - beside what it is for
    from signalcam.results.layer_maps import LayerMaps  # noqa: PLC0415 - the same

    grid = (AxisGrid(1, 5, 5, 0.0, 1.0),)
    values = np.tile(np.float32([0, 0.25, -0.5, 1, 0]), (3, 2, 2, 1))
    layout = Layout("batch token", token_names=[["", "play", "##ing", EVIL, "end"], ["a"], ["b"]])
    exp = make(input=np.zeros((3, 5)), layers=(LayerMaps("encoder", values, grid),), layout=layout)
    page.open(exp, tmp_path)
    assert page.js("return document.getElementById('words').textContent") == f"playing {EVIL} end"
    shown = page.js("return [...document.querySelectorAll('#words span')].map(e => e.style.background)")
    assert [re.search(r"--(towards|against)\) (\d+)%", each).groups() for each in shown] == [
        ("towards", "25"),
        ("against", "50"),
        ("towards", "100"),
        ("towards", "0"),
    ]
    colour = page.js("return getComputedStyle(document.querySelectorAll('#words span')[2]).backgroundColor")
    assert colour in ("rgb(214, 96, 77)", "color(srgb 0.839216 0.376471 0.301961)")
    page.doing(page.key("n"))
    assert page.text("words") == "a"


def test_tokens_are_drawn_by_number_and_regressions_by_target(page, tmp_path):
    from signalcam.alignment.resampling import AxisGrid  # noqa: PLC0415 - beside what it is for
    from signalcam.results.layer_maps import LayerMaps  # noqa: PLC0415 - the same

    grid = (AxisGrid(1, 12, 12, 0.0, 1.0),)
    layers = (LayerMaps("encoder", np.random.default_rng(4).random((3, 2, 2, 12)).astype("f4"), grid),)
    exp = make(
        input=np.arange(36).reshape(3, 12),
        layers=layers,
        layout=Layout("batch token"),
        classes=None,
        probabilities=None,
        logits=None,
        true_classes=None,
        target_classes=np.full((3, 2), -1),
        class_names=None,
        targets=("age", "weight"),
    )
    page.open(exp, tmp_path)
    assert "evidence for the target age" in page.text("meaning")
    assert page.text("verdict") == ""
    assert page.js("return [...document.querySelectorAll('#heads th')].map(e => e.innerText)") == ["sample"]
    drawn, places = page.heat()
    np.testing.assert_allclose(drawn[0], exp.maps.values[0, 0, 0, 0], atol=ROUNDED)
    assert places.tolist() == list(range(12))
    assert page.js("return document.getElementById('outcome').checkVisibility()") is False
