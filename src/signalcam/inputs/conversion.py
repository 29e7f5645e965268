"""Turn what the user passes into arrays with a batch axis, and check their numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from signalcam.arrays import namespace
from signalcam.errors import InputError, LayoutError
from signalcam.inputs.padding import RaggedArray
from signalcam.inputs.pytree import Inputs, Path, WithExtra, find_path, is_array, leaves


def as_inputs(container: object, of: Any = None, extra: Mapping[str, Any] | None = None) -> Inputs:
    """Turn an array, or nested tuples and dicts of arrays, into ``Inputs``.

    A list of arrays is a batch of single samples, also inside a tuple or dict; where their shapes differ
    ``RaggedArray`` stand for it.

    Args:
        container: The inputs.
        of: Which of them is explained, see ``path_of``; the one with the most axes by default.
        extra: What the model takes by keyword beside them.

    Raises:
        InputError: Nothing in it is a non-empty numeric array, or none is called ``of``.
        LayoutError: The samples of a list have different numbers of axes.
    """
    tree = _stacked(container) if isinstance(container, list) else _with_samples(container)
    arrays = {path: each for path, each in leaves(tree) if is_array(each) or isinstance(each, RaggedArray)}
    if not arrays:
        message = (
            f"the input is {type(container).__name__}; expected an array, or a tuple or dict of arrays, batch first."
        )
        raise InputError(message)
    keywords = {name: _keyword(each) for name, each in (extra or {}).items()}
    for array in (*arrays.values(), *filter(is_array, keywords.values())):
        _check_numbers(array)
    if not keywords:
        return Inputs(tree, _largest(arrays) if of is None else resolve_path(of, tree))
    whole = WithExtra(tree, keywords)
    return Inputs(whole, (0, *_largest(arrays)) if of is None else resolve_path(of, whole))


def resolve_path(of: Any, tree: Any) -> Path:
    """Find the keys that lead to an input, or to an array among the keywords."""
    if not isinstance(tree, WithExtra):
        return find_path(of, tree)
    if not isinstance(of, tuple) and is_array(tree.extra.get(of)):
        return (1, of)
    return (0, *find_path(of, tree.inputs))


def _largest(arrays: Mapping[Path, Any]) -> Path:
    return max(arrays, key=lambda key: (len(arrays[key].shape), np.prod(arrays[key].shape[1:])))


def _keyword(value: Any) -> Any:
    """Turn a list of numbers into an array, which can be cut into batches."""
    numbers = isinstance(value, list) and value and all(isinstance(each, int | float) for each in value)
    return np.asarray(value) if numbers else value


def _stacked(samples: list[Any]) -> Any:
    axes = sorted({len(shape) for shape in map(_shape, samples)})
    if len(axes) > 1:
        message = f"the samples of the list have {axes[0]} and {axes[-1]} axes; they must be alike but for their length. A model of several inputs takes a tuple."
        raise LayoutError(message)
    if len(set(map(_shape, samples))) > 1:
        return RaggedArray(tuple(each if is_array(each) else np.asarray(each) for each in samples))
    if not samples or not is_array(samples[0]):
        return np.asarray(samples)
    if isinstance(samples[0], np.ndarray):
        return np.stack(samples)
    return namespace(samples[0]).stack(samples)


def _with_samples(tree: Any) -> Any:
    """Turn lists of samples in nested inputs into arrays; other lists are the model's own."""
    rows = {each.shape[0] for path, each in leaves(tree) if is_array(each) and not _in_list(tree, path)}

    def entry(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: entry(inner) for key, inner in value.items()}
        if isinstance(value, tuple):
            inner = [entry(one) for one in value]
            return type(value)(*inner) if hasattr(value, "_fields") else tuple(inner)
        return _stacked(value) if isinstance(value, list) and _are_samples(value, rows) else value

    return entry(tree)


def _in_list(tree: Any, path: Path) -> bool:
    """Whether a list lies on the path to a leaf."""
    for key in path:
        if isinstance(tree, list):
            return True
        tree = tree[key]
    return False


def _are_samples(entries: list[Any], rows: set[int]) -> bool:
    """Whether a list among several inputs holds samples: as many as other rows, or of unequal shapes."""
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
    if isinstance(array, RaggedArray):
        for item in array.arrays:
            _check_numbers(item)
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
