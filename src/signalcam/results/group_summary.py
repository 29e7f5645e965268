"""What a job has summed up, as results in which each sample is a group: its mean map, and the deviation around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from signalcam.errors import InputError, MethodError, TargetError, nearest
from signalcam.results.explanation import Explanation

KINDS = {
    "class": "label",
    "label": "label",
    "predicted": "predicted",
    "outcome": "right",
    "right": "right",
    "group": "group",
}


@dataclass(frozen=True, eq=False)
class GroupSummary:
    """Means over all samples of a job and over groups of them.

    Maps count divided by their largest absolute value, and those that failed do not.

    Attributes:
        mean: A result with a sample for each group, which is named after it; of the input nothing is known.
        deviation: The same of the standard deviations.
        kinds: What each group is told apart by: ``all``, ``label``, ``predicted``, ``right`` or ``group``.
        counts: Of its samples, one at least.
        shares: Of which quantiles are known, the least first.
        quantile: The same as ``mean`` of one of these, by its number.
    """

    mean: Explanation
    deviation: Explanation
    kinds: tuple[str, ...]
    counts: tuple[int, ...]
    shares: tuple[float, ...]
    quantile: Callable[[int], Explanation]

    def rows(self, by: str | None) -> list[int]:
        """The numbers of the groups that samples are told apart by; that of all samples for ``None``.

        Raises:
            InputError: Nothing was explained yet.
            TargetError: The job did not sum up by that.
        """
        if not self.counts:
            message = "the job has explained no sample yet, so there is nothing to draw. Look again when it has."
            raise InputError(message)
        kind = kind_of(by)
        found = [number for number, each in enumerate(self.kinds) if each == kind]
        if not found:
            known = ", ".join(repr(each) for each in dict.fromkeys(self.kinds) if each != "all") or "no grouping"
            message = f"the job has summed up nothing by {by!r}, but by {known}. Take one of these, or leave by= out."
            raise TargetError(message)
        return found


def kind_of(by: str | None) -> str:
    """What samples are told apart by, however it was written.

    Raises:
        MethodError: There is no such grouping.
    """
    if by is not None and by not in KINDS:
        message = f"there is no grouping {by!r}.{nearest(str(by), KINDS)} Choose {', '.join(map(repr, KINDS))}."
        raise MethodError(message)
    return "all" if by is None else KINDS[by]


def summarize_groups(exp: Explanation) -> GroupSummary | None:
    """What the job of a result has summed up so far; nothing where the result is not the whole of a job's."""
    summarize: Callable[[Explanation], GroupSummary] | None = getattr(exp.layers[0].values, "summarize", None)
    return None if summarize is None else summarize(exp)
