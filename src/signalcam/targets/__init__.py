"""Targets: from the model's output to one score a sample."""

from __future__ import annotations

from collections.abc import Sequence

from signalcam.errors import TargetError
from signalcam.targets.classes import (
    Class,
    PerSample,
    Predicted,
    TrueLabel,
    as_int,
    class_index,
)
from signalcam.targets.contrasts import Contrast, Counterfactual, Finer
from signalcam.targets.outputs import Output, Region, Regression, Similarity
from signalcam.targets.question import NO_CLASS, Question, ScoredTarget, Selector, Target, make_question

__all__ = [
    "NO_CLASS",
    "Class",
    "Contrast",
    "Counterfactual",
    "Finer",
    "Output",
    "PerSample",
    "Predicted",
    "Question",
    "Region",
    "Regression",
    "ScoredTarget",
    "Selector",
    "Similarity",
    "Target",
    "TrueLabel",
    "as_target",
    "class_index",
    "make_question",
]


def as_target(question: object, names: Sequence[str] | None) -> Target:
    """Turn what ``target=`` takes into a target.

    Args:
        question: A target, ``"predicted"``, a class index, a class name, or a function of the output.
        names: The class names, if they are known.

    Raises:
        TargetError: It is none of these, or no such class.
    """
    if isinstance(question, type):
        message = f"a target cannot be the type {question.__name__}; write {question.__name__}(...)."
        raise TargetError(message)
    if isinstance(question, Target):
        question.label(names)  # unknown names are told at once
        return question
    if isinstance(question, str) and question.lower() == "predicted" and question not in (names or ()):
        return Predicted()
    if callable(question):
        return Output(question)
    target = Class(question if isinstance(question, str) else as_int(question))
    target.label(names)
    return target
