"""Several layers put together."""

import math

import numpy as np
import pytest

import signalcam as sc
from signalcam.fusion import fused

LINE = 1e-12  # float64: a few operations a number


def by_hand(how, layers):
    """One number after the other."""
    found = np.zeros_like(layers[0])
    for n, p in np.ndindex(found.shape):
        rows = [each[n] for each in layers]
        shares = [row[p] / row.max() if row.max() > 0 else 0.0 for row in rows]
        spread = [
            (row[p] - row.min()) / (row.max() - row.min()) if row.max() > row.min() else 0.0
            for row in rows
        ]
        found[n, p] = {
            "mean": sum(shares) / len(shares), "max": max(shares), "product": math.prod(spread),
            "layer-cam": max(math.tanh(2 * each) for each in shares),
        }[how]  # fmt: skip
    return found


@pytest.mark.parametrize("how", ["mean", "max", "product", "layer-cam"])
def test_fused_maps_equal_those_by_hand(rng, how):
    layers = [np.maximum(rng.standard_normal((3, 20)), 0) * size for size in (1, 100, 1e-3)]
    layers[1][2] = 0
    np.testing.assert_allclose(fused(layers, how), by_hand(how, layers), rtol=LINE, atol=LINE)


def test_fusing_needs_two_layers_and_a_known_way(rng):
    with pytest.raises(sc.MethodError, match="Explain two layers or more"):
        fused([rng.random((2, 5))], "mean")
    with pytest.raises(sc.MethodError, match="choose one of mean, max"):
        fused([rng.random((2, 5))] * 2, "median")
