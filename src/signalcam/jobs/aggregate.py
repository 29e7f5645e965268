"""What maps have in common: counts, means, deviations and histograms of each unit, and all units as one.

Each unit's part is a function of its stored maps alone, and parts are put together along a tree that only
depends on their numbers. So the result is the same to the last bit, however many processes there were and
whatever happened to them.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from signalcam.jobs.archive import QUARANTINED, Archive

if TYPE_CHECKING:
    import xarray as xr


def decoded(stored: np.ndarray) -> np.ndarray:
    """Maps as they were stored, as numbers whose largest is 1."""
    return stored / 255 if stored.dtype.kind == "u" else stored.astype(np.float64)


def groups(about: Mapping[str, Any], names: Sequence[str]) -> list[list[str]]:
    """What aggregates are of, pairs of kind and name: all samples, each class, right and wrong, each group."""
    facts, by = about["facts"], about["job"]["aggregates"]["by"]
    classes = facts["class_names"] or [str(each) for each in range(facts["classes"] or 0)]
    known = {
        "label": classes if facts["labelled"] else [],
        "predicted": classes,
        "right": ["right", "wrong"] if facts["labelled"] and classes else [],
        "group": list(names),
    }
    return [
        ["all", "all"],
        *([kind, name] for kind in known if by is None or kind in by for name in known[kind]),
    ]


def members(about: Mapping[str, Any], rows: Mapping[str, np.ndarray]) -> np.ndarray:
    """Which samples of a unit belong to what: ``(group, sample)``."""
    good = rows["failed"] == ""
    classes = len(about["facts"]["class_names"] or range(about["facts"]["classes"] or 0))
    masks: dict[str, list[np.ndarray]] = {"all": [good]}
    for kind in ("label", "predicted"):
        if kind in rows:
            masks[kind] = [rows[kind] == number for number in range(classes)]
    if "label" in masks and "predicted" in masks:
        same, known = rows["label"] == rows["predicted"], rows["label"] >= 0
        masks["right"] = [same & known, ~same & known]
    names = [name for kind, name in about["groups"] if kind == "group"]
    masks["group"] = [rows["group"] == name for name in names]
    kinds = dict.fromkeys(kind for kind, _ in about["groups"])
    found: np.ndarray = good & np.stack([each for kind in kinds for each in masks[kind]])
    return found


def part(about: Mapping[str, Any], rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What one unit adds: the count of each group, and mean, squared deviations and histogram of its maps."""
    belongs, bins = members(about, rows), about["job"]["aggregates"]["bins"]
    good = belongs.any(axis=0)
    belongs = belongs[:, good]
    least = -1.0 if about["job"]["explain"]["signed"] else 0.0
    sums = {"count": belongs.sum(axis=1)}
    for number in range(len(about["facts"]["layers"])):
        maps = decoded(rows[f"maps_{number}"][good])
        parts = [_moments(maps[here]) for here in belongs]
        sums[f"mean_{number}"] = np.stack([mean for mean, _ in parts])
        sums[f"squares_{number}"] = np.stack([squares for _, squares in parts])
        sums[f"histogram_{number}"] = _histograms(maps, belongs, bins, least)
    return sums


def _moments(maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if not len(maps):
        return np.zeros(maps.shape[1:]), np.zeros(maps.shape[1:])
    mean = maps.mean(axis=0)
    return mean, ((maps - mean) ** 2).sum(axis=0)


def _histograms(maps: np.ndarray, belongs: np.ndarray, bins: int, least: float) -> np.ndarray:
    """How many maps of each group fall into each bin from ``least`` to 1, at every position."""
    cells = int(np.prod(maps.shape[1:]))
    flat = maps.reshape(len(maps), cells)
    which = np.clip(((flat - least) / (1 - least) * bins).astype(np.int64), 0, bins - 1)
    which += np.arange(cells) * bins
    counted = [np.bincount(which[here].ravel(), minlength=cells * bins) for here in belongs]
    return np.stack(counted).reshape(len(belongs), *maps.shape[1:], bins).astype(np.uint32)


Moments = tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]


def _merge(one: Moments, two: Moments) -> Moments:
    """Put two parts together (Chan, Golub and LeVeque 1983, eq. 2.1)."""
    (count, means, squares), (more, others, further) = one, two
    total = count + more
    mean_of, squares_of = [], []
    for a, b, s, t in zip(means, others, squares, further, strict=True):
        wide = (-1, *[1] * (a.ndim - 1))
        share = (more / np.maximum(total, 1)).reshape(wide)
        mean_of.append(a + (b - a) * share)
        squares_of.append(s + t + (b - a) ** 2 * (count.reshape(wide) * share))
    return total, mean_of, squares_of


def _tree(parts: Iterable[Moments]) -> Moments:
    """Merge neighbours, then neighbours of these, and so on; no more than one a level is held."""
    waiting: list[tuple[int, Moments]] = []
    for each in parts:
        level, merged = 0, each
        while waiting and waiting[-1][0] == level:
            level, merged = level + 1, _merge(waiting.pop()[1], merged)
        waiting.append((level, merged))
    merged = waiting.pop()[1]
    while waiting:
        merged = _merge(waiting.pop()[1], merged)
    return merged


Sums = dict[str, np.ndarray]
_AT_ONCE = 16  # units whose sums are read at a time


def added(archive: Archive, units: range, done: Container[int]) -> Sums:
    """The sums of neighbouring units as one's; of those that are not done nothing counts."""
    layers = range(len(archive.about["facts"]["layers"]))
    histograms = [np.zeros(archive.by_unit[f"histogram_{i}"].shape[1:], np.int64) for i in layers]

    def parts() -> Iterator[Moments]:
        for own in _read(archive, units, done):
            for i in layers:
                histograms[i] += own[f"histogram_{i}"]
            yield _moments_of(own)

    count, means, squares = _tree(parts())
    found = {"count": count}
    for i in layers:
        found |= {f"mean_{i}": means[i], f"squares_{i}": squares[i], f"histogram_{i}": histograms[i]}  # fmt: skip
    return found


def _read(archive: Archive, units: range, done: Container[int]) -> Iterator[Sums]:
    kept = archive.by_unit
    blank = {name: np.full(each.shape[1:], each.blank, each.dtype) for name, each in kept.items()}
    for start in range(units.start, units.stop, _AT_ONCE):
        some = range(start, min(start + _AT_ONCE, units.stop))
        known = [each in done for each in some]
        read = {name: archive.array(f"unit/{name}")[some.start : some.stop] for name in kept if any(known)}  # fmt: skip
        for number, is_done in enumerate(known):
            yield {name: each[number] for name, each in read.items()} if is_done else blank


def _moments_of(sums: Sums) -> Moments:
    layers = range(sum(name.startswith("mean_") for name in sums))
    return (
        sums["count"],
        [sums[f"mean_{i}"] for i in layers],
        [sums[f"squares_{i}"] for i in layers],
    )


def _block(archive: Archive, block: int, done: Container[int]) -> Sums:
    """The sums of a block, from itself or from its units: the same bits, also when it is put together just now."""
    if not archive.is_rolled(block):
        found = added(archive, archive.units_of(block), done)
        if not archive.is_rolled(block):  # else units may have been taken away while they were read
            return found
    return {name: archive.array(f"block/{name}")[block] for name in archive.by_block}


def summary(store: str | PathLike[str]) -> xr.Dataset:
    """Sum up what a job has done so far, also while it runs.

    Maps count divided by their largest absolute value, at the layer's own resolution; those that failed do not.

    Args:
        store: The job's output.

    Returns:
        For each layer ``mean_0``, ``std_0`` (over all maps, not one less) with axes ``(of, target, method,
        *positions)`` and ``quantile_0`` with ``quantile`` first, linear within a histogram's bin; ``count``. ``of`` says
        what of: ``all``, ``label: AF``, ``predicted: AF``, ``right``, ``wrong``, ``group: ...``.

    Raises:
        StoreError: There is no job's store.
    """
    return summed(Archive.open(Path(store)))


def summed(archive: Archive) -> xr.Dataset:
    """See ``summary``."""
    import xarray as xr  # noqa: PLC0415 - workers do not need it

    layers = range(len(archive.about["facts"]["layers"]))
    done = {each for each, failed in archive.status().items() if failed != QUARANTINED}
    histograms = [np.zeros(archive.by_unit[f"histogram_{i}"].shape[1:], np.int64) for i in layers]
    rest = range(archive.blocks * archive.block, archive.units)

    def parts() -> Iterator[Moments]:
        whole = (_block(archive, each, done) for each in range(archive.blocks))
        last = [added(archive, rest, done)] if rest else []
        for sums in chain(whole, last):
            for i in layers:
                histograms[i] += sums[f"histogram_{i}"]
            yield _moments_of(sums)

    count, means, squares = _tree(parts())
    wanted = archive.about["job"]["aggregates"]["quantiles"]
    variables: dict[str, Any] = {"count": (("of",), count)}
    for i in layers:
        dims = archive.by_unit[f"mean_{i}"].dims[1:]
        none = (count == 0).reshape(-1, *[1] * (len(dims) - 1))
        spread = np.sqrt(squares[i] / np.where(none, 1, count.reshape(none.shape)))
        least = -1.0 if archive.about["job"]["explain"]["signed"] else 0.0
        variables[f"mean_{i}"] = (dims, np.where(none, np.nan, means[i]))
        variables[f"std_{i}"] = (dims, np.where(none, np.nan, spread))
        variables[f"quantile_{i}"] = (("quantile", *dims), _quantiles(histograms[i], wanted, least))
    coords: dict[str, Any] = {name: (name, *each) for name, each in archive.labels().items() if name != "class"}  # fmt: skip
    of = [name if kind in ("all", "right") else f"{kind}: {name}" for kind, name in archive.about["groups"]]  # fmt: skip
    return xr.Dataset(variables, {**coords, "of": of, "quantile": list(wanted)})


def _quantiles(counts: np.ndarray, wanted: Sequence[float], least: float) -> np.ndarray:
    """Where a share of all maps lies below: ``(quantile, ...)`` from histograms ``(..., bin)``."""
    bins = counts.shape[-1]
    below = counts.cumsum(axis=-1)
    total = below[..., -1]
    found = []
    for share in wanted:
        asked = share * total
        place = np.minimum((below < asked[..., None]).sum(axis=-1), bins - 1)
        inside = np.take_along_axis(counts, place[..., None], -1)[..., 0]
        before = np.take_along_axis(below, place[..., None], -1)[..., 0] - inside
        along = place + (asked - before) / np.maximum(inside, 1)
        found.append(np.where(total > 0, least + (1 - least) * along / bins, np.nan))
    return np.stack(found)
