"""What the shared part of the Keras backend and an engine tell each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from signalcam.arrays import Array
from signalcam.backends.protocol import Pick, Question, Reach
from signalcam.scores import Reading
from signalcam.targets import Asked

Watch = Callable[[Array], Array]


@dataclass(frozen=True)
class Step:
    """One softmax or sigmoid of the run: its name, what came out and what had gone in."""

    name: str
    after: Array
    before: Array


@dataclass(frozen=True)
class Seen:
    """What one look at concrete values told about a run's output.

    Attributes:
        place: Which step of the run made the output, -1 for the last; ``None`` if none did.
        last_step: Its name, or what the output looks like; ``""`` for logits.
        known: ``(b,)``, the predicted classes.
    """

    place: int | None
    last_step: str
    known: np.ndarray | None = None


Forward = Callable[[Watch], tuple[Any, Sequence[Step]]]


@dataclass(frozen=True)
class Run:
    """One forward pass: the tapped outputs in the order they came, and a backward pass a question.

    Attributes:
        reading: The model's output.
        asked: One a target.
        kept: What the tapped layers returned.
        rows: For each target the gradient at each of ``kept``; ``None`` where it is not reached.
    """

    reading: Reading
    asked: Sequence[Asked]
    kept: Sequence[Array]
    rows: Iterator[Sequence[Array | None]]


class Engine(Protocol):
    """Runs the model, recording from the taps on."""

    def pull(self, model: Any, forward: Forward, batch: int, question: Question) -> Run:
        """Run forward once; differentiate each score with respect to what was tapped."""
        ...

    def reach(
        self, model: Any, forward: Callable[[Array, Watch], None], x: Array, pick: Pick
    ) -> Reach:
        """Differentiate the tapped output, channels second, at some positions with respect to ``x``."""
        ...
