"""Targets of one class: the predicted one, a fixed one, each sample's own, the true one."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np

from signalcam.arrays import Array
from signalcam.errors import TargetError, nearest
from signalcam.targets.model_output import ModelOutput
from signalcam.targets.question import Rows, ScoredTarget, Target, select_rows
from signalcam.targets.score_functions import Score


@runtime_checkable
class ClassTarget(Target, Protocol):
    """A target of one class a sample; other targets are made of these."""

    def pick(self, reading: ModelOutput, own: Array, names: Sequence[str] | None) -> Array:
        """``(b,)``, the class of each sample."""
        ...

    def ask(self, reading: ModelOutput, own: Array, score: Score, names: Sequence[str] | None) -> ScoredTarget:
        """Score each sample's class."""
        index = self.pick(reading, own, names)
        return ScoredTarget(score(reading, index), index[:, None])

    def freeze(self, picks: np.ndarray, _own: np.ndarray) -> tuple[Target, np.ndarray]:
        """Keep the class that was picked."""
        return PerSample(()), picks[:, 0]

    @property
    def repeats(self) -> bool:
        """Whether an equal target asks every batch alike."""
        return True


@dataclass(frozen=True)
class Predicted(ClassTarget):
    """Asks about the class each sample was given by the model, or the next likely ones.

    Args:
        rank: 1 for the most likely class, 2 for the runner-up, and so on.

    Raises:
        TargetError: The rank is less than 1.

    Example:
        >>> Predicted().label(None), Predicted(2).label(None)
        ('predicted', 'predicted, rank 2')
    """

    rank: int = 1

    def __post_init__(self) -> None:
        if as_int(self.rank) < 1:
            message = (
                f"Predicted({self.rank}) does not exist: the most likely class is Predicted(1), the next Predicted(2)."
            )
            raise TargetError(message)

    def label(self, _names: Sequence[str] | None) -> str:
        """Name the target in the result."""
        return "predicted" if self.rank == 1 else f"predicted, rank {self.rank}"

    def pick(self, reading: ModelOutput, _own: Array, _names: Sequence[str] | None) -> Array:
        """Each sample's predicted class."""
        if self.rank == 1:
            return reading.predicted()
        if self.rank > reading.classes:
            message = f"Predicted({self.rank}) does not exist: the model tells {reading.classes} classes apart."
            raise TargetError(message)
        return reading.ranked()[:, self.rank - 1]


@dataclass(frozen=True)
class Class(ClassTarget):
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

    def pick(self, reading: ModelOutput, _own: Array, names: Sequence[str] | None) -> Array:
        """That class, for every sample."""
        return in_range([class_index(self.name, names)] * reading.batch, reading.classes)


@dataclass(frozen=True)
class PerSample(ClassTarget):
    """Asks each sample about its own class.

    Args:
        classes: One class index or name for each sample, in order.
        called: The target's name in the result.

    Example:
        >>> PerSample([0, 2, 1]).classes
        (0, 2, 1)
    """

    classes: Sequence[int | str]
    called: str = "per-sample"

    def __post_init__(self) -> None:
        if isinstance(self.classes, str) or not hasattr(self.classes, "__iter__"):
            message = f"PerSample({self.classes!r}) needs a list with one class for each sample."
            raise TargetError(message)
        object.__setattr__(self, "classes", tuple(self.classes))

    def label(self, _names: Sequence[str] | None) -> str:
        """Name the target in the result."""
        return self.called

    def check_count(self, samples: int) -> None:
        """Raise a ``TargetError`` unless there is one class for each sample."""
        if len(self.classes) != samples:
            message = f"PerSample holds {len(self.classes)} classes for {samples} samples. Give one class a sample."
            raise TargetError(message)

    def select_samples(self, samples: Sequence[int]) -> PerSample:
        """Select the classes of some samples."""
        return replace(self, classes=[self.classes[i] for i in samples])

    def sample_values(self, rows: Rows, names: Sequence[str] | None) -> np.ndarray:
        """The classes of some samples."""
        return np.asarray([class_index(each, names) for each in select_rows(self.classes, rows)], np.int64)

    def check(self, own: np.ndarray, classes: int) -> None:
        """Raise a ``TargetError`` where a class does not exist."""
        in_range(own, classes)

    def pick(self, _reading: ModelOutput, own: Array, _names: Sequence[str] | None) -> Array:
        """Each sample's own class."""
        return own


@dataclass(frozen=True)
class TrueLabel(ClassTarget):
    """Asks each sample about its true class, as ``labels=`` has it.

    Raises:
        TargetError: There are no labels.

    Example:
        >>> import signalcam as sc
        >>> sc.explain(network, ecg, target=sc.TrueLabel(), labels=[0, 2, 1, 1]).targets
        ('true label',)
    """

    def label(self, _names: Sequence[str] | None) -> str:
        """Name the target in the result."""
        return "true label"

    def with_labels(self, labels: Sequence[int | str] | None) -> PerSample:
        """Use the labels as classes."""
        if labels is None:
            message = "TrueLabel asks about each sample's true class, and there are no labels. Pass labels=[...], one a sample."
            raise TargetError(message)
        classes = [each if isinstance(each, str) else as_int(each) for each in labels]
        return PerSample(classes, self.label(None))

    def pick(self, reading: ModelOutput, own: Array, names: Sequence[str] | None) -> Array:
        """Raise, as labels must be known before."""
        return self.with_labels(None).pick(reading, own, names)


def class_index(name: int | str, names: Sequence[str] | None) -> int:
    """Return the index of a class given by index or by name.

    Raises:
        TargetError: No class has that name, or there are no names.
    """
    if not isinstance(name, str):
        return as_int(name)
    if names and name in names:
        return list(names).index(name)
    hint = f"{nearest(name, names)} Classes: {', '.join(names)}." if names else " Pass class_names=[...] to use names."
    message = f"there is no class {name!r}.{hint}"
    raise TargetError(message)


def as_int(number: object) -> int:
    """Return a class index as a plain number."""
    try:
        if isinstance(number, bool):
            raise TypeError  # noqa: TRY301 - a truth value is an int to Python, not a class to us
        return operator.index(number)  # type: ignore[arg-type] # that it may fail is the point
    except TypeError:
        message = f"a target cannot be {number!r}; give a class index, a class name, 'predicted' or a target."
        raise TargetError(message) from None


def in_range(index: Iterable[int], classes: int) -> np.ndarray:
    """Return class indices as an array, if all of them exist."""
    for number in index:
        if not 0 <= number < classes:
            message = f"class {number} does not exist: the model tells {classes} classes apart, 0 to {classes - 1}."
            raise TargetError(message)
    return np.asarray(list(index), dtype=np.int64)
