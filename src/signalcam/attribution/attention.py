"""``le-grad``, which reads attention weights instead of activations."""

from signalcam.arrays import Array, namespace
from signalcam.attribution.context import AttributionContext
from signalcam.attribution.gradient import positive
from signalcam.attribution.registry import register_planned


def le_grad(case: AttributionContext) -> list[Array]:
    """Average the positive gradient at the attention to each token over heads and queries.

    Attention is that inside the layer (over all blocks where it holds several), or else the next behind it,
    or the last before it. The gradient is that of the model's own score: in the last block this is the
    paper's map; in an earlier one the paper reads the answer off that block itself.
    """
    arrived = [case.gradient(target, "attention") for target in range(len(case.scores))]
    return [namespace(g).mean(positive(g), axis=1) for g in arrived]


register_planned(
    "le-grad",
    le_grad,
    paper="Bousselham et al. 2024, arXiv:2404.03214",
    passes="2 forward, 1 backward",
    family="gradient",
)
