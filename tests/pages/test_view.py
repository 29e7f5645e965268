"""The viewer, opened in a browser: zoomed, another sample chosen, and read back."""

import numpy as np
import pytest
from pages.made import ecg, picture
from unit.results import make

pytest.importorskip("bokeh", reason="Bokeh is not installed: pip install 'signalcam[report]'")

from signalcam import Layout
from signalcam.alignment.resampling import AxisGrid
from signalcam.report import api
from signalcam.report.downsample import Tiles
from signalcam.report.server import serving
from signalcam.results.layer_maps import LayerMaps


@pytest.fixture
def served(page, tmp_path):
    """From a result to its page, served from a store."""
    opened = []

    def go(exp):
        exp.save(tmp_path / "maps.zarr")
        server = serving(tmp_path / "maps.zarr")
        opened.append(server)
        return page.go(server.__enter__().url)

    yield go
    for each in opened:
        each.__exit__(None, None, None)


def assert_shown(page, exp, sample, layer=0):
    """What is drawn is the tile of the stretch looked at."""
    values, places = page.heat()
    start, end = page.model("map-across", "[m.start, m.end]")
    columns = values.shape[1]
    wanted = Tiles(exp).tile(sample, layer=layer, begin=start, end=end, columns=columns)
    np.testing.assert_allclose(values, wanted.heat, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(places, wanted.x, atol=2 * (wanted.x[1] - wanted.x[0]))


def test_a_store_is_shown_zoomed_and_walked_through(served):
    exp = ecg()
    page = served(exp)
    assert page.text("sentence").startswith("Net on 3 samples")
    assert "token" not in page.driver.current_url
    assert_shown(page, exp, 0)
    for _ in range(5):
        page.doing(page.key("+", "document.getElementById('figure')"))
    assert page.model("map-across", "m.end - m.start") == pytest.approx(8 / 32, rel=1e-3)
    assert_shown(page, exp, 0)
    page.doing(page.key("n"))
    assert page.text("name") == "sample rec 1"
    assert_shown(page, exp, 1)
    page.choose("layer", 1)
    assert_shown(page, exp, 1, layer=1)
    page.filter("outcome", "wrong")
    assert [row[0] for row in page.rows()] == ["rec 2"]
    assert page.problems() == []
    assert {address.split("/")[2] for address in page.requests()} == {page.driver.current_url.split("/")[2]}


def test_the_link_works_from_a_page_of_another_site(page, tmp_path):
    ecg().save(tmp_path / "maps.zarr")
    with serving(tmp_path / "maps.zarr") as server:
        (tmp_path / "mail.html").write_text(f"<!doctype html><a href='{server.url}'>look</a>")
        page.driver.get((tmp_path / "mail.html").as_uri())
        page.js("document.querySelector('a').click()")
        page.until("document.documentElement.dataset.ready")
        assert page.driver.current_url == f"http://127.0.0.1:{server.server_port}/0/"
        assert page.text("name") == "sample rec 0"


def long():
    """A record of two leads and four hours, with a beat of heat late in it."""
    length, cells = 3_600_000, 225_000
    record = np.random.default_rng(0).standard_normal((1, 2, length)).astype("f4")
    heat = np.zeros((1, 1, 1, cells), "f4")
    heat[..., 200_000] = 1
    layer = LayerMaps("conv", heat, (AxisGrid(2, cells, length, 7.5, 16.0, probed=True),))
    bare = dict.fromkeys(["logits", "probabilities", "classes", "true_classes", "class_names"])
    return make(
        **bare,
        layers=(layer,),
        targets=("AF",),
        methods=("grad-cam",),
        layout=Layout("batch channel time", 250),
        input=record,
        scores=np.full((1, 1), np.nan),
        target_classes=np.full((1, 1), -1),
        sample_names=("day",),
    )


def test_a_long_record_is_read_while_the_page_is_up_and_nothing_of_it_is_missed(served, monkeypatch):
    monkeypatch.setattr(api, "_READ_SECONDS", 0.0)
    exp = long()
    page = served(exp)
    assert sum("/tile?" in address for address in page.requests()) > 10  # each said how far it came
    assert "The heat is strongest at time 3:33:2" in page.text("summary")
    assert page.js("return document.getElementById('table').hidden")
    assert_shown(page, exp, 0)
    page.doing("Bokeh.documents[0].get_model_by_name('map-across').setv({start: 12790, end: 12810})")
    assert_shown(page, exp, 0)
    assert page.heat()[0].max() == pytest.approx(1, abs=0.05)
    assert page.problems() == []


def test_volumes_are_served_slice_by_slice(served):
    exp = picture((3, 1, 8, 16, 12), "batch _ depth height width", (2, 3, 4))
    page = served(exp)
    wanted = exp.maps.values[0, 0, 0, 0]
    at = int(page.js("return document.getElementById('slice').value"))
    assert at == np.abs(wanted).max(axis=(1, 2)).argmax()
    values, _ = page.heat()
    np.testing.assert_allclose(values[::-1], wanted[at], rtol=1e-4)


def test_a_result_saved_again_is_said_on_the_page(served, tmp_path):
    page = served(ecg())
    ecg(samples=5).save(tmp_path / "maps.zarr")
    page.js("document.getElementById('next').click()")
    page.js("document.getElementById('layer').dispatchEvent(new Event('change'))")
    page.driver.implicitly_wait(0)
    for _ in range(100):
        if said := page.text("trouble"):
            break
    assert "reload the page" in said
    page.driver.refresh()
    page.until("document.documentElement.dataset.ready")
    assert "5 samples" in page.text("sentence")
