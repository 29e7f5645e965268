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
BEGIN, END = "<!-- results, {}: written by benchmarks/run.py -->", "<!-- end of results, {} -->"
ENGINES = ("tensorflow", "jax")
KERAS_LIBRARIES = ("signalcam", "recipe", "tf-keras-vis", "signal_grad_cam")
NETWORKS = ("1-D", "2-D", "3-D")
LIBRARIES = ("signalcam", "torchcam", "captum", "grad-cam", "signal_grad_cam")
TRIAL_LIBRARIES = ("signalcam", "torchcam", "grad-cam")
FILLED = (
    "score-cam, signalcam",
    "score-cam, torchcam",
    "score-cam, grad-cam",
    "ablation-cam, signalcam",
    "ablation-cam, grad-cam",
)

Row = Mapping[str, Any]


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=["torch", "keras", "trials"])
    asked = parser.parse_args()
    if asked.only in (None, "keras"):
        _told(
            keras_report({each: _keras(each, quick=asked.quick) for each in ENGINES}),
            "Keras",
            asked,
        )
    if asked.only in (None, "trials"):
        _told(trials_report(_trials(quick=asked.quick)), "trials", asked)
    if asked.only in (None, "torch"):
        found = {name: _measured(name, quick=asked.quick) for name in NETWORKS}
        _told(report(found), "PyTorch", asked)


def _told(text: str, what: str, asked: argparse.Namespace) -> None:
    print(text)
    if not asked.quick:
        write(HERE / "README.md", text, what)


def _keras(engine: str, *, quick: bool) -> list[dict[str, Any]]:
    """What the worker found on one engine of Keras; on one thread, like everything else."""
    one = {
        "OMP_NUM_THREADS": "1",
        "TF_NUM_INTRAOP_THREADS": "1",
        "TF_NUM_INTEROP_THREADS": "1",
        "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    command = [sys.executable, "-m", "benchmarks.keras_worker", engine]
    return _answer([*command, "--quick"] if quick else command, KEEP | one)


def _measured(network: str, *, quick: bool) -> dict[str, Any]:
    """What the workers found about one network."""
    if quick:
        return _worker(network, GIVE_BACK, "time", "memory", "first", "--quick")
    return {
        **_worker(network, KEEP, "time"),
        **_worker(network, GIVE_BACK, "memory"),
        **_worker(network, KEEP, "first"),
    }


def _trials(*, quick: bool) -> dict[str, Any]:
    """What the worker found about methods that try many changed samples."""
    command = [sys.executable, "-m", "benchmarks.trials_worker"]
    if quick:
        return dict(_answer([*command, "time", "memory", "--quick"], GIVE_BACK))
    return {**_answer([*command, "time"], KEEP), **_answer([*command, "memory"], GIVE_BACK)}


def _worker(network: str, allocator: Mapping[str, str], *options: str) -> dict[str, Any]:
    found: dict[str, Any] = _answer([sys.executable, "-m", "benchmarks.worker", network, *options], allocator)
    return found


def _answer(command: Sequence[str], settings: Mapping[str, str]) -> Any:
    print(" ".join(command[2:]), file=sys.stderr, flush=True)
    environment = os.environ | settings
    done = subprocess.run(command, cwd=HERE.parent, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


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


def _marked(ratios: Mapping[str, float], among: Sequence[str] = LIBRARIES) -> list[str]:
    best = min(ratios.values())
    texts = {
        name: f"{ratio:.2g}" if ratio < 0.1 else f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"
        for name, ratio in ratios.items()
    }
    bold = {name: f"**{text}**" if ratios[name] == best else text for name, text in texts.items()}
    return [bold.get(name, "-") for name in among]


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


def keras_report(found: Mapping[str, Any]) -> str:
    """What was found about Keras, in Markdown: each contestant beside the forward pass of its own mode."""
    head = ["engine", "network", "layer", "run", "forward", *KERAS_LIBRARIES, "first compiled call"]
    lines = [_line(head), _line(["---"] * len(head))]
    lines += [
        _line([engine, row["network"], row["layer"], *_mode(row, mode)])
        for engine, rows in found.items()
        for row in rows
        for mode in ("", ", compiled")
    ]
    apart = max(each for rows in found.values() for row in rows for each in row["apart"].values())
    said = {
        f"- {engine}, {name}: `{error}`"
        for engine, rows in found.items()
        for row in rows
        for name, error in row["refused"].items()
    }
    names = (
        "signalcam",
        "tensorflow_cpu",
        "jax",
        "keras",
        "tf-keras-vis",
        "signal_grad_cam",
        "numpy",
    )
    conditions = _conditions(names)
    differ = f"Largest difference between a contestant's maps and SignalCAM's for the same score: {apart:.0e} of the maximum."
    return "\n\n".join([conditions, "\n".join(lines), differ, "\n".join(sorted(said))]).rstrip()


def _mode(row: Row, mode: str) -> list[str]:
    floor = row["least"][f"forward{mode}"]
    ratios = {
        name: row["least"][f"{name}{mode}"] / floor for name in KERAS_LIBRARIES if f"{name}{mode}" in row["least"]
    }
    first = _milliseconds(row["first"][f"signalcam{mode}"]) if mode else ""
    return [mode[2:] or "eager", _milliseconds(floor), *_marked(ratios, KERAS_LIBRARIES), first]


def trials_report(found: Mapping[str, Any]) -> str:
    """What was found about methods that try many changed samples, in Markdown."""
    head = ["network, layer", "method", "trials", "as many forwards", *TRIAL_LIBRARIES, "signalcam's first call"]
    head += [f"difference, {name}" for name in TRIAL_LIBRARIES[1:]]
    lines = [_line(head), _line(["---"] * len(head)), *map(_trial_line, found["time"])]
    full = ["rows at a time", "channels", "forward", *FILLED, "ablation-cam, signalcam's first call"]
    memory = [_line(full), _line(["---"] * len(full)), *map(_filled_line, found["memory"])]
    parts = [
        _conditions((*TRIAL_LIBRARIES, "torch", "numpy")),
        "### Time, as a multiple of as many bare forward passes as there are trials",
        "\n".join(lines),
        "### Peak extra memory, as a multiple of one bare forward pass of as many rows as are run at a time",
        "\n".join(memory),
        "### Who refuses which trials",
        "\n".join(_refused_trials(found["time"])),
    ]
    return "\n\n".join(parts)


def _trial_line(row: Row) -> str:
    least = dict(row["least"])
    floor = least.pop("forwards")
    ratios = {name: spent / floor for name, spent in least.items()}
    told = _marked(ratios, TRIAL_LIBRARIES)
    told = [
        f"{each} ({least[name]:.2f} s)" if name in least else "-"
        for name, each in zip(TRIAL_LIBRARIES, told, strict=True)
    ]
    apart = [f"{row['apart'][name]:.0e}" if name in row["apart"] else "-" for name in TRIAL_LIBRARIES[1:]]
    cells = [row["network"], f"`{row['method']}`", str(row["trials"]), f"{floor:.2f} s", *told, f"{row['first']:.2f} s"]
    return _line([*cells, *apart])


def _filled_line(row: Row) -> str:
    ratios = [f"{row['ratios'][name]:.2f}" for name in FILLED]
    cells = [str(row["rows"]), str(row["channels"]), _mebibytes(row["forward"]), *ratios]
    return _line([*cells, f"{row['first'] / row['forward']:.2f}"])


def _refused_trials(rows: Sequence[Row]) -> list[str]:
    return [
        f"- {row['network']}, {name}, `{row['method']}`: `{error}`"
        for row in rows
        for name, error in row["refused"].items()
    ]


def _conditions(names: Sequence[str] = (*LIBRARIES, "torch", "numpy")) -> str:
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


def write(page: Path, text: str, what: str) -> None:
    """Put the text between the page's markers."""
    begin, end = BEGIN.format(what), END.format(what)
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    after = rest.partition(end)[2]
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
