"""From samples read one by one to a batch: what cannot be read, or is not finite, is told and left out."""

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
    """Read samples one by one.

    Args:
        numbers: Which.
        read: From a number to a sample, its label and its name; it may raise.
        layout: Of the samples.
    """
    entries: dict[int, Entry] = {}
    failed: dict[int, str] = {}
    for number in numbers:
        try:
            entries[number] = read(number)
        except (MissingExtra, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - files break in any way; each is told by its number
            failed[number] = reason(error)
    return collate_samples(numbers, entries, failed, layout)


def collate_samples(
    numbers: Sequence[int],
    entries: Mapping[int, Entry],
    failed: Mapping[int, str],
    layout: Layout | None,
) -> Batch:
    """Put samples together in the order asked for."""
    readable = tuple(number for number in numbers if number in entries)
    rows = [entries[number] for number in readable]
    arrays = [array for array, _, _ in rows]
    alike = len({array.shape for array in arrays}) == 1
    inputs = np.stack(arrays) if alike else arrays or np.empty(0)
    labels, names = tuple(class_of(row[1]) for row in rows), tuple(row[2] for row in rows)
    return Batch(inputs, readable, _none_if_empty(labels), _none_if_empty(names), dict(failed), layout)


def class_of(label: Any) -> Any:
    """A label; a class by its number also where the number has a decimal point, and none where it is NaN."""
    if not isinstance(label, float):
        return label
    return int(label) if label.is_integer() else None if np.isnan(label) else label


def _none_if_empty(values: tuple[Any, ...]) -> tuple[Any, ...] | None:
    return values if any(each is not None for each in values) else None


def check_numbers(array: np.ndarray, nan: NotFinite) -> None:
    """Refuse a sample that holds no numbers, or some that are not finite.

    Args:
        array: The sample.
        nan: ``"report"`` refuses NaN and infinite values, ``"keep"`` does not.

    Raises:
        InputError: It does.
    """
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


def reason(error: Exception) -> str:
    """One line of what an exception says."""
    return " ".join(str(error).split()) or type(error).__name__


def require_numbers(numbers: Sequence[int], count: int) -> list[int]:
    """The numbers as plain ones, all of them a reader's.

    Raises:
        InputError: One is not.
    """
    plain_ones = [each for each in numbers if type(each) is int and 0 <= each < count]
    if len(plain_ones) == len(numbers):  # which others are is not asked for, as that takes longer
        return plain_ones
    wrong = [each for each in numbers if not is_count(each, 0) or each >= count]
    if wrong:
        message = f"sample {wrong[0]!r} is none of this reader's: it has {count}, numbered from 0 on."
        raise InputError(message)
    return [int(each) for each in numbers]


def to_python(value: Any) -> Any:
    """A label or name as Python has it: text from bytes, numbers without a dtype, several as a tuple."""
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, bytes):
        return value.decode()
    return tuple(value) if isinstance(value, list) else value
