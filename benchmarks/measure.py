"""Seconds and bytes of one call."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import io
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# What the allocator of the C library does with freed blocks. Left alone it decides by what ran before,
# and fetching pages anew then costs a forward pass up to a tenth of its time, or nothing.
KEEP = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40)}  # for time
GIVE_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}  # for memory


def seconds(call: Callable[[], Any]) -> float:
    """Processor seconds of this process: what other programs take does not count."""
    gc.collect()
    start = time.process_time()
    result = call()
    spent = time.process_time() - start
    del result
    return spent


def interleaved(
    calls: Mapping[str, Callable[[], Any]],
    after: Callable[[], None],
    *,
    budget: float,
    rounds: tuple[int, int],
) -> dict[str, list[float]]:
    """Time every call once a round, round after round, until the time is spent.

    Args:
        calls: By name; each has run once before.
        after: Cleans up after a call, off the clock.
        budget: Wall seconds to spend.
        rounds: At least and at most so many.
    """
    spent: dict[str, list[float]] = {name: [] for name in calls}
    start = time.monotonic()
    for number in range(rounds[1]):
        if number >= rounds[0] and time.monotonic() - start > budget:
            break
        for name, call in calls.items():
            spent[name].append(seconds(call))
            after()
    return spent


def extra_memory(call: Callable[[], Any], after: Callable[[], None]) -> int:
    """How far resident memory rises, at its peak, above where it stood before the call.

    The kernel's own high-water mark is reset just before. Freed blocks are given back to the system
    at once (``GIVE_BACK``), so what an earlier call left behind cannot hide this one's need.
    """
    after()
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = _status("VmRSS")
    result = call()
    peak = _status("VmHWM")
    del result
    after()
    return peak - before


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    kibibytes = next(line.split()[1] for line in lines if line.startswith(key))
    return int(kibibytes) * 1024


@contextmanager
def quiet() -> Iterator[None]:
    """Swallow what libraries print and warn of."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
