"""``Augment``: average a method's maps over transformed copies of the input."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np

from signalcam.arrays import Array, take_entries
from signalcam.attribution.context import AttributionContext
from signalcam.attribution.registry import Level, Method, find
from signalcam.attribution.smoothing import GaussianNoise
from signalcam.errors import MethodError

__all__ = ["Augment", "Flip", "GaussianNoise", "Scale", "Shift", "Transform"]

_IMAGE = ("height", "width")  # mirrored, a picture is a picture
_NO_PLACES = ("batch", "channel", "_", "1")


@runtime_checkable
class Transform(Protocol):
    """A change of the input that should not matter, and how it moves the map."""

    @property
    def n(self) -> int:
        """The number of copies."""
        ...

    @property
    def moves(self) -> bool:
        """Whether the map moves, and has to be moved back at the input."""
        ...

    def copies(self, case: AttributionContext) -> list[AttributionContext]:
        """The context of each changed copy."""
        ...

    def back(self, case: AttributionContext, maps: Array) -> Array:
        """Move a copy's map ``(b, *axes)`` back to the unchanged input."""
        ...


@dataclass(frozen=True)
class Shift:
    """Move the input along an axis, later or earlier; its first or last value is held where nothing is known.

    Held and not wrapped around: the end of a recording before its beginning makes a step, and steps are what
    networks take for events. For the same reason a map brought back is held where the copy did not look.

    Attributes:
        samples: How far; a negative number moves to earlier samples.
        axis: Its name; ``None`` is ``"time"``, or the last axis with positions where none is called so.
    """

    samples: int
    axis: str | None = None
    n: ClassVar[int] = 1
    moves: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not isinstance(self.samples, int | np.integer):
            message = f"samples is {self.samples!r}; a shift takes a whole number of samples."
            raise MethodError(message)
        if self.axis in _NO_PLACES:
            message = f"Shift moves along an axis with places, such as 'time', and {self.axis!r} has none."
            raise MethodError(message)

    def copies(self, case: AttributionContext) -> list[AttributionContext]:
        """The context of the shifted input."""
        return [case.with_inputs(self._moved(case, case.x, self.samples))]

    def back(self, case: AttributionContext, maps: Array) -> Array:
        """Shift the map the other way."""
        return self._moved(case, maps, -self.samples)

    def _moved(self, case: AttributionContext, array: Array, samples: int) -> Array:
        axis = _axis(case, self.axis, "Shift") if self.axis else _usual(case)
        length, own = int(case.x.shape[axis]), int(array.shape[axis])
        if abs(samples) >= length:
            message = f"Shift({self.samples}) leaves nothing of an axis of {length} samples; take fewer."
            raise MethodError(message)
        return take_entries(array, np.clip(np.arange(own) - samples, 0, own - 1), axis)


@dataclass(frozen=True)
class Scale:
    """Make the input larger or smaller.

    Attributes:
        factor: By how much, above 0.
    """

    factor: float
    n: ClassVar[int] = 1
    moves: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not (self.factor > 0 and isfinite(self.factor)):
            message = f"factor is {self.factor}; a scale takes a number above 0."
            raise MethodError(message)

    def copies(self, case: AttributionContext) -> list[AttributionContext]:
        """The context of the scaled input."""
        return [case.with_inputs(self.factor * case.x)]

    def back(self, _case: AttributionContext, maps: Array) -> Array:
        """Return the map as it is."""
        return maps


@dataclass(frozen=True)
class Flip:
    """Mirror an image along its height or width.

    No other axis: a signal that runs backwards is another signal.

    Attributes:
        axis: ``"height"`` or ``"width"``; the layout must have it.
    """

    axis: str = "width"
    n: ClassVar[int] = 1
    moves: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.axis not in _IMAGE:
            message = f"Flip mirrors images, along 'height' or 'width', and not along {self.axis!r}: a signal that runs backwards is another signal."
            raise MethodError(message)

    def copies(self, case: AttributionContext) -> list[AttributionContext]:
        """The context of the mirrored image."""
        return [case.with_inputs(self.back(case, case.x))]

    def back(self, case: AttributionContext, maps: Array) -> Array:
        """Mirror the map back."""
        axis = _axis(case, self.axis, "Flip")
        return take_entries(maps, np.arange(int(maps.shape[axis]))[::-1], axis)


def _axis(case: AttributionContext, name: str, what: str) -> int:
    """The index of an axis, batch being 0."""
    if name not in case.dims:
        message = f"{what} needs an axis {name!r}, and the input has {', '.join(case.dims)}. Name the axes with layout=..., or leave {what} out."
        raise MethodError(message)
    return case.dims.index(name)


def _usual(case: AttributionContext) -> int:
    """The time axis, or the last one along which the layer has positions."""
    if "time" in case.dims:
        return case.dims.index("time")
    wide = case.at_input(case.a[:1, :1, :]).shape[2:]
    along = [axis for axis, length in enumerate(wide, start=1) if length > 1]
    if not along:
        message = "Shift moves along an axis with positions, and this layer has none. Choose another layer, or transforms without Shift."
        raise MethodError(message)
    return along[-1]


USUAL = (Shift(-3), Shift(3), Scale(0.9), Scale(1.1))  # odd: strides of 2 and 4 see other samples


@dataclass(frozen=True)
class AugmentedMaps:
    """Average a method's maps over the input and transformed copies of it.

    Attributes:
        method: Which.
        transforms: What is done to the copies.
    """

    method: Method
    transforms: tuple[Transform, ...]

    @property
    def at(self) -> Level:
        """The level of the map: a map that moves can be moved back at the input only."""
        moved = any(each.moves for each in self.transforms)
        return "input" if moved and self.method.at == "layer" else self.method.at

    def __call__(self, case: AttributionContext) -> list[Array]:
        """Return one map a target."""
        total, count = self._maps_at_input(case), 1 + sum(each.n for each in self.transforms)
        for transform in case.with_progress(self.transforms):
            for copy in transform.copies(case):
                maps = [transform.back(case, each) for each in self._maps_at_input(copy)]
                total = [a + b for a, b in zip(total, maps, strict=True)]
        return [each / count for each in total]

    def _maps_at_input(self, case: AttributionContext) -> list[Array]:
        maps = list(self.method.maps(case))
        if self.at == self.method.at:
            return maps
        return [case.at_input(each[:, None, :])[:, 0, ...] for each in maps]


def Augment(  # noqa: N802 - read as a kind of method
    method: str | Method = "grad-cam", transforms: Transform | Sequence[Transform] = USUAL
) -> Method:
    """Average a method's maps over the input and transformed copies of it, each map brought back.

    Every copy is asked about the class of the clean sample. A map that was moved is brought back at the
    input's resolution; the mean is taken with its signs, and what is negative of it is dropped afterwards.

    Args:
        method: Any method.
        transforms: One or several of ``Shift``, ``Scale``, ``GaussianNoise`` and ``Flip`` in
            ``signalcam.attribution.augmentation``; by default the input is moved by 3 samples both ways, and scaled by
            0.9 and 1.1.

    Raises:
        MethodError: Something else was given as a transform. When it runs: the input has no such axis.

    Example:
        >>> import signalcam as sc
        >>> from signalcam.attribution.augmentation import GaussianNoise, Shift
        >>> sc.Augment("hires-cam", [Shift(5), GaussianNoise(4)]).name
        'augmented hires-cam'
    """
    inner = find(method)
    sequence = tuple(transforms) if isinstance(transforms, list | tuple) else (transforms,)
    for transform in sequence:
        if not isinstance(transform, Transform):
            message = f"{transform!r} is no transform; give Shift(3), Scale(0.9), GaussianNoise() or Flip() from signalcam.attribution.augmentation."
            raise MethodError(message)
    plan = AugmentedMaps(inner, sequence)
    times = 1 + sum(each.n for each in sequence)
    return Method(
        f"augmented {inner.name}",
        None,
        inner.paper,
        inner.family,
        inner.needs_gradients,
        passes=f"{times} times: {inner.passes}",
        plan=plan,
        at=plan.at,
    )
