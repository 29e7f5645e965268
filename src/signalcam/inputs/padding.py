"""Samples of unequal length: ``Lengths``, ``Mask``, and padding them to one array."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import pairwise
from typing import Any

import numpy as np

from signalcam.arrays import Array, namespace
from signalcam.errors import LayoutError
from signalcam.inputs.layout import DUMMY, Layout
from signalcam.inputs.pytree import DerivedInput, Inputs, Path, WithExtra, find_path, is_array, leaves, map_leaves

WASTE = 0.2  # of a padded batch: more padding than that costs more than another batch


@dataclass(frozen=True, eq=False)
class RaggedArray:
    """The samples of one input that differ in length; stands in for an array.

    Attributes:
        arrays: Each without a batch axis.
    """

    arrays: tuple[Array, ...]

    @cached_property
    def shapes(self) -> np.ndarray:
        """``(sample, axis)``, how long each sample is along each of its axes."""
        return np.asarray([tuple(each.shape) for each in self.arrays], np.int64)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of an array that would hold all samples."""
        return (len(self.arrays), *map(int, self.shapes.max(axis=0)))

    def together(
        self,
        rows: Sequence[int] | np.ndarray,
        numpy: Callable[[Array], np.ndarray],
        turns: Sequence[float] | np.ndarray | None = None,
    ) -> Array:
        """Some samples in one array, padded with zeros; see ``RaggedBatch.group``."""
        some = [self.arrays[row] for row in rows]
        if turns is not None:
            axes = np.flatnonzero((self.shapes != self.shapes[0]).any(axis=0))
            some = [roll(each, axes, by) for each, by in zip(some, turns, strict=True)]
        if len({tuple(each.shape) for each in some}) == 1:
            return namespace(some[0]).stack(some)
        return pad_arrays([numpy(each) for each in some], 0)


def pad_arrays(arrays: Sequence[np.ndarray], value: float) -> np.ndarray:
    """Stack arrays of unequal length, with a fill value after shorter ones."""
    shape = np.max([each.shape for each in arrays], axis=0)
    wide = np.full((len(arrays), *shape), value, arrays[0].dtype)
    for row, array in zip(wide, arrays, strict=True):
        row[tuple(map(slice, array.shape))] = array
    return wide


# --- what the model is told about lengths ----------------------------------------------------------


@dataclass(frozen=True)
class Lengths:
    """Placeholder in ``extra`` for the length of each sample: integers ``(b,)``.

    Where more than one axis may differ in length there is one column for each: ``(b, axis)``.

    Args:
        of: Which input is meant, as in ``explain``; the one the map is drawn on by default.

    Example:
        >>> Lengths().filled(np.array([[3], [2]]), [4])
        array([3, 2])
    """

    of: Any = None

    def filled(self, sizes: np.ndarray, _whole: Sequence[int]) -> np.ndarray:
        """The lengths of samples with sizes ``(b, axis)``."""
        return sizes[:, 0] if sizes.shape[1] == 1 else sizes


@dataclass(frozen=True)
class Mask:
    """Placeholder in ``extra`` for a mask of signal and padding: ``(b, time)``.

    True where it is real. Where more than one axis may differ in length it has all of them.

    Args:
        of: Which input is meant, as in ``explain``; the one the map is drawn on by default.

    Example:
        >>> Mask().filled(np.array([[3], [2]]), [4]).astype(int)
        array([[1, 1, 1, 0],
               [1, 1, 0, 0]])
    """

    of: Any = None

    def filled(self, sizes: np.ndarray, whole: Sequence[int]) -> np.ndarray:
        """The mask of samples with sizes ``(b, axis)`` in arrays of padded sizes."""
        return positions_inside(sizes, whole)


def may_differ(layout: Layout | None, ndim: int, channel_axis: int) -> tuple[int, ...]:
    """The axes of an input, batch included, along which samples may differ in length."""
    if layout is not None:
        return tuple(i for i, dim in enumerate(layout.dims) if i and dim not in (*DUMMY, "channel"))
    return tuple(i for i in range(1, ndim) if ndim == 2 or i != channel_axis % ndim)


def length_axes(layout: Layout | None, ndim: int, channel_axis: int) -> tuple[int, ...]:
    """The axes that ``Lengths`` and ``Mask`` count: time if there is one, else all that may differ."""
    if layout is not None and "time" in layout.dims:
        return (tuple(layout.dims).index("time"),)
    return may_differ(layout, ndim, channel_axis)


# --- groups ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Group:
    """The samples that run together.

    Attributes:
        rows: Their numbers.
        inputs: The arrays, a row for each of them.
        own: For each input that was padded the shapes of its samples, ``(b, axis)``.
    """

    rows: np.ndarray
    inputs: Inputs
    own: Mapping[Path, np.ndarray]

    def kinds(self) -> list[slice]:
        """The runs of neighbours with equal shape."""
        shapes = np.concatenate(list(self.own.values()), axis=1)
        new = np.flatnonzero((shapes[1:] != shapes[:-1]).any(axis=1)) + 1
        ends = [0, *map(int, new), len(shapes)]
        return [slice(*pair) for pair in pairwise(ends)]

    def alone(self, row: int) -> Inputs:
        """One sample without its padding."""
        count = len(self.rows)
        one = self.inputs.map(lambda array: array[row : row + 1] if array.shape[0] == count else array)
        for path, shapes in self.own.items():
            here = one.at(path)
            short = here.explained[(slice(None), *map(slice, map(int, shapes[row])))]
            one = here.with_explained(short)
        return one.at(self.inputs.path)


@dataclass(frozen=True)
class RaggedBatch:
    """All samples of one call, of equal length or not.

    Attributes:
        inputs: A tree in which ``RaggedArray``, ``Lengths`` and ``Mask`` may stand for arrays.
        axes: For each input the axes that lengths and masks are about.
        numpy: Copies an array to NumPy.
    """

    inputs: Inputs
    axes: Mapping[Path, tuple[int, ...]]
    numpy: Callable[[Array], np.ndarray]

    @cached_property
    def uneven(self) -> dict[Path, RaggedArray]:
        """The inputs whose samples differ in length."""
        return {path: each for path, each in leaves(self.inputs.tree) if isinstance(each, RaggedArray)}

    @cached_property
    def marks(self) -> dict[str, tuple[Lengths | Mask, Path]]:
        """The keywords that hold lengths or masks, and the input each is about."""
        if not isinstance(self.inputs.tree, WithExtra):
            return {}
        extra, inputs = self.inputs.tree.extra, self.inputs.tree.inputs
        markers = {name: each for name, each in extra.items() if isinstance(each, Lengths | Mask)}
        return {
            name: (marker, self.inputs.path if marker.of is None else (0, *find_path(marker.of, inputs)))
            for name, marker in markers.items()
        }

    @property
    def count(self) -> int:
        """The number of samples."""
        return int(self.inputs.explained.shape[0])

    def group(self, rows: np.ndarray | None = None, turns: np.ndarray | None = None) -> Group:
        """Select some samples, padded to the longest of them.

        Args:
            rows: Their numbers; all by default.
            turns: By what share of its length each that differs in length is turned: what leaves at its end
                enters at its start.
        """
        numbers = np.arange(self.count) if rows is None else rows
        own = {path: each.shapes[numbers] for path, each in self.uneven.items()}
        tree = map_leaves(partial(self._rows, rows=rows, turns=turns), self.inputs.tree)
        inputs = replace(self.inputs, tree=tree)
        padding = {path: each for path, each in own.items() if (each != each[0]).any()}
        return Group(numbers, self._with_markers(inputs, padding) if self.marks else inputs, padding)

    def _rows(self, _path: Path, array: Any, rows: np.ndarray | None, turns: np.ndarray | None) -> Any:
        if isinstance(array, RaggedArray):
            return array.together(range(len(array.arrays)) if rows is None else rows, self.numpy, turns)
        if rows is None or not is_array(array) or array.shape[0] != self.count:
            return array
        if isinstance(array, np.ndarray):
            return array[rows]
        return namespace(array).concat([array[row : row + 1] for row in rows], axis=0)

    def _with_markers(self, inputs: Inputs, padding: Mapping[Path, np.ndarray]) -> Inputs:
        """Fill in lengths and masks."""
        keywords = {}
        for name, (mark, path) in self.marks.items():
            shape = inputs.at(path).explained.shape
            own = padding.get(path, np.tile(shape[1:], (shape[0], 1)))
            sizes = own[:, [axis - 1 for axis in self.axes[path]]]
            keywords[name] = mark.filled(sizes, [int(shape[axis]) for axis in self.axes[path]])
        anew = tuple(
            DerivedInput(name, path, partial(_whole, mark, self.axes[path]))
            for name, (mark, path) in self.marks.items()
        )
        tree, extra = inputs.tree
        return replace(inputs, tree=WithExtra(tree, extra | keywords), derived=anew)

    def as_given(self, whole: Inputs) -> Group:
        """All samples in the padded arrays they came in, with lengths and masks filled in."""
        own = {path: each.shapes for path, each in self.uneven.items()}
        inputs = replace(
            self.inputs,
            tree=map_leaves(partial(zero_padding, own=own, whole=whole, numpy=self.numpy), self.inputs.tree),
        )
        return Group(np.arange(self.count), self._with_markers(inputs, own) if self.marks else inputs, {})

    def alike(self) -> list[np.ndarray]:
        """The numbers of samples with equal shape, the longest first."""
        if not self.uneven:
            return [np.arange(self.count)]
        shapes = np.concatenate([each.shapes for each in self.uneven.values()], axis=1)
        kinds, index = np.unique(shapes, axis=0, return_inverse=True)
        order = np.argsort(-kinds.prod(axis=1, dtype=float), kind="stable")
        return [np.flatnonzero(index.reshape(-1) == kind) for kind in order]


def roll(array: Array, axes: Sequence[int] | np.ndarray, share: float) -> Array:
    """Shift an array circularly along some axes, by a share of their lengths."""
    for axis in map(int, axes):
        array = namespace(array).roll(array, round(share * array.shape[axis]), axis=axis)
    return array


def zero_padding(
    path: Path, leaf: Any, *, own: Mapping[Path, np.ndarray], whole: Inputs, numpy: Callable[[Array], np.ndarray]
) -> Any:
    """Set values in the padding to 0 where they are not finite."""
    if path not in own:
        return leaf
    array = whole.at(path).explained
    values = numpy(array)
    if values.dtype.kind != "f" or np.isfinite(values).all():
        return array
    real = positions_inside(own[path], values.shape[1:])
    return np.where(real | np.isfinite(values), values, 0)


def _whole(mark: Lengths | Mask, axes: Sequence[int], shape: Sequence[int]) -> np.ndarray:
    lengths = [int(shape[axis]) for axis in axes]
    return mark.filled(np.tile(np.asarray(lengths), (int(shape[0]), 1)), lengths)


def group_by_length(shapes: np.ndarray) -> list[np.ndarray]:
    """Group samples into batches to be padded, the longest first, with little padding.

    Args:
        shapes: ``(sample, axis)``.

    Returns:
        The numbers of each batch's samples; less than ``WASTE`` of it is padding.
    """
    order = np.lexsort((*shapes.T, shapes.prod(axis=1, dtype=float)))[::-1]
    batches: list[list[int]] = []
    for row in order:
        if batches and padding_share(shapes[[*batches[-1], row]]) < WASTE:
            batches[-1].append(int(row))
        else:
            batches.append([int(row)])
    return [np.asarray(each) for each in batches]


def padding_share(shapes: np.ndarray) -> float:
    """The share of padding when samples of such shapes ``(sample, axis)`` are padded to one batch."""
    room = len(shapes) * float(shapes.max(axis=0).prod(dtype=float))
    return 1 - float(shapes.prod(axis=1, dtype=float).sum()) / room


def cut_to_lengths(inputs: Inputs, path: Path, axis: int, lengths: Sequence[int]) -> Inputs:
    """Cut a padded input to its samples' lengths along an axis."""

    def short(here: Path, array: Any) -> Any:
        return array if here != path else RaggedArray(tuple(_cut(array, axis, lengths)))

    return replace(inputs, tree=map_leaves(short, inputs.tree))


def _cut(array: Array, axis: int, lengths: Sequence[int]) -> Iterator[Array]:
    for row, length in enumerate(lengths):
        yield array[(row, *[slice(None)] * (axis - 1), slice(0, int(length)))]


def check_ragged(items: RaggedArray, layout: Layout | None, channel_axis: int) -> None:
    """Raise a ``LayoutError`` where samples differ along an axis that is no length."""
    ndim = len(items.shape)
    fixed_axes = set(range(1, ndim)) - set(may_differ(layout, ndim, channel_axis))
    for axis in sorted(fixed_axes):
        sizes = sorted({int(each) for each in items.shapes[:, axis - 1]})
        if len(sizes) > 1:
            name = layout.dims[axis] if layout is not None else "channel"
            message = (
                f"the samples of the list have {sizes[0]} and {sizes[1]} entries along axis {axis - 1} of each ({name}), "
                "along which they must be alike. Name the axes if it is another: layout='batch time channel', say."
            )
            raise LayoutError(message)


def positions_inside(sizes: np.ndarray, whole: Sequence[int]) -> np.ndarray:
    """Which positions lie within each sample: ``(sample, *whole)`` from sizes ``(sample, axis)``."""
    within = np.ones((len(sizes), *whole), bool)
    for axis, length in enumerate(whole):
        along = np.arange(length) < sizes[:, axis, None]
        within &= along.reshape(-1, *[length if i == axis else 1 for i in range(len(whole))])
    return within
