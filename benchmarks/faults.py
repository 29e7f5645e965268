"""Kill the processes of a job at random, again and again; then look whether a single bit differs.

    python -m benchmarks.faults --kills 50
    python -m benchmarks.faults --kills 50 --engine ray

A small real job runs once undisturbed, on processes. Then the same job runs with ``kill -9`` of its driver or of a worker
at seeded random moments (while they start, compute, or write), and the same command after each death of the driver.
On Ray there are two nodes, on loopback alone; the second is killed, too, and another one started.
At the end every array of the two stores is compared, byte by byte, and nothing may still be running.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import xarray as xr
import zarr

import signalcam
from benchmarks import loopback
from signalcam.jobs.store import JobStore

SIZE, UNIT = 64, 32  # values a window, windows a unit
PER_KILL = {
    "local": (6, 0),
    "ray": (15, 60),
}  # units a kill, and before the first: on Ray some workers go on
NETWORK = """
import time
import torch

class Slow(torch.nn.Module):
    def forward(self, x):
        time.sleep(0.05)
        return x

def build():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        Slow(), torch.nn.Conv1d(2, 8, 7), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool1d(1), torch.nn.Flatten(),
        torch.nn.Linear(8, 3),
    )
"""
JOB = f"""
[data]
path = "windows.npz"
inputs = "x"
labels = "y"
[model]
build = "slow_network:build"
[explain]
method = ["grad-cam", "hires-cam"]
target = ["predicted", 0]
[units]
size = {UNIT}
batch = 16
[output]
path = "kept.zarr"
[engine]
processes = 2
"""


ON_RAY = ("name=ray", f"address={loopback.ADDRESS}", "processes=3")


@dataclass
class Torment:
    """A job in a folder, and what was done to it."""

    folder: Path
    rng: np.random.Generator
    cluster: loopback.Cluster | None = None
    coming: Future[int] | None = None
    drivers: int = 0
    workers: int = 0
    nodes: int = 0
    starts: int = 0
    seen: set[int] = field(default_factory=set)
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))

    @property
    def kills(self) -> int:
        """How many processes were killed."""
        return self.drivers + self.workers + self.nodes

    def start(self, output: str) -> subprocess.Popen[bytes]:
        """Run the job, or go on with it."""
        self.starts += 1
        command = [
            sys.executable,
            "-m",
            "signalcam.cli",
            "run",
            "job.toml",
            "--set",
            f"output.path={output}",
        ]
        here = {**os.environ, "PYTHONPATH": str(Path(signalcam.__file__).parents[1])}
        if self.cluster is not None and output == "torn.zarr":
            here = self.cluster.environment | {"PYTHONPATH": here["PYTHONPATH"]}
            for change in ON_RAY:
                command += ["--set", f"engine.{change}"]
        return subprocess.Popen(command, cwd=self.folder, env=here, stdout=subprocess.DEVNULL)

    def go(self, kills: int) -> None:
        """Run the job to its end, through so many kills."""
        driver = self.start("torn.zarr")
        while self.kills < kills:
            if self.committed() == self.units:
                message = f"the job was done after {self.kills} kills; give it more units"
                raise SystemExit(message)
            if driver.poll() is not None:
                driver = self.start("torn.zarr")
            self.wait(driver)
            self.kill(driver)
        while driver.wait() or self.committed() < self.units:
            driver = self.start("torn.zarr")

    def wait(self, driver: subprocess.Popen[bytes]) -> None:
        """Wait for a random moment: a while, or some commits and a fraction of a unit."""
        goal = self.committed() + int(self.rng.integers(1, 4))
        end = time.monotonic() + float(self.rng.uniform(0, 3))
        if self.rng.random() < 0.8:
            while self.committed() < goal and driver.poll() is None:
                time.sleep(0.01)
            end = time.monotonic() + float(self.rng.uniform(0, 0.3))
        while time.monotonic() < end and driver.poll() is None:
            time.sleep(0.005)

    def kill(self, driver: subprocess.Popen[bytes]) -> None:
        """Kill the driver, one of its workers, or a node."""
        workers = children(driver.pid) if self.cluster is None else actors()
        self.seen |= set(workers)
        chance = self.rng.random()
        if self.coming is not None and self.coming.done() and chance > 0.85:
            self.cluster.kill(self.coming.result())
            self.nodes += 1
            self.coming = self.pool.submit(self.cluster.add)  # meanwhile others go on
        elif workers and chance < 0.7:
            self.workers += destroyed(workers[int(self.rng.integers(len(workers)))])
        else:
            self.drivers += destroyed(driver.pid)
            driver.wait()

    @property
    def units(self) -> int:
        """How many units the job has."""
        with np.load(self.folder / "windows.npz") as data:
            return -(-len(data["y"]) // UNIT)

    def committed(self) -> int:
        """How many units are done."""
        place = self.folder / "torn.zarr"
        return len(JobStore.open(place).status()) if place.is_dir() else 0

    def orphans(self) -> list[int]:
        """The workers that are still there, a little later."""
        end = time.monotonic() + 60
        while (left := [each for each in self.seen if is_ours(each)]) and time.monotonic() < end:
            time.sleep(0.1)
        return left


def children(process: int) -> list[int]:
    """The workers that a process started."""
    every = [int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit()]
    return [each for each in every if parent(each) == process and is_ours(each)]


def actors() -> list[int]:
    """The workers of a job in this place's cluster."""
    mine = loopback.marked(f"{loopback.MARK}={os.environ[loopback.MARK]}")
    return [each for each in mine if is_ours(each)]


def parent(process: int) -> int:
    """Who started a process; -1 where it is gone."""
    try:
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return -1


def destroyed(process: int) -> bool:
    """Kill a process; whether it was still there."""
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def is_ours(process: int) -> bool:
    """Whether a worker still runs under that number."""
    try:
        said = Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return False
    return b"signalcam.jobs.worker_protocol" in said or b"SignalCamWorker" in said


def prepare(folder: Path, units: int) -> None:
    """Write the data, the network and the job."""
    rng = np.random.default_rng(1)
    count = units * UNIT - 5  # the last unit is not full
    x = rng.normal(size=(count, 2, SIZE)).astype("float32")
    x[7] = np.nan
    np.savez(folder / "windows.npz", x=x, y=rng.integers(0, 3, count))
    (folder / "slow_network.py").write_text(NETWORK)
    (folder / "job.toml").write_text(JOB)


def differences(one: Path, two: Path) -> list[str]:
    """The arrays that are not the same to the last bit."""
    named = [
        (name, np.asarray(array[...]))
        for name, array in zarr.open_group(one, mode="r").members(max_depth=None)
        if isinstance(array, zarr.Array)
    ]
    other = zarr.open_group(two, mode="r")
    assert len(named) > 20, "the stores hold less than a job does"  # noqa: S101 - or nothing was compared
    return [name for name, values in named if not same(values, np.asarray(other[name][...]))]


def same(one: np.ndarray, two: np.ndarray) -> bool:
    """Whether two arrays are the same, bit by bit."""
    plain = one.dtype.kind not in "OT"
    return one.dtype == two.dtype and (one.tobytes() == two.tobytes() if plain else one.tolist() == two.tolist())


def main() -> None:
    """Run it, print what was found, and fail where a bit differs or a process is left."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--engine", choices=("local", "ray"), default="local")
    asked = parser.parse_args()
    if asked.engine == "ray" and loopback.MARK not in os.environ:
        raise SystemExit(loopback.run(sys.executable, "-m", "benchmarks.faults", *sys.argv[1:]))
    cluster = loopback.Cluster() if asked.engine == "ray" else nullcontext()
    with tempfile.TemporaryDirectory() as name, cluster as nodes:
        measure(Torment(Path(name), np.random.default_rng(asked.seed), nodes), asked.kills)


def measure(torment: Torment, kills: int) -> None:
    """Run the job undisturbed, and with kills; compare."""
    each, first = PER_KILL["local" if torment.cluster is None else "ray"]
    units = each * kills + first
    prepare(torment.folder, units)
    begun = time.monotonic()
    if torment.start("calm.zarr").wait():
        raise SystemExit("the undisturbed run failed")
    calm, torment.starts = time.monotonic() - begun, 0
    if torment.cluster is not None:
        torment.coming = torment.pool.submit(torment.cluster.add)
        torment.coming.result()
    begun = time.monotonic()
    torment.go(kills)
    torn = time.monotonic() - begun
    torment.pool.shutdown()
    found, left = differences(torment.folder / "calm.zarr", torment.folder / "torn.zarr"), torment.orphans()
    done = xr.open_zarr(torment.folder / "torn.zarr").sizes["sample"]
    print(f"{done} samples in {units} units; undisturbed {calm:.0f} s, with kills {torn:.0f} s")
    print(
        f"{torment.workers} workers, {torment.drivers} drivers and {torment.nodes} nodes killed; the command was given {torment.starts} times"
    )
    print(f"arrays that differ: {found or 'none'}; processes left: {left or 'none'}")
    if found or left:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
