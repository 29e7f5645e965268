"""The result of one batch: the model's outputs, and maps at the layers' own resolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from signalcam.arrays import Array
from signalcam.attribution.registry import Level
from signalcam.backends.protocol import Backend, ForwardResult
from signalcam.inputs.pytree import Inputs
from signalcam.inputs.tokens import Tokens
from signalcam.targets import Question


@dataclass(frozen=True)
class NativeMaps:
    """One layer's maps for one batch, with a number for what is wrong with each.

    Attributes:
        ran: The layer's name, with the number of the call that was used.
        cells: Its position axes.
        values: ``(b, target, cam, p)``.
        flaws: ``(b, target, cam)``, a key of the reasons above, 0 for none.
        at: Where ``p`` lies: see ``Method.at``.
        tokens: How tokens were folded to these positions; ``None`` where nothing was.
    """

    ran: str
    cells: tuple[int, ...]
    values: np.ndarray
    flaws: np.ndarray
    at: Level = "layer"
    tokens: Tokens | None = None


@dataclass(frozen=True)
class ModelOutputs:
    """The model's outputs for some samples; see the attributes of ``Explanation``."""

    scores: np.ndarray
    index: np.ndarray
    logits: np.ndarray | None = None
    probabilities: np.ndarray | None = None
    predicted: np.ndarray | None = None

    def select(self, rows: slice | np.ndarray) -> ModelOutputs:
        """Select the outputs of some samples."""
        values = vars(self).values()
        return ModelOutputs(*[None if each is None else each[rows] for each in values])  # type: ignore[arg-type] # in order


@dataclass(frozen=True)
class BatchResult:
    """The result of one batch."""

    outputs: ModelOutputs
    layers: tuple[NativeMaps, ...]
    score: str
    rerun_reason: str = ""


@dataclass(frozen=True)
class LengthGroup:
    """The samples of a padded batch that have one length.

    Attributes:
        rows: Which of the batch.
        cells: For each layer how many positions it has for such a sample alone.
    """

    rows: slice
    cells: Sequence[tuple[int, ...]]

    def within(self, rows: slice) -> LengthGroup:
        """Select some of the batch's rows, counted from the first of these."""
        start = max(self.rows.start, rows.start) - rows.start
        return LengthGroup(slice(start, min(self.rows.stop, rows.stop) - rows.start), self.cells)


@dataclass(frozen=True)
class BatchRequest:
    """One batch and its question.

    Attributes:
        inputs: The batch, where the model is.
        question: What is asked of it.
        rows: The numbers of its samples.
    """

    inputs: Inputs
    question: Question
    rows: np.ndarray


def read_outputs(
    pull: ForwardResult, question: Question, picks: Sequence[np.ndarray], backend: Backend
) -> ModelOutputs:
    """Read scores, classes, logits and probabilities of a batch into NumPy."""
    reading = pull.reading
    values = np.stack([backend.numpy(each.value) for each in pull.scored_targets], axis=1)
    index = np.stack([each[:, 0] for each in picks], axis=1)
    if not (reading.has_rows and any(each.about_classes for each in question.targets)):
        return ModelOutputs(values, index)
    p, rows = backend.numpy(reading.probabilities()), reading.logit_rows()
    logits = _log_odds(p, apart=reading.is_multilabel) if rows is None else backend.numpy(rows)
    return ModelOutputs(values, index, logits, p, to_int64(backend, reading.predicted()))


def to_int64(backend: Backend, index: Array) -> np.ndarray:
    """Class indices as NumPy integers."""
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


def concatenate_outputs(parts: Sequence[BatchResult]) -> ModelOutputs:
    """Concatenate the model's outputs of all batches."""
    columns = zip(*[vars(part.outputs).values() for part in parts], strict=True)
    return ModelOutputs(*[None if each[0] is None else np.concatenate(each) for each in columns])  # type: ignore[arg-type] # in order
