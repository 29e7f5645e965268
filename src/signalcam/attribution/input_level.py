"""Methods with a map at the input's own resolution, for each channel or all together."""

from dataclasses import dataclass

from signalcam.arrays import Array, Map, namespace
from signalcam.attribution.context import AttributionContext
from signalcam.attribution.gradient import positive
from signalcam.attribution.perturbation import cast_like
from signalcam.attribution.registry import Level, Method, find, register_planned
from signalcam.errors import MethodError


def over_positions(case: AttributionContext, values: Array) -> Array:
    """Sum over the input's axes without positions: ``(b, *axes)`` as ``at_input`` has them."""
    xp, shape = namespace(values), case.at_input(case.a[:1, :1, :]).shape[2:]
    none = tuple(axis for axis, length in enumerate(shape, start=1) if length == 1)
    return xp.sum(values, axis=none, keepdims=True) if none else values


def _risen(case: AttributionContext, maps: Map) -> Array:
    """The positive part of a map, at the input."""
    return case.at_input(positive(maps)[:, None, :])[:, 0, ...]


def guided_grad_cam(case: AttributionContext) -> list[Array]:
    """Multiply Grad-CAM by the guided gradient at the input.

    Guided backpropagation is nearly the same for every class and for random weights (Adebayo et al. 2018,
    arXiv:1810.03292): what tells classes apart in this map is Grad-CAM alone. No module is replaced.
    """
    rough = find("grad-cam").maps(case)
    fine = case.input_gradients(case.x, "guided")
    return [
        _risen(case, map_) * over_positions(case, cast_like(g, case.a))
        for map_, (_, g) in zip(rough, fine, strict=True)
    ]


def full_grad(case: AttributionContext) -> list[Array]:
    """Sum input times gradient and the biases' contributions of every layer, signed, so that the total is the score.

    The paper takes absolute values scaled by themselves, which adds up to nothing; here the map's sum is the
    score, to the last digits. What belongs to no position, such as a last layer's bias, is spread evenly; so
    is what smooth steps leave over. The layer only says which axes have positions.
    """
    maps = []
    for target, (score, g) in enumerate(case.input_gradients(case.x)):
        fine = over_positions(case, cast_like(case.x * g, case.a))
        for layer_offsets in case.offsets(target):
            fine = fine + layer_offsets
        maps.append(_completed(fine, cast_like(score, case.a)))
    return maps


def _completed(fine: Array, score: Array) -> Array:
    """Spread the missing part of a score evenly."""
    xp, axes = namespace(fine), tuple(range(1, len(fine.shape)))
    missing = xp.reshape(score, (-1, *[1] * len(axes))) - xp.sum(fine, axis=axes, keepdims=True)
    cells = 1
    for length in fine.shape[1:]:
        cells *= int(length)
    return fine + missing / cells


def input_energy(case: AttributionContext) -> list[Array]:
    """Square the input and add up its channels.

    Where the signal is strong, without any network; a map that looks the same has explained nothing.
    """
    x = cast_like(case.x, case.a)
    return [over_positions(case, x * x)] * len(case.scores)


@dataclass(frozen=True)
class PerChannelMaps:
    """Multiply a map by input times gradient at each value of the input.

    Attributes:
        method: Whose map, at the layer.
        guided: Take the guided gradient in place of ``|x dy/dx|``.
    """

    method: Method
    guided: bool = False

    def __call__(self, case: AttributionContext) -> list[Array]:
        """Return one map a target, with a value for each value of the input."""
        fine = case.input_gradients(case.x, "guided" if self.guided else None)
        return [
            _risen(case, map_) * cast_like(self._own(case.x, g), case.a)
            for map_, (_, g) in zip(self.method.maps(case), fine, strict=True)
        ]

    def _own(self, x: Array, g: Array) -> Array:
        return g if self.guided else namespace(x).abs(x * g)


def PerChannel(method: str | Method = "grad-cam", *, guided: bool = False) -> Method:  # noqa: N802 - read as a kind of method
    """Resolve a map by the input's channels: which lead, not only when.

    A map of a layer paints every channel alike. Here what is positive of it is multiplied with ``|x dy/dx|``
    of each single value (or with the guided gradient), so it is a product of two explanations, and named so.

    Args:
        method: Whose map; one that draws at the layer.
        guided: See ``PerChannelMaps``.

    Returns:
        A method for ``method=``; the result's maps gain the channel axis.

    Raises:
        MethodError: The method does not draw at the layer.

    Example:
        >>> import signalcam as sc
        >>> sc.PerChannel("hires-cam").name
        'hires-cam x |input gradient x input|'
    """
    inner = find(method)
    if inner.at != "layer":
        message = f"PerChannel refines a map drawn at a layer, and {inner.name} draws at the input already. Give grad-cam or another method of a layer."
        raise MethodError(message)
    factor = "guided gradient" if guided else "|input gradient x input|"
    name, level = f"{inner.name} x {factor}", _CHANNELS
    return Method(
        name,
        None,
        inner.paper,
        inner.family,
        inner.needs_gradients,
        f"{inner.passes}; 1 forward, 1 backward",
        PerChannelMaps(inner, guided),
        at=level,
    )


_CHANNELS: Level = "channels"
register_planned(
    "guided-grad-cam",
    guided_grad_cam,
    paper="Selvaraju et al. 2017, arXiv:1610.02391; Springenberg et al. 2015, arXiv:1412.6806",
    passes="2 forward, 2 backward",
    family="gradient",
    needs_gradients=True,
    at="input",
)
register_planned(
    "full-grad",
    full_grad,
    paper="Srinivas and Fleuret 2019, arXiv:1905.00780",
    passes="4 forward, 2 backward",
    family="gradient",
    needs_gradients=False,
    at="input",
)
register_planned(
    "input-energy",
    input_energy,
    paper="a baseline",
    passes="1 forward",
    family="baseline",
    at="input",
)
