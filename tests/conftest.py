"""What every test shares: array shapes are checked while testing, and seeds are fixed."""

import numpy as np
import pytest
from jaxtyping import install_import_hook
from seeding import SEED

# before anything imports signalcam: from here on a formula refuses arrays of the wrong shape
install_import_hook("signalcam.attribution.gradient", "beartype.beartype")


@pytest.fixture
def rng():
    return np.random.default_rng(7 + SEED)
