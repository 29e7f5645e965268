"""The protocol between the Keras backend and its engines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from signalcam.arrays import Array
from signalcam.backends.protocol import Pick, Support
from signalcam.targets import Question, ScoredTarget
from signalcam.targets.model_output import ModelOutput

Watch = Callable[[Array], Array]


@dataclass(frozen=True)
class Step:
    """One softmax or sigmoid of the run: its name, output and input."""

    name: str
    after: Array
    before: Array


@dataclass(frozen=True)
class OutputInfo:
    """How the model's output was made, as one eager run showed.

    Attributes:
        place: Which step of the run made the output, -1 for the last; ``None`` if none did.
        last_step: Its name, or what the output looks like; ``""`` for logits.
    """

    place: int | None
    last_step: str


@dataclass(frozen=True)
class RunResult:
    """One run of the model: its output, last steps and tapped calls."""

    raw: Any
    steps: Sequence[Step]
    calls: Sequence[tuple[Any, int]]
    question: Question

    @property
    def main(self) -> Array | None:
        """The array of scores in the model's output."""
        return self.question.main(self.raw)


Forward = Callable[[Any, Watch], RunResult]
Rows = Iterable[Sequence[Array | None]]


@dataclass(frozen=True)
class Run:
    """One forward pass: the tapped outputs in order, and a backward pass a target.

    Attributes:
        reading: The model's output.
        scored_targets: One a target.
        activations: What the tapped layers returned.
        rows: For each target the gradient at each of ``kept``; ``None`` where it is not reached.
        calls: The layer behind each of ``kept``, and which of its calls it was.
        info: Where the logits were found.
    """

    reading: ModelOutput
    scored_targets: Sequence[ScoredTarget]
    activations: Sequence[Array]
    rows: Rows
    calls: Sequence[tuple[Any, int]]
    info: OutputInfo


@dataclass(frozen=True)
class RunRequest:
    """All arguments of one run.

    Attributes:
        model: The model, for its weights.
        forward: Runs it on inputs, handing what is tapped to a watcher.
        tree: The inputs.
        batch: How many samples they hold.
        question: What is asked.
        shapes: Shape and kind of each tapped output, if a run alike has shown them.
    """

    model: Any
    forward: Forward
    tree: Any
    batch: int
    question: Question
    shapes: Sequence[tuple[Any, Any]] | None = None


Compiled = Callable[[RunRequest], Run | None]


class Engine(Protocol):
    """Runs the model, recording from the taps on."""

    def forward_backward(self, task: RunRequest) -> Run:
        """Run forward once; differentiate each score with respect to the tapped outputs."""
        ...

    def compile_request(self, task: RunRequest, info: OutputInfo) -> Compiled | None:
        """Compile such a request for other numbers; ``None`` where that does not pay.

        What is returned gives ``None`` for numbers whose output was made otherwise than ``seen``.
        """
        ...

    def no_grad(self) -> AbstractContextManager[None]:
        """Record nothing while the block is open."""
        ...

    def input_gradients(
        self,
        model: Any,
        forward: Callable[[Array], RunResult],
        x: Array,
        ask: Callable[[RunResult, OutputInfo], list[Array]],
    ) -> list[tuple[Array, Array]]:
        """Score each target and differentiate it with respect to ``x``."""
        ...

    def input_support(self, model: Any, forward: Callable[[Array, Watch], None], x: Array, pick: Pick) -> Support:
        """Differentiate the tapped output, channels second, at some positions with respect to ``x``."""
        ...
