"""What a report says and holds, without Bokeh and without a browser."""

import re
import sys
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from signalcam import InputError, Layout, LayoutError, MissingExtra, StoreError
from signalcam.alignment.resampling import AxisGrid
from signalcam.report import html, quantize, summary
from signalcam.report.page import load_bokeh
from signalcam.report.table import SampleTable, TableQuery
from signalcam.results.layer_maps import LayerMaps
from unit.results import make

EVIL = "</p><script>alert(1)</script>"


def test_a_result_prints_as_a_sentence(exp):
    assert str(exp) == (
        "Net on 3 samples: grad-cam and hires-cam at layers conv1 and conv2, for the targets predicted and noise, "
        "along time (40). The model was right about 2 of 3."
    )
    one = make(classes=None).isel(sample=0, cam=0, layer=1, target=1)
    assert str(one) == "Net on 1 sample: grad-cam at layer conv2, for the target noise, along time (40)."


def test_many_names_are_counted():
    layers = tuple(LayerMaps(f"conv{i}", each.values, each.grid) for i in range(9) for each in make().layers[:1])
    assert "at layers conv0, conv1, conv2, conv3 and 5 more, for" in str(make(layers=layers))


def test_the_thumbnail_is_small_and_well_formed_and_holds_no_script(exp):
    drawn = exp._repr_html_()
    root = ET.fromstring(f"<div>{drawn}</div>")  # noqa: S314 - written a line above
    svg = root.find(".//{http://www.w3.org/2000/svg}svg")
    lines = svg.findall("{http://www.w3.org/2000/svg}polyline")
    assert svg.get("aria-label").startswith("I, II, from top")
    assert len(lines) == 2
    points = [tuple(map(float, each.split(","))) for each in lines[0].get("points").split()]
    assert np.argmax([-y for _, y in points]) == exp.input[0, 0].argmax()  # up is up
    opacities = [
        (float(each.get("x")), float(each.get("fill-opacity"))) for each in svg.iter("{http://www.w3.org/2000/svg}rect")
    ]
    strongest = max(opacities, key=lambda each: each[1])[0]
    assert round(strongest / 12) == np.abs(exp.maps.values[0, 0, 0, 0]).argmax()
    assert len(drawn) < 20_000
    assert "script" not in drawn


def test_names_in_the_thumbnail_are_data():
    layout = Layout("batch channel time", channel_names=[EVIL, EVIL])
    drawn = make(
        layout=layout,
        targets=(EVIL, "b"),
        methods=(EVIL, "c"),
        sample_names=(EVIL, 1, 2),
        provenance={"model": EVIL},
    )._repr_html_()
    assert "<script" not in drawn
    ET.fromstring(f"<div>{drawn}</div>")  # noqa: S314 - written two lines above


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
@pytest.mark.parametrize("dims", ["batch channel time", "batch height width"])
def test_a_thumbnail_is_drawn_also_where_nothing_is_to_be_seen(value, dims):
    grid = (
        (AxisGrid(2, 10, 40, 1.5, 4.0),)
        if "time" in dims
        else (AxisGrid(1, 2, 2, 0.0, 1.0), AxisGrid(2, 10, 40, 1.5, 4.0))
    )
    maps = np.full((3, 2, 2, *[axis.cells for axis in grid]), value, np.float32)
    exp = make(
        input=np.full((3, 2, 40), value),
        layers=(LayerMaps("conv", maps, grid),),
        layout=Layout(dims),
    )
    assert exp._repr_html_().startswith("<figure")


def test_a_report_without_bokeh_says_what_to_install(exp, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "bokeh.resources", None)
    load_bokeh.cache_clear()
    with pytest.raises(MissingExtra, match=re.escape("pip install 'signalcam[report]'")):
        exp.to_html(tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_a_notebook_needs_ipython(exp, monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython.display", None)
    with pytest.raises(MissingExtra, match=re.escape("signalcam[notebook]")):
        exp.show()


@pytest.fixture
def drawing(monkeypatch):
    """As if Bokeh were there."""
    monkeypatch.setattr(html, "load_bokeh", str)


def test_more_than_a_page_should_hold_is_refused_with_the_way_out(tmp_path, drawing):
    big = np.broadcast_to(np.float32(0), (3, 2, 40_000_000))
    layers = tuple(
        LayerMaps(each.name, each.values, (AxisGrid(2, each.grid[0].cells, 40_000_000, 0.0, 1e6),))
        for each in make().layers
    )
    with pytest.raises(StoreError, match=r"about 640 MB.*signalcam view maps.zarr\.$"):
        make(input=big, layers=layers).to_html(tmp_path / "report.html")
    less = np.broadcast_to(np.float32(0), (3, 2, 4_000_000))
    with pytest.raises(StoreError, match=re.escape("exp.isel(sample=slice(0, 1))")):
        make(input=less).to_html(tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_the_size_is_known_before_anything_is_packed():
    layers = tuple(
        LayerMaps(each.name, each.values, (AxisGrid(2, each.grid[0].cells, 4000, 0.0, 400.0),))
        for each in make().layers
    )
    exp = make(input=np.zeros((3, 2, 4000)), layers=layers)
    for each in (exp, exp.isel(sample=0)):
        assert quantize.estimate_size(each, len(summary.group_samples(each))) == pytest.approx(
            len(quantize.quantize_page(each)[1]), rel=0.05
        )


def test_nothing_to_show_is_refused(exp, drawing):
    with pytest.raises(InputError, match="no samples"):
        html.render(exp.isel(sample=[]))


def test_maps_of_four_axes_have_no_page(drawing):
    axes = tuple(AxisGrid(i, 2, 2, 0.0, 1.0) for i in range(1, 5))
    layers = (LayerMaps("conv", np.zeros((3, 2, 2, 2, 2, 2, 2), np.float32), axes),)
    exp = make(input=np.zeros((3, 2, 2, 2, 2)), layers=layers, layout=Layout("batch a b c d"))
    with pytest.raises(LayoutError, match="a, b, c, d"):
        html.render(exp)
    assert exp._repr_html_() == f"<p>{exp}</p>"


def test_importing_signalcam_loads_no_report():
    import subprocess  # noqa: PLC0415 - a fresh interpreter is the point

    code = "import sys, signalcam; print([m for m in sys.modules if m.startswith(('signalcam.report', 'bokeh'))])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603 - our own
    assert found.stdout.strip() == "[]"


def test_a_sample_that_could_not_be_explained_has_no_class_and_is_neither_right_nor_wrong():
    exp = make(classes=np.array([0, 1, -1]), true_classes=np.array([0, 0, -1]))
    assert "right about 1 of 2" in str(exp)
    assert summary.list_samples(exp)["predicted"] == [0, 1, None]
    assert [name for name, _ in summary.group_samples(exp)] == [
        "all samples",
        "predicted: normal",
        "predicted: ventricular",
        "true: normal",
        "right",
        "wrong",
    ]
    assert [SampleTable(exp).rows(TableQuery(outcome=each))["count"] for each in ("right", "wrong", "")] == [
        1,
        1,
        3,
    ]
    assert SampleTable(exp).rows(TableQuery())["rows"][2]["predicted"] is None
