"""The reader protocol and its batch: samples by number, and why others could not be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np

from signalcam.inputs.layout import Layout


@dataclass(frozen=True)
class Batch:
    """Some samples of a reader; ``explain`` accepts it directly.

    Attributes:
        inputs: The readable samples, ``(n, ...)``, in the requested order; a list of ``n`` arrays if their shapes
            differ.
        numbers: The number of each sample in the reader.
        labels: True classes, by index or name; ``None`` if the data have none.
        names: Names of the samples; ``None`` if the data have none.
        failed: Reason for each sample that could not be read, by its number.
        layout: Names, rate and units of the axes of ``inputs``; ``None`` if unknown.
    """

    inputs: np.ndarray | list[np.ndarray]
    numbers: tuple[int, ...]
    labels: tuple[Any, ...] | None = None
    names: tuple[Any, ...] | None = None
    failed: Mapping[int, str] = field(default_factory=dict)
    layout: Layout | None = None

    def __len__(self) -> int:
        """Number of readable samples."""
        return len(self.numbers)


@runtime_checkable
class Reader(Protocol):
    """Samples that are read by number when needed.

    A reader can be pickled. The copy holds no open file: each process opens its own.
    """

    @property
    def layout(self) -> Layout | None:
        """Names, rate, channels and units of the axes, batch first; ``None`` if unknown."""
        ...

    @property
    def fingerprint(self) -> str:
        """Short text that changes when the data, or the way they are read, change."""
        ...

    def __len__(self) -> int: ...

    def read(self, numbers: Sequence[int]) -> Batch:
        """Read some samples; one that cannot be read is listed in ``failed`` of the batch.

        Args:
            numbers: Numbers from 0 to below the length, in any order.

        Raises:
            InputError: A number is out of range.
            MissingExtra: The package that reads such files is not installed.
        """
        ...
