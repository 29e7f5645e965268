"""Bad files among good ones, and stores that were torn: told by sample or by file, and the job goes on."""

import shutil

import h5py
import nibabel
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr
from data.files import write_edf, write_wav, write_wfdb
from PIL import Image
from typer.testing import CliRunner

import signalcam as sc
from signalcam.cli import app
from signalcam.jobs import status, summary
from signalcam.jobs.source import open_reader

NETWORKS = """
import torch
from torch import nn

def build(axes=1, channels=2):
    torch.manual_seed(0)
    conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[axes - 1]
    pool = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)[axes - 1]
    return nn.Sequential(conv(channels, 4, 3), nn.ReLU(), pool(1), nn.Flatten(), nn.Linear(4, 3))
"""
SIGNAL = np.round(np.random.default_rng(0).normal(size=(2, 400)).clip(-3, 3), 3)


def cut(path, left=-60):
    """Take away the end of a file."""
    path.write_bytes(path.read_bytes()[:left])


def rows(folder, save):
    """Files of two samples each: a good one, a torn one, one of NaN, one of other channels, another good one."""
    good = np.stack([SIGNAL, SIGNAL]).astype("float32")
    for name, values in (("a", good), ("b", good), ("c", good * np.nan), ("d", good[:, :1]), ("e", good)):
        save(folder / name, values)
    return {3: "NaN", 4: "NaN", 5: "its shape is (1, 400), and (2, 400) is expected", 6: "shape"}


def numpy_files(folder):
    failed = rows(folder, lambda path, values: np.save(path.with_suffix(".npy"), values))
    cut(folder / "b.npy")
    return {2: "b.npy", **failed}


def zarr_arrays(folder):
    failed = rows(
        folder,
        lambda path, values: zarr.create_array(
            path.with_suffix(".zarr"), data=values, chunks=values.shape, dimension_names=("sample", "channel", "time")
        ),
    )
    (folder / "b.zarr/zarr.json").write_text("{")
    return {2: "b.zarr", **failed}


def hdf5_files(folder):
    def save(path, values):
        with h5py.File(path.with_suffix(".h5"), "w") as file:
            file["x"] = values

    failed = rows(folder, save)
    cut(folder / "b.h5", 60)
    return {2: "b.h5", **failed}


def tables(folder):
    failed = rows(
        folder, lambda path, values: pq.write_table(pa.table({"x": values.tolist()}), path.with_suffix(".parquet"))
    )
    cut(folder / "b.parquet")
    lists = [SIGNAL.tolist(), SIGNAL[:, :300].tolist()]  # of another length
    pq.write_table(pa.table({"x": lists}), folder / "e.parquet")
    return {2: "b.parquet", **failed, 8: "its shape is (2, 300)"}


def records(folder, write):
    """Records of one sample each, of which b is torn, c is NaN, d has another rate and e other channels."""
    for name in "abf":
        write(name, SIGNAL, 100)
    write("d", SIGNAL, 50)
    write("e", SIGNAL[:1], 100)
    return {
        1: "/b.",
        3: "has 50 samples a second, but 100 are expected",
        4: "channels|its shape is (1, 400)",
    }


def wfdb_records(folder):
    failed = records(folder, lambda name, signal, rate: write_wfdb(folder, name, signal, rate))
    write_wfdb(folder, "c", SIGNAL * np.nan)
    cut(folder / "b.dat")
    return failed | {2: "NaN"}


def edf_recordings(folder):
    failed = records(
        folder,
        lambda name, signal, rate: write_edf(folder / f"{name}.edf", 100 * signal, ["Fz", "Cz"][: len(signal)], rate),
    )
    (folder / "c.edf").write_text("nothing of this kind")
    cut(folder / "b.edf")
    return failed | {2: "c.edf"}


def sounds(folder):
    failed = records(folder, lambda name, signal, rate: write_wav(folder / f"{name}.wav", signal / 4, rate))
    write_wav(folder / "c.wav", SIGNAL * np.nan)
    cut(folder / "b.wav")
    return failed | {2: "NaN"}


def csv_files(folder):
    def write(name, signal, rate):
        names = ",".join(["time", "I", "II"][: 1 + len(signal)])
        lines = [f"{n / rate:.4f}," + ",".join(map(str, each)) for n, each in enumerate(signal.T)]
        (folder / f"{name}.csv").write_text("\n".join([names, *lines]))

    failed = records(folder, write)
    write("c", SIGNAL * np.nan, 100)
    (folder / "b.csv").write_text("time,I,II\n0,1,words\n1,2,words\n")
    return failed | {2: "no number|NaN"}


def pictures(folder):
    pixels = np.random.default_rng(0).integers(0, 256, (12, 14, 3)).astype(np.uint8)
    for name in "abf":
        Image.fromarray(pixels).save(folder / f"{name}.png")
    cut(folder / "b.png", 60)
    (folder / "c.png").write_bytes(b"nothing of this kind")
    Image.fromarray(np.vstack([pixels, pixels[:4]])).save(folder / "d.png")
    return {1: "b.png", 2: "c.png", 3: "its shape is (3, 16, 14)"}


def volumes(folder):
    values = np.random.default_rng(0).normal(size=(8, 9, 10)).astype("float32")
    for name, array, step in (
        ("a", values, 1),
        ("b", values, 1),
        ("c", values * np.nan, 1),
        ("d", values, 2),
        ("f", values, 1),
    ):
        nibabel.Nifti1Image(array, np.diag([step, step, step, 1])).to_filename(folder / f"{name}.nii")
    cut(folder / "b.nii", 400)
    return {1: "b.nii", 2: "NaN", 3: "step of 2"}


KINDS = [
    numpy_files,
    zarr_arrays,
    hdf5_files,
    tables,
    wfdb_records,
    edf_recordings,
    sounds,
    csv_files,
    pictures,
    volumes,
]


@pytest.mark.parametrize("make", KINDS, ids=lambda each: each.__name__)
def test_bad_files_among_good_ones_are_recorded_and_the_job_goes_on(make, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "bad_files_networks.py").write_text(NETWORKS)
    bad = make(tmp_path / "data")
    axes = {"pictures": "height width", "volumes": "depth height width"}.get(make.__name__, "time")
    job = sc.Job(
        data="data",
        model={
            "build": "bad_files_networks:build",
            "arguments": {"axes": len(axes.split()), "channels": {"pictures": 3, "volumes": 1}.get(make.__name__, 2)},
        },
        layout={"dims": f"batch channel {axes}"},
        units={"size": 8, "batch": 4},
        output="maps.zarr",
        folder=tmp_path,
    )
    exp = job.run()
    told = zarr.open_group(tmp_path / "maps.zarr", mode="r")["failed"][...]
    assert set(np.flatnonzero(told != "")) == set(bad), told
    for number, said in bad.items():
        assert any(words in told[number] for words in said.split("|")), told[number]
    good = np.setdiff1d(np.arange(len(told)), list(bad))
    assert np.isfinite(exp.isel(sample=good.tolist()).layers[0].values).all()
    assert np.isfinite(exp.input[good]).all()
    assert np.isnan(exp.input[list(bad)]).all()
    assert status(tmp_path / "maps.zarr").failed == len(bad)


# --- stores that a power cut, or a disk, left torn ---------------------------------------------------


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished job of 12 samples in 3 units, the last of them shorter."""
    folder = tmp_path_factory.mktemp("torn")
    np.save(folder / "x.npy", np.random.default_rng(0).normal(size=(10, 2, 60)).astype("f4"))
    (folder / "bad_files_networks.py").write_text(NETWORKS)
    job = sc.Job(
        data="x.npy",
        model="bad_files_networks:build",
        layout={"dims": "batch channel time"},
        units={"size": 4, "batch": 2},
        output="maps.zarr",
        folder=folder,
    )
    job.run()
    return job


def contents(place):
    return {
        name: np.asarray(each[...])
        for name, each in zarr.open_group(place, mode="r").members(max_depth=None)
        if isinstance(each, zarr.Array)
    }


def test_what_a_power_cut_left_torn_is_done_again_and_gives_the_same_bits(done):
    place = done.path("maps.zarr")
    before = contents(place)
    files = place / "unit/status/c"
    for unit, left in (("0", b""), ("1", bytes(4)), ("2", (files / "2").read_bytes()[:2])):
        (files / unit).write_bytes(left)
    cut(place / "maps_0/c.2.0.0.0", 30)
    (place / "score/c.0.0").write_bytes(b"")
    known = status(place)
    assert (known.done, known.failed) == (0, 0)
    assert "0 of 10 samples done" in CliRunner().invoke(app, ["status", str(place)]).stdout
    done.run()
    after = contents(place)
    assert status(place).done == 10
    assert set(after) == set(before)
    for name, values in before.items():
        np.testing.assert_array_equal(after[name], values, err_msg=name)


def test_a_torn_map_is_told_by_its_file(done, tmp_path):
    place = shutil.copytree(done.path("maps.zarr"), tmp_path / "maps.zarr")
    cut(place / "maps_0/c.1.0.0.0", 30)
    exp = sc.load(place)
    assert np.isfinite(exp.layers[0].values[:4]).all()
    with pytest.raises(sc.StoreError, match="maps_0 is damaged"):
        exp.layers[0].values[5]
    with pytest.raises(sc.StoreError, match="maps_0 is damaged"):
        exp.isel(sample=slice(4, 6)).maps.max()
    cut(place / "score/c.1.0", 3)
    with pytest.raises(sc.StoreError, match="score is damaged"):
        np.asarray(sc.load(place).scores)
    cut(place / "unit/mean_0/c.1.0.0.0.0", 10)
    with pytest.raises(sc.StoreError, match="mean_0 is damaged"):
        summary(place)


# --- what a job says of axes, and what the files say -------------------------------------------------


def job_on(folder, data, **layout):
    return sc.Job(data=data, model="bad_files_networks:build", output="maps.zarr", layout=layout, folder=folder)


def test_a_rate_of_the_job_does_not_override_that_of_the_files(tmp_path):
    for name, rate in (("a", 100), ("b", 50)):
        write_wav(tmp_path / f"{name}.wav", SIGNAL / 4, rate)
    one, other = (
        open_reader(job_on(tmp_path, "*.wav", sampling_rate=100)),
        open_reader(job_on(tmp_path, "*.wav", sampling_rate=50)),
    )
    assert (one.read([0, 1]).numbers, other.read([0, 1]).numbers) == ((0,), (1,))
    assert "has 100 samples a second, but 50 are expected" in other.read([0]).failed[0]
    assert one.fingerprint != other.fingerprint
    (tmp_path / "bad_files_networks.py").write_text(NETWORKS)
    with pytest.raises(sc.JobError, match="has 100 samples a second, but 10 are expected"):
        job_on(tmp_path, "a.wav", sampling_rate=10).run()
    assert not (tmp_path / "maps.zarr").exists()


def test_units_and_channels_of_the_job_do_not_override_those_of_the_files(tmp_path):
    write_wfdb(tmp_path, "a", SIGNAL)
    for layout, said in (
        ({"units": "uV"}, "is in mV, but uV is expected"),
        ({"channel_names": ["C1", "C0"]}, "has channels C0, C1, but C1, C0 are expected"),
    ):
        assert said in open_reader(job_on(tmp_path, "a.hea", **layout)).read([0]).failed[0]


def test_windows_in_seconds_take_the_rate_that_the_job_says(tmp_path):
    np.save(tmp_path / "x.npy", SIGNAL)
    data = {"path": "x.npy", "windows": 0.5}
    assert len(open_reader(job_on(tmp_path, data, sampling_rate=100))) == 8


def test_axes_come_in_the_order_that_the_job_says(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    batch = open_reader(job_on(tmp_path, "*.png", dims="batch channel height width")).read([0])
    np.testing.assert_allclose(batch.inputs[0], pixels.transpose(2, 0, 1) / 255, rtol=1e-6)
    assert batch.layout.channel_names == ("R", "G", "B")


def test_labels_of_a_file_may_have_a_decimal_point(tmp_path):
    np.save(tmp_path / "x.npy", np.ones((3, 2, 9)))
    np.save(tmp_path / "y.npy", np.array([1.0, 0.0, 2.0]))
    assert open_reader(job_on(tmp_path, {"path": "x.npy", "labels": "y.npy"})).read([0, 2]).labels == (1, 2)
