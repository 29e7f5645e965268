"""Samples that are in memory, or that any object hands out by number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

import numpy as np

from signalcam.data.collate import Entry, NotFinite, read_one_by_one, require_numbers, to_python
from signalcam.data.concat import Concatenation, check_some
from signalcam.data.file_stamp import digest
from signalcam.data.protocol import Batch, Reader
from signalcam.data.streaming import Keys, Stream, class_of, dataset_of_loader, is_by_number, is_pair
from signalcam.errors import InputError
from signalcam.inputs.layout import Layout, as_layout


@dataclass(frozen=True)
class InMemorySamples:
    """A reader of any sequence.

    Args:
        source: Hands out a sample, or a pair of one and its label, by number.
        labels: One a sample, which go before those of pairs.
        names: One a sample.
        layout: Of the samples.
        keys: What is what in samples that are dicts.
    """

    source: Any
    labels: Sequence[Any] | None = None
    names: Sequence[Any] | None = None
    layout: Layout | None = None
    keys: Keys = field(default_factory=Keys)

    def __len__(self) -> int:
        return len(self.source)

    @property
    def fingerprint(self) -> str:
        """Of all values of an array; of the first, middle and last sample of other sequences."""
        few = sorted({0, len(self) // 2, len(self) - 1}) if len(self) else []
        whole = isinstance(self.source, np.ndarray)
        arrays = [self.source] if whole else [self._sample(each)[0] for each in few]
        bytes_ = [np.ascontiguousarray(each).tobytes() for each in arrays]
        about = [self.layout, *(map(repr, each) if each is not None else () for each in (self.labels, self.names))]
        return digest([len(self), *bytes_, *about, *([self.keys] if self.keys != Keys() else [])])

    def read(self, numbers: Sequence[int]) -> Batch:
        """Read samples; see ``Reader``."""

        def entry(number: int) -> Entry:
            array, label, name = self._sample(number)
            label = label if self.labels is None else to_python(self.labels[number])
            return array, label, name if self.names is None else to_python(self.names[number])

        return read_one_by_one(require_numbers(numbers, len(self)), entry, self.layout)

    def _sample(self, number: int) -> Entry:
        """A sample, and its class and name where it comes with them."""
        item = self.source[number]
        alone = isinstance(item, tuple) and len(item) == 1 and np.ndim(item[0]) > 0
        pair = isinstance(item, tuple | list) and len(item) == 2 and is_pair(item)
        if alone or pair or isinstance(item, Mapping):
            array, label, name = self.keys.split(tuple(item) if pair else item)
        else:
            array, label, name = item, None, None
        array = array.detach().cpu() if hasattr(array, "detach") else array
        return np.asarray(array), None if label is None else class_of(label), to_python(name)


def of(
    samples: Any,
    *,
    labels: Sequence[Any] | str | None = None,
    names: Sequence[Any] | str | None = None,
    layout: Layout | str | Sequence[str] | None = None,
    nan: NotFinite = "report",
    inputs: str | None = None,
    length: int | None = None,
    edition: str | None = None,
) -> Reader:
    """Read samples from an array, a list, a loader, or any object that hands them out by number or in batches.

    Args:
        samples: What has a length and items: an array ``(n, ...)``, a memmap, a Zarr array, a list of arrays of any
            lengths, a ``Dataset`` of PyTorch; each item is a sample, or a pair of one and its label. Or what yields
            batches of these from the first one on each time it is gone through: a ``DataLoader`` that does not
            shuffle, a ``tf.data.Dataset``, a ``PyDataset`` of Keras, a function that makes a generator.
        labels: True classes, one a sample; or where they lie in items that are dicts.
        names: What they are called, likewise.
        layout: Names, rate and units of the axes, batch first.
        nan: ``"report"`` leaves out, and tells, samples with NaN or infinite values; ``"keep"`` keeps them.
        inputs: Where the samples lie in items that are dicts.
        length: How many samples a stream of batches has; ``None`` goes through it once to count them.
        edition: A word of yours for a stream, to be changed when its samples do; only the first ones are looked at.

    Raises:
        InputError: It hands out nothing by number, gives other samples each time, or labels or names are not one a
            sample.

    Example:
        >>> reader = sc.data.of(ecg, labels=[0, 1, 1, 0])
        >>> reader.read([2, 3]).labels
        (1, 0)
        >>> len(sc.data.of(lambda: (batch for batch in [(ecg[:3], [0, 1, 1]), (ecg[3:], [0])])))
        4
    """
    if isinstance(samples, str | PathLike):
        message = f"{str(samples)!r} is a path. Open it: sc.data.open({str(samples)!r})."
        raise InputError(message)
    source = dataset_of_loader(samples)
    keys, labels_and_names = _split_keys(inputs, labels, names)
    axes = as_layout(layout)
    own: Reader
    if is_by_number(source):
        if length is not None or edition is not None:
            message = f"length and edition are of streams of batches; the {len(source)} samples of {type(source).__name__} are read by number. Leave them out."
            raise InputError(message)
        own = InMemorySamples(source, *labels_and_names, axes, keys)
    else:
        own = Stream(source, keys, length, *labels_and_names, axes, edition)
    for what, entries in zip(("labels", "names"), labels_and_names, strict=True):
        if entries is not None and len(entries) != len(own):
            message = f"{len(entries)} {what} for {len(own)} samples. Give one each, in order."
            raise InputError(message)
    return check_some(Concatenation((own,), nan=nan), type(samples).__name__)


def _split_keys(
    inputs: str | None, labels: Any, names: Any
) -> tuple[Keys, tuple[Sequence[Any] | None, Sequence[Any] | None]]:
    """What lies in the samples' own dicts, and what is given beside them."""
    if inputs is None:
        return Keys(), (labels, names)
    keys = Keys(inputs, *(each if isinstance(each, str) else None for each in (labels, names)))
    return keys, (None if keys.labels else labels, None if keys.names else names)
