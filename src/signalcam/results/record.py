"""Here you find what a result holds of a long record: the record, lazily read, and its table of windows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from signalcam.results.lazy_array import LazyArray

if TYPE_CHECKING:
    import xarray as xr

_SECOND_AXES = {
    "score": "target",
    "target_class": "target",
    "logit": "class",
    "probability": "class",
}


@dataclass(frozen=True, eq=False)
class RecordArray(LazyArray):
    """One long sample that is read where it is indexed; its shape is ``(1, *axes)``.

    Attributes:
        source: An object with ``shape``, ``dtype`` and slices, such as a Zarr array; ``None`` for a record that came in
            chunks and was not stored: every value is NaN then.
        shape: Shape of the record, with the axis of samples.
        dtype: Type of its values.
        numpy: Convert a slice of the source to NumPy.
    """

    source: Any
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    numpy: Callable[[Any], np.ndarray] = np.asarray

    def __getitem__(self, key: Any) -> np.ndarray:
        first, *rest = key if isinstance(key, tuple) else (key,)
        if self.source is None:
            all_nan = np.broadcast_to(np.asarray(np.nan, self.dtype), self.shape)
            missing: np.ndarray = all_nan[(first, *rest)]
            return missing
        values: np.ndarray = self.numpy(self.source[tuple(rest) or ...])[None][first]
        return values


def windows_table(
    values: Mapping[str, np.ndarray | None],
    targets: Sequence[str],
    classes: Sequence[str] | None,
    units: str,
) -> xr.Dataset:
    """Build the table of windows.

    Args:
        values: ``start`` and ``stop`` in samples, ``start_time`` and ``stop_time`` if there is a sampling rate;
            ``score``, ``target_class``, ``logit``, ``probability`` and ``predicted``, see ``Explanation``; ``number``,
            the windows' indices in the record, 0, 1, ... by default.
        targets: Names of the targets.
        classes: Names of the classes, or ``None``.
        units: Units of the times.
    """
    import xarray as xr  # noqa: PLC0415 - not needed to import signalcam

    arrays = {name: each for name, each in values.items() if each is not None}
    numbers = arrays.pop("number", np.arange(len(arrays["start"])))
    coords: dict[str, Any] = {"window": numbers, "target": list(targets)}
    if "logit" in arrays:
        coords["class"] = list(classes or range(arrays["logit"].shape[1]))
    variables: dict[str, Any] = {}
    for name, column in arrays.items():
        dims = ("window", _SECOND_AXES[name]) if name in _SECOND_AXES else ("window",)
        variables[name] = (dims, column, {"units": units} if name.endswith("_time") and units else {})
    return xr.Dataset(variables, coords)
