"""Small multiples, means over samples, and curves of metrics."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure
from unit.results import scored

import signalcam as sc
from signalcam.plot.curves import CurveDisplay


@pytest.fixture
def several(make):
    """Two methods whose maps differ a hundredfold, at two layers."""
    exp = make((4, 2, 300), "batch channel time", [2], sampling_rate=100, channel_names=["II", "V1"], units="mV")
    one = exp.layers[0]
    both = np.concatenate([one.values, one.values[..., ::-1] * 100], axis=2)
    layers = tuple(replace(one, name=name, values=both) for name in ("conv1", "conv2"))
    return replace(exp, methods=("grad-cam", "eigen-cam"), layers=layers)


def titles(figure):
    return [ax.get_title(loc="left") for ax in figure.axes if ax.get_title(loc="left")]


def bars(figure):
    return [ax.get_ylabel() for ax in figure.axes if "evidence" in ax.get_ylabel()]


def test_methods_have_their_own_scales_and_the_figure_says_so(several):
    figure = several.plot.compare("method")
    maps = several.maps.values[0, 0, :, 0]
    for ax, each in zip(figure.axes, maps, strict=False):
        np.testing.assert_allclose(ax.images[0].get_array()[0], each / each.max(), rtol=1e-6)
        assert ax.images[0].get_clim() == (0, 1)
    assert titles(figure) == [f"grad-cam · largest {maps[0].max():.3g}", f"eigen-cam · largest {maps[1].max():.3g}"]
    assert bars(figure) == ["evidence for normal\nas a share of each method's largest"]


def test_methods_share_one_scale_if_asked_and_the_bar_says_so(several):
    figure = several.plot.compare(methods=["eigen-cam", "grad-cam"], norm="shared")
    assert titles(figure) == ["eigen-cam", "grad-cam"]
    top = several.maps.values[0, 0, :, 0].max()
    assert {ax.images[0].get_clim() for ax in figure.axes[:2]} == {(0, top)}
    assert bars(figure) == ["evidence for normal (logit)\none scale for all methods"]


def test_targets_share_one_scale(several):
    figure = several.plot.compare("targets", 2, method="eigen-cam")
    assert titles(figure) == ["normal", "AF"]
    top = several.maps.values[2, :, 1, 0].max()
    assert {ax.images[0].get_clim() for ax in figure.axes[:2]} == {(0, top)}
    assert bars(figure) == ["evidence for each target (logit)\none scale for all targets"]


def test_layers_are_compared_under_one_title(several):
    figure = several.plot.compare("layer", target="AF")
    assert [title.split(" ·")[0] for title in titles(figure)] == ["conv1", "conv2"]
    assert figure.get_suptitle() == "true: AF · predicted: normal (> 99.9 %)\ngrad-cam for AF"


def test_without_a_word_what_there_are_several_of_is_compared(several):
    assert len(titles(several.plot.compare())) == 2
    assert titles(several.isel(cam=0, layer=0).plot.compare()) == ["normal", "AF"]


def test_one_signed_map_makes_all_panels_diverging(several):
    several.layers[0].values[:, 0, 1, 5] = -200
    figure = several.plot.compare("method", norm="shared")
    for ax in figure.axes[:2]:
        low, high = ax.images[0].get_clim()
        assert low == -high
        assert ax.images[0].get_cmap().name == "RdBu_r"


def test_options_reach_every_panel(several):
    figure = several.plot.compare("method", channels=["V1"], style="line", line_kws={"color": "navy"})
    assert [ax.lines[0].get_color() for ax in figure.axes[:2]] == ["navy", "navy"]
    assert len(figure.axes[0].collections) == 1


def test_pictures_are_compared_side_by_side(make):
    figure = make((1, 1, 20, 30), "batch channel height width", [2, 3]).plot.compare("target")
    left, right = figure.axes[:2]
    figure.draw_without_rendering()
    assert left.get_position().x1 < right.get_position().x0
    assert left.images[1].get_clim() == right.images[1].get_clim()


def test_a_comparison_is_drawn_in_the_figure_given(several):
    part = Figure(layout="constrained").subfigures(1, 2)[1]
    assert several.plot.compare("method", fig=part) is part


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"along": "sample"}, r"no comparison by 'sample'\..*'method', 'layer', 'target'"),
        ({"methods": ["grad-cam"], "layers": ["conv1"]}, "one comparison at a time"),
        ({"along": "layer", "methods": ["grad-cam"]}, "one comparison at a time"),
        ({"methods": []}, "the list is empty"),
        ({"methods": ["grad-cam", "hires-cam"]}, "there is no method 'hires-cam' here"),
        ({"norm": "robust"}, "no norm 'robust'"),
        ({"ax": None}, "several axes, so it takes no ax="),
    ],
)
def test_a_comparison_that_cannot_be_meant_is_told(several, options, said):
    with pytest.raises(sc.CamError, match=said):
        several.plot.compare(**options)


def test_nothing_to_compare_is_told(several):
    with pytest.raises(sc.MethodError, match="nothing to compare"):
        several.isel(cam=0, layer=0, target=0).plot.compare()


# --- means over samples --------------------------------------------------------------------------


@pytest.fixture
def grouped(make):
    exp = make((6, 2, 50), "batch channel time", [2], sampling_rate=10, channel_names=["II", "V1"], units="mV")
    return replace(exp, true_classes=np.array([0, 0, 0, 1, 1, 1]), classes=np.array([0, 0, 1, 1, 1, 0]))


def edges(band):
    """The lower and the upper edge of a band, at the places in between its ends."""
    points = band.get_paths()[0].vertices
    at = {x: points[points[:, 0] == x, 1] for x in np.unique(points[:, 0])}
    return np.array([[y.min(), y.max()] for y in at.values()]).T


def test_a_summary_is_the_mean_and_one_deviation_over_the_mean_signal(grouped):
    display = CurveDisplay.from_explanation(grouped, target="AF").plot()
    maps = grouped.maps.values[:, 1, 0, 0]
    (line,), (band,), (behind,) = display.line_, display.band_, display.background_
    np.testing.assert_allclose(line.get_ydata(), maps.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(
        edges(band), [maps.mean(axis=0) - maps.std(axis=0), maps.mean(axis=0) + maps.std(axis=0)], rtol=1e-5
    )
    np.testing.assert_allclose(behind.get_ydata(), grouped.input[:, 0].mean(axis=0))
    assert behind.axes.get_ylabel() == "mean of II (mV)"
    assert display.ax_.get_ylabel() == "evidence for AF (logit)"
    assert "mean ± 1 standard deviation over 6 samples" in display.ax_.get_title(loc="left")


def test_a_summary_of_quantiles_is_the_median_and_two_bands(grouped):
    grouped.layers[0].values[0, :, :, 30:] = np.nan  # ends sooner
    display = CurveDisplay.from_explanation(grouped, target="AF", spread="quantiles").plot()
    wanted = np.nanquantile(grouped.maps.values[:, 1, 0, 0], [0.05, 0.25, 0.5, 0.75, 0.95], axis=0)
    (line,), (wide, narrow) = display.line_, display.band_
    np.testing.assert_allclose(line.get_ydata(), wanted[2], rtol=1e-6)
    np.testing.assert_allclose(edges(wide), wanted[[0, 4]], rtol=1e-5)
    np.testing.assert_allclose(edges(narrow), wanted[[1, 3]], rtol=1e-5)
    said = "median, bands: quantiles 0.25 to 0.75, 0.05 to 0.95 over 6 samples"
    assert said in display.ax_.get_title(loc="left")
    with pytest.raises(sc.MethodError, match="Nearest: 'quantiles'"):
        grouped.plot.summary(spread="quantile")


@pytest.mark.parametrize(
    ("by", "groups"),
    [
        ("class", {"normal (n = 3)": [0, 1, 2], "AF (n = 3)": [3, 4, 5]}),
        ("predicted", {"normal (n = 3)": [0, 1, 5], "AF (n = 3)": [2, 3, 4]}),
        ("outcome", {"right (n = 4)": [0, 1, 3, 4], "wrong (n = 2)": [2, 5]}),
    ],
)
def test_a_summary_has_a_curve_for_each_group(grouped, by, groups):
    ax = grouped.plot.summary(by=by, channel="V1")
    lines = {line.get_label(): line for line in ax.lines}
    assert list(lines) == list(groups)
    for label, rows in groups.items():
        np.testing.assert_allclose(lines[label].get_ydata(), grouped.maps.values[rows, 0, 0, 0].mean(axis=0), rtol=1e-6)
    assert len({line.get_color() for line in lines.values()}) == 2
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(groups)


def test_samples_of_unequal_length_are_averaged_where_they_are(grouped):
    grouped.layers[0].values[0, :, :, 30:] = np.nan
    line = grouped.plot.summary().lines[0]
    np.testing.assert_allclose(line.get_ydata()[30:], grouped.maps.values[1:, 0, 0, 0, 30:].mean(axis=0), rtol=1e-6)


def test_a_group_of_one_has_no_band(grouped):
    display = CurveDisplay.from_explanation(replace(grouped, true_classes=np.array([0, 0, 0, 0, 0, 1])), "class").plot()
    assert (len(display.line_), len(display.band_)) == (2, 1)


def test_a_summary_of_maps_with_channels_is_of_one_channel(make):
    exp = make((3, 2, 50), "batch channel time", [1, 2], channel_names=["II", "V1"])
    ax = exp.plot.summary(channel="V1")
    np.testing.assert_allclose(ax.lines[0].get_ydata(), exp.maps.values[:, 0, 0, 0, 1].mean(axis=0), rtol=1e-6)
    assert ", on V1" in ax.get_title(loc="left")


def test_where_each_sample_has_its_own_question_the_target_is_named(grouped):
    exp = replace(grouped, target_classes=np.array([[0, 1]] * 3 + [[1, 1]] * 3))
    assert exp.plot.summary().get_ylabel() == "evidence for predicted (logit)"


@pytest.mark.parametrize(
    ("by", "changes", "said"),
    [
        ("lable", {}, "no grouping 'lable'. Nearest: 'label'"),
        ("group", {}, "only the whole store of a job"),
        ("class", {"true_classes": None}, "no labels were given.*labels="),
        ("outcome", {"true_classes": None}, "no labels were given"),
        ("predicted", {"classes": None}, "holds no classes"),
    ],
)
def test_a_grouping_that_is_not_there_is_told(grouped, by, changes, said):
    with pytest.raises(sc.CamError, match=said):
        replace(grouped, **changes).plot.summary(by=by)


def test_a_summary_of_pictures_or_of_nothing_is_refused(make, grouped):
    with pytest.raises(sc.LayoutError, match="drawn over time"):
        make((2, 1, 20, 30), "batch channel height width", [2, 3]).plot.summary()
    grouped.layers[0].values[:] = np.nan
    with pytest.raises(sc.InputError, match="no finite value"):
        grouped.plot.summary()


# --- curves of metrics ---------------------------------------------------------------------------


@pytest.fixture
def scores(rng):
    share = xr.DataArray(np.linspace(0, 1, 5), dims="step", attrs={"long_name": "share removed", "units": "%"})
    return xr.DataArray(
        rng.random((6, 2, 5)),
        {"cam": ["grad-cam", "random"], "share": share},
        ("sample", "cam", "step"),
        "probability",
    )


def test_a_curve_is_the_mean_over_samples_with_a_band_and_a_dashed_baseline(scores):
    display = CurveDisplay.from_scores(scores).plot()
    for number, line in enumerate(display.line_):
        np.testing.assert_allclose(line.get_ydata(), scores.values[:, number].mean(axis=0))
        np.testing.assert_array_equal(line.get_xdata(), scores["share"])
    assert [line.get_linestyle() for line in display.line_] == ["-", "--"]
    assert len(display.band_) == 2
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == (
        "share removed (%)",
        "probability",
    )
    assert display.line_[0].get_label() == "grad-cam (n = 6)"


def test_a_dataset_of_one_variable_and_other_orders_of_axes_are_read(grouped, scores):
    turned = scores.rename(step="share removed").transpose("share removed", "sample", "cam")
    ax = grouped.plot.curve(turned.to_dataset().expand_dims("target"))
    np.testing.assert_allclose(ax.lines[0].get_ydata(), scores.values[:, 0].mean(axis=0))


def test_what_an_evaluation_of_maps_returns_is_read(grouped, scores):
    one = (
        scores.drop_vars("share")
        .assign_coords(step=np.arange(5))
        .expand_dims(curve=["deletion"], target=["AF"], layer=["conv"])
    )
    removed = (("layer", "step"), np.linspace(0, 0.8, 5)[None])
    found = xr.Dataset({"curve_score": one, "removed": removed, "mean": 0.5})
    ax = grouped.plot.curve(found)
    np.testing.assert_allclose(ax.lines[0].get_xdata(), removed[1][0])
    np.testing.assert_allclose(ax.lines[0].get_ydata(), scores.values[:, 0].mean(axis=0))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("share removed", "score")


def test_the_curves_that_a_result_carries_are_drawn_unasked(grouped):
    exp = scored(grouped)
    ax = exp.plot.curve()
    wanted = exp.metrics["curve_score"].values
    for number, line in enumerate(ax.lines):
        np.testing.assert_allclose(line.get_ydata(), wanted[0, :, 0, number, 0].mean(axis=0))
    assert [line.get_linestyle() for line in ax.lines[-2:]] == ["--", ":"]  # the baselines
    assert ax.get_title(loc="left").startswith(f"most first, {exp.targets[0]}, ")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("share removed", "probability")
    other = exp.plot.curve(curve="$least$ first", target=exp.targets[-1])
    np.testing.assert_allclose(other.lines[0].get_ydata(), wanted[1, :, -1, 0, 0].mean(axis=0))
    other.figure.draw_without_rendering()


def test_a_result_without_curves_says_how_it_gets_some(grouped):
    with pytest.raises(sc.InputError, match=r"no metric curves.*exp\.with_scores\("):
        grouped.plot.curve()
    with pytest.raises(sc.MethodError, match="no curve 'most'"):
        scored(grouped).plot.curve(curve="most")


def test_a_curve_without_samples_has_no_band(grouped, scores):
    ax = grouped.plot.curve(scores.mean("sample"))
    assert not ax.collections
    assert ax.lines[0].get_label() == "grad-cam"


def test_scores_that_are_no_curve_are_told(grouped, scores):
    with pytest.raises(sc.InputError, match="expected an xarray"):
        grouped.plot.curve(scores.values)
    with pytest.raises(sc.InputError, match="hold a, b; a curve is drawn of one"):
        grouped.plot.curve(xr.Dataset({"a": scores, "b": scores}))
    with pytest.raises(sc.InputError, match="are no curve"):
        grouped.plot.curve(scores.expand_dims(target=2))


@pytest.mark.parametrize("kwarg", ["line_kws", "band_kws", "background_kws"])
def test_arguments_reach_the_curves(grouped, kwarg):
    display = CurveDisplay.from_explanation(grouped).plot(**{kwarg: {"alpha": 0.11}})
    artists = {"line_kws": display.line_, "band_kws": display.band_, "background_kws": display.background_}
    assert artists[kwarg][0].get_alpha() == 0.11


@pytest.mark.parametrize("draw", ["signal", "ecg", "compare", "summary"])
def test_names_are_written_as_they_are_and_never_read_as_formulas(grouped, draw):
    names = {"class_names": ("a $_{ b$", "$\\x$"), "layout": replace(grouped.layout, channel_names=["II", "V1"])}
    options = {"by": "class"} if draw == "summary" else {}
    drawn = getattr(replace(grouped, **names).plot, draw)(**options)
    (drawn if hasattr(drawn, "savefig") else drawn.figure).draw_without_rendering()
