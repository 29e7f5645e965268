"""Maps around events, against the same worked out from the stored maps one by one."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xarray as xr
import zarr

import signalcam as sc
from signalcam.jobs import summary
from signalcam.jobs.events import events_fingerprint, read_events
from signalcam.jobs.store import JobStore
from signalcam.jobs.worker import Worker

BAD = [5, 21]
SPAN = np.arange(-4, 7)  # 0.4 s before to 0.6 s after, at 10 Hz


@pytest.fixture(scope="module")
def beats():
    """Up to four events a sample, some of them too near its ends."""
    rng = np.random.default_rng(8)
    return [np.sort(rng.uniform(0, 4, rng.integers(0, 5))) for _ in range(70)]


@pytest.fixture(scope="module")
def asked(sections, data, beats):
    """A job that sums up around them."""
    sample = np.repeat(np.arange(70), [len(each) for each in beats])
    mixed = np.random.default_rng(1).permutation(len(sample))
    np.savez(data / "beats.npz", sample=sample[mixed], time=np.concatenate(beats)[mixed])
    return {**sections, "aggregates": {"events": "beats.npz", "before": 0.4, "after": 0.6}}


@pytest.fixture(scope="module")
def store(asked, tmp_path_factory):
    place = tmp_path_factory.mktemp("around") / "maps.zarr"
    sc.Job(**asked, output=str(place)).run()
    return place


def cut(dataset, layer, beats):
    """By sample, all cuts of its maps, ``(event, target, method, offset)``, and how many events reach outside."""
    centres = dataset[f"time_{layer}"].values * 10
    for row, times in enumerate(beats):
        places = (times * 10)[:, None] + SPAN
        inside = (places[:, 0] >= 0) & (places[:, -1] <= 39)
        maps = dataset[f"maps_{layer}"].values[row].astype(float)
        own = [[[np.interp(at, centres, line) for line in target] for target in maps] for at in places[inside]]
        yield np.reshape(own, (-1, *maps.shape[:2], len(SPAN))), int((~inside).sum())


def test_means_are_those_of_cuts_of_the_stored_maps(store, beats):
    found, dataset = summary(store), xr.open_zarr(store).load()
    good = dataset.failed.values == ""
    members = {"all": good, "predicted: V": good & (dataset.predicted.values == 1)}
    members |= {"wrong": good & (dataset.predicted != dataset.label).values}
    members |= {"group: b": good & (dataset.group.values == "b")}
    for layer in (0, 1):
        cuts = list(cut(dataset, layer, beats))
        for name, here in members.items():
            whole = np.concatenate([cuts[row][0] for row in np.flatnonzero(here)])
            own = found.sel(of=name)
            assert int(own["around_count"]) == len(whole)
            assert int(own["outside_count"]) == sum(cuts[row][1] for row in np.flatnonzero(here))
            np.testing.assert_allclose(own[f"around_mean_{layer}"], whole.mean(axis=0), atol=1e-12)
            np.testing.assert_allclose(own[f"around_std_{layer}"], whole.std(axis=0), atol=1e-12)
    assert found["around_mean_0"].dims == ("of", "target", "cam", "around")
    np.testing.assert_allclose(found["around"], SPAN / 10)
    assert found["around"].units == "s"


def test_python_gives_the_same_of_normalised_maps(store, beats):
    exp = sc.load(store)
    whole = [each for row, each in enumerate(beats) if row not in BAD]
    exp = exp.isel(sample=[row for row in range(70) if row not in BAD])
    own = exp.normalized("max").around(whole, 0.4, 0.6).table
    found = summary(store).sel(of="all")
    assert int(own["count"]) == int(found["around_count"])
    assert int(own["left_out"]) == int(found["outside_count"])
    np.testing.assert_allclose(own["mean"].isel(layer=1), found["around_mean_1"], atol=0.02)


def test_the_finished_store_holds_them(store):
    assert summary(store).equals(xr.open_zarr(store, group="summary").load())


@pytest.mark.parametrize("engine", [{"processes": 2}])
def test_two_processes_give_the_same_bits(engine, store, asked, tmp_path):
    sc.Job(**asked, engine=engine, output=str(tmp_path / "two.zarr")).run()
    assert summary(tmp_path / "two.zarr").equals(summary(store))


def test_a_column_of_lists_says_the_same(store, asked, data, beats, tmp_path):
    rows = [each.tolist() if len(each) else None for each in beats]
    pq.write_table(pa.table({"id": np.arange(70), "r_peaks": rows}), data / "beats.parquet")
    aggregates = {**asked["aggregates"], "events": "beats.parquet"}
    sc.Job(**{**asked, "aggregates": aggregates}, output=str(tmp_path / "maps.zarr")).run()
    assert summary(tmp_path / "maps.zarr").equals(summary(store))


def test_a_unit_adds_what_its_own_maps_say(store, asked, tmp_path):
    place = tmp_path / "maps.zarr"
    JobStore(place, JobStore.open(store).about).make()
    worker = Worker(sc.Job(**asked, output=str(place)))
    facts = worker.facts()
    assert facts["layers"] == JobStore.open(store).about["facts"]["layers"]
    worker.run_unit(2)
    one, two = (zarr.open_group(each, mode="r")["unit"] for each in (store, place))
    for name in JobStore.open(store).by_unit:
        np.testing.assert_array_equal(one[name][2], two[name][2])
        assert not np.any(two[name][1])


def test_without_events_nothing_is_kept_of_them(sections, tmp_path):
    sc.Job(**{**sections, "units": {"size": 64, "batch": 32}}, output=str(tmp_path / "m.zarr")).run()
    assert not [name for name in summary(tmp_path / "m.zarr").variables if "around" in name]


def test_other_events_are_another_job(store, asked, data):
    before = (data / "beats.npz").read_bytes()
    np.savez(data / "beats.npz", sample=[0], time=[2.0])
    try:
        with pytest.raises(sc.StoreError, match="other data or settings"):
            sc.Job(**asked, output=str(store)).run()
    finally:
        (data / "beats.npz").write_bytes(before)


@pytest.mark.parametrize(
    ("events", "said"),
    [
        (None, "there are no events at .*arrays 'sample' and 'time'"),
        ({"sample": [0]}, "cannot be read .*time"),
        ({"sample": [0.0], "time": [1.0]}, "samples integers"),
        ({"sample": [0, 1], "time": [1.0]}, "should be equally long"),
        ({"sample": [0, 70], "time": [1.0, 1.0]}, "names samples 0 to 70, but there are 70"),
        ({"sample": [0], "time": [np.nan]}, "1 times that are not finite"),
        (b"", "cannot be read"),
        (pa.table({"a": [[1.0]]}), "1 rows and 1 columns of lists"),
        (pa.table({"a": np.arange(70)}), "70 rows and 0 columns of lists"),
    ],
)
def test_events_that_are_none_are_told_in_a_sentence(events, said, asked, tmp_path):
    file = tmp_path / ("wrong.parquet" if isinstance(events, pa.Table) else "wrong.npz")
    if isinstance(events, pa.Table):
        pq.write_table(events, file)
    elif isinstance(events, dict):
        np.savez(file, **events)
    elif events is not None:
        file.write_bytes(events)
    job = sc.Job(**{**asked, "aggregates": {"events": str(file)}}, output="unused")
    with pytest.raises(sc.JobError, match=said):
        _ = events_fingerprint(job), read_events(job, 70)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"aggregates": {"events": "none.npz"}}, "there are no events at"),
        ({"aggregates": {"events": "site.npy"}}, "cannot be read"),
        ({"aggregates": {"events": "beats.npz", "after": 9}}, "aggregates.before, aggregates.after: .* 2 to 40"),
        ({"layout": {"dims": "batch channel position"}}, "no positions along time"),
    ],
)
def test_cuts_that_cannot_be_made_are_told_before_anything_is(change, said, asked, tmp_path):
    with pytest.raises(sc.JobError, match=said):
        sc.Job(**{**asked, **change}, output=str(tmp_path / "m.zarr")).run()
    assert list(tmp_path.iterdir()) == []
