"""A result as one file of another kind: equal to the store, whole or not there, and never all in memory."""

import json

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner
from unit.results import make

import signalcam as sc
from signalcam.cli import app
from signalcam.jobs.store import JobStore
from signalcam.results import export

BAD = [5, 21]
KINDS = ["h5", "hdf5", "parquet", "npz"]


@pytest.fixture(scope="module")
def store(sections, tmp_path_factory):
    place = tmp_path_factory.mktemp("exported") / "maps.zarr"
    sc.Job(**sections, output=str(place)).run()
    return place


def arrays(path):
    """What a file holds, by name, whatever its kind."""
    if path.suffix == ".npz":
        with np.load(path) as file:
            return {name: file[name] for name in file.files if name != "about"}
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        shapes = {field.name: json.loads(field.metadata[b"shape"]) for field in table.schema}
        return {name: np.asarray(table[name].to_pylist()).reshape(len(table), *shape) for name, shape in shapes.items()}
    with h5py.File(path) as file:
        return {name: each.asstr()[()] if each.dtype.kind == "O" else each[()] for name, each in file.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_holds_what_the_store_does(store, tmp_path, kind):
    exp = sc.load(store)
    exp.export(tmp_path / f"maps.{kind}")
    found = arrays(tmp_path / f"maps.{kind}")
    for number, layer in enumerate(exp.layers):
        np.testing.assert_array_equal(found[f"maps_{number}"].astype("f4"), np.asarray(layer.values))
        assert np.isnan(found[f"maps_{number}"][BAD]).all()
    assert np.isfinite(np.delete(found["maps_0"], BAD, axis=0)).all()
    pairs = {"score": exp.scores, "logit": exp.logits, "probability": exp.probabilities}
    pairs |= {"label": exp.true_classes, "predicted": exp.classes, "target_class": exp.target_classes}
    for name, wanted in pairs.items():
        np.testing.assert_array_equal(found[name].astype(wanted.dtype), wanted)
    assert found["sample"].tolist() == list(exp.sample_names)
    assert found["failed"].tolist() == JobStore.open(store).group["failed"][...].tolist()
    assert "no window begins with 200" in found["failed"][21]


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_result_and_one_in_memory_are_written_alike(tmp_path, kind):
    exp = make()
    exp.save(tmp_path / "maps.zarr")
    exp.export(tmp_path / f"memory.{kind}")
    done = CliRunner().invoke(app, ["export", str(tmp_path / "maps.zarr"), "--to", str(tmp_path / f"saved.{kind}")])
    assert done.exit_code == 0, done.output
    one, two = arrays(tmp_path / f"memory.{kind}"), arrays(tmp_path / f"saved.{kind}")
    assert set(one) == set(two)
    for name, each in one.items():
        np.testing.assert_array_equal(each, two[name])
    np.testing.assert_array_equal(one["maps_1"].astype("f4"), exp.layers[1].values)
    assert one["sample"].tolist() == ["ann", "bob", "cy"]


def test_axes_of_hdf5_have_names_scales_and_units(store, tmp_path):
    sc.load(store).export(tmp_path / "maps.h5")
    with h5py.File(tmp_path / "maps.h5") as file:
        maps = file["maps_1"]
        assert [each.label for each in maps.dims] == ["sample", "target", "cam", "time_1"]
        assert maps.attrs["layer"] == "4"
        assert maps.dims[3][0].attrs["units"] == "s"
        np.testing.assert_allclose(maps.dims[3][0][:], sc.load(store).native("4").time)
        assert maps.dims[2][0].asstr()[:].tolist() == ["grad-cam", "hires-cam"]
        assert maps.dims[0][0].asstr()[0] == "w0"
        assert json.loads(file.attrs["provenance"])["job"] == JobStore.open(store).about["digest"]


@pytest.mark.parametrize("kind", ["parquet", "npz"])
def test_axes_of_other_files_are_told_beside(store, tmp_path, kind):
    exp = sc.load(store)
    exp.export(tmp_path / f"maps.{kind}")
    if kind == "npz":
        with np.load(tmp_path / "maps.npz") as file:
            about = json.loads(str(file["about"]))
            assert file["class"].tolist() == ["N", "V", "F"]
    else:
        schema = pq.read_schema(tmp_path / "maps.parquet")
        about = json.loads(schema.metadata[b"signalcam"])
        assert json.loads(schema.field("maps_0").metadata[b"dims"]) == ["sample", "target", "cam", "time_0"]
        assert schema.field("maps_0").type.list_size == np.prod(exp.layers[0].values.shape[1:])
    assert about["arrays"]["maps_1"]["layer"] == "4"
    assert about["axes"]["time_0"]["units"] == "s"
    np.testing.assert_allclose(about["axes"]["time_0"]["values"], exp.native("2").time)
    assert about["provenance"]["job"] == JobStore.open(store).about["digest"]


@pytest.mark.parametrize("kind", KINDS)
def test_maps_are_read_a_block_at_a_time(store, tmp_path, kind, monkeypatch):
    monkeypatch.setattr(export, "_BLOCK", 4000)
    exp, read = sc.load(store), []
    for layer in exp.layers:
        own, size = layer.values.read, 4 * np.prod(layer.values.shape[1:])
        object.__setattr__(
            layer.values, "read", lambda rows, own=own, size=size: (read.append(len(rows) * size), own(rows))[1]
        )
    exp.export(tmp_path / f"maps.{kind}")
    assert max(read) <= 4000
    assert sum(read) == sum(4 * np.prod(layer.values.shape) for layer in exp.layers)
    monkeypatch.undo()
    sc.load(store).export(tmp_path / f"whole.{kind}")
    one, two = arrays(tmp_path / f"maps.{kind}"), arrays(tmp_path / f"whole.{kind}")
    for name, each in one.items():
        np.testing.assert_array_equal(each, two[name])


@pytest.mark.parametrize("kind", KINDS)
def test_some_samples_are_written(store, tmp_path, kind):
    done = CliRunner().invoke(app, ["export", str(store), "--to", str(tmp_path / f"maps.{kind}"), "--samples", "3:9"])
    assert done.exit_code == 0, done.output
    found, exp = arrays(tmp_path / f"maps.{kind}"), sc.load(store)
    np.testing.assert_array_equal(found["maps_0"].astype("f4"), exp.layers[0].values[3:9])
    assert found["sample"].tolist() == list(exp.sample_names[3:9])
    assert [bool(each) for each in found["failed"]] == [False, False, True, False, False, False]


def test_a_job_that_is_not_done_says_which_samples_are_not(sections, tmp_path):
    store = tmp_path / "maps.zarr"
    sc.Job(**sections, output=str(store)).run()
    (store / "unit" / "status" / "c" / "1").unlink()
    exp = sc.load(store)
    assert set(exp.failed[16:32]) == {"not explained yet"}
    assert exp.failed[5]
    assert not exp.failed[0]


def test_what_failed_is_kept_by_parts_and_when_saved(store, tmp_path):
    some = sc.load(store).isel(sample=[4, 5, 21])
    assert [bool(each) for each in some.failed] == [False, True, True]
    some.save(tmp_path / "some.zarr")
    assert sc.load(tmp_path / "some.zarr").failed == some.failed


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--to", "there.h5"], "is there already"),
        (["--to", "maps.csv"], "Give one of .h5, .hdf5, .parquet, .npz"),
        (["--to", "maps.npz", "--samples", "9:3"], "holds at least one"),
        (["--to", "maps.npz", "--samples", "few"], "such as 0:1000"),
        (["--to", "there.h5/maps.npz"], "cannot export to"),
    ],
)
def test_what_cannot_be_written_is_told_in_a_sentence(store, tmp_path, monkeypatch, more, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.h5").write_text("mine")
    done = CliRunner().invoke(app, ["export", str(store), *more])
    assert done.exit_code == 2
    assert said in done.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["there.h5"]
    assert (tmp_path / "there.h5").read_text() == "mine"


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_half_written_is_left(store, tmp_path, kind, monkeypatch):
    exp = sc.load(store)

    def full(rows):
        raise OSError(28, "No space left on device")

    object.__setattr__(exp.layers[1].values, "read", full)
    with pytest.raises(sc.StoreError, match="No space left on device"):
        exp.export(tmp_path / f"maps.{kind}")
    assert not list(tmp_path.iterdir())


def test_steps_are_refused(tmp_path):
    with pytest.raises(sc.InputError, match="without steps"):
        make().export(tmp_path / "maps.npz", slice(0, 3, 2))
