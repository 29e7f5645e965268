"""Compute the maps of one batch, and concatenate batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from signalcam.alignment.resampling import AxisGrid, resample_batch
from signalcam.arrays import flatten_positions
from signalcam.attribution.registry import Level, Method
from signalcam.backends.protocol import Backend, ForwardResult, LayerOutput
from signalcam.explainer.batch_result import BatchRequest, BatchResult, LengthGroup, NativeMaps, read_outputs, to_int64
from signalcam.explainer.perturbation_engine import ContextSettings, PerturbationContext
from signalcam.results.layer_maps import LayerMaps
from signalcam.results.normalization import rectify

_LEVELS: tuple[Level, ...] = ("layer", "input", "channels")


def compute_batch(
    pull: ForwardResult,
    methods: Sequence[Method],
    settings: Sequence[ContextSettings],
    request: BatchRequest,
    score: str,
    *,
    signed: bool,
) -> BatchResult:
    """Turn activations and gradients into maps, and read the model's outputs into NumPy.

    Args:
        pull: What one forward pass brought up.
        methods: What to compute.
        settings: For each layer, for methods that ask the model again.
        request: The batch and its question, for the same.
        score: What was differentiated, in words.
        signed: Keep what is negative.
    """
    rerun_methods = [each for each in methods if not needs_one_pass(each)]
    backend = settings[0].backend
    picks = selected_classes(pull, request, backend)
    outputs = read_outputs(pull, request.question, picks, backend)
    with backend.full_precision():
        keep = any(each.needs_gradients for each in rerun_methods)
        rows, layer_rows = [], list[Sequence[LayerOutput]]()
        for row in pull.rows:
            rows.append([_plain_maps(each, methods, backend) for each in row])
            layer_rows.append(row if keep else [replace(each, gradient=None, dropped=None) for each in row])
        columns, layer_columns = list(zip(*rows, strict=True)), list(zip(*layer_rows, strict=True))
        layers = []
        for setting, column, own in zip(settings, columns, layer_columns, strict=True):
            question = request.question.freeze(picks)
            inputs = request.inputs if setting.path is None else request.inputs.at(setting.path)
            case = PerturbationContext(setting, inputs, question, own, [each.value for each in pull.scored_targets])
            others = {each.name: _planned_maps(case, each) for each in rerun_methods}
            layers.append(collect_layer_maps(own, methods, column, others, signed=signed, setting=setting))
    ran = next((each.ran for each in settings if each.ran), "")
    return BatchResult(outputs, tuple(layers), score, ran)


def compute_padded_batch(
    pull: ForwardResult,
    methods: Sequence[Method],
    setting: ContextSettings,
    cuts: Sequence[LengthGroup],
    request: BatchRequest,
    score: str,
    *,
    signed: bool,
) -> list[BatchResult]:
    """Compute maps of a padded batch, one result for each length, as if each length had run alone.

    No formula sees a position of the padding.

    Args:
        pull: What one forward pass brought up.
        methods: What to compute, none of which asks the model again.
        setting: Of any layer.
        cuts: The lengths.
        request: The batch and its question.
        score: What was differentiated, in words.
        signed: Keep what is negative.
    """
    backend = setting.backend
    outputs = read_outputs(pull, request.question, selected_classes(pull, request, backend), backend)
    maps_by_length: list[list[list[Any]]] = [[[] for _ in cut.cells] for cut in cuts]
    layers_by_length: list[list[list[LayerOutput]]] = [[[] for _ in cut.cells] for cut in cuts]
    with backend.full_precision():
        for row in pull.rows:
            for number, cut in enumerate(cuts):
                for place, layer_output in enumerate(row):
                    short = _short(layer_output, cut.rows, cut.cells[place])
                    maps_by_length[number][place].append(_plain_maps(short, methods, backend))
                    layers_by_length[number][place].append(replace(short, gradient=None))
    return [
        BatchResult(
            outputs.select(cut.rows),
            tuple(
                collect_layer_maps(own, methods, column, {}, signed=signed, setting=setting)
                for own, column in zip(layers_by_length[number], maps_by_length[number], strict=True)
            ),
            score,
        )
        for number, cut in enumerate(cuts)
    ]


def _short(layer_output: LayerOutput, rows: slice, cells: tuple[int, ...]) -> LayerOutput:
    where = (rows, slice(None), *map(slice, cells))
    gradient = None if layer_output.gradient is None else layer_output.gradient[where]
    return LayerOutput(layer_output.ran, layer_output.activation[where], gradient)


def needs_one_pass(method: Method) -> bool:
    """Whether one forward and one backward pass are enough for a method."""
    return method.plan is None and (method.kind == "plain" or not method.needs_gradients)


def _plain_maps(layer_output: LayerOutput, methods: Sequence[Method], backend: Backend) -> dict[str, np.ndarray]:
    """One target's maps ``(b, p)`` by every formula of activations and gradients."""
    a = flatten_positions(layer_output.activation)
    g = a if layer_output.gradient is None else flatten_positions(layer_output.gradient)
    formulas = [(each.name, each.formula) for each in methods if needs_one_pass(each)]
    return {name: backend.numpy(formula(a, g)) for name, formula in formulas if formula}


def _planned_maps(case: PerturbationContext, method: Method) -> list[np.ndarray]:
    """One map a target, by a method that runs the model again."""
    case.method = method.name
    return [case.setting.backend.numpy(each) for each in method.maps(case)]


def collect_layer_maps(
    layer_outputs: Sequence[LayerOutput],
    methods: Sequence[Method],
    plain: Sequence[dict[str, np.ndarray]],
    rerun_maps: dict[str, list[np.ndarray]],
    *,
    signed: bool,
    setting: ContextSettings,
) -> NativeMaps:
    """Collect one layer's maps at the finest resolution that any of its methods has."""
    ran, cells = layer_outputs[0].ran, tuple(layer_outputs[0].activation.shape[2:])
    finest = max((each.at for each in methods), key=_LEVELS.index)

    def at_finest(prepare: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Rectify at the method's own resolution, before interpolation: the two do not commute."""
        columns = [
            [to_common_resolution(prepare(each), method.at, finest, setting, layer_outputs[0]) for each in own]
            for method, own in zip(methods, method_maps, strict=True)
        ]
        return np.asarray(columns, np.float32).transpose(2, 1, 0, 3)

    method_maps = [rerun_maps.get(method.name) or [each[method.name] for each in plain] for method in methods]
    full = at_finest(np.asarray)
    values = full if signed else at_finest(rectify)
    return NativeMaps(ran, cells, values, find_flaws(full, values), finest, layer_outputs[0].tokens)


def to_common_resolution(
    maps: np.ndarray, at: Level, finest: Level, setting: ContextSettings, layer_output: LayerOutput
) -> np.ndarray:
    """Resample a method's maps ``(b, ...)`` to the layer's common resolution ``(b, p)``."""
    if finest != "layer" and at == "layer":
        cells = tuple(layer_output.activation.shape[2:])
        grid = setting.grid(layer_output.ran, cells)
        maps = resample_batch(maps[:, None], cells, grid, len(setting.shape), np.asarray)[:, 0]
    if finest == "channels":
        maps = np.broadcast_to(maps, (len(maps), *setting.shape[1:]))
    return maps.reshape(len(maps), -1)


def grid_at_level(grid: dict[int, AxisGrid], shape: Sequence[int], at: Level) -> dict[int, AxisGrid]:
    """The grid at a level: the layer's own, or one value for each of the input's."""
    if at == "layer":
        return grid
    axes = sorted(each.input_axis for each in grid.values())
    if at == "channels":
        axes = list(range(1, len(shape)))
    lines = [AxisGrid(axis, shape[axis], shape[axis], 0.0, 1.0, 1.0, probed=True) for axis in axes]
    return dict(enumerate(lines))


def find_flaws(full: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Number the flaw of each map, 0 for none: see ``map_warnings``."""
    low, high = values.min(axis=-1), values.max(axis=-1)
    broken, nothing = ~np.isfinite(full).all(axis=-1), ~full.any(axis=-1)
    return np.select([broken, nothing, (low == 0) & (high == 0), low == high], [3, 1, 2, 4], 0)


def selected_classes(pull: ForwardResult, request: BatchRequest, backend: Backend) -> list[np.ndarray]:
    """The class that each target picks for each sample."""
    picks = [to_int64(backend, each.picks) for each in pull.scored_targets]
    for target, pick in zip(request.question.targets, picks, strict=True):
        target.check_picks(pick, request.rows)
    return picks


def join_batches(name: str, parts: Sequence[NativeMaps], grid: dict[int, AxisGrid]) -> LayerMaps:
    """Concatenate a layer's batches, with position axes in the order of the input's."""
    values = np.concatenate([part.values for part in parts])
    cells = parts[0].cells
    if parts[0].at != "layer":
        cells = tuple(grid[i].length for i in sorted(grid))
    unfolded = values.reshape(*values.shape[:3], *cells)
    dropped = tuple(3 + i for i in range(len(cells)) if i not in grid)
    layer_axes = sorted(grid)
    order = sorted(layer_axes, key=lambda i: grid[i].input_axis)
    turned = unfolded.squeeze(dropped).transpose(0, 1, 2, *[3 + layer_axes.index(i) for i in order])
    return LayerMaps(name, turned, tuple(grid[i] for i in order))
