"""Events of a job's samples, such as R peaks, and sums of maps around them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from signalcam.alignment.resampling import AxisGrid
from signalcam.data.optional_imports import import_optional
from signalcam.errors import CamError, JobError
from signalcam.inputs.layout import Layout
from signalcam.jobs.codec import decode
from signalcam.results.epochs import EventWindow, cut_epochs
from signalcam.results.statistics import moments

if TYPE_CHECKING:
    from signalcam.jobs.columns import ColumnSpec
    from signalcam.jobs.config import JobConfig

_DIM = "time"
_HINT = "Give a .npz file with arrays 'sample' and 'time', or a Parquet file with a column of lists, one row a sample"
Pair = tuple[np.ndarray, np.ndarray]  # sample and time of each event


@dataclass(frozen=True)
class Events:
    """Sample number, in rising order, and time of each event, from the sample's start in the units of its axis."""

    sample: np.ndarray
    time: np.ndarray

    def of(self, numbers: range) -> Pair:
        """Select the events of some samples, numbered from the first of them."""
        begin, end = np.searchsorted(self.sample, [numbers.start, numbers.stop])
        return self.sample[begin:end] - numbers.start, self.time[begin:end]


def events_fingerprint(job: JobConfig) -> str:
    """Text that changes with the file of events; empty without one."""
    if job.aggregates.events is None:
        return ""
    file = job.path(job.aggregates.events)
    if not file.is_file():
        message = f"there are no events at {file}. {_HINT}."
        raise JobError(message)
    stat = file.stat()
    return f"{stat.st_size} {stat.st_mtime_ns}"


def read_events(job: JobConfig, samples: int) -> Events | None:
    """Read the events of all samples; ``None`` if the job names none."""
    if job.aggregates.events is None:
        return None
    file = job.path(job.aggregates.events)
    try:
        sample, time = (_read_parquet if file.suffix == ".parquet" else _read_npz)(file, samples)
    except (OSError, EOFError, BadZipFile, ValueError, KeyError, TypeError) as error:
        message = f"aggregates.events {file} cannot be read ({error}). {_HINT}."
        raise JobError(message) from error
    if len(sample) and not (sample.min() >= 0 and sample.max() < samples):
        message = f"aggregates.events names samples {sample.min()} to {sample.max()}, but there are {samples}, counted from 0. Give events of these samples."
        raise JobError(message)
    if not np.isfinite(time).all():
        message = f"aggregates.events holds {int((~np.isfinite(time)).sum())} times that are not finite. Leave these events out."
        raise JobError(message)
    order = np.lexsort((time, sample))
    return Events(sample[order], time[order])


def _read_npz(file: Path, _samples: int) -> Pair:
    with file.open("rb") as opened, np.load(opened, allow_pickle=False) as arrays:
        sample, time = arrays["sample"], arrays["time"].astype(np.float64)
    if sample.shape != time.shape or sample.ndim != 1 or sample.dtype.kind not in "iu":
        message = f"'sample' has shape {sample.shape} of {sample.dtype}, 'time' {time.shape}; they should be equally long, and samples integers"
        raise ValueError(message)
    return sample.astype(np.int64), time


def _read_parquet(file: Path, samples: int) -> Pair:
    table = import_optional("pyarrow.parquet", "Parquet files").read_table(file)
    arrow, compute = import_optional("pyarrow", "Parquet files"), import_optional("pyarrow.compute", "Parquet files")
    lists = [
        field.name for field in table.schema if arrow.types.is_list(field.type) or arrow.types.is_large_list(field.type)
    ]
    if len(lists) != 1 or table.num_rows != samples:
        message = f"it has {table.num_rows} rows and {len(lists)} columns of lists; expected {samples} rows and one such column"
        raise ValueError(message)
    column = table.column(lists[0])
    counts = compute.list_value_length(column).fill_null(0).to_numpy()
    return np.repeat(np.arange(samples), counts), compute.list_flatten(column).to_numpy().astype(np.float64)


# --- in the store ------------------------------------------------------------------------------------


def require_time_axis(about: Mapping[str, Any]) -> None:
    """Raise ``JobError`` for maps without a time axis, or samples shorter than the window around an event."""
    layout = Layout(**about["facts"]["layout"])
    for layer in about["facts"]["layers"]:
        if _DIM not in [layout.dims[axis["input_axis"]] for axis in layer["grid"]]:
            message = f"aggregates.events: layer {layer['name']!r} has no positions along time. Name the axis under [layout], or choose another layer."
            raise JobError(message)
    try:
        _event_window(about)
    except CamError as error:
        message = f"aggregates.before, aggregates.after: {error}"
        raise JobError(message) from error


def _samples_along_time(about: Mapping[str, Any]) -> int:
    axis = Layout(**about["facts"]["layout"]).dims.index(_DIM)
    return int(about["facts"]["input"][0][axis - 1])


def _event_window(about: Mapping[str, Any]) -> EventWindow:
    section, layout = about["job"]["aggregates"], Layout(**about["facts"]["layout"])
    return EventWindow.of(layout, _DIM, _samples_along_time(about), section["before"], section["after"])


def _time_axis(about: Mapping[str, Any], layer: int) -> tuple[int, AxisGrid]:
    """Number of the time axis in a layer's maps, and its grid along the input."""
    dims = Layout(**about["facts"]["layout"]).dims
    grid = [AxisGrid(**axis) for axis in about["facts"]["layers"][layer]["grid"]]
    index = [dims[axis.input_axis] for axis in grid].index(_DIM)
    return 3 + index, grid[index]


def event_sums(about: Mapping[str, Any], by_sample: Mapping[str, ColumnSpec]) -> dict[str, tuple[dict[str, int], Any]]:
    """Arrays with the sums of each unit around events: axes and dtype."""
    if about["job"]["aggregates"]["events"] is None:
        return {}
    arrays: dict[str, tuple[dict[str, int], Any]] = {name: ({}, np.int64) for name in ("count_around", "count_outside")}
    for number in range(len(about["facts"]["layers"])):
        maps, (axis, _) = by_sample[f"maps_{number}"], _time_axis(about, number)
        sizes = list(zip(maps.dims, maps.shape, strict=True))
        sizes[axis] = ("around", len(_event_window(about).offsets))
        arrays[f"mean_around_{number}"] = (dict(sizes[1:]), np.float64)
        arrays[f"squares_around_{number}"] = (dict(sizes[1:]), np.float64)
    return arrays


def event_labels(about: Mapping[str, Any]) -> dict[str, tuple[np.ndarray, dict[str, str]]]:
    """Times relative to the event, with their unit."""
    if about["job"]["aggregates"]["events"] is None:
        return {}
    unit = Layout(**about["facts"]["layout"]).unit(_DIM)
    return {"around": (_event_window(about).coordinate, {"units": unit} if unit else {})}


def unit_event_sums(
    about: Mapping[str, Any], rows: Mapping[str, np.ndarray], belongs: np.ndarray, unit_events: Pair | None
) -> dict[str, np.ndarray]:
    """Sum up one unit around events: events inside and outside the samples per group, mean and deviations of maps."""
    if unit_events is None:
        return {}
    row, time = unit_events
    window = _event_window(about)
    positions = window.places(time)
    inside, having = window.within(positions, _samples_along_time(about)), belongs[:, row]
    counts = inside & having[0]  # the first group holds all samples that did not fail
    sums = {
        "count_around": (having & inside).sum(axis=1),
        "count_outside": (having & ~inside).sum(axis=1),
    }
    for number in range(len(about["facts"]["layers"])):
        map_axis, axis = _time_axis(about, number)
        cut = cut_epochs(decode(rows[f"maps_{number}"]), map_axis, axis, row[counts], positions[counts])
        parts = [moments(cut[mask[counts]]) for mask in having]
        sums[f"mean_around_{number}"] = np.stack([mean for _, mean, _ in parts])
        sums[f"squares_around_{number}"] = np.stack([squares for _, _, squares in parts])
    return sums
