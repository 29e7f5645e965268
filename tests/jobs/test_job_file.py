"""What a job file may say, and what is said of one that is wrong."""

import re

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

import signalcam as sc
from signalcam.cli import app
from signalcam.jobs import model_loading
from signalcam.jobs.template import EXAMPLE

GOOD = {"data": "a.npy", "model": "a:b", "output": "c.zarr"}


def run(*words):
    return CliRunner().invoke(app, ["run", *map(str, words)])


@pytest.mark.parametrize(
    ("section", "wrong", "said"),
    [
        ("data", 3, "data is 3"),
        ("data", {"path": "a", "windows": -1}, "data.windows"),
        ("data", {"path": "a", "groups": 3}, "data.groups is 3"),
        ("data", {}, "data: give either path, or build = 'module:function'"),
        ("data", {"path": "a", "build": "b:c"}, "data: give either path, or build"),
        ("data", {"build": "no colon"}, "data.build is 'no colon': it should be 'module:function'"),
        ("data", {"path": "a", "arguments": {"b": 1}}, "arguments are passed to build"),
        ("data", {"build": "a:b", "windows": 3}, "format and windows apply to files"),
        ("data", {"path": "a", "dtype": "int16"}, "data.dtype is 'int16'"),
        ("model", "no colon", "model.build is 'no colon': it should be 'module:function'"),
        ("model", {}, "give build = 'module:function'"),
        ("model", {"build": "a:b", "trust": "perhaps"}, "model.trust"),
        ("model", {"build": "a:b", "arguments": 3}, "model.arguments"),
        ("output", {"path": "a", "dtype": "float64"}, "output.dtype is 'float64'"),
        ("output", {"path": "."}, "names no folder"),
        ("explain", {"method": []}, "explain.method"),
        ("explain", {"layer": []}, "explain.layer"),
        ("explain", {"target": [[1]]}, "explain.target"),
        ("explain", {"signed": 3}, "explain.signed"),
        ("explain", {"score": "logits"}, "explain.score"),
        ("explain", {"align": "left"}, "explain.align"),
        ("layout", {"dims": "time"}, "batch first"),
        ("layout", {"sampling_rate": "fast"}, "layout.sampling_rate"),
        ("units", {"size": 0}, "units.size is 0"),
        ("units", {"size": 10, "batch": 4}, "no multiple of batch"),
        ("aggregates", {"by": ["age"]}, "aggregates.by.0 is 'age'"),
        ("aggregates", {"by": ["group"]}, "data.groups is not set"),
        ("aggregates", {"bins": 1}, "aggregates.bins is 1"),
        ("aggregates", {"quantiles": [2]}, "aggregates.quantiles.0 is 2"),
        ("engine", {"name": "dask"}, "engine.name is 'dask'"),
        (
            "engine",
            {"address": "nowhere"},
            "engine.address is 'nowhere': it should be 'auto' or 'host:port'",
        ),
        ("engine", {"cpus": -1}, "engine.cpus is -1"),
        ("engine", {"gpus": "all"}, "engine.gpus is 'all'"),
        ("engine", {"timeout": 0}, "engine.timeout is 0"),
        ("engine", {"processes": 0}, "engine.processes is 0"),
        ("engine", {"threads": 0}, "engine.threads is 0"),
        ("engine", {"on_error": "ignore"}, "engine.on_error is 'ignore'"),
        ("aggregates", {"before": -1}, "aggregates.before is -1"),
        ("aggregates", {"after": float("inf")}, "aggregates.after is inf"),
        ("aggregates", {"events": 3}, "aggregates.events is 3"),
        ("metrics", 3, "metrics is 3"),
        (
            "metrics",
            {"names": ["dletion"]},
            "metrics: there is no metric 'dletion'. Nearest: 'deletion'",
        ),
        ("metrics", {"names": ["road", "road"]}, "metrics: names holds 'road' twice"),
        ("metrics", {"names": ["road"], "imputer": "men"}, "metrics: there is no imputer 'men'"),
        (
            "metrics",
            {"names": ["road"], "baselines": ["random"]},
            "metrics: there is no method 'random'",
        ),
        ("metrics", {"measure": "luck"}, "metrics.measure is 'luck'"),
        ("metrics", {"steps": 1}, "metrics.steps is 1"),
        ("metrics", {"window": 0}, "metrics.window"),
        ("metrics", {"seed": -1}, "metrics.seed is -1"),
        ("colours", {}, "colours: there is no field of that name"),
    ],
)
def test_a_wrong_field_is_told_in_one_sentence(section, wrong, said):
    with pytest.raises(sc.JobError, match=re.escape(said)) as error:
        sc.Job(**{**GOOD, section: wrong})
    assert all(line.endswith(".") for line in str(error.value).splitlines())


def test_unsigned_bytes_hold_no_negative_evidence():
    with pytest.raises(sc.JobError, match="no negative evidence"):
        sc.Job(**{**GOOD, "output": {"path": "a", "dtype": "uint8"}, "explain": {"signed": True}})


def test_every_wrong_field_is_told_at_once():
    with pytest.raises(sc.JobError) as error:
        sc.Job(units={"size": 0, "batch": 0})
    assert len(str(error.value).splitlines()) == 5


def test_the_example_is_a_job_also_with_every_comment_taken_away(tmp_path):
    file = tmp_path / "job.toml"
    assert run("--init", file).exit_code == 0
    assert file.read_text() == EXAMPLE
    assert sc.Job.read(file).output.dtype == "float16"
    file.write_text(re.sub(r"^# (?=\w+ = )", "", EXAMPLE, flags=re.MULTILINE))
    assert sc.Job.read(file).layout.units == "mV"


def test_the_example_replaces_nothing(tmp_path):
    file = tmp_path / "job.toml"
    file.write_text("mine")
    result = run("--init", file)
    assert result.exit_code == 2
    assert "exists already" in result.stderr
    assert file.read_text() == "mine"


def test_options_stand_in_place_of_the_files_values(tmp_path):
    file = tmp_path / "job.toml"
    file.write_text('data = "a.npy"\nmodel = "a:b"\noutput = "c.zarr"\nmetrics = "road"')
    changes = [
        "metrics.steps=5",
        "units.size=64",
        "explain.method=['cam', 'fem']",
        "output.dtype=uint8",
        "model.trust=true",
        "data=b.npy",
    ]
    job = sc.Job.read(file, changes)
    assert (job.units.size, job.explain.method, job.output.dtype) == (64, ("cam", "fem"), "uint8")
    assert (job.metrics.names, job.metrics.steps) == (("road",), 5)
    assert job.model.trust
    assert job.model.build == "a:b"
    assert job.path(job.data.path) == tmp_path / "b.npy"


@pytest.mark.parametrize("change", ["units.size", "=3", ".a=3"])
def test_an_option_that_sets_nothing_is_refused(change, tmp_path):
    file = tmp_path / "job.toml"
    file.write_text(EXAMPLE)
    with pytest.raises(sc.JobError, match=r"--set units\.size=64"):
        sc.Job.read(file, [change])


@pytest.mark.parametrize(("text", "said"), [(None, "cannot be read"), ("[data", "is no TOML")])
def test_a_file_that_is_no_job_ends_with_two(text, said, tmp_path):
    file = tmp_path / "job.toml"
    if text is not None:
        file.write_text(text)
    result = run(file)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "Traceback" not in result.output


def test_where_and_by_how_many_does_not_change_which_job_it_is():
    one = sc.Job(**GOOD)
    engine = {"name": "ray", "processes": 3, "address": "auto", "cpus": 2, "gpus": 1, "timeout": 9, "on_error": "stop"}
    assert one.digest("x") == sc.Job(**{**GOOD, "output": "d.zarr"}, engine=engine).digest("x")
    assert one.digest("x") != one.digest("y")


@pytest.mark.parametrize("change", [{"units": {"size": 32}}, {"explain": {"signed": True}}, {"engine": {"threads": 2}}])
def test_what_changes_numbers_makes_another_job(change):
    assert sc.Job(**GOOD, **change).digest("x") != sc.Job(**GOOD).digest("x")


# --- networks --------------------------------------------------------------------------------------


def network(data, **model):
    return model_loading.load_network(sc.Job(**{**GOOD, "model": model}, folder=data))


@pytest.fixture(scope="module")
def trained(data):
    model = network(data, build="job_networks:build", arguments={"seed": 5})
    torch.save(model.state_dict(), data / "w.pt")
    return model


def test_weights_come_from_safetensors_or_a_state_dict(trained, data):
    save_file(trained.state_dict(), data / "w.safetensors")
    torch.save({"epoch": 3, "state_dict": trained.state_dict()}, data / "checkpoint.pt")
    for name in ("w.safetensors", "w.pt", "checkpoint.pt"):
        read = network(data, build="job_networks:build", weights=name)
        assert model_loading.fingerprint(read) == model_loading.fingerprint(trained)
    fresh = network(data, build="job_networks:build")
    assert model_loading.fingerprint(fresh) != model_loading.fingerprint(trained)


def test_nothing_is_unpickled_unless_that_is_trusted(trained, data):
    torch.save(trained, data / "whole.pt")
    with pytest.raises(sc.JobError, match="can run any code") as error:
        network(data, build="job_networks:build", weights="whole.pt")
    assert "trust = true" in str(error.value)
    read = network(data, build="job_networks:build", weights="whole.pt", trust=True)
    assert model_loading.fingerprint(read) == model_loading.fingerprint(trained)


def test_an_exported_program_is_read_where_it_is_trusted(trained, data):
    torch.export.save(torch.export.export(trained.eval(), (torch.zeros(2, 2, 40),)), data / "w.pt2")
    with pytest.raises(sc.JobError, match="trust = true"):
        network(data, weights="w.pt2")
    read = network(data, weights="w.pt2", trust=True)
    assert model_loading.fingerprint(read) == model_loading.fingerprint(trained)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"build": "nowhere:build"}, "cannot be imported"),
        ({"build": "job_networks:nothing"}, "cannot be imported"),
        ({"build": "job_networks:broken"}, "raised RuntimeError: out of order"),
        ({"build": "job_networks:build", "arguments": {"size": 3}}, "raised TypeError"),
        ({"build": "job_networks:build", "weights": "none.pt"}, "no weights at"),
        ({"build": "job_networks:build", "weights": "site.npy"}, "no state_dict|unpickling"),
        ({"build": "job_networks:build", "arguments": {"classes": 4}, "weights": "w.pt"}, "do not fit"),
        ({"weights": "w.pt"}, "names no network for them"),
        ({"build": "job_networks:build", "device": "moon"}, "cannot be moved to"),
    ],
)
def test_a_network_that_cannot_be_had_is_told_in_one_sentence(model, said, trained, data):
    with pytest.raises(sc.JobError, match=said):
        network(data, **model)
