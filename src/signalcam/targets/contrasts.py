"""Targets that compare classes: why this class rather than that one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np

from signalcam.arrays import Array, namespace
from signalcam.errors import TargetError
from signalcam.targets import score_functions
from signalcam.targets.classes import Class, ClassTarget, Predicted, as_int, class_index
from signalcam.targets.model_output import ModelOutput, select_column
from signalcam.targets.question import Rows, ScoredTarget, Target
from signalcam.targets.score_functions import Score

Form = Literal["linear", "quadratic"]
ClassLike = int | str | ClassTarget


def as_class(question: object) -> ClassTarget:
    """Turn a class index, a name or ``"predicted"`` into a question about one class."""
    if isinstance(question, ClassTarget):
        return question
    if isinstance(question, str):
        return Predicted() if question.lower() == "predicted" else Class(question)
    return Class(as_int(question))


class ComparedClasses(Target, Protocol):
    """The part that all targets of several classes share; ``parts`` are targets of one class."""

    @property
    def parts(self) -> tuple[ClassTarget, ...]:
        """The targets of one class that this one is made of."""
        ...

    def with_parts(self, parts: Sequence[ClassTarget]) -> ComparedClasses:
        """Replace the targets of one class."""
        ...

    def sample_values(self, rows: Rows, names: Sequence[str] | None) -> np.ndarray:
        """Class index per sub-target, ``(b, part)``; -1 where a sub-target has no given class. Empty where none has."""
        columns = [each.sample_values(rows, names) for each in self.parts]
        count = max(map(len, columns))
        if not count:
            return columns[0]
        full = [each if len(each) else np.full(count, -1) for each in columns]
        return np.stack(full, axis=1)

    def select_samples(self, samples: Sequence[int]) -> Target:
        """Select some samples."""
        return self.with_parts([each.select_samples(samples) for each in self.parts])  # type: ignore[misc] # of its own kind

    def with_labels(self, labels: Sequence[int | str] | None) -> Target:
        """Replace true labels by classes."""
        return self.with_parts([each.with_labels(labels) for each in self.parts])  # type: ignore[misc] # as above

    def check(self, own: np.ndarray, classes: int) -> None:
        """Raise a ``TargetError`` where a given class does not exist."""
        for number, part in enumerate(self.parts if own.size else ()):
            part.check(own[:, number], classes)

    def check_count(self, samples: int) -> None:
        """Raise a ``TargetError`` unless the target fits that many samples."""
        for part in self.parts:
            part.check_count(samples)

    def picks(self, reading: ModelOutput, own: Array, names: Sequence[str] | None) -> list[Array]:
        """``(b,)`` for each part, all where the scores are."""
        has_classes = bool(own.shape[0])
        columns = [
            select_column(reading.values, part.pick(reading, own[:, i] if has_classes else own, names))
            for i, part in enumerate(self.parts)
        ]
        return [namespace(each).astype(each, columns[0].dtype) for each in columns]

    def freeze(self, picks: np.ndarray, _own: np.ndarray) -> tuple[Target, np.ndarray]:
        """Keep the classes that were picked."""
        return FixedComparison(self), picks

    def value(self, reading: ModelOutput, picks: Array, score: Score) -> Array:
        """The score of the classes that were picked, ``(b, m)``."""
        ...

    @property
    def repeats(self) -> bool:
        """Whether an equal target asks every batch alike."""
        return all(each.repeats for each in self.parts)


@dataclass(frozen=True)
class FixedComparison(Target):
    """A comparison between classes that were picked already.

    Attributes:
        target: The comparison.
    """

    target: ComparedClasses

    def label(self, names: Sequence[str] | None) -> str:
        """Name the target in the result."""
        return self.target.label(names)

    def ask(self, reading: ModelOutput, own: Array, score: Score, _names: Sequence[str] | None) -> ScoredTarget:
        """Score the picked classes."""
        return ScoredTarget(self.target.value(reading, own, score), own)


@dataclass(frozen=True)
class Contrast(ComparedClasses):
    """Asks why one class rather than another: the difference of their scores.

    With logits the difference is exact, also where only probabilities are known, as what all logits have
    in common cancels out. Signed maps of methods linear in the gradient are the difference of both maps.

    Args:
        target: The class: index, name, ``"predicted"``, ``Predicted(2)``, ``PerSample``, ``TrueLabel``.
        foil: The other class, in any of these forms, or a list of several, whose mean counts.
        form: ``"linear"``, or ``"quadratic"`` for the square of the difference, which signal_grad_cam
            offers too: the same map times twice the difference, so turned over where the foil is
            the likelier class.

    Raises:
        TargetError: Target and foil are the same class, for a sample or altogether.

    Example:
        >>> Contrast("AF", foil="normal").label(["normal", "AF"])
        'AF rather than normal'
    """

    target: Any
    foil: Any
    form: Form = "linear"

    def __post_init__(self) -> None:
        foils = self.foil if isinstance(self.foil, list | tuple) else [self.foil]
        if self.form not in ("linear", "quadratic") or not foils:
            message = f"Contrast takes form='linear' or 'quadratic' and at least one foil, not form={self.form!r} and foil={self.foil!r}."
            raise TargetError(message)
        object.__setattr__(self, "target", as_class(self.target))
        object.__setattr__(self, "foil", tuple(as_class(each) for each in foils))
        if self.target in self.foil:
            message = f"the foil of a Contrast is its target itself, {self.target}. Give another class, or foil=Predicted(2) for the runner-up."
            raise TargetError(message)

    @property
    def parts(self) -> tuple[ClassTarget, ...]:
        """The class and its foils."""
        return (self.target, *self.foil)

    def with_parts(self, parts: Sequence[ClassTarget]) -> Contrast:
        """Replace the class and its foils."""
        new = object.__new__(Contrast)
        values = {"target": parts[0], "foil": tuple(parts[1:]), "form": self.form}
        new.__dict__.update(values)  # checked already, and classes of no sample may be equal
        return new

    def label(self, names: Sequence[str] | None) -> str:
        """Name the target in the result."""
        class_labels = [each.name for each in self.parts if isinstance(each, Class)]
        index = [class_index(each, names) for each in class_labels]
        if len(set(index)) < len(index):
            message = f"Contrast({self._word(names)}) compares a class with itself. Give another foil, or foil=Predicted(2) for the runner-up."
            raise TargetError(message)
        return self._word(names) + (", squared" if self.form == "quadratic" else "")

    def _word(self, names: Sequence[str] | None) -> str:
        foils = " or ".join(each.label(names) for each in self.foil)
        return f"{self.target.label(names)} rather than {foils}"

    def check_picks(self, picks: np.ndarray, rows: np.ndarray) -> None:
        """Raise a ``TargetError`` where a sample's foil is its target."""
        same = rows[(picks[:, 1:] == picks[:, :1]).any(axis=1)]
        if len(same):
            message = f"target and foil of a Contrast are the same class for sample(s) {', '.join(map(str, same[:5]))}{'' if len(same) < 6 else ' and others'}. Leave these out, or take foil=Predicted(2), the runner-up."
            raise TargetError(message)

    def ask(self, reading: ModelOutput, own: Array, score: Score, names: Sequence[str] | None) -> ScoredTarget:
        """Score the difference."""
        columns = self.picks(reading, own, names)
        picks = namespace(columns[0]).stack(columns, axis=1)
        return ScoredTarget(self.value(reading, picks, score), picks)

    def value(self, reading: ModelOutput, picks: Array, score: Score) -> Array:
        """The class' score less the mean of the foils'."""
        exact = score_functions.relative_logit if score is score_functions.logit else score
        foils = [exact(reading, picks[:, i]) for i in range(1, len(self.parts))]
        rest = foils[0]
        for foil in foils[1:]:
            rest = rest + foil
        apart = exact(reading, picks[:, 0]) - rest / len(foils)
        return apart * apart if self.form == "quadratic" else apart

    @property
    def relative(self) -> bool:
        """Whether a constant added to all logits cancels out."""
        return True


@dataclass(frozen=True)
class Finer(ComparedClasses):
    """Asks what sets a class apart from those the model finds most like it (Finer-CAM, arXiv:2501.11309).

    The class' logit less ``gamma`` times the mean of the logits nearest to it.

    Args:
        target: The class, as for ``Contrast``.
        nearest: How many of the others count.
        gamma: How much they count; 0 asks about the class alone.

    Raises:
        TargetError: There are not so many other classes, or a number makes no sense.

    Example:
        >>> Finer("predicted", nearest=3).label(None)
        'predicted, finer than 3 others'
    """

    target: Any = "predicted"
    nearest: int = 3
    gamma: float = 0.6

    def __post_init__(self) -> None:
        object.__setattr__(self, "target", as_class(self.target))
        if as_int(self.nearest) < 1 or not self.gamma >= 0:
            message = (
                f"Finer takes at least 1 nearest class and a gamma of 0 or more, not {self.nearest} and {self.gamma}."
            )
            raise TargetError(message)

    @property
    def parts(self) -> tuple[ClassTarget, ...]:
        """The class."""
        return (self.target,)

    def with_parts(self, parts: Sequence[ClassTarget]) -> Finer:
        """Replace the class."""
        return replace(self, target=parts[0])

    def label(self, names: Sequence[str] | None) -> str:
        """Name the target in the result."""
        return f"{self.target.label(names)}, finer than {self.nearest} others"

    def ask(self, reading: ModelOutput, own: Array, score: Score, names: Sequence[str] | None) -> ScoredTarget:
        """Score the class against those nearest to it."""
        if self.nearest >= reading.classes:
            message = f"{self.label(names)!r} needs {self.nearest + 1} classes, and the model tells {reading.classes} apart. Give nearest={reading.classes - 1} or less."
            raise TargetError(message)
        (index,) = self.picks(reading, own, names)
        picks = reading.nearest(index, self.nearest)
        return ScoredTarget(self.value(reading, picks, score), picks)

    def value(self, reading: ModelOutput, picks: Array, score: Score) -> Array:
        """The class' score less a share of the mean of the others'."""
        exact = score_functions.relative_logit if score is score_functions.logit and self.relative else score
        others = exact(reading, picks[:, 1])
        for i in range(2, self.nearest + 1):
            others = others + exact(reading, picks[:, i])
        return exact(reading, picks[:, 0]) - self.gamma * others / self.nearest

    @property
    def relative(self) -> bool:
        """Whether a constant added to all logits cancels out."""
        return self.gamma == 1


@dataclass(frozen=True)
class Counterfactual(Target):
    """Asks what speaks against a target: the score's sign is reversed.

    Source: Selvaraju et al., arXiv:1610.02391, sec. 3.3.

    Args:
        target: Any other target, or a class.

    Example:
        >>> Counterfactual("AF").label(["normal", "AF"])
        'not AF'
    """

    target: Any

    def __post_init__(self) -> None:
        inner = self.target if isinstance(self.target, Target) else as_class(self.target)
        object.__setattr__(self, "target", inner)

    def label(self, names: Sequence[str] | None) -> str:
        """Name the target in the result."""
        return f"not {self.target.label(names)}"

    def ask(self, reading: ModelOutput, own: Array, score: Score, names: Sequence[str] | None) -> ScoredTarget:
        """Reverse the sign of the score."""
        scored = self.target.ask(reading, own, score, names)
        return ScoredTarget(-scored.value, scored.picks)

    def sample_values(self, rows: Rows, names: Sequence[str] | None) -> np.ndarray:
        """The sample values of the inner target."""
        return self.target.sample_values(rows, names)  # type: ignore[no-any-return] # any target

    def select_samples(self, samples: Sequence[int]) -> Target:
        """Select some samples."""
        return Counterfactual(self.target.select_samples(samples))

    def with_labels(self, labels: Sequence[int | str] | None) -> Target:
        """Replace true labels by classes."""
        return Counterfactual(self.target.with_labels(labels))

    def freeze(self, picks: np.ndarray, own: np.ndarray) -> tuple[Target, np.ndarray]:
        """Reverse the sign of the frozen target."""
        inner, frozen = self.target.freeze(picks, own)
        return Counterfactual(inner), frozen

    def for_axis(self, class_axis: int) -> Target:
        """Set the axis of classes of the inner target."""
        return Counterfactual(self.target.for_axis(class_axis))

    def check(self, own: np.ndarray, classes: int) -> None:
        """Check the inner target."""
        self.target.check(own, classes)

    def check_count(self, samples: int) -> None:
        """Check the inner target."""
        self.target.check_count(samples)

    def check_picks(self, picks: np.ndarray, rows: np.ndarray) -> None:
        """Check the inner target."""
        self.target.check_picks(picks, rows)

    @property
    def repeats(self) -> bool:
        """Whether an equal target asks every batch alike."""
        return bool(self.target.repeats)

    @property
    def about_classes(self) -> bool:
        """Whether the output is read as classes."""
        return bool(self.target.about_classes)

    @property
    def relative(self) -> bool:
        """Whether a constant added to all logits cancels out."""
        return bool(self.target.relative)
