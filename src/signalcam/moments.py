"""Counts, means and squared deviations, put together from those of parts."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

Moments: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray]  # count, mean, squared deviations from it


def moments(values: np.ndarray) -> Moments:
    """Those of ``(n, ...)`` over its first axis; zeros of none."""
    if not len(values):
        return np.asarray(0), np.zeros(values.shape[1:]), np.zeros(values.shape[1:])
    mean = values.mean(axis=0)
    return np.asarray(len(values)), mean, ((values - mean) ** 2).sum(axis=0)


def merged(one: Moments, two: Moments) -> Moments:
    """Put two parts together (Chan, Golub and LeVeque 1983, eq. 2.1); counts may lack the last axes of means."""
    (count, mean, squares), (more, other, further) = one, two
    total, wide = count + more, (*count.shape, *[1] * (mean.ndim - count.ndim))
    share = (more / np.maximum(total, 1)).reshape(wide)
    apart = (other - mean) ** 2 * (count.reshape(wide) * share)
    return total, mean + (other - mean) * share, squares + further + apart


def deviation(found: Moments) -> np.ndarray:
    """The standard deviation over all (not one less); NaN where there are none, as the mean should be."""
    count, _, squares = found
    wide = count.reshape(*count.shape, *[1] * (squares.ndim - count.ndim))
    return np.where(wide == 0, np.nan, np.sqrt(squares / np.where(wide == 0, 1, wide)))


def average(found: Moments) -> np.ndarray:
    """The mean; NaN where there are none."""
    count, mean, _ = found
    wide = count.reshape(*count.shape, *[1] * (mean.ndim - count.ndim))
    return np.where(wide == 0, np.nan, mean)
