"""Here you find ``GroupSummary``: a job's mean maps and deviations over groups of samples."""

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
    """Means and deviations over all samples of a job, and over groups of them.

    Each map is divided by its largest absolute value first; failed samples are left out.

    Attributes:
        mean: A result with one sample for each group, named after it; its input is NaN.
        deviation: A result of the standard deviations.
        kinds: The grouping of each group: ``all``, ``label``, ``predicted``, ``right`` or ``group``.
        counts: Number of samples of each group, at least 1.
        shares: The known quantiles, ascending.
        quantile: Return a result of the quantile with this index in ``shares``.
    """

    mean: Explanation
    deviation: Explanation
    kinds: tuple[str, ...]
    counts: tuple[int, ...]
    shares: tuple[float, ...]
    quantile: Callable[[int], Explanation]

    def rows(self, by: str | None) -> list[int]:
        """Return the indices of the groups of a grouping; of all samples for ``None``.

        Raises:
            InputError: No sample was explained yet.
            TargetError: The job has no such grouping.
        """
        if not self.counts:
            message = "the job has explained no sample yet, so there is nothing to draw. Look again when it has."
            raise InputError(message)
        kind = kind_of(by)
        rows = [number for number, each in enumerate(self.kinds) if each == kind]
        if not rows:
            kinds = ", ".join(repr(each) for each in dict.fromkeys(self.kinds) if each != "all") or "no grouping"
            message = f"the job has no summary by {by!r}, but by {kinds}. Use one of these, or leave by= out."
            raise TargetError(message)
        return rows


def kind_of(by: str | None) -> str:
    """Resolve the alias of a grouping.

    Raises:
        MethodError: There is no such grouping.
    """
    if by is not None and by not in KINDS:
        message = f"there is no grouping {by!r}.{nearest(str(by), KINDS)} Choose {', '.join(map(repr, KINDS))}."
        raise MethodError(message)
    return "all" if by is None else KINDS[by]


def summarize_groups(exp: Explanation) -> GroupSummary | None:
    """Return the running summary of a job; ``None`` unless the result is the whole of a job's store."""
    summarize: Callable[[Explanation], GroupSummary] | None = getattr(exp.layers[0].values, "summarize", None)
    return None if summarize is None else summarize(exp)
