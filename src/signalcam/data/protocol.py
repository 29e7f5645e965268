"""What every reader promises: samples by number, read when they are needed, and what could not be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np

from signalcam.inputs.layout import Layout


@dataclass(frozen=True)
class Batch:
    """Some samples of a reader; ``explain`` takes it as it is.

    Attributes:
        inputs: The samples that could be read, ``(n, ...)``, in the order asked for; a list of ``n`` arrays where
            their shapes differ.
        numbers: Which samples of the reader these are, one each.
        labels: Their true classes, by index or name; ``None`` where the data have none.
        names: What they are called; ``None`` where the data have no names.
        failed: Why each of the others could not be read: one sentence, by its number.
        layout: Names, rate and units of the axes of ``inputs``; ``None`` where nothing is known.
    """

    inputs: np.ndarray | list[np.ndarray]
    numbers: tuple[int, ...]
    labels: tuple[Any, ...] | None = None
    names: tuple[Any, ...] | None = None
    failed: Mapping[int, str] = field(default_factory=dict)
    layout: Layout | None = None

    def __len__(self) -> int:
        """How many could be read."""
        return len(self.numbers)


@runtime_checkable
class Reader(Protocol):
    """Samples that are read when they are needed, by number.

    A reader can be pickled, and holds no open file afterwards: each process opens its own.

    """

    @property
    def layout(self) -> Layout | None:
        """Names, rate, channels and units of the axes, batch first; ``None`` where nothing is known."""
        ...

    @property
    def fingerprint(self) -> str:
        """A short text that changes when the data, or how they are read, do."""
        ...

    def __len__(self) -> int: ...

    def read(self, numbers: Sequence[int]) -> Batch:
        """Read some samples; one that cannot be read is in ``failed`` of the batch, and stops nothing.

        Args:
            numbers: Which, each from 0 on and below the length, in any order.

        Raises:
            InputError: A number is none of the reader's.
            MissingExtra: What reads such files is not installed.
        """
        ...
