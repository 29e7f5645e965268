"""What a job has summed up, as results in which each sample is a group: its mean map, and the deviation around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from signalcam.errors import InputError, MethodError, TargetError, nearest
from signalcam.explanation import Explanation

if TYPE_CHECKING:
    import xarray as xr

KINDS = {
    "class": "label",
    "label": "label",
    "predicted": "predicted",
    "outcome": "right",
    "right": "right",
    "group": "group",
}


@dataclass(frozen=True, eq=False)
class Summed:
    """Means over all samples of a job and over groups of them.

    Maps count divided by their largest absolute value, and those that failed do not.

    Attributes:
        mean: A result with a sample for each group, which is named after it; of the input nothing is known.
        deviation: The same of the standard deviations.
        kinds: What each group is told apart by: ``all``, ``label``, ``predicted``, ``right`` or ``group``.
        counts: Of its samples, one at least.
        shares: Of which quantiles are known, the least first.
        quantile: The same as ``mean`` of one of these, by its number.
    """

    mean: Explanation
    deviation: Explanation
    kinds: tuple[str, ...]
    counts: tuple[int, ...]
    shares: tuple[float, ...]
    quantile: Callable[[int], Explanation]

    def rows(self, by: str | None) -> list[int]:
        """The numbers of the groups that samples are told apart by; that of all samples for ``None``.

        Raises:
            InputError: Nothing was explained yet.
            TargetError: The job did not sum up by that.
        """
        if not self.counts:
            message = "the job has explained no sample yet, so there is nothing to draw. Look again when it has."
            raise InputError(message)
        kind = kind_of(by)
        found = [number for number, each in enumerate(self.kinds) if each == kind]
        if not found:
            known = ", ".join(repr(each) for each in dict.fromkeys(self.kinds) if each != "all") or "no grouping"
            message = f"the job has summed up nothing by {by!r}, but by {known}. Take one of these, or leave by= out."
            raise TargetError(message)
        return found


def kind_of(by: str | None) -> str:
    """What samples are told apart by, however it was written.

    Raises:
        MethodError: There is no such grouping.
    """
    if by is not None and by not in KINDS:
        message = f"there is no grouping {by!r}.{nearest(str(by), KINDS)} Choose {', '.join(map(repr, KINDS))}."
        raise MethodError(message)
    return "all" if by is None else KINDS[by]


def store_of(exp: Explanation) -> Path | None:
    """The store of the job that all samples of a result are those of; nothing for parts, and for other results."""
    return getattr(exp.layers[0].values, "store", None)


def summed(exp: Explanation) -> Summed | None:
    """What the job of a result has summed up so far; nothing where the result is not the whole of a job's."""
    store = store_of(exp)
    if store is None:
        return None
    table = _table(store).sortby("quantile")
    counts = table["count"].values
    there = np.flatnonzero(counts)
    parted = [_parted(str(table["of"].values[number])) for number in there]
    names = [name for _, name in parted]
    result = partial(_result, exp, there=there, names=names)
    return Summed(
        result(table, "mean"),
        result(table, "std"),
        tuple(kind for kind, _ in parted),
        tuple(counts[there].tolist()),
        tuple(table["quantile"].values.tolist()),
        lambda number: result(table.isel(quantile=number), "quantile"),
    )


def _table(store: Path) -> xr.Dataset:
    """What was written when the job was done; while it runs what its units have given."""
    import xarray as xr  # noqa: PLC0415 - not needed to import signalcam

    from signalcam.jobs import status, summary  # noqa: PLC0415 - a floor above, which makes such stores

    if (store / "summary").is_dir() and not status(store).running:
        kept: xr.Dataset = xr.open_zarr(store, group="summary", chunks=None)
        return kept
    return summary(store)


def _parted(of: str) -> tuple[str, str]:
    """Kind and name of a group."""
    kind, colon, name = of.partition(": ")
    if colon:
        return kind, name
    return ("all", "all") if of == "all" else ("right", of)


def _result(exp: Explanation, table: xr.Dataset, what: str, *, there: np.ndarray, names: Sequence[str]) -> Explanation:
    """A result whose samples are groups, with nothing of what only samples have."""
    layers = [
        replace(layer, values=np.asarray(table[f"{what}_{number}"].values[there], np.float32))
        for number, layer in enumerate(exp.layers)
    ]
    asked = np.tile(_asked(exp.target_classes), (len(there), 1))
    nothing: dict[str, Any] = dict.fromkeys(
        ("logits", "probabilities", "classes", "true_classes", "windows", "metrics")
    )
    return replace(
        exp,
        layers=tuple(layers),
        input=np.broadcast_to(np.float32(np.nan), (len(there), *exp.input.shape[1:])),
        scores=np.full(asked.shape, np.nan),
        target_classes=asked,
        sample_names=tuple(names),
        failed=(),
        provenance={**exp.provenance, "normalized": "max"},
        **nothing,
    )


def _asked(classes: np.ndarray) -> np.ndarray:
    """The class that each target is about where it is the same for all samples, else -1: ``(target,)``."""
    known = [np.unique(each[each >= 0]) for each in np.asarray(classes).T]
    return np.array([each[0] if len(each) == 1 else -1 for each in known])
