"""Counts, means and squared deviations, put together from those of parts."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

RESAMPLED = 1000
HELD = 2**22  # numbers of draws held at a time
LEVEL = 0.95
MANY = 10_000  # samples, from which on resampled means are as good as normally distributed
_WIDTH = 1.959964  # deviations to either side that hold 95 % of a normal distribution

Moments: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray]  # count, mean, squared deviations from it


def moments(values: np.ndarray) -> Moments:
    """Those of ``(n, ...)`` over its first axis; zeros of none."""
    if not len(values):
        return np.asarray(0), np.zeros(values.shape[1:]), np.zeros(values.shape[1:])
    mean = values.mean(axis=0)
    return np.asarray(len(values)), mean, ((values - mean) ** 2).sum(axis=0)


def merge_moments(one: Moments, two: Moments) -> Moments:
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


def interval(values: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Say between which bounds a mean over samples lies, by the percentiles of resampled means.

    Of 10000 samples on these are not drawn: they are distributed normally, by the deviation of the samples.

    Args:
        values: ``(sample, ...)``; NaN where there is none.
        seed: Of the resampling.

    Returns:
        Two arrays ``(...)``: 2.5 and 97.5 %. NaN where fewer than two samples have a value, since one says
        nothing about others.
    """
    count = len(values)
    if count >= MANY:
        return _normal(values)
    rng, share = np.random.default_rng(seed), np.full(count, 1 / count)
    flat = values.reshape(count, -1)
    there = np.isfinite(flat)
    known = np.where(there, flat, 0)
    at_once = max(1, HELD // count)
    parts = []
    for done in range(0, RESAMPLED, at_once):
        drawn = rng.multinomial(count, share, min(at_once, RESAMPLED - done))
        parts.append((drawn @ known, drawn @ there))
    total, weight = (np.concatenate(each) for each in zip(*parts, strict=True))
    enough = there.sum(axis=0) > 1
    bounds = np.full((2, flat.shape[1]), np.nan)
    for column in np.flatnonzero(enough):
        used = weight[:, column] > 0
        means = total[used, column] / weight[used, column]
        bounds[:, column] = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    low, high = bounds.reshape(2, *values.shape[1:])
    return low, high


def _normal(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same of many samples."""
    middle, count = mean(values)
    apart = np.where(np.isfinite(values), values - middle, 0)
    wide = _WIDTH * np.sqrt((apart**2).sum(axis=0)) / np.where(count > 1, count, np.nan)
    return middle - wide, middle + wide


def mean(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Average ``(sample, ...)`` over the samples that have a value, and count them."""
    there = np.isfinite(values)
    count = there.sum(axis=0)
    found = np.where(there, values, 0).sum(axis=0) / np.where(count, count, np.nan)
    return found, count
