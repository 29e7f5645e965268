"""Fill what is missing with the weighted mean of its neighbours, in any number of axes, exactly."""

from __future__ import annotations

from functools import cache
from itertools import product
from math import prod
from typing import Any

import numpy as np

from signalcam.errors import MissingExtra

_ITERATE_FROM = 3  # axes: a factorisation of so many fills up, while conjugate gradients stay cheap
_PRECISE = 1e-6  # of a right-hand side, where the system is solved by iteration


def interpolated(x: np.ndarray, known: np.ndarray) -> np.ndarray:
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
    matrix, rest = _system(known)
    right = rest @ x.reshape(len(x), -1)[:, known.reshape(-1)].T.astype(np.float64)
    filled = x.copy()
    filled[:, ~known] = _solved(matrix, right, known.ndim).T
    return filled


def _system(known: np.ndarray) -> tuple[Any, Any]:
    """Return the matrix of the missing values, and that which the known ones are multiplied with."""
    sparse = scipy_part("sparse")
    missing, number = ~known.reshape(-1), np.empty(known.size, np.int64)
    number[missing], number[~missing] = np.arange(missing.sum()), np.arange((~missing).sum())
    here, there, weight = (np.concatenate(each) for each in zip(*_pairs(known), strict=True))
    rows, inner = number[here], missing[there]
    count, others = int(missing.sum()), int(known.sum())
    between = sparse.csc_matrix(
        (weight[inner], (rows[inner], number[there[inner]])), (count, count)
    )
    rest = sparse.csr_matrix((weight[~inner], (rows[~inner], number[there[~inner]])), (count, others))  # fmt: skip
    total = np.bincount(rows, weight, count)
    return sparse.diags(total, format="csc") - between, rest


def _pairs(known: np.ndarray) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """For every direction: missing places, their neighbours there, and what these weigh."""
    places, found = np.arange(known.size).reshape(known.shape), []
    for offset in _offsets(known.ndim):
        here = places[tuple(slice(max(-o, 0), min(-o, 0) or None) for o in offset)]
        there = places[tuple(slice(max(o, 0), min(o, 0) or None) for o in offset)]
        wanted = ~known.reshape(-1)[here]
        weight = 2.0 ** -np.abs(offset).sum() / (2**known.ndim - 1)
        found.append((here[wanted], there[wanted], np.full(int(wanted.sum()), weight)))
    return found


@cache
def _offsets(axes: int) -> tuple[tuple[int, ...], ...]:
    return tuple(each for each in product((-1, 0, 1), repeat=axes) if any(each))


def _solved(matrix: Any, right: np.ndarray, axes: int) -> np.ndarray:
    linalg = scipy_part("sparse.linalg")
    if axes < _ITERATE_FROM:
        options = {"SymmetricMode": True, "DiagPivotThresh": 0.0}
        solver = linalg.splu(matrix, permc_spec="MMD_AT_PLUS_A", options=options)
        exact: np.ndarray = solver.solve(right)
        return exact
    inverse = scipy_part("sparse").diags(1 / matrix.diagonal())
    columns = [
        linalg.cg(matrix, each, rtol=_PRECISE, maxiter=10 * prod(matrix.shape[:1]), M=inverse)[0]
        for each in right.T
    ]
    return np.stack(columns, axis=1)


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
