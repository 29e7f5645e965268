"""What a job costs beside bare loops, whether its memory grows, and how it grows with the data.

    python -m benchmarks.jobs --only throughput      # or memory, growth; all three without it
    python -m benchmarks.jobs --only growth --most 1000000
    CUDA_VISIBLE_DEVICES=0 python -m benchmarks.jobs --only gpu      # throughput, with the network on a GPU

Windows of 2 x 250 random numbers in a Zarr array, a convolutional network, one thread for it, one process. Markdown
tables are printed. Memory is what ``/proc`` says of the driver and its worker while they run. Numbers from ten million
on are computed from those measured, by the formulas that are printed with them.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr

import signalcam as sc
from signalcam.jobs import aggregate, status, summary
from signalcam.jobs.config_sections import UnitsSection
from signalcam.jobs.model_loading import autocast_context
from signalcam.jobs.progress import list_commits
from signalcam.jobs.store import JobStore
from signalcam.jobs.worker import Worker

CHANNELS, LENGTH, BATCH, CLASSES = 2, 250, 32, 3
WINDOWS, ROUNDS = 16_384, 3  # of throughput
ON_GPU = {"batch": 512, "windows": 262_144, "rounds": 2}
NETWORKS = """
import torch
from torch import nn

def build(width=16, blocks=3):
    torch.manual_seed(0)
    layers, before = [], 2
    for _ in range(blocks):
        layers += [nn.Conv1d(before, width, 7, padding=3), nn.ReLU()]
        before = width
    layers.insert(2, nn.MaxPool1d(4))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(width, 3))
"""
SIZES = {"small (3 layers of 16)": {}, "larger (8 layers of 64)": {"width": 64, "blocks": 8}}
"""What the networks are called, and how they are built."""
FOR_GPU = {**SIZES, "deep (16 layers of 256)": {"width": 256, "blocks": 16}}


def make_data(folder: Path, count: int, batch: int = BATCH) -> None:
    """Write windows and labels, in shards, and the networks."""
    rng = np.random.default_rng(0)
    group = zarr.create_group(folder / "windows.zarr", overwrite=True)
    shape, shard = (CHANNELS, LENGTH), 8192
    x = group.create_array(
        "x",
        shape=(count, *shape),
        chunks=(batch, *shape),
        shards=(shard, *shape),
        dtype="f4",
        compressors=None,
    )
    for start in range(0, count, shard):
        some = min(shard, count - start)
        x[start : start + some] = rng.normal(size=(some, *shape)).astype(np.float32)
    group.create_array("y", data=rng.integers(0, CLASSES, count), chunks=(count,))
    (folder / "job_networks.py").write_text(NETWORKS)


def job_of(
    folder: Path, output: str, arguments: dict[str, int], batch: int = BATCH, processes: int = 1, **model: Any
) -> sc.Job:
    """The job that is measured."""
    return sc.Job(
        data={"path": "windows.zarr", "inputs": "x", "labels": "y"},
        model={"build": "job_networks:build", "arguments": arguments, **model},
        layout={"dims": "batch channel time"},
        units={"batch": batch},
        engine={"processes": processes},
        output=output,
        folder=folder,
    )


# --- throughput ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bare:
    """The parts of a job, each in a loop of its own, in this thread."""

    worker: Worker

    def batches(self) -> Iterator[Any]:
        """Read all windows."""
        batch, count = self.worker.job.units.batch, len(self.worker.reader)
        for start in range(0, count, batch):
            yield self.worker.reader.read(range(start, start + batch))

    def read(self) -> None:
        """Read, and do nothing else."""
        for _ in self.batches():
            pass

    @torch.no_grad()
    def infer(self, model: Any = None) -> None:
        """Read, and ask the network."""
        asked, device = model or self.worker.model, self.worker.job.model.device
        with autocast_context(self.worker.job):
            for batch in self.batches():
                asked(torch.from_numpy(batch.inputs).to(device, non_blocking=True))
        if device == "cuda":
            torch.cuda.synchronize()

    def explain(self) -> None:
        """Read and explain, and keep nothing."""
        with autocast_context(self.worker.job):
            for batch in self.batches():
                self.worker.explainer(batch.inputs, labels=batch.labels)


def table(head: list[str], rows: list[list[Any]]) -> str:
    """Rows as Markdown shows them."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, each))} |" for each in lines) + "\n"


def seconds(call: Callable[[], object]) -> float:
    """How long something takes."""
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def throughput(folder: Path) -> None:
    """A job beside bare loops over the same reader, in turns, the best of each."""
    make_data(folder, WINDOWS)
    rows, parts = [], []
    for name, arguments in SIZES.items():
        job = job_of(folder, "unused.zarr", arguments)
        bare = Bare(Worker(job))
        bare.worker.explainer(next(bare.batches()).inputs)
        best: dict[str, float] = {}
        for number in range(ROUNDS):
            store = f"{name[0]}{number}.zarr"
            job_of(folder, store, arguments).run()
            known = {
                "job": WINDOWS / status(folder / store).per_second,
                "read": seconds(bare.read),
                "infer": seconds(bare.infer),
                "explain": seconds(bare.explain),
                "write": writing(JobStore.open(folder / store)),
            }
            best = {each: min(least, best.get(each, least)) for each, least in known.items()}
        rate = {each: WINDOWS / took for each, took in best.items()}
        rows.append(
            [
                name,
                *(f"{rate[each]:.0f}" for each in ("infer", "explain", "job")),
                f"{rate['job'] / rate['explain']:.2f}",
                f"{rate['job'] / rate['infer']:.2f}",
            ]
        )
        alone = [best["read"], best["explain"] - best["read"], best["write"]]
        whole = sum(alone)
        parts.append(
            [
                name,
                *(f"{each / WINDOWS * 1e6:.0f} ({each / whole:.0%})" for each in alone),
                f"{whole / WINDOWS * 1e6:.0f}",
                f"{best['job'] / WINDOWS * 1e6:.0f}",
            ]
        )
    print(
        table(
            ["network", "bare inference / s", "bare explaining / s", "job / s", "job : explaining", "job : inference"],
            rows,
        )
    )
    print(table(["microseconds a window", "read", "explain", "sum up and write", "one after another", "job"], parts))


def on_gpu(folder: Path) -> None:
    """The same with the network on a GPU, in either precision, by one process and by several."""
    make_data(folder, ON_GPU["windows"], ON_GPU["batch"])
    print(f"{torch.cuda.get_device_name()}, {os.cpu_count()} processors, batches of {ON_GPU['batch']}")
    rows = [
        [
            name,
            dtype or "float32",
            *_rates(folder, arguments, {"device": "cuda", "autocast": dtype}),
        ]
        for name, arguments in FOR_GPU.items()
        for dtype in (None, "bfloat16")
    ]
    head = [
        "bare inference",
        "compiled inference",
        "bare explaining",
        "job",
        "job, 4 processes",
        "job : explaining",
        "job : inference",
        "4 processes : inference",
    ]
    print(table(["network", "precision", *head], rows))


def _rates(folder: Path, arguments: dict[str, int], model: dict[str, Any]) -> list[str]:
    """Windows a second by each way, and ratios."""
    batch = ON_GPU["batch"]
    bare = Bare(Worker(job_of(folder, "unused.zarr", arguments, batch, **model)))
    compiled = torch.compile(bare.worker.model)
    first = next(bare.batches()).inputs
    bare.worker.explainer(first)
    with torch.no_grad(), autocast_context(bare.worker.job):
        compiled(torch.from_numpy(first).cuda())
    rate: dict[str, float] = {}
    for number in range(ON_GPU["rounds"]):
        ways = {"infer": bare.infer, "compiled": partial(bare.infer, compiled), "explain": bare.explain}
        known = {name: ON_GPU["windows"] / seconds(way) for name, way in ways.items()}
        for processes in (1, 4):
            store = f"{len(list(folder.iterdir()))}-{number}.zarr"
            job_of(folder, store, arguments, batch, processes, **model).run()
            known[f"job {processes}"] = pace(JobStore.open(folder / store))
        rate = {each: max(most, rate.get(each, most)) for each, most in known.items()}
    ratios = [rate["job 1"] / rate["explain"], rate["job 1"] / rate["infer"], rate["job 4"] / rate["infer"]]
    return [*(f"{each:.0f}" for each in rate.values()), *(f"{each:.2f}" for each in ratios)]


def pace(archive: JobStore) -> float:
    """Windows a second from a job's first commit to its last."""
    first, *others = sorted(list_commits(archive, set()))
    return sum(archive.count(units) for _, _, units in others) / (others[-1][0] - first[0])


def writing(archive: JobStore) -> float:
    """Seconds to sum up and commit as many rows as all windows have, with those of the first unit."""
    unit = archive.rows(0)
    rows = {name: archive.array(name)[unit.start : unit.stop] for name in archive.by_sample}

    def commit() -> None:
        archive.commit(0, rows, aggregate.unit_sums(archive.about, rows), 0)

    return min(seconds(commit) for _ in range(5)) * WINDOWS / len(unit)


# --- memory and growth ---------------------------------------------------------------------------


def memory(process: int, what: str = "VmRSS") -> float:
    """The megabytes that ``/proc`` tells of a process; 0 where it is gone."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(each.split()[1]) / 1024 for each in lines if each.startswith(what)), 0.0)


def children(process: int) -> list[int]:
    """The processes that one started."""
    try:
        return [int(each) for each in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except OSError:
        return []


@dataclass(frozen=True)
class Seen:
    """A job at one moment: samples done, megabytes of the driver and of its worker, and the most so far."""

    done: int
    driver: float
    worker: float
    most_driver: float
    most_worker: float


def watched(folder: Path, output: str, every: float) -> tuple[float, list[Seen]]:
    """Run a job from the command line, and look at it again and again."""
    (folder / "job.toml").write_text(
        f"""
        data = {{ path = "windows.zarr", inputs = "x", labels = "y" }}
        model = "job_networks:build"
        layout = {{ dims = "batch channel time" }}
        units = {{ batch = {BATCH} }}
        output = "{output}"
        """
    )
    here = {**os.environ, "PYTHONPATH": str(Path(sc.__file__).parents[1])}
    begun = time.perf_counter()
    run = subprocess.Popen(
        [sys.executable, "-m", "signalcam.cli", "run", "job.toml"],
        cwd=folder,
        env=here,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    seen = []
    while run.poll() is None:
        time.sleep(every)
        workers = children(run.pid)
        if workers and (folder / output).is_dir():
            done = status(folder / output).done
            told = [memory(each, what) for what in ("VmRSS", "VmHWM") for each in (run.pid, workers[0])]
            seen.append(Seen(done, *told))
    if run.returncode:
        message = f"the job of {output} failed"
        raise SystemExit(message)
    return time.perf_counter() - begun, [each for each in seen if each.driver and each.worker]


def over_time(folder: Path, most: int) -> None:
    """The memory of driver and worker while a job goes on."""
    make_data(folder, most)
    took, seen = watched(folder, "long.zarr", every=0.5)
    tenths = [[each for each in seen if tenth <= 10 * each.done / most < tenth + 1] for tenth in range(10)]
    rows = []
    for number, some in enumerate(tenths):
        means = [np.mean([getattr(each, who) for each in some]) if some else np.nan for who in ("driver", "worker")]
        rows.append([f"{10 * number} % to {10 * number + 10} %", *(f"{each:.1f}" for each in means), len(some)])
    print(f"{most} windows, {took:.0f} s")
    print(table(["done", "driver, MB", "worker, MB", "looked at"], rows))
    for who in ("driver", "worker"):
        first, last = (np.mean([getattr(each, who) for each in tenths[i]]) for i in (1, 9))
        print(f"{who}: {last / first - 1:+.1%} from the second tenth to the last")


def growth(folder: Path, most: int) -> None:
    """Jobs of ten times more windows each, and what these would be for many more."""
    rows = []
    count = 1000
    while count <= most:
        make_data(folder, count)
        took, seen = watched(folder, f"of-{count}.zarr", every=0.2)
        place = folder / f"of-{count}.zarr"
        files = [each.stat().st_size for each in place.rglob("*") if each.is_file()]
        archive, rate = JobStore.open(place), status(place).per_second
        looked = [seconds(partial(look, place)) for look in (status, summary, sc.load)]
        peak = [max(getattr(each, who) for each in seen) for who in ("most_driver", "most_worker")]
        rows.append(
            [
                f"{count:,}",
                f"{archive.units} of {archive.size}",
                f"{took:.0f} s",
                f"{rate:.0f}",
                size(sum(files)),
                f"{len(files):,}",
                *(f"{each:.0f}" for each in peak),
                *(f"{each * 1000:.0f}" for each in looked),
            ]
        )
        count *= 10
    head = [
        "windows",
        "units",
        "time",
        "a second, at last",
        "disk",
        "files",
        "driver, MB",
        "worker, MB",
        "`status`, ms",
        "`summary`, ms",
        "`sc.load`, ms",
    ]
    print(table(head, rows))
    print(f"status of a store made up of 100,000 units, all done: {made_up(folder, archive, 100_000):.2f} s")
    computed(folder, archive, rate, peak, sum(files) / archive.samples)


def size(count: float) -> str:
    """Bytes in the unit that suits them."""
    unit = min(3, int(np.log10(count)) // 3)
    return f"{count / 1000**unit:.3g} {('B', 'kB', 'MB', 'GB')[unit]}" if count < 1e12 else f"{count / 1e12:.3g} TB"


def made_up(folder: Path, like: JobStore, units: int) -> float:
    """Seconds to look at a store that many units were put together in."""
    about = {**like.about, "samples": units * like.size}
    archive = JobStore(folder / f"made-up-{units}.zarr", about)
    archive.make()
    for block in range(archive.blocks):
        file = archive.status_of(block)
        file.parent.mkdir(parents=True)
        file.write_bytes(np.ones(archive.block, "<u4").tobytes())
    for unit in range(archive.blocks * archive.block, units):
        archive.array("unit/status")[unit] = 1
    known: list[int] = []
    took = min(seconds(lambda: known.append(status(archive.place).done)) for _ in range(3))
    assert known[0] == about["samples"], "the status is wrong"  # noqa: S101 - or nothing was measured
    return took


def computed(folder: Path, archive: JobStore, rate: float, peak: list[float], each: float) -> None:
    """The same for more windows than were run."""
    row = sum(np.prod(kept.shape[1:]) * 8 for kept in archive.by_sample.values())
    rows = []
    for count in (10**7, 10**8, 10**9):
        unit = UnitsSection(batch=BATCH).size_for(count)
        units = -(-count // unit)
        blocks, rest = divmod(units, archive.block)
        files = units * len(archive.by_sample) + (blocks + rest) * (len(archive.by_unit) + 1)
        worker = peak[1] + 2 * row * (unit - archive.size) / 1e6
        looked = made_up(
            folder,
            JobStore(
                archive.place,
                {**archive.about, "job": {**archive.about["job"], "units": {"size": unit, "batch": BATCH}}},
            ),
            units,
        )
        rows.append(
            [
                f"{count:,}",
                f"{units:,} of {unit}",
                f"{count / rate / 3600:.1f} h",
                size(each * count),
                f"{files:,}",
                f"{peak[0]:.0f} + {units * 200 / 1e6:.0f}",
                f"{worker:.0f}",
                f"{looked * 1000:.0f}",
            ]
        )
    print(table(["windows", "units", "time", "disk", "files", "driver, MB", "worker, MB", "`status`, ms"], rows))
    print(
        f"""
Computed: time = windows / {rate:.0f}, one process. Disk = windows x {each:.0f} bytes. Files = units x {len(archive.by_sample)} arrays with a row
a sample + (blocks of {archive.block} units + the units after these) x {len(archive.by_unit) + 1}. Driver = as measured + 200 bytes a unit, for what is known of each.
Worker = as measured + 2 units x {row:.0f} bytes a window beyond units of {archive.size}. `status` was measured on stores made up of as many units."""
    )


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("throughput", "memory", "growth", "gpu"))
    parser.add_argument("--most", type=int, help="windows: of memory (300000), of growth (100000)")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    parts = {
        "throughput": throughput,
        "memory": lambda folder: over_time(folder, asked.most or 300_000),
        "growth": lambda folder: growth(folder, asked.most or 100_000),
    }
    if asked.only == "gpu":
        parts = {"gpu": on_gpu}
    for name, part in parts.items():
        if asked.only in (None, name):
            print(f"## {name}\n")
            with tempfile.TemporaryDirectory() as place:
                part(Path(place))
            print()


if __name__ == "__main__":
    main()
