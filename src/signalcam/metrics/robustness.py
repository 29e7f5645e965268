"""Here you find the sensitivity metrics: how much maps change with small changes of the sample."""

from __future__ import annotations

import numpy as np

from signalcam.errors import MethodError
from signalcam.metrics.perturbation import PerturbationExperiment
from signalcam.metrics.registry import metric

_YEH = "Yeh et al. 2019, arXiv:1901.09392"
_STREAM = 3  # of random numbers, other than those of other metrics


@metric("max-sensitivity", better="lower", paper=_YEH)
def max_sensitivity(study: PerturbationExperiment, *, radius: float = 0.02, draws: int = 10) -> np.ndarray:
    """Compute the largest relative change of a map under small changes of the sample.

    ``max ||e(x + d) - e(x)|| / ||e(x)||`` over ``|d| <= r``; equation 4. A map that never changes has 0, whatever
    it shows, so read it with a faithfulness metric. NaN for a map of zeros.

    Args:
        study: The maps, and how they are made.
        radius: Size of the change, as a share of the range of each sample's values.
        draws: Number of random changes.
    """
    largest: np.ndarray = _changes(study, radius, draws).max(axis=0)
    return largest


@metric("average-sensitivity", better="lower", paper=_YEH)
def average_sensitivity(study: PerturbationExperiment, *, radius: float = 0.02, draws: int = 10) -> np.ndarray:
    """Compute the mean relative change of a map under small changes of the sample.

    Args:
        study: The maps, and how they are made.
        radius: See ``max_sensitivity``.
        draws: Number of random changes.
    """
    means: np.ndarray = _changes(study, radius, draws).mean(axis=0)
    return means


def _changes(study: PerturbationExperiment, radius: float, draws: int) -> np.ndarray:
    """Relative changes of the maps, ``(draw, sample)``."""
    if study.asker.x.dtype.kind != "f":
        message = "sensitivity metrics add noise to the samples, which needs floating-point inputs, not integers. Leave them out."
        raise MethodError(message)
    x, maps = study.asker.x, study.maps.reshape(study.count, -1).astype(np.float64)
    axes = tuple(range(1, x.ndim))
    reach = radius * (x.max(axis=axes, keepdims=True) - x.min(axis=axes, keepdims=True))
    size = np.linalg.norm(maps, axis=1)
    changes = []
    for number in range(draws):
        noise = np.random.default_rng((study.seed, _STREAM, number)).uniform(-1, 1, x.shape)
        e = study.explained((x + reach * noise).astype(x.dtype)).reshape(study.count, -1)
        changes.append(np.linalg.norm(e - maps, axis=1) / np.where(size, size, np.nan))
    return np.stack(changes)
