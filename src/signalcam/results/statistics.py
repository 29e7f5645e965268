"""Here you find counts, means, deviations and confidence intervals over samples."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

RESAMPLED = 1000
DRAWS_IN_MEMORY = 2**22  # numbers of draws in memory at a time
LEVEL = 0.95
MANY = 10_000  # samples; from here on means are taken to be normally distributed
_WIDTH = 1.959964  # standard deviations of a 95 % interval

Moments: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray]  # count, mean, sum of squared deviations


def moments(values: np.ndarray) -> Moments:
    """Count, mean and sum of squared deviations over the first axis of ``(n, ...)``; zeros for n = 0."""
    if not len(values):
        return np.asarray(0), np.zeros(values.shape[1:]), np.zeros(values.shape[1:])
    mean = values.mean(axis=0)
    return np.asarray(len(values)), mean, ((values - mean) ** 2).sum(axis=0)


def merge_moments(first: Moments, second: Moments) -> Moments:
    """Merge the moments of two parts (Chan, Golub and LeVeque 1983, eq. 2.1); counts may lack trailing axes."""
    (count, mean, squares), (second_count, second_mean, second_squares) = first, second
    total, shape = count + second_count, (*count.shape, *[1] * (mean.ndim - count.ndim))
    share = (second_count / np.maximum(total, 1)).reshape(shape)
    between = (second_mean - mean) ** 2 * (count.reshape(shape) * share)
    return total, mean + (second_mean - mean) * share, squares + second_squares + between


def deviation(parts: Moments) -> np.ndarray:
    """Population standard deviation (divided by n); NaN where the count is 0."""
    count, _, squares = parts
    wide = count.reshape(*count.shape, *[1] * (squares.ndim - count.ndim))
    return np.where(wide == 0, np.nan, np.sqrt(squares / np.where(wide == 0, 1, wide)))


def average(parts: Moments) -> np.ndarray:
    """The mean; NaN where the count is 0."""
    count, mean, _ = parts
    wide = count.reshape(*count.shape, *[1] * (mean.ndim - count.ndim))
    return np.where(wide == 0, np.nan, mean)


def interval(values: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the 95 % confidence interval of the mean over samples, by the bootstrap.

    From 10000 samples on the interval is that of a normal distribution.

    Args:
        values: ``(sample, ...)``; NaN for missing values.
        seed: Seed of the bootstrap.

    Returns:
        Two arrays ``(...)``: 2.5 and 97.5 %. NaN for fewer than two values.
    """
    count = len(values)
    if count >= MANY:
        return _normal_interval(values)
    rng, share = np.random.default_rng(seed), np.full(count, 1 / count)
    flat = values.reshape(count, -1)
    finite = np.isfinite(flat)
    filled = np.where(finite, flat, 0)
    at_once = max(1, DRAWS_IN_MEMORY // count)
    parts = []
    for start in range(0, RESAMPLED, at_once):
        weights = rng.multinomial(count, share, min(at_once, RESAMPLED - start))
        parts.append((weights @ filled, weights @ finite))
    total, weight = (np.concatenate(part) for part in zip(*parts, strict=True))
    enough = finite.sum(axis=0) > 1
    bounds = np.full((2, flat.shape[1]), np.nan)
    for column in np.flatnonzero(enough):
        used = weight[:, column] > 0
        means = total[used, column] / weight[used, column]
        bounds[:, column] = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    low, high = bounds.reshape(2, *values.shape[1:])
    return low, high


def _normal_interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Confidence interval of the mean by the normal distribution."""
    middle, count = mean(values)
    residuals = np.where(np.isfinite(values), values - middle, 0)
    half_width = _WIDTH * np.sqrt((residuals**2).sum(axis=0)) / np.where(count > 1, count, np.nan)
    return middle - half_width, middle + half_width


def mean(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over the samples that have a value, and their number: ``(sample, ...)`` to two arrays ``(...)``."""
    finite = np.isfinite(values)
    count = finite.sum(axis=0)
    average = np.where(finite, values, 0).sum(axis=0) / np.where(count, count, np.nan)
    return average, count
