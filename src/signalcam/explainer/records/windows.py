"""Windows of a long record in order: every sample is read once, and few are held."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from signalcam.errors import InputError, LayoutError

_BLOCK = 2**16  # samples read at a time, unless a window is longer


def iterate_chunks(record: Any, axis: int, least: int, numpy: Callable[[Any], np.ndarray]) -> Iterator[np.ndarray]:
    """Read a record from beginning to end.

    Args:
        record: An array, or what has a ``shape`` and slices, or an iterable of such, one after another.
        axis: Along which it is long.
        least: Samples to read at a time, at least.
        numpy: From what a slice gives to NumPy.
    """
    if not hasattr(record, "shape"):
        if isinstance(record, str | bytes | dict) or not hasattr(record, "__iter__"):
            message = f"the record is {type(record).__name__}; expected an array, what has a shape and slices, or an iterable of chunks."
            raise InputError(message)
        yield from _check_pieces(map(numpy, iter(record)), axis)
        return
    own = getattr(record, "chunks", None)  # of a file: a part of one would be read twice
    unit = int(own[axis]) if own and isinstance(own[axis], int) else 1
    size = -(-max(least, _BLOCK) // unit) * unit
    for start in range(0, int(record.shape[axis]), size):
        yield numpy(record[(*[slice(None)] * axis, slice(start, start + size))])


def _check_pieces(pieces: Iterator[np.ndarray], axis: int) -> Iterator[np.ndarray]:
    """Yield the chunks, which must be alike but for their length."""
    first: tuple[int, ...] | None = None
    for piece in pieces:
        if piece.ndim <= axis:
            message = f"a chunk has shape {piece.shape}, but axis {axis} is to be the time. Give chunks with all axes of the record."
            raise LayoutError(message)
        shape = (*piece.shape[:axis], *piece.shape[axis + 1 :])
        first = shape if first is None else first
        if shape != first:
            message = f"a chunk has shape {piece.shape}; but for its length along axis {axis} it must be like those before it."
            raise LayoutError(message)
        if piece.shape[axis]:
            yield piece


class RollingBuffer:
    """The samples of a record that were read and may still be needed.

    Args:
        given: Its chunks.
        axis: Along which they follow one another.
    """

    def __init__(self, pieces: Iterator[np.ndarray], axis: int) -> None:
        self._given, self._axis = pieces, axis
        self._held: np.ndarray | None = None
        self._start = self.read = 0

    def reaches(self, stop: int) -> bool:
        """Read up to a sample; return whether the record is that long."""
        new = []
        while self.read < stop and (chunk := next(self._given, None)) is not None:
            new.append(chunk)
            self.read += chunk.shape[self._axis]
        if new:
            old = [] if self._held is None else [self._held]
            self._held = np.concatenate([*old, *new], axis=self._axis)
        return self.read >= stop

    def at(self, start: int, length: int) -> np.ndarray:
        """The samples from ``start`` on; earlier ones are dropped."""
        if self._held is None:
            message = "the record holds no values. Give at least one window."
            raise InputError(message)
        self._held = self._held[(*[slice(None)] * self._axis, slice(start - self._start, None))]
        self._start = start
        return self._held[(*[slice(None)] * self._axis, slice(0, length))]

    def windows(self, length: int, stride: int, unit: int) -> Iterator[tuple[int, np.ndarray]]:
        """Yield every window and its start; the last one is shifted back to the record's end.

        Args:
            length: Of a window.
            stride: From one start to the next.
            unit: Starts are multiples of it.
        """
        start = 0
        while self.reaches(start + length):
            yield start, self.at(start, length)
            start += stride
        last = last_window_start(self.read, length, unit)
        if last > start - stride:
            yield last, self.at(last, length)


def last_window_start(total: int, length: int, unit: int) -> int:
    """The start of the last window."""
    return (total - length) // unit * unit


def count_windows(total: int, length: int, stride: int, unit: int) -> int:
    """The number of windows of a record."""
    return -(-last_window_start(total, length, unit) // stride) + 1
