"""Creating a job's store: its empty arrays, their labels, and writes that survive a power cut."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from signalcam.errors import StoreError
from signalcam.jobs.columns import ColumnSpec
from signalcam.results.zarr_store import FORMAT

TEXT = np.dtypes.StringDType()
_CHUNK_BYTES = 2**18  # bytes of maps in one chunk, which are read together, unless a batch has more
_FLAT = {"name": "default", "separator": "."}  # all chunks of an array in its one folder
_NESTED = {"name": "default", "separator": "/"}

Columns = Mapping[str, ColumnSpec]
Labels = Mapping[str, tuple[np.ndarray, Mapping[str, str]]]


def create_store(
    place: Path, about: Mapping[str, Any], arrays: tuple[Columns, Columns, Columns], labels: Labels
) -> None:
    """Create a store beside its place, with all arrays and nothing in them, then move it there.

    Args:
        place: The folder of the store.
        about: What is known of the job; see ``JobStore``.
        arrays: Those with a row a sample, a row a unit, and a row a block.
        labels: Values and attributes of the coordinate of each axis.

    Raises:
        StoreError: It cannot be written.
    """
    temporary = place.with_name(f".{place.name}.making-{os.getpid()}")
    with write_errors_as_text(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        for leftover in place.parent.glob(f".{place.name}.making-*"):
            shutil.rmtree(leftover)
        try:
            _create_arrays(temporary, about, arrays, labels)
            sync_to_disk([each for each in temporary.rglob("*") if each.is_file()])
            temporary.rename(place)
            sync_to_disk([place])
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def _create_arrays(
    folder: Path, about: Mapping[str, Any], arrays: tuple[Columns, Columns, Columns], labels: Labels
) -> None:
    import zarr  # noqa: PLC0415 - not needed to describe a job

    by_sample, by_unit, by_block = arrays
    attributes = {"signalcam": FORMAT, "job": json.loads(json.dumps(about))}
    group = zarr.create_group(folder, zarr_format=3, attributes=attributes)
    size, batch = int(about["job"]["units"]["size"]), about["job"]["units"]["batch"]
    for name, spec in by_sample.items():
        maps = name.startswith("maps_")
        shards = {"shards": (size, *spec.shape[1:])} if maps else {}
        attrs = {"scale_factor": 1 / 255} if maps and np.dtype(spec.dtype).kind == "u" else {}
        chunk = _maps_per_chunk(size, batch, spec) if maps else size
        _create_array(group, name, spec, (chunk, *spec.shape[1:]), attributes=attrs, **shards)
    _create_sums(group.create_group("unit"), by_unit, ColumnSpec(("unit",), by_unit["count"].shape[:1], np.uint32, 0))
    blocks, block = by_block["count"].shape[0], int(about.get("block", 0))
    if blocks:
        status = ColumnSpec(("block", "within"), (blocks, block), np.uint32, 0)
        _create_sums(group.create_group("block"), by_block, status)
    write_labels(group, labels)
    consolidate_metadata(folder)


def _create_sums(group: Any, columns: Columns, status: ColumnSpec) -> None:
    """Create the sums of units or blocks, one chunk a row, and their status."""
    for name, spec in columns.items():
        _create_array(group, name, spec, (1, *spec.shape[1:]))
    chunks = (1, *status.shape[1:])
    _create_array(group, "status", status, chunks, compressors=None, chunk_key_encoding=_NESTED)


def _create_array(group: Any, name: str, spec: ColumnSpec, chunks: Sequence[int], **options: Any) -> None:
    kind = str if spec.dtype is TEXT else spec.dtype
    group.create_array(
        name,
        shape=spec.shape,
        dtype=kind,
        chunks=tuple(chunks),
        fill_value=spec.blank,
        dimension_names=spec.dims,
        config={"write_empty_chunks": True},
        **{"chunk_key_encoding": _FLAT} | options,
    )


def _maps_per_chunk(size: int, batch: int, maps: ColumnSpec) -> int:
    """Maps per chunk: the most whole batches that divide a unit and fit into ``_CHUNK_BYTES``."""
    wide = np.dtype(maps.dtype).itemsize * int(np.prod(maps.shape[1:]))
    batches = size // batch
    fits = [each for each in range(1, batches + 1) if batches % each == 0 and each * batch * wide <= _CHUNK_BYTES]
    return batch * max(fits, default=1)


def write_labels(group: Any, labels: Mapping[str, tuple[np.ndarray, Mapping[str, str]]]) -> None:
    """Write the coordinate of each axis where ``xarray`` looks for it."""
    for name, (values, attributes) in labels.items():
        kind = str if values.dtype == TEXT else values.dtype
        array = group.create_array(
            name, shape=values.shape, dtype=kind, dimension_names=(name,), attributes=dict(attributes)
        )
        array[:] = values


def consolidate_metadata(place: Path) -> None:
    """Collect the metadata of all arrays in one file, so that opening reads no other."""
    import zarr  # noqa: PLC0415 - not needed to describe a job

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Zarr warns that its format 3 does not specify this yet
        zarr.consolidate_metadata(str(place))


def sync_to_disk(files: Sequence[Path]) -> None:
    """Flush files and their folders to the disk, so that they survive a power cut."""
    folders = dict.fromkeys(each for file in files for each in list(file.parents)[:2])
    for path in (*files, *folders):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def as_text_array(values: Any) -> np.ndarray:
    """Make an array of strings that Zarr can store; numbers stay numbers."""
    array = np.asarray(values)
    return array if array.dtype.kind in "iuf" else np.array([str(each) for each in array], TEXT)


@contextmanager
def write_errors_as_text(place: Path) -> Iterator[None]:
    """Turn an ``OSError`` inside the block into a ``StoreError``."""
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        message = f"cannot write to {place}: {error.strerror or error}. Finished units are kept. Free space or fix the folder, then run the same command again."
        raise StoreError(message) from error
