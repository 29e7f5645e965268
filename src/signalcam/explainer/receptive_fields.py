"""Where a layer's positions lie in the input: measured once for each model, layer and shape."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import Any, Literal, cast
from weakref import WeakKeyDictionary

import numpy as np

from signalcam.alignment.receptive_field import Pick, Probe, measure_grid, place_layer
from signalcam.alignment.resampling import AxisGrid, spread_evenly
from signalcam.arrays import take_entries
from signalcam.backends.protocol import Backend
from signalcam.backends.token_grid import TokenGridBackend
from signalcam.errors import CamWarning, LayoutError
from signalcam.explainer.batching import count_samples
from signalcam.inputs.layout import DUMMY, Layout
from signalcam.inputs.pytree import Inputs, repeat_samples

PROBED_SAMPLES = 2  # two real samples with noise on top keep every path of a network alive
_LOOKED_AT = 16  # tokens of a row, to see whether it is one
_FAINT = 1e-6  # of the strongest
_MOST_WORDS = 1024  # beyond which exchanging one after the other takes too long
_WORDS_AT_ONCE = 64
_TURNS = 2  # other sentences, other words: a rectifier may be silent once
_ROUNDED = 1e-5  # of the strongest: less is how sums were rounded
_remembered: WeakKeyDictionary[Any, dict[Any, dict[int, AxisGrid]]] = WeakKeyDictionary()

Alignment = Literal["receptive-field", "resize"]
See = Callable[[str, Inputs], np.ndarray]


def candidate_axes(layout: Layout | None, ndim: int, channel_axis: int) -> list[int]:
    """Axes of the input that may hold positions, the channel axis last.

    Args:
        layout: Names of the axes, if the user gave them.
        ndim: How many axes the input has, batch included.
        channel_axis: Where the framework has the channels, if nothing else is known.
    """
    dims = list(layout.dims) if layout else [""] * ndim
    if layout is None:
        dims[channel_axis] = "channel"
    axes = [axis for axis in range(1, ndim) if dims[axis] not in DUMMY]
    return sorted(axes, key=lambda axis: dims[axis] == "channel")


def layer_grid(
    grid: dict[int, AxisGrid],
    cells: Sequence[int],
    input_shape: Sequence[int],
    axes: Sequence[int],
    align: Alignment,
    layer: str,
) -> dict[int, AxisGrid]:
    """Place each axis of a layer along an axis of the input.

    Args:
        grid: What ``measured_axes`` found.
        cells: The layer's positions.
        input_shape: Of the explained array, batch included.
        axes: From ``candidate_axes``.
        align: ``"resize"`` keeps which axis is which and spreads the positions evenly.
        layer: Its name, for messages.
    """
    full_grid = place_layer(cells, grid, input_shape, axes, layer)
    if align == "resize":
        return {i: spread_evenly(axis.input_axis, axis.cells, axis.length) for i, axis in full_grid.items()}
    return full_grid


def warn_of_spread(
    grids_by_group: Sequence[Sequence[dict[int, AxisGrid]]], layers: Sequence[str], align: Alignment
) -> None:
    """Warn once for each layer whose place in the input is not known.

    Args:
        grids_by_group: For samples of each shape, and each layer, where its positions lie.
        layers: Their names.
        align: What was asked for.
    """
    for layer, grids in zip(layers, zip(*grids_by_group, strict=True), strict=True):
        axes = [axis for each in grids for axis in each.values()]
        if align != "resize" and any(not each.probed and each.cells > 1 for each in axes):
            message = (
                f"where layer {layer!r} looks could not be measured (each position sees the whole input, "
                "or the input holds more words than can be exchanged one by one); its positions are spread evenly over the "
                "input. Pass align='resize' to do so without this warning."
            )
            warnings.warn(message, CamWarning, stacklevel=4)


def measure_layer(
    folding: TokenGridBackend,
    model: Any,
    inputs: Inputs,
    ran: str,
    cells: tuple[int, ...],
    axes: Sequence[int],
    see: See,
) -> dict[int, AxisGrid]:
    """Measure where a layer looks, or where an earlier layer of its grid looks.

    Behind attention or a recurrence every position sees the whole input, and lies where it came from. Numbers
    of words have no gradient: what a convolution sees of them is found by exchanging one after the other; any
    other layer with a position for each is taken to have each at its word.

    Args:
        folding: The model's backend, tokens folded.
        model: The model.
        inputs: Some samples.
        ran: The layer's name.
        cells: Its positions, folded.
        axes: From ``candidate_axes``.
        see: What a layer puts out, ``(b, c, *cells)``.
    """
    backend = cast("Backend", folding)
    role, source = folding.role(model, inputs, ran), folding.source(model, inputs, ran, cells)
    if not _is_real(inputs) and cells == tuple(inputs.explained.shape[1:]):  # one a token
        own = measured_axes(backend, model, inputs, ran, axes, see) if role == "grid" else {}
        at_words = {i: AxisGrid(i + 1, n, n, 0.0, 1.0, probed=True) for i, n in enumerate(cells)}
        return own if len(own) == len(cells) else at_words
    if role == "recurrent":
        own = measured_axes(backend, model, inputs, ran, axes, see)
        if own:
            return own
    if role != "grid" and len(cells) == 1 and _is_real(inputs):
        _check_row(backend, model, inputs, source.layer if source else ran, axes)
    if source is None:
        return measured_axes(backend, model, inputs, ran, axes, see)
    source_grid = measured_axes(backend, model, inputs, source.layer, axes, see)
    return {
        i: _merged(source_grid[axis], cells[i], source.halved)
        for i, axis in enumerate(source.axes)
        if axis in source_grid
    }


def _check_row(backend: Backend, model: Any, inputs: Inputs, layer: str, axes: Sequence[int]) -> None:
    """Raise a ``LayoutError`` where one row of tokens covers several axes of the input."""

    def several(cells: tuple[int, ...]) -> list[tuple[int, ...]]:
        places = np.unique(np.linspace(0, cells[0] - 1, _LOOKED_AT).astype(int))
        return [(int(place), *[0] * (len(cells) - 1)) for place in places]

    _, _, support = _probe(backend, model, inputs, layer, None)({}, several)
    affected = [each > _FAINT * each.max() for each in support if each.any() and not each.all()]
    moved = [axis for axis in axes if len({_middle(each, axis - 1) for each in affected}) > 1]
    if len(moved) > 1:
        message = f"the tokens of layer {layer!r} were cut from {len(moved)} axes of the input and lie in one row, and nothing in the network tells their grid. Say it: tokens=signalcam.Tokens(prefix=1, grid=(14, 14)), with the tokens that stand before the grid and its positions along each axis."
        raise LayoutError(message)


def _middle(affected: np.ndarray, axis: int) -> float:
    """The middle of the affected entries along one axis."""
    along = np.flatnonzero(affected.any(tuple(i for i in range(affected.ndim) if i != axis)))
    return float(along[0] + along[-1])


def _merged(axis: AxisGrid, cells: int, halved: int) -> AxisGrid:
    """A grid axis after ``halvings`` times merging neighbours two by two."""
    step = 2**halved
    start = axis.start + axis.jump * (step - 1) / 2
    return replace(axis, cells=cells, start=start, jump=axis.jump * step, field=0.0)


def measured_axes(
    backend: Backend, model: Any, inputs: Inputs, layer: str, axes: Sequence[int], see: See
) -> dict[int, AxisGrid]:
    """Measure where a layer looks, and remember it for as long as the model lives."""
    array = inputs.explained
    grids = _remembered.setdefault(model, {})
    declared = getattr(backend, "declared", None)
    key = (layer, inputs.path, tuple(array.shape[1:]), tuple(axes), declared)
    if key not in grids:
        lengths = [array.shape[axis] for axis in axes]
        probe = (_probe if _is_real(inputs) else _word_probe)(backend, model, inputs, layer, see)
        grids[key] = {} if probe is None else measure_grid(probe, axes, lengths)
    return grids[key]


def _is_real(inputs: Inputs) -> bool:
    dtype = inputs.explained.dtype
    return "float" in getattr(dtype, "name", str(dtype))


def _probe(backend: Backend, model: Any, inputs: Inputs, layer: str, _see: See | None) -> Probe:
    """A function that measures which inputs a layer's positions depend on, at any input length."""
    count = count_samples(inputs)
    rows = np.arange(PROBED_SAMPLES) % count
    few = inputs.map(lambda array: take_entries(array, rows, 0) if array.shape[0] == count else array)
    x = np.nan_to_num(backend.numpy(few.explained), posinf=0, neginf=0).astype(np.float32)
    noise = 0.5 * (float(x.std()) or 1.0)

    def probe(longer: dict[int, int], pick: Pick) -> tuple[Any, Any, np.ndarray]:
        wide = x
        for axis, length in longer.items():
            wide = wide.take(np.arange(length) % x.shape[axis], axis=axis)
        rng = np.random.default_rng(0)
        wide = wide + noise * rng.standard_normal(wide.shape, dtype=np.float32)
        reach = backend.input_support(model, few.with_explained(wide), layer, pick)
        return reach.shape, reach.picked, reach.support

    return probe


def _word_probe(backend: Backend, _model: Any, inputs: Inputs, layer: str, see: See) -> Probe | None:
    """A function that measures which words a layer's positions depend on, by exchanging words.

    Returns ``None`` where there are too many words, or fewer than two different ones.

    Nothing where there are too many words, or fewer than two different ones to exchange.
    """
    tokens, count = backend.numpy(inputs.explained), count_samples(inputs)
    kind = str(inputs.explained.dtype).rpartition(".")[-1]  # PyTorch says torch.int64
    vocabulary = np.unique(tokens).astype(kind)
    if vocabulary.size < 2 or tokens[0].size > _MOST_WORDS:
        return None

    def put(words: np.ndarray, times: int) -> np.ndarray:
        tree = repeat_samples(inputs.tree, count, slice(0, 1), times)
        return see(layer, Inputs(tree, inputs.path, inputs.derived).with_explained(words))

    def probe(longer: dict[int, int], pick: Pick) -> tuple[Any, Any, np.ndarray]:
        shape = [longer.get(axis, int(tokens.shape[axis])) for axis in range(1, tokens.ndim)]
        if prod(shape) > _MOST_WORDS:
            raise ValueError(shape)  # as a network would that takes no such length
        rng = np.random.default_rng(0)
        turns = [rng.integers(vocabulary.size, size=shape) for _ in range(_TURNS)]
        cells = put(vocabulary[turns[0]][None], 1).shape[2:]
        picked = list(pick(cells))
        changes = [_word_changes(turn, vocabulary, picked, put) for turn in turns] if picked else []
        support = np.sum(changes, axis=0) if changes else np.zeros((0, *shape))
        return cells, picked, support

    return probe


def _word_changes(
    turn: np.ndarray,
    vocabulary: np.ndarray,
    picked: Sequence[tuple[int, ...]],
    put: Callable[[np.ndarray, int], np.ndarray],
) -> np.ndarray:
    """How much each picked position changes with each word: ``(picked, *words)``."""
    changes = np.zeros((len(picked), turn.size))
    at = (slice(None), slice(None), *np.transpose(picked))
    rounded = 0.0
    for start in range(0, turn.size, _WORDS_AT_ONCE):
        places = np.minimum(np.arange(start, start + _WORDS_AT_ONCE), turn.size - 1)
        rows = np.repeat(turn.reshape(1, -1), 1 + _WORDS_AT_ONCE, axis=0)
        rows[1 + np.arange(_WORDS_AT_ONCE), places] += 1 + places % (vocabulary.size - 1)
        words = vocabulary[rows % vocabulary.size].reshape(-1, *turn.shape)
        out = put(words, len(words))[at]
        changes[:, places] = np.abs(out[1:] - out[:1]).max(axis=1).T
        rounded = max(rounded, _ROUNDED * float(np.abs(out).max()))
    changes[changes <= rounded] = 0
    return changes.reshape(len(picked), *turn.shape)
