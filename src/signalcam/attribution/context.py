"""``AttributionContext``: what a method sees of the model, one batch at one layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar, runtime_checkable

from signalcam.arrays import Array, Layered
from signalcam.targets.question import GradientKind, Rule

Item = TypeVar("Item")
Edit = Callable[[slice, slice], Array]


@runtime_checkable  # for the shape checks of the tests
class AttributionContext(Protocol):
    """One batch at one layer. Methods that need more than ``(a, g)`` run the model through it.

    Every target's class is fixed to the one the unchanged samples were asked about. Scores are those that
    are explained: logits, unless ``score=`` says otherwise.
    """

    @property
    def method(self) -> str:
        """The name of the method that is running, for messages."""
        ...

    @property
    def a(self) -> Layered:
        """``(b, c, p)``, the layer's activations."""
        ...

    @property
    def cells(self) -> tuple[int, ...]:
        """The layer's position axes; their product is ``p``."""
        ...

    @property
    def x(self) -> Array:
        """The explained input, on the model's device."""
        ...

    @property
    def dims(self) -> tuple[str, ...]:
        """The names of the input's axes, batch first: from the layout, or as the network implies."""
        ...

    @property
    def scores(self) -> Sequence[Array]:
        """For each target ``(b,)``, the score of the unchanged samples."""
        ...

    def gradient(self, target: int, kind: GradientKind = "plain") -> Layered:
        """Return ``(b, c, p)``: a target's gradient at the layer, or another backward signal.

        Args:
            target: Its number.
            kind: ``"plain"``; ``"curved"`` is ``g - H a / 2`` with the Hessian ``H``; ``"relevance"`` the
                gradient of ``sum_j R_j ln|s_j|`` over the logits ``s``; ``"rescale"`` DeepLIFT's
                multipliers from an activation of zero; ``"offset"`` the plain one where the layer adds its
                own offset, before an activation inside it; ``"attention"`` the gradient at the attention to
                the layer's tokens, ``c`` its heads and queries.
        """
        ...

    def run_with_activations(self, trials: int, edit: Edit) -> list[Array]:
        """Score the model on other activations of the layer.

        Args:
            trials: How many a sample.
            edit: From some samples and some trials to activations ``(samples, trials, c, p)``.

        Returns:
            For each target the scores ``(b, trials)``.
        """
        ...

    def run_with_inputs(self, trials: int, edit: Edit) -> list[Array]:
        """Score the model on other inputs.

        Args:
            trials: How many a sample.
            edit: From some samples and some trials to inputs ``(samples, trials, *one sample)``.

        Returns:
            For each target the scores ``(b, trials)``.
        """
        ...

    def input_gradients(self, x: Array, rule: Rule | None = None) -> list[tuple[Array, Array]]:
        """Return for each target the scores ``(b,)`` of other inputs and their gradients, shaped like ``x``.

        Args:
            x: As many inputs as the batch holds.
            rule: ``"guided"`` lets rectifiers pass back only what is positive.
        """
        ...

    def at_input(self, maps: Array) -> Array:
        """Interpolate ``(samples, m, p)`` to the input: ``(samples, m, *axes)``, 1 for axes without positions."""
        ...

    def from_input(self, maps: Array) -> Array:
        """The transpose of ``at_input``: sum over the input values that each position was spread to."""
        ...

    def with_inputs(self, x: Array) -> AttributionContext:
        """The context of the same targets for other inputs, as many as the batch holds."""
        ...

    def offsets(self, target: int) -> list[Array]:
        """The contribution of each layer's biases to the score: for each ``(b, *axes)``, laid out as by ``at_input``."""
        ...

    def with_progress(self, items: Sequence[Item]) -> Iterator[Item]:
        """Yield the items, with a progress bar if ``progress=True``."""
        ...

    def array(self, values: object) -> Array:
        """Move a NumPy array to the device and type of the activations."""
        ...


Plan = Callable[[AttributionContext], Sequence[Array]]
