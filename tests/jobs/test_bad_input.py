"""Whatever is wrong with a job, the command line tells it in one sentence, ends with 2, and leaves nothing behind."""

import errno
import os
import sys

import numpy as np
import pytest
import zarr
from jobs.wrong_fields import WRONG, WRONG_IN_A_PROCESS
from pydantic import BaseModel
from typer.testing import CliRunner

import signalcam as sc
from signalcam.cli import app
from signalcam.jobs import summary

JOB = """
data = { path = "windows.npz", inputs = "x", labels = "y" }
model = { build = "job_networks:build" }
layout = { dims = "batch channel time", sampling_rate = 10 }
units = { size = 8, batch = 4 }
output = { path = "maps.zarr" }
"""
BAD_NETWORKS = """
value = 3
def nothing(): return None
def words(): return "a model"
"""


@pytest.fixture(scope="module")
def job_file(data, tmp_path_factory):
    """A job that would run, in a folder with all that can be wrong."""
    folder = tmp_path_factory.mktemp("bad")
    rng = np.random.default_rng(3)
    np.savez(folder / "windows.npz", x=rng.normal(size=(12, 2, 40)).astype("f4"), y=np.arange(12) % 3)
    np.savez(folder / "no_samples.npz", x=np.ones((0, 2, 40)), y=[])
    np.save(folder / "short.npy", np.arange(3))
    np.save(folder / "words.npy", np.array(["a"] * 12))
    np.save(folder / "halves.npy", np.full(12, 0.5))
    (folder / "weights.npz").write_bytes(b"nothing of this kind")
    (folder / "empty").mkdir()
    (folder / "job_networks.py").write_text((data / "job_networks.py").read_text())
    (folder / "bad_networks.py").write_text(BAD_NETWORKS)
    (folder / "raises_at_import.py").write_text("raise RuntimeError('out of order')")
    (folder / "job.toml").write_text(JOB)
    return folder / "job.toml"


def lying(folder):
    """All that lies in a folder, but for what Python keeps there."""
    return sorted(each for each in folder.rglob("*") if "__pycache__" not in each.parts)


def refused(*words):
    """What a command that must be refused says: one sentence, and no other word."""
    result = CliRunner().invoke(app, list(map(str, words)))
    assert result.exit_code == 2, (result.output, result.exception)
    assert not result.stdout
    (said,) = result.stderr.splitlines()
    assert said.startswith("signalcam: ")
    assert said.endswith(".")
    assert "Traceback" not in said
    return said


def fields(model=sc.Job, above=""):
    """Every field of a job file, by its section."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from fields(kind, f"{above}{name}.")
        else:
            yield above + name


def test_every_field_has_a_line_among_the_wrong_ones():
    assert set(fields()) == set(WRONG)
    assert all(WRONG.values())


def each(table):
    return [
        pytest.param(field, value, said, id=f"{field}={value}")
        for field, wrong in table.items()
        for value, said in wrong
    ]


@pytest.mark.parametrize(("field", "value", "said"), each(WRONG) + each(WRONG_IN_A_PROCESS))
def test_a_wrong_field_ends_with_two_and_one_sentence_and_leaves_nothing(field, value, said, job_file, capfd):
    before = lying(job_file.parent)
    told = refused("run", job_file, "--set", f"{field}={value}")
    assert any(words in told for words in said.split("|")), told
    assert lying(job_file.parent) == before
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("section", [each for each in sc.Job.model_fields if each != "data"])
def test_a_name_that_no_section_has_is_refused(section, job_file):
    assert f"{section}.colour: there is no field of that name" in refused(
        "run", job_file, "--set", f"{section}.colour=3"
    )


def test_what_is_no_option_of_the_data_is_refused(job_file):
    assert "'colour' is no option of numpy files" in refused("run", job_file, "--set", "data.colour=3")


@pytest.mark.parametrize("section", sc.Job.model_fields)
@pytest.mark.parametrize("value", ["3", "[1]"])
def test_what_is_no_section_is_refused(section, value, job_file):
    assert section in refused("run", job_file, "--set", f"{section}={value}")


@pytest.mark.parametrize("what", ["data", "model", "output"])
def test_a_section_that_is_missing_is_told(what, tmp_path):
    lines = [line for line in JOB.splitlines() if not line.startswith(what)]
    (tmp_path / "job.toml").write_text("\n".join(lines))
    assert f"{what}: it is missing" in refused("run", tmp_path / "job.toml")


# --- what is not installed, or cannot be written -----------------------------------------------------


@pytest.mark.parametrize(
    ("package", "name", "extra"),
    [
        ("h5py", "x.h5", "data"),
        ("pyarrow", "x.parquet", "data"),
        ("wfdb", "x.hea", "data"),
        ("mne", "x.edf", "data"),
        ("soundfile", "x.wav", "data"),
        ("pandas", "x.csv", "data"),
        ("PIL.Image", "x.png", "data"),
        ("nibabel", "x.nii", "data"),
        ("imageio_ffmpeg", "x.mp4", "data"),
    ],
)
def test_what_is_not_installed_is_told_with_the_line_that_brings_it(
    package, name, extra, job_file, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, package, None)
    (tmp_path / name).write_bytes(b"something")
    (tmp_path / "job.toml").write_text(JOB.replace('"windows.npz", inputs = "x", labels = "y"', f'"{name}"'))
    assert f"pip install 'signalcam[{extra}]'" in refused("run", tmp_path / "job.toml")
    assert lying(tmp_path) == [tmp_path / "job.toml", tmp_path / name]


def test_jobs_without_pydantic_name_the_line_that_brings_it(monkeypatch):
    for each in [name for name in sys.modules if name.startswith("signalcam.jobs")]:
        monkeypatch.delitem(sys.modules, each)
    monkeypatch.setitem(sys.modules, "pydantic", None)
    with pytest.raises(sc.MissingExtra, match=r"pip install 'signalcam\[jobs\]'"):
        sc.Job  # noqa: B018 - looking it up imports it


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_disk_that_takes_nothing_is_told_in_one_sentence(code, job_file, monkeypatch):
    """A full one, one that is only read, and a folder of somebody else's."""

    def full(*_args, **_options):
        raise OSError(code, os.strerror(code))

    before = lying(job_file.parent)
    with monkeypatch.context() as patched:
        patched.setattr(zarr, "create_group", full)
        told = refused("run", job_file)
    assert os.strerror(code) in told
    assert "run the same command again" in told
    assert lying(job_file.parent) == before


# --- what is no store --------------------------------------------------------------------------------


def nothing(_place):
    """There is none."""


def empty(place):
    place.mkdir()


def a_file(place):
    place.write_text("words")


def torn(place):
    place.mkdir()
    (place / "zarr.json").write_text('{"attributes": {"signalcam": 1, "jo')


def another(place):
    zarr.create_group(place, zarr_format=3)


def listed(place):
    place.mkdir()
    (place / "zarr.json").write_text('["attributes"]')


def strange(place):
    place.mkdir()
    (place / "zarr.json").write_text('{"attributes": {"signalcam": "one", "job": {}}}')


def hollow(place):
    place.mkdir()
    (place / "zarr.json").write_text('{"attributes": {"signalcam": 1, "job": {}}}')


def future(place):
    place.mkdir()
    (place / "zarr.json").write_text('{"attributes": {"signalcam": 99, "job": {}}}')


@pytest.mark.parametrize(
    "make", [nothing, empty, a_file, torn, another, listed, strange, hollow, future], ids=lambda each: each.__name__
)
@pytest.mark.parametrize(
    "words",
    [["status"], ["status", "--json"], ["report"], ["evaluate", "--model", "a:b"], ["view", "--no-open"]],
    ids="_".join,
)
def test_what_is_no_store_is_told_by_every_command(make, words, tmp_path):
    make(tmp_path / "maps.zarr")
    before = lying(tmp_path)
    assert "maps.zarr" in refused(words[0], tmp_path / "maps.zarr", *words[1:])
    with pytest.raises(sc.StoreError):
        summary(tmp_path / "maps.zarr")
    assert lying(tmp_path) == before
