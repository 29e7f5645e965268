"""What a run tells as JSON lines, and what becomes of a log that cannot be written."""

import json
import logging
import os
import signal
import subprocess
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from terminal import SIGNALCAM
from typer.testing import CliRunner

import signalcam as sc
from signalcam.cli import app
from signalcam.jobs import logs, status


def changed(sections, output, **more):
    merged = {name: {**sections.get(name, {}), **each} for name, each in more.items()}
    return sc.Job(**{**sections, **merged, "output": str(output)})


def lines(file):
    return [json.loads(line) for line in Path(file).read_text().splitlines()]


def of(told, event):
    return [each for each in told if each["event"] == event]


def test_a_run_tells_all_that_happens_one_object_a_line(sections, tmp_path):
    place, log = tmp_path / "maps.zarr", tmp_path / "run.jsonl"
    changed(sections, place, engine={"processes": 2}).run(log=log)
    told = lines(log)
    assert (told[0]["event"], told[-1]["event"]) == ("begun", "done")
    assert told[0]["store"] == str(place)
    assert [told[-1][name] for name in ("samples", "done", "failed", "quarantined")] == [70, 70, 2, 0]
    units = of(told, "unit done")
    assert sorted(each["unit"] for each in units) == [0, 1, 2, 3, 4]
    assert sum(each["samples"] for each in units) == 70
    assert sum(each["failed"] for each in units) == 2
    assert all(0 <= each["seconds"] <= told[-1]["seconds"] for each in units)
    failed = {each["sample"]: each["reason"] for each in of(told, "sample failed")}
    assert set(failed) == {5, 21}
    assert "NaN" in failed[5]
    assert "no window begins with 200" in failed[21]
    assert len(of(told, "process started")) == len(of(told, "process ended")) == 2
    assert {each["how"] for each in of(told, "process ended")} == {"no longer needed"}
    when = [datetime.fromisoformat(each["time"]) for each in told]
    assert all(each.utcoffset() == timedelta(0) for each in when)
    assert abs(datetime.now(UTC) - when[-1]) < timedelta(hours=1)


def test_a_run_that_goes_on_appends_and_says_so(sections, tmp_path):
    place, log = tmp_path / "maps.zarr", tmp_path / "run.jsonl"
    job = changed(sections, place, engine={"on_error": "stop"})
    with pytest.raises(sc.JobError):
        job.run(log=log)
    told = lines(log)
    assert told[-1]["event"] == "stopped"
    assert "sample 5 cannot be explained" in told[-1]["reason"]
    changed(sections, place).run(log=log)
    assert lines(log)[: len(told)] == told
    changed(sections, place).run(log=log)
    (again,) = of(lines(log), "resumed")
    assert (again["units"], again["units_left"], again["done"]) == (5, 0, 70)
    assert Counter(each["event"] for each in lines(log))["begun"] == 3


def test_processes_that_die_and_units_given_up_are_told(sections, tmp_path):
    log = tmp_path / "run.jsonl"
    job = changed(sections, tmp_path / "maps.zarr", model={"build": "job_networks:deadly"})
    job.run(log=log)
    told = lines(log)
    (given_up,) = of(told, "quarantined")
    assert (given_up["unit"], given_up["first"], given_up["samples"]) == (1, 16, 16)
    ends = Counter(each["how"] for each in of(told, "process ended"))
    assert ends["SIGKILL"] in (3, 4)  # perhaps once beside another unit, then three times alone
    assert sum(ends.values()) == len(of(told, "process started"))


def test_warnings_of_its_processes_are_told_with_their_samples(sections, data, tmp_path):
    log = tmp_path / "run.jsonl"
    (data / "against_networks.py").write_text(
        "import job_networks\n"
        "def build():\n"
        "    network = job_networks.picky()\n"
        "    network[-1].weight.data.abs_().neg_()\n"  # speaks against every class
        "    return network\n"
    )
    changed(sections, tmp_path / "maps.zarr", model={"build": "against_networks:build"}).run(log=log)
    warned = of(lines(log), "warning")
    assert warned
    assert all(0 <= each["first"] <= each["last"] < 70 for each in warned)
    assert {each["pid"] for each in warned} <= {each["pid"] for each in of(lines(log), "process started")}


def test_no_more_failed_samples_are_listed_than_is_of_use(sections, tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "_MOST_FAILURES", 3)
    np.savez(
        tmp_path / "bad.npz",
        x=np.where(np.arange(70)[:, None, None] % 2, np.nan, np.ones((70, 2, 40))).astype("float32"),
    )
    sections = {**sections, "data": {"path": str(tmp_path / "bad.npz"), "inputs": "x"}}
    log = tmp_path / "run.jsonl"
    changed(sections, tmp_path / "maps.zarr", aggregates={"by": ("predicted",)}).run(log=log)
    told = lines(log)
    assert len(of(told, "sample failed")) == 3
    assert len([each for each in of(told, "note") if "the store tells why" in each["message"]]) == 1
    assert told[-1]["failed"] == 35


def test_a_log_that_cannot_be_written_is_told_before_anything_is_done(sections, data, tmp_path):
    file = data / f"{tmp_path.name}.toml"
    file.write_text(
        f'data = {{ path = "windows.npz", inputs = "x" }}\nmodel = "job_networks:build"\noutput = "{tmp_path / "maps.zarr"}"'
    )
    for log in (tmp_path / "nowhere" / "run.jsonl", tmp_path):
        result = CliRunner().invoke(app, ["run", str(file), "--log", str(log)])
        assert result.exit_code == 2
        assert "cannot be written" in result.stderr
        assert "Traceback" not in result.output
    assert list(tmp_path.iterdir()) == []
    result = CliRunner().invoke(app, ["run", str(file), "--log", str(tmp_path / "run.jsonl")])
    assert result.exit_code == 0, result.output
    assert lines(tmp_path / "run.jsonl")[-1]["event"] == "done"


def test_a_log_that_breaks_off_is_told_and_ends_no_job(sections, tmp_path, monkeypatch):
    write, count = os.write, []

    def full(file, line):
        if line.startswith(b'{"time"'):
            count.append(line)
            if len(count) > 4:
                raise OSError(28, "No space left on device")
        return write(file, line)

    monkeypatch.setattr(os, "write", full)
    log = tmp_path / "run.jsonl"
    with pytest.warns(sc.CamWarning, match="is not complete .No space left on device"):
        changed(sections, tmp_path / "maps.zarr").run(log=log)
    assert len(count) == 5
    assert status(tmp_path / "maps.zarr").done == 70
    assert len(lines(log)) == 4


def test_ctrl_c_is_told(data, tmp_path):
    file, log = data / f"{tmp_path.name}.toml", tmp_path / "run.jsonl"
    file.write_text(
        f"""
        data = {{ path = "windows.npz", inputs = "x" }}
        model = "job_networks:slow"
        output = "{tmp_path / "maps.zarr"}"
        units = {{ size = 8, batch = 8 }}
        """
    )
    run = subprocess.Popen(  # noqa: S603 - this very program
        [*SIGNALCAM, "run", str(file), "--log", str(log)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(sc.__file__).parents[1])},
    )
    end = time.monotonic() + 120
    while not (log.exists() and of(lines(log), "unit done")) and time.monotonic() < end:
        time.sleep(0.05)
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=120)
    assert run.returncode == 130
    last = lines(log)[-1]
    assert last["event"] == "interrupted"
    assert last["done"] >= 8


# --- the logger -------------------------------------------------------------------------------------


class Kept(logging.Handler):
    """Keeps what comes."""

    def __init__(self):
        super().__init__()
        self.events = []

    def emit(self, record):
        self.events.append(getattr(record, "event", None))


@pytest.fixture
def root():
    """The program's own handler, at the level that programs have."""
    kept = Kept()
    logging.getLogger().addHandler(kept)
    yield kept
    logging.getLogger().removeHandler(kept)


def test_a_file_brings_no_more_to_the_programs_own_handlers(root, tmp_path):
    with logs.log_to(tmp_path / "run.jsonl"):
        logs.log_event("unit done")
        logs.log_event("quarantined", level=logging.WARNING)
    assert root.events == ["quarantined"]
    assert [each["event"] for each in lines(tmp_path / "run.jsonl")] == ["unit done", "quarantined"]
    logger = logging.getLogger("signalcam")
    assert (logger.level, logger.propagate, logger.handlers) == (logging.NOTSET, True, [])


def test_a_program_may_listen_itself(root, monkeypatch, tmp_path):
    monkeypatch.setattr(logging.getLogger("signalcam"), "level", logging.INFO)
    logging.getLogger("signalcam.jobs").manager._clear_cache()
    logs.log_event("unit done", unit=3)
    with logs.log_to(tmp_path / "run.jsonl"):
        logs.log_event("unit done", unit=4)
    assert root.events == ["unit done", "unit done"]
    monkeypatch.undo()
    logging.getLogger("signalcam.jobs").manager._clear_cache()


def test_nothing_is_printed_where_nobody_listens(capfd):
    logs.log_event("quarantined", level=logging.WARNING)
    assert capfd.readouterr() == ("", "")


def test_a_line_holds_what_the_record_does():
    record = logging.makeLogRecord(
        {"msg": "layer %r\nchosen", "args": ("conv",), "levelno": 20, "levelname": "INFO", "place": Path("a")}
    )
    told = json.loads(logs.JsonLines().format(record))
    assert (told["event"], told["level"], told["message"], told["place"]) == (
        "note",
        "info",
        "layer 'conv'\nchosen",
        "a",
    )
