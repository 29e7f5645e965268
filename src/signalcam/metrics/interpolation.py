"""Fill what is missing with the weighted mean of its neighbours, in any number of axes, exactly."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import product
from typing import Any

import numpy as np

from signalcam.errors import MissingExtra

_PRECISE = 1e-6  # of a right-hand side, at which iterations end
_COARSER = 3  # positions of the finer grid from one of the coarser grid to the next
_DAMPED = 0.7  # of a Jacobi step


def interpolate_removed(x: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Replace every missing value by the weighted mean of its neighbours, which may be missing too.

    The equation of Rong et al. 2022 (arXiv:2202.00449, section 4.1) in any number of axes: a neighbour one
    step away along ``m`` axes at once weighs ``2**-m``; those outside the array weigh nothing. Along one axis
    that is a straight line between the nearest known values, constant beyond the first and the last.

    Args:
        x: ``(c, *positions)``.
        known: ``(*positions)``; what is not known is replaced, in all channels.

    Returns:
        An array like ``x``. Where nothing is known, each channel's mean.

    Raises:
        MissingExtra: There are two axes or more, and SciPy is not installed.

    Example:
        >>> interpolated(np.array([[0.0, 9.0, 9.0, 3.0]]), np.array([True, False, False, True]))
        array([[0., 1., 2., 3.]])
    """
    if known.all():
        return x.copy()
    if not known.any():
        return np.broadcast_to(_mean(x), x.shape).copy()
    long = [length for length in known.shape if length > 1]
    flat = x.reshape(len(x), *long)
    solve = _along_a_line if len(long) == 1 else _on_a_grid
    return solve(flat, known.reshape(long)).reshape(x.shape)


def _mean(x: np.ndarray) -> np.ndarray:
    found: np.ndarray = x.mean(axis=tuple(range(1, x.ndim)), keepdims=True)
    return found


def _along_a_line(x: np.ndarray, known: np.ndarray) -> np.ndarray:
    places, missing = np.flatnonzero(known), np.flatnonzero(~known)
    after = np.searchsorted(places, missing)
    left, right = places[np.maximum(after - 1, 0)], places[np.minimum(after, len(places) - 1)]
    share = (missing - left) / np.maximum(right - left, 1)
    filled = x.copy()
    filled[:, missing] = x[:, left] + np.clip(share, 0, 1) * (x[:, right] - x[:, left])
    return filled


def _on_a_grid(x: np.ndarray, known: np.ndarray) -> np.ndarray:
    matrix, right = _system(x.astype(np.float64), known)
    filled = x.copy()
    filled[:, ~known] = _solved(matrix, right, _coarse(known)).T
    return filled


@cache
def _offsets(axes: int) -> tuple[tuple[tuple[int, ...], float], ...]:
    """Every neighbour, by its offset, and what it weighs."""
    every = [each for each in product((-1, 0, 1), repeat=axes) if any(each)]
    return tuple((each, 2.0 ** -sum(map(abs, each)) / (2**axes - 1)) for each in every)


def _shifted(padded: np.ndarray, offset: Sequence[int]) -> np.ndarray:
    """From ``(c, *positions)`` with a rim of one around each, each place's neighbour."""
    pairs = zip(offset, padded.shape[1:], strict=True)
    found: np.ndarray = padded[(slice(None), *(slice(1 + o, length - 1 + o) for o, length in pairs))]
    return found


def _rimmed(values: np.ndarray, rim: float) -> np.ndarray:
    return np.pad(values, [(0, 0)] + [(1, 1)] * (values.ndim - 1), constant_values=rim)


def _weighed(values: np.ndarray) -> np.ndarray:
    """Add up each place's neighbours, weighted: ``(c, *positions)``."""
    padded = _rimmed(values, 0)
    return sum((w * _shifted(padded, o) for o, w in _offsets(values.ndim - 1)), np.zeros_like(values))


def _system(x: np.ndarray, known: np.ndarray) -> tuple[Any, np.ndarray]:
    """The equations of the missing values: their matrix, and a right-hand side for each channel."""
    offsets, missing = _offsets(known.ndim), ~known
    count = int(missing.sum())
    number = np.full(known.shape, -1)
    number[missing] = np.arange(count)
    padded = _rimmed(number[None], -1)
    columns = np.stack([number[missing], *[_shifted(padded, o)[0][missing] for o, _ in offsets]], axis=1)
    weights = np.tile([0.0, *[-w for _, w in offsets]], (count, 1))
    weights[:, 0] = _weighed(np.ones((1, *known.shape)))[0][missing]
    there = columns >= 0
    ends = np.concatenate([[0], np.cumsum(there.sum(axis=1))])
    matrix = scipy_part("sparse").csr_matrix((weights[there], columns[there], ends), (count, count))
    return matrix, _weighed(np.where(known, x, 0))[:, missing].T


def _coarse(known: np.ndarray) -> Any:
    """From values on a coarser grid to the missing ones, linearly along every axis."""
    sparse = scipy_part("sparse")
    whole = sparse.eye(1, format="csr")
    for length in known.shape:
        place = np.arange(length) / _COARSER
        low = place.astype(int)
        entries = np.concatenate([1 - (place - low), place - low])
        rows, columns = np.tile(np.arange(length), 2), np.concatenate([low, low + 1])
        line = sparse.csr_matrix((entries, (rows, columns)), (length, int(low[-1]) + 2))
        whole = sparse.kron(whole, line, format="csr")
    own = whole[~known.reshape(-1)]
    own.eliminate_zeros()
    return own[:, np.flatnonzero(own.getnnz(axis=0))]


def _solved(matrix: Any, right: np.ndarray, coarse: Any) -> np.ndarray:
    """Solve by conjugate gradients, all channels at once, on two grids.

    Before and after each solution on the coarser grid a damped Jacobi step is made, so that a few rounds do
    for holes of any size.
    """
    back = coarse.T.tocsr()
    small = (back @ matrix @ coarse).tocsc()
    small.setdiag(small.diagonal() * (1 + _PRECISE))  # where coarse places cannot be told apart
    inner = scipy_part("sparse.linalg").splu(small, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
    step = (_DAMPED / matrix.diagonal())[:, None]

    def prepared(rest: np.ndarray) -> np.ndarray:
        z = step * rest
        z = z + coarse @ inner.solve(back @ (rest - matrix @ z))
        found: np.ndarray = z + step * (rest - matrix @ z)
        return found

    x, rest = np.zeros_like(right), right
    z = prepared(rest)
    way, energy = z, (rest * z).sum(axis=0)
    enough = _PRECISE * np.linalg.norm(right, axis=0)
    while (np.linalg.norm(rest, axis=0) > enough).any():
        along = matrix @ way
        share = _ratio(energy, (way * along).sum(axis=0))
        x, rest = x + share * way, rest - share * along
        z = prepared(rest)
        new = (rest * z).sum(axis=0)
        way, energy = z + _ratio(new, energy) * way, new
    return x


def _ratio(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.divide(one, other, out=np.zeros_like(one), where=other != 0)
    return found


def scipy_part(name: str) -> Any:
    """Import a part of SciPy when it is needed.

    Raises:
        MissingExtra: SciPy is not installed.
    """
    from importlib import import_module  # noqa: PLC0415 - beside its only use

    try:
        return import_module(f"scipy.{name}")
    except ImportError as error:
        raise MissingExtra("linear imputation along two axes or more", "metrics") from error
