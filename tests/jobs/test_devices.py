"""Where a job's network is, and in which precision it runs, is the job's to say."""

import numpy as np
import pytest
import torch

import signalcam as sc
from signalcam.jobs import model_loading

on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
ONE = {"method": ["grad-cam"], "layer": ["4"], "target": ["V"]}


def run(sections, output, metrics=(), processes=1, **model):
    told = {
        **sections,
        "model": {**sections["model"], **model},
        "explain": ONE,
        "metrics": {"names": metrics},
    }
    return sc.Job(**told, engine={"processes": processes}, output=str(output)).run()


def maps(exp):
    good = [not each for each in exp.failed]
    return np.asarray(exp.layers[0].values[:], np.float64)[good]


def apart(found, wanted):
    return np.nanmax(np.abs(found - wanted)) / np.nanmax(np.abs(wanted))


@pytest.fixture(scope="module")
def plain(sections, tmp_path_factory):
    return run(sections, tmp_path_factory.mktemp("plain") / "maps.zarr")


def test_a_job_under_autocast_gives_what_explain_gives_under_it(sections, data, plain, tmp_path):
    exp = run(sections, tmp_path / "maps.zarr", autocast="bfloat16")
    job = sc.Job(**sections, output="unused")
    x = np.load(data / "windows.npz")["x"][:5]  # the sixth is not finite
    with torch.autocast("cpu", torch.bfloat16):
        wanted = sc.explain(model_loading.load_network(job), x, **ONE | {"target": 1}, layout="batch channel time")
    assert not torch.is_autocast_enabled("cpu")
    assert apart(exp.scores[:5], wanted.scores) < 0.02  # batches of another size may be rounded otherwise
    assert 1e-5 < apart(exp.scores[:5], plain.scores[:5]) < 0.1
    assert apart(exp.maps.values[:5], wanted.maps.values) < 0.05


def test_autocast_is_part_of_what_a_job_is(sections, tmp_path):
    run(sections, tmp_path / "maps.zarr")
    with pytest.raises(sc.StoreError, match="another job"):
        run(sections, tmp_path / "maps.zarr", autocast="bfloat16")


# --- on a GPU --------------------------------------------------------------------------------------


@on_gpu
@pytest.mark.parametrize("processes", [1, 3])
@pytest.mark.parametrize("metrics", [(), ("deletion",)], ids=["bare", "scored"])
def test_a_job_on_a_gpu_gives_what_one_on_the_processor_gives(sections, plain, tmp_path, processes, metrics):
    exp = run(sections, tmp_path / "maps.zarr", metrics, processes, device="cuda")
    assert apart(exp.scores, plain.scores) < 1e-2
    assert [bool(each) for each in exp.failed] == [bool(each) for each in plain.failed]
    assert apart(maps(exp), maps(plain)) < 1e-2


@on_gpu
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_job_on_a_gpu_under_autocast_is_near(sections, plain, tmp_path, dtype):
    exp = run(sections, tmp_path / "maps.zarr", device="cuda", autocast=dtype)
    assert 1e-5 < apart(exp.scores, plain.scores) < 0.05


@on_gpu
def test_a_copy_arrives_whole_on_the_gpu(data):
    x = np.random.default_rng(0).standard_normal((64, 12, 5000)).astype(np.float32)
    for given in (x, x[:, ::-1], x[::2]):
        batch = sc.data.Batch(given, numbers=list(range(len(given))))
        there = model_loading.move_to_device(batch, "cuda").inputs
        assert there.device.type == "cuda"
        np.testing.assert_array_equal(there.cpu().numpy(), given)
