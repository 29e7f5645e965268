"""Here you find how the model scores changed samples, in batches that fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from signalcam.arrays import Array, namespace
from signalcam.backends.protocol import Backend
from signalcam.explainer.batching import count_samples, run_in_batches
from signalcam.inputs.pytree import Inputs
from signalcam.targets import PerSample, Question, ScoredTarget, Target
from signalcam.targets.model_output import ModelOutput, select_column
from signalcam.targets.question import no_class
from signalcam.targets.score_functions import Score


@dataclass(frozen=True)
class StillPredicted(PerSample):
    """Whether each sample is still predicted as its class: 1 or 0, whatever the score."""

    def ask(self, reading: ModelOutput, classes: Array, _score: Score, _names: Sequence[str] | None) -> ScoredTarget:
        """Compare the predicted class with the sample's class."""
        predicted = reading.predicted()
        xp = namespace(predicted)
        predicted_index, class_index = (
            xp.astype(index, xp.float32) for index in (predicted, select_column(predicted, classes))
        )
        same = xp.astype(predicted_index == class_index, xp.float32)  # class numbers are exact in float32
        return ScoredTarget(same, predicted[:, None])


@dataclass(frozen=True)
class Confidence(Target):
    """The model's confidence: its largest probability."""

    def label(self, _names: Sequence[str] | None) -> str:
        """Name the target."""
        return "confidence"

    def ask(self, reading: ModelOutput, _own: Array, _score: Score, _names: Sequence[str] | None) -> ScoredTarget:
        """Take the largest probability of each sample."""
        p = reading.probabilities()
        return ScoredTarget(namespace(p).max(p, axis=1), no_class(reading.batch))


@dataclass
class ModelScorer:
    """Scores changed samples by one model.

    Attributes:
        backend: The model's.
        model: The model. It is unchanged after each run.
        inputs: All samples, unchanged, in NumPy.
        size: Rows at a time; halved when memory runs out.
    """

    backend: Backend
    model: Any
    inputs: Inputs
    size: int

    @property
    def x(self) -> np.ndarray:
        """The explained input, ``(sample, ...)``."""
        explained: np.ndarray = self.inputs.explained
        return explained

    def score(self, question: Question, samples: np.ndarray, make: Callable[[slice], np.ndarray]) -> np.ndarray:
        """Score changed samples: ``(r,)``, in double precision.

        Args:
            question: One target, with a row for every sample.
            samples: ``(r,)``, the sample of each row.
            make: Return the explained input of a slice of rows.
        """

        def run(rows: slice) -> np.ndarray:
            try:
                return self._score_batch(question, samples[rows], make(rows))
            except Exception as error:
                if self.backend.ran_out_of_memory(error):
                    self.size = max(1, min(self.size, (rows.stop - rows.start + 1) // 2))
                raise

        scores = run_in_batches(run, len(samples), self.size, self.backend, lambda _: None)
        return np.concatenate(scores).astype(np.float64)

    def _score_batch(self, question: Question, samples: np.ndarray, x: np.ndarray) -> np.ndarray:
        count = count_samples(self.inputs)
        rows = self.inputs.map(lambda array: array[samples] if len(array) == count else array)
        classes = tuple(array[samples] if len(array) else array for array in question.own)
        model_inputs = self.backend.to_model(self.model, rows.with_explained(x))
        (scores,) = self.backend.forward(self.model, model_inputs, replace(question, own=classes))
        return self.backend.numpy(scores)
