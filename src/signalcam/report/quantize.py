"""Encoding of a result's numbers as text for a page: 16-bit integers with a scale, one record per sample.

A record holds 64-bit scales, then the maps at the layer's own resolution. Their largest magnitude is 32767, and
-32768 stands for non-finite values. Then come the lines of a signal (-32767 to 32767 from minimum to maximum) or the
pixels of a picture (0 to 255). Only pages are rounded like this.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from signalcam.report.summary import group_samples, kind_of, layer_rows

if TYPE_CHECKING:
    from signalcam.results.explanation import Explanation
    from signalcam.results.group_summary import GroupSummary

BLANK = -32768
_FULL = 32767


def quantize_page(
    exp: Explanation, job_groups: GroupSummary | None = None, rows: Sequence[int] = ()
) -> tuple[dict[str, Any], str]:
    """Encode a result: lengths and shapes of the records, and the text that holds them.

    Args:
        exp: The result.
        job_groups: Means of a job, in place of the means of the result's samples.
        rows: Numbers of the groups to show.
    """
    exp = replace(exp, metrics=None)  # else they are sliced with every sample
    kind, dims = kind_of(exp)
    texts: list[str] = []
    shapes: list[dict[str, Any]] = []
    for number in range(len(exp)):
        single = exp.isel(sample=number)
        texts.append(_to_base64(_encode_sample(single, kind, dims)))
        if not shapes or exp.shapes is not None:
            shapes.append(geometry(single))
    averages = _encode_means(exp, dims) if job_groups is None else _encode_job_means(job_groups, rows, dims)
    means = [_to_base64(each) for each in averages]
    about = {
        "samples": [len(each) for each in texts],
        "groups": [len(each) for each in means],
        "geometry": shapes,
    }
    return about, "".join((*texts, *means))


def estimate_size(exp: Explanation, averaged: int) -> int:
    """Estimate the characters that ``quantize_page`` makes with ``averaged`` group means, without reading data."""
    kind, dims = kind_of(exp)
    rows = int(np.prod([exp.input.shape[exp.layout.dims.index(dim)] for dim in exp.dims if dim not in dims]))
    maps = sum(each.values.size * (rows if len(each.grid) < len(exp.dims) else 1) for each in exp.layers)
    mean = maps // max(len(exp), 1) * 4 * averaged
    shape = exp.input.shape
    lengths = [shape[axis] for axis in exp.map_axes]
    values = int(np.prod(shape)) * 2
    if kind != "signal":
        colours = int(np.prod(shape[1:])) // int(np.prod(lengths))
        values = shape[0] * int(np.prod(lengths)) * (3 if colours == 3 else 1)
    return (maps * 2 + mean + values) * 4 // 3


def geometry(single: Explanation) -> dict[str, Any]:
    """Shapes of one sample's arrays: lengths of the drawn axes, rows, and the grid of each layer."""
    kind, dims = kind_of(single)
    layers = []
    for layer in single.layers:
        values, axes = layer_rows(single, layer, dims)
        grid = [[axis.start, axis.jump, axis.cells, axis.first, axis.last] for axis in axes]
        layers.append({"rows": values.shape[3], "grid": grid})
    lengths = [single.input.shape[single.layout.dims.index(dim)] for dim in dims]
    rest = _count_rows(single, dims)
    return {"lengths": lengths, "rows": _channels(rest) if kind != "signal" else rest, "layers": layers}


def _count_rows(single: Explanation, dims: tuple[str, ...]) -> int:
    lengths = [n for n, dim in zip(single.input.shape[1:], single.layout.dims[1:], strict=True) if dim not in dims]
    return int(np.prod(lengths))


def _channels(rest: int) -> int:
    return 3 if rest == 3 else 1


def read_lines(single: Explanation, dims: tuple[str, ...]) -> np.ndarray:
    """Input of one sample, ``(row, *drawn axes)``."""
    values = np.asarray(single.input[0], float)
    names = list(single.layout.dims[1:])
    order = [i for i, dim in enumerate(names) if dim not in dims] + [names.index(dim) for dim in dims]
    values = values.transpose(order)
    flat: np.ndarray = values.reshape(-1, *values.shape[len(values.shape) - len(dims) :])
    return flat


@np.errstate(invalid="ignore")  # non-finite values are drawn black
def read_picture(single: Explanation, dims: tuple[str, ...]) -> np.ndarray:
    """Input of one sample as 1 (grey) or 3 (red, green, blue) planes; other numbers are averaged."""
    planes = read_lines(single, dims)
    return planes if len(planes) == 3 else planes.mean(axis=0, keepdims=True)


def _encode_sample(single: Explanation, kind: str, dims: tuple[str, ...]) -> bytes:
    maps = [layer_rows(single, layer, dims)[0][0] for layer in single.layers]
    heats = [
        _quantize_signed(maps[y][t, m]) for t, m, y in np.ndindex(len(single.targets), len(single.methods), len(maps))
    ]
    if kind == "signal":
        scaled = [_quantize_range(row, np.int16, -_FULL, _FULL) for row in read_lines(single, dims)]
    else:
        scaled = [_quantize_range(read_picture(single, dims), np.uint8, 0, 255)]
    scales = [scale for *_, low, step in scaled for scale in (low, step)] + [step for _, step in heats]
    arrays = [*(values for values, _ in heats), *(values for values, _, _ in scaled)]
    return np.asarray(scales).tobytes() + b"".join(each.tobytes() for each in arrays)


def _encode_means(exp: Explanation, dims: tuple[str, ...]) -> Iterator[bytes]:
    """Encode the mean map and its deviation of each group, at the layer's own resolution."""
    groups_shown = group_samples(exp)
    maps = [layer_rows(exp, layer, dims)[0] for layer in exp.layers] if groups_shown else []
    for _, rows in groups_shown:
        packs = []
        for t, m, y in np.ndindex(len(exp.targets), len(exp.methods), len(maps)):
            layer_means = maps[y][rows, t, m]
            packs += [_quantize_signed(layer_means.mean(axis=0)), _quantize_signed(layer_means.std(axis=0))]
        yield _encode_record(packs)


def _encode_job_means(job_groups: GroupSummary, rows: Sequence[int], dims: tuple[str, ...]) -> Iterator[bytes]:
    """Encode the mean map and its deviation of each group of a job."""
    mean, spread = (
        [layer_rows(result, layer, dims)[0] for layer in result.layers]
        for result in (job_groups.mean, job_groups.deviation)
    )
    cells = list(np.ndindex(len(job_groups.mean.targets), len(job_groups.mean.methods), len(mean)))
    for row in rows:
        packs = [_quantize_signed(maps[y][row, t, m]) for t, m, y in cells for maps in (mean, spread)]
        yield _encode_record(packs)


def _encode_record(packs: Sequence[tuple[np.ndarray, float]]) -> bytes:
    scales = np.asarray([step for _, step in packs])
    return scales.tobytes() + b"".join(values.tobytes() for values, _ in packs)


def _quantize_signed(values: np.ndarray) -> tuple[np.ndarray, float]:
    """Quantise symmetrically about 0; return the integers and the step."""
    finite = np.isfinite(values)
    step = float(np.abs(np.where(finite, values, 0)).max(initial=0)) / _FULL
    integers = np.where(finite, values, 0) / (step or 1.0)
    return np.where(finite, np.rint(integers), BLANK).astype("<i2"), step


def _quantize_range(values: np.ndarray, dtype: Any, least: int, most: int) -> tuple[np.ndarray, float, float]:
    """Quantise from minimum to maximum; return the integers, the minimum and the step."""
    finite = np.isfinite(values)
    low = float(values[finite].min(initial=np.inf)) if finite.any() else 0.0
    step = (float(values[finite].max(initial=-np.inf)) - low if finite.any() else 0.0) / (most - least)
    integers = np.rint((np.where(finite, values, low) - low) / (step or 1.0)) + least
    blank = BLANK if least < 0 else 0
    return np.where(finite, integers, blank).astype(np.dtype(dtype).newbyteorder("<")), low, step


def _to_base64(record: bytes) -> str:
    return base64.b64encode(record).decode("ascii")
