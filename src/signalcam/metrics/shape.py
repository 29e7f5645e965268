"""How concentrated a map is: few positions, or all alike?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from signalcam.explanation import Explanation
from signalcam.picking import AXES

if TYPE_CHECKING:
    import xarray as xr


def gini(e: np.ndarray) -> np.ndarray:
    """The Gini index of ``(..., n)`` magnitudes: 0 where all are alike, 1 - 1/n where only one is not 0.

    A map of zeros, in which all are alike, has 0. Source: Chalasani et al. 2018, arXiv:1810.06583, section 3.
    """
    sizes = np.sort(np.abs(np.asarray(e, float)), axis=-1)
    n = sizes.shape[-1]
    rank = 2 * np.arange(1, n + 1) - n - 1
    total = n * sizes.sum(axis=-1)
    found: np.ndarray = np.divide((sizes * rank).sum(axis=-1), total, out=np.zeros_like(total), where=total > 0)  # fmt: skip
    return found


def entropy(e: np.ndarray) -> np.ndarray:
    """The entropy of ``(..., n)`` magnitudes as shares of their sum, divided by ln n: 0 for one position, 1 for all alike.

    A map of zeros, in which all are alike, has 1. Source: Bhatt et al. 2020, arXiv:2005.00631, section 3.3, where
    it is not divided by ln n.
    """
    sizes = np.abs(np.asarray(e, float))
    total, n = sizes.sum(axis=-1, keepdims=True), sizes.shape[-1]
    share = np.divide(sizes, total, out=np.full_like(sizes, 1 / n), where=total > 0)
    logs = np.log(share, out=np.zeros_like(share), where=share > 0)
    found: np.ndarray = -(share * logs).sum(axis=-1) / np.log(max(n, 2))
    return found


def shape(exp: Explanation) -> xr.Dataset:
    """How concentrated each map is, at the layer's own resolution: interpolated maps are smooth whatever they show.

    Args:
        exp: What was explained.

    Returns:
        ``gini`` (higher: fewer positions) and ``entropy`` (lower: fewer positions), ``(sample, target, method,
        layer)``. Layers of different resolution are comparable only roughly.

    Example:
        >>> import signalcam as sc
        >>> scores = sc.metrics.shape(exp)
        >>> float(scores["gini"].mean()) > 0
        True
    """
    import xarray as xr  # noqa: PLC0415 - not needed to import signalcam

    if exp.shapes is not None:  # each sample to its own end
        parts = [shape(exp.isel(sample=i)) for i in range(len(exp.sample_names))]
        return xr.concat(parts, "sample")
    native = [exp.native(name).values for name in exp.layer_names]
    flat = [each.reshape(*each.shape[:3], -1) for each in native]
    coords = {axis: exp.maps[axis].values for axis in AXES}
    both = {
        each.__name__: (AXES, np.stack([each(maps) for maps in flat], axis=-1))
        for each in (gini, entropy)
    }
    return xr.Dataset(both, coords, dict(exp.provenance))
