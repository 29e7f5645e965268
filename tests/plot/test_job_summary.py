"""What a job has summed up, drawn: equal to what its maps give, and without reading them."""

import copy
import shutil

import numpy as np
import pytest
from matplotlib.figure import Figure

import signalcam as sc
from signalcam.jobs import store_reader, summary
from signalcam.jobs.store import JobStore
from signalcam.plot.curves import CurveDisplay
from signalcam.plot.mean_maps import MeansDisplay
from signalcam.results.group_summary import summarize_groups

BAD = 5
NETWORK = """
import torch

def build(rank=1, channels=1):
    torch.manual_seed(0)
    convolution, pool = getattr(torch.nn, f"Conv{rank}d"), getattr(torch.nn, f"AdaptiveAvgPool{rank}d")
    return torch.nn.Sequential(
        convolution(channels, 6, 3, stride=2), torch.nn.ReLU(), pool(1), torch.nn.Flatten(), torch.nn.Linear(6, 3),
    )
"""
LAYOUTS = {
    "signal": {"dims": "batch channel time", "sampling_rate": 20, "channel_names": ["II", "V1"]},
    "spectrogram": {"dims": "batch channel frequency time", "sampling_rate": 10, "spacing": {"frequency": 50.0}},
    "image": {"dims": "batch channel height width"},
    "volume": {
        "dims": "batch channel superior anterior left",
        "spacing": {"superior": 3.0, "anterior": 1.0, "left": 1.0},
    },
    "video": {"dims": "batch channel time height width", "sampling_rate": 5},
}
SHAPES = {
    "signal": (2, 60),
    "spectrogram": (1, 16, 40),
    "image": (3, 20, 24),
    "volume": (1, 10, 18, 22),
    "video": (1, 9, 14, 16),
}


@pytest.fixture(scope="session")
def stores(tmp_path_factory):
    """The stores of jobs on noise in which something lies early, low or left; made where they are asked for."""
    folder = tmp_path_factory.mktemp("summed")
    (folder / "summed_networks.py").write_text(NETWORK)
    made = {}

    def store(kind):
        if kind in made:
            return made[kind]
        shape, rng = SHAPES[kind], np.random.default_rng(4)
        x = 0.3 * rng.normal(size=(30, *shape)).astype("float32")
        y = rng.integers(0, 3, 30)
        x[..., : shape[-1] // 3] += 2 * (y == 1).reshape(-1, *[1] * len(shape))
        x[BAD] = np.nan
        np.savez(folder / f"{kind}.npz", x=x, y=y)
        np.save(folder / f"{kind}.npy", np.array(["a", "b"])[rng.integers(0, 2, 30)])
        sc.Job(
            data={"path": f"{kind}.npz", "inputs": "x", "labels": "y", "groups": f"{kind}.npy"},
            model={
                "build": "summed_networks:build",
                "arguments": {"rank": len(shape) - 1, "channels": shape[0]},
                "class_names": ("N", "AF", "other"),
            },
            explain={"method": ["grad-cam", "hires-cam"], "target": ["predicted", "AF"]},
            layout=LAYOUTS[kind],
            units={"size": 8, "batch": 8},
            output=str(folder / f"{kind}.zarr"),
            folder=folder,
        ).run()
        made[kind] = folder / f"{kind}.zarr"
        return made[kind]

    return store


@pytest.fixture
def unread(monkeypatch):
    """Fail where a map or an input is read."""

    for name in ("__array__", "__getitem__"):
        own = getattr(store_reader.SampleArray, name)

        def read(rows, *asked, own=own):
            assert rows.ndim < 3, "maps or inputs were read"
            return own(rows, *asked)

        monkeypatch.setattr(store_reader.SampleArray, name, read)


def edges(band):
    points = band.get_paths()[0].vertices
    at = {x: points[points[:, 0] == x, 1] for x in np.unique(points[:, 0])}
    return np.array([[y.min(), y.max()] for y in at.values()]).T


def test_the_mean_and_its_deviation_are_those_of_the_maps(stores, unread, monkeypatch):
    exp = sc.load(stores("signal"))
    display = CurveDisplay.from_explanation(exp, target="AF", method="hires-cam").plot()
    (line,), (band,) = display.line_, display.band_
    title = display.ax_.get_title(loc="left")
    assert "hires-cam" in title
    assert "mean ± 1 standard deviation over 29 samples" in title
    assert display.ax_.get_ylabel() == "evidence for AF (scaled: max)"
    assert display.ax_.get_xlabel() == "time (s)"
    monkeypatch.undo()
    maps = np.delete(exp.normalized().native().sel({"target": "AF", "cam": "hires-cam"}).values, BAD, 0)
    grid, places = exp.layers[0].grid[0], np.arange(60)
    mean = np.interp(places, grid.centres, maps.mean(axis=0))
    spread = np.interp(places, grid.centres, maps.std(axis=0))
    np.testing.assert_allclose(line.get_ydata(), mean, atol=1e-3)
    np.testing.assert_allclose(edges(band), [mean - spread, mean + spread], atol=1e-3)


def test_the_quantiles_of_a_job_are_drawn(stores, unread):
    exp, means = sc.load(stores("signal")), summary(stores("signal"))
    ax = exp.plot.summary(target="AF", spread="quantiles")
    assert "median, bands: quantiles 0.25 to 0.75, 0.05 to 0.95 over 29 samples" in ax.get_title(loc="left")
    own = means.quantile_0.sel(of="all", target="AF").isel(cam=0)
    grid, places = exp.layers[0].grid[0], np.arange(60)
    found = [ax.lines[0].get_ydata(), *edges(ax.collections[0]), *edges(ax.collections[1])]
    for drawn, share in zip(found, (0.5, 0.05, 0.95, 0.25, 0.75), strict=True):
        wanted = np.interp(places, grid.centres, own.sel(quantile=share).values)
        np.testing.assert_allclose(drawn, wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("shares", "said", "bands"),
    [
        ((0.5,), "median over", 0),
        ((0.9, 0.1), "mean, bands: quantiles 0.1 to 0.9 over", 1),
        ((0.4, 0.1, 0.9), "quantile 0.4, bands: quantiles 0.1 to 0.9 over", 1),
    ],
)
def test_quantiles_are_those_that_the_job_was_asked_for(stores, tmp_path, shares, said, bands):
    sections = copy.deepcopy(JobStore.open(stores("signal")).about["job"])
    sections["aggregates"]["quantiles"] = shares
    sections["output"]["path"] = str(tmp_path / "maps.zarr")
    exp = sc.Job(**sections, folder=stores("signal").parent).run()
    ax = exp.plot.summary(spread="quantiles")
    assert said in ax.get_title(loc="left")
    assert len(ax.collections) == bands
    for low, high in map(edges, ax.collections if len(shares) % 2 else ()):
        assert (low <= ax.lines[0].get_ydata() + 1e-6).all()
        assert (ax.lines[0].get_ydata() <= high + 1e-6).all()


@pytest.mark.parametrize("kind", ["image", "volume"])
def test_of_pictures_the_median_and_a_range_are_drawn(stores, unread, kind):
    exp, means = sc.load(stores(kind)), summary(stores(kind))
    figure = exp.plot.summary(spread="quantiles").figure
    titles = [ax.get_title(loc="left") for ax in figure.axes[:2]]
    assert titles[0].endswith("quantile 0.5")
    assert titles[1] == "quantile 0.95 less quantile 0.05"
    own = means.quantile_0.sel(of="all").isel(target=0, cam=0)
    drawn = figure.axes[1].images[0].get_array()
    assert drawn.max() <= float((own.sel(quantile=0.95) - own.sel(quantile=0.05)).max()) + 1e-6
    assert drawn.max() > 0


@pytest.mark.parametrize("by", ["label", "class", "predicted", "right", "outcome", "group"])
def test_there_is_a_curve_for_each_group(stores, unread, by):
    store = stores("signal")
    ax = sc.load(store).plot.summary(by=by)
    means, kind = summary(store), {"class": "label", "outcome": "right"}.get(by, by)
    said = dict(zip(means["of"].values.tolist(), means["count"].values.tolist(), strict=True))
    wanted = {
        of.partition(": ")[2] or of: n
        for of, n in said.items()
        if of.startswith(kind) or (kind == "right" and of == "wrong")
    }
    assert [line.get_label() for line in ax.lines] == [f"{name} (n = {n})" for name, n in wanted.items() if n]
    assert "over 29 samples" in ax.get_title(loc="left")


def test_what_a_job_has_done_is_drawn_while_it_runs(stores, unread, tmp_path):
    store = tmp_path / "maps.zarr"
    shutil.copytree(stores("signal"), store)
    shutil.rmtree(store / "summary")
    for unit in ("2", "3"):
        (store / "unit" / "status" / "c" / unit).unlink()
    assert "over 15 samples" in sc.load(store).plot.summary().get_title(loc="left")
    shutil.rmtree(store / "unit" / "status" / "c")
    with pytest.raises(sc.InputError, match="no sample yet"):
        sc.load(store).plot.summary()


def test_parts_of_a_job_and_changed_maps_are_averaged_as_they_are(stores):
    exp = sc.load(stores("signal"))
    assert summarize_groups(exp) is not None
    for other in (exp.isel(sample=slice(6, 20)), exp.normalized(), exp.between(0.5, 1.5)):
        assert summarize_groups(other) is None
    some = exp.isel(sample=slice(6, 20))
    display = CurveDisplay.from_explanation(some, "predicted").plot()
    assert display.behind
    assert sum(curve.count for curve in display.curves) == 14
    assert "over 14 samples" in display.title


@pytest.mark.parametrize("kind", ["spectrogram", "image"])
def test_pictures_have_mean_and_deviation_side_by_side(stores, unread, monkeypatch, kind):
    exp = sc.load(stores(kind))
    display = MeansDisplay.from_groups(summarize_groups(exp), "right", target="AF").plot()
    panels = [each.axes for each in display.heat_]
    names = display.figure_.axes[0].get_title(loc="left"), display.figure_.axes[1].get_title(loc="left")
    assert names[0].startswith("right (n = ")
    assert names[1] == "standard deviation"
    assert "over 29 samples" in display.figure_.get_suptitle()
    assert len(panels) == 2 * len(display.names)
    assert [bar.ax.get_ylabel() for bar in display.bar_] == ["evidence for AF (scaled: max)", "standard deviation"]
    if kind == "spectrogram":
        assert display.figure_.axes[0].get_ylabel() == "frequency (Hz)"
    monkeypatch.undo()
    right = np.flatnonzero((exp.classes == exp.true_classes) & (np.arange(30) != BAD))
    wanted = exp.normalized().native().sel({"target": "AF", "cam": "grad-cam"})[right]
    drawn = display.means[0].heat
    assert drawn.max() == pytest.approx(float(wanted.mean("sample").max()), abs=2e-3)
    assert display.deviations[0].heat.max() == pytest.approx(float(wanted.std("sample").max()), abs=2e-3)


@pytest.mark.parametrize(
    ("kind", "places"),
    [("volume", ["superior 15", "anterior 9", "left 11"]), ("video", ["time 0 s", "time 0.8 s", "time 1.6 s"])],
)
def test_volumes_are_cut_through_the_middle_and_videos_have_three_frames(stores, unread, kind, places):
    display = MeansDisplay.from_groups(summarize_groups(sc.load(stores(kind))), "label").plot()
    assert len(display.heat_) == 2 * 3 * len(display.names)
    assert [each.get_text() for each in display.ax_.get_xticklabels()] == places


def test_a_summary_is_drawn_in_the_figure_given_and_with_the_colours_asked_for(stores, unread):
    figure = Figure(layout="constrained")
    ax = sc.load(stores("image")).plot.summary(fig=figure, cmap="magma", vmax=2, colorbar=False)
    assert ax.figure is figure
    assert len(figure.axes) == 2
    assert ax.images[0].get_cmap().name == "magma"
    assert ax.images[0].get_clim() == (0, 2)
    assert figure.axes[1].images[0].get_cmap().name == "viridis"


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("image", {"by": "label", "ax": 1}, "has no option 'ax'"),
        ("image", {"by": "sort"}, "no grouping 'sort'"),
        ("signal", {"by": "sort"}, "no grouping 'sort'"),
        ("signal", {"target": "X"}, "X"),
    ],
)
def test_what_cannot_be_drawn_is_told(stores, unread, kind, options, said):
    with pytest.raises(sc.CamError, match=said):
        sc.load(stores(kind)).plot.summary(**options)
