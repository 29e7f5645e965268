"""From the model's output to one score a sample: which question is asked."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from signalcam.arrays import Array, namespace
from signalcam.case import GradientKind
from signalcam.errors import InputError, TargetError, nearest
from signalcam.scores import Reading, Score, find, relevance

NO_CLASS = -1  # stands for the class where the question is not about one


@dataclass(frozen=True)
class Asked:
    """The answer to one question: a score for each sample, and the class it is about."""

    value: Array
    index: Array


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
        self, reading: Reading, _own: Array, score: Score, _names: Sequence[str] | None
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
        self, reading: Reading, _own: Array, score: Score, names: Sequence[str] | None
    ) -> Asked:
        """Score that class for every sample."""
        index = _in_range([class_index(self.name, names)] * reading.batch, reading.classes)
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
        self, reading: Reading, own: Array, score: Score, _names: Sequence[str] | None
    ) -> Asked:
        """Score each sample's own class."""
        return Asked(score(reading, own), own)


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
        self, reading: Reading, _own: Array, _score: Score, _names: Sequence[str] | None
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


@dataclass(frozen=True)
class Question:
    """Everything that is asked of one batch.

    Attributes:
        targets: What is asked.
        score: What is differentiated: a name or a function, see ``scores.find``.
        names: The class names, if they are known.
        own: For each target the classes its samples bring along, ``(b,)``; empty where they bring none.
        kind: Which gradient is wanted, see ``signalcam.case.Case.gradient``; ``None`` for none at all.
    """

    targets: tuple[Target, ...]
    score: str | Callable[[Array], Array]
    names: tuple[str, ...] | None
    own: tuple[np.ndarray, ...]
    kind: GradientKind | None = "plain"

    @property
    def repeated(self) -> tuple[Any, ...] | None:
        """What is the same for every batch; ``None`` where a user's function, which may change, is asked."""
        if callable(self.score) or any(isinstance(each, Output) for each in self.targets):
            return None
        asked = tuple(PerSample if isinstance(each, PerSample) else each for each in self.targets)
        return asked, self.score, self.names, self.kind

    def fixed(self, classes: Sequence[np.ndarray]) -> Question:
        """Ask about the classes found, whatever a changed input would be taken for."""
        targets = [each if isinstance(each, Output) else PerSample(()) for each in self.targets]
        own = [
            np.zeros(0, np.int64) if isinstance(each, Output) else found
            for each, found in zip(self.targets, classes, strict=True)
        ]
        return replace(self, targets=tuple(targets), own=tuple(own))

    def repeated_for(self, samples: slice, times: int) -> Question:
        """Ask some of the samples, each several times in a row."""
        return replace(self, own=tuple(np.repeat(each[samples], times) for each in self.own))

    def check(self, classes: int | None) -> None:
        """Raise unless the model tells as many classes apart as the question takes for granted."""
        if classes is None:
            return
        if self.names is not None and len(self.names) != classes:
            message = (
                f"class_names holds {len(self.names)} names but the model tells {classes} "
                "classes apart. Give one name a class."
            )
            raise InputError(message)
        for each in self.own:
            _in_range(each, classes)

    def ask(self, reading: Reading, own: Sequence[Array] | None = None) -> list[Asked]:
        """Score every target; ``own`` may stand in for the samples' own classes while tracing."""
        score = relevance if self.kind == "relevance" else find(self.score)[1]
        return [
            target.ask(reading, classes, score, self.names)
            for target, classes in zip(self.targets, own or self.own, strict=True)
        ]


def question(
    targets: Sequence[Target],
    rows: slice | Sequence[int] | np.ndarray,
    score: str | Callable[[Array], Array],
    names: Sequence[str] | None,
) -> Question:
    """Ask some samples of a batch, given by their rows."""
    own = [_some(each.classes, rows) if isinstance(each, PerSample) else () for each in targets]
    index = [np.asarray([class_index(each, names) for each in entry], np.int64) for entry in own]
    return Question(tuple(targets), score, None if names is None else tuple(names), tuple(index))


def _some(values: Sequence[Any], rows: slice | Sequence[int] | np.ndarray) -> Sequence[Any]:
    return values[rows] if isinstance(rows, slice) else [values[row] for row in rows]


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


def _in_range(index: Iterable[int], classes: int) -> np.ndarray:
    for each in index:
        if not 0 <= each < classes:
            message = f"class {each} does not exist: the model tells {classes} classes apart, 0 to {classes - 1}."
            raise TargetError(message)
    return np.asarray(list(index), dtype=np.int64)
