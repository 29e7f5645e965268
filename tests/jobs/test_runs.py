"""Jobs that run: what their store holds, and what they do about samples, networks and stores that are bad."""

import errno
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from terminal import SIGNALCAM
from typer.testing import CliRunner

import signalcam as sc
from signalcam.cli import app
from signalcam.jobs import model_loading, status, store_reader, summary
from signalcam.jobs.locking import lock_store
from signalcam.jobs.store import JobStore
from signalcam.jobs.store_reader import SampleArray
from signalcam.jobs.worker import Worker

BAD = [5, 21]
HALF = 2.0**-11  # of the largest value: what float16 rounds away


def changed(sections, output, **more):
    """The job with other sections, into another store."""
    merged = {name: {**sections.get(name, {}), **each} for name, each in more.items()}
    return sc.Job(**{**sections, **merged, "output": {"path": str(output), **more.get("output", {})}})


@pytest.fixture(scope="module")
def store(sections, tmp_path_factory):
    place = tmp_path_factory.mktemp("stores") / "maps.zarr"
    changed(sections, place).run()
    return place


@pytest.fixture(scope="module")
def direct(sections, data):
    """The same samples explained at once, by one call."""
    job = sc.Job(**sections, output="unused")
    with np.load(data / "windows.npz") as arrays:
        x, y = arrays["x"], arrays["y"]
    good = np.setdiff1d(np.arange(len(x)), BAD)
    exp = sc.explain(
        model_loading.load_network(job),
        x[good],
        method=["grad-cam", "hires-cam"],
        layer=["2", "4"],
        target=["predicted", "V"],
        layout=sc.Layout("batch channel time", sampling_rate=10),
        class_names=("N", "V", "F"),
        labels=y[good].tolist(),
        batch_size=8,
    )
    return exp, good


def test_the_store_holds_what_explain_gives(store, direct):
    exp, good = direct
    kept = sc.load(store).isel(sample=good.tolist())
    for name in ("scores", "logits", "probabilities"):
        np.testing.assert_allclose(getattr(kept, name), getattr(exp, name), rtol=1e-5, atol=1e-6)
    assert (kept.classes == exp.classes).all()
    assert (kept.true_classes == exp.true_classes).all()
    assert (kept.targets, kept.methods, kept.layer_names) == (
        exp.targets,
        exp.methods,
        exp.layer_names,
    )
    assert kept.sample_names[:2] == ("w0", "w1")
    for one, two in zip(kept.layers, exp.layers, strict=True):
        largest = np.abs(two.values).max(axis=-1, keepdims=True)
        assert (np.abs(one.values - two.values) <= HALF * largest + 1e-6).all()
    np.testing.assert_array_equal(kept.input, exp.input)
    xr.testing.assert_allclose(kept.maps, exp.maps.assign_coords(sample=kept.maps.sample), atol=1e-3)


def test_xarray_reads_it_with_labelled_axes(store):
    dataset = xr.open_zarr(store)
    assert dataset.maps_0.dims == ("sample", "target", "cam", "time_0")
    assert dataset.maps_0.dtype == np.float16
    assert dataset.cam.values.tolist() == ["grad-cam", "hires-cam"]
    np.testing.assert_allclose(dataset.time_0[:2], [0.3, 0.4])
    assert dataset.time_0.units == "s"
    assert dataset["class"].values.tolist() == ["N", "V", "F"]
    assert dataset.maps_1.sel(sample="w9", target="V").isel(cam=0).max() == 1


def test_maps_are_read_when_they_are_needed(store, monkeypatch):
    exp = sc.load(store)
    assert isinstance(exp.layers[0].values, SampleArray)
    asked = []
    monkeypatch.setattr(
        zarr.core.indexing.OIndex,
        "__getitem__",
        lambda _, rows: asked.append(rows) or np.zeros((len(rows), 2, 2) if len(asked) == 2 else (len(rows), 2, 2, 34)),
    )
    _ = exp.layers[0].values[3:5]
    assert [each.tolist() for each in asked] == [[3, 4], [3, 4]]  # maps and their largest values


def test_bad_samples_are_recorded_with_their_reason(store):
    dataset = xr.open_zarr(store).load()
    reasons = dict(enumerate(dataset.failed.values))
    assert [number for number, reason in reasons.items() if reason] == BAD
    assert "NaN" in reasons[5]
    assert "no window begins with 200" in reasons[21]
    assert np.isnan(dataset.maps_0[BAD]).all()
    assert (dataset.predicted[BAD] == -1).all()
    assert status(store).failed == 2


def test_provenance_says_whose_numbers_these_are(store, sections):
    exp = sc.load(store)
    job = sc.Job(**sections, output="unused")
    assert exp.provenance["weights"] == model_loading.fingerprint(model_loading.load_network(job))
    assert exp.provenance["model"] == "Sequential"
    assert len(exp.provenance["job"]) == 64


def test_inputs_that_are_gone_are_not_finite(store, monkeypatch):
    monkeypatch.setattr(store_reader, "open_reader", lambda job: (_ for _ in ()).throw(sc.JobError("gone")))
    exp = sc.load(store)
    assert exp.input.shape == (70, 2, 40)
    assert np.isnan(exp.input).all()
    assert np.isfinite(exp.isel(sample=0).maps).all()


@pytest.mark.parametrize("chosen", [lambda exp: exp, lambda exp: exp.isel(sample=slice(0, 3))])
def test_a_page_is_made_of_its_samples(chosen, store, tmp_path):
    chosen(sc.load(store)).to_html(tmp_path / "page.html")
    assert (tmp_path / "page.html").stat().st_size > 10_000


def test_what_is_calculated_with_is_read(store):
    values = sc.load(store).layers[0].values
    np.testing.assert_array_equal(values * 2, np.asarray(values) * 2)
    assert np.nanmax(values.reshape(-1)) == np.nanmax(np.asarray(values))
    np.testing.assert_array_equal(values[..., 3], np.asarray(values)[..., 3])


# --- aggregates --------------------------------------------------------------------------------------


def test_aggregates_are_those_of_all_stored_maps(store, data):
    found, dataset = summary(store), xr.open_zarr(store).load()
    good = dataset.failed.values == ""
    label, predicted = dataset.label.values, dataset.predicted.values
    site = np.load(data / "site.npy")
    members = {
        "all": good,
        "right": good & (label == predicted),
        "wrong": good & (label != predicted),
    }
    members |= {f"label: {name}": good & (label == i) for i, name in enumerate("NVF")}
    members |= {f"predicted: {name}": good & (predicted == i) for i, name in enumerate("NVF")}
    members |= {f"group: {name}": good & (site == name) for name in "ab"}
    assert set(found["of"].values) == set(members)
    for name, here in members.items():
        own = found.sel(of=name)
        assert own["count"] == here.sum()
        for layer in (0, 1):
            maps = dataset[f"maps_{layer}"].values[here].astype(float)
            if not len(maps):
                assert np.isnan(own[f"mean_{layer}"]).all()
                continue
            np.testing.assert_allclose(own[f"mean_{layer}"], np.mean(maps, axis=0), atol=1e-14)
            np.testing.assert_allclose(own[f"std_{layer}"], np.std(maps, axis=0), atol=1e-14)
            exact = np.quantile(maps, found["quantile"].values, axis=0, method="inverted_cdf")
            assert np.abs(own[f"quantile_{layer}"] - exact).max() <= 1 / 64  # one bin


def test_the_finished_store_holds_them_as_a_group(store):
    kept = xr.open_zarr(store, group="summary").load()
    assert summary(store).equals(kept)


def arrays_of(place):
    group = zarr.open_group(place, mode="r")
    return {name: np.asarray(each[...]) for name, each in group.members(max_depth=None) if isinstance(each, zarr.Array)}


def test_two_processes_give_the_same_bits_as_one(store, sections, tmp_path):
    changed(sections, tmp_path / "two.zarr", engine={"processes": 2}).run()
    one, two = arrays_of(store), arrays_of(tmp_path / "two.zarr")
    assert set(one) == set(two)
    for name, values in one.items():
        assert values.dtype.kind == "T" or values.tobytes() == two[name].tobytes(), name
        np.testing.assert_array_equal(values, two[name])


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_maps_are_kept_as_exactly_as_asked(dtype, sections, direct, tmp_path):
    exp, good = direct
    output = {"path": str(tmp_path / "maps.zarr"), "dtype": dtype}
    job = sc.Job(**sections, output=output, aggregates={"by": ("right",)})
    kept = job.run().isel(sample=good.tolist())
    largest = np.abs(exp.layers[0].values).max(axis=-1, keepdims=True)
    most = {"float32": 1e-5, "uint8": 0.5 / 255 + 1e-6}[dtype]
    assert (np.abs(kept.layers[0].values - exp.layers[0].values) <= most * largest + 1e-6).all()
    assert summary(tmp_path / "maps.zarr")["of"].values.tolist() == ["all", "right", "wrong"]
    shown = xr.open_zarr(tmp_path / "maps.zarr").maps_0[good]
    assert 0.99 < float(shown.max()) <= 1  # also of bytes, as their scale is written beside them


# --- what can go wrong -------------------------------------------------------------------------------


def test_a_job_may_stop_at_the_first_bad_sample(sections, tmp_path):
    job = changed(sections, tmp_path / "maps.zarr", engine={"on_error": "stop"})
    with pytest.raises(sc.JobError, match=r"sample 5 cannot be explained \(.*NaN"):
        job.run()
    assert status(tmp_path / "maps.zarr").done == 0
    resumed = changed(sections, tmp_path / "maps.zarr").run()
    assert status(tmp_path / "maps.zarr").failed == len(BAD)
    assert len(resumed) == 70


def test_a_unit_that_kills_its_process_three_times_is_given_up_and_tried_by_the_next_run(sections, tmp_path):
    place = tmp_path / "maps.zarr"
    job = changed(sections, place, model={"build": "job_networks:deadly"}, engine={"processes": 2})
    job.run()
    known = status(place)
    assert (known.done, known.quarantined, known.failed) == (54, 16, 1)
    assert "16 quarantined" in str(known)
    dataset = xr.open_zarr(place).load()
    assert (dataset.failed[16:32] == "its unit ended the process 3 times").all()
    assert int(summary(place)["count"].sel(of="all")) == 53
    assert JobStore.open(place).pending() == [1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"data": {"path": "none.npz"}}, "none.npz"),
        ({"data": {"path": "job_networks.py"}}, "job_networks.py"),
        ({"data": {"inputs": "z"}}, "'z'"),
        ({"data": {"colour": "z"}}, "'colour' is no option of numpy files"),
        ({"data": {"windows": {"size": 3}}}, "windows = { length"),
        ({"data": {"labels": "z"}}, "'z'"),
        ({"data": {"labels": "none.npy"}}, "data.labels .* cannot be read"),
        ({"data": {"groups": "none.npy"}}, "data.groups .* cannot be read"),
        ({"model": {"build": "job_networks:broken"}}, "out of order"),
        ({"model": {"class_names": ("N", "V")}}, "could be explained"),
        ({"explain": {"method": "grad-camm"}}, "grad-cam"),
        ({"explain": {"layer": "9"}}, "could be explained"),
        ({"explain": {"target": {"contrast": 1}}}, "is no target"),
    ],
)
def test_what_cannot_run_is_told_in_one_sentence_and_leaves_nothing(change, said, sections, tmp_path):
    with pytest.raises(sc.CamError, match=said):
        changed(sections, tmp_path / "maps.zarr", **change).run()
    assert list(tmp_path.iterdir()) == []


def test_another_jobs_store_is_refused(store, sections):
    before = (store / "zarr.json").read_bytes()
    with pytest.raises(sc.StoreError, match="holds another job"):
        changed(sections, store, units={"batch": 16}).run()
    assert (store / "zarr.json").read_bytes() == before


@pytest.mark.parametrize("changed_file", ["site.npy", "windows.npz"])
def test_a_store_of_data_that_have_changed_since_is_refused(changed_file, store, sections, data):
    before = (data / changed_file).stat()
    os.utime(data / changed_file, ns=(before.st_atime_ns, before.st_mtime_ns + 10**9))
    try:
        with pytest.raises(sc.StoreError, match="other data or settings"):
            changed(sections, store).run()
        assert np.isnan(sc.load(store).input).all()
    finally:
        os.utime(data / changed_file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert np.isfinite(sc.load(store).input[0]).all()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "no complete store of a job"),
        ("{", "no complete store of a job"),
        ('{"attributes": {"signalcam": 1}}', "no complete store of a job"),
        ('{"attributes": {"signalcam": 99, "job": {}}}', "newer SignalCAM"),
    ],
)
def test_what_is_no_whole_store_is_refused(text, said, sections, tmp_path):
    place = tmp_path / "maps.zarr"
    place.mkdir()
    if text is not None:
        (place / "zarr.json").write_text(text)
    with pytest.raises(sc.StoreError, match=said):
        changed(sections, place).run()


def test_a_skeleton_left_half_made_is_taken_away(sections, tmp_path):
    (tmp_path / ".maps.zarr.making-1" / "unit").mkdir(parents=True)
    changed(sections, tmp_path / "maps.zarr").run()
    assert [each.name for each in tmp_path.iterdir()] == ["maps.zarr"]


def test_another_version_or_other_weights_are_refused(sections, store, tmp_path, monkeypatch):
    place = tmp_path / "maps.zarr"
    archive = JobStore.open(store)
    for name, value, said in (
        ("torch", "1.0", "begun with torch 1.0"),
        ("weights", "0", "other weights than .* seed them"),
    ):
        identity = {**archive.about["identity"], name: value}
        JobStore(place, {**archive.about, "identity": identity}).make()
        with pytest.raises(sc.StoreError, match=said):
            changed(sections, place).run()
        place.rename(tmp_path / name)


def test_a_second_driver_is_refused(sections, tmp_path):
    with (
        lock_store(tmp_path / "maps.zarr"),
        pytest.raises(sc.StoreError, match="another run is at work"),
    ):
        changed(sections, tmp_path / "maps.zarr").run()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_in_one_sentence_and_the_unit_is_done_later(sections, store, tmp_path, monkeypatch):
    place = tmp_path / "maps.zarr"
    JobStore(place, JobStore.open(store).about).make()
    worker = Worker(changed(sections, place))
    write, written = zarr.AsyncArray.setitem, []

    async def full(array, *where):
        written.append(array.name)
        if len(written) == 9:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        await write(array, *where)

    with monkeypatch.context() as patched:
        patched.setattr(zarr.AsyncArray, "setitem", full)
        with pytest.raises(sc.StoreError, match="No space left on device"):
            worker.run_unit(0)
    assert JobStore.open(place).pending() == [0, 1, 2, 3, 4]
    assert worker.run_unit(0) == 1
    assert JobStore.open(place).pending() == [1, 2, 3, 4]


def test_the_status_is_written_last(sections, store, tmp_path, monkeypatch):
    place = tmp_path / "maps.zarr"
    JobStore(place, JobStore.open(store).about).make()
    written = []
    for kind, name in ((zarr.Array, "__setitem__"), (zarr.AsyncArray, "setitem")):
        write = getattr(kind, name)
        monkeypatch.setattr(
            kind, name, lambda array, *where, write=write: written.append(array.name) or write(array, *where)
        )
    Worker(changed(sections, place)).run_unit(1)
    assert written[-1] == "/unit/status"
    assert len(written) == len(set(written)) > 15


def test_one_writer_writes_each_file(store):
    archive = JobStore.open(store)
    for name, array in archive.group.arrays():
        if name in archive.by_sample:
            assert (array.shards or array.chunks)[0] == archive.size, name
            assert array.fill_value != 0 or array.dtype.kind == "T", name


# --- from the command line ---------------------------------------------------------------------------


@pytest.fixture
def job_file(data, tmp_path):
    file = data / f"{tmp_path.name}.toml"
    file.write_text(
        f"""
        data = {{ path = "windows.npz", inputs = "x" }}
        model = "job_networks:slow"
        output = "{tmp_path / "maps.zarr"}"
        units = {{ size = 8, batch = 8 }}
        engine = {{ processes = 2 }}
        """
    )
    return file


def begun(job_file, place):
    """A run that has committed something."""
    source = str(Path(sc.__file__).parents[1])
    run = subprocess.Popen(  # noqa: S603 - this very program
        [*SIGNALCAM, "run", str(job_file)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": source},
    )
    end = time.monotonic() + 60
    while not (place.exists() and status(place).done) and time.monotonic() < end:
        time.sleep(0.02)
    return run


def test_ctrl_c_stops_cleanly_and_status_tells_how_far_it_is(job_file, tmp_path):
    place = tmp_path / "maps.zarr"
    run = begun(job_file, place)
    told = json.loads(CliRunner().invoke(app, ["status", str(place), "--json"]).stdout)
    assert told["running"]
    assert told["samples"] == 70
    second = CliRunner().invoke(app, ["run", str(job_file)])
    assert second.exit_code == 2
    assert "another run is at work" in second.stderr
    run.send_signal(signal.SIGINT)
    _, said = run.communicate(timeout=120)
    assert run.returncode == 130
    assert "The same command resumes." in said
    assert "Traceback" not in said
    assert 0 < status(place).done < 70
    assert not status(place).running
    committed = {each: file.stat().st_mtime_ns for each, file in JobStore.open(place).committed().items()}
    result = CliRunner().invoke(app, ["run", str(job_file)])
    assert result.exit_code == 0, result.output
    assert "70 of 70 samples done (100.0%); 1 failed" in result.stdout
    after = JobStore.open(place).committed()
    assert all(after[each].stat().st_mtime_ns == when for each, when in committed.items())  # not done twice


def test_there_is_no_status_of_nothing(tmp_path):
    result = CliRunner().invoke(app, ["status", str(tmp_path / "none.zarr")])
    assert result.exit_code == 2
    assert "there is no store at" in result.stderr
