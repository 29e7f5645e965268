"""What a result keeps of a long record: the record itself, unread, and what was said of each window."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import xarray as xr

_OF_WINDOWS = {
    "score": "target",
    "target_class": "target",
    "logit": "class",
    "probability": "class",
}


@dataclass(frozen=True, eq=False)
class RecordArray:
    """One long sample that is read where it is indexed; it stands for an array ``(1, *axes)``.

    Attributes:
        source: What has a ``shape``, a ``dtype`` and slices, such as a Zarr array; ``None`` for a record
            that came in chunks and is gone: every value is NaN.
        shape: Of the record, with the axis of samples.
        dtype: Of its values.
        numpy: From a slice of the source to NumPy.
    """

    source: Any
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    numpy: Callable[[Any], np.ndarray] = np.asarray

    @property
    def ndim(self) -> int:
        """How many axes it has, the axis of samples included."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> np.ndarray:
        first, *rest = key if isinstance(key, tuple) else (key,)
        if self.source is None:
            nothing = np.broadcast_to(np.asarray(np.nan, self.dtype), self.shape)
            gone: np.ndarray = nothing[(first, *rest)]
            return gone
        piece: np.ndarray = self.numpy(self.source[tuple(rest) or ...])[None][first]
        return piece

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:  # noqa: FBT001 - as NumPy calls it
        return np.array(self[:], dtype=dtype, copy=copy)


def windows_table(
    values: Mapping[str, np.ndarray | None],
    targets: Sequence[str],
    classes: Sequence[str] | None,
    units: str,
) -> xr.Dataset:
    """Put together what was said of each window.

    Args:
        values: ``start`` and ``stop`` in samples, ``start_time`` and ``stop_time`` where there is a rate;
            ``score``, ``target_class``, ``logit``, ``probability`` and ``predicted``, see ``Explanation``; ``number``
            of a stretch's windows in the record, by default from 0 on.
        targets: Names of the questions.
        classes: Names of the classes, if they are known.
        units: Of the times.
    """
    import xarray as xr  # noqa: PLC0415 - not needed to import signalcam

    known = {name: each for name, each in values.items() if each is not None}
    numbers = known.pop("number", np.arange(len(known["start"])))
    coords: dict[str, Any] = {"window": numbers, "target": list(targets)}
    if "logit" in known:
        coords["class"] = list(classes or range(known["logit"].shape[1]))
    variables: dict[str, Any] = {}
    for name, each in known.items():
        dims = ("window", _OF_WINDOWS[name]) if name in _OF_WINDOWS else ("window",)
        variables[name] = (dims, each, {"units": units} if name.endswith("_time") and units else {})
    return xr.Dataset(variables, coords)
