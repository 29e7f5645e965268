"""Nested inputs (tuples, dicts) and the paths to their arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from signalcam.arrays import Array, namespace
from signalcam.errors import InputError, nearest


def is_array(value: object) -> bool:
    """Whether a value is an array of any framework, with at least one axis."""
    return bool(getattr(value, "shape", ())) and hasattr(value, "dtype")


class WithExtra(NamedTuple):
    """Inputs together with keyword arguments of the model."""

    inputs: Any
    extra: dict[str, Any]


def unpack_extra(tree: Any) -> tuple[Any, dict[str, Any]]:
    """Split a model's arguments into its inputs and its keyword arguments."""
    return (tree.inputs, tree.extra) if isinstance(tree, WithExtra) else (tree, {})


def check_extra(extra: Iterable[str], accepted: Sequence[str], model: object) -> None:
    """Raise an ``InputError`` where a model takes no keyword of that name."""
    for name in extra:
        if name not in accepted:
            message = f"{type(model).__name__} takes no {name!r}, which extra holds.{nearest(name, accepted)} It takes: {', '.join(accepted)}."
            raise InputError(message)


def map_arrays(function: Callable[[Array], Any], tree: Any) -> Any:
    """Apply a function to every array in nested tuples, lists and dicts; leave the rest."""
    if isinstance(tree, dict):
        return {key: map_arrays(function, entry) for key, entry in tree.items()}
    if isinstance(tree, tuple | list):
        entries = [map_arrays(function, entry) for entry in tree]
        return type(tree)(*entries) if hasattr(tree, "_fields") else type(tree)(entries)
    return function(tree) if is_array(tree) else tree


def leaves(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yield the path and value of every leaf of nested tuples, lists and dicts."""
    if isinstance(tree, dict):
        for key, entry in tree.items():
            yield from leaves(entry, (*path, key))
    elif isinstance(tree, tuple | list):
        for key, entry in enumerate(tree):
            yield from leaves(entry, (*path, key))
    else:
        yield path, tree


def map_leaves(function: Callable[[tuple[Any, ...], Any], Any], tree: Any, path: tuple[Any, ...] = ()) -> Any:
    """Apply a function to the path and value of every leaf."""
    if isinstance(tree, dict):
        return {key: map_leaves(function, entry, (*path, key)) for key, entry in tree.items()}
    if isinstance(tree, tuple | list):
        entries = [map_leaves(function, entry, (*path, key)) for key, entry in enumerate(tree)]
        return type(tree)(*entries) if hasattr(tree, "_fields") else type(tree)(entries)
    return function(path, tree)


def repeat_samples(tree: Any, count: int, samples: slice, times: int) -> Any:
    """Select samples of every array with ``count`` rows, and repeat each several times."""

    def rows(array: Any) -> Any:
        if array.shape[0] != count:
            return array
        some, xp = array[samples], namespace(array)
        wide = xp.broadcast_to(some[:, None, ...], (some.shape[0], times, *some.shape[1:]))
        return xp.reshape(wide, (-1, *some.shape[1:]))

    return map_arrays(rows, tree)


@dataclass(frozen=True)
class DerivedInput:
    """A keyword computed from the lengths of an input, recomputed when these change.

    Attributes:
        name: The keyword.
        path: Keys that lead to the input.
        whole: From a shape, batch included, to what it is for inputs that are real all over.
    """

    name: str
    path: tuple[Any, ...]
    whole: Callable[[Sequence[int]], np.ndarray]


@dataclass(frozen=True)
class Inputs:
    """The model's inputs: an array, or nested tuples, lists and dicts of arrays.

    Attributes:
        tree: A tuple is spread over the model's parameters, a dict over those it has by name;
            ``WithExtra`` holds such a tree and more keywords.
        path: Keys that lead to the array the map is drawn on.
        derived: Keywords that follow the lengths of an input.
    """

    tree: Any
    path: tuple[Any, ...] = ()
    derived: tuple[DerivedInput, ...] = ()

    @property
    def explained(self) -> Array:
        """The array the map is drawn on, batch first."""
        node = self.tree
        for key in self.path:
            node = node[key]
        return node

    def at(self, path: tuple[Any, ...]) -> Inputs:
        """Select another array to explain."""
        return replace(self, path=path)

    def map(self, function: Callable[[Array], Array]) -> Inputs:
        """Apply a function to every array."""
        return replace(self, tree=map_arrays(function, self.tree))

    def with_explained(self, array: Array) -> Inputs:
        """Replace the explained array."""
        old = self.explained
        changed = self.map(lambda leaf: array if leaf is old else leaf)
        if not self.derived or tuple(array.shape[1:]) == tuple(old.shape[1:]):
            return changed
        inputs, extra = changed.tree
        anew = {each.name: each.whole(array.shape) for each in self.derived if each.path == self.path}
        return replace(changed, tree=WithExtra(inputs, extra | anew))


Path = tuple[Any, ...]


def path_to_str(path: Path) -> str:
    """The name of an input in messages and results: its keys, outermost first."""
    return "/".join(map(str, path))


def find_path(of: Any, tree: Any) -> Path:
    """Return the keys that lead to an input.

    Args:
        of: Its key or number, or a tuple of these from outside in; the last ones will do.
        tree: The inputs.

    Raises:
        InputError: There is no such input, or there are several.
    """
    paths = [path for path, each in leaves(tree) if getattr(each, "shape", ())]
    keys = of if isinstance(of, tuple) else (of,)
    size = len(keys)
    matches = [path for path in paths if size and path[:size] == keys] or [
        path for path in paths if size and path[-size:] == keys
    ]
    matches = matches or [each for each in paths if path_to_str(each) == path_to_str(keys)]  # as results spell it
    if len(matches) == 1:
        return matches[0]
    names = [path_to_str(each) for each in paths]
    if names == [""]:
        message = f"there is no input {path_to_str(keys)!r}: the model takes a single array. Leave of=... out."
    elif matches:
        message = (
            f"{path_to_str(keys)!r} may be {' or '.join(map(path_to_str, matches))}. Give the whole path as a tuple."
        )
    else:
        message = f"there is no input {path_to_str(keys)!r}.{nearest(path_to_str(keys), names)} There are: {', '.join(names)}."
    raise InputError(message)
