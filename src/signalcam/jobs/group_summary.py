"""A job's aggregates as a ``GroupSummary``: results in which each sample is a group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from signalcam.jobs.aggregate import summary
from signalcam.jobs.progress import status
from signalcam.results.explanation import Explanation
from signalcam.results.group_summary import GroupSummary

if TYPE_CHECKING:
    import xarray as xr


def summarize(store: Path, exp: Explanation) -> GroupSummary:
    """Load a job's aggregates for ``exp``, the explanation of all its samples."""
    table = _read_summary(store).sortby("quantile")
    counts = table["count"].values
    present = np.flatnonzero(counts)
    parted = [_split_name(str(table["of"].values[number])) for number in present]
    names = [name for _, name in parted]
    result = partial(_group_result, exp, present=present, names=names)
    return GroupSummary(
        result(table, "mean"),
        result(table, "std"),
        tuple(kind for kind, _ in parted),
        tuple(counts[present].tolist()),
        tuple(table["quantile"].values.tolist()),
        lambda number: result(table.isel(quantile=number), "quantile"),
    )


def _read_summary(store: Path) -> xr.Dataset:
    """Read the summary written at the end of the job; while it runs, compute it."""
    import xarray as xr  # noqa: PLC0415 - not needed to import signalcam

    if (store / "summary").is_dir() and not status(store).running:
        dataset: xr.Dataset = xr.open_zarr(store, group="summary", chunks=None)
        return dataset
    return summary(store)


def _split_name(of: str) -> tuple[str, str]:
    """Split a group's label into kind and name."""
    kind, colon, name = of.partition(": ")
    if colon:
        return kind, name
    return ("all", "all") if of == "all" else ("right", of)


def _group_result(
    exp: Explanation, table: xr.Dataset, statistic: str, *, present: np.ndarray, names: Sequence[str]
) -> Explanation:
    """Build an explanation whose samples are groups; what only samples have is ``None``."""
    layers = [
        replace(layer, values=np.asarray(table[f"{statistic}_{number}"].values[present], np.float32))
        for number, layer in enumerate(exp.layers)
    ]
    classes = np.tile(_common_classes(exp.target_classes), (len(present), 1))
    no_columns: dict[str, Any] = dict.fromkeys(
        ("logits", "probabilities", "classes", "true_classes", "windows", "metrics")
    )
    return replace(
        exp,
        layers=tuple(layers),
        input=np.broadcast_to(np.float32(np.nan), (len(present), *exp.input.shape[1:])),
        scores=np.full(classes.shape, np.nan),
        target_classes=classes,
        sample_names=tuple(names),
        failed=(),
        provenance={**exp.provenance, "normalized": "max"},
        **no_columns,
    )


def _common_classes(classes: np.ndarray) -> np.ndarray:
    """Class of each target if all samples share it, else -1: ``(target,)``."""
    classes_of = [np.unique(each[each >= 0]) for each in np.asarray(classes).T]
    return np.array([each[0] if len(each) == 1 else -1 for each in classes_of])
