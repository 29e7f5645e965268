"""Scores of every sample: those of the stored maps, kept beside them and summed up."""

import numpy as np
import pytest
import xarray as xr
import zarr

import signalcam as sc
from signalcam.jobs import columns, summary
from signalcam.jobs.scorer import Scorer
from signalcam.jobs.store import JobStore
from signalcam.jobs.worker import Worker

NAMES = ["deletion", "average-drop", "complexity"]
SECTION = {"names": NAMES, "steps": 5, "seed": 3}
BAD = [5, 21]


@pytest.fixture(scope="module")
def scored(sections, tmp_path_factory):
    """A store of 70 samples with three metrics of every map, of which two failed."""
    place = tmp_path_factory.mktemp("scored") / "maps.zarr"
    sc.Job(**sections, metrics=SECTION, output=str(place)).run()
    return place


def network(sections):
    return Worker(sc.Job(**sections, output="unused")).model


@pytest.mark.filterwarnings("ignore::signalcam.CamWarning")  # that some are not defined
def test_scores_are_those_of_the_stored_maps(scored, sections):
    exp, kept = sc.load(scored), xr.open_zarr(scored).load()
    model = network(sections)
    for first in range(0, 70, 8):
        rows = [row for row in range(first, min(first + 8, 70)) if row not in BAD]
        direct = sc.metrics.evaluate(exp.isel(sample=rows), model, NAMES, steps=5, seed=3, batch_size=8)
        own = kept["metrics"][rows].transpose("metric", "sample", "target", "scored", "layer")
        np.testing.assert_allclose(own, direct["value"], rtol=1e-6, atol=1e-7)
    assert kept["scored"].values.tolist() == direct["cam"].values.tolist()
    assert kept["metrics"].dims == ("sample", "metric", "target", "scored", "layer")
    assert kept["metrics"].dtype == np.float32
    assert kept["metric"].values.tolist() == NAMES
    assert np.isnan(kept["metrics"][BAD]).all()


def test_the_explanation_carries_them(scored):
    exp = sc.load(scored)
    found, kept = exp.metrics, xr.open_zarr(scored).load()["metrics"]
    assert found["value"].dims == ("metric", "sample", "target", "cam", "layer")
    assert found["metric"].values.tolist() == NAMES
    assert found["better"].values.tolist() == ["lower", "lower", "lower"]
    assert found["cam"].values.tolist() == ["grad-cam", "hires-cam", "random-cam", "input-energy"]
    assert found.attrs["baselines"] == "random-cam, input-energy"
    np.testing.assert_allclose(found["mean"], np.nanmean(kept, axis=0), rtol=1e-5)
    assert int(found["count"].max()) == 68
    assert (found["low"] < found["mean"]).all()
    classes = exp.isel(sample=slice(0, 3)).target_classes
    np.testing.assert_array_equal(found["score"][:3], np.take_along_axis(exp.probabilities[:3], classes, 1))
    some = exp.isel(sample=slice(0, 3), cam=1)
    assert some.metrics["value"].shape == (3, 3, 2, 3, 2)
    assert "deletion" in repr(some)


@pytest.mark.parametrize("samples", [slice(0, 4), slice(None)])
def test_a_report_shows_them(samples, scored, tmp_path):
    sc.load(scored).isel(sample=samples).to_html(tmp_path / "page.html")
    assert "average-drop" in (tmp_path / "page.html").read_text()


def test_a_copy_keeps_them(scored, tmp_path):
    exp = sc.load(scored).isel(sample=slice(6, 10))
    exp.save(tmp_path / "copy.zarr")
    assert sc.load(tmp_path / "copy.zarr").metrics.drop_attrs().equals(exp.metrics.drop_attrs())


def test_means_and_deviations_of_groups_are_those_of_the_scores(scored):
    found, kept = summary(scored), xr.open_zarr(scored).load()
    members = {"all": kept.failed.values == "", "wrong": (kept.label != kept.predicted).values}
    for name, here in members.items():
        values = kept["metrics"].values[here & members["all"]].astype(float)
        own = found.sel(of=name)
        np.testing.assert_array_equal(own["metrics_count"], np.isfinite(values).sum(axis=0))
        np.testing.assert_allclose(own["metrics_mean"], np.nanmean(values, axis=0), atol=1e-12)
        np.testing.assert_allclose(own["metrics_std"], np.nanstd(values, axis=0), atol=1e-12)
    assert found["metrics_mean"].dims == ("of", "metric", "target", "scored", "layer")
    finished = xr.open_zarr(scored, group="summary").load()
    assert found.equals(finished)


def test_a_score_that_is_not_defined_does_not_count():
    rows = {"metrics": np.array([[1.0], [np.nan], [3.0]], np.float32)}
    belongs = np.array([[True, True, True], [False, True, False]])
    part = columns.unit_score_sums(rows, belongs)
    assert part["count_metrics"].tolist() == [[2], [0]]
    assert part["mean_metrics"].tolist() == [[2], [0]]
    assert part["squares_metrics"].tolist() == [[2], [0]]


def test_many_processes_give_the_same_bits(scored, sections, tmp_path):
    place = tmp_path / "two.zarr"
    sc.Job(**{**sections, "engine": {"processes": 2}}, metrics=SECTION, output=str(place)).run()
    assert summary(place).equals(summary(scored))
    one, two = (zarr.open_group(each, mode="r")["metrics"][...] for each in (scored, place))
    assert one.tobytes() == two.tobytes()


def test_another_metric_is_another_job():
    good = {"data": "a.npy", "model": "a:b", "output": "c.zarr"}
    digests = {sc.Job(**good, metrics=each).digest("x") for each in ({}, "road", SECTION, {**SECTION, "seed": 4})}
    assert len(digests) == 4
    assert sc.Job(**good, metrics="road").metrics.names == ("road",)


def scorer_and_rows(scored, sections, unit=0, **section):
    """What scores a unit's first batch, with rows from which the scores are gone."""
    archive = JobStore.open(scored)
    worker = Worker(sc.Job(**sections, metrics=SECTION | section, output=str(scored)))
    numbers = archive.rows(unit)
    rows = {name: np.asarray(archive.group[name][numbers.start : numbers.stop]) for name in archive.by_sample}
    rows["metrics"] = np.full_like(rows["metrics"], np.nan)
    here, exp = np.arange(8), sc.load(scored).isel(sample=slice(numbers.start, numbers.start + 8))
    return worker.scorer, archive.about, rows, [(here, exp)]


def test_a_process_says_what_the_scores_are_of_and_scores(scored, sections):
    archive = JobStore.open(scored)
    worker = Worker(sc.Job(**sections, metrics=SECTION, output=str(scored)))
    assert worker.facts()["metrics"] == archive.about["facts"]["metrics"]
    _, about, rows, explained = scorer_and_rows(scored, sections, unit=2)
    worker.scorer.fill(about, rows, explained, stop=True)
    np.testing.assert_allclose(rows["metrics"][:8], archive.group["metrics"][32:40], rtol=1e-5)


def test_where_a_batch_cannot_be_scored_its_samples_are_one_by_one(scored, sections, monkeypatch):
    scorer, about, rows, explained = scorer_and_rows(scored, sections, unit=2)
    real = Scorer._evaluate
    asked = []

    def moody(self, exp):
        asked.append(len(exp))
        if len(exp) > 1 or exp.sample_names == ("w34",):
            message = "not these"
            raise ValueError(message)
        return real(self, exp)

    monkeypatch.setattr(Scorer, "_evaluate", moody)
    scorer.fill(about, rows, explained, stop=False)
    assert asked == [8] + [1] * 8
    lost = np.isnan(rows["metrics"][:8]).all(axis=(1, 2, 3, 4))
    assert np.flatnonzero(lost).tolist() == [2]
    with pytest.raises(sc.JobError, match=r"cannot be scored \(not these\).*on_error"):
        scorer.fill(about, rows, explained, stop=True)


def test_a_batch_of_failed_samples_is_not_scored(scored, sections, monkeypatch):
    scorer, about, rows, explained = scorer_and_rows(scored, sections)
    for name in ("peak_0", "peak_1"):
        rows[name][:] = np.nan
    monkeypatch.setattr(Scorer, "_evaluate", lambda *_: pytest.fail("it was scored"))
    scorer.fill(about, rows, explained, stop=True)
    scorer.fill(about, rows, [], stop=True)


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"names": ["f-fidelity-plus"]}, "fine_tuned"),
        ({"names": ["deletion"], "steps": 99}, "99 steps were asked for"),
        ({"names": ["deletion"], "window": {"depth": 3}}, "window names 'depth'"),
    ],
)
def test_what_cannot_be_scored_is_told_before_anything_is_made(section, said, sections, tmp_path):
    with pytest.raises(sc.JobError, match=f"metrics: a first sample cannot be scored .*{said}"):
        sc.Job(**sections, metrics=section, output=str(tmp_path / "maps.zarr")).run()
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_told_before_anything_is_made(scored, sections, monkeypatch):
    scorer, *_, explained = scorer_and_rows(scored, sections)

    def missing(*_, **__):
        raise sc.MissingExtra("filling gaps in two axes", "metrics")

    monkeypatch.setattr("signalcam.metrics.evaluate", missing)
    with pytest.raises(sc.JobError, match=r"pip install 'signalcam\[metrics\]'"):
        scorer.facts(explained[0][1].isel(sample=0))


def test_targets_without_a_class_are_asked_again(sections, tmp_path):
    contrast = {**sections["explain"], "target": [{"contrast": "V", "foil": "N"}]}
    job = sc.Job(
        **{**sections, "explain": contrast},
        metrics={"names": "deletion", "measure": "logit", "baselines": []},
        output=str(tmp_path / "maps.zarr"),
    )
    exp = job.run()
    assert np.isfinite(exp.metrics["value"].values[0, 0]).all()
    assert exp.metrics["measure"].values.tolist() == ["logit"]
    assert exp.metrics["cam"].values.tolist() == ["grad-cam", "hires-cam"]
    assert np.isnan(exp.metrics["score"]).all()
