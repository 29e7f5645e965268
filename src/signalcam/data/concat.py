"""The concatenation of readers; samples whose axes, rate, channels or units differ are listed as failed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from signalcam.data.collate import Entry, NotFinite, check_numbers, collate_samples, describe_error, require_numbers
from signalcam.data.file_stamp import digest
from signalcam.data.protocol import Batch, Reader
from signalcam.data.units import normalize_unit
from signalcam.data.windows import merge_layouts
from signalcam.errors import InputError
from signalcam.inputs.layout import Layout, same_rate


@dataclass(frozen=True)
class UnreadableFile:
    """A reader of one failed sample, in place of a file that cannot be opened."""

    path: str
    reason: str
    layout: None = None

    def __len__(self) -> int:
        return 1

    @property
    def fingerprint(self) -> str:
        """Hash of path and reason."""
        return digest([self.path, self.reason])

    def read(self, numbers: Sequence[int]) -> Batch:
        """Return a batch with the reason for each number."""
        return collate_samples([], {}, dict.fromkeys(require_numbers(numbers, 1), self.reason), None)


@dataclass(frozen=True, repr=False)
class Concatenation:
    """Readers one after another.

    Args:
        parts: The readers. Their layouts must agree with ``declared``, and with the first layout that is known.
        declared: Layout given by the user; it takes precedence over those of the parts.
        names: Names of the parts, for messages.
        nan: ``"report"`` lists samples with NaN or infinite values as failed; ``"keep"`` keeps them.
    """

    parts: Sequence[Reader]
    declared: Layout | None = None
    names: Sequence[str] | None = None
    nan: NotFinite = "report"

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __repr__(self) -> str:
        """Number of samples, axes and rate, on one line."""
        layout = self.layout
        axes = f", {' '.join(layout.dims[1:])}" if layout else ""
        rate = f", {layout.sampling_rate:g} a second" if layout and layout.sampling_rate else ""
        return f"{type(self).__name__} of {len(self)} samples{axes}{rate}"

    @cached_property
    def _ends(self) -> np.ndarray:
        return np.cumsum([len(part) for part in self.parts], dtype=np.int64)

    @cached_property
    def layout(self) -> Layout | None:
        """Layout of all samples."""
        return _common_layout(next(filter(None, (part.layout for part in self.parts)), None), self.declared)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the fingerprints of all parts, in order."""
        return digest([self.declared, self.nan, *(part.fingerprint for part in self.parts)])

    def read(self, numbers: Sequence[int]) -> Batch:
        """Read samples of any of the parts; see ``Reader``."""
        requested = np.asarray(require_numbers(numbers, len(self)), dtype=np.int64)
        entries: dict[int, Entry] = {}
        failed: dict[int, str] = {}
        owners = np.searchsorted(self._ends, requested, side="right")
        for owner in np.unique(owners):
            start = int(self._ends[owner]) - len(self.parts[owner])
            batch = self.parts[owner].read((requested[owners == owner] - start).tolist())
            about = f"{self.names[owner]}: " if self.names else ""
            failed |= {number + start: about + reason for number, reason in batch.failed.items()}
            sound = isinstance(batch.inputs, np.ndarray) and not self._fault(batch, batch.inputs)
            for number, entry in _split_entries(batch):
                if not sound and (reason := self._fault(batch, entry[0])):
                    failed[number + start] = about + reason
                else:
                    entries[number + start] = entry
        return collate_samples(requested.tolist(), entries, failed, self.layout)

    def _fault(self, batch: Batch, sample: np.ndarray) -> str:
        """Why a sample cannot be used; empty if it can."""
        try:
            check_numbers(sample, self.nan)
        except InputError as error:
            return describe_error(error)
        return describe_difference(batch.layout, self.layout)


def _split_entries(batch: Batch) -> Iterator[tuple[int, Entry]]:
    none = (None,) * len(batch)
    rows = zip(batch.inputs, batch.labels or none, batch.names or none, strict=True)
    return zip(batch.numbers, rows, strict=True)


def _common_layout(first: Layout | None, declared: Layout | None) -> Layout | None:
    """Complete the declared layout by that of the first part."""
    return merge_layouts(declared, first) if declared else first


def describe_difference(layout: Layout | None, expected: Layout | None) -> str:
    """Why a layout does not agree with the expected one; empty if it does."""
    if layout is None or expected is None:
        return ""
    checks = (_compare_axes, _compare_rates, _compare_channels, _compare_units, _compare_spacing)
    return next(filter(None, (check(layout, expected) for check in checks)), "")


def _compare_axes(layout: Layout, expected: Layout) -> str:
    if layout.dims == expected.dims:
        return ""
    return f"has axes {' '.join(layout.dims)!r}, but {' '.join(expected.dims)!r} are expected. Leave it out."


def _compare_rates(layout: Layout, expected: Layout) -> str:
    rates = layout.sampling_rate, expected.sampling_rate
    if not (rates[0] and rates[1]) or same_rate(rates[0], rates[1]):
        return ""
    return f"has {rates[0]:g} samples a second, but {rates[1]:g} are expected. Resample it, or leave it out."


def _compare_channels(layout: Layout, expected: Layout) -> str:
    channels = layout.channel_names, expected.channel_names
    if not (channels[0] and channels[1]) or channels[0] == channels[1]:
        return ""
    return f"has channels {_shorten_names(channels[0])}, but {_shorten_names(channels[1])} are expected. Choose the same of all with channels=[...], or leave it out."


def _compare_units(layout: Layout, expected: Layout) -> str:
    units = layout.units, expected.units
    if not (units[0] and units[1]) or normalize_unit(units[0]) == normalize_unit(units[1]):
        return ""
    return f"is in {units[0]}, but {units[1]} is expected. Convert it, or leave it out."


def _compare_spacing(layout: Layout, expected: Layout) -> str:
    steps, expected_steps = layout.spacing or {}, expected.spacing or {}
    for dim in [each for each in steps if each in expected_steps]:
        units = layout.unit(dim), expected.unit(dim)
        if not same_rate(steps[dim], expected_steps[dim]) or (all(units) and units[0] != units[1]):
            return f"has a {dim} step of {steps[dim]:g} {units[0]}, but {expected_steps[dim]:g} {units[1]} is expected. Resample it, or leave it out."
    return ""


def _shorten_names(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) < 14 else f"{', '.join(names[:12])}, ... ({len(names)})"


def require_samples(reader: Reader, name: str) -> Reader:
    """Return the reader; raise ``InputError`` if it has no samples."""
    if not len(reader):
        message = f"{name} holds no samples. Give data with samples; windows around events need events in a file."
        raise InputError(message)
    return reader
