"""Measure everything, print it, and write it into ``benchmarks/README.md``.

Run as ``python -m benchmarks.run`` in the environment of ``requirements.txt``; ``--quick`` measures tiny
networks in under a minute, to see that it works, and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.measure import GIVE_BACK, KEEP

HERE = Path(__file__).parent
BEGIN, END = "<!-- results: written by benchmarks/run.py -->", "<!-- end of results -->"
NETWORKS = ("1-D", "2-D", "3-D")
LIBRARIES = ("signalcam", "torchcam", "captum", "grad-cam", "signal_grad_cam")

Row = Mapping[str, Any]


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    found = {name: _measured(name, quick=quick) for name in NETWORKS}
    text = report(found)
    print(text)
    if not quick:
        write(HERE / "README.md", text)


def _measured(network: str, *, quick: bool) -> dict[str, Any]:
    """What the workers found about one network."""
    if quick:
        return _worker(network, GIVE_BACK, "time", "memory", "first", "--quick")
    return {
        **_worker(network, KEEP, "time"),
        **_worker(network, GIVE_BACK, "memory"),
        **_worker(network, KEEP, "first"),
    }


def _worker(network: str, allocator: Mapping[str, str], *options: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.worker", network, *options]
    print(" ".join(command[2:]), file=sys.stderr, flush=True)
    environment = os.environ | allocator
    done = subprocess.run(
        command, cwd=HERE.parent, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


# --- the report ----------------------------------------------------------------------------------


def report(found: Mapping[str, Any]) -> str:
    """Everything that was found, in Markdown."""
    parts = [
        _conditions(),
        "### Time, as a multiple of the bare forward pass",
        _table(_rows(found, "time"), _milliseconds, differences=True),
        "### Peak extra memory, as a multiple of the bare forward pass",
        _table(_rows(found, "memory"), _mebibytes, differences=False),
        "### The first call of SignalCAM on a model",
        _first(found),
        "### Who refuses what",
        _refusals(found),
    ]
    return "\n\n".join(parts)


def _rows(found: Mapping[str, Any], what: str) -> Iterator[Row]:
    for network, each in found.items():
        yield from ({"network": network} | row for row in each[what])


def _table(rows: Iterator[Row], unit: Callable[[float], str], *, differences: bool) -> str:
    head = ["network", "layer", "classes", "forward", *LIBRARIES]
    head += ["largest difference"] if differences else []
    lines = [_line(head), _line(["---"] * len(head))]
    for row in rows:
        cells = [row["network"], row["layer"], str(row["classes"]), unit(row["forward"])]
        cells += _marked(row["ratios"])
        cells += [f"{max(row['apart'].values()):.0e}"] if differences else []
        lines.append(_line(cells))
    return "\n".join(lines)


def _marked(ratios: Mapping[str, float]) -> list[str]:
    best = min(ratios.values())
    texts = {
        name: f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}" for name, ratio in ratios.items()
    }
    bold = {name: f"**{text}**" if ratios[name] == best else text for name, text in texts.items()}
    return [bold.get(name, "-") for name in LIBRARIES]


def _first(found: Mapping[str, Any]) -> str:
    head = [
        "network",
        "forward",
        "layer named: first call",
        "next",
        "layer chosen: first call",
        "next",
    ]
    lines = [_line(head), _line(["---"] * len(head))]
    for network, each in found.items():
        spent = dict(each["first"])
        floor = spent.pop("forward")
        ratios = [f"{value / floor:.2f}" for value in spent.values()]
        lines.append(_line([network, _milliseconds(floor), *ratios]))
    return "\n".join(lines)


def _refusals(found: Mapping[str, Any]) -> str:
    said: dict[tuple[str, str, str], list[str]] = {}
    for row in _rows(found, "time"):
        for name, error in row["refused"].items():
            where = said.setdefault((row["network"], name, error), [])
            where.append(row["layer"])
    lines = [
        f"- {network}, {name}, layer {' and '.join(dict.fromkeys(where))}: `{error}`"
        for (network, name, error), where in said.items()
    ]
    return "\n".join(lines) or "Nobody refuses anything."


def _conditions() -> str:
    names = (*LIBRARIES, "torch", "numpy")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    return (
        f"Measured on {datetime.now(UTC).date().isoformat()}, {_processor()}, {os.cpu_count()} cores, one "
        f"thread, Python {platform.python_version()}, {versions}."
    )


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="ascii").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _milliseconds(value: float) -> str:
    return f"{value * 1e3:.0f} ms"


def _mebibytes(value: float) -> str:
    return f"{value / 2**20:.1f} MiB"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def write(page: Path, text: str) -> None:
    """Put the text between the page's markers."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
