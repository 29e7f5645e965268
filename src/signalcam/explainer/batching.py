"""Batches that fit into memory: their size, their slices, and halving when memory runs out."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypeVar

import numpy as np

from signalcam.backends.protocol import Backend
from signalcam.errors import CamWarning, InputError
from signalcam.inputs.padding import RaggedArray
from signalcam.inputs.pytree import Inputs, is_array, leaves

Result = TypeVar("Result")


NotFinite = Literal["raise", "warn"]


_LARGEST_BATCH = 256


_FOOTPRINT = 256  # bytes a network may need for each byte of input; an image network needs about 200


def count_samples(inputs: Inputs) -> int:
    """The number of samples of the explained array."""
    return int(inputs.explained.shape[0])


def check_finite(inputs: Inputs, backend: Backend, policy: NotFinite) -> None:
    """Raise, or warn, where samples hold NaN or infinity."""
    for _, array in leaves(inputs.tree):
        bad = find_not_finite(array, backend)
        if bad and policy != "warn":
            message = f"samples {format_list(bad)} hold NaN or infinite values. Clean or drop them, or pass nan='warn' to go on."
            raise InputError(message)
        if bad:
            warnings.warn(
                f"samples {format_list(bad)} hold NaN or infinite values; their maps mean nothing.",
                CamWarning,
                stacklevel=4,
            )


def find_not_finite(array: Any, backend: Backend) -> list[int]:
    """The numbers of samples that hold NaN or infinity."""
    if isinstance(array, RaggedArray):
        return [i for i, each in enumerate(array.arrays) if find_not_finite(each[None], backend)]
    values = backend.numpy(array) if is_array(array) else np.zeros(0, int)
    with np.errstate(over="ignore", invalid="ignore"):
        total = values.sum()
    if values.dtype.kind != "f" or np.isfinite(total):
        return []  # a sum is finite only if every value is; most inputs end here
    bad: list[int] = np.flatnonzero(~np.isfinite(values).reshape(len(values), -1).all(axis=1)).tolist()
    return bad


def format_list(numbers: Sequence[int]) -> str:
    """Format the first few of some numbers for a message."""
    return ", ".join(map(str, numbers[:5])) + (f" and {len(numbers) - 5} more" if len(numbers) > 5 else "")


def slice_batch(inputs: Inputs, rows: slice) -> Inputs:
    """Take some samples of every array that has as many rows as the explained one."""
    count = count_samples(inputs)
    return inputs.map(lambda array: array[rows] if array.shape[0] == count else array)


def first_size(inputs: Inputs, backend: Backend, model: object) -> int:
    """Estimate how many samples fit into half of the free memory."""
    array = inputs.explained
    sample = int(np.prod(array.shape[1:])) * 4
    return int(np.clip(backend.free_memory(model) // 2 // (sample * _FOOTPRINT), 1, _LARGEST_BATCH))


@contextmanager
def progress_bar(count: int | None, *, visible: bool, unit: str = "sample") -> Iterator[Callable[[int], object]]:
    """Show a progress bar; the function it yields takes the number of samples done."""
    from tqdm.auto import tqdm  # noqa: PLC0415 - not needed to import signalcam

    with tqdm(total=count, unit=unit, disable=not visible) as bar:
        yield bar.update


def run_in_batches(
    run: Callable[[slice], Result],
    count: int,
    size: int,
    backend: Backend,
    done: Callable[[int], object],
) -> list[Result]:
    """Run every batch in order, and halve the size wherever memory runs out.

    Args:
        run: From the rows of one batch to its result.
        count: Samples in all.
        size: Samples in a batch, to begin with.
        backend: Knows an allocator's error when it sees one.
        done: Is told how many samples each batch held.
    """
    results, start = [], 0
    while start < count:
        rows = slice(start, min(start + size, count))
        try:
            results.append(run(rows))
        except Exception as error:
            if size == 1 or not backend.ran_out_of_memory(error):
                raise
            size = (rows.stop - start + 1) // 2
            continue
        done(rows.stop - start)
        start = rows.stop
    return results
