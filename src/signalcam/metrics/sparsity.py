"""How concentrated a map is: few positions, or all alike?"""

from __future__ import annotations

import numpy as np

from signalcam.metrics.perturbation import PerturbationExperiment
from signalcam.metrics.registry import metric


@metric("gini", better="higher", paper="Chalasani et al. 2018, arXiv:1810.06583")
def gini(study: PerturbationExperiment) -> np.ndarray:
    """Measure how unevenly a map is spread: 0 where all windows are alike, 1 - 1/n where one holds everything.

    ``sum (2 i - n - 1) |e_i| / (n sum |e_i|)``, the windows in rising order; section 3. A map of zeros has 0.
    Windows are as wide as the layer's stride: interpolated maps are smooth whatever they show.

    Args:
        study: The maps.
    """
    sizes = np.sort(_sizes(study), axis=1)
    n, total = sizes.shape[1], sizes.sum(axis=1)
    uneven = sizes @ (2 * np.arange(1, n + 1) - n - 1)
    found: np.ndarray = np.divide(uneven, n * total, out=np.zeros_like(total), where=total > 0)
    return found


@metric("entropy", better="lower", paper="Bhatt et al. 2020, arXiv:2005.00631")
def entropy(study: PerturbationExperiment) -> np.ndarray:
    """Measure how widely a map is spread: 0 where one window holds everything, 1 where all are alike.

    ``-sum p ln p / ln n`` of the windows' shares of the map; section 3.3, where it is not divided by ``ln n``.
    A map of zeros, in which all are alike, has 1.

    Args:
        study: The maps.
    """
    sizes = _sizes(study)
    total, n = sizes.sum(axis=1, keepdims=True), sizes.shape[1]
    share = np.divide(sizes, total, out=np.full_like(sizes, 1 / n), where=total > 0)
    logs = np.log(share, out=np.zeros_like(share), where=share > 0)
    found: np.ndarray = -(share * logs).sum(axis=1) / np.log(max(n, 2))
    return found


def _sizes(study: PerturbationExperiment) -> np.ndarray:
    """``(sample, window)``, without sign."""
    found: np.ndarray = np.abs(study.units.means(study.maps.astype(np.float64)))
    return found
