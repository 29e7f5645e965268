"""How quickly ``signalcam view`` answers on a day of recording and on 100,000 windows, and what it holds in memory.

``python -m benchmarks.viewer`` makes both stores in a temporary folder (1 GB), views each as a user would, and asks
what a page asks: ``GET /``, the whole of the first sample, random stretches, other samples, the table.
"""

from __future__ import annotations

import http.client
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import numpy as np

import signalcam as sc
from signalcam.alignment.resampling import AxisGrid
from signalcam.results.layer_maps import LayerMaps

HOURS, RATE, CHANNELS, STRIDE = 24, 250, 2, 16
WINDOWS, LONG = 100_000, 1000
CELLS = LONG // STRIDE
ASKED = 30  # of each kind


def signal(rng: np.random.Generator, length: int) -> np.ndarray:
    """Something with beats, drift and noise, which does not compress well."""
    t = np.arange(length) / RATE
    beats = np.exp(-((((t * 1.2) % 1) - 0.3) ** 2) * 800)
    drift = 0.2 * np.sin(t / 7)
    return (beats + drift + 0.03 * rng.standard_normal(length)).astype(np.float32)


def result(record: np.ndarray, cells: int, rng: np.random.Generator, **more: object) -> sc.Explanation:
    """A result with one map a sample, rough as real ones are."""
    samples, _, length = record.shape
    values = np.abs(rng.standard_normal((samples, 1, 1, cells))).astype(np.float32)
    grid = (AxisGrid(2, cells, length, STRIDE / 2, float(STRIDE), 40.0, probed=True),)
    return sc.Explanation(
        layers=(LayerMaps("conv4", values, grid),),
        targets=("AF",),
        methods=("grad-cam",),
        layout=sc.Layout("batch channel time", sampling_rate=RATE, channel_names=["I", "II"], units="mV"),
        input=record,
        scores=np.full((samples, 1), np.nan),
        target_classes=np.ones((samples, 1), int),
        class_names=("N", "AF"),
        provenance={"model": "by hand", "score": "logit"},
        **more,
    )


def day(path: Path) -> None:
    """A day of two channels."""
    rng = np.random.default_rng(0)
    length = HOURS * 3600 * RATE
    record = np.stack([signal(rng, length) for _ in range(CHANNELS)])[None]
    result(record, length // STRIDE, rng, sample_names=("day",)).save(path)


def windows(path: Path) -> None:
    """Many short windows, with classes and labels."""
    rng = np.random.default_rng(0)
    line = signal(rng, 2 * LONG * CHANNELS * 1000)
    starts = rng.integers(0, len(line) - LONG, (WINDOWS, CHANNELS))
    record = np.stack([line[row[:, None] + np.arange(LONG)] for row in starts])
    sure = rng.random(WINDOWS).astype(np.float32)
    said = {"probabilities": np.stack([1 - sure, sure], 1), "classes": (sure > 0.5).astype(int)}
    labels = rng.integers(0, 2, WINDOWS)
    result(record, CELLS, rng, sample_names=tuple(range(WINDOWS)), true_classes=labels, **said).save(path)


@contextmanager
def viewing(path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """View a store from the command line."""
    command = [sys.executable, "-m", "signalcam.cli", "view", str(path), "--no-open"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        said = process.stdout.readline() if process.stdout else ""
        try:
            yield process, next(word for word in said.split() if word.startswith("http"))
        finally:
            process.terminate()


class Page:
    """Asks what a page asks."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.connection = http.client.HTTPConnection(parts.netloc)
        self.cookie = ""
        self.cookie = self.get(f"/?{parts.query}")[0].getheader("Set-Cookie", "").split(";")[0]
        self.root = self.get("/")[0].getheader("Location")

    def get(self, path: str) -> tuple[http.client.HTTPResponse, bytes]:
        """Send one request."""
        self.connection.request("GET", path, headers={"Cookie": self.cookie} if self.cookie else {})
        answer = self.connection.getresponse()
        return answer, answer.read()

    def ask(self, what: str, **query: object) -> dict:
        """Ask for numbers."""
        answer, body = self.get(f"{self.root}{what}?{urlencode(query)}")
        if answer.status != 200:
            raise RuntimeError(body.decode())
        return json.loads(body)

    def tile(self, begin: float, end: float, sample: int = 0) -> float:
        """Milliseconds that the slowest answer takes until a stretch is whole."""
        chosen = {"sample": sample, "target": 0, "method": 0, "layer": 0, "columns": 1200}
        slowest, done = 0.0, 0.0
        while done < 1:
            start = time.perf_counter()
            done = self.ask("tile", **chosen, **{"from": begin, "to": end})["done"]
            slowest = max(slowest, 1000 * (time.perf_counter() - start))
        return slowest


def _processor(process: subprocess.Popen[str]) -> float:
    """Seconds that a process has computed: what a busy machine does not change much."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak(process: subprocess.Popen[str]) -> float:
    """The most memory that a process held, in MB."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1000


def measured(path: Path, samples: int, seconds: float) -> dict[str, str]:
    """View a store and ask."""
    rng, began = np.random.default_rng(1), time.perf_counter()
    with viewing(path) as (process, url):
        page = Page(url)
        page.get(page.root)
        opened, busy = time.perf_counter() - began, _processor(process)
        slowest = page.tile(0, seconds)
        whole = time.perf_counter() - began
        rows = {
            "page there": f"{opened:.2f} s, of which the processor worked {busy:.2f}",
            "first sample drawn": f"{whole:.2f} s, of which the processor worked {_processor(process):.2f}",
        }
        rows["slowest answer until then"] = f"{slowest:.0f} ms"
        for width in (seconds, 3600, 60, 10, 2):
            if width <= seconds:
                times = []
                for number in rng.integers(samples, size=ASKED).tolist():
                    start = rng.uniform(0, seconds - width)
                    times.append(page.tile(start, start + width, number))
                rows[f"{width:g} s shown"] = _spread(times)
        for name, query in {
            "table": {"sort": "number"},
            "table, sorted by name": {"sort": "name", "text": "7"},
        }.items():
            times = []
            for offset in range(0, 10 * 50, 50):
                start = time.perf_counter()
                page.ask("samples", offset=min(offset, samples), limit=50, descending="", **query)
                times.append(1000 * (time.perf_counter() - start))
            rows[name] = _spread(times)
        rows["memory"] = f"{peak(process):.0f} MB"
    return rows


def _spread(times: list[float]) -> str:
    return f"{np.median(times):.0f} ms, at most {max(times):.0f}"


def main() -> None:
    """Make both, measure both, print a table."""
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, SignalCAM {sc.__version__}"
    )
    with tempfile.TemporaryDirectory() as folder:
        stores = {"a day": (day, 1, HOURS * 3600), "100,000 windows": (windows, WINDOWS, LONG / RATE)}
        for name, (make, samples, seconds) in stores.items():
            path = Path(folder) / f"{make.__name__}.zarr"
            make(path)
            held = sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
            print(f"\n{name} ({held / 1e6:.0f} MB on disk)")
            for what, found in measured(path, samples, seconds).items():
                print(f"  {what:<28} {found}")


if __name__ == "__main__":
    main()
