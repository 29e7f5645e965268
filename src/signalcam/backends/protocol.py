"""``Backend``: the protocol of every framework, and the objects that pass between it and the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np

from signalcam.arrays import Array
from signalcam.inputs.pytree import Inputs
from signalcam.inputs.tokens import Tokens
from signalcam.targets import Question, ScoredTarget
from signalcam.targets.model_output import ModelOutput
from signalcam.targets.question import Rule

Role: TypeAlias = Literal["grid", "tokens", "inner", "recurrent"]


@dataclass(frozen=True)
class Layer:
    """A layer whose output has positions, recorded in one run of the model.

    Attributes:
        name: What ``layer=`` takes; ``"conv[1]"`` is the second call of ``conv``.
        kind: The name of its class.
        shape: ``(channel, *positions)`` of its output for one sample; empty before a run.
        role: ``"grid"`` for the output of a convolution; ``"tokens"`` for tokens of a transformer that a map
            can be drawn at, ``"inner"`` for other tokens, and ``"recurrent"``: these two are not offered.
    """

    name: str
    kind: str
    shape: tuple[int, ...] = ()
    role: Role = "grid"


@dataclass(frozen=True)
class LayerOutput:
    """The activation of one layer, and the gradient of one score there.

    Attributes:
        ran: The layer's name, with the number of the call that reached the score.
        activation: ``(b, c, *positions)``.
        gradient: Of the score, shaped like the activation; ``None`` where it does not reach the score.
        tokens: How tokens were folded to these positions; ``None`` where nothing was.
        whole: The activation before that, ``(b, c, *others, n)``.
        dropped: The gradient at the prefix tokens.
    """

    ran: str
    activation: Array
    gradient: Array | None
    tokens: Tokens | None = None
    whole: Array | None = None
    dropped: Array | None = None


@dataclass(frozen=True)
class ForwardResult:
    """The result of one forward pass, with the backward passes still to run.

    Attributes:
        reading: The model's output.
        scored_targets: One a target.
        rows: One a target, each with one entry a layer. A backward pass is made when its row is
            asked for, so that one target's gradients are gone before the next one's are made.
    """

    reading: ModelOutput
    scored_targets: Sequence[ScoredTarget]
    rows: Iterable[Sequence[LayerOutput]]


@dataclass(frozen=True)
class Edit:
    """Other activations for a layer.

    Attributes:
        ran: The layer's name, with the number of its call.
        values: ``(rows, c, *positions)``.
        prefix: The result of ``cache_prefix``, so that only the layers after this one run; ``None`` to run the
            whole model.
        samples: Which of the remembered samples the rows are made of.
        times: How many rows in a row are of one sample.
    """

    ran: str
    values: Array
    prefix: Any | None
    samples: slice
    times: int


Pick = Callable[[tuple[int, ...]], Sequence[tuple[int, ...]]]


@dataclass(frozen=True)
class Support:
    """The inputs that some positions of a layer depend on.

    Attributes:
        shape: The layer's position axes.
        picked: The positions looked at.
        support: ``(picked, *input axes without batch)``: how strongly each input value is felt.
    """

    shape: tuple[int, ...]
    picked: Sequence[tuple[int, ...]]
    support: np.ndarray


class Backend(Protocol):
    """A framework's operations. Each one borrows the model and hands it back unchanged."""

    name: str
    version: str

    def owns(self, model: object) -> bool:
        """Whether the model belongs to this framework."""
        ...

    def channel_axis(self, model: object) -> int:
        """The default axis of channels of an input: 1 or -1."""
        ...

    def layers(self, model: object, inputs: Inputs | None) -> list[Layer]:
        """List the layers whose output has positions; in the order they ran, if there are inputs."""
        ...

    def resolve(self, model: object, layer: object) -> str:
        """Return the name of a layer given by name or as an object."""
        ...

    def forward_backward(
        self, model: object, inputs: Inputs, layers: Sequence[str], question: Question
    ) -> ForwardResult:
        """Run the model once and differentiate each score with respect to the layers.

        Args:
            model: The model.
            inputs: One batch.
            layers: Their names.
            question: What is asked, and which kind of gradient is wanted. Without any, a layer that ran
                more than once is still differentiated, to tell which of its runs counts.
        """
        ...

    def to_model(self, model: object, inputs: Inputs) -> Inputs:
        """Move every array to the model's device and precision."""
        ...

    def forward(self, model: object, inputs: Inputs, question: Question, edit: Edit | None = None) -> list[Array]:
        """Run the model without recording and score each target ``(b,)``.

        Args:
            model: The model.
            inputs: As many rows as the edit has.
            question: What is asked of each row.
            edit: Other activations for a layer.
        """
        ...

    def cache_prefix(self, model: object, inputs: Inputs, ran: str) -> Any | None:
        """Cache the outputs before a layer; ``None`` where that is not possible."""
        ...

    def input_gradients(
        self, model: object, inputs: Inputs, question: Question, rule: Rule | None
    ) -> list[tuple[Array, Array]]:
        """Score each target ``(b,)`` and differentiate it with respect to the explained input."""
        ...

    def offsets(self, model: object, inputs: Inputs) -> dict[str, Array]:
        """The bias that each layer adds to every position: ``(c,)`` by its name and call."""
        ...

    def input_support(self, model: object, inputs: Inputs, layer: str, pick: Pick) -> Support:
        """Run the model up to a layer and find which inputs the picked positions depend on."""
        ...

    def weights(self, model: object) -> dict[str, list[np.ndarray]]:
        """The weights of each layer, by name, in the order the layers were made."""
        ...

    def use_weights(self, model: object, weights: Mapping[str, Sequence[np.ndarray]]) -> AbstractContextManager[None]:
        """Give the model other weights for some layers while the block is open."""
        ...

    def full_precision(self) -> AbstractContextManager[None]:
        """Compute in the arrays' own precision, whatever the user has switched on."""
        ...

    def numpy(self, array: Array) -> np.ndarray:
        """Copy an array of the framework to NumPy, in single precision at least."""
        ...

    def free_memory(self, model: object) -> int:
        """The number of free bytes where the model runs."""
        ...

    def ran_out_of_memory(self, error: Exception) -> bool:
        """Whether an error means that a smaller batch might have fitted."""
        ...
