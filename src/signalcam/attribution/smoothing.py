"""``Smooth`` and ``Principal``: averages over noisy inputs, and the first principal component of a map."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from signalcam.arrays import Array, Layered, Map, namespace
from signalcam.attribution.context import AttributionContext
from signalcam.attribution.gradient import positive, principal, ratio, weigh
from signalcam.attribution.perturbation import cast_like
from signalcam.attribution.registry import Formula, Method, find, register_planned
from signalcam.errors import MethodError, is_count

_ADDS_UP = 1e-4  # of the map: channels added up in another order, in single precision


@dataclass(frozen=True)
class GaussianNoise:
    """Noisy copies of a batch, equal in every call; also one of the transforms of ``Augment``.

    Attributes:
        n: How many.
        level: Standard deviation, as a share of each sample's range.
        seed: Of the noise.
    """

    n: int = 1
    level: float = 0.05
    seed: int = 0
    moves: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not (is_count(self.n) and 0 <= self.level < np.inf and is_count(self.seed, 0)):
            message = f"n is {self.n}, noise {self.level} and seed {self.seed}; give at least 1 copy, noise of 0 or more, and a seed of 0, 1, 2, ..."
            raise MethodError(message)

    def copies(self, case: AttributionContext) -> list[AttributionContext]:
        """The context of every copy."""
        x, xp = case.x, namespace(case.x)
        axes = tuple(range(1, len(x.shape)))
        size = xp.max(x, axis=axes, keepdims=True) - xp.min(x, axis=axes, keepdims=True)
        return [
            case.with_inputs(x + self.level * size * self._draw_noise(case, i))
            for i in case.with_progress(range(self.n))
        ]

    def back(self, _case: AttributionContext, maps: Array) -> Array:
        """Return a copy's map, which has not moved."""
        return maps

    def _draw_noise(self, case: AttributionContext, number: int) -> Array:
        one = np.random.default_rng((self.seed, number)).standard_normal(case.x.shape[1:])
        return cast_like(case.array(one), case.x)[None, ...]


@dataclass(frozen=True)
class SmoothedMaps:
    """Average a method's maps over noisy inputs.

    Attributes:
        method: Which.
        noise: The copies.
    """

    method: Method
    noise: GaussianNoise

    def __call__(self, case: AttributionContext) -> list[Array]:
        """Return one map a target."""
        total: list[Array] = []
        for copy in self.noise.copies(case):
            maps = self.method.maps(copy)
            total = [a + b for a, b in zip(total, maps, strict=True)] if total else list(maps)
        return [each / self.noise.n for each in total]


def Smooth(  # noqa: N802 - read as a kind of method
    method: str | Method = "grad-cam", n: int = 8, noise: float = 0.15, seed: int = 0
) -> Method:
    """Average a method's maps over noisy copies of the input (SmoothGrad, arXiv:1706.03825).

    Every copy is asked about the class of the clean sample.

    Args:
        method: Any method.
        n: How many copies.
        noise: Standard deviation, as a share of each sample's range.
        seed: Of the noise; no random state outside is read or set.

    Raises:
        MethodError: ``n`` or ``noise`` makes no sense.

    Example:
        >>> import signalcam as sc
        >>> sc.Smooth("hires-cam", n=4).name
        'smooth hires-cam'
    """
    inner = find(method)
    return Method(
        f"smooth {inner.name}",
        None,
        inner.paper,
        inner.family,
        needs_gradients=False,
        passes=f"{n} times: {inner.passes}",
        plan=SmoothedMaps(inner, GaussianNoise(n, noise, seed)),
        at=inner.at,
    )


@dataclass(frozen=True)
class SmoothGradCamPlusPlus:
    """Weigh each channel as Grad-CAM++ does, with gradients averaged over noisy inputs.

    The squares and cubes are averaged as such. The paper prints the mean gradient where the mean square must
    stand; without noise this is ``grad-cam++``.

    Attributes:
        noise: The copies.
    """

    noise: GaussianNoise = GaussianNoise(8, 0.15, 0)

    def __call__(self, case: AttributionContext) -> list[Map]:
        """Return one map a target."""
        copies = self.noise.copies(case)
        targets = range(len(case.scores))
        return [self._map(case.a, [each.gradient(t) for each in copies]) for t in targets]

    def _map(self, a: Layered, gradients: list[Layered]) -> Map:
        xp = namespace(a)
        size = xp.max(xp.abs(gradients[0]), axis=(1, 2), keepdims=True)  # cubes neither overflow nor vanish
        first, second, third = (_mean([ratio(g, size) ** k for g in gradients]) for k in (1, 2, 3))
        strength = xp.sum(a, axis=-1, keepdims=True)
        alpha = ratio(second, 2 * second + size * strength * third)
        return weigh(a, xp.sum(alpha * positive(size * first), axis=-1))


def _mean(arrays: list[Array]) -> Array:
    total = arrays[0]
    for array in arrays[1:]:
        total = total + array
    return total / len(arrays)


@dataclass(frozen=True)
class PrincipalMaps:
    """Project a method's channels onto their first principal direction.

    Attributes:
        formula: The method's.
    """

    formula: Formula

    def __call__(self, a: Layered, g: Layered) -> Map:
        """Return the map ``(b, p)``."""
        xp, shape = namespace(a), a.shape
        alone = (-1, 1, shape[2])
        terms = xp.reshape(self.formula(xp.reshape(a, alone), xp.reshape(g, alone)), shape)
        off = float(xp.max(xp.abs(xp.sum(terms, axis=1) - self.formula(a, g))))
        if off > _ADDS_UP * float(xp.max(xp.abs(terms))) * shape[1]:
            message = "the channels of this method do not add up to its map, so they have no principal component. Use Principal with grad-cam or hires-cam."
            raise MethodError(message)
        return principal(terms)


def Principal(method: str | Method = "grad-cam") -> Method:  # noqa: N802 - read as a kind of method
    """Keep the first principal component of a method's channels.

    The principal-component smoothing of the package grad-cam, but neither centred nor with its sign left open.

    Args:
        method: One whose map is a sum over channels: ``"grad-cam"``, ``"hires-cam"``, ``"layer-cam"`` and others.

    Raises:
        MethodError: The method has no formula to take apart.

    Example:
        >>> import signalcam as sc
        >>> sc.Principal("grad-cam").name
        'principal grad-cam'
    """
    inner = find(method)
    if inner.formula is None or inner.family != "gradient":
        message = f"Principal needs a method that adds up channels by their gradients, and {inner.name} does not. Use grad-cam or hires-cam."
        raise MethodError(message)
    return Method(
        f"principal {inner.name}",
        PrincipalMaps(inner.formula),
        inner.paper,
        inner.family,
        passes=inner.passes,
        kind=inner.kind,
    )


@dataclass(frozen=True)
class SegXResCam:
    """Average the gradient over windows, then multiply with the activation at each position.

    Between ``hires-cam`` (a window of 1) and ``grad-cam`` (a window as long as the layer).

    Attributes:
        window: Positions along each axis; a last window may be shorter.
    """

    window: int = 2

    def __post_init__(self) -> None:
        if not is_count(self.window):
            message = f"window is {self.window}; give at least 1 position."
            raise MethodError(message)

    def __call__(self, case: AttributionContext) -> list[Map]:
        """Return one map a target."""
        xp = namespace(case.a)
        means = [case.array(self._matrix(length)) for length in case.cells]
        targets = range(len(case.scores))
        return [xp.sum(case.a * _along(case.gradient(t), case.cells, means), axis=1) for t in targets]

    def _matrix(self, length: int) -> np.ndarray:
        block = np.arange(length) // self.window
        same = (block[:, None] == block).astype(float)
        shares: np.ndarray = same / same.sum(1, keepdims=True)
        return shares


def _along(g: Layered, cells: tuple[int, ...], matrices: list[Array]) -> Layered:
    """Multiply each position axis by a matrix."""
    xp, before = namespace(g), 1
    for length, matrix in zip(cells, matrices, strict=True):
        turned = xp.matmul(matrix, xp.reshape(g, (g.shape[0] * g.shape[1] * before, length, -1)))
        g, before = xp.reshape(turned, g.shape), before * length
    return g


def seg_xres_cam(window: int) -> Method:
    """Return ``seg-xres-cam`` with another window, for ``method=``.

    Args:
        window: See ``SegXResCam``.
    """
    method = find("seg-xres-cam")
    return Method(
        f"seg-xres-cam {window}", None, method.paper, method.family, passes=method.passes, plan=SegXResCam(window)
    )


def smooth_grad_cam_plus_plus(*, n: int = 8, noise: float = 0.15, seed: int = 0) -> Method:
    """Return ``smooth-grad-cam++`` with other noise, for ``method=``.

    Args:
        n: How many noisy inputs.
        noise: Standard deviation, as a share of each sample's range.
        seed: Of the noise.
    """
    plan, passes = SmoothGradCamPlusPlus(GaussianNoise(n, noise, seed)), f"{n + 1} forward, {n} backward"
    return replace(find("smooth-grad-cam++"), name=f"smooth-grad-cam++ {n}", plan=plan, passes=passes)


register_planned(
    "seg-xres-cam",
    SegXResCam(),
    paper="Hasany et al. 2023, doi:10.1109/CVPRW59228.2023.00393",
    passes="1 forward, 1 backward",
    family="gradient",
    needs_gradients=True,
)
register_planned(
    "smooth-grad-cam++",
    SmoothGradCamPlusPlus(),
    paper="Omeiza et al. 2019, arXiv:1908.01224",
    passes="9 forward, 8 backward",
    family="gradient",
)
