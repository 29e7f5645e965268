"""Here you find the sparsity metrics of maps: Gini index and entropy."""

from __future__ import annotations

import numpy as np

from signalcam.metrics.perturbation import PerturbationExperiment
from signalcam.metrics.registry import metric


@metric("gini", better="higher", paper="Chalasani et al. 2018, arXiv:1810.06583")
def gini(study: PerturbationExperiment) -> np.ndarray:
    """Compute the Gini index of a map: 0 if all windows are equal, 1 - 1/n if one holds everything.

    ``sum (2 i - n - 1) |e_i| / (n sum |e_i|)``, with windows in ascending order; section 3. A map of zeros has 0.
    Windows are as wide as the layer's stride, because interpolated maps are always smooth.

    Args:
        study: The maps.
    """
    sizes = np.sort(_sizes(study), axis=1)
    n, total = sizes.shape[1], sizes.sum(axis=1)
    uneven = sizes @ (2 * np.arange(1, n + 1) - n - 1)
    index: np.ndarray = np.divide(uneven, n * total, out=np.zeros_like(total), where=total > 0)
    return index


@metric("entropy", better="lower", paper="Bhatt et al. 2020, arXiv:2005.00631")
def entropy(study: PerturbationExperiment) -> np.ndarray:
    """Compute the entropy of a map: 0 if one window holds everything, 1 if all are equal.

    ``-sum p ln p / ln n`` of the windows' shares of the map; section 3.3, where it is not divided by ``ln n``.
    A map of zeros has 1, as all its windows are equal.

    Args:
        study: The maps.
    """
    sizes = _sizes(study)
    total, n = sizes.sum(axis=1, keepdims=True), sizes.shape[1]
    share = np.divide(sizes, total, out=np.full_like(sizes, 1 / n), where=total > 0)
    logs = np.log(share, out=np.zeros_like(share), where=share > 0)
    relative: np.ndarray = -(share * logs).sum(axis=1) / np.log(max(n, 2))
    return relative


def _sizes(study: PerturbationExperiment) -> np.ndarray:
    """Magnitudes of windows, ``(sample, window)``."""
    magnitudes: np.ndarray = np.abs(study.units.means(study.maps.astype(np.float64)))
    return magnitudes
