"""Here you find the one line that ``repr(explanation)`` returns."""

from __future__ import annotations

from typing import Any

from signalcam.results.attached_scores import summary_line


def describe_explanation(exp: Any) -> str:
    """Describe an explanation in one line: model, counts, sizes, names and scores."""
    entries = (("sample", exp.sample_names), ("target", exp.targets), ("method", exp.methods), ("layer", exp.layers))
    counts = " x ".join(f"{len(names)} {kind}{'s' * (len(names) != 1)}" for kind, names in entries)
    lengths = " x ".join(f"{exp.input.shape[axis]} {dim}" for axis, dim in zip(exp.map_axes, exp.dims, strict=True))
    modality = f" of {exp.of}" if exp.of else ""
    scores = "" if exp.metrics is None else f"; {summary_line(exp.metrics)}"
    return (
        f"<Explanation of {exp.provenance.get('model', 'a model')}: {counts}, maps of {lengths}{modality}; "
        f"{', '.join(exp.methods)} at {', '.join(exp.layer_names)}, for {', '.join(exp.targets)}{scores}>"
    )
