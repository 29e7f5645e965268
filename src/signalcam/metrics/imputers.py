"""What stands in for the values that are taken away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Protocol, TypeAlias, runtime_checkable

import numpy as np

from signalcam.errors import InputError, MethodError, nearest
from signalcam.metrics.interpolation import interpolate_removed

Spatial: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class NormalDraws:
    """What chance may bring to some rows; each sample always gets the same, however rows are batched.

    Attributes:
        seed: Of everything that is drawn.
        samples: ``(r,)``, which sample each row is of.
        others: From numbers of samples to the samples, laid out as the rows are.
        count: How many samples there are.
    """

    seed: int
    samples: np.ndarray
    others: Callable[[np.ndarray], np.ndarray] = field(repr=False)
    count: int

    def normal(self, shape: Sequence[int]) -> np.ndarray:
        """Draw ``(r, *shape)`` from a standard normal distribution."""
        kinds, rows = np.unique(self.samples, return_inverse=True)
        one = [np.random.default_rng((self.seed, int(each))).standard_normal(shape) for each in kinds]
        return np.stack(one)[rows]

    @cached_property
    def another(self) -> np.ndarray:
        """For each row a sample that it is not of, ``(r, c, *positions)``.

        Raises:
            InputError: There is only one sample.
        """
        if self.count < 2:
            message = "imputer 'sample' swaps in values of another sample, and there is only one. Give more samples, or choose 'mean'."
            raise InputError(message)
        order = np.random.default_rng(self.seed).permutation(self.count)
        after = np.empty_like(order)
        after[order] = np.roll(order, -1)
        return self.others(after[self.samples])


@runtime_checkable
class Imputer(Protocol):
    """Fills in what is taken away.

    One that sets ``anywhere = True`` puts the same value at a place whatever else is missing, and is asked
    once a sample.
    """

    @property
    def name(self) -> str:
        """What the imputer is called in a result."""
        ...

    def fill(self, x: np.ndarray, known: np.ndarray, drawn: NormalDraws) -> np.ndarray:
        """Return ``x`` with other values where it is not known.

        Args:
            x: ``(r, c, *positions)``.
            known: ``(r, *positions)``.
            drawn: What chance may bring.
        """
        ...


def _put(x: np.ndarray, known: np.ndarray, values: np.ndarray | float) -> np.ndarray:
    return np.where(known[:, None], x, values).astype(x.dtype, copy=False)


def _over(x: np.ndarray, kind: str) -> np.ndarray:
    """A number a row and channel: the mean, and others, over all positions."""
    found: np.ndarray = getattr(x, kind)(axis=tuple(range(2, x.ndim)), keepdims=True)
    return found


@dataclass(frozen=True)
class Constant:
    """Puts one number everywhere.

    Args:
        value: In the units of the network's input.
    """

    value: float = 0.0

    @property
    def name(self) -> str:
        """Its value; ``zero`` for nothing."""
        return f"{self.value:g}" if self.value else "zero"

    anywhere: ClassVar[bool] = True

    def fill(self, x: np.ndarray, known: np.ndarray, _drawn: NormalDraws) -> np.ndarray:
        """Put the number."""
        return _put(x, known, self.value)


@dataclass(frozen=True)
class Mean:
    """Puts each channel's own mean over the whole sample."""

    name: str = field(default="mean", init=False)

    anywhere: ClassVar[bool] = True

    def fill(self, x: np.ndarray, known: np.ndarray, _drawn: NormalDraws) -> np.ndarray:
        """Put the mean."""
        return _put(x, known, _over(x, "mean"))


@dataclass(frozen=True)
class Inverse:
    """Turns each channel upside down within its own range: ``max + min - x``.

    Schlegel et al. 2019 (arXiv:1909.07082) write ``max - x``, which is the same where the minimum is 0.
    """

    name: str = field(default="inverse", init=False)

    anywhere: ClassVar[bool] = True

    def fill(self, x: np.ndarray, known: np.ndarray, _drawn: NormalDraws) -> np.ndarray:
        """Put the mirrored values."""
        return _put(x, known, _over(x, "max") + _over(x, "min") - x)


@dataclass(frozen=True)
class Noise:
    """Draws from a normal distribution with each channel's own mean and deviation.

    Args:
        own: ``False`` for mean 0 and deviation 1, as for standardised signals.
    """

    own: bool = True

    @property
    def name(self) -> str:
        """How it is called."""
        return "noise" if self.own else "standard noise"

    anywhere: ClassVar[bool] = True

    def fill(self, x: np.ndarray, known: np.ndarray, drawn: NormalDraws) -> np.ndarray:
        """Put noise."""
        noise = drawn.normal(x.shape[1:])
        return _put(x, known, _over(x, "mean") + _over(x, "std") * noise if self.own else noise)


@dataclass(frozen=True)
class OtherSample:
    """Swaps in the values of another sample, the same one throughout."""

    name: str = field(default="sample", init=False)

    anywhere: ClassVar[bool] = True

    def fill(self, x: np.ndarray, known: np.ndarray, drawn: NormalDraws) -> np.ndarray:
        """Put the other sample's values."""
        return _put(x, known, drawn.another)


@dataclass(frozen=True)
class Blur:
    """Puts the sample as a Gaussian blur leaves it, mirrored at its ends.

    Args:
        sigma: Width in positions; ``None`` for a twentieth of each axis.
    """

    sigma: float | None = None

    @property
    def name(self) -> str:
        """How it is called."""
        return "blur" if self.sigma is None else f"blur {self.sigma:g}"

    anywhere: ClassVar[bool] = True

    def fill(self, x: np.ndarray, known: np.ndarray, _drawn: NormalDraws) -> np.ndarray:
        """Put the blurred values."""
        smooth = x.astype(np.float64)
        for axis in range(2, x.ndim):
            smooth = _blurred(smooth, axis, self.sigma or x.shape[axis] / 20)
        return _put(x, known, smooth)


def _blurred(x: np.ndarray, axis: int, sigma: float) -> np.ndarray:
    """Convolve along an axis by way of frequencies; the mirrored signal is periodic, so this is exact."""
    length = x.shape[axis]
    mirrored = np.concatenate([x, np.flip(x, axis)], axis)
    steps = np.minimum(np.arange(2 * length), 2 * length - np.arange(2 * length))
    kernel = np.exp(-0.5 * (steps / sigma) ** 2)
    shape = [-1 if each == axis else 1 for each in range(x.ndim)]
    gain = np.fft.rfft(kernel / kernel.sum()).reshape(shape)
    back = np.fft.irfft(np.fft.rfft(mirrored, axis=axis) * gain, 2 * length, axis)
    return np.take(back, np.arange(length), axis)


@dataclass(frozen=True)
class Linear:
    """Interpolates from what is left, and adds a little noise, as ROAD does.

    Rong et al. 2022, arXiv:2202.00449. See ``signalcam.metrics.interpolation``.

    Args:
        noise: Deviation of what is added, in units of each channel's own deviation. The paper adds 0.01 in
            the units of standardised images.
    """

    noise: float = 0.01

    @property
    def name(self) -> str:
        """How it is called."""
        return "linear"

    def fill(self, x: np.ndarray, known: np.ndarray, drawn: NormalDraws) -> np.ndarray:
        """Put the interpolated values."""
        filled = np.stack([interpolate_removed(*each) for each in zip(x, known, strict=True)])
        if not self.noise:
            return filled
        return _put(x, known, filled + self.noise * _over(x, "std") * drawn.normal(x.shape[1:]))


def _segments(known: np.ndarray) -> list[tuple[int, int]]:
    """From where to before where each run of missing values goes."""
    edges = np.flatnonzero(np.diff(np.concatenate([[True], known, [True]]).astype(int)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _by_segment(x: np.ndarray, known: np.ndarray, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Change every run of missing values along the last axis."""
    filled = x.copy()
    for row in np.ndindex(known.shape[:-1]):
        here = filled[(row[0], slice(None), *row[1:])]  # a view: (c, last axis)
        for start, stop in _segments(known[row]):
            here[:, start:stop] = change(here[:, start:stop])
    return filled


@dataclass(frozen=True)
class Swap:
    """Reverses each removed stretch along the last axis of positions, time in a signal."""

    name: str = field(default="swap", init=False)

    def fill(self, x: np.ndarray, known: np.ndarray, _drawn: NormalDraws) -> np.ndarray:
        """Put each stretch back to front."""
        return _by_segment(x, known, lambda part: part[:, ::-1].copy())


@dataclass(frozen=True)
class SegmentMean:
    """Puts the mean of each removed stretch along the last axis of positions."""

    name: str = field(default="segment-mean", init=False)

    def fill(self, x: np.ndarray, known: np.ndarray, _drawn: NormalDraws) -> np.ndarray:
        """Put the mean of each stretch."""
        return _by_segment(x, known, lambda part: part.mean(axis=1, keepdims=True))


@dataclass(frozen=True)
class Custom:
    """Asks a user's function.

    Args:
        function: From ``x (r, c, *positions)`` and ``known (r, *positions)`` to an array like ``x``.
    """

    function: Callable[[np.ndarray, np.ndarray], np.ndarray]

    @property
    def name(self) -> str:
        """The function's."""
        return str(getattr(self.function, "__name__", "custom"))

    def fill(self, x: np.ndarray, known: np.ndarray, _drawn: NormalDraws) -> np.ndarray:
        """Put what the function says, and only where something is missing.

        Raises:
            InputError: It returned another shape.
        """
        values = np.asarray(self.function(x, known))
        if values.shape != x.shape:
            message = f"imputer {self.name!r} returned shape {values.shape} for shape {x.shape}. Return an array like the one it is given."
            raise InputError(message)
        return _put(x, known, values)


IMPUTERS: dict[str, Imputer] = {
    each.name: each
    for each in (Constant(), Mean(), Blur(), Noise(), OtherSample(), Linear(), Inverse(), Swap(), SegmentMean())
}


def as_imputer(wanted: Any) -> Imputer:
    """Return the imputer of that name, that number's, or a function's.

    Raises:
        MethodError: There is none.

    Example:
        >>> as_imputer("mean").name, as_imputer(0.5).name
        ('mean', '0.5')
    """
    if isinstance(wanted, Imputer) and not isinstance(wanted, type):
        return wanted
    if isinstance(wanted, int | float) and not isinstance(wanted, bool) and np.isfinite(wanted):
        return Constant(float(wanted))
    if isinstance(wanted, str) and wanted in IMPUTERS:
        return IMPUTERS[wanted]
    if callable(wanted) and not isinstance(wanted, type):
        return Custom(wanted)
    message = f"there is no imputer {wanted!r}.{nearest(str(wanted), IMPUTERS)} Known: {', '.join(IMPUTERS)}, a number, or a function of (x, known)."
    raise MethodError(message)
