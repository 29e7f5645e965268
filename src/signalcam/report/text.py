"""The description of a result in a sentence or two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from signalcam.results.attached_scores import summary_line

if TYPE_CHECKING:
    from signalcam.results.explanation import Explanation

_MOST_NAMES = 4  # names to list; the rest are counted


def describe_result(exp: Explanation) -> str:
    """Say what was explained, how, and how often the model was right."""
    axes = [f"{dim} ({exp.input.shape[axis]})" for axis, dim in zip(exp.map_axes, exp.dims, strict=True)]
    parts = [
        f"{exp.provenance.get('model', 'A model')} on {_pluralize(len(exp), 'sample')}",
        f": {_join_names(exp.methods)} at {_count_names('layer', exp.layer_names)}",
        f", for {_count_names('target', exp.targets)}",
        f", along {_join_names(axes)}{f' of {exp.of}' if exp.of else ''}.",
    ]
    if exp.windows is not None:
        parts.append(f" It was seen in {_pluralize(exp.windows.sizes['window'], 'window')}.")
    if exp.classes is not None and exp.true_classes is not None:
        predicted, true = np.asarray(exp.classes), np.asarray(exp.true_classes)
        comparable = (predicted >= 0) & (true >= 0)  # leaves out samples that could not be explained
        parts.append(f" The model was right about {(predicted == true)[comparable].sum()} of {comparable.sum()}.")
    if exp.metrics is not None:
        parts.append(f" Scores, mean over samples: {summary_line(exp.metrics)}.")
    return "".join(parts)


def _pluralize(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def _count_names(what: str, names: Sequence[Any]) -> str:
    return f"{'the ' * (what == 'target')}{what}{'s' * (len(names) != 1)} {_join_names(names)}"


def _join_names(names: Sequence[Any]) -> str:
    shortened = list(map(str, names[:_MOST_NAMES]))
    shortened += [f"{len(names) - _MOST_NAMES} more"] if len(names) > _MOST_NAMES else []
    return " and ".join([", ".join(shortened[:-1]), shortened[-1]]) if len(shortened) > 1 else "".join(shortened)
