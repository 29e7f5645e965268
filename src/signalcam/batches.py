"""From what the user passes to batches that fit: check, slice, halve when memory runs out."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypeVar

import numpy as np

from signalcam.arrays import namespace
from signalcam.backends.protocol import Backend, Inputs, WithExtra, is_array, leaves
from signalcam.errors import CamWarning, InputError, LayoutError
from signalcam.naming import Path, path_of
from signalcam.ragged import Items

Result = TypeVar("Result")
NotFinite = Literal["raise", "warn"]

_LARGEST_BATCH = 256
_FOOTPRINT = 256  # bytes a network may need for each byte of input; an image network needs about 200


def as_inputs(given: object, of: Any = None, extra: Mapping[str, Any] | None = None) -> Inputs:
    """Accept what the model takes: an array, or nested tuples and dicts of arrays, batch first.

    A list of arrays is a batch of single samples, also inside a tuple or dict; where their shapes differ
    ``Items`` stand for it.

    Args:
        given: The inputs.
        of: Which of them is explained, see ``path_of``; the one with the most axes by default.
        extra: What the model takes by keyword beside them.

    Raises:
        InputError: Nothing in it is a non-empty numeric array, or none is called ``of``.
        LayoutError: The samples of a list have different numbers of axes.
    """
    tree = _stacked(given) if isinstance(given, list) else _with_samples(given)
    arrays = {path: each for path, each in leaves(tree) if is_array(each) or isinstance(each, Items)}
    if not arrays:
        message = f"the input is {type(given).__name__}; expected an array, or a tuple or dict of arrays, batch first."
        raise InputError(message)
    beside = {name: _keyword(each) for name, each in (extra or {}).items()}
    for array in (*arrays.values(), *filter(is_array, beside.values())):
        _check_numbers(array)
    if not beside:
        return Inputs(tree, _largest(arrays) if of is None else path_in(of, tree))
    whole = WithExtra(tree, beside)
    return Inputs(whole, (0, *_largest(arrays)) if of is None else path_in(of, whole))


def path_in(of: Any, tree: Any) -> Path:
    """The keys that lead to an input, or to an array among the keywords beside."""
    if not isinstance(tree, WithExtra):
        return path_of(of, tree)
    if not isinstance(of, tuple) and is_array(tree.extra.get(of)):
        return (1, of)
    return (0, *path_of(of, tree.inputs))


def _largest(arrays: Mapping[Path, Any]) -> Path:
    return max(arrays, key=lambda key: (len(arrays[key].shape), np.prod(arrays[key].shape[1:])))


def _keyword(value: Any) -> Any:
    """A list of numbers as an array, so that it can be cut to batches."""
    numbers = isinstance(value, list) and value and all(isinstance(each, int | float) for each in value)
    return np.asarray(value) if numbers else value


def _stacked(samples: list[Any]) -> Any:
    axes = sorted({len(shape) for shape in map(_shape, samples)})
    if len(axes) > 1:
        message = f"the samples of the list have {axes[0]} and {axes[-1]} axes; they must be alike but for their length. A model of several inputs takes a tuple."
        raise LayoutError(message)
    if len(set(map(_shape, samples))) > 1:
        return Items(tuple(each if is_array(each) else np.asarray(each) for each in samples))
    if not samples or not is_array(samples[0]):
        return np.asarray(samples)
    if isinstance(samples[0], np.ndarray):
        return np.stack(samples)
    return namespace(samples[0]).stack(samples)


def _with_samples(tree: Any) -> Any:
    """Turn the lists of samples in nested inputs into arrays; other lists are the model's own."""
    rows = {each.shape[0] for path, each in leaves(tree) if is_array(each) and not _in_list(tree, path)}

    def entry(each: Any) -> Any:
        if isinstance(each, dict):
            return {key: entry(inner) for key, inner in each.items()}
        if isinstance(each, tuple):
            inner = [entry(one) for one in each]
            return type(each)(*inner) if hasattr(each, "_fields") else tuple(inner)
        return _stacked(each) if isinstance(each, list) and _are_samples(each, rows) else each

    return entry(tree)


def _in_list(tree: Any, path: Path) -> bool:
    """Whether a list lies on the way to a leaf."""
    for key in path:
        if isinstance(tree, list):
            return True
        tree = tree[key]
    return False


def _are_samples(entries: list[Any], rows: set[int]) -> bool:
    """Whether a list among several inputs holds samples: as many as the others, or of unequal shapes."""
    if not entries or not all(map(is_array, entries)):
        return False
    shapes = {tuple(each.shape) for each in entries}
    uneven = len(shapes) > 1 and len({len(each) for each in shapes}) == 1
    own = all(each.shape[0] in rows for each in entries)
    return (uneven and not own) or (len(entries) in rows and (uneven or not own))


def _shape(sample: Any) -> tuple[int, ...]:
    try:
        return tuple(np.shape(sample))
    except ValueError as error:
        message = "a sample of the list has rows of different lengths; they must be alike. Pad them, or pass a tuple for several inputs."
        raise LayoutError(message) from error


def _check_numbers(array: Any) -> None:
    if isinstance(array, Items):
        for each in array.arrays:
            _check_numbers(each)
        return
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
    for _, array in leaves(inputs.tree):
        bad = not_finite(array, backend)
        if bad and policy != "warn":
            message = (
                f"samples {listed(bad)} hold NaN or infinite values. Clean or drop them, or pass nan='warn' to go on."
            )
            raise InputError(message)
        if bad:
            warnings.warn(
                f"samples {listed(bad)} hold NaN or infinite values; their maps mean nothing.",
                CamWarning,
                stacklevel=4,
            )


def not_finite(array: Any, backend: Backend) -> list[int]:
    """The samples of an array, or the items, that hold NaN or infinity."""
    if isinstance(array, Items):
        return [i for i, each in enumerate(array.arrays) if not_finite(each[None], backend)]
    values = backend.numpy(array) if is_array(array) else np.zeros(0, int)
    with np.errstate(over="ignore", invalid="ignore"):
        total = values.sum()
    if values.dtype.kind != "f" or np.isfinite(total):
        return []  # a sum is finite only if every value is; most inputs end here
    bad: list[int] = np.flatnonzero(~np.isfinite(values).reshape(len(values), -1).all(axis=1)).tolist()
    return bad


def listed(numbers: Sequence[int]) -> str:
    """The first few of some numbers, for a message."""
    return ", ".join(map(str, numbers[:5])) + (f" and {len(numbers) - 5} more" if len(numbers) > 5 else "")


def sliced(inputs: Inputs, rows: slice) -> Inputs:
    """Take some samples of every array that has as many rows as the explained one."""
    count = samples_in(inputs)
    return inputs.map(lambda array: array[rows] if array.shape[0] == count else array)


def first_size(inputs: Inputs, backend: Backend, model: object) -> int:
    """Guess how many samples fit into half of the free memory."""
    array = inputs.explained
    sample = int(np.prod(array.shape[1:])) * 4
    return int(np.clip(backend.free_memory(model) // 2 // (sample * _FOOTPRINT), 1, _LARGEST_BATCH))


@contextmanager
def progress_bar(count: int | None, *, shown: bool, unit: str = "sample") -> Iterator[Callable[[int], object]]:
    """Show a bar on the terminal; what it yields takes how many samples have got on."""
    from tqdm.auto import tqdm  # noqa: PLC0415 - not needed to import signalcam

    with tqdm(total=count, unit=unit, disable=not shown) as bar:
        yield bar.update


def in_batches(
    run: Callable[[slice], Result],
    count: int,
    size: int,
    backend: Backend,
    done: Callable[[int], object],
) -> list[Result]:
    """Run every batch in order, with half the size from wherever memory runs out.

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
