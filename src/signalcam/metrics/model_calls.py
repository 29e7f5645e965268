"""Ask the model about changed samples: a measured score for each, as many at a time as fit."""

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
class StillNamed(PerSample):
    """Whether each sample is still given a class: 1 or 0, whatever the score."""

    def ask(self, reading: ModelOutput, own: Array, _score: Score, _names: Sequence[str] | None) -> ScoredTarget:
        """Compare the predicted class with the sample's own."""
        predicted = reading.predicted()
        xp = namespace(predicted)
        one, other = (xp.astype(each, xp.float32) for each in (predicted, select_column(predicted, own)))
        same = xp.astype(one == other, xp.float32)  # class numbers are exact in float32
        return ScoredTarget(same, predicted[:, None])


@dataclass(frozen=True)
class Confidence(Target):
    """How sure the model is of whatever it says: the largest probability."""

    def label(self, _names: Sequence[str] | None) -> str:
        """Name the target."""
        return "confidence"

    def ask(self, reading: ModelOutput, _own: Array, _score: Score, _names: Sequence[str] | None) -> ScoredTarget:
        """Take the largest probability of each sample."""
        p = reading.probabilities()
        return ScoredTarget(namespace(p).max(p, axis=1), no_class(reading.batch))


@dataclass
class ModelScorer:
    """Asks one model about rows made of known samples.

    Attributes:
        backend: The model's.
        model: The model. It is borrowed for each run, and handed back as it was.
        inputs: All samples, unchanged, in NumPy.
        size: Rows at a time; halved when memory runs out.
    """

    backend: Backend
    model: Any
    inputs: Inputs
    size: int

    @property
    def x(self) -> np.ndarray:
        """``(sample, ...)``, the explained input."""
        found: np.ndarray = self.inputs.explained
        return found

    def about(self, question: Question, samples: np.ndarray, make: Callable[[slice], np.ndarray]) -> np.ndarray:
        """Score changed samples.

        Args:
            question: One target, with a row for every sample.
            samples: ``(r,)``, which sample each row is of.
            make: From a slice of rows to what stands in for the explained input there.

        Returns:
            ``(r,)``, in double precision.
        """

        def run(rows: slice) -> np.ndarray:
            try:
                return self._push(question, samples[rows], make(rows))
            except Exception as error:
                if self.backend.ran_out_of_memory(error):
                    self.size = max(1, min(self.size, (rows.stop - rows.start + 1) // 2))
                raise

        found = run_in_batches(run, len(samples), self.size, self.backend, lambda _: None)
        return np.concatenate(found).astype(np.float64)

    def _push(self, question: Question, samples: np.ndarray, x: np.ndarray) -> np.ndarray:
        count = count_samples(self.inputs)
        rows = self.inputs.map(lambda each: each[samples] if len(each) == count else each)
        own = tuple(each[samples] if len(each) else each for each in question.own)
        given = self.backend.to_model(self.model, rows.with_explained(x))
        (found,) = self.backend.forward(self.model, given, replace(question, own=own))
        return self.backend.numpy(found)
