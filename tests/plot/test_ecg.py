"""ECG paper: true to scale, leads in their order, the grid legible below the heat."""

import io

import numpy as np
import pytest
from matplotlib.figure import Figure

import signalcam as sc
from signalcam.plot.ecg import EcgDisplay

LEADS = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"]
MM = 25.4


@pytest.fixture
def twelve(make):
    """Ten seconds of twelve leads, the map over time and channel."""
    exp = make((1, 12, 1000), "batch channel time", [1, 2], sampling_rate=100, channel_names=LEADS, units="mV")
    exp.input[:] *= 0.2
    return exp


def few(make, names, **layout):
    return make(
        (1, len(names), 400),
        "batch channel time",
        [2],
        **{"sampling_rate": 100, "channel_names": names, "units": "mV"} | layout,
    )


def on_page(ax, x, y):
    """Where a point of the data lies, in mm from the lower left corner of the figure."""
    return ax.transData.transform((x, y)) / ax.figure.dpi * MM


@pytest.mark.parametrize(("layout", "speed", "gain"), [("3x4+1", 25, 10), ("12x1", 50, 5)])
def test_a_millimetre_of_paper_is_one_of_the_page(twelve, layout, speed, gain):
    display = EcgDisplay.from_explanation(twelve).plot(layout=layout, speed=speed, gain=gain)
    display.figure_.draw_without_rendering()
    line, lead = display.line_[0], twelve.input[0, 0] - np.median(twelve.input[0, 0])
    first, last = (on_page(display.ax_, x, y) for x, y in (line.get_xydata()[0], line.get_xydata()[-1]))
    length = len(line.get_xdata())
    assert last[0] - first[0] == pytest.approx((length - 1) / 100 * speed)
    assert last[1] - first[1] == pytest.approx((lead[length - 1] - lead[0]) * gain)


def test_the_grid_has_a_line_each_millimetre_and_a_strong_one_each_fifth(twelve):
    display = EcgDisplay.from_explanation(twelve).plot()
    for squares, size in zip(display.grid_, (1, 5), strict=True):
        upright = sorted({a[0] for a, b in squares.get_segments() if a[0] == b[0]})
        assert np.diff(upright) == pytest.approx(size)
        assert 0 in upright
    assert display.grid_[1].get_linewidth()[0] > display.grid_[0].get_linewidth()[0]


@pytest.mark.parametrize(("speed", "gain"), [(25, 10), (50, 20)])
def test_a_mark_before_each_row_is_one_millivolt_high_and_a_fifth_of_a_second_wide(make, speed, gain):
    display = EcgDisplay.from_explanation(few(make, ["II", "V1"])).plot(speed=speed, gain=gain)
    marks = [line.get_xydata() for line in display.ax_.lines if line.get_xdata()[-1] < 0]
    assert len(marks) == 2
    for mark in marks:
        assert np.ptp(mark[:, 1]) == gain
        assert np.ptp(mark[mark[:, 1] == mark[:, 1].max(), 0]) == pytest.approx(0.2 * speed)
        assert mark[0, 0] > display.ax_.get_xlim()[0]


def test_columns_follow_the_clinic_and_lead_two_runs_below(twelve):
    display = EcgDisplay.from_explanation(twelve).plot(layout="3x4+1")
    assert len(display.line_) == 13
    for lead, line in enumerate(display.line_[:12]):
        column, row = lead // 3, lead % 3
        assert line.get_xdata()[0] == pytest.approx(column * 62.5)
        assert line.get_xdata()[-1] == pytest.approx((column + 1) * 62.5 - 0.25)
        assert np.median(line.get_ydata()) > np.median(display.line_[12].get_ydata())
        if row:
            assert np.median(line.get_ydata()) < np.median(display.line_[lead - 1].get_ydata())
    rhythm = twelve.input[0, 1] - np.median(twelve.input[0, 1])
    line = display.line_[12]
    np.testing.assert_allclose(line.get_ydata() - line.get_ydata()[0], (rhythm - rhythm[0]) * 10, atol=1e-9)


def test_each_lead_has_its_own_heat_for_its_own_time(twelve):
    display = EcgDisplay.from_explanation(twelve).plot(layout="3x4+1")
    image, maps = np.asarray(display.strip_.get_array()), twelve.maps.values[0, 0, 0, 0]
    np.testing.assert_array_equal(
        image[0], np.concatenate([maps[3 * column, column * 250 : (column + 1) * 250] for column in range(4)])
    )
    np.testing.assert_array_equal(image[-1], maps[1])
    assert display.bar_.ax.get_ylabel().endswith("one scale for all leads")


def test_the_heat_covers_the_paper_without_a_gap(twelve):
    display = EcgDisplay.from_explanation(twelve).plot(layout="12x1")
    left, right, foot, top = display.strip_.get_extent()
    assert (foot, top) == display.ax_.get_ylim()
    assert (left, right) == pytest.approx((-0.125, 249.875))
    assert np.isfinite(np.asarray(display.strip_.get_array())).all()


def test_leads_are_put_in_order_whatever_they_are_called(make):
    exp = few(make, ["v5", "Lead II", "ECG_AVR", "MLI"])
    display = EcgDisplay.from_explanation(exp).plot()
    assert display.names == ["MLI", "Lead II", "ECG_AVR", "v5"]
    np.testing.assert_allclose(display.lines[3], exp.input[0, 0] - np.median(exp.input[0, 0]))
    assert len(display.line_) == 4  # one row a lead, as there are fewer than twelve


@pytest.mark.parametrize(("units", "factor"), [("uV", 1e-3), ("µV", 1e-3), ("V", 1e3), ("mV", 1)])
def test_units_become_millivolts(make, units, factor):
    exp = few(make, ["II"], units=units)
    lines = EcgDisplay.from_explanation(exp).lines
    np.testing.assert_allclose(lines[0], (exp.input[0, 0] - np.median(exp.input[0, 0])) * factor)


def test_the_grid_stays_legible_below_the_strongest_heat(make):
    exp = few(make, ["II"])
    exp.layers[0].values[:] = 1.0
    ax = exp.plot.ecg(line_kws={"visible": False})
    file = io.BytesIO()
    ax.figure.savefig(file, format="rgba", dpi=254)  # 10 pixels a mm
    width, height = (ax.figure.get_size_inches() * 254).astype(int)
    grey = np.frombuffer(file.getvalue(), np.uint8).reshape(height, width, 4)[..., :3].mean(axis=2)
    x, y = (ax.transData.transform((50, 0.5 * ax.get_ylim()[1])) * 254 / ax.figure.dpi).astype(int)
    strip = grey[height - y - 23, x - 100 : x + 100]  # between two lines across, over 20 mm
    assert strip.max() < 200  # heat
    assert np.ptp(strip) > 20  # and lines below it


def test_where_there_is_no_heat_the_paper_is_bare(make):
    colours = EcgDisplay.from_explanation(few(make, ["II"])).plot().strip_.get_cmap()
    assert colours(0.0)[3] == 0
    alpha = [colours(share)[3] for share in np.linspace(0, 1, 9)]
    assert alpha == sorted(alpha)


def test_a_signed_map_is_bare_in_the_middle_of_its_scale(make):
    exp = make((1, 1, 400), "batch channel time", [2], signed=True, sampling_rate=100, channel_names=["II"], units="mV")
    strip = EcgDisplay.from_explanation(exp).plot().strip_
    assert strip.get_cmap()(0.5)[3] < 0.01
    assert strip.get_cmap()(0.0)[3] == strip.get_cmap()(1.0)[3] > 0.5
    assert strip.norm.vmin == -strip.norm.vmax


def test_high_traces_get_the_paper_they_need(make):
    exp = few(make, ["II", "V1"])
    exp.input[:] *= 5
    display = EcgDisplay.from_explanation(exp).plot()
    low, high = display.ax_.get_ylim()
    assert all(
        low <= line.get_ydata().min() and line.get_ydata().max() <= high
        for line in (display.line_[0], display.line_[-1])
    )


def test_axes_of_the_users_keep_the_proportions(make):
    ax = Figure(figsize=(4, 4)).add_subplot()
    assert few(make, ["II"]).plot.ecg(ax=ax) is ax
    ax.figure.draw_without_rendering()
    x, y = np.diff(ax.transData.transform([(0, 0), (1, 1)]), axis=0)[0]
    assert x == pytest.approx(y)


def test_time_and_scale_are_written_below(make):
    ax = few(make, ["II"]).plot.ecg(speed=50, gain=20)
    assert ax.get_xlabel() == "time (s) · 50 mm/s · 20 mm/mV"
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "1", "2", "3", "4"]
    assert ax.get_xticks() == pytest.approx([0, 50, 100, 150, 200])


def test_a_stretch_keeps_the_time_of_the_record(make):
    ax = few(make, ["II"]).between(1.5, 3.5).plot.ecg()
    assert [label.get_text() for label in ax.get_xticklabels()] == ["2", "3"]
    assert ax.get_xticks() == pytest.approx([12.5, 37.5])


@pytest.mark.parametrize(
    ("layout", "said"),
    [
        ({"units": None}, "units are not known.*units='mV'"),
        ({"units": "g"}, "units are 'g'"),
        ({"channel_names": None}, "the channels have no names"),
        ({"sampling_rate": None}, "no steady sampling rate"),
        ({"channel_names": ["II", "vx"]}, r"vx: no such lead.*channels=\[...\]"),
        ({"channel_names": ["II", "MLII"]}, "several channels are lead II"),
    ],
)
def test_what_paper_needs_and_is_missing_is_told(make, layout, said):
    with pytest.raises(sc.LayoutError, match=said):
        few(make, ["II", "V1"], **layout).plot.ecg()


def test_channels_that_are_no_leads_can_be_left_out(make):
    display = EcgDisplay.from_explanation(few(make, ["vx", "V1", "II"]), channels=["V1", "II"])
    assert display.names == ["II", "V1"]


def test_an_uneven_clock_has_no_speed(make):
    times = np.concatenate([np.arange(200), 100 + np.arange(200, 400)]) / 100
    exp = make((1, 1, 400), "batch channel time", [2], coordinates={"time": times}, channel_names=["II"], units="mV")
    with pytest.raises(sc.LayoutError, match="no steady sampling rate"):
        exp.plot.ecg()


def test_too_few_leads_for_columns_name_those_missing(make):
    with pytest.raises(sc.LayoutError, match=r"needs all 12 leads, and I, III, .*layout='12x1'"):
        few(make, ["II", "V1"]).plot.ecg(layout="3x4+1")


def test_an_unknown_layout_a_wrong_speed_and_a_long_record_are_told(make):
    exp = few(make, ["II"])
    with pytest.raises(sc.CamError, match="no ECG layout '6x2'"):
        exp.plot.ecg(layout="6x2")
    with pytest.raises(sc.LayoutError, match="speed is 0"):
        exp.plot.ecg(speed=0)
    long = make((1, 1, 8000), "batch channel time", [2], sampling_rate=100, channel_names=["II"], units="mV")
    with pytest.raises(sc.LayoutError, match=r"2\.0 m of paper.*exp\.between"):
        long.plot.ecg()


def test_a_map_without_time_has_no_paper(make):
    exp = make((1, 1, 20, 30), "batch channel height width", [2, 3], channel_names=["II"], units="mV")
    with pytest.raises(sc.LayoutError, match="along time"):
        exp.plot.ecg()
