"""Samples that are in memory, or that any object hands out by number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from signalcam.data.gathering import Entry, NotFinite, checked, gathered, plain
from signalcam.data.joined import Joined, check_some
from signalcam.data.protocol import Batch, Reader
from signalcam.data.stamps import digest
from signalcam.errors import InputError
from signalcam.layout import Layout, as_layout


@dataclass(frozen=True)
class Samples:
    """A reader of any sequence.

    Args:
        given: Hands out a sample, or a pair of one and its label, by number.
        labels: One a sample, which go before those of pairs.
        names: One a sample.
        layout: Of the samples.
    """

    given: Any
    labels: Sequence[Any] | None = None
    names: Sequence[Any] | None = None
    layout: Layout | None = None

    def __len__(self) -> int:
        return len(self.given)

    @property
    def fingerprint(self) -> str:
        """Of all values of an array; of the first, middle and last sample of other sequences."""
        few = sorted({0, len(self) // 2, len(self) - 1}) if len(self) else []
        whole = isinstance(self.given, np.ndarray)
        shown = [self.given] if whole else [_sample(self.given[each])[0] for each in few]
        bytes_ = [np.ascontiguousarray(each).tobytes() for each in shown]
        return digest([len(self), *bytes_, self.layout, *(map(repr, each) if each is not None else () for each in (self.labels, self.names))])  # fmt: skip

    def read(self, numbers: Sequence[int]) -> Batch:
        """Read samples; see ``Reader``."""

        def entry(number: int) -> Entry:
            array, own = _sample(self.given[number])
            label = own if self.labels is None else self.labels[number]
            return array, plain(label), None if self.names is None else plain(self.names[number])

        return gathered(checked(numbers, len(self)), entry, self.layout)


def _sample(item: Any) -> tuple[np.ndarray, Any]:
    """A sample and, where it comes as a pair, its label."""
    pair = isinstance(item, tuple | list) and len(item) == 2 and np.ndim(item[1]) == 0
    array, label = item if pair and np.ndim(item[0]) else (item, None)
    array = array.detach().cpu() if hasattr(array, "detach") else array
    return np.asarray(array), label


def of(
    samples: Any,
    *,
    labels: Sequence[Any] | None = None,
    names: Sequence[Any] | None = None,
    layout: Layout | str | Sequence[str] | None = None,
    nan: NotFinite = "report",
) -> Reader:
    """Read samples from an array, a list or any object with a length and items by number.

    Args:
        samples: The object: an array ``(n, ...)``, a memmap, a Zarr array, a list of arrays of any lengths, a
            ``Dataset`` of PyTorch; what it hands out is a sample, or a pair of one and its label.
        labels: True classes, one a sample.
        names: What they are called, one a sample.
        layout: Names, rate and units of the axes, batch first.
        nan: ``"report"`` leaves out, and tells, samples with NaN or infinite values; ``"keep"`` keeps them.

    Raises:
        InputError: It hands out nothing by number, or labels or names are not one a sample.

    Example:
        >>> reader = sc.data.of(ecg, labels=[0, 1, 1, 0])
        >>> reader.read([2, 3]).labels
        (1, 0)
    """
    if not hasattr(samples, "__getitem__") or not hasattr(samples, "__len__"):
        message = f"{type(samples).__name__} hands out no samples by number. Pass what has a length and items, or stream it: Explainer(...).stream(batches)."
        raise InputError(message)
    for what, each in (("labels", labels), ("names", names)):
        if each is not None and len(each) != len(samples):
            message = f"{len(each)} {what} for {len(samples)} samples. Give one each, in order."
            raise InputError(message)
    own = Samples(samples, labels, names, as_layout(layout))
    return check_some(Joined((own,), nan=nan), type(samples).__name__)
