"""The summary of a result for a page, as plain data: names, axes, sample table and groups."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from signalcam.alignment.resampling import AxisGrid
from signalcam.errors import LayoutError
from signalcam.inputs.layout import DUMMY
from signalcam.report.scores import describe_scores, round_values, score_values
from signalcam.results.token_text import words

if TYPE_CHECKING:
    from signalcam.results.explanation import Explanation
    from signalcam.results.layer_maps import LayerMaps

_CLOCK = 600  # seconds; a longer axis is labelled in hours, minutes and seconds
GROUPS = 20  # classes with mean maps, the most frequent first


def kind_of(exp: Explanation) -> tuple[str, tuple[str, ...]]:
    """Kind of drawing and its axes: ``signal`` (long axis), ``image`` (up, across) or ``volume`` (slice, up, across).

    Raises:
        LayoutError: Pages cannot show maps with such axes.
    """
    dims = exp.dims
    if len(dims) == 1 or set(dims) == {"time", "channel"}:
        return "signal", ("time" if "time" in dims else dims[-1],)
    if len(dims) not in (2, 3):
        message = (
            f"there is no page for maps with axes {', '.join(dims)}; it shows 1 to 3 of them. Draw exp.maps yourself."
        )
        raise LayoutError(message)
    rest = tuple(dim for dim in dims if dim != "time")
    timed = "time" in dims
    if len(dims) == 2:
        return "image", (*rest, "time") if timed else dims
    return "volume", ("time", *rest) if timed else dims


def summarize_page(exp: Explanation) -> dict[str, Any]:
    """Describe a result for ``render_page`` as data for JSON, without maps and inputs."""
    facts = outline_page(exp)
    negative = any(bool((each.values < 0).any()) for each in exp.layers)
    return {
        **facts,
        "signed": facts["signed"] or negative,
        "samples": list_samples(exp),
        "strongest": largest_magnitudes(exp),
        "groups": [{"name": name, "count": len(rows)} for name, rows in group_samples(exp)],
    }


def outline_page(exp: Explanation) -> dict[str, Any]:
    """Describe a result for ``render_page`` without reading its maps."""
    kind, dims = kind_of(exp)
    columns = {"predicted": exp.classes, "confidence": exp.probabilities, "label": exp.true_classes}
    return {
        "sentence": str(exp),
        "kind": kind,
        "axes": [describe_axis(exp, dim) for dim in dims],
        "rows": row_names(exp) if kind == "signal" else [],
        "units": exp.layout.units or "",
        "signed": exp.provenance.get("signed") == "True",
        "meaning": str(exp.provenance.get("normalized") or exp.provenance.get("score", "")).partition(";")[0],
        "classes": _class_names(exp),
        "targets": list(map(str, exp.targets)),
        "methods": list(map(str, exp.methods)),
        "layers": list(map(str, exp.layer_names)),
        "samples": None,
        "count": len(exp),
        "known": ["name", *(name for name, each in columns.items() if each is not None), "asked", "score"],
        "map_rows": math.prod(exp.input.shape[axis] for axis in exp.map_axes if exp.layout.dims[axis] not in dims),
        "strongest": None,
        "groups": [],
        "job": None,
        "scores": describe_scores(exp),
        "about": list_provenance(exp),
    }


def describe_axis(exp: Explanation, dim: str) -> dict[str, Any]:
    """Describe one drawn axis: start and step, and ``places`` if its positions are uneven."""
    length = exp.input.shape[exp.layout.dims.index(dim)]
    line = exp.layout.line(dim, length)
    positions = exp.layout.coordinate(dim, np.arange(length)) if line is None or dim == "channel" else None
    start, step = line or (0.0, 1.0)
    unit = exp.layout.unit(dim)
    return {
        "name": dim,
        "unit": unit,
        "clock": unit == "s" and positions is None and length * abs(step) > _CLOCK,
        "length": length,
        "start": start,
        "step": step,
        "places": None if positions is None else positions.tolist(),
    }


def row_names(exp: Explanation) -> list[str]:
    """Names of a signal's lines: channel names, or numbers."""
    _, (dim,) = kind_of(exp)
    layout, shape = exp.layout, exp.input.shape
    rest = [i for i, each in enumerate(layout.dims) if i and each != dim and not (each in DUMMY and shape[i] == 1)]
    if [layout.dims[i] for i in rest] == ["channel"] and layout.channel_names:
        return list(layout.channel_names)
    return [str(number) for number in range(math.prod(shape[i] for i in rest))]


def list_samples(exp: Explanation) -> dict[str, Any]:
    """The table of samples by column; ``None`` for unknown columns."""
    confidence = None
    if exp.classes is not None and exp.probabilities is not None:
        confidence = np.asarray(exp.probabilities, float)[np.arange(len(exp)), exp.classes]
    trusted = score_values(exp)
    return {
        "name": list(map(str, exp.sample_names)),
        "predicted": _known_classes(exp.classes),
        "confidence": None if confidence is None else confidence.tolist(),
        "label": _known_classes(exp.true_classes),
        "asked": np.asarray(exp.target_classes, int).tolist(),
        "score": np.asarray(exp.scores, float).tolist(),
        "trusted": None if trusted is None else round_values(trusted),
        "words": _list_words(exp),
    }


def _list_words(exp: Explanation) -> list[list[tuple[int, str, bool]]] | None:
    """Readable tokens of each sample: number, text, and whether no space precedes it."""
    names = exp.layout.token_names
    if names is None or exp.dims != ("token",):
        return None
    return [[(each.token, each.text, each.glued) for each in words(row)] for row in names]


def group_samples(exp: Explanation) -> list[tuple[str, np.ndarray]]:
    """Groups of samples with mean maps: all, by predicted class, by true class, by outcome."""
    if len(exp) < 2 or any(each.sizes is not None for each in exp.layers):
        return []
    named_rows = [("all samples", np.arange(len(exp)))]
    named_rows += _group_by_class(exp, "predicted", exp.classes) + _group_by_class(exp, "true", exp.true_classes)
    if exp.classes is not None and exp.true_classes is not None:
        predicted, true = np.asarray(exp.classes), np.asarray(exp.true_classes)
        comparable = (predicted >= 0) & (true >= 0)
        named_rows += [
            (name, np.flatnonzero(comparable & ((predicted == true) == right)))
            for name, right in (("right", True), ("wrong", False))
        ]
    return [(name, rows) for name, rows in named_rows if len(rows)]


def _group_by_class(exp: Explanation, heading: str, classes: np.ndarray | None) -> list[tuple[str, np.ndarray]]:
    if classes is None:
        return []
    labels, counts = np.unique(classes[classes >= 0], return_counts=True)
    most_frequent = labels[np.argsort(-counts, kind="stable")][:GROUPS]
    return [(f"{heading}: {exp.class_name(int(each))}", np.flatnonzero(classes == each)) for each in most_frequent]


def largest_magnitudes(exp: Explanation) -> list[list[list[float]]]:
    """Largest magnitude over all samples, ``[target][method][layer]``, for a common colour scale."""
    peaks = [_largest_magnitude(layer.values) for layer in exp.layers]
    tops: list[list[list[float]]] = np.stack(peaks, axis=-1).tolist()
    return tops


def _largest_magnitude(values: np.ndarray) -> np.ndarray:
    flat = np.abs(values.reshape(*values.shape[:3], -1))
    top: np.ndarray = np.where(np.isfinite(flat), flat, 0).max(axis=(0, 3))
    return top


def list_provenance(exp: Explanation) -> list[tuple[str, str]]:
    """Provenance of a result, in rows of two texts."""
    rows = [("methods", ", ".join(map(str, exp.methods))), ("layers", ", ".join(exp.layer_names))]
    rows += [("targets", ", ".join(map(str, exp.targets))), ("axes", " ".join(exp.layout.dims))]
    rows += [("input", " x ".join(map(str, exp.input.shape)))]
    rows += [("maps drawn on", exp.of)] if exp.of else []
    return rows + [(str(name), str(value)) for name, value in exp.provenance.items()]


def _class_names(exp: Explanation) -> list[str]:
    classes = [np.ravel(each) for each in (exp.classes, exp.true_classes, exp.target_classes) if each is not None]
    highest = max((int(each.max(initial=-1)) for each in classes), default=-1) + 1
    width = 0 if exp.logits is None else exp.logits.shape[1]
    return [str(exp.class_name(index)) for index in range(max(highest, width, len(exp.class_names or ())))]


def _known_classes(values: np.ndarray | None) -> list[int | None] | None:
    """Classes as numbers; ``None`` for a sample that could not be explained."""
    return None if values is None else [each if each >= 0 else None for each in values.tolist()]


def layer_rows(exp: Explanation, layer: LayerMaps, dims: Sequence[str]) -> tuple[np.ndarray, list[AxisGrid]]:
    """Maps of a layer along the drawn axes ``dims``, ``(sample, target, method, row, *cells)``; other axes are rows."""
    map_axes = [exp.layout.dims.index(dim) for dim in dims]
    rows = [each for each in exp.map_axes if each not in map_axes]
    for row in rows:
        layer = layer.expand_along(row, exp.input.shape[row])
    values, grid = layer.values, list(layer.grid)
    for number in map_axes:
        if number not in [axis.input_axis for axis in grid]:
            values, grid = values[..., None], [*grid, AxisGrid(number, 1, exp.input.shape[number], 0.0, 1.0)]
    order = [[axis.input_axis for axis in grid].index(each) for each in (*rows, *map_axes)]
    values = values.transpose(0, 1, 2, *(3 + position for position in order))
    axes = [grid[position] for position in order[len(rows) :]]
    return values.reshape(*values.shape[:3], -1, *(axis.cells for axis in axes)), axes
