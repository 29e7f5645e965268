"""Aggregates of a job: counts, means, deviations and histograms of maps, per unit and over all units.

The sums of a unit depend on its stored maps alone. Sums are merged along a binary tree of unit numbers. So the
result is equal to the last bit, however many processes there were and whatever happened to them.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from signalcam.jobs import columns, events
from signalcam.jobs.codec import decode
from signalcam.jobs.store import QUARANTINED, JobStore
from signalcam.results.statistics import average, deviation, merge_moments, moments

if TYPE_CHECKING:
    import xarray as xr


def list_groups(about: Mapping[str, Any], names: Sequence[str]) -> list[list[str]]:
    """List the groups to aggregate, ``[kind, name]``: all, each class, right and wrong, each given group."""
    facts, by = about["facts"], about["job"]["aggregates"]["by"]
    classes = facts["class_names"] or [str(each) for each in range(facts["classes"] or 0)]
    names_of = {
        "label": classes if facts["labelled"] else [],
        "predicted": classes,
        "right": ["right", "wrong"] if facts["labelled"] and classes else [],
        "group": list(names),
    }
    return [
        ["all", "all"],
        *([kind, name] for kind in names_of if by is None or kind in by for name in names_of[kind]),
    ]


def group_masks(about: Mapping[str, Any], rows: Mapping[str, np.ndarray]) -> np.ndarray:
    """Which samples of a unit belong to which group, ``(group, sample)`` of bool."""
    good = rows["failed"] == ""
    classes = len(about["facts"]["class_names"] or range(about["facts"]["classes"] or 0))
    masks: dict[str, list[np.ndarray]] = {"all": [good]}
    for kind in ("label", "predicted"):
        if kind in rows:
            masks[kind] = [rows[kind] == number for number in range(classes)]
    if "label" in masks and "predicted" in masks:
        same, has_label = rows["label"] == rows["predicted"], rows["label"] >= 0
        masks["right"] = [same & has_label, ~same & has_label]
    names = [name for kind, name in about["groups"] if kind == "group"]
    masks["group"] = [rows["group"] == name for name in names]
    kinds = dict.fromkeys(kind for kind, _ in about["groups"])
    inside: np.ndarray = good & np.stack([each for kind in kinds for each in masks[kind]])
    return inside


def unit_sums(
    about: Mapping[str, Any], rows: Mapping[str, np.ndarray], unit_events: events.Pair | None = None
) -> dict[str, np.ndarray]:
    """Sum up one unit: count, mean, squared deviations and histogram of the maps of each group."""
    all_masks, bins = group_masks(about, rows), about["job"]["aggregates"]["bins"]
    good = all_masks.any(axis=0)
    masks = all_masks[:, good]
    least = -1.0 if about["job"]["explain"]["signed"] else 0.0
    sums = {"count": masks.sum(axis=1)}
    for number in range(len(about["facts"]["layers"])):
        maps = decode(rows[f"maps_{number}"][good])
        parts = [moments(maps[mask]) for mask in masks]
        sums[f"mean_{number}"] = np.stack([mean for _, mean, _ in parts])
        sums[f"squares_{number}"] = np.stack([squares for _, _, squares in parts])
        sums[f"histogram_{number}"] = _histograms(maps, masks, bins, least)
    return sums | columns.unit_score_sums(rows, all_masks) | events.unit_event_sums(about, rows, all_masks, unit_events)


def _histograms(maps: np.ndarray, belongs: np.ndarray, bins: int, least: float) -> np.ndarray:
    """Number of maps per bin from ``least`` to 1, ``(group, ..., bin)``."""
    cells = int(np.prod(maps.shape[1:]))
    flat = maps.reshape(len(maps), cells)
    bin_index = np.clip(((flat - least) / (1 - least) * bins).astype(np.int64), 0, bins - 1)
    bin_index += np.arange(cells) * bins
    counted = [np.bincount(bin_index[mask].ravel(), minlength=cells * bins) for mask in belongs]
    return np.stack(counted).reshape(len(belongs), *maps.shape[1:], bins).astype(np.uint32)


Sums = dict[str, np.ndarray]


def count_name(about: str, names: Iterable[str]) -> str:
    """Name of the count that belongs to a mean: of equal name, of equal first word, else ``count``."""
    candidates = {f"count_{about}", f"count_{about.partition('_')[0]}"}
    return next((each for each in names if each in candidates), "count")


def _merge(first: Sums, second: Sums) -> Sums:
    """Merge two sums: counts and histograms add up; means and deviations go through ``merge_moments``."""
    additive = ("count", "histogram")
    merged = {name: first[name] + second[name] for name in first if name.partition("_")[0] in additive}
    for name in first:
        kind, _, about = name.partition("_")
        if kind == "mean":
            moment_names = (count_name(about, first), name, f"squares_{about}")
            _, *both = merge_moments(
                (first[moment_names[0]], first[moment_names[1]], first[moment_names[2]]),
                (second[moment_names[0]], second[moment_names[1]], second[moment_names[2]]),
            )
            merged |= zip(moment_names[1:], both, strict=True)
    return merged


def _merge_tree(parts: Iterable[Sums]) -> Sums:
    """Merge sums pairwise in a binary tree; memory holds one per level."""
    waiting: list[tuple[int, Sums]] = []
    for sums in parts:
        level, merged = 0, sums
        while waiting and waiting[-1][0] == level:
            level, merged = level + 1, _merge(waiting.pop()[1], merged)
        waiting.append((level, merged))
    merged = waiting.pop()[1]
    while waiting:
        merged = _merge(waiting.pop()[1], merged)
    return merged


_UNITS_AT_ONCE = 4  # units whose sums are read at a time


def add_units(archive: JobStore, units: range, done: Container[int]) -> Sums:
    """Merge the sums of a range of units; units not in ``done`` count nothing."""
    return _merge_tree(_read_sums(archive, units, done))


def _read_sums(archive: JobStore, units: range, done: Container[int]) -> Iterator[Sums]:
    specs = archive.by_unit
    blank = {name: np.full(each.shape[1:], each.blank, _sum_dtype(each.dtype)) for name, each in specs.items()}
    for start in range(units.start, units.stop, _UNITS_AT_ONCE):
        batch = range(start, min(start + _UNITS_AT_ONCE, units.stop))
        flags = [each in done for each in batch]
        read = {name: archive.read(f"unit/{name}", slice(batch.start, batch.stop)) for name in specs if any(flags)}
        for number, is_done in enumerate(flags):
            yield (
                {name: each[number].astype(_sum_dtype(each.dtype)) for name, each in read.items()} if is_done else blank
            )


def _sum_dtype(dtype: Any) -> Any:
    """Dtype that holds the sum of many units without overflow."""
    return np.int64 if dtype == np.uint32 else dtype


def _block_sums(archive: JobStore, block: int, done: Container[int]) -> Sums:
    """Sums of a block, read from the block or merged from its units, which gives equal bits."""
    if not archive.is_merged(block):
        sums = add_units(archive, archive.units_of(block), done)
        if not archive.is_merged(block):  # else its units may have been deleted while they were read
            return sums
    return {name: archive.read(f"block/{name}", block) for name in archive.by_block}


def summary(store: str | PathLike[str]) -> xr.Dataset:
    """Summarise what a job has done so far, also while it runs.

    Maps are divided by their largest absolute value and kept at the layer's own resolution. Failed samples do not
    count.

    Args:
        store: The job's output.

    Returns:
        ``count``, and for each layer ``mean_0`` and ``std_0`` (population) with axes ``(of, target, cam, *positions)``.
        ``quantile_0`` has ``quantile`` first and is linear within a histogram's bin.
        ``of`` names the group: ``all``, ``label: AF``, ``predicted: AF``, ``right``, ``wrong``, ``group: ...``.
        A job with metrics adds ``metrics_mean``, ``metrics_std``, ``metrics_count``, ``(of, metric, target, scored,
        layer)``. A job with events adds ``around_mean_0`` and ``around_std_0``, with the axis ``around`` in place of time,
        ``around_count``, and ``outside_count``, the number of events left out.

    Raises:
        StoreError: The path holds no job's store.
    """
    return summarize_store(JobStore.open(Path(store)))


def summarize_store(archive: JobStore) -> xr.Dataset:
    """Summarise an open store; see ``summary``."""
    import xarray as xr  # noqa: PLC0415 - workers do not need it

    done = {each for each, failed in archive.status().items() if failed != QUARANTINED}
    rest = range(archive.blocks * archive.block, archive.units)
    block_sums = (_block_sums(archive, each, done) for each in range(archive.blocks))
    sums = _merge_tree(chain(block_sums, (add_units(archive, each, done) for each in [rest] if each)))
    variables = _variables(archive, sums)
    shares = archive.about["job"]["aggregates"]["quantiles"]
    least = -1.0 if archive.about["job"]["explain"]["signed"] else 0.0
    for i in range(len(archive.about["facts"]["layers"])):
        dims = archive.by_unit[f"mean_{i}"].dims[1:]
        quantiles = _quantiles(sums[f"histogram_{i}"], shares, least)
        variables[f"quantile_{i}"] = (("quantile", *dims), quantiles)
    coords: dict[str, Any] = {name: (name, *each) for name, each in archive.labels().items() if name != "class"}
    of = [name if kind in ("all", "right") else f"{kind}: {name}" for kind, name in archive.about["groups"]]
    return xr.Dataset(variables, {**coords, "of": of, "quantile": list(shares)})


def _variables(archive: JobStore, sums: Sums) -> dict[str, Any]:
    """Counts, means and standard deviations as variables of a data set."""
    variables: dict[str, Any] = {}
    for name, values in sums.items():
        kind, _, about = name.partition("_")
        dims = archive.by_unit[name].dims[1:]
        if kind == "count":
            variables[_summary_name(kind, about)] = (dims, values)
        elif kind == "mean":
            stored_moments = (sums[count_name(about, sums)], values, sums[f"squares_{about}"])
            variables[_summary_name("mean", about)] = (dims, average(stored_moments))
            variables[_summary_name("std", about)] = (dims, deviation(stored_moments))
    return variables


def _summary_name(kind: str, about: str) -> str:
    """Variable name in a summary: ``mean_0`` for maps, ``around_mean_0`` for events."""
    if not about or about.isdigit():
        return f"{kind}_{about}".strip("_")
    prefix, _, number = about.partition("_")
    return f"{prefix}_{kind}_{number}".strip("_")


def _quantiles(counts: np.ndarray, shares: Sequence[float], least: float) -> np.ndarray:
    """Quantiles ``(quantile, ...)`` from histograms ``(..., bin)``, linear within a bin."""
    bins = counts.shape[-1]
    below = counts.cumsum(axis=-1)
    total = below[..., -1]
    quantiles = []
    for share in shares:
        rank = share * total
        bin_index = np.minimum((below < rank[..., None]).sum(axis=-1), bins - 1)
        inside = np.take_along_axis(counts, bin_index[..., None], -1)[..., 0]
        before = np.take_along_axis(below, bin_index[..., None], -1)[..., 0] - inside
        along = bin_index + (rank - before) / np.maximum(inside, 1)
        quantiles.append(np.where(total > 0, least + (1 - least) * along / bins, np.nan))
    return np.stack(quantiles)
