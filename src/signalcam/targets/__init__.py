"""From the model's output to one score a sample: which question is asked."""

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


def as_target(wanted: object, names: Sequence[str] | None) -> Target:
    """Turn what a user writes into a target.

    Args:
        wanted: A target, ``"predicted"``, a class index, a class name, or a function of the output.
        names: The class names, if they are known.

    Raises:
        TargetError: It is none of these, or no such class.
    """
    if isinstance(wanted, type):
        message = f"a target cannot be the type {wanted.__name__}; write {wanted.__name__}(...)."
        raise TargetError(message)
    if isinstance(wanted, Target):
        wanted.label(names)  # unknown names are told at once
        return wanted
    if isinstance(wanted, str) and wanted.lower() == "predicted" and wanted not in (names or ()):
        return Predicted()
    if callable(wanted):
        return Output(wanted)
    target = Class(wanted if isinstance(wanted, str) else as_int(wanted))
    target.label(names)
    return target
