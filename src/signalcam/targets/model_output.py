"""The model's output as one row of logits or probabilities a sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import array_api_compat
import numpy as np

from signalcam.arrays import Array, namespace
from signalcam.errors import TargetError

_OUTPUT_NAMES = ("logits", "logit", "scores", "score", "output", "out", "predictions", "prediction")


@dataclass(frozen=True)
class ModelOutput:
    """The model's output, read as one row of class scores a sample.

    Attributes:
        raw: What the model returned, untouched.
        main: The array of scores in it; ``None`` if there is none.
        before: The same array before the model's last softmax or sigmoid; ``None`` if unknown.
        last_step: The name of that last step; ``""`` where the model returns logits.
        batch: How many samples went in.
    """

    raw: Any
    main: Array | None
    before: Array | None
    last_step: str
    batch: int

    @property
    def has_rows(self) -> bool:
        """Whether the output is one row of class scores a sample."""
        return self.main is not None and _row_shape(self.main.shape, self.batch) is not None

    @property
    def values(self) -> Array:
        """``(b, k)``, the scores as returned; ``k = 1`` for a binary output."""
        if self.main is None:
            kind = type(self.raw).__name__
            message = f"the model returned {kind} with no array of scores in it. Ask with target=Output(function)."
            raise TargetError(message)
        return _rows(self.main, self.batch)

    @property
    def logits(self) -> Array | None:
        """``(b, k)``, the scores before the last softmax or sigmoid, if they are known."""
        return None if self.before is None else _rows(self.before, self.batch)

    @property
    def is_binary(self) -> bool:
        """Whether one number decides between two classes."""
        return int(self.values.shape[1]) == 1

    @property
    def is_multilabel(self) -> bool:
        """Whether several classes may be true at once."""
        return self.is_binary or "sigmoid" in self.last_step

    @property
    def classes(self) -> int:
        """The number of classes; a single output has two."""
        return max(2, int(self.values.shape[1]))

    @property
    def class_count(self) -> int | None:
        """The number of classes; ``None`` where the output is no row of class scores."""
        return self.classes if self.has_rows else None

    def probabilities(self) -> Array:
        """``(b, classes)``; softmax (sigmoid for one output) is assumed behind bare logits."""
        p = _probability(self.values, self.last_step)
        return namespace(p).concat([1 - p, p], axis=1) if self.is_binary else p

    def logit_rows(self) -> Array | None:
        """``(b, classes)``, the logit of every class, if it is known."""
        z = self.logits
        return namespace(z).concat([-z, z], axis=1) if z is not None and self.is_binary else z

    def predicted(self) -> Array:
        """``(b,)``, the predicted class of each sample."""
        rows = self._by_likelihood()
        return namespace(rows).argmax(rows, axis=1)

    def ranked(self) -> Array:
        """``(b, classes)``, the classes of each sample from the most likely down."""
        rows = self._by_likelihood()
        return namespace(rows).argsort(rows, axis=1, descending=True)

    def nearest(self, index: Array, count: int) -> Array:
        """``(b, 1 + count)``, each sample's class and those whose scores are nearest to its own."""
        rows = self._by_likelihood()
        xp = namespace(rows)
        rows = rows if self.logits is not None else xp.log(rows)
        apart = xp.abs(rows - _pick(rows, index)[:, None])
        apart = xp.where(_is_class(rows, index), -1 + xp.zeros_like(apart), apart)
        return xp.argsort(apart, axis=1)[:, : 1 + count]

    def _by_likelihood(self) -> Array:
        return self.probabilities() if self.is_binary or self.logits is None else self.logits


def main_output(raw: object) -> Array | None:
    """Pick the scores among a model's outputs: logits by name, else the first array of floats."""
    if hasattr(raw, "shape") and hasattr(raw, "dtype"):
        return raw if "float" in str(raw.dtype) else None
    arrays = named_arrays(raw)
    preferred = [arrays[name] for name in _OUTPUT_NAMES if name in arrays]
    candidates = (main_output(entry) for entry in (*preferred, *arrays.values()))
    return next((array for array in candidates if array is not None), None)


def named_arrays(raw: object) -> dict[Any, Any]:
    """A model's outputs by key or number; empty for a single array."""
    if isinstance(raw, Mapping):
        return dict(raw)
    if is_dataclass(raw):
        return {field.name: getattr(raw, field.name) for field in fields(raw)}
    if hasattr(raw, "_asdict"):
        return dict(raw._asdict())
    if isinstance(raw, Sequence) and not isinstance(raw, str):
        return dict(enumerate(raw))
    return {}


def _probability(values: Array, last_step: str) -> Array:
    xp = namespace(values)
    if last_step in ("softmax", "sigmoid"):
        return values
    if last_step:
        return xp.exp(values)
    if values.shape[1] == 1:
        return xp.exp(-xp.logaddexp(xp.zeros_like(values), -values))
    grown = xp.exp(values - xp.max(values, axis=1, keepdims=True))
    return grown / xp.sum(grown, axis=1, keepdims=True)


def _computed(score: Callable[[Array], Array], reading: ModelOutput) -> Array:
    """Apply a user's function to the scores; a single column counts as class 1 against class 0."""
    values = reading.values
    rows = score(values)
    if tuple(getattr(rows, "shape", ())) != tuple(values.shape):
        description = tuple(rows.shape) if hasattr(rows, "shape") else type(rows).__name__
        message = f"the score function returned shape {description} for scores of shape {tuple(values.shape)}; return one score a class."
        raise TargetError(message)
    return namespace(rows).concat([-rows, rows], axis=1) if reading.is_binary else rows


def _pick(rows: Array, index: Array) -> Array:
    xp = namespace(rows)
    return xp.take_along_axis(rows, select_column(rows, index)[:, None], axis=1)[:, 0]


def _is_class(rows: Array, index: Array) -> Array:
    numbers = select_column(rows, np.arange(rows.shape[1]))
    hot: Array = select_column(rows, index)[:, None] == numbers[None, :]
    return hot


def select_column(rows: Array, index: Array) -> Array:
    """Move class indices to the device of the scores."""
    if not isinstance(index, np.ndarray):
        return index
    return namespace(rows).asarray(index, device=array_api_compat.device(rows))


def _row_shape(shape: Sequence[int], batch: int) -> tuple[int, int] | None:
    if batch == 1 and tuple(shape[:1]) != (1,):
        shape = (1, *shape)  # a model that squeezes its output squeezed the batch as well
    if len(shape) == 0 or shape[0] != batch or any(length != 1 for length in shape[2:]):
        return None
    return batch, int(shape[1]) if len(shape) > 1 else 1


def _rows(array: Array, batch: int) -> Array:
    shape = _row_shape(array.shape, batch)
    if shape is None:
        message = (
            f"the model returned shape {tuple(array.shape)} for {batch} samples, not one row of class scores for "
            "each. Give the input a batch axis, or ask about a dense output with target=Output(function)."
        )
        raise TargetError(message)
    return namespace(array).reshape(array, shape)
