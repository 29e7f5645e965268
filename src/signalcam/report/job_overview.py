"""The page of a whole job: means over all samples, and the first samples to look at."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from signalcam.report.quantize import estimate_size
from signalcam.report.scores import describe_scores
from signalcam.report.summary import GROUPS, list_provenance, summarize_page

if TYPE_CHECKING:
    from signalcam.results.explanation import Explanation
    from signalcam.results.group_summary import GroupSummary

FIRST_SAMPLES = 100  # at most on a page
_REASONS = 10  # most frequent reasons of failure on a page
_GROUP_LABELS = {"all": "{}", "label": "true: {}", "predicted": "predicted: {}", "right": "{}", "group": "group: {}"}


def select_first_samples(exp: Explanation, job_groups: GroupSummary, most: int) -> Explanation:
    """Select the first samples of a job that fit into ``most`` characters; at least one."""
    means = estimate_size(exp, len(select_groups(job_groups))) - estimate_size(exp, 0)
    bytes_per_sample = max(estimate_size(exp, 0) // len(exp), 1)
    room = max((most - means) // bytes_per_sample, 1)
    return exp.isel(sample=slice(0, min(FIRST_SAMPLES, room)))


def select_groups(job_groups: GroupSummary) -> list[int]:
    """Numbers of the groups to show: the most frequent of each kind."""
    order = ("all", "predicted", "label", "right", "group")
    of = {kind: [i for i, each in enumerate(job_groups.kinds) if each == kind] for kind in order}
    frequent = {kind: sorted(rows, key=lambda i: -job_groups.counts[i])[:GROUPS] for kind, rows in of.items()}
    return [row for kind in order for row in (frequent[kind] if kind != "right" else of[kind])]


def describe_job(exp: Explanation, job_groups: GroupSummary, samples: Explanation) -> dict[str, Any]:
    """Describe a job for ``render_page``: some samples, group means, and reasons of failure."""
    rows = select_groups(job_groups)
    reasons = Counter(each for each in exp.failed if each)
    signed = any(bool((each.values < 0).any()) for each in job_groups.mean.layers)
    page_summary = summarize_page(samples)
    return {
        **page_summary,
        "sentence": str(exp),
        "signed": page_summary["signed"] or signed,
        "scores": describe_scores(exp),
        "about": list_provenance(exp),
        "groups": [
            {
                "name": _GROUP_LABELS[job_groups.kinds[row]].format(group_name(job_groups, row)),
                "count": job_groups.counts[row],
            }
            for row in rows
        ],
        "job": {
            "samples": len(exp),
            "failed": sum(reasons.values()),
            "reasons": reasons.most_common(_REASONS),
            "others": max(len(reasons) - _REASONS, 0),
        },
    }


def group_name(job_groups: GroupSummary, row: int) -> str:
    """Name of a group."""
    group_name = str(job_groups.mean.sample_names[row])
    return "all samples" if job_groups.kinds[row] == "all" else group_name
