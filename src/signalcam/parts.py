"""What one batch gives, and how batches become one result."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from signalcam.align import Axis
from signalcam.arrays import Array, flatten_positions
from signalcam.backends.protocol import Backend, Felt, Pull
from signalcam.errors import CamWarning
from signalcam.explanation import LayerMaps
from signalcam.formulas import Method
from signalcam.maps import rectify
from signalcam.scores import FALL_BACK
from signalcam.targets import NO_CLASS

_FLAWS = {
    1: "all zero because the gradient is zero (for methods that keep only what is positive, nowhere positive): "
    "the score is saturated, or does not depend on this layer. Choose an earlier layer",
    2: "all zero because no position speaks for the target: all evidence is negative. Look at "
    "signed=True, another method (hires-cam) or an earlier layer",
    3: "not finite: the model's scores or gradients overflow. Look at exp.scores and at the inputs",
    4: "the same everywhere, so it shows no place. Choose an earlier layer",
}
_SILENT = "all zero because nothing stands out in what the layer gives. Choose another layer"


@dataclass(frozen=True)
class NativeMaps:
    """One layer's maps for one batch, and which of them say nothing.

    Attributes:
        ran: The layer's name, with the number of the call that was used.
        cells: Its position axes.
        values: ``(b, target, method, p)``.
        flaws: ``(b, target, method)``, a key of the reasons above, 0 for none.
    """

    ran: str
    cells: tuple[int, ...]
    values: np.ndarray
    flaws: np.ndarray


@dataclass(frozen=True)
class Said:
    """What the model answered; see the attributes of ``Explanation``."""

    scores: np.ndarray
    index: np.ndarray
    logits: np.ndarray | None = None
    probabilities: np.ndarray | None = None
    predicted: np.ndarray | None = None


@dataclass(frozen=True)
class Part:
    """What one batch gave."""

    said: Said
    layers: tuple[NativeMaps, ...]
    score: str


def part_of(
    pull: Pull, methods: Sequence[Method], backend: Backend, score: str, *, signed: bool
) -> Part:
    """Turn activations and gradients into maps, and keep what the model said, in NumPy."""
    with backend.exactly():
        rows = [[_maps(felt, methods, backend) for felt in row] for row in pull.rows]
    layers = tuple(_native(column, signed=signed) for column in zip(*rows, strict=True))
    return Part(_said(pull, backend), layers, score)


@dataclass(frozen=True)
class _Maps:
    """The signed maps of one layer for one target, ``(method, b, p)``."""

    ran: str
    cells: tuple[int, ...]
    signed: np.ndarray


def _maps(felt: Felt, methods: Sequence[Method], backend: Backend) -> _Maps:
    a, g = flatten_positions(felt.activation), flatten_positions(felt.gradient)
    signed = np.stack([backend.numpy(method.formula(a, g)) for method in methods])
    return _Maps(felt.ran, tuple(felt.activation.shape[2:]), signed)


def _native(column: Sequence[_Maps], *, signed: bool) -> NativeMaps:
    full = np.stack([each.signed for each in column]).transpose(2, 0, 1, 3).astype(np.float32)
    values = full if signed else rectify(full)
    return NativeMaps(column[0].ran, column[0].cells, values, _flaws(full, values))


def _flaws(full: np.ndarray, values: np.ndarray) -> np.ndarray:
    low, high = values.min(axis=-1), values.max(axis=-1)
    broken, nothing = ~np.isfinite(full).all(axis=-1), ~full.any(axis=-1)
    return np.select([broken, nothing, (low == 0) & (high == 0), low == high], [3, 1, 2, 4], 0)


def _said(pull: Pull, backend: Backend) -> Said:
    reading = pull.reading
    values = np.stack([backend.numpy(each.value) for each in pull.asked], axis=1)
    index = np.stack([_whole(backend, each.index) for each in pull.asked], axis=1)
    if not reading.has_rows:
        return Said(values, index)
    p, rows = backend.numpy(reading.probabilities()), reading.logit_rows()
    logits = _log_odds(p, apart=reading.apart) if rows is None else backend.numpy(rows)
    return Said(values, index, logits, p, _whole(backend, reading.predicted()))


def _whole(backend: Backend, index: Array) -> np.ndarray:
    return backend.numpy(index).astype(np.int64)


def _log_odds(p: np.ndarray, *, apart: bool) -> np.ndarray:
    wide, rows, likeliest = p.astype(np.float64), np.arange(len(p)), p.argmax(axis=1)
    rest = 1 - wide
    if not apart:
        rest = wide.sum(axis=1, keepdims=True) - wide
        others = wide.copy()
        others[rows, likeliest] = 0
        rest[rows, likeliest] = others.sum(axis=1)  # a difference would lose all its digits here
    with np.errstate(divide="ignore"):
        odds: np.ndarray = np.log(wide) - np.log(rest)
    return odds


def said_by_all(parts: Sequence[Part]) -> Said:
    """Put together what the model answered to every batch."""
    columns = zip(*[vars(part.said).values() for part in parts], strict=True)
    return Said(*[None if each[0] is None else np.concatenate(each) for each in columns])  # type: ignore[arg-type] # in order


def layer_maps(name: str, parts: Sequence[NativeMaps], grid: dict[int, Axis]) -> LayerMaps:
    """Join a layer's batches, unfold its positions, in the order of the input's axes."""
    values = np.concatenate([part.values for part in parts])
    cells = parts[0].cells
    unfolded = values.reshape(*values.shape[:3], *cells)
    dropped = tuple(3 + i for i in range(len(cells)) if i not in grid)
    kept = sorted(grid)
    order = sorted(kept, key=lambda i: grid[i].input_axis)
    turned = unfolded.squeeze(dropped).transpose(0, 1, 2, *[3 + kept.index(i) for i in order])
    return LayerMaps(name, turned, tuple(grid[i] for i in order))


def warn_of_score(parts: Sequence[Part]) -> None:
    """Warn, once, where log-odds stand in for logits that could not be found; and where they overflow."""
    said = said_by_all(parts)
    values = said.scores[:, (said.index != NO_CLASS).any(axis=0)]
    if not values.size or all(part.score != FALL_BACK for part in parts):
        return
    message = (
        "the logits before the model's last step could not be found, so its log-odds (each class against the "
        "rest) are explained. Let the model return logits, or name another score=... to go without this warning."
    )
    warnings.warn(message, CamWarning, stacklevel=4)
    saturated = int((~np.isfinite(values)).any(axis=1).sum())
    if saturated:
        message = (
            f"the probabilities of {saturated} of {len(values)} samples have saturated at 0 or 1, so their "
            "log-odds are not finite and their maps mean nothing. Let the model return logits."
        )
        warnings.warn(message, CamWarning, stacklevel=4)


def warn_of_flaws(
    parts: Sequence[Part], layers: Sequence[str], targets: Sequence[str], methods: Sequence[Method]
) -> None:
    """Warn, once for each layer, target and method, of maps that are blank or show no place."""
    for place, layer in enumerate(layers):
        flaws = np.concatenate([part.layers[place].flaws for part in parts])
        for t, m in np.ndindex(flaws.shape[1:]):
            for number in np.unique(flaws[flaws[:, t, m] > 0, t, m]):
                if number == 4 and methods[m].family == "baseline":
                    continue  # the same everywhere by design
                reason = _FLAWS[number] if number != 1 or methods[m].needs_gradients else _SILENT
                count = int((flaws[:, t, m] == number).sum())
                message = (
                    f"{methods[m].name} at layer {layer!r} for target {targets[t]!r} is, for "
                    f"{count} of {len(flaws)} samples, {reason}."
                )
                warnings.warn(message, CamWarning, stacklevel=4)
