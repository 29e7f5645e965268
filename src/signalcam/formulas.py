"""Every class activation map that is arithmetic on activations and gradients.

``a`` and ``g`` are ``(b, c, p)``: batch, channel, position. ``g`` is the gradient of the explained
score with respect to ``a``. A formula returns the signed map ``(b, p)``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import array_api_compat
import numpy as np

from signalcam.arrays import Array, Layered, Map, Weights, namespace
from signalcam.case import Case, GradientKind, Plan
from signalcam.errors import MethodError, nearest

Formula = Callable[[Layered, Layered], Map]
Level = Literal["layer", "input", "channels"]


@dataclass(frozen=True)
class Method:
    """A registered method: its formula or its plan, and where that comes from.

    Attributes:
        name: The paper's name, in lower case with dashes.
        formula: From activations and gradients ``(b, c, p)`` to the signed map ``(b, p)``; ``None`` for
            a method that asks the model more than once.
        paper: Where the method is published.
        family: Where the evidence comes from: ``"gradient"``; ``"activation"``, which knows no target;
            ``"trials"``, what the model says to changed samples; ``"baseline"``, no explanation but what
            one must beat.
        needs_gradients: Whether the method reads the gradient at the layer.
        passes: Forward and backward passes it needs, in words: for each target, or for all together
            where it tries changed samples.
        plan: In place of a formula: from a case to one map ``(b, p)`` a target.
        kind: Which gradient the formula is given.
        at: Where the map lies: at the ``"layer"``'s positions, at the ``"input"``'s ``(b, *positions)``,
            or on every value of it, ``"channels"`` included, ``(b, *one sample)``.
    """

    name: str
    formula: Formula | None
    paper: str
    family: str = "gradient"
    needs_gradients: bool = True
    passes: str = "1 forward, 1 backward"
    plan: Plan | None = None
    kind: GradientKind = "plain"
    at: Level = "layer"

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return ((self.plan or self.formula).__doc__ or self.name).splitlines()[0]

    def maps(self, case: Case) -> Sequence[Array]:
        """Return the signed map of each target, laid out as ``at`` says."""
        if self.plan is not None:
            return self.plan(case)
        formula, targets = self.formula, range(len(case.scores))
        if formula is None:
            message = f"{self.name} has neither a formula nor a plan. Give Method(...) one of them."
            raise MethodError(message)
        if not self.needs_gradients:
            return [formula(case.a, case.a)] * len(targets)
        return [formula(case.a, case.gradient(target, self.kind)) for target in targets]


_registry: dict[str, Method] = {}


def method(
    name: str, *, paper: str, family: str = "gradient", needs_gradients: bool = True, kind: GradientKind = "plain"
) -> Callable[[Formula], Formula]:  # fmt: skip
    """Register a formula under its paper's name.

    Args:
        name: Lower case with dashes; what users pass as ``method=``.
        paper: Where the formula is published.
        family: See ``Method``.
        needs_gradients: See ``Method``.
        kind: See ``Method``.

    Example:
        >>> from signalcam.formulas import method, weigh
        >>> @method("sum-cam", paper="none")
        ... def sum_cam(a, g):
        ...     return a.sum(1)
        >>> _ = _registry.pop("sum-cam")
    """
    passes = _PASSES[kind] if needs_gradients else "1 forward"

    def register(formula: Formula) -> Formula:
        _registry[name] = Method(name, formula, paper, family, needs_gradients, passes, kind=kind)
        return formula

    return register


_PASSES: dict[GradientKind, str] = {
    "plain": "1 forward, 1 backward",
    "curved": "2 forward, 2 backward",
    "relevance": "2 forward, 1 backward",
    "rescale": "3 forward, 1 backward",
    "offset": "2 forward, 1 backward",
}


def planned(
    name: str, plan: Plan, *, paper: str, passes: str, family: str = "trials",
    needs_gradients: bool = False, at: Level = "layer",
) -> Method:  # fmt: skip
    """Register a method that asks the model more than once.

    Args:
        name: Lower case with dashes; what users pass as ``method=``.
        plan: From a ``signalcam.case.Case`` to one map a target.
        paper: Where the method is published.
        passes: What it costs, in words.
        family: See ``Method``.
        needs_gradients: See ``Method``.
        at: See ``Method``.
    """
    _registry[name] = Method(name, None, paper, family, needs_gradients, passes, plan, at=at)
    return _registry[name]


def methods() -> tuple[Method, ...]:
    """List every registered method.

    Returns:
        The methods with name, family, paper, need of gradients and passes, by name.

    Example:
        >>> import signalcam as sc
        >>> [m.name for m in sc.methods() if m.family == "activation"]
        ['eigen-cam', 'fem']
    """
    return tuple(_registry[name] for name in sorted(_registry))


def find(wanted: object) -> Method:
    """Return the method called ``wanted``, in any of its papers' spellings.

    Raises:
        MethodError: There is no such method.
    """
    if isinstance(wanted, Method):
        return wanted
    if isinstance(wanted, str):
        spellings = {_bare(name): known for name, known in _registry.items()}
        if _bare(wanted) in spellings:
            return spellings[_bare(wanted)]
    known = ", ".join(sorted(_registry))
    hint = nearest(str(wanted).lower(), _registry)
    message = f"there is no method {wanted!r}.{hint} Known: {known} (see signalcam.methods())."
    raise MethodError(message)


def _bare(name: str) -> str:
    plain = name.lower().replace("-", "").replace("_", "").replace(" ", "")
    return plain.replace("plusplus", "pp").replace("++", "pp")


# --- what formulas are made of --------------------------------------------------------------------


def weigh(a: Layered, w: Weights) -> Map:
    """Add up the channels of ``a``, each times its weight."""
    xp = namespace(a)
    return xp.matmul(w[:, None, :], a)[:, 0, :]


def ratio(x: Array, y: Array) -> Array:
    """Divide, and give 0 where ``y`` is 0."""
    xp = namespace(y)
    quotient = x / xp.where(y == 0, xp.ones_like(y), y)
    return xp.where(y == 0, xp.zeros_like(quotient), quotient)


def positive(x: Array) -> Array:
    """Keep what is positive and put 0 for the rest; what is not a number stays so."""
    xp = namespace(x)
    return xp.where(x < 0, xp.zeros_like(x), x)


def principal(x: Layered) -> Map:
    """Project the channels onto the one direction that holds most of them, signed like their sum.

    With ``x`` as a matrix ``(p, c)``, not centred, this is its first left singular vector times the
    first singular value, from the smaller of its two Gram matrices. A sample with values that are not
    finite becomes NaN, where an eigenvalue routine would refuse the batch.
    """
    xp = namespace(x)
    size = xp.max(xp.abs(x), axis=(1, 2), keepdims=True)  # squares neither overflow nor vanish
    size = xp.where(xp.isfinite(size), size, xp.zeros_like(size) + np.nan)
    unit = xp.where(xp.isfinite(size), ratio(x, size), xp.zeros_like(x))
    turned = xp.matrix_transpose(unit)
    if x.shape[1] <= x.shape[2]:
        onto = xp.linalg.eigh(xp.matmul(unit, turned))[1][:, :, -1:]
        found = xp.matmul(turned, onto)
    else:
        values, vectors = xp.linalg.eigh(xp.matmul(turned, unit))
        found = vectors[:, :, -1:] * xp.sqrt(positive(values[:, -1:]))[:, :, None]
    overlap = xp.matmul(xp.sum(unit, axis=1)[:, None, :], found)
    return (size * xp.where(overlap < 0, -found, found))[:, :, 0]


# --- gradient -------------------------------------------------------------------------------------


@method("grad-cam", paper="Selvaraju et al. 2017, arXiv:1610.02391, eq. 1-2")
def grad_cam(a: Layered, g: Layered) -> Map:
    """Weigh each channel by the mean of its gradient.

    Averaging the gradient over positions can highlight places the network did not use
    (Draelos and Carin, arXiv:2011.08891); ``hires-cam`` cannot.
    """
    return weigh(a, namespace(g).mean(g, axis=-1))


@method("hires-cam", paper="Draelos and Carin 2020, arXiv:2011.08891, eq. 3")
def hires_cam(a: Layered, g: Layered) -> Map:
    """Multiply activation and gradient at each position and add up the channels."""
    return namespace(a).sum(a * g, axis=1)


@method("grad-cam++", paper="Chattopadhyay et al. 2018, arXiv:1710.11063, eq. 7 and 19")
def grad_cam_plus_plus(a: Layered, g: Layered) -> Map:
    """Weigh each channel by its positive gradients, less where the channel is strong already.

    The paper's ``g^2 / (2 g^2 + S g^3)``, ``S`` the channel's sum, is ``1 / (2 + g S)``: so written it
    needs no epsilon and small gradients keep their weight. The paper's factor ``exp(score)`` scales the
    whole map and is left out. Negative evidence is ignored, the map is not linear in the score, and
    with negative activations ``2 + g S`` comes near 0: take a layer behind its ReLU.
    """
    xp = namespace(a)
    strength = xp.sum(a, axis=-1, keepdims=True)
    return weigh(a, xp.sum(ratio(positive(g), 2 + g * strength), axis=-1))


@method("xgrad-cam", paper="Fu et al. 2020, arXiv:2008.02312")
def xgrad_cam(a: Layered, g: Layered) -> Map:
    """Weigh each channel by the mean of its gradient, counting positions by their activation.

    Each channel then adds up to what it adds to ``hires-cam``. Where a channel's activations cancel out
    that mean does not exist; such a channel is left out, and one that nearly cancels out dominates the
    map: take a layer behind its ReLU.
    """
    xp = namespace(a)
    total, size = xp.sum(a, axis=-1), xp.sum(xp.abs(a), axis=-1)
    lost = xp.abs(total) <= xp.finfo(a.dtype).eps * size  # nothing but rounding
    total = xp.where(lost, xp.zeros_like(total), total)
    return weigh(a, ratio(xp.sum(a * g, axis=-1), total))


@method("layer-cam", paper="Jiang et al. 2021, doi:10.1109/TIP.2021.3089943")
def layer_cam(a: Layered, g: Layered) -> Map:
    """Multiply activation and positive gradient at each position and add up the channels.

    Evidence against the target is dropped before the channels are added, so a position that speaks
    for and against it shows only what speaks for it.
    """
    return namespace(a).sum(positive(g) * a, axis=1)


@method("grad-cam-elementwise", paper="grad-cam 1.5.7, GradCAMElementWise; no paper")
def grad_cam_elementwise(a: Layered, g: Layered) -> Map:
    """Multiply activation and gradient at each position and add up the positive products.

    Equal to ``layer-cam`` where no activation is negative; a negative activation with a negative
    gradient counts for the target here. Evidence against it is dropped.
    """
    return namespace(a).sum(positive(g * a), axis=1)


@method("eigen-grad-cam", paper="grad-cam 1.5.7, EigenGradCAM; no paper")
def eigen_grad_cam(a: Layered, g: Layered) -> Map:
    """Project activation times gradient onto its first singular vector, signed like its sum.

    Not centred, unlike the library it comes from. It shows the strongest pattern among the channels'
    evidence, and evidence that varies in another way is lost.
    """
    return principal(g * a)


@method("shapley-cam", paper="Cai 2025, arXiv:2501.06261", kind="curved")
def shapley_cam(a: Layered, g: Layered) -> Map:
    """Weigh each channel by the mean of its gradient less half of the curvature.

    ``g`` is the gradient less half of what the Hessian makes of the activations: to second order the
    channels share what the layer adds to the score. For networks of rectifiers it is ``grad-cam``.
    """
    return weigh(a, namespace(g).mean(g, axis=-1))


@method(
    "relevance-cam", paper="Lee et al. 2021, doi:10.1109/CVPR46437.2021.01470", kind="relevance"
)
def relevance_cam(a: Layered, g: Layered) -> Map:
    """Weigh each channel by the mean relevance that reaches it from class against other classes.

    Relevance is handed down by LRP-0, for rectifier networks; the authors' code counts only what is
    positive. It divides by the logits, so a logit near 0 takes over the map.
    """
    return weigh(a, namespace(a).mean(a * g, axis=-1))


@method("lift-cam", paper="Jung and Oh 2021, arXiv:2102.05228", kind="rescale")
def lift_cam(a: Layered, g: Layered) -> Map:
    """Weigh each channel by its DeepLIFT contribution, compared with a silent layer.

    ``g`` holds the multipliers of the rescale rule, which elementwise steps are differentiated by; maximum
    pooling and products keep their gradient. Where the score is a straight line behind the layer, these are
    the channels' exact Shapley values.
    """
    return weigh(a, namespace(a).sum(a * g, axis=-1))


# --- activation -----------------------------------------------------------------------------------


@method(
    "eigen-cam",
    paper="Muhammad and Yeasin 2020, arXiv:2008.00299",
    family="activation",
    needs_gradients=False,
)
def eigen_cam(a: Layered, _g: Layered) -> Map:
    """Project the activations onto their first singular vector, signed like their sum.

    Not centred, as in the paper. A singular vector has no sign of its own: unfixed, half of the maps
    show what is not active. The map knows no target: it is the same for every class.
    """
    return principal(a)


@method(
    "fem",
    paper="Fuad et al. 2020, doi:10.1109/IPTA50016.2020.9286629",
    family="activation",
    needs_gradients=False,
)
def fem(a: Layered, _g: Layered) -> Map:
    """Mark where a channel lies two standard deviations above its mean, and add up the means.

    The Feature Explanation Method. The map knows no target, is made of steps, and is blank for a layer
    of five positions or fewer, where nothing can lie that far from the mean.
    """
    xp = namespace(a)
    middle = xp.mean(a, axis=-1, keepdims=True)
    above = a - middle
    spread = xp.sqrt(xp.mean(above * above, axis=-1, keepdims=True))
    marked = xp.where(above > 2 * spread, xp.ones_like(a), xp.zeros_like(a))
    return weigh(marked, middle[:, :, 0])


# --- baselines ------------------------------------------------------------------------------------


@method("mean-activation", paper="a baseline", family="baseline", needs_gradients=False)
def mean_activation(a: Layered, _g: Layered) -> Map:
    """Average the channels.

    What the layer shows without any question asked; a map that looks the same has explained nothing.
    """
    return namespace(a).mean(a, axis=1)


@method("uniform", paper="a baseline", family="baseline", needs_gradients=False)
def uniform(a: Layered, _g: Layered) -> Map:
    """Put 1 everywhere.

    What a score of maps gives to no information; normalised, a map without contrast is drawn as 0.
    """
    return namespace(a).ones_like(a[:, 0, :])


@dataclass(frozen=True)
class RandomWeights:
    """Weigh each channel by a random number between -1 and 1.

    The numbers depend on the seed and the channel's place only: every sample, batch, framework and
    target gets the same, and no random state outside is read or set. It may look plausible, because the
    activations lie in the right places.

    Attributes:
        seed: Another seed, other weights.
    """

    seed: int = 0

    def __call__(self, a: Layered, _g: Layered) -> Map:
        """Return the map ``(b, p)``."""
        xp = namespace(a)
        drawn = np.random.default_rng(self.seed).uniform(-1, 1, a.shape[1])
        single = drawn.astype(np.float32)  # some devices have no double precision
        here = xp.astype(xp.asarray(single, device=array_api_compat.device(a)), a.dtype)
        return weigh(a, here[None, :] + xp.zeros_like(a[:, :, 0]))


def random_cam(seed: int = 0) -> Method:
    """Return ``random-cam`` with other weights, for ``method=``.

    Args:
        seed: Of the weights; ``"random-cam"`` has seed 0.

    Example:
        >>> from signalcam.formulas import random_cam
        >>> [random_cam(seed).name for seed in range(3)]
        ['random-cam-0', 'random-cam-1', 'random-cam-2']
    """
    return replace(find("random-cam"), name=f"random-cam-{seed}", formula=RandomWeights(seed))


method("random-cam", paper="a baseline", family="baseline", needs_gradients=False)(RandomWeights())
