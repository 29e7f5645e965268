"""The store of a job: its arrays, and reading, committing and counting its units.

A unit is committed by the last of its writes, its status.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from signalcam.errors import StoreError
from signalcam.inputs.layout import DUMMY, Layout
from signalcam.jobs import columns, events
from signalcam.jobs.columns import ColumnSpec
from signalcam.jobs.store_layout import TEXT, as_text_array, create_store, sync_to_disk, write_errors_as_text
from signalcam.results.zarr_store import FORMAT

QUARANTINED = 2**32 - 1  # status of a unit given up; otherwise the status is the number of failed samples plus one
BLOCK = 256  # units merged into one block when all are done; a power of two, as sums merge along a binary tree
_ABOUT_KEYS = {"digest", "samples", "job", "identity", "facts", "groups"}
_STATUS_BYTES = 4  # bytes of one unit's status


@dataclass(frozen=True)
class JobStore:
    """A job's store.

    Attributes:
        place: Its folder.
        about: What was known when it was created: ``digest``, ``samples``, ``job`` (its sections), ``identity`` (weights
            and versions), ``facts`` (from a first sample), ``groups`` (pairs of kind and name) and ``block`` (units that
            are merged when they are done; see ``incremental``).
    """

    place: Path
    about: Mapping[str, Any]

    @classmethod
    def open(cls, place: Path) -> JobStore:
        """Open an existing store; raise ``StoreError`` if this version cannot read it."""
        version, about, complete = 0, {}, False
        with suppress(OSError, ValueError, KeyError, TypeError):
            attributes = json.loads((place / "zarr.json").read_text(encoding="utf-8"))["attributes"]
            version, about = attributes["signalcam"], attributes["job"]
            complete = version > FORMAT or set(about) >= _ABOUT_KEYS
        if not complete:
            message = f"{place} exists, but is no complete store of a job. Give another output, or move it away; nothing was changed."
            raise StoreError(message)
        if version > FORMAT:
            message = (
                f"{place} was made by a newer SignalCAM (format {version}; this one knows {FORMAT}). Upgrade signalcam."
            )
            raise StoreError(message)
        return cls(place, about)

    # --- what is where ---------------------------------------------------------------------------

    @property
    def samples(self) -> int:
        """Number of samples."""
        return int(self.about["samples"])

    @property
    def size(self) -> int:
        """Samples per unit."""
        return int(self.about["job"]["units"]["size"])

    @property
    def units(self) -> int:
        """Number of units."""
        return -(-self.samples // self.size)

    @property
    def block(self) -> int:
        """Units per block; 0 in old stores, which have no blocks."""
        return int(self.about.get("block", 0))

    @property
    def blocks(self) -> int:
        """Number of whole blocks; the units after them are never merged."""
        return self.units // self.block if self.block else 0

    def units_of(self, block: int) -> range:
        """The units of a block."""
        return range(block * self.block, (block + 1) * self.block)

    def count(self, units: Collection[int]) -> int:
        """Number of samples in some distinct units."""
        short = self.units * self.size - self.samples
        return len(units) * self.size - short * (self.units - 1 in units)

    def rows(self, unit: int) -> range:
        """The numbers of a unit's samples."""
        return range(unit * self.size, min(self.samples, (unit + 1) * self.size))

    @cached_property
    def by_sample(self) -> dict[str, ColumnSpec]:
        """The arrays with a row a sample."""
        facts, job = self.about["facts"], self.about["job"]
        target, classes = {"target": len(facts["targets"])}, {"class": facts["classes"]}
        map_axes = target | {"cam": len(facts["methods"])}
        dtype = np.dtype(job["output"]["dtype"])
        arrays: dict[str, tuple[dict[str, int], Any, Any]] = {}
        for number, layer in enumerate(facts["layers"]):
            cells = [axis["cells"] for axis in layer["grid"]]
            positions = dict(zip(self.dims(number), cells, strict=True))
            arrays[f"maps_{number}"] = (map_axes | positions, dtype, 0 if dtype.kind == "u" else np.nan)
            arrays[f"peak_{number}"] = (map_axes, np.float32, np.nan)
        arrays |= {"score": (target, np.float32, np.nan), "target_class": (target, np.int32, -1)}
        arrays |= {
            "logit": (classes, np.float32, np.nan),
            "probability": (classes, np.float32, np.nan),
        }
        arrays |= {"predicted": ({}, np.int32, -1), "label": ({}, np.int32, -1)}
        arrays |= columns.score_columns(self.about)
        arrays |= dict.fromkeys(("group", "sample", "failed"), ({}, TEXT, ""))
        is_present = {
            "label": facts["labelled"],
            "group": job["data"]["groups"],
            "sample": facts["named"],
        }
        is_present |= dict.fromkeys(("logit", "probability", "predicted"), facts["classes"])
        return {
            name: ColumnSpec(("sample", *axes), (self.samples, *axes.values()), kind, blank)
            for name, (axes, kind, blank) in arrays.items()
            if is_present.get(name, True)
        }

    @cached_property
    def by_unit(self) -> dict[str, ColumnSpec]:
        """The arrays with a row a unit: the sums that aggregates are made of."""
        groups, bins = len(self.about["groups"]), self.about["job"]["aggregates"]["bins"]
        specs = {"count": ColumnSpec(("unit", "of"), (self.units, groups), np.int64, 0)}
        for number in range(len(self.about["facts"]["layers"])):
            maps = self.by_sample[f"maps_{number}"]
            dims, shape = ("unit", "of", *maps.dims[1:]), (self.units, groups, *maps.shape[1:])
            specs[f"mean_{number}"] = ColumnSpec(dims, shape, np.float64, 0.0)
            specs[f"squares_{number}"] = ColumnSpec(dims, shape, np.float64, 0.0)
            specs[f"histogram_{number}"] = ColumnSpec((*dims, "bin"), (*shape, bins), np.uint32, 0)
        sums = columns.score_sums(self.about) | events.event_sums(self.about, self.by_sample)
        for name, (axes, kind) in sums.items():
            specs[name] = ColumnSpec(("unit", "of", *axes), (self.units, groups, *axes.values()), kind, 0)
        return specs

    @cached_property
    def by_block(self) -> dict[str, ColumnSpec]:
        """The arrays with a row a block: sums of merged units."""
        return {
            name: ColumnSpec(
                ("block", *spec.dims[1:]),
                (self.blocks, *spec.shape[1:]),
                np.int64 if spec.dtype == np.uint32 else spec.dtype,
                spec.blank,
            )
            for name, spec in self.by_unit.items()
        }

    def dims(self, layer: int) -> tuple[str, ...]:
        """Names of the axes of a layer's positions."""
        names = self.about["facts"]["layout"]["dims"]
        axes = [axis["input_axis"] for axis in self.about["facts"]["layers"][layer]["grid"]]
        return tuple(f"{f'axis{i}' if names[i] in DUMMY else names[i]}_{layer}" for i in axes)

    def labels(self) -> dict[str, tuple[np.ndarray, dict[str, str]]]:
        """Coordinate of each axis, names or positions, with its attributes."""
        facts = self.about["facts"]
        names = {
            "target": facts["targets"],
            "cam": facts["methods"],
            "class": facts["class_names"] or [],
        }
        result: dict[str, tuple[np.ndarray, dict[str, str]]] = {}
        result |= {name: (as_text_array(list(each)), {}) for name, each in names.items() if each}
        layout = Layout(**facts["layout"])
        for number, layer in enumerate(facts["layers"]):
            for name, axis in zip(self.dims(number), layer["grid"], strict=True):
                dim, centres = layout.dims[axis["input_axis"]], axis["start"] + axis["jump"] * np.arange(axis["cells"])
                unit = layout.unit(dim)
                positions = np.asarray(layout.coordinate(dim, centres), float)
                result[name] = (positions, {"units": unit} if unit else {})
        return result | columns.score_labels(self.about) | events.event_labels(self.about)

    # --- reading and writing ---------------------------------------------------------------------

    @cached_property
    def group(self) -> Any:
        """The store, opened to read and write."""
        import zarr  # noqa: PLC0415 - not needed to describe a job

        return zarr.open_group(self.place, mode="r+", zarr_format=3)

    def array(self, name: str) -> Any:
        """An array of the store, opened once."""
        if name not in self._arrays:
            self._arrays[name] = self.group[name]
        return self._arrays[name]

    @cached_property
    def _arrays(self) -> dict[str, Any]:
        return {}

    def read(self, name: str, rows: Any) -> np.ndarray:
        """Read some rows of an array; raise ``StoreError`` if a file is damaged."""
        try:
            values: np.ndarray = self.array(name).oindex[rows]
        except Exception as error:  # whatever a decoder makes of a torn file
            message = f"{self.place / name} is damaged ({' '.join(str(error).split())[:300]}). Restore it from a copy, or move the store away and run the job again."
            raise StoreError(message) from error
        return values

    def blank(self, unit: int) -> dict[str, np.ndarray]:
        """Rows of a unit with a blank value everywhere."""
        count = len(self.rows(unit))
        return {
            name: np.full((count, *spec.shape[1:]), spec.blank, spec.dtype) for name, spec in self.by_sample.items()
        }

    def commit(self, unit: int, rows: Mapping[str, np.ndarray], sums: Mapping[str, np.ndarray], failed: int) -> None:
        """Write the rows and sums of a unit and, once they are on the disk, its status."""
        numbers = self.rows(unit)
        with write_errors_as_text(self.place):
            if unit == self.units - 1:  # a short last unit is written by reading its chunks first; they may be torn
                self._remove(unit, rows)
            unit_slice: Any = slice(numbers.start, numbers.stop)
            parts = [(self.array(name), unit_slice, values) for name, values in rows.items()]
            parts += [(self.array(f"unit/{name}"), unit, values) for name, values in sums.items()]
            _write_parts(parts)
            written = [self.file(name, unit) for name in (*rows, *(f"unit/{each}" for each in sums))]
            sync_to_disk([each for each in written if each.exists()])  # Zarr may write no file for an all-blank chunk
            self.array("unit/status")[unit] = QUARANTINED if failed == QUARANTINED else failed + 1
            sync_to_disk([self.file("unit/status", unit)])

    def file(self, name: str, row: int) -> Path:
        """Path of the chunk that holds a unit's, or a block's, part of an array."""
        array = self.array(name)
        return self.place / name / str(array.metadata.encode_chunk_key((row, *[0] * (array.ndim - 1))))

    def _remove(self, unit: int, names: Iterable[str]) -> None:
        """Delete the files that an interrupted run left of a unit, as they may be torn."""
        for name in names:
            self.file(name, unit).unlink(missing_ok=True)

    def committed(self) -> dict[int, Path]:
        """Map each unit with a status of its own, done or quarantined, to its status file."""
        folder = self.place / "unit" / "status" / "c"
        if not folder.is_dir():
            return {}
        return {int(each.name): Path(each) for each in os.scandir(folder) if each.name.isdigit()}

    def is_merged(self, block: int) -> bool:
        """Whether a block has been merged and replaces its units."""
        try:
            return self.status_of(block).stat().st_size == _STATUS_BYTES * self.block
        except FileNotFoundError:
            return False

    def status_of(self, block: int) -> Path:
        """Path of the status file of a block, which exists once the block is merged."""
        return self.place / "block" / "status" / "c" / str(block) / "0"

    def status(self) -> dict[int, int]:
        """Number of failed samples of each finished unit; ``QUARANTINED`` for one given up."""
        codes_of: dict[int, int] = {}
        for unit, file in self.committed().items():
            with suppress(FileNotFoundError):  # merged into its block since
                raw = file.read_bytes()
                if len(raw) == _STATUS_BYTES and any(raw):  # a power cut may leave it empty, short or all zeros
                    codes_of[unit] = int.from_bytes(raw, "little")
        # read after the units, so that a unit merged meanwhile is seen in one of the two
        for block in filter(self.is_merged, range(self.blocks)):
            codes = np.frombuffer(self.status_of(block).read_bytes(), "<u4").tolist()
            codes_of |= zip(self.units_of(block), codes, strict=True)
        return {unit: code if code == QUARANTINED else code - 1 for unit, code in codes_of.items()}

    def pending(self) -> list[int]:
        """List the units that are not done, quarantined ones included."""
        status = self.status()
        return [unit for unit in range(self.units) if status.get(unit, QUARANTINED) == QUARANTINED]

    def make(self) -> None:
        """Write the store to disk, with all arrays and nothing in them.

        Raises:
            StoreError: It cannot be written.
        """
        create_store(self.place, self.about, (self.by_sample, self.by_unit, self.by_block), self.labels())


def _write_parts(parts: Sequence[tuple[Any, Any, np.ndarray]]) -> None:
    """Write ``(array, index, values)`` concurrently: one is encoded while others wait for the disk."""

    async def all_of_them() -> None:
        await asyncio.gather(*(each.async_array.setitem(index, values) for each, index, values in parts))

    with ThreadPoolExecutor(1) as pool:  # a thread runs one event loop, and a notebook's thread already has one
        pool.submit(asyncio.run, all_of_them()).result()
