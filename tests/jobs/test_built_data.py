"""Jobs whose samples come from a function, and samples that are converted as they are read."""

import re

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

import signalcam as sc
from signalcam.cli import app
from signalcam.jobs import status
from signalcam.jobs.store import JobStore
from signalcam.jobs.worker import Worker

SOURCES = '''
import numpy as np
import torch
import signalcam as sc

DRAWN = np.random.default_rng()      # another one in each process

def arrays(many=70):
    with np.load("{folder}/windows.npz") as found:
        return found["x"][:many], found["y"][:many]

def loader(many=70, shuffle=False):
    x, y = map(torch.from_numpy, arrays(many))
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=6, shuffle=shuffle)

def batches():
    x, y = arrays()
    for start in range(0, 70, 6):
        yield x[start:start + 6], y[start:start + 6]

def dicts():
    return [{{"ecg": x, "rhythm": int(y)}} for x, y in zip(*arrays())]

class Own:
    """A reader by its protocol."""
    layout, fingerprint = None, "mine"
    def __len__(self):
        return 70
    def read(self, numbers):
        return sc.data.of(arrays()[0], labels=arrays()[1]).read(numbers)

def opened():
    return sc.data.open("{folder}/windows.npz", inputs="x", labels="y")

def stored():
    return "{folder}/windows.npz"

def drawn():
    return sc.data.of(DRAWN.normal(size=(70, 2, 40)).astype("float32"))

def broken():
    raise RuntimeError("out of order")

def nothing():
    return None
'''
BAD = [5, 21]


@pytest.fixture(scope="module")
def sources(data):
    (data / "job_sources.py").write_text(SOURCES.format(folder=data))
    return data


def job(data, place, engine=None, **more):
    return sc.Job(
        data=more,
        model="job_networks:picky",
        output=str(place),
        units={"size": 16, "batch": 8},
        layout={"dims": "batch channel time"},
        engine=engine or {},
        folder=data,
    )


@pytest.fixture(scope="module")
def opened(sources, tmp_path_factory):
    """The maps of the same samples, read from their file."""
    place = tmp_path_factory.mktemp("opened") / "maps.zarr"
    job(sources, place, path="windows.npz", inputs="x", labels="y").run()
    return xr.open_zarr(place).load()


@pytest.mark.parametrize(
    ("asked", "engine"),
    [
        ({"build": "job_sources:loader"}, {}),
        ({"build": "job_sources:batches"}, {"processes": 2}),
        ({"build": "job_sources:dicts", "inputs": "ecg", "labels": "rhythm"}, {}),
        ({"build": "job_sources:Own"}, {}),
        ({"build": "job_sources:opened"}, {}),
    ],
)
def test_what_a_function_returns_is_explained_as_the_file_is(asked, engine, sources, opened, tmp_path):
    place = tmp_path / "maps.zarr"
    exp = job(sources, place, engine, **asked).run()
    kept = xr.open_zarr(place).load()
    np.testing.assert_array_equal(kept.maps_0, opened.maps_0)
    np.testing.assert_array_equal(kept.label, opened.label)
    assert [number for number, why in enumerate(kept.failed.values) if why] == BAD
    np.testing.assert_array_equal(exp.input[[20, 3]], np.load(sources / "windows.npz")["x"][[20, 3]])
    assert np.isnan(sc.load(place).input).all()  # a store alone has no code run


def test_arguments_go_to_the_function_and_belong_to_the_job(sources, tmp_path):
    asked = {"build": "job_sources:loader", "arguments": {"many": 20}}
    place = tmp_path / "maps.zarr"
    assert len(job(sources, place, **asked).run()) == 20
    assert len(job(sources, place, **asked).run()) == 20
    with pytest.raises(sc.StoreError, match="holds another job"):
        job(sources, place, **asked | {"arguments": {"many": 21}}).run()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"build": "job_sources:missing"}, "data.build 'job_sources:missing' cannot be imported"),
        ({"build": "job_sources:broken"}, "data.build 'job_sources:broken' raised RuntimeError: out of order"),
        ({"build": "job_sources:loader", "arguments": {"some": 3}}, "with data.arguments"),
        ({"build": "job_sources:loader", "arguments": {"shuffle": True}}, "draws the order of its samples anew"),
        ({"build": "job_sources:nothing"}, "returned None. Let it return the samples"),
        ({"build": "job_sources:stored"}, "is a path. Open it"),
        ({"build": "job_sources:loader", "colour": 3}, "See what signalcam.data.of takes"),
        ({"build": "job_sources:opened", "length": 3}, "returns a reader, which takes no 'length'"),
    ],
)
def test_what_cannot_be_built_is_told_in_one_sentence_and_leaves_nothing(asked, said, sources, tmp_path):
    with pytest.raises(sc.CamError, match=re.escape(said)):
        job(sources, tmp_path / "maps.zarr", **asked).run()
    assert list(tmp_path.iterdir()) == []


def test_samples_that_differ_from_process_to_process_are_refused(sources, tmp_path):
    with pytest.raises(sc.JobError, match="gives other samples in each process"):
        job(sources, tmp_path / "maps.zarr", build="job_sources:drawn").run()


def test_a_file_with_build_runs_from_the_command_line(sources, tmp_path):
    file = sources / "built.toml"
    file.write_text(
        f"""
        data = {{ build = "job_sources:loader", arguments = {{ many = 16 }} }}
        model = "job_networks:build"
        output = "{tmp_path / "maps.zarr"}"
        """
    )
    result = CliRunner().invoke(app, ["run", str(file)])
    assert result.exit_code == 0, result.output
    assert "16 of 16 samples done" in result.stdout


# --- what is converted -------------------------------------------------------------------------------


@pytest.fixture
def whole(data, tmp_path):
    """A folder of its own with windows of 16-bit numbers, and others."""
    x = np.random.default_rng(0).integers(-2000, 2000, (10, 2, 40)).astype("int16")
    np.save(tmp_path / "whole.npy", x)
    np.save(tmp_path / "complex.npy", x * 1j)
    large = x.astype("float64")
    large[3, 0, 0] = 1e39
    np.save(tmp_path / "large.npy", large)
    (tmp_path / "job_networks.py").write_text((data / "job_networks.py").read_text())
    return tmp_path


def test_whole_numbers_become_what_the_network_takes(whole):
    with pytest.raises(sc.JobError, match="none of the first"):
        job(whole, whole / "none.zarr", path="whole.npy").run()
    exp = job(whole, whole / "maps.zarr", path="whole.npy", dtype="float32").run()
    assert exp.input.dtype == np.float32
    np.testing.assert_array_equal(exp.input, np.load(whole / "whole.npy"))
    np.testing.assert_array_equal(sc.load(whole / "maps.zarr").input, exp.input)
    assert status(whole / "maps.zarr").failed == 0
    with pytest.raises(sc.StoreError, match="holds another job"):
        job(whole, whole / "maps.zarr", path="whole.npy", dtype="float64").run()


def test_what_would_be_lost_is_told_by_sample(whole):
    worker = Worker(job(whole, "unused", path="large.npy", dtype="float32"))
    batch = worker.reader.read(range(10))
    assert len(batch) == 9
    assert batch.failed == {
        3: "it holds values up to 1e+39, which are too large for data.dtype = 'float32'. Choose a wider one."
    }
    with pytest.raises(sc.JobError, match="complex128 values"):
        job(whole, whole / "maps.zarr", path="complex.npy", dtype="float32").run()


def test_labels_beside_converted_samples_stay_theirs(whole):
    np.save(whole / "labels.npy", np.arange(10))
    worker = Worker(job(whole, "unused", path="whole.npy", dtype="float64", labels="labels.npy"))
    batch = worker.reader.read([7, 2])
    assert batch.labels == (7, 2)
    assert batch.inputs.dtype == np.float64


def test_only_a_job_whose_samples_are_built_is_compared_again(sources, tmp_path):
    place = tmp_path / "maps.zarr"
    asked = job(sources, place, path="windows.npz", inputs="x")
    asked.run()
    about = {**JobStore.open(place).about, "digest": "another"}
    place.rename(tmp_path / "old")
    JobStore(place, about).make()
    assert Worker(asked).archive.about["digest"] == "another"
