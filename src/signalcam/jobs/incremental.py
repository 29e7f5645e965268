"""Merging finished units into blocks, so that status and summary cost O(blocks).

A block is a whole subtree of the tree along which units are merged, so its sums have equal bits. Sums and status of
a block are on the disk before anything of its units is deleted. From then on the block replaces its units. So a
crash in between changes nothing, and neither does merging again.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import numpy as np

from signalcam.jobs import aggregate
from signalcam.jobs.store import QUARANTINED, JobStore
from signalcam.jobs.store_layout import sync_to_disk, write_errors_as_text


@dataclass
class IncrementalMerge:
    """Merge blocks while a job runs, at first those that the store has complete; needs the store's lock."""

    archive: JobStore
    left: list[int] = field(init=False)

    def __post_init__(self) -> None:
        archive = self.archive
        status, committed = archive.status(), archive.committed()
        done = {unit for unit, failed in status.items() if failed != QUARANTINED}
        self.left = [len(set(archive.units_of(each)) - done) for each in range(archive.blocks)]
        for block in {unit // archive.block for unit in committed} if archive.blocks else ():
            if block < archive.blocks and not self.left[block]:
                merge_block(archive, block)

    def record_unit(self, unit: int, failed: int) -> None:
        """Note a finished unit; merge its block if it was the last."""
        if not self.archive.blocks or failed == QUARANTINED:
            return
        block = unit // self.archive.block
        if block < self.archive.blocks:
            self.left[block] -= 1
            if not self.left[block]:
                merge_block(self.archive, block)


def merge_block(archive: JobStore, block: int) -> None:
    """Merge the finished units of a block, then delete their own sums and status."""
    units = archive.units_of(block)
    with write_errors_as_text(archive.place):
        if not archive.is_merged(block):
            _write_block(archive, block)
        for name in (*archive.by_unit, "status"):
            for unit in units:
                archive.file(f"unit/{name}", unit).unlink(missing_ok=True)


def _write_block(archive: JobStore, block: int) -> None:
    units = archive.units_of(block)
    status_files = [archive.file("unit/status", unit) for unit in units]
    codes = np.array([int.from_bytes(each.read_bytes(), "little") for each in status_files], np.uint32)
    committed_at = max(each.stat().st_mtime_ns for each in status_files)
    for name, values in aggregate.add_units(archive, units, units).items():
        archive.array(f"block/{name}")[block] = values
    written = [archive.file(f"block/{name}", block) for name in archive.by_block]
    sync_to_disk([each for each in written if each.exists()])
    archive.array("block/status")[block] = codes
    os.utime(archive.status_of(block), ns=(committed_at, committed_at))
    sync_to_disk([archive.status_of(block)])
