"""Build the result from what each group of samples gave, in the order of the samples."""

from __future__ import annotations

import platform
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np

from signalcam.alignment.resampling import AxisGrid
from signalcam.errors import CamWarning
from signalcam.explainer.batch_result import BatchResult, ModelOutputs
from signalcam.explainer.padding_plan import BatchPlan
from signalcam.explainer.runner import ExplainedInput, GroupResult, Runner
from signalcam.inputs.layout import name_axes
from signalcam.inputs.padding import RaggedArray, pad_arrays
from signalcam.inputs.validation import encode_labels
from signalcam.results.explanation import Explanation
from signalcam.results.input_maps import InputMaps
from signalcam.results.layer_maps import LayerMaps, join_groups


def build_explanation(
    running: Runner,
    plan: BatchPlan,
    pieces: Sequence[GroupResult],
    *,
    about: Mapping[str, Any],
    labels: Sequence[Any] | None,
    sample_names: Sequence[Any] | None,
) -> Explanation:
    """Build one explanation from the results of all groups.

    Args:
        running: What was run.
        plan: The samples, and which of them ran together.
        pieces: What they gave.
        about: The provenance.
        labels: The true classes, by index or name.
        sample_names: Names of the samples.
    """
    columns = zip(*[piece.maps(running.layers) for piece in pieces], strict=True)
    layers = iter([join_groups(column) for column in columns])
    grids = iter([_axes(column) for column in zip(*[each.grids for each in pieces], strict=True)])
    input_maps = [
        _modality(running, plan, explained, [(next(layers), next(grids)) for _ in explained.layers])
        for explained in running.explained
    ]
    outputs = _concatenate_outputs(pieces)
    classes = None if outputs.probabilities is None else int(outputs.probabilities.shape[1])
    first, names = input_maps[0], running.class_names
    count = plan.samples.count
    return Explanation(
        layers=first.layers,
        targets=tuple(running.targets),
        methods=tuple(method.name for method in running.methods),
        layout=first.layout,
        input=first.input,
        scores=outputs.scores,
        target_classes=outputs.index,
        logits=outputs.logits,
        probabilities=outputs.probabilities,
        classes=outputs.predicted,
        true_classes=None if labels is None else encode_labels(labels, names, classes),
        class_names=None if names is None else tuple(names),
        sample_names=tuple(range(count) if sample_names is None else sample_names),
        provenance=about,
        of=first.name,
        modalities=tuple(each.name for each in input_maps if each.name),
        shapes=first.shapes,
        others=tuple(input_maps[1:]),
    )


def describe_run(runner: Runner, batch: BatchResult, how: str) -> dict[str, Any]:
    """The provenance of a result: model, score, alignment and versions."""
    folded = [f"{layer.ran}: {layer.tokens.description}" for layer in batch.layers if layer.tokens]
    return {
        "model": type(runner.model).__name__,
        "score": batch.score,
        **({"trials run": batch.rerun_reason} if batch.rerun_reason else {}),
        **({"unequal lengths": how} if how else {}),
        **({"tokens": "; ".join(folded)} if folded else {}),
        "signed": str(runner.signed),
        "align": runner.align,
        "signalcam": _version(),
        runner.backend.name: runner.backend.version,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


@cache
def _version() -> str:
    return version("signalcam")


def _concatenate_outputs(pieces: Sequence[GroupResult]) -> ModelOutputs:
    """The model's outputs for all samples, in their order."""
    order = np.argsort(np.concatenate([each.rows for each in pieces]))
    every = [each.outputs for each in pieces]
    columns = {each.name: [getattr(answer, each.name) for answer in every] for each in fields(ModelOutputs)}
    whole = {name: None if each[0] is None else np.concatenate(each) for name, each in columns.items()}
    return ModelOutputs(**whole).select(order)  # type: ignore[arg-type] # scores and classes are always there


def _axes(grids: Sequence[dict[int, AxisGrid]]) -> set[int]:
    """The axes of the input that a layer's positions lie along."""
    return {axis.input_axis for each in grids for axis in each.values()}


def _modality(
    running: Runner, plan: BatchPlan, explained: ExplainedInput, placed_layers: Sequence[tuple[LayerMaps, set[int]]]
) -> InputMaps:
    """The maps of one explained input."""
    layers = [each for each, _ in placed_layers]
    array = plan.samples.inputs.at(explained.path).explained
    shapes = array.shapes if isinstance(array, RaggedArray) else None
    x = _values(array, running)
    if shapes is not None and plan.whole is not None:
        layers = [_within(each, shapes) for each in layers]
    axes = sorted(set().union(*[along for _, along in placed_layers]))
    layout = name_axes(explained.layout, x.ndim, axes)
    alike = shapes is None or bool((shapes == shapes[0]).all())
    return InputMaps(explained.name, tuple(layers), layout, x, None if alike else shapes)


def _values(array: Any, running: Runner) -> np.ndarray:
    if not isinstance(array, RaggedArray):
        return running.backend.numpy(array)
    items = [running.backend.numpy(each) for each in array.arrays]
    return pad_arrays(items, np.nan if items[0].dtype.kind == "f" else 0)


def _within(maps: LayerMaps, shapes: np.ndarray) -> LayerMaps:
    """Remove what lies on padding; warn where nothing is left."""
    short = maps.mask_padding(shapes)
    axes = tuple(range(3, maps.values.ndim))
    left = np.nan_to_num(short.values).any(axis=axes)
    lost = int((maps.values.any(axis=axes) & ~left).any(axis=(1, 2)).sum())
    if lost:
        message = (
            f"at layer {maps.name!r} all the heat of {lost} of {len(left)} samples lay on their padding, which is "
            "not shown. Tell the model about lengths (extra={'mask': signalcam.Mask()}), or pass the samples as a list."
        )
        warnings.warn(message, CamWarning, stacklevel=6)
    return short
