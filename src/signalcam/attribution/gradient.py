"""Methods that are arithmetic on activations and gradients: Grad-CAM, HiResCAM, Grad-CAM++ and others.

``a`` and ``g`` are ``(b, c, p)``: batch, channel, position. ``g`` is the gradient of the explained
score with respect to ``a``. A formula returns the signed map ``(b, p)``.
"""

import math
from dataclasses import dataclass, replace

import array_api_compat
import numpy as np

from signalcam.arrays import Array, Layered, Map, Weights, namespace, take_entries
from signalcam.attribution.registry import Method, find, method
from signalcam.errors import MethodError, is_count, nearest

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
    """Keep positive values, and NaN; put 0 for the rest."""
    xp = namespace(x)
    return xp.where(x < 0, xp.zeros_like(x), x)


def principal(x: Layered) -> Map:
    """Project the channels onto their first principal direction, with the sign of their sum.

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
        projection = xp.matmul(turned, onto)
    else:
        values, vectors = xp.linalg.eigh(xp.matmul(turned, unit))
        projection = vectors[:, :, -1:] * xp.sqrt(positive(values[:, -1:]))[:, :, None]
    overlap = xp.matmul(xp.sum(unit, axis=1)[:, None, :], projection)
    return (size * xp.where(overlap < 0, -projection, projection))[:, :, 0]


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


@method("relevance-cam", paper="Lee et al. 2021, doi:10.1109/CVPR46437.2021.01470", kind="relevance")
def relevance_cam(a: Layered, g: Layered) -> Map:
    """Weigh each channel by the mean relevance that reaches it from class against other classes.

    Relevance is handed down by LRP-0, for rectifier networks; the authors' code counts only what is
    positive. It divides by the logits, so a logit near 0 takes over the map.
    """
    return weigh(a, namespace(a).mean(a * g, axis=-1))


@method("lift-cam", paper="Jung and Oh 2021, arXiv:2102.05228", kind="rescale")
def lift_cam(a: Layered, g: Layered) -> Map:
    """Weigh each channel by its DeepLIFT contribution, compared with zero activations.

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


def _sigmoid(x: Array, z: Layered, gamma: float) -> Array:
    """``tanh(gamma <x, z> + 1) - tanh(1)``, written so that small activations keep their digits."""
    xp, offset = namespace(x), math.tanh(1)
    bent = xp.tanh(gamma * xp.matmul(x, z))
    return bent * (1 - offset**2) / (1 + offset * bent)


def _linear(x: Array, z: Layered, _gamma: float) -> Array:
    """``<x, z>``."""
    return namespace(x).matmul(x, z)


def _rbf(x: Array, z: Layered, gamma: float) -> Array:
    """``exp(-gamma |x - z|^2) - 1``."""
    xp = namespace(x)
    squares = xp.sum(x * x, axis=2, keepdims=True) + xp.sum(z * z, axis=1, keepdims=True)
    return xp.expm1(-gamma * positive(squares - 2 * xp.matmul(x, z)))


_KERNELS = {"sigmoid": _sigmoid, "linear": _linear, "rbf": _rbf}  # less a constant, as centring is
_MARKS = 1021  # a prime: counted off evenly, they lie evenly along every axis of an image or volume


@dataclass(frozen=True)
class KernelPrincipal:
    """Project the activations onto their first direction in a kernel's feature space, signed like their sum.

    Positions are the samples, channels the features, centred in feature space. Up to 1021 positions this is
    exact. Of more, 1021 evenly spaced ones decide on the direction, and every position is projected onto it
    (Nystroem): no matrix of positions by positions is made. The map knows no target. The sigmoid saturates:
    activations far above 1 differ no more, and a ``gamma`` below ``1 / channels`` brings them back.

    Attributes:
        kernel: ``"sigmoid"`` is ``tanh(gamma <x, y> + 1)``, ``"rbf"`` is ``exp(-gamma |x - y|^2)``,
            ``"linear"`` is ``<x, y>``: Eigen-CAM, centred.
        gamma: Of the kernel; ``None`` is 1 over the channels.
    """

    kernel: str = "sigmoid"
    gamma: float | None = None

    def __post_init__(self) -> None:
        if self.kernel not in _KERNELS:
            message = f"there is no kernel {self.kernel!r}.{nearest(str(self.kernel), _KERNELS)} Choose one of {', '.join(_KERNELS)}."
            raise MethodError(message)
        if self.gamma is not None and not 0 < self.gamma < math.inf:
            message = f"gamma is {self.gamma}; give a number above 0, or None for 1 over the channels."
            raise MethodError(message)

    def __call__(self, a: Layered, _g: Layered) -> Map:
        """Return the map ``(b, p)``."""
        xp = namespace(a)
        size = xp.max(xp.abs(a), axis=(1, 2), keepdims=True)
        fits = size < (xp.finfo(a.dtype).max / (4 * a.shape[1])) ** 0.5  # its squares do not overflow
        x = xp.where(fits, a, xp.zeros_like(a))
        scores = self._scores(x)
        overlap = xp.matmul(xp.sum(x, axis=1)[:, None, :], scores)  # the scores are centred
        missing = xp.where(fits, xp.zeros_like(size), xp.zeros_like(size) + np.nan)
        return (xp.where(overlap < 0, -scores, scores) + missing)[:, :, 0]

    def _scores(self, x: Layered) -> Array:
        """The first component's score of each position, ``(b, p, 1)``."""
        xp, turned, count = namespace(x), namespace(x).matrix_transpose(x), x.shape[2]
        marks = _marks(x)
        values, vectors, size = self._components(marks)
        lost = values <= xp.finfo(x.dtype).eps * marks.shape[2] * size  # nothing but rounding
        onto = vectors[:, :, -1:]
        starts = range(0, count, _MARKS)
        blocks = [turned[:, start : min(start + _MARKS, count), :] for start in starts]
        scores = xp.concat([xp.matmul(self._compared(each, marks), onto) for each in blocks], axis=1)
        length = xp.sqrt(xp.where(lost, xp.zeros_like(values), values))
        return ratio(scores - xp.mean(scores, axis=1, keepdims=True), length)

    def _components(self, marks: Layered) -> tuple[Array, Array, Array]:
        """Largest eigenvalue ``(b, 1, 1)``, eigenvectors, and largest entry of the kernel matrix."""
        xp = namespace(marks)
        matrix = self._compared(xp.matrix_transpose(marks), marks)
        rows, columns = (xp.mean(matrix, axis=axis, keepdims=True) for axis in (1, 2))
        centred = matrix - rows - columns + xp.mean(rows, axis=2, keepdims=True)
        values, vectors = xp.linalg.eigh(centred)
        return values[:, -1:, None], vectors, xp.max(xp.abs(matrix), axis=(1, 2), keepdims=True)

    def _compared(self, x: Array, z: Layered) -> Array:
        """The kernel between positions ``(b, n, c)`` and ``(b, c, m)``: ``(b, n, m)``, less a constant."""
        return _KERNELS[self.kernel](x, z, self.gamma or 1 / z.shape[1])


def _marks(x: Array) -> Array:
    """All positions, or evenly spaced ones of many."""
    count = int(x.shape[2])
    few = min(count, _MARKS)
    return take_entries(x, np.arange(few) * count // few, axis=2)


def kpca_cam(*, kernel: str = "sigmoid", gamma: float | None = None) -> Method:
    """Return ``kpca-cam`` with another kernel, for ``method=``.

    Args:
        kernel: See ``KernelPrincipal``.
        gamma: See ``KernelPrincipal``.

    Raises:
        MethodError: There is no such kernel, or ``gamma`` is not above 0.

    Example:
        >>> from signalcam.attribution.gradient import kpca_cam
        >>> kpca_cam(kernel="rbf", gamma=0.5).name
        'kpca-cam rbf 0.5'
    """
    name = f"kpca-cam {kernel}" if gamma is None else f"kpca-cam {kernel} {gamma:g}"
    return replace(find("kpca-cam"), name=name, formula=KernelPrincipal(kernel, gamma))


method("kpca-cam", paper="Karmani et al. 2024, arXiv:2410.00267", family="activation", needs_gradients=False)(
    KernelPrincipal()
)


@method(
    "fem",
    paper="Fuad et al. 2020, doi:10.1109/IPTA50016.2020.9286629",
    family="activation",
    needs_gradients=False,
)
def fem(a: Layered, _g: Layered) -> Map:
    """Sum the means of channels where they lie two standard deviations above their mean.

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

    The numbers depend on the seed and the channel's index only, not on sample, batch, framework or target.
    No random state outside is read or set. The map may look plausible, because the activations lie in the
    right places.

    Attributes:
        seed: Another seed, other weights.
    """

    seed: int = 0

    def __post_init__(self) -> None:
        if not is_count(self.seed, 0):
            message = f"seed is {self.seed}; give 0, 1, 2, ..."
            raise MethodError(message)

    def __call__(self, a: Layered, _g: Layered) -> Map:
        """Return the map ``(b, p)``."""
        xp = namespace(a)
        weights = np.random.default_rng(self.seed).uniform(-1, 1, a.shape[1])
        single = weights.astype(np.float32)  # some devices have no double precision
        here = xp.astype(xp.asarray(single, device=array_api_compat.device(a)), a.dtype)
        return weigh(a, here[None, :] + xp.zeros_like(a[:, :, 0]))


def random_cam(seed: int = 0) -> Method:
    """Return ``random-cam`` with other weights, for ``method=``.

    Args:
        seed: Of the weights; ``"random-cam"`` has seed 0.

    Example:
        >>> from signalcam.attribution.gradient import random_cam
        >>> [random_cam(seed).name for seed in range(3)]
        ['random-cam-0', 'random-cam-1', 'random-cam-2']
    """
    return replace(find("random-cam"), name=f"random-cam-{seed}", formula=RandomWeights(seed))


method("random-cam", paper="a baseline", family="baseline", needs_gradients=False)(RandomWeights())
