"""Here you find the imputers, which replace removed values."""

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
    """Random numbers of some rows; those of a sample do not depend on the batch.

    Attributes:
        seed: The seed of all draws.
        samples: ``(r,)``, the sample of each row.
        others: Return the samples with these indices, laid out as the rows are.
        count: Number of samples.
    """

    seed: int
    samples: np.ndarray
    others: Callable[[np.ndarray], np.ndarray] = field(repr=False)
    count: int

    def normal(self, shape: Sequence[int]) -> np.ndarray:
        """Draw ``(r, *shape)`` from a standard normal distribution."""
        kinds, rows = np.unique(self.samples, return_inverse=True)
        draws = [np.random.default_rng((self.seed, int(each))).standard_normal(shape) for each in kinds]
        return np.stack(draws)[rows]

    @cached_property
    def another(self) -> np.ndarray:
        """For each row the values of another sample, ``(r, c, *positions)``.

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
    """Replaces removed values.

    With ``anywhere = True`` the replacement must not depend on what is removed; it is then computed once a sample.
    """

    @property
    def name(self) -> str:
        """Name of the imputer in a result."""
        ...

    def fill(self, x: np.ndarray, keep: np.ndarray, draws: NormalDraws) -> np.ndarray:
        """Return ``x`` with values replaced where they are not kept.

        Args:
            x: ``(r, c, *positions)``.
            keep: ``(r, *positions)``, true where a value stays.
            draws: Random numbers.
        """
        ...


def _replace(x: np.ndarray, keep: np.ndarray, values: np.ndarray | float) -> np.ndarray:
    return np.where(keep[:, None], x, values).astype(x.dtype, copy=False)


def _statistic(x: np.ndarray, kind: str) -> np.ndarray:
    """A statistic of each row and channel, over all positions."""
    statistic: np.ndarray = getattr(x, kind)(axis=tuple(range(2, x.ndim)), keepdims=True)
    return statistic


@dataclass(frozen=True)
class Constant:
    """Puts one number everywhere.

    Args:
        value: In the units of the network's input.
    """

    value: float = 0.0

    @property
    def name(self) -> str:
        """Its value; ``zero`` for 0."""
        return f"{self.value:g}" if self.value else "zero"

    anywhere: ClassVar[bool] = True

    def fill(self, x: np.ndarray, keep: np.ndarray, _draws: NormalDraws) -> np.ndarray:
        """Replace by the number."""
        return _replace(x, keep, self.value)


@dataclass(frozen=True)
class Mean:
    """Puts the mean of each channel over the whole sample."""

    name: str = field(default="mean", init=False)

    anywhere: ClassVar[bool] = True

    def fill(self, x: np.ndarray, keep: np.ndarray, _draws: NormalDraws) -> np.ndarray:
        """Replace by the mean."""
        return _replace(x, keep, _statistic(x, "mean"))


@dataclass(frozen=True)
class Inverse:
    """Mirrors each channel within its own range: ``max + min - x``.

    Schlegel et al. 2019 (arXiv:1909.07082) write ``max - x``, which is equal if the minimum is 0.
    """

    name: str = field(default="inverse", init=False)

    anywhere: ClassVar[bool] = True

    def fill(self, x: np.ndarray, keep: np.ndarray, _draws: NormalDraws) -> np.ndarray:
        """Replace by the mirrored values."""
        return _replace(x, keep, _statistic(x, "max") + _statistic(x, "min") - x)


@dataclass(frozen=True)
class Noise:
    """Draws normal noise with the mean and deviation of each channel.

    Args:
        own: ``False`` for mean 0 and deviation 1, as for standardised signals.
    """

    own: bool = True

    @property
    def name(self) -> str:
        """``noise`` or ``standard noise``."""
        return "noise" if self.own else "standard noise"

    anywhere: ClassVar[bool] = True

    def fill(self, x: np.ndarray, keep: np.ndarray, draws: NormalDraws) -> np.ndarray:
        """Replace by noise."""
        noise = draws.normal(x.shape[1:])
        return _replace(x, keep, _statistic(x, "mean") + _statistic(x, "std") * noise if self.own else noise)


@dataclass(frozen=True)
class OtherSample:
    """Puts the values of another sample, one for the whole sample."""

    name: str = field(default="sample", init=False)

    anywhere: ClassVar[bool] = True

    def fill(self, x: np.ndarray, keep: np.ndarray, draws: NormalDraws) -> np.ndarray:
        """Replace by the other sample's values."""
        return _replace(x, keep, draws.another)


@dataclass(frozen=True)
class Blur:
    """Puts the sample after a Gaussian blur, mirrored at its ends.

    Args:
        sigma: Width in positions; ``None`` for a twentieth of each axis.
    """

    sigma: float | None = None

    @property
    def name(self) -> str:
        """``blur``, with its width if it is set."""
        return "blur" if self.sigma is None else f"blur {self.sigma:g}"

    anywhere: ClassVar[bool] = True

    def fill(self, x: np.ndarray, keep: np.ndarray, _draws: NormalDraws) -> np.ndarray:
        """Replace by the blurred values."""
        smooth = x.astype(np.float64)
        for axis in range(2, x.ndim):
            smooth = _blur(smooth, axis, self.sigma or x.shape[axis] / 20)
        return _replace(x, keep, smooth)


def _blur(x: np.ndarray, axis: int, sigma: float) -> np.ndarray:
    """Convolve along an axis by the FFT, which is exact because the mirrored signal is periodic."""
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
    """Interpolates from the remaining values and adds a little noise, as ROAD does.

    Rong et al. 2022, arXiv:2202.00449. See ``signalcam.metrics.interpolation``.

    Args:
        noise: Standard deviation of the noise, as a share of each channel's. The paper adds 0.01 in the units of
            standardised images.
    """

    noise: float = 0.01

    @property
    def name(self) -> str:
        """``linear``."""
        return "linear"

    def fill(self, x: np.ndarray, keep: np.ndarray, draws: NormalDraws) -> np.ndarray:
        """Replace by the interpolated values."""
        filled = np.stack([interpolate_removed(*each) for each in zip(x, keep, strict=True)])
        if not self.noise:
            return filled
        return _replace(x, keep, filled + self.noise * _statistic(x, "std") * draws.normal(x.shape[1:]))


def _segments(keep: np.ndarray) -> list[tuple[int, int]]:
    """Start and stop of each run of removed values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[True], keep, [True]]).astype(int)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _change_segments(x: np.ndarray, keep: np.ndarray, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Change every run of removed values along the last axis."""
    filled = x.copy()
    for row in np.ndindex(keep.shape[:-1]):
        view = filled[(row[0], slice(None), *row[1:])]  # a view: (c, last axis)
        for start, stop in _segments(keep[row]):
            view[:, start:stop] = change(view[:, start:stop])
    return filled


@dataclass(frozen=True)
class Swap:
    """Reverses each removed interval along the last axis of positions, time in a signal."""

    name: str = field(default="swap", init=False)

    def fill(self, x: np.ndarray, keep: np.ndarray, _draws: NormalDraws) -> np.ndarray:
        """Replace each interval by its reverse."""
        return _change_segments(x, keep, lambda part: part[:, ::-1].copy())


@dataclass(frozen=True)
class SegmentMean:
    """Puts the mean of each removed interval along the last axis of positions."""

    name: str = field(default="segment-mean", init=False)

    def fill(self, x: np.ndarray, keep: np.ndarray, _draws: NormalDraws) -> np.ndarray:
        """Replace each interval by its mean."""
        return _change_segments(x, keep, lambda part: part.mean(axis=1, keepdims=True))


@dataclass(frozen=True)
class Custom:
    """Calls a user's function.

    Args:
        function: From ``x (r, c, *positions)`` and ``keep (r, *positions)`` to an array like ``x``.
    """

    function: Callable[[np.ndarray, np.ndarray], np.ndarray]

    @property
    def name(self) -> str:
        """The name of the function."""
        return str(getattr(self.function, "__name__", "custom"))

    def fill(self, x: np.ndarray, keep: np.ndarray, _draws: NormalDraws) -> np.ndarray:
        """Replace removed values by the function's.

        Raises:
            InputError: It returned another shape.
        """
        values = np.asarray(self.function(x, keep))
        if values.shape != x.shape:
            message = f"imputer {self.name!r} returned shape {values.shape} for shape {x.shape}. Return an array like the one it is given."
            raise InputError(message)
        return _replace(x, keep, values)


IMPUTERS: dict[str, Imputer] = {
    imputer.name: imputer
    for imputer in (Constant(), Mean(), Blur(), Noise(), OtherSample(), Linear(), Inverse(), Swap(), SegmentMean())
}


def as_imputer(imputer: Any) -> Imputer:
    """Return the imputer of a name, a number or a function.

    Raises:
        MethodError: There is none.

    Example:
        >>> as_imputer("mean").name, as_imputer(0.5).name
        ('mean', '0.5')
    """
    if isinstance(imputer, Imputer) and not isinstance(imputer, type):
        return imputer
    if isinstance(imputer, int | float) and not isinstance(imputer, bool) and np.isfinite(imputer):
        return Constant(float(imputer))
    if isinstance(imputer, str) and imputer in IMPUTERS:
        return IMPUTERS[imputer]
    if callable(imputer) and not isinstance(imputer, type):
        return Custom(imputer)
    message = f"there is no imputer {imputer!r}.{nearest(str(imputer), IMPUTERS)} Known: {', '.join(IMPUTERS)}, a number, or a function of (x, keep)."
    raise MethodError(message)
