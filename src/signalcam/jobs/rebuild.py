"""Building an ``Explanation`` from the arrays of a job's store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from signalcam.alignment.resampling import AxisGrid
from signalcam.inputs.layout import Layout
from signalcam.results.explanation import Explanation
from signalcam.results.layer_maps import LayerMaps


def rebuild_explanation(
    about: Mapping[str, Any], read: Callable[[str], Any], maps: Sequence[Any], inputs: Any, names: Any
) -> Explanation:
    """Build the explanation of stored samples; ``read`` gives the per-sample array of a name, or ``None``."""
    facts = about["facts"]
    layers = [
        LayerMaps(layer["name"], values, tuple(AxisGrid(**axis) for axis in layer["grid"]))
        for layer, values in zip(facts["layers"], maps, strict=True)
    ]
    return Explanation(
        layers=tuple(layers),
        targets=tuple(facts["targets"]),
        methods=tuple(facts["methods"]),
        layout=Layout(**facts["layout"]),
        input=inputs,
        scores=read("score"),
        target_classes=read("target_class"),
        logits=read("logit"),
        probabilities=read("probability"),
        classes=read("predicted"),
        true_classes=read("label"),
        class_names=None if facts["class_names"] is None else tuple(facts["class_names"]),
        sample_names=names,
        provenance={**facts["provenance"], "weights": about["identity"]["weights"], "job": about["digest"]},
    )
