"""``Target``, the protocol of all targets, and ``Question``: all targets of one batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from signalcam.arrays import Array
from signalcam.errors import InputError, TargetError, nearest
from signalcam.targets.model_output import ModelOutput, main_output, named_arrays
from signalcam.targets.score_functions import Score, find, provenance, relevance

NO_CLASS = -1  # stands for the class where the question is not about one
Selector = int | str | Callable[[Any], Array] | None
Rows = slice | Sequence[int] | np.ndarray


@dataclass(frozen=True)
class ScoredTarget:
    """The score of one target, and the class it is about.

    Attributes:
        value: ``(b,)``, a score for each sample.
        picks: ``(b, m)``, what was picked by looking at each sample, in whole numbers: first the class the
            question is about, then what it is compared with, or where.
    """

    value: Array
    picks: Array

    @property
    def index(self) -> Array:
        """``(b,)``, the class the target is about; ``NO_CLASS`` for none."""
        return self.picks[:, 0]


@runtime_checkable
class Target(Protocol):
    """A target: one question that every sample is asked."""

    def label(self, names: Sequence[str] | None) -> str:
        """Name the target in the result."""
        ...

    def ask(self, reading: ModelOutput, own: Array, score: Score, names: Sequence[str] | None) -> ScoredTarget:
        """Score every sample.

        Args:
            reading: What the model said.
            own: What ``brought`` gave for these samples.
            score: From the reading and one class a sample to ``(b,)``.
            names: The class names, if they are known.
        """
        ...

    def sample_values(self, _rows: Rows, _names: Sequence[str] | None) -> np.ndarray:
        """The target's data for some samples, one row each; empty where it has none."""
        return np.zeros(0, np.int64)

    def select_samples(self, _samples: Sequence[int]) -> Target:
        """Select some samples."""
        return self

    def freeze(self, _picks: np.ndarray, own: np.ndarray) -> tuple[Target, np.ndarray]:
        """The target with each sample's pick fixed, and its data."""
        return self, own

    def check(self, _own: np.ndarray, _classes: int) -> None:
        """Raise a ``TargetError`` unless the target's data fit the number of classes."""
        return

    def check_picks(self, _picks: np.ndarray, _rows: np.ndarray) -> None:
        """Raise a ``TargetError`` where picks are invalid; ``rows`` are the samples' numbers."""
        return

    def check_count(self, _samples: int) -> None:
        """Raise a ``TargetError`` unless the target fits that many samples."""
        return

    def for_axis(self, _class_axis: int) -> Target:
        """Set which axis of a dense output holds the classes: 1 or -1."""
        return self

    def with_labels(self, _labels: Sequence[int | str] | None) -> Target:
        """Replace true labels by classes."""
        return self

    @property
    def repeats(self) -> bool:
        """Whether an equal target asks every batch alike, so that a run can be compiled."""
        return False

    @property
    def about_classes(self) -> bool:
        """Whether the output is read as classes."""
        return True

    @property
    def relative(self) -> bool:
        """Whether a constant added to all logits cancels out."""
        return False


@dataclass(frozen=True)
class Question:
    """All targets of one batch.

    Attributes:
        targets: What is asked.
        score: What is differentiated: a name or a function, see ``scores.find``.
        names: The class names, if they are known.
        own: For each target what its samples bring along, one row each; empty where they bring nothing.
        kind: Which gradient is wanted, see ``signalcam.attribution.context.AttributionContext.gradient``; ``None`` for none at all.
        output: Which of the model's outputs is meant, see ``Explainer``.
    """

    targets: tuple[Target, ...]
    score: str | Callable[[Array], Array]
    names: tuple[str, ...] | None
    own: tuple[np.ndarray, ...]
    kind: GradientKind | None = "plain"
    output: Selector = None

    @property
    def repeated(self) -> tuple[Any, ...] | None:
        """What is equal for every batch; ``None`` where a user's function is asked, which may change."""
        if callable(self.score) or callable(self.output):
            return None
        if not all(each.repeats for each in self.targets):
            return None
        alike = tuple(each.select_samples(()) for each in self.targets)
        return alike, self.score, self.names, self.kind, self.output

    def main(self, raw: object) -> Array | None:
        """The array of scores in what the model returned."""
        return main_output(raw) if self.output is None else _selected(raw, self.output)

    def freeze(self, picks: Sequence[np.ndarray]) -> Question:
        """Fix what each target picked, whatever a changed input would be classified as."""
        pairs = [target.freeze(each, own) for target, each, own in zip(self.targets, picks, self.own, strict=True)]
        return replace(self, targets=tuple(t for t, _ in pairs), own=tuple(own for _, own in pairs))

    def repeated_for(self, samples: slice, times: int) -> Question:
        """The question for some samples, each repeated several times."""
        own = tuple(np.repeat(each[samples], times, axis=0) for each in self.own)
        return replace(self, own=own)

    def check(self, classes: int | None) -> None:
        """Raise unless the model has as many classes as the question assumes."""
        if classes is None:
            return
        about_classes = any(each.about_classes for each in self.targets)
        if about_classes and self.names is not None and len(self.names) != classes:
            message = (
                f"class_names holds {len(self.names)} names but the model tells {classes} "
                "classes apart. Give one name a class."
            )
            raise InputError(message)
        for target, own in zip(self.targets, self.own, strict=True):
            target.check(own, classes)

    def ask(self, reading: ModelOutput, own: Sequence[Array] | None = None) -> list[ScoredTarget]:
        """Score every target; ``own`` may replace the targets' data while tracing."""
        score = relevance if self.kind == "relevance" else find(self.score)[1]
        return [
            target.ask(reading, values, score, self.names)
            for target, values in zip(self.targets, own or self.own, strict=True)
        ]

    def provenance(self, reading: ModelOutput) -> str:
        """The name of the score and where it came from."""
        name = find(self.score)[0]
        relative = all(each.relative for each in self.targets)
        if not any(each.about_classes for each in self.targets):
            return "the output itself"
        return provenance(name, reading, relative=relative)


def make_question(
    targets: Sequence[Target],
    rows: Rows,
    score: str | Callable[[Array], Array],
    names: Sequence[str] | None,
    output: Selector = None,
) -> Question:
    """Make the question for some samples, given by their row numbers."""
    class_names = None if names is None else tuple(names)
    own = tuple(each.sample_values(rows, names) for each in targets)
    return Question(tuple(targets), score, class_names, own, output=output)


def _selected(raw: object, output: Selector) -> Array:
    """Select the model's output that ``output=`` names."""
    if callable(output):
        value = output(raw)
    else:
        arrays: Mapping[Any, Any] = named_arrays(raw)
        keys = list(arrays)
        if isinstance(output, int) and output not in arrays and -len(keys) <= output < len(keys):
            output = keys[output]
        if output not in arrays:
            hint = nearest(str(output), map(str, keys))
            there = f"It holds {', '.join(map(repr, keys))}" if keys else "It is one array"
            message = f"output={output!r} is not in what the model returned.{hint} {there}; leave output=... out, or choose one of these."
            raise TargetError(message)
        value = arrays[output]
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return value
    message = f"output={output!r} is {type(value).__name__}, not an array of scores. Choose an array by key, index or function."
    raise TargetError(message)


def select_rows(values: Sequence[Any], rows: Rows) -> Sequence[Any]:
    """Select the entries of some samples."""
    return values[rows] if isinstance(rows, slice) else [values[int(row)] for row in rows]


def no_class(batch: int) -> np.ndarray:
    """The picks of a target that is not about a class."""
    return np.full((batch, 1), NO_CLASS)


GradientKind = Literal["plain", "curved", "relevance", "rescale", "offset", "attention"]


Rule = Literal["guided"]
