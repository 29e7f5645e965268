"""The report of a job's store: made of what was summed up and of its first samples."""

import json
import re

import numpy as np
import pytest
from typer.testing import CliRunner

import signalcam as sc
from signalcam.cli import app
from signalcam.jobs import store_reader, summary
from signalcam.report import job_overview


@pytest.fixture(scope="module")
def store(sections, tmp_path_factory):
    place = tmp_path_factory.mktemp("reported") / "maps.zarr"
    sc.Job(**sections, output=str(place)).run()
    return place


def told(page):
    found = re.search(r'<script type="application/json" id="known">(.*?)</script>', page.read_text())
    return json.loads(found[1])["summary"]


def test_a_report_of_a_job_holds_its_sums_counts_and_what_failed(store, tmp_path):
    done = CliRunner().invoke(app, ["report", str(store), "--to", str(tmp_path / "report.html")])
    assert done.exit_code == 0, done.output
    known, means = told(tmp_path / "report.html"), summary(store)
    counts = dict(zip(means["of"].values.tolist(), means["count"].values.tolist(), strict=True))
    assert {each["name"]: each["count"] for each in known["groups"]} == {
        {"all": "all samples"}.get(of, of.replace("label: ", "true: ")): n for of, n in counts.items() if n
    }
    assert known["job"]["samples"] == 70
    assert known["job"]["failed"] == 2
    assert any("no window begins with 200" in reason for reason, _ in known["job"]["reasons"])
    assert known["sentence"].startswith("Sequential on 70 samples")


def test_no_more_than_the_first_samples_are_read(store, tmp_path, monkeypatch):
    monkeypatch.setattr(job_overview, "FIRST_SAMPLES", 12)
    read = []
    for name in ("__array__", "__getitem__"):
        own = getattr(store_reader.SampleArray, name)

        def counted(rows, *asked, own=own):
            found = own(rows, *asked)
            read.extend([len(found)] if rows.ndim > 2 else [])  # maps and inputs
            return found

        monkeypatch.setattr(store_reader.SampleArray, name, counted)
    sc.load(store).to_html(tmp_path / "report.html")
    assert read
    assert max(read) == 12
    known = told(tmp_path / "report.html")
    assert known["count"] == len(known["samples"]["name"]) == 12
    assert dict(known["about"])["input"].startswith("70 x ")


def test_a_part_of_a_job_has_the_page_of_any_result(store, tmp_path):
    exp = sc.load(store).isel(sample=np.arange(8).tolist())
    exp.to_html(tmp_path / "report.html")
    known = told(tmp_path / "report.html")
    assert known["job"] is None
    assert known["groups"][0]["count"] == 8
