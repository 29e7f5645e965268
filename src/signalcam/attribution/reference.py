"""``FromReference``: explain the difference from a reference input."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from signalcam.arrays import Map, namespace
from signalcam.attribution.context import AttributionContext
from signalcam.attribution.perturbation import cast_like
from signalcam.attribution.registry import Formula, Method, find
from signalcam.errors import MethodError


@dataclass(frozen=True, eq=False)  # an array has no one truth value
class ReferenceMaps:
    """Replace activations by their difference from a reference's activations.

    Attributes:
        formula: The method's.
        reference: One input, or one a sample, as the model takes it.
    """

    formula: Formula
    reference: np.ndarray

    def __call__(self, case: AttributionContext) -> list[Map]:
        """Return one map a target."""
        x, xp = case.x, namespace(case.x)
        wide = self.reference[None] if self.reference.ndim == len(x.shape) - 1 else self.reference
        if wide.ndim != len(x.shape) or wide.shape[1:] != tuple(x.shape[1:]) or len(wide) != 1:
            message = f"the reference has shape {self.reference.shape} and a sample {tuple(x.shape[1:])}. Give one input of a sample's shape."
            raise MethodError(message)
        there = xp.broadcast_to(cast_like(case.array(wide), x), tuple(x.shape))
        apart = case.a - case.with_inputs(there).a
        return [self.formula(apart, case.gradient(t)) for t in range(len(case.scores))]


def FromReference(method: str | Method = "hires-cam", *, reference: Any) -> Method:  # noqa: N802 - read as a kind of method
    """Explain the difference from a reference input, as for a regression: why more than *that* one.

    The method's formula is given the difference of both inputs' activations. With ``hires-cam`` and one linear
    layer behind the tap, the signed map adds up to the difference of both scores.

    Args:
        method: One that is a formula of activations and gradients.
        reference: One input of a sample's shape: a baseline, a typical recording.

    Raises:
        MethodError: The method is none, or the reference does not fit.

    Example:
        >>> import signalcam as sc
        >>> sc.FromReference(reference=ecg[0]).name
        'hires-cam from a reference'
    """
    inner = find(method)
    if inner.formula is None or inner.kind != "plain" or not inner.needs_gradients:
        message = f"FromReference needs a formula of activations and gradients, and {inner.name} is none. Use hires-cam or grad-cam."
        raise MethodError(message)
    array = np.asarray(reference, np.float32)
    if not array.size or not np.isfinite(array).all():
        message = (
            f"the reference has shape {array.shape} and must hold finite values. Give one input of a sample's shape."
        )
        raise MethodError(message)
    return Method(
        f"{inner.name} from a reference",
        None,
        inner.paper,
        inner.family,
        needs_gradients=True,
        passes="2 forward, 1 backward",
        plan=ReferenceMaps(inner.formula, array),
    )
