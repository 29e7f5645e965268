"""Stores that version 0.1.0 wrote are read as they were meant; ``golden/stores-0.1.0.zip`` holds two of them.

It was made by the last commit whose axis of methods was called ``method``: a saved result with scores, and the
store of a job with metrics and aggregates, beside the maps that both had.
"""

from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

import signalcam as sc
from signalcam.jobs import summary

STORES = Path(__file__).parents[1] / "golden" / "stores-0.1.0.zip"
KINDS = ["result", "job"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("old")
    with ZipFile(STORES) as stores:
        stores.extractall(folder)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_maps_are_those_that_were_saved(folder, kind):
    exp = sc.load(folder / f"{kind}.zarr")
    assert exp.maps.dims == ("sample", "target", "cam", "layer", "time")
    np.testing.assert_array_equal(exp.maps.values, np.load(folder / f"{kind}_maps.npy"))
    assert exp.maps.sel(cam="hires-cam").shape == (len(exp), 2, 2, 40)


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_chosen_from_by_cam(folder, kind):
    exp = sc.load(folder / f"{kind}.zarr")
    assert exp.metrics["cam"].values.tolist() == ["grad-cam", "hires-cam", "random-cam", "input-energy"]
    assert np.isfinite(exp.metrics["mean"].sel(metric="deletion", cam="grad-cam")).all()
    assert exp.sel(cam="grad-cam").metrics.sizes["cam"] == 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_result_is_saved_anew_and_read_again(folder, kind, tmp_path):
    exp = sc.load(folder / f"{kind}.zarr").isel(sample=slice(3))
    exp.save(tmp_path / "new.zarr")
    np.testing.assert_array_equal(sc.load(tmp_path / "new.zarr").maps.values, exp.maps.values)


def test_what_a_job_summed_up_has_the_new_axis(folder):
    found = summary(folder / "job.zarr")
    assert found["mean_0"].dims[:3] == ("of", "target", "cam")
    assert found["mean_0"].sel(of="all", cam="grad-cam").shape[0] == 2
