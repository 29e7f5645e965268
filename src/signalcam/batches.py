"""From what the user passes to batches that fit: check, slice, halve when memory runs out."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, TypeVar

import numpy as np

from signalcam.arrays import namespace
from signalcam.backends.protocol import Backend, Inputs, is_array
from signalcam.errors import CamWarning, InputError, LayoutError

Result = TypeVar("Result")
NotFinite = Literal["raise", "warn"]

_LARGEST_BATCH = 256
_FOOTPRINT = (
    256  # bytes a network may need for each byte of input; an image network needs about 200
)


def as_inputs(given: object) -> Inputs:
    """Accept what the model takes: an array, or nested tuples and dicts of arrays, batch first.

    A list of arrays of one shape is a batch of single samples.

    Raises:
        InputError: Nothing in it is a non-empty numeric array.
        LayoutError: The samples of a list have different shapes.
    """
    tree = _stacked(given) if isinstance(given, list) else given
    arrays = dict(_leaves(tree, ()))
    if not arrays:
        message = f"the input is {type(given).__name__}; expected an array, or a tuple or dict of arrays, batch first."
        raise InputError(message)
    for array in arrays.values():
        _check_numbers(array)
    path = max(arrays, key=lambda key: (arrays[key].ndim, np.prod(arrays[key].shape[1:])))
    return Inputs(tree, path)


def _stacked(samples: list[Any]) -> Any:
    shapes = {_shape(sample) for sample in samples}
    if len(shapes) > 1:
        message = f"the samples of the list have shapes {sorted(shapes)}; they must be alike. Pad them, or explain them one at a time; a model of several inputs takes a tuple."
        raise LayoutError(message)
    if not samples or not is_array(samples[0]):
        return np.asarray(samples)
    if isinstance(samples[0], np.ndarray):
        return np.stack(samples)
    return namespace(samples[0]).stack(samples)


def _shape(sample: Any) -> tuple[int, ...]:
    try:
        return tuple(np.shape(sample))
    except ValueError as error:
        message = "a sample of the list has rows of different lengths; they must be alike. Pad them, or pass a tuple for several inputs."
        raise LayoutError(message) from error


def _leaves(tree: Any, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    entries = (
        tree.items()
        if isinstance(tree, dict)
        else enumerate(tree)
        if isinstance(tree, tuple | list)
        else ()
    )
    if is_array(tree):
        yield path, tree
    for key, entry in entries:
        yield from _leaves(entry, (*path, key))


def _check_numbers(array: Any) -> None:
    kind = str(array.dtype)
    if "complex" in kind:
        message = f"the input has dtype {kind}; expected real numbers. Pass real and imaginary parts as channels."
        raise InputError(message)
    if isinstance(array, np.ndarray) and (array.dtype.kind not in "fiub" or array.itemsize > 8):
        message = f"the input has dtype {kind}; expected numbers. Convert it, for example with np.asarray(x, dtype='float32')."
        raise InputError(message)
    if 0 in array.shape:
        message = f"the input has shape {tuple(array.shape)}, which holds no values. Pass at least one sample."
        raise InputError(message)


def samples_in(inputs: Inputs) -> int:
    """How many samples the explained array holds."""
    return int(inputs.explained.shape[0])


def check_finite(inputs: Inputs, backend: Backend, policy: NotFinite) -> None:
    """Refuse, or warn of, samples that hold NaN or infinity, by their numbers."""
    for _, array in _leaves(inputs.tree, ()):
        values = backend.numpy(array)
        with np.errstate(over="ignore", invalid="ignore"):
            total = values.sum()
        if values.dtype.kind != "f" or np.isfinite(total):
            continue  # a sum is finite only if every value is; most inputs end here
        bad = np.flatnonzero(~np.isfinite(values).reshape(len(values), -1).all(axis=1)).tolist()
        if bad and policy != "warn":
            message = f"samples {_listed(bad)} hold NaN or infinite values. Clean or drop them, or pass nan='warn' to go on."
            raise InputError(message)
        if bad:
            warnings.warn(
                f"samples {_listed(bad)} hold NaN or infinite values; their maps mean nothing.",
                CamWarning,
                stacklevel=4,
            )


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:5])) + (
        f" and {len(numbers) - 5} more" if len(numbers) > 5 else ""
    )


def sliced(inputs: Inputs, rows: slice) -> Inputs:
    """Take some samples of every array that has as many rows as the explained one."""
    count = samples_in(inputs)
    return inputs.map(lambda array: array[rows] if array.shape[0] == count else array)


def first_size(inputs: Inputs, backend: Backend, model: object) -> int:
    """Guess how many samples fit into half of the free memory."""
    array = inputs.explained
    sample = int(np.prod(array.shape[1:])) * 4
    return int(np.clip(backend.free_memory(model) // 2 // (sample * _FOOTPRINT), 1, _LARGEST_BATCH))


def in_batches(
    run: Callable[[slice], Result], count: int, size: int, backend: Backend, *, progress: bool
) -> list[Result]:
    """Run every batch in order, with half the size from wherever memory runs out.

    Args:
        run: From the rows of one batch to its result.
        count: Samples in all.
        size: Samples in a batch, to begin with.
        backend: Knows an allocator's error when it sees one.
        progress: Show a bar on the terminal.
    """
    from tqdm.auto import tqdm  # noqa: PLC0415 - not needed to import signalcam

    results, start = [], 0
    with tqdm(total=count, unit="sample", disable=not progress) as bar:
        while start < count:
            rows = slice(start, min(start + size, count))
            try:
                results.append(run(rows))
            except Exception as error:
                if size == 1 or not backend.ran_out_of_memory(error):
                    raise
                size = (rows.stop - start + 1) // 2
                continue
            bar.update(rows.stop - start)
            start = rows.stop
    return results
