"""Targets of outputs that are no row of class scores: numbers, regions, embeddings, any function."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, Literal

import numpy as np

from signalcam.arrays import Array, namespace
from signalcam.errors import CamWarning, TargetError
from signalcam.targets import score_functions
from signalcam.targets.classes import as_int, class_index
from signalcam.targets.model_output import ModelOutput, select_column
from signalcam.targets.question import Rows, ScoredTarget, Target, no_class, select_rows
from signalcam.targets.score_functions import Score

Kind = Literal["cosine", "dot"]


@dataclass(frozen=True)
class Output(Target):
    """Asks about any number that can be computed from what the model returned.

    Args:
        function: From the model's output, just as returned (for the batch at hand), to one score a
            sample, shape ``(b,)`` or ``(b, 1)``, with the framework's own operations.

    Example:
        >>> Output(lambda out: out["boxes"][:, 0]).label(None)
        'output'
    """

    function: Callable[[Any], Array]

    def label(self, _names: Sequence[str] | None) -> str:
        """Name the target in the result."""
        name = getattr(self.function, "__name__", "<lambda>")
        return "output" if name == "<lambda>" else name

    def ask(self, reading: ModelOutput, _own: Array, _score: Score, _names: Sequence[str] | None) -> ScoredTarget:
        """Apply the function to the model's output."""
        value = self.function(reading.raw)
        if tuple(getattr(value, "shape", ())) not in ((reading.batch,), (reading.batch, 1)):
            description = tuple(value.shape) if hasattr(value, "shape") else type(value).__name__
            message = (
                f"Output({self.label(None)}) returned {description} for {reading.batch} samples; "
                "it must return one score a sample, shape (batch,)."
            )
            raise TargetError(message)
        return ScoredTarget(namespace(value).reshape(value, (reading.batch,)), no_class(reading.batch))


@dataclass(frozen=True)
class Regression(Target):
    """Asks about one output of a regression, or about several together.

    Ask with ``signed=True`` to see what lowers the output as well as what raises it.

    Args:
        output: Which of the outputs: a number, or several with their weights, ``{0: 1.0, 2: -1.0}``.
        reference: Asks instead what takes the output away from this value, to whichever side it lies.
            (The distance itself: a difference ``y - reference`` would have the gradient of ``y``, and a
            square only scales it.) To compare with a reference *input*, see ``signalcam.FromReference``.

    Raises:
        TargetError: There is no such output.

    Example:
        >>> Regression(1, reference=60.0).label(None)
        'output 1 away from 60'
    """

    output: int | Mapping[int, float] = 0
    reference: float | None = None
    weights: tuple[tuple[int, float], ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        outputs = self.output if isinstance(self.output, Mapping) else {self.output: 1.0}
        weights = tuple((as_int(i), float(w)) for i, w in outputs.items())
        if not weights or any(i < 0 for i, _ in weights):
            message = f"Regression({self.output!r}) names no output; count them from 0."
            raise TargetError(message)
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "output", weights if len(weights) > 1 else weights[0][0])

    def label(self, _names: Sequence[str] | None) -> str:
        """Name the target in the result."""
        terms = [f"output {i}" if w == 1 else f"{w:g} output {i}" for i, w in self.weights]
        away = "" if self.reference is None else f" away from {self.reference:g}"
        return " + ".join(terms) + away

    def ask(self, reading: ModelOutput, own: Array, _score: Score, _names: Sequence[str] | None) -> ScoredTarget:
        """Read the output, or its distance from the reference."""
        values = reading.values
        xp, count = namespace(values), int(values.shape[1])
        if missing := [i for i, _ in self.weights if i >= count]:
            message = (
                f"output {missing[0]} does not exist: the model returns {count} numbers a sample, 0 to {count - 1}."
            )
            raise TargetError(message)
        total = sum(weight * values[:, i] for i, weight in self.weights)
        if self.reference is None:
            return ScoredTarget(total, no_class(reading.batch))
        apart = total - self.reference
        ones = xp.ones_like(apart)
        above = xp.where(apart < 0, -ones, ones)
        side = select_column(values, own) if own.shape[0] else above
        side = namespace(values).astype(side, values.dtype)
        picks = xp.stack([-ones, above], axis=1)
        return ScoredTarget(side * apart, picks)

    def freeze(self, picks: np.ndarray, own: np.ndarray) -> tuple[Target, np.ndarray]:
        """Freeze the sign of (output - reference) per sample."""
        return self, own if self.reference is None else picks[:, 1]

    @property
    def repeats(self) -> bool:
        """Whether an equal target asks every batch alike."""
        return True

    @property
    def about_classes(self) -> bool:
        """A regression tells no classes apart."""
        return False


@dataclass(frozen=True, eq=False)  # masks have no one truth value
class Region(Target):
    """Asks about part of an output with positions: a segment, an event, one point.

    The score is the sum of a class' logits over the region, so its map is the sum of the points' maps.

    Args:
        target: The class: index or name. ``None`` where the output has no class axis.
        where: ``None`` for all positions; ``"predicted"`` for those whose likeliest class it is; a number or
            a slice along the output's first position axis, or a tuple of such for several axes, for a
            point, an interval or a box; or a mask of the output's positions, one for all samples or
            ``(samples, *positions)``. Positions are the output's own.
        class_axis: Which axis of the output the classes lie on, 1 or -1; ``None`` for where the framework has
            the channels.

    Raises:
        TargetError: The region is empty or outside the output, or there is no such class.

    Example:
        >>> Region("AF", where=slice(100, 200)).label(["normal", "AF"])
        'AF in a region'
    """

    target: int | str | None
    where: Any = None
    class_axis: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.where, str) and self.where != "predicted":
            message = f"Region takes where='predicted', a slice, a point or a mask, not {self.where!r}."
            raise TargetError(message)
        if self.class_axis not in (None, 1, -1):
            message = f"class_axis is {self.class_axis!r}; the classes of an output lie on axis 1 or -1."
            raise TargetError(message)
        if isinstance(self.where, list):
            object.__setattr__(self, "where", [_mask(each) for each in self.where])
        elif hasattr(self.where, "dtype"):
            object.__setattr__(self, "where", _mask(self.where))

    @property
    def _each(self) -> list[np.ndarray]:
        """Whether there is one mask for each sample."""
        return self.where if isinstance(self.where, list) else []

    def sample_values(self, rows: Rows, _names: Sequence[str] | None) -> np.ndarray:
        """The masks of some samples, positions flattened."""
        masks = [each.reshape(-1) for each in select_rows(self._each, rows)] if self._each else []
        return np.stack(masks) if masks else np.zeros(0, bool)

    def select_samples(self, samples: Sequence[int]) -> Region:
        """Select the masks of some samples."""
        return replace(self, where=[self.where[i] for i in samples]) if self._each else self

    def check_count(self, samples: int) -> None:
        """Raise a ``TargetError`` unless there is one mask for each sample, of one shape."""
        if self._each and len(self._each) != samples:
            message = f"Region holds {len(self._each)} masks for {samples} samples. Give one mask a sample, or one array for all."
            raise TargetError(message)
        if len({each.shape for each in self._each}) > 1:
            message = "the masks of Region have different shapes. Give each sample a mask of the output's positions."
            raise TargetError(message)

    def for_axis(self, class_axis: int) -> Region:
        """Set the axis of classes."""
        return self if self.class_axis else replace(self, class_axis=class_axis)

    def label(self, names: Sequence[str] | None) -> str:
        """Name the target in the result."""
        name = "output"
        if self.target is not None:
            index = class_index(self.target, names)
            name = names[index] if names and 0 <= index < len(names) else str(index)
        if self.where is None:
            return f"{name} everywhere"
        return f"{name} where predicted" if isinstance(self.where, str) else f"{name} in a region"

    def ask(self, reading: ModelOutput, own: Array, score: Score, names: Sequence[str] | None) -> ScoredTarget:
        """Add up the class' scores over the region."""
        rows, shape = self._rows(reading, score)
        xp = namespace(rows)
        index = self._index(int(rows.shape[1]), names)
        if own.shape[0]:
            self._fits(self._each[0].shape if self._each else shape, shape)
        mask = select_column(rows, own) if own.shape[0] else self._inside(rows, shape, index)
        inside = xp.astype(mask, rows.dtype)
        value = xp.sum(rows[:, max(index, 0), :] * inside, axis=1)
        first = xp.zeros_like(inside[:, :1]) + index
        return ScoredTarget(value, xp.concat([first, inside], axis=1))

    def _rows(self, reading: ModelOutput, score: Score) -> tuple[Array, tuple[int, ...]]:
        """The scores as ``(b, classes, positions)``, and the position axes."""
        if score not in (score_functions.logit, score_functions.probability):
            message = "Region adds up logits or probabilities. Ask with score='logit' or score='probability'."
            raise TargetError(message)
        before = reading.main if score is score_functions.probability else reading.before
        main = reading.main if before is None else before
        if main is None or len(main.shape) < (2 if self.target is None else 3):
            description = "no array" if main is None else f"shape {tuple(main.shape)}"
            message = f"the model returned {description}, which has no positions for a Region. Ask about a class, or with target=Output(function)."
            raise TargetError(message)
        xp, batch = namespace(main), reading.batch
        if self.target is None:
            return xp.reshape(main, (batch, 1, -1)), tuple(main.shape[1:])
        if self.class_axis == -1:
            last = len(main.shape) - 1
            main = xp.permute_dims(main, (0, last, *range(1, last)))
        rows = xp.reshape(main, (batch, int(main.shape[1]), -1))
        single = int(main.shape[1]) == 1
        return (xp.concat([-rows, rows], axis=1) if single else rows), tuple(main.shape[2:])

    def _index(self, classes: int, names: Sequence[str] | None) -> int:
        if self.target is None:
            return -1
        index = class_index(self.target, names)
        if not 0 <= index < classes:
            message = f"class {index} does not exist: the output has {classes} classes a position, 0 to {classes - 1}. Name another, or give class_axis=1 or -1."
            raise TargetError(message)
        return index

    def _inside(self, rows: Array, shape: tuple[int, ...], index: int) -> Array:
        """``(b, positions)``, the region of each sample."""
        xp, batch = namespace(rows), int(rows.shape[0])
        if isinstance(self.where, str):
            return xp.argmax(rows, axis=1) == index
        mask = np.ones(shape, bool) if self.where is None else self._place_mask(shape)
        flat = np.broadcast_to(mask.reshape(1, prod(shape)), (batch, prod(shape)))
        return select_column(rows, np.ascontiguousarray(flat))

    def _place_mask(self, shape: tuple[int, ...]) -> np.ndarray:
        if hasattr(self.where, "dtype"):
            self._fits(self.where.shape, shape)
            return np.asarray(self.where)
        mask = np.zeros(shape, bool)
        try:
            mask[self.where] = True
        except IndexError:
            mask[:] = False
        if not mask.any():
            message = f"the region {self.where!r} lies outside the output, which has positions {shape}. Regions are counted in the output's own positions."
            raise TargetError(message)
        return mask

    def _fits(self, mask_shape: tuple[int, ...], shape: tuple[int, ...]) -> None:
        if mask_shape != shape:
            message = f"the mask of Region has shape {mask_shape} and the output positions {shape}. Give a mask of the output's positions, or one a sample."
            raise TargetError(message)

    def check_picks(self, picks: np.ndarray, rows: np.ndarray) -> None:
        """Warn where a sample has no region."""
        empty = rows[~picks[:, 1:].any(axis=1)]
        if len(empty):
            message = f"class {self.target!r} is predicted nowhere in sample(s) {', '.join(map(str, empty[:5]))}, so there is no region to explain and the map is blank."
            warnings.warn(message, CamWarning, stacklevel=7)

    def freeze(self, picks: np.ndarray, _own: np.ndarray) -> tuple[Target, np.ndarray]:
        """Keep each sample's region."""
        return replace(self, where=None), picks[:, 1:].astype(bool)


def _mask(region: Any) -> np.ndarray:
    mask = np.asarray(region)
    if mask.dtype.kind not in "biu" or not mask.any():
        message = f"a mask of Region has type {mask.dtype} and {int((mask != 0).sum())} positions in it. Give truth values, at least one of them true."
        raise TargetError(message)
    return mask.astype(bool)


@dataclass(frozen=True, eq=False)  # arrays have no one truth value
class Similarity(Target):
    """Asks how like a reference the model's embedding of each sample is.

    Args:
        reference: An embedding ``(d,)`` for all samples, or one a sample ``(samples, d)``.
        kind: ``"cosine"`` of the angle between them, or their ``"dot"`` product.

    Raises:
        TargetError: The model's embeddings have another length.

    Example:
        >>> import numpy as np
        >>> Similarity(np.ones(8)).label(None)
        'similarity'
    """

    reference: Any
    kind: Kind = "cosine"

    def __post_init__(self) -> None:
        reference = np.asarray(self.reference, np.float32)
        if self.kind not in ("cosine", "dot") or reference.ndim not in (1, 2):
            message = f"Similarity takes an embedding (d,) or (samples, d), and kind='cosine' or 'dot', not shape {reference.shape} and {self.kind!r}."
            raise TargetError(message)
        if not np.isfinite(reference).all() or not reference.any(axis=-1).all():
            message = "the reference of Similarity holds values that are not finite, or nothing but zeros. Give the model's own output for another sample."
            raise TargetError(message)
        object.__setattr__(self, "reference", reference)

    def label(self, _names: Sequence[str] | None) -> str:
        """Name the target in the result."""
        return "similarity" if self.kind == "cosine" else "dot product"

    def sample_values(self, rows: Rows, _names: Sequence[str] | None) -> np.ndarray:
        """The references of some samples."""
        reference: np.ndarray = self.reference
        return reference[rows] if reference.ndim == 2 else np.zeros(0, np.float32)

    def select_samples(self, samples: Sequence[int]) -> Similarity:
        """Select the references of some samples."""
        reference = self.reference
        return Similarity(reference[list(samples)], self.kind) if reference.ndim == 2 else self

    def check_count(self, samples: int) -> None:
        """Raise a ``TargetError`` unless there is one reference for all samples, or one for each."""
        if self.reference.ndim == 2 and len(self.reference) != samples:
            message = f"Similarity holds {len(self.reference)} references for {samples} samples. Give one for all, or one a sample."
            raise TargetError(message)

    def ask(self, reading: ModelOutput, own: Array, _score: Score, _names: Sequence[str] | None) -> ScoredTarget:
        """Compare each sample's embedding with the reference."""
        if reading.main is None:
            message = f"the model returned {type(reading.raw).__name__} with no array in it to compare. Choose one with output=..."
            raise TargetError(message)
        xp = namespace(reading.main)
        rows = xp.reshape(reading.main, (reading.batch, -1))
        other = select_column(rows, own if own.shape[0] else self.reference[None])
        if int(other.shape[1]) != int(rows.shape[1]):
            message = f"the reference of Similarity has {int(other.shape[1])} values and the model's embedding {int(rows.shape[1])}. Give the model's own output for another sample, or choose it with output=..."
            raise TargetError(message)
        other = xp.astype(other, rows.dtype)
        value = xp.sum(rows * other, axis=1)
        if self.kind == "cosine":
            value = value / (_length(rows) * _length(other))
        return ScoredTarget(value, no_class(reading.batch))

    @property
    def about_classes(self) -> bool:
        """An embedding tells no classes apart."""
        return False


def _length(rows: Array) -> Array:
    xp = namespace(rows)
    return xp.sqrt(xp.sum(rows * rows, axis=1))
