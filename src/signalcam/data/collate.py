"""Collation of samples into a batch; unreadable or non-finite samples are listed as failed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np

from signalcam.data.protocol import Batch
from signalcam.errors import InputError, MissingExtra, is_count
from signalcam.inputs.layout import Layout

NotFinite: TypeAlias = Literal["report", "keep"]
Entry: TypeAlias = tuple[Any, Any, Any]  # a sample, its label, its name


def read_one_by_one(numbers: Sequence[int], read: Callable[[int], Entry], layout: Layout | None = None) -> Batch:
    """Read samples one by one into a batch; a sample whose ``read`` raises becomes a failed one."""
    entries: dict[int, Entry] = {}
    failed: dict[int, str] = {}
    for number in numbers:
        try:
            entries[number] = read(number)
        except (MissingExtra, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - broken files raise anything; the reason is kept by number
            failed[number] = describe_error(error)
    return collate_samples(numbers, entries, failed, layout)


def collate_samples(
    numbers: Sequence[int],
    entries: Mapping[int, Entry],
    failed: Mapping[int, str],
    layout: Layout | None,
) -> Batch:
    """Collate samples in the order of ``numbers``."""
    readable = tuple(number for number in numbers if number in entries)
    rows = [entries[number] for number in readable]
    arrays = [array for array, _, _ in rows]
    alike = len({array.shape for array in arrays}) == 1
    inputs = np.stack(arrays) if alike else arrays or np.empty(0)
    labels, names = tuple(class_of(row[1]) for row in rows), tuple(row[2] for row in rows)
    return Batch(inputs, readable, _none_if_empty(labels), _none_if_empty(names), dict(failed), layout)


def class_of(label: Any) -> Any:
    """Convert a label: a whole float to an integer, NaN to ``None``."""
    if not isinstance(label, float):
        return label
    return int(label) if label.is_integer() else None if np.isnan(label) else label


def _none_if_empty(values: tuple[Any, ...]) -> tuple[Any, ...] | None:
    return values if any(each is not None for each in values) else None


def check_numbers(array: np.ndarray, nan: NotFinite) -> None:
    """Raise ``InputError`` for a sample without numbers, or, if ``nan`` is ``"report"``, with non-finite values."""
    if array.dtype.kind not in "fiub":
        message = f"it holds {array.dtype} values; expected numbers."
        raise InputError(message)
    if not array.size:
        message = "it holds no values."
        raise InputError(message)
    if nan == "report" and array.dtype.kind == "f" and not np.isfinite(array).all():
        count = int(array.size - np.isfinite(array).sum())
        message = f"{count} of its {array.size} values are NaN or infinite. Repair it, or open with nan='keep'."
        raise InputError(message)


def describe_error(error: Exception) -> str:
    """Text of an exception on one line."""
    return " ".join(str(error).split()) or type(error).__name__


def require_numbers(numbers: Sequence[int], count: int) -> list[int]:
    """Check sample numbers and return them as plain integers; raise ``InputError`` if one is out of range."""
    plain_ones = [each for each in numbers if type(each) is int and 0 <= each < count]
    if len(plain_ones) == len(numbers):  # the fast path
        return plain_ones
    outside = [each for each in numbers if not is_count(each, 0) or each >= count]
    if outside:
        message = f"sample {outside[0]!r} is none of this reader's: it has {count}, numbered from 0 on."
        raise InputError(message)
    return [int(each) for each in numbers]


def to_python(value: Any) -> Any:
    """Convert a label or name to a Python value: bytes to text, arrays to numbers or tuples."""
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, bytes):
        return value.decode()
    return tuple(value) if isinstance(value, list) else value
