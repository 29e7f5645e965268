"""From the model's output to one score a sample: which question is asked."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from signalcam.arrays import Array, namespace
from signalcam.errors import TargetError, nearest

if TYPE_CHECKING:
    from signalcam.scores import Reading, Score

NO_CLASS = -1  # stands for the class where the question is not about one


@dataclass(frozen=True)
class Asked:
    """The answer to one question: a score for each sample, and the class it is about."""

    value: Array
    index: np.ndarray


@dataclass(frozen=True)
class Predicted:
    """Asks about the class each sample was given by the model.

    Example:
        >>> Predicted().label(None)
        'predicted'
    """

    def label(self, _names: Sequence[str] | None) -> str:
        """Name the target in the result."""
        return "predicted"

    def ask(
        self, reading: Reading, _rows: slice, score: Score, _names: Sequence[str] | None
    ) -> Asked:
        """Score each sample's predicted class."""
        index = reading.predicted()
        return Asked(score(reading, index), index)


@dataclass(frozen=True)
class Class:
    """Asks every sample about one class.

    Args:
        name: Its index, or its name among ``class_names``.

    Example:
        >>> Class(1).label(["normal", "ventricular"])
        'ventricular'
    """

    name: int | str

    def label(self, names: Sequence[str] | None) -> str:
        """Name the target in the result."""
        index = class_index(self.name, names)
        return names[index] if names and 0 <= index < len(names) else str(index)

    def ask(
        self, reading: Reading, _rows: slice, score: Score, names: Sequence[str] | None
    ) -> Asked:
        """Score that class for every sample."""
        index = _in_range([class_index(self.name, names)] * reading.batch, reading)
        return Asked(score(reading, index), index)


@dataclass(frozen=True)
class PerSample:
    """Asks each sample about its own class.

    Args:
        classes: One class index or name for each sample, in order.

    Example:
        >>> PerSample([0, 2, 1]).classes
        (0, 2, 1)
    """

    classes: Sequence[int | str]

    def __post_init__(self) -> None:
        if isinstance(self.classes, str) or not hasattr(self.classes, "__iter__"):
            message = f"PerSample({self.classes!r}) needs a list with one class for each sample."
            raise TargetError(message)
        object.__setattr__(self, "classes", tuple(self.classes))

    def label(self, _names: Sequence[str] | None) -> str:
        """Name the target in the result."""
        return "per-sample"

    def check(self, samples: int) -> None:
        """Raise a ``TargetError`` unless there is one class for each sample."""
        if len(self.classes) != samples:
            message = f"PerSample holds {len(self.classes)} classes for {samples} samples. Give one class a sample."
            raise TargetError(message)

    def ask(
        self, reading: Reading, rows: slice, score: Score, names: Sequence[str] | None
    ) -> Asked:
        """Score each sample's own class."""
        index = _in_range([class_index(name, names) for name in self.classes[rows]], reading)
        return Asked(score(reading, index), index)


@dataclass(frozen=True)
class Output:
    """Asks about any number that can be computed from what the model returned.

    Args:
        function: From the model's output, just as returned (for the batch at hand), to one score a
            sample, shape ``(b,)`` or ``(b, 1)``, with the framework's own operations.

    Example:
        >>> Output(lambda out: out["boxes"][:, 0]).label(None)
        'output'
    """

    function: Callable[[Any], Array]

    def label(self, _names: Sequence[str] | None) -> str:
        """Name the target in the result."""
        name = getattr(self.function, "__name__", "<lambda>")
        return "output" if name == "<lambda>" else name

    def ask(
        self, reading: Reading, _rows: slice, _score: Score, _names: Sequence[str] | None
    ) -> Asked:
        """Apply the function to the model's output."""
        value = self.function(reading.raw)
        if tuple(getattr(value, "shape", ())) not in ((reading.batch,), (reading.batch, 1)):
            given = tuple(value.shape) if hasattr(value, "shape") else type(value).__name__
            message = (
                f"Output({self.label(None)}) returned {given} for {reading.batch} samples; "
                "it must return one score a sample, shape (batch,)."
            )
            raise TargetError(message)
        return Asked(
            namespace(value).reshape(value, (reading.batch,)), np.full(reading.batch, NO_CLASS)
        )


Target: TypeAlias = Predicted | Class | PerSample | Output


def as_target(wanted: object, names: Sequence[str] | None) -> Target:
    """Turn what a user writes into a target.

    Args:
        wanted: A target, ``"predicted"``, a class index, a class name, or a function of the output.
        names: The class names, if they are known.

    Raises:
        TargetError: It is none of these, or no such class.
    """
    if isinstance(wanted, Target):
        return wanted
    if isinstance(wanted, str) and wanted.lower() == "predicted" and wanted not in (names or ()):
        return Predicted()
    if callable(wanted):
        return Output(wanted)
    target = Class(wanted if isinstance(wanted, str) else _whole(wanted))
    target.label(names)
    return target


def class_index(name: int | str, names: Sequence[str] | None) -> int:
    """Return the index of a class given by index or by name.

    Raises:
        TargetError: No class has that name, or there are no names.
    """
    if not isinstance(name, str):
        return _whole(name)
    if names and name in names:
        return list(names).index(name)
    known = (
        f"{nearest(name, names)} Classes: {', '.join(names)}."
        if names
        else " Pass class_names=[...] to use names."
    )
    message = f"there is no class {name!r}.{known}"
    raise TargetError(message)


def _whole(number: object) -> int:
    try:
        if isinstance(number, bool):
            raise TypeError  # noqa: TRY301 - a truth value is an int to Python, not a class to us
        return operator.index(number)  # type: ignore[arg-type] # that it may fail is the point
    except TypeError:
        message = f"a target cannot be {number!r}; give a class index, a class name, 'predicted' or a target."
        raise TargetError(message) from None


def _in_range(index: Sequence[int], reading: Reading) -> np.ndarray:
    for each in index:
        if not 0 <= each < reading.classes:
            message = f"class {each} does not exist: the model tells {reading.classes} classes apart, 0 to {reading.classes - 1}."
            raise TargetError(message)
    return np.asarray(index, dtype=np.int64)
