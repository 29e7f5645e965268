"""Does a map stay as it is when the sample hardly changes?"""

from __future__ import annotations

import numpy as np

from signalcam.errors import MethodError
from signalcam.metrics.perturbation import PerturbationExperiment
from signalcam.metrics.registry import metric

_YEH = "Yeh et al. 2019, arXiv:1901.09392"
_SHAKEN = 3  # marks what these metrics draw, beside what others do


@metric("max-sensitivity", better="lower", paper=_YEH)
def max_sensitivity(study: PerturbationExperiment, *, radius: float = 0.02, draws: int = 10) -> np.ndarray:
    """Take the largest change of a map, as a share of its size, when the sample changes a little.

    ``max ||e(x + d) - e(x)|| / ||e(x)||`` over ``|d| <= r``; equation 4. A map that never changes has 0, whatever
    it shows: read it beside a metric of faithfulness. NaN for a map of zeros.

    Args:
        study: The maps, and how they are made.
        radius: Of the change, as a share of the range of each sample's values.
        draws: How many changes are tried.
    """
    found: np.ndarray = _changes(study, radius, draws).max(axis=0)
    return found


@metric("average-sensitivity", better="lower", paper=_YEH)
def average_sensitivity(study: PerturbationExperiment, *, radius: float = 0.02, draws: int = 10) -> np.ndarray:
    """Take the mean change of a map, as a share of its size, when the sample changes a little.

    Args:
        study: The maps, and how they are made.
        radius: See ``max_sensitivity``.
        draws: How many changes are tried.
    """
    found: np.ndarray = _changes(study, radius, draws).mean(axis=0)
    return found


def _changes(study: PerturbationExperiment, radius: float, draws: int) -> np.ndarray:
    """``(draw, sample)``: relative changes of the maps."""
    if study.asker.x.dtype.kind != "f":
        message = "sensitivity shakes the samples and explains them again, which needs measurements, not whole numbers. Leave it out."
        raise MethodError(message)
    x, own = study.asker.x, study.maps.reshape(study.count, -1).astype(np.float64)
    wide = tuple(range(1, x.ndim))
    reach = radius * (x.max(axis=wide, keepdims=True) - x.min(axis=wide, keepdims=True))
    size = np.linalg.norm(own, axis=1)
    found = []
    for number in range(draws):
        drawn = np.random.default_rng((study.seed, _SHAKEN, number)).uniform(-1, 1, x.shape)
        e = study.explained((x + reach * drawn).astype(x.dtype)).reshape(study.count, -1)
        found.append(np.linalg.norm(e - own, axis=1) / np.where(size, size, np.nan))
    return np.stack(found)
