"""Iteration over a reader in batches."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

from signalcam.data.protocol import Batch, Reader
from signalcam.errors import CamWarning, InputError, is_count


def batches(reader: Reader, size: int) -> Iterator[Batch]:
    """Read all samples in order, in batches, as ``Explainer.stream`` takes them.

    Args:
        reader: The samples.
        size: Samples per batch. A batch without a readable sample is left out, with a warning.

    Raises:
        InputError: ``size`` is no whole number above 0.

    Example:
        >>> reader = sc.data.of(ecg)
        >>> [len(exp) for exp in sc.Explainer(network).stream(sc.data.batches(reader, 3))]
        [3, 1]
    """
    if not is_count(size):
        message = f"size of a batch is {size!r}; expected a whole number above 0."
        raise InputError(message)
    for start in range(0, len(reader), size):
        batch = reader.read(range(start, min(start + size, len(reader))))
        if len(batch):
            yield batch
        else:
            why = next(iter(batch.failed.values()))
            message = f"none of the samples {start} to {start + len(batch.failed) - 1} could be read. The first: {why}"
            warnings.warn(message, CamWarning, stacklevel=2)
