"""Here you find linear interpolation of removed values in any number of axes, exactly as in ROAD."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import product
from typing import Any

import numpy as np

from signalcam.errors import MissingExtra

_PRECISE = 1e-6  # relative residual at which iterations end
_COARSER = 3  # positions of the fine grid for each of the coarse grid
_DAMPED = 0.7  # damping factor of Jacobi steps


def interpolate_removed(x: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """Replace every removed value by the weighted mean of its neighbours, which may be removed too.

    This is the equation of Rong et al. 2022 (arXiv:2202.00449, section 4.1) in any number of axes. A neighbour one
    step away along ``m`` axes at once has weight ``2**-m``; there is none outside the array. Along one axis
    the solution is linear between kept values, and constant beyond the first and the last.

    Args:
        x: ``(c, *positions)``.
        keep: ``(*positions)``; other values are replaced, in all channels.

    Returns:
        An array like ``x``. If nothing is kept, each channel's mean.

    Raises:
        MissingExtra: There are two axes or more, and SciPy is not installed.

    Example:
        >>> interpolate_removed(np.array([[0.0, 9.0, 9.0, 3.0]]), np.array([True, False, False, True]))
        array([[0., 1., 2., 3.]])
    """
    if keep.all():
        return x.copy()
    if not keep.any():
        return np.broadcast_to(_channel_means(x), x.shape).copy()
    lengths = [length for length in keep.shape if length > 1]
    flat = x.reshape(len(x), *lengths)
    solve = _solve_line if len(lengths) == 1 else _solve_grid
    return solve(flat, keep.reshape(lengths)).reshape(x.shape)


def _channel_means(x: np.ndarray) -> np.ndarray:
    means: np.ndarray = x.mean(axis=tuple(range(1, x.ndim)), keepdims=True)
    return means


def _solve_line(x: np.ndarray, keep: np.ndarray) -> np.ndarray:
    positions, missing = np.flatnonzero(keep), np.flatnonzero(~keep)
    after = np.searchsorted(positions, missing)
    left, right = positions[np.maximum(after - 1, 0)], positions[np.minimum(after, len(positions) - 1)]
    share = (missing - left) / np.maximum(right - left, 1)
    filled = x.copy()
    filled[:, missing] = x[:, left] + np.clip(share, 0, 1) * (x[:, right] - x[:, left])
    return filled


def _solve_grid(x: np.ndarray, keep: np.ndarray) -> np.ndarray:
    matrix, right = _build_system(x.astype(np.float64), keep)
    filled = x.copy()
    filled[:, ~keep] = _solve(matrix, right, _build_prolongation(keep)).T
    return filled


@cache
def _offsets(axes: int) -> tuple[tuple[tuple[int, ...], float], ...]:
    """Offset and weight of every neighbour."""
    offsets = [each for each in product((-1, 0, 1), repeat=axes) if any(each)]
    return tuple((each, 2.0 ** -sum(map(abs, each)) / (2**axes - 1)) for each in offsets)


def _shift(padded: np.ndarray, offset: Sequence[int]) -> np.ndarray:
    """The neighbour of each position at an offset, from ``(c, *positions)`` with a border of one entry."""
    pairs = zip(offset, padded.shape[1:], strict=True)
    neighbours: np.ndarray = padded[(slice(None), *(slice(1 + o, length - 1 + o) for o, length in pairs))]
    return neighbours


def _pad_border(values: np.ndarray, rim: float) -> np.ndarray:
    return np.pad(values, [(0, 0)] + [(1, 1)] * (values.ndim - 1), constant_values=rim)


def _sum_neighbours(values: np.ndarray) -> np.ndarray:
    """Weighted sum of each position's neighbours: ``(c, *positions)``."""
    padded = _pad_border(values, 0)
    return sum((w * _shift(padded, o) for o, w in _offsets(values.ndim - 1)), np.zeros_like(values))


def _build_system(x: np.ndarray, keep: np.ndarray) -> tuple[Any, np.ndarray]:
    """The linear equations of the removed values: matrix, and a right-hand side for each channel."""
    offsets, missing = _offsets(keep.ndim), ~keep
    count = int(missing.sum())
    number = np.full(keep.shape, -1)
    number[missing] = np.arange(count)
    padded = _pad_border(number[None], -1)
    columns = np.stack([number[missing], *[_shift(padded, o)[0][missing] for o, _ in offsets]], axis=1)
    weights = np.tile([0.0, *[-w for _, w in offsets]], (count, 1))
    weights[:, 0] = _sum_neighbours(np.ones((1, *keep.shape)))[0][missing]
    inside = columns >= 0
    ends = np.concatenate([[0], np.cumsum(inside.sum(axis=1))])
    matrix = scipy_part("sparse").csr_matrix((weights[inside], columns[inside], ends), (count, count))
    return matrix, _sum_neighbours(np.where(keep, x, 0))[:, missing].T


def _build_prolongation(keep: np.ndarray) -> Any:
    """Prolongation matrix: linear interpolation from a coarse grid to the removed values."""
    sparse = scipy_part("sparse")
    product = sparse.eye(1, format="csr")
    for length in keep.shape:
        position = np.arange(length) / _COARSER
        low = position.astype(int)
        entries = np.concatenate([1 - (position - low), position - low])
        rows, columns = np.tile(np.arange(length), 2), np.concatenate([low, low + 1])
        line = sparse.csr_matrix((entries, (rows, columns)), (length, int(low[-1]) + 2))
        product = sparse.kron(product, line, format="csr")
    prolongation = product[~keep.reshape(-1)]
    prolongation.eliminate_zeros()
    return prolongation[:, np.flatnonzero(prolongation.getnnz(axis=0))]


def _solve(matrix: Any, right: np.ndarray, coarse: Any) -> np.ndarray:
    """Solve by conjugate gradients, all channels at once, with a two-grid preconditioner.

    A damped Jacobi step before and after each coarse solution keeps the number of iterations small for holes of any
    size.
    """
    back = coarse.T.tocsr()
    coarse_matrix = (back @ matrix @ coarse).tocsc()
    coarse_matrix.setdiag(coarse_matrix.diagonal() * (1 + _PRECISE))  # else singular where coarse positions coincide
    inner = scipy_part("sparse.linalg").splu(coarse_matrix, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
    step = (_DAMPED / matrix.diagonal())[:, None]

    def precondition(rest: np.ndarray) -> np.ndarray:
        z = step * rest
        z = z + coarse @ inner.solve(back @ (rest - matrix @ z))
        refined: np.ndarray = z + step * (rest - matrix @ z)
        return refined

    x, rest = np.zeros_like(right), right
    z = precondition(rest)
    direction, energy = z, (rest * z).sum(axis=0)
    enough = _PRECISE * np.linalg.norm(right, axis=0)
    while (np.linalg.norm(rest, axis=0) > enough).any():
        product = matrix @ direction
        share = _divide(energy, (direction * product).sum(axis=0))
        x, rest = x + share * direction, rest - share * product
        z = precondition(rest)
        new = (rest * z).sum(axis=0)
        direction, energy = z + _divide(new, energy) * direction, new
    return x


def _divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    ratio: np.ndarray = np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator != 0)
    return ratio


def scipy_part(name: str) -> Any:
    """Import a module of SciPy when it is needed.

    Raises:
        MissingExtra: SciPy is not installed.
    """
    from importlib import import_module  # noqa: PLC0415 - next to its only use

    try:
        return import_module(f"scipy.{name}")
    except ImportError as error:
        raise MissingExtra("linear imputation along two axes or more", "metrics") from error
