"""A result in a sentence or two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from signalcam.results.attached_scores import summary_line

if TYPE_CHECKING:
    from signalcam.results.explanation import Explanation

_NAMED = 4  # names in a row, of which the rest is counted


def sentence(exp: Explanation) -> str:
    """Say what was explained, how, and how often the model was right."""
    axes = [f"{dim} ({exp.input.shape[axis]})" for axis, dim in zip(exp.map_axes, exp.dims, strict=True)]
    parts = [
        f"{exp.provenance.get('model', 'A model')} on {_counted(len(exp), 'sample')}",
        f": {_listed(exp.methods)} at {_kind('layer', exp.layer_names)}",
        f", for {_kind('target', exp.targets)}",
        f", along {_listed(axes)}{f' of {exp.of}' if exp.of else ''}.",
    ]
    if exp.windows is not None:
        parts.append(f" It was seen in {_counted(exp.windows.sizes['window'], 'window')}.")
    if exp.classes is not None and exp.true_classes is not None:
        said, true = np.asarray(exp.classes), np.asarray(exp.true_classes)
        known = (said >= 0) & (true >= 0)  # not those that could not be explained
        parts.append(f" The model was right about {(said == true)[known].sum()} of {known.sum()}.")
    if exp.metrics is not None:
        parts.append(f" Scores, mean over samples: {summary_line(exp.metrics)}.")
    return "".join(parts)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def _kind(what: str, names: Sequence[Any]) -> str:
    return f"{'the ' * (what == 'target')}{what}{'s' * (len(names) != 1)} {_listed(names)}"


def _listed(names: Sequence[Any]) -> str:
    shown = list(map(str, names[:_NAMED]))
    shown += [f"{len(names) - _NAMED} more"] if len(names) > _NAMED else []
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)
