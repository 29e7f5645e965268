"""Blocks of units put together as they are done, so that a store of any size is looked at in a moment.

A block's sums are those of a whole subtree of the tree that all units are summed up along: the same bits. They
and the status of each unit are written, and on the disk, before anything of a unit is taken away; from then on the
block stands for its units. So a crash in between changes nothing, and to do it again changes nothing either.
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
    """Puts blocks together while a job runs; only who holds the store may.

    Args:
        archive: The job's store. What it holds already is put together at once.
    """

    archive: JobStore
    left: list[int] = field(init=False)

    def __post_init__(self) -> None:
        archive = self.archive
        status, own = archive.status(), archive.committed()
        done = {unit for unit, failed in status.items() if failed != QUARANTINED}
        self.left = [len(set(archive.units_of(each)) - done) for each in range(archive.blocks)]
        for block in {unit // archive.block for unit in own} if archive.blocks else ():
            if block < archive.blocks and not self.left[block]:
                merge_block(archive, block)

    def done(self, unit: int, failed: int) -> None:
        """Note that a unit is done, and put its block together when it is the last."""
        if not self.archive.blocks or failed == QUARANTINED:
            return
        block = unit // self.archive.block
        if block < self.archive.blocks:
            self.left[block] -= 1
            if not self.left[block]:
                merge_block(self.archive, block)


def merge_block(archive: JobStore, block: int) -> None:
    """Put the units of a block together, all of which are done, and take away what they wrote of sums and status.

    Raises:
        StoreError: It cannot be written; nothing is lost then.
    """
    units = archive.units_of(block)
    with write_errors_as_text(archive.place):
        if not archive.is_rolled(block):
            _write_block(archive, block)
        for name in (*archive.by_unit, "status"):
            for unit in units:
                archive.file(f"unit/{name}", unit).unlink(missing_ok=True)


def _write_block(archive: JobStore, block: int) -> None:
    units = archive.units_of(block)
    own = [archive.file("unit/status", unit) for unit in units]
    codes = np.array([int.from_bytes(each.read_bytes(), "little") for each in own], np.uint32)
    when = max(each.stat().st_mtime_ns for each in own)
    for name, values in aggregate.add_units(archive, units, units).items():
        archive.array(f"block/{name}")[block] = values
    written = [archive.file(f"block/{name}", block) for name in archive.by_block]
    sync_to_disk([each for each in written if each.exists()])
    archive.array("block/status")[block] = codes
    os.utime(archive.status_of(block), ns=(when, when))
    sync_to_disk([archive.status_of(block)])
