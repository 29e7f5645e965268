import numpy as np
import pytest


@pytest.fixture
def signal():
    """Two channels, 400 samples, whole steps of a thousandth."""
    return np.round(np.random.default_rng(0).normal(size=(2, 400)).clip(-3, 3), 3)
