"""``of``: a reader of samples in memory, from a loader, or from any object with numbered items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

import numpy as np

from signalcam.data.collate import Entry, NotFinite, read_one_by_one, require_numbers, to_python
from signalcam.data.concat import Concatenation, require_samples
from signalcam.data.file_stamp import digest
from signalcam.data.protocol import Batch, Reader
from signalcam.data.streaming import Keys, Stream, class_of, dataset_of_loader, is_by_number, is_pair
from signalcam.errors import InputError
from signalcam.inputs.layout import Layout, as_layout


@dataclass(frozen=True)
class InMemorySamples:
    """A reader of any sequence.

    Args:
        source: Sequence of samples, or of pairs of a sample and its label.
        labels: One per sample, in place of those in pairs.
        names: One per sample.
        layout: Layout of the samples.
        keys: Keys of samples that are dicts.
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
        """Hash of all values of an array, else of the first, middle and last sample."""
        probes = sorted({0, len(self) // 2, len(self) - 1}) if len(self) else []
        is_array = isinstance(self.source, np.ndarray)
        arrays = [self.source] if is_array else [self._sample(each)[0] for each in probes]
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
        """Read a sample, with its class and name if the item holds them."""
        item = self.source[number]
        is_single = isinstance(item, tuple) and len(item) == 1 and np.ndim(item[0]) > 0
        pair = isinstance(item, tuple | list) and len(item) == 2 and is_pair(item)
        if is_single or pair or isinstance(item, Mapping):
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
    """Read samples from an array, a list, a loader, or any object with numbered items or batches.

    Args:
        samples: An object with a length and items: an array ``(n, ...)``, a memmap, a Zarr array, a list of arrays, a
            PyTorch ``Dataset``. Each item is a sample, or a pair of a sample and its label. Or an iterable of batches
            that restarts: a ``DataLoader`` without shuffling, a ``tf.data.Dataset``, a Keras ``PyDataset``, a function
            that returns a generator.
        labels: True classes, one per sample; or their key in items that are dicts.
        names: Names, one per sample; or their key in items that are dicts.
        layout: Names, rate and units of the axes, batch first.
        nan: ``"report"`` lists samples with NaN or infinite values as failed; ``"keep"`` keeps them.
        inputs: Key of the samples in items that are dicts.
        length: Number of samples in a stream of batches; ``None`` runs through it once to count them.
        edition: Text that you change when a stream's samples change; only the first samples are hashed.

    Raises:
        InputError: The samples cannot be read by number or again, or labels or names are not one per sample.

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
    reader: Reader
    if is_by_number(source):
        if length is not None or edition is not None:
            message = f"length and edition apply to streams of batches; the {len(source)} samples of {type(source).__name__} are read by number. Leave them out."
            raise InputError(message)
        reader = InMemorySamples(source, *labels_and_names, axes, keys)
    else:
        reader = Stream(source, keys, length, *labels_and_names, axes, edition)
    for option, entries in zip(("labels", "names"), labels_and_names, strict=True):
        if entries is not None and len(entries) != len(reader):
            message = f"{len(entries)} {option} for {len(reader)} samples. Give one each, in order."
            raise InputError(message)
    return require_samples(Concatenation((reader,), nan=nan), type(samples).__name__)


def _split_keys(
    inputs: str | None, labels: Any, names: Any
) -> tuple[Keys, tuple[Sequence[Any] | None, Sequence[Any] | None]]:
    """Split labels and names into keys of dict samples and given sequences."""
    if inputs is None:
        return Keys(), (labels, names)
    keys = Keys(inputs, *(each if isinstance(each, str) else None for each in (labels, names)))
    return keys, (None if keys.labels else labels, None if keys.names else names)
