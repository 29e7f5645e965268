"""The report of a whole job: what it has summed up comes first, and only some samples are read."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import xarray as xr
from pages.made import ecg, picture

from signalcam.jobs import group_summary
from signalcam.report import html, job_overview
from signalcam.results.group_summary import summarize_groups

pytest.importorskip("bokeh", reason="Bokeh is not installed: pip install 'signalcam[report]'")

OF = (
    "all",
    "predicted: normal",
    "predicted: noise",
    "label: normal",
    "right",
    "wrong",
    "group: <b>x</b>",
    "group: nobody",
)
COUNTS = np.array([900, 400, 500, 900, 300, 600, 7, 0])


@dataclass
class Kept:
    """Maps as a job's are kept: read where they are indexed."""

    values: Any

    def __post_init__(self):
        self.summarize = partial(group_summary.summarize, "maps.zarr")
        self.shape, self.dtype, self.size, self.ndim, self.read = (
            self.values.shape,
            self.values.dtype,
            self.values.size,
            self.values.ndim,
            [],
        )

    def __len__(self):
        return len(self.values)

    def __getitem__(self, chosen):
        found = self.values[chosen]
        self.read.append(len(found))
        return found


def job(exp, monkeypatch):
    """The same result as that of a job, which has summed up other samples than these."""
    rng, layers, sums = np.random.default_rng(6), [], {"count": ("of", COUNTS)}
    for number, layer in enumerate(exp.layers):
        dims = ("of", "target", "cam", *(f"p{number}_{i}" for i in range(len(layer.grid))))
        for what in ("mean", "std"):
            sums[f"{what}_{number}"] = (dims, rng.random((len(OF), *layer.values.shape[1:])))
        sums[f"quantile_{number}"] = (("quantile", *dims), rng.random((1, len(OF), *layer.values.shape[1:])))
        layers.append(replace(layer, values=Kept(layer.values)))
    table = xr.Dataset(sums, {"of": list(OF), "quantile": [0.5]})
    monkeypatch.setattr(group_summary, "_read_summary", lambda _store: table)
    failed = ("",) * (len(exp) - 3) + ("no number", "no number", "<i>torn</i>")
    return replace(exp, layers=tuple(layers), failed=failed), table


@pytest.fixture
def opened(page, monkeypatch, tmp_path):
    exp, table = job(ecg(120, 400), monkeypatch)
    page.table, page.exp = table, exp
    return page.open(exp, tmp_path)


def overview(page):
    return page.js(
        "return [...document.querySelectorAll('#every-rows tr')].map(r => [...r.children].map(c => c.innerText))"
    )


def test_a_job_opens_with_its_means_counts_and_what_failed(opened):
    assert not opened.js("return document.getElementById('page-means').hidden")
    assert opened.js("return document.querySelector('[role=tab]').innerText") == "All samples"
    assert opened.text("job-said").startswith("117 of 120 samples are explained; why the others are not")
    assert opened.text("job-reasons").split("\n") == ["no number (2)", "<i>torn</i> (1)"]
    assert [row[:2] for row in overview(opened)] == [
        ["all samples", "900"],
        ["predicted: noise", "500"],
        ["predicted: normal", "400"],
        ["true: normal", "900"],
        ["right", "300"],
        ["wrong", "600"],
        ["group: <b>x</b>", "7"],
    ]
    assert not opened.problems()


def test_the_means_drawn_are_those_summed_up(opened):
    grid = opened.exp.layers[0].grid[0]
    for number, of in ((0, "all"), (1, "predicted: noise")):
        if number:
            opened.choose("group", number)
        values, places = opened.heat("mean")
        wanted = np.interp(places * 500, grid.centres, opened.table.mean_0.sel(of=of).values[0, 0])
        np.testing.assert_allclose(values[0], wanted, atol=0.02)
    assert "(each map divided by its largest)" in opened.text("mean-meaning")


def test_the_name_of_a_group_shows_its_mean(opened):
    opened.doing("document.querySelectorAll('#every-rows button')[5].click()")
    assert opened.js("return document.getElementById('group').selectedOptions[0].innerText") == "wrong (600)"
    assert opened.js("return [...document.querySelectorAll('#every-rows tr')].findIndex(r => r.ariaCurrent)") == 5


def test_the_small_pictures_are_on_one_scale_and_follow_the_choice(opened):
    table, grid = opened.table, opened.exp.layers[1].grid[0]
    opened.choose("mean-layer", 1)
    opened.choose("mean-method", 1)
    opened.until("document.getElementById('every-rows').dataset.turn === '3'")
    rows = overview(opened)
    for row, of in zip(rows, ("all", "predicted: noise", "predicted: normal"), strict=False):
        mean = np.interp(np.arange(400), grid.centres, table.mean_1.sel(of=of).values[0, 1])
        mean[: grid.first], mean[grid.last + 1 :] = 0, 0
        assert float(row[3].split()[1]) == pytest.approx(mean.argmax() / 500, abs=0.004)
    ink = opened.js(
        "return [...document.querySelectorAll('#every-rows canvas')].map(c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.reduce((a, b) => a + b, 0))"
    )
    assert len(set(ink)) == len(ink)


def test_only_the_first_samples_are_on_the_page(opened):
    assert all(sum(layer.values.read) == job_overview.FIRST_SAMPLES for layer in opened.exp.layers)
    opened.doing("document.getElementById('tab-samples').click()")
    assert opened.text("first") == "The first 100 of 120 samples; signalcam view shows any of them."
    assert opened.text("count").endswith("of 100")
    assert opened.heat()[0].shape[1] > 200  # drawn for its width, though the page was hidden
    assert "120 samples" in opened.text("sentence")


@pytest.mark.parametrize(
    ("shape", "dims", "axes"),
    [
        ((4, 1, 16, 40), "batch channel frequency time", [2, 3]),
        ((4, 1, 24, 16), "batch channel height width", [2, 3]),
        ((4, 1, 8, 16, 20), "batch channel depth height width", [2, 3, 4]),
    ],
)
def test_means_of_pictures_and_volumes_are_shown(page, monkeypatch, tmp_path, shape, dims, axes):
    exp, _ = job(picture(shape, dims, axes), monkeypatch)
    opened = page.open(exp, tmp_path)
    assert len(overview(opened)) == 7
    drawn = opened.js(
        "return [...document.querySelectorAll('#every-rows canvas')].map(c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(Boolean))"
    )
    assert all(drawn)
    assert not opened.problems()


def test_a_page_of_a_job_asks_for_nothing_in_the_dark(opened):
    with opened.dark():
        opened.until("document.documentElement.dataset.ready")
    assert not opened.problems()
    assert [each for each in opened.requests() if not each.startswith("file:")] == []


def test_as_many_samples_as_fit_are_on_a_page(monkeypatch):
    exp, _ = job(ecg(120, 400), monkeypatch)
    monkeypatch.setattr(html, "MOST_CHARACTERS", 300_000)
    some = job_overview.select_first_samples(exp, summarize_groups(exp), html.MOST_CHARACTERS)
    assert 1 <= len(some) < 100


def test_a_job_that_has_explained_nothing_yet_has_a_page(page, monkeypatch, tmp_path):
    exp, table = job(ecg(5, 400), monkeypatch)
    table["count"][:] = 0
    opened = page.open(exp, tmp_path)
    assert opened.js("return document.querySelector('[role=tab]').innerText") == "Samples"
