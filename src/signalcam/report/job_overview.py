"""What a page of a whole job holds: means over all its samples, and the first of these to look at."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from signalcam.report.quantize import size
from signalcam.report.scores import describe_scores
from signalcam.report.summary import GROUPS, about, summary

if TYPE_CHECKING:
    from signalcam.results.explanation import Explanation
    from signalcam.results.group_summary import GroupSummary

FIRST = 100  # samples at most
_REASONS = 10  # the most frequent
_SAID = {"all": "{}", "label": "true: {}", "predicted": "predicted: {}", "right": "{}", "group": "group: {}"}


def first_samples(exp: Explanation, found: GroupSummary, most: int) -> Explanation:
    """The first samples of a job, as many as a page of so many characters has room for; one at least."""
    means = size(exp, len(shown_groups(found))) - size(exp, 0)
    each = max(size(exp, 0) // len(exp), 1)
    room = max((most - means) // each, 1)
    return exp.isel(sample=slice(0, min(FIRST, room)))


def shown_groups(found: GroupSummary) -> list[int]:
    """The numbers of the groups whose means are shown: of each kind the most frequent."""
    order = ("all", "predicted", "label", "right", "group")
    of = {kind: [i for i, each in enumerate(found.kinds) if each == kind] for kind in order}
    frequent = {kind: sorted(rows, key=lambda i: -found.counts[i])[:GROUPS] for kind, rows in of.items()}
    return [row for kind in order for row in (frequent[kind] if kind != "right" else of[kind])]


def describe_job(exp: Explanation, found: GroupSummary, some: Explanation) -> dict[str, Any]:
    """Describe a job for ``page``: some of its samples, the means of all, and what failed."""
    rows = shown_groups(found)
    reasons = Counter(each for each in exp.failed if each)
    signed = any(bool((each.values < 0).any()) for each in found.mean.layers)
    known = summary(some)
    return {
        **known,
        "sentence": str(exp),
        "signed": known["signed"] or signed,
        "scores": describe_scores(exp),
        "about": about(exp),
        "groups": [
            {"name": _SAID[found.kinds[row]].format(name(found, row)), "count": found.counts[row]} for row in rows
        ],
        "job": {
            "samples": len(exp),
            "failed": sum(reasons.values()),
            "reasons": reasons.most_common(_REASONS),
            "others": max(len(reasons) - _REASONS, 0),
        },
    }


def name(found: GroupSummary, row: int) -> str:
    """What a group is called."""
    said = str(found.mean.sample_names[row])
    return "all samples" if found.kinds[row] == "all" else said
