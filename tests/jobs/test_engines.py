"""Engines: who hands out units, what becomes of workers that die, and that all give the same bits."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import zarr
from terminal import SIGNALCAM

import signalcam as sc
from signalcam.jobs import engine_ranks as ranks
from signalcam.jobs import engine_ray, status
from signalcam.jobs import scheduler as crews
from signalcam.jobs.engine_ranks import Rank, visible_gpu
from signalcam.jobs.locking import is_locked, lock_store
from signalcam.jobs.scheduler import Scheduler
from signalcam.jobs.store import QUARANTINED, JobStore

ROOT = Path(__file__).parents[2]
SOURCE = str(Path(sc.__file__).parents[1])
LONG = 600  # seconds: what hangs ends, what is slow does not


# --- the crew, with workers that are none ------------------------------------------------------------


class Hand:
    def __init__(self):
        self.asked, self.ended = [], False

    def send(self, asked):
        self.asked.append(asked)

    def kill(self, why=""):
        self.ended = True


class Hands:
    """Workers that do at once what ``fate`` says of a unit and how often it was begun."""

    def __init__(self, store, fate=lambda unit, time: "done"):
        self.store, self.fate = store, fate
        self.hired, self.begun, self.held, self.now = [], [], 0, 0.0

    def start_worker(self):
        self.hired.append(Hand())
        return self.hired[-1]

    def receive(self, hands, seconds):
        self.held = max(self.held, *(len(each.asked) for each in hands))
        for hand in sorted(hands, key=lambda each: each.asked[0] != "identity"):
            asked = hand.asked[0]
            if asked == "identity":
                return self.said(hand, *self.birth(len(self.hired)))
            self.begun.append(asked)
            fate = self.fate(asked, self.begun.count(asked))
            if fate == "silent":
                self.begun.pop()
                continue
            if fate != "dead":
                self.store.done[asked] = 0
            return self.said(hand, *(("dead", "killed") if fate != "done" else ("done", 0)))
        assert seconds is not None, "waits for what never comes"
        self.now += seconds
        for hand in hands:
            self.begun.append(hand.asked[0])
        return []

    def said(self, hand, *answer):
        hand.asked.pop(0)
        return [(hand, answer)]

    def birth(self, number):
        return "ready", {"weights": "w"}

    def close(self):
        assert all(each.ended for each in self.hired)


class Store:
    place = Path("maps.zarr")

    def __init__(self):
        self.done, self.rows = {}, {}
        self.about = {"identity": {"weights": "w"}}

    def status(self):
        return dict(self.done)

    def blank(self, unit):
        return {"failed": np.array(["", ""], object)}

    def commit(self, unit, rows, sums, failed):
        self.done[unit], self.rows[unit] = failed, rows


def work(units=6, fate=lambda unit, time: "done", kind=Hands, monkeypatch=None, **engine):
    store = Store()
    hands = kind(store, fate)
    if monkeypatch is not None:
        monkeypatch.setattr(crews.time, "monotonic", lambda: hands.now)
    job = sc.Job(data="a.npy", model="a:b", output="c.zarr", engine={"processes": 2, **engine})
    with Scheduler(job, hands) as crew:
        found = list(crew.run(store, range(units)))
    return found, hands, store


def test_every_unit_is_done_once_with_two_in_flight_at_most():
    found, hands, _ = work(units=20)
    assert sorted(found) == [(unit, 0) for unit in range(20)]
    assert sorted(hands.begun) == list(range(20))
    assert len(hands.hired) == 2
    assert hands.held == 2


def test_no_more_workers_are_hired_than_there_are_units():
    assert len(work(units=1, processes=8)[1].hired) == 1
    assert work(units=0)[1].hired == []


def test_the_last_units_are_not_hoarded():
    assert work(units=2)[1].held == 1


def test_what_a_dead_worker_held_is_done_by_another():
    found, hands, _ = work(units=9, fate=lambda unit, time: "dead" if unit == 0 and time < 3 else "done")
    assert sorted(found) == [(unit, 0) for unit in range(9)]
    assert len(hands.hired) == 4
    assert hands.begun.count(0) == 3
    assert all(hands.begun.count(unit) == 1 for unit in range(1, 9))


def test_what_was_committed_before_its_worker_died_is_not_done_again():
    found, hands, _ = work(fate=lambda unit, time: "done and dead" if unit == 3 else "done")
    assert sorted(found) == [(unit, 0) for unit in range(6)]
    assert hands.begun.count(3) == 1


def test_a_unit_is_given_up_after_three_kills_and_only_what_killed():
    found, hands, store = work(units=9, fate=lambda unit, time: "dead" if unit == 4 else "done")
    assert sorted(found) == [(unit, QUARANTINED if unit == 4 else 0) for unit in range(9)]
    assert hands.begun.count(4) == 4  # once beside another, which may have been at fault; then alone
    assert set(store.rows[4]["failed"]) == {"its unit ended the process 3 times"}


def test_a_worker_that_hangs_is_replaced_and_its_unit_given_up_in_the_end(monkeypatch):
    found, hands, store = work(
        fate=lambda unit, time: "silent" if unit == 2 else "done", monkeypatch=monkeypatch, timeout=10
    )
    assert sorted(found) == [(unit, QUARANTINED if unit == 2 else 0) for unit in range(6)]
    assert hands.now >= 30
    assert set(store.rows[2]["failed"]) == {"its unit took longer than engine.timeout 3 times"}


def test_a_unit_that_hangs_once_is_done_after_all(monkeypatch):
    found, hands, _ = work(
        fate=lambda unit, time: "silent" if unit == 2 and time < 2 else "done", monkeypatch=monkeypatch, timeout=10
    )
    assert sorted(found) == [(unit, 0) for unit in range(6)]
    assert hands.now == 10


class Stillborn(Hands):
    def birth(self, number):
        return "dead", "exit code -9"


class Sickly(Hands):
    def birth(self, number):
        return ("dead", "exit code -9") if number % 2 else ("ready", {"weights": "w"})


class Stranger(Hands):
    def birth(self, number):
        return "ready", {"weights": "other"}


class Full(Hands):
    def birth(self, number):
        return "refused", (True, "no room")


@pytest.mark.parametrize(
    ("kind", "error", "said"),
    [
        (Stillborn, sc.JobError, r"before they are ready \(exit code -9\)"),
        (Stranger, sc.StoreError, "other weights"),
        (Full, sc.StoreError, "no room"),
    ],
)
def test_a_crew_that_cannot_begin_says_why_and_leaves_nobody(kind, error, said):
    with pytest.raises(error, match=said):
        work(kind=kind)


def test_workers_that_die_at_birth_now_and_then_are_replaced():
    found, _, _ = work(kind=Sickly)
    assert len(found) == 6


# --- ranks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "found"),
    [
        ({"RANK": "1", "WORLD_SIZE": "4", "SLURM_PROCID": "9"}, Rank(1, 4)),
        ({"SLURM_PROCID": "2", "SLURM_NTASKS": "3"}, Rank(2, 3)),
        ({"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "8"}, Rank(3, 8)),
        (
            {
                "SLURM_ARRAY_TASK_ID": "5",
                "SLURM_ARRAY_TASK_COUNT": "3",
                "SLURM_ARRAY_TASK_MIN": "1",
                "SLURM_ARRAY_TASK_STEP": "2",
            },
            Rank(2, 3),
        ),
        ({"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_COUNT": "1", "SLURM_ARRAY_TASK_MIN": "7"}, Rank(0, 1)),
        (
            {"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_COUNT": "2", "SLURM_PROCID": "1", "SLURM_NTASKS": "4"},
            Rank(5, 8),
        ),
    ],
)
def test_a_rank_is_told_by_torchrun_or_slurm(environ, found):
    assert Rank.from_environment(environ) == found


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, "the environment names no rank"),
        ({"RANK": "1"}, "WORLD_SIZE is None"),
        ({"RANK": "first", "WORLD_SIZE": "2"}, "RANK is 'first'"),
        ({"RANK": "2", "WORLD_SIZE": "2"}, "rank 2 of 2"),
        ({"SLURM_ARRAY_TASK_ID": "9", "SLURM_ARRAY_TASK_COUNT": "2"}, "not in an evenly spaced range"),
    ],
)
def test_what_is_no_rank_is_refused(environ, said):
    with pytest.raises(sc.JobError, match=said):
        Rank.from_environment(environ)


def test_ranks_share_units_without_gap_or_overlap_whatever_is_done_meanwhile():
    units = [0, 1, 3, 4, 5, 9]
    shares = [Rank(number, 3).share(units[number:]) for number in range(3)]
    assert sorted(unit for each in shares for unit in each) == units


@pytest.mark.parametrize(
    ("environ", "seen"),
    [
        ({}, {}),
        ({"LOCAL_RANK": "1"}, {"CUDA_VISIBLE_DEVICES": "1"}),
        ({"LOCAL_RANK": "1", "CUDA_VISIBLE_DEVICES": "4,6"}, {"CUDA_VISIBLE_DEVICES": "6"}),
        ({"SLURM_LOCALID": "3", "CUDA_VISIBLE_DEVICES": "2"}, {"CUDA_VISIBLE_DEVICES": "2"}),
    ],
)
def test_each_rank_of_a_node_has_a_gpu_of_its_own(environ, seen):
    assert visible_gpu(environ) == seen


def test_ranks_hold_a_store_together_and_nobody_else_does(tmp_path):
    place = tmp_path / "maps.zarr"
    with lock_store(place, shared=True) as one:
        with lock_store(place, shared=True) as two:
            assert is_locked(place)
            assert not two.is_last
        assert is_locked(place)
        with pytest.raises(sc.StoreError, match="another run"), lock_store(place):
            pass
        assert one.is_last
    assert not is_locked(place)
    assert list(tmp_path.iterdir()) == []


def test_a_rank_is_refused_while_another_kind_of_run_is_at_work(tmp_path):
    with (
        lock_store(tmp_path / "a"),
        pytest.raises(sc.StoreError, match="another run"),
        lock_store(tmp_path / "a", shared=True),
    ):
        pass


def test_a_rank_does_not_wait_for_ever(sections, tmp_path, monkeypatch):
    monkeypatch.setattr(ranks, "WAIT_SECONDS", 0.3)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    output = {"path": str(tmp_path / "maps.zarr")}
    with pytest.raises(sc.StoreError, match=r"rank 1 of 2 waited 0\.3 s for rank 0"):
        sc.Job(**sections, output=output, engine={"name": "rank"}).run()
    assert list(tmp_path.iterdir()) == []


# --- real runs -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def job_file(data):
    file = data / "engines.toml"
    file.write_text(
        """
        data = { path = "windows.npz", inputs = "x", labels = "y", names = "name", groups = "site.npy" }
        model = "job_networks:picky"
        output = "unused.zarr"
        [explain]
        method = ["grad-cam", "eigen-cam"]
        target = ["predicted", 1]
        [units]
        size = 8
        batch = 4
        """
    )
    return file


def words(job_file, place, name, *more):
    changes = [f"output.path={place}", f"engine.name={name}", *(f"engine.{each}" for each in more)]
    return ["run", str(job_file), *(part for each in changes for part in ("--set", each))]


def start(asked, **environ):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "RAY_"))}
    return subprocess.Popen(  # noqa: S603 - this very program
        [*SIGNALCAM, *asked],
        env={**clean, "PYTHONPATH": SOURCE, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(run):
    """Its exit status, and what it said."""
    out, said = run.communicate(timeout=LONG)
    return run.returncode, out, said


@pytest.fixture(scope="module")
def whole(job_file, tmp_path_factory):
    """The store of one process."""
    place = tmp_path_factory.mktemp("whole") / "maps.zarr"
    code, _, said = ended(start(words(job_file, place, "local")))
    assert code == 0, said
    return place


def same(one, two):
    arrays = [
        {
            name: np.asarray(each[...])
            for name, each in zarr.open_group(place, mode="r").members(max_depth=None)
            if isinstance(each, zarr.Array)
        }
        for place in (one, two)
    ]
    assert set(arrays[0]) == set(arrays[1])
    assert any(name.startswith("summary/") for name in arrays[0])
    for name, values in arrays[0].items():
        assert values.dtype.kind == "T" or values.tobytes() == arrays[1][name].tobytes(), name
        np.testing.assert_array_equal(values, arrays[1][name])


def test_two_ranks_side_by_side_give_the_same_bits(job_file, whole, tmp_path):
    place = tmp_path / "maps.zarr"
    runs = [start(words(job_file, place, "rank"), RANK=str(number), WORLD_SIZE="2") for number in (1, 0)]
    for run in runs:
        code, _, said = ended(run)
        assert code == 0, said
    same(whole, place)
    assert [each.name for each in tmp_path.iterdir()] == ["maps.zarr"]


def test_a_run_goes_on_with_another_engine(job_file, whole, tmp_path):
    place = tmp_path / "maps.zarr"
    first = start(words(job_file, place, "rank"), SLURM_ARRAY_TASK_ID="0", SLURM_ARRAY_TASK_COUNT="3")
    code, out, said = ended(first)
    assert code == 0, said
    assert "24 of 70 samples done" in out
    assert not (place / "summary").exists()
    begun = {unit: file.stat().st_mtime_ns for unit, file in JobStore.open(place).committed().items()}
    assert sorted(begun) == [0, 3, 6]
    code, out, said = ended(start(words(job_file, place, "local", "processes=2")))
    assert code == 0, said
    after = JobStore.open(place).committed()
    assert all(after[unit].stat().st_mtime_ns == when for unit, when in begun.items())
    same(whole, place)


def test_a_process_that_hangs_on_a_unit_is_replaced(sections, tmp_path):
    model = {
        "build": "job_networks:hanging",
        "arguments": {"once": str(tmp_path / "hung")},
        "class_names": ("N", "V", "F"),
    }
    output = str(tmp_path / "maps.zarr")
    job, log = sc.Job(**{**sections, "model": model}, output=output, engine={"timeout": 20}), tmp_path / "run.jsonl"
    job.run(log=log)
    assert (tmp_path / "hung").exists()
    assert (status(output).done, status(output).failed) == (70, 1)
    assert '"how": "took longer than engine.timeout"' in log.read_text()


def test_ray_is_an_extra(sections, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(sc.errors.MissingExtra, match=r"engine.name = 'ray' .* 'signalcam\[ray\]'"):
        sc.Job(**sections, output=str(tmp_path / "maps.zarr"), engine={"name": "ray"}).run()
    assert list(tmp_path.iterdir()) == []


def test_a_node_must_have_room_for_one_worker():
    asked = sc.Job(data="a", model="a:b", output="c", engine={"cpus": 2, "gpus": 1}).engine
    engine_ray._require_room(asked, [{"CPU": 1.0}, {"CPU": 4.0, "GPU": 1.0}])
    with pytest.raises(sc.JobError, match=r"no node of Ray has .* they have 1 and 0, 8 and 0\."):
        engine_ray._require_room(asked, [{"CPU": 1.0}, {"CPU": 8.0}])


# --- Ray, on loopback alone ----------------------------------------------------------------------------


def loopback(*words, **how):
    return subprocess.run(  # noqa: S603 - this very program
        [sys.executable, "-m", "benchmarks.loopback", *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": SOURCE},
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
        **how,
    )


@pytest.fixture(scope="module")
def on_loopback():
    """Run there; where a machine allows no such place, there is no test of Ray."""
    pytest.importorskip("ray")
    reason = loopback().stdout.strip()
    if reason:
        pytest.skip(reason)
    return loopback


EACH = """
import json, os, subprocess, sys, time
found = []
for words, environ in json.loads(sys.argv[1]):
    begun = time.monotonic()
    here = {name: value for name, value in {**os.environ, **environ}.items() if value is not None}
    run = subprocess.run(words, env=here, capture_output=True, text=True)
    found.append([run.returncode, run.stdout, run.stderr, time.monotonic() - begun])
print(json.dumps(found))
"""


LEFT = """
import os, time
from pathlib import Path
from benchmarks.loopback import MARK, marked

def rays():
    mine = (Path(f"/proc/{each}/cmdline") for each in marked(f"{MARK}={os.environ[MARK]}"))
    first = [each.read_bytes().split(b"\\0")[0] for each in mine if each.exists()]
    return [each for each in first if each.endswith((b"/raylet", b"/gcs_server"))]

limit = time.monotonic() + 120
while rays() and time.monotonic() < limit:
    time.sleep(0.1)
print(rays() or "none")
"""


def told(ran):
    """What became of each command."""
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


def test_a_cluster_goes_on_with_what_a_rank_began_and_lets_in_only_who_has_its_token(
    on_loopback, job_file, whole, tmp_path
):
    place, bad = tmp_path / "maps.zarr", tmp_path / "token"
    bad.write_text("0" * 64)
    ray = words(job_file, place, "ray", "address=127.0.0.1:6379", "processes=2")
    each = [
        (words(job_file, place, "rank"), {"RANK": "0", "WORLD_SIZE": "2"}),
        (ray, {"RAY_AUTH_TOKEN_PATH": str(bad), "RAY_NUM_REDIS_GET_RETRIES": "5"}),
        ([*ray, "--set", "engine.gpus=1"], {}),
        ([*ray, "--set", "engine.address=auto"], {"RAY_ADDRESS": "127.0.0.1:6379", "HOME": None}),
    ]
    asked = json.dumps([([*SIGNALCAM, *said], environ) for said, environ in each])
    began, stranger, greedy, done = told(on_loopback("--cluster", sys.executable, "-c", EACH, asked))
    assert began[0] == 0, began
    for refused, said in (
        (stranger, "Set the cluster's token"),
        (greedy, "no node of Ray has engine.cpus = 1 and engine.gpus = 1"),
    ):
        assert refused[0] == 2, refused
        assert said in refused[2]
        assert len(refused[2].strip().splitlines()) == 1, refused[2]
    assert done[0] == 0, done
    assert done[2] == ""
    same(whole, place)


def test_a_ray_of_its_own_is_started_and_ends_and_nothing_answers_elsewhere(on_loopback, job_file, whole, tmp_path):
    place = tmp_path / "maps.zarr"
    log, against = tmp_path / "run.jsonl", tmp_path / "against.zarr"
    (job_file.parent / "against_all.py").write_text(
        "import job_networks\n"
        "def build():\n"
        "    network = job_networks.picky()\n"
        "    network[-1].weight.data.abs_().neg_()\n"  # speaks against every class
        "    return network\n"
    )
    each = [
        words(job_file, place, "ray", "address=127.0.0.1:6399"),
        words(job_file, place, "ray", "address=auto"),
        words(job_file, place, "ray"),
        [*words(job_file, against, "ray"), "--set", "model.build=against_all:build", "--log", str(log)],
    ]
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp") as short:  # paths of sockets must be
        asked = [([*SIGNALCAM, *said], {"RAY_TMPDIR": short}) for said in each]
        asked += [([sys.executable, "-c", LEFT], {})]
        nobody, none, done, warned, left = told(on_loopback(sys.executable, "-c", EACH, json.dumps(asked)))
    assert left[:2] == [0, "none\n"], left
    for refused, said in ((nobody, "no Ray answers at 127.0.0.1:6399"), (none, "no Ray is found")):
        assert refused[0] == 2, refused
        assert said in refused[2]
        assert len(refused[2].strip().splitlines()) == 1, refused[2]
    assert done[0] == 0, done
    assert done[2] == ""
    same(whole, place)
    assert warned[0] == 0, warned
    said = [json.loads(line) for line in log.read_text().splitlines()]
    of_batches = [each for each in said if each["event"] == "warning"]
    assert of_batches
    assert all(0 <= each["first"] <= each["last"] < 70 for each in of_batches)
    assert {each["pid"] for each in of_batches}.isdisjoint({said[0]["pid"]})  # told by a worker


def test_kills_of_workers_drivers_and_nodes_change_no_bit(on_loopback):
    found = subprocess.run(
        [sys.executable, "-m", "benchmarks.faults", "--kills", "3", "--seed", "9", "--engine", "ray"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": SOURCE},
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert "arrays that differ: none; processes left: none" in found.stdout
