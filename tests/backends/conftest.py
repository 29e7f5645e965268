"""Which framework the contract is held against: one per process, as two can abort an interpreter."""

import os
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest


def pytest_configure(config):
    # Keras copies tensors and variables to NumPy in a way NumPy 2 warns of
    config.addinivalue_line(
        "filterwarnings", "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
    )


@pytest.fixture(scope="session")
def framework():
    """The file of tiny models named by SIGNALCAM_FRAMEWORK; ``torch`` where nothing is named."""
    name = os.environ.get("SIGNALCAM_FRAMEWORK", "torch")
    spec = spec_from_file_location(f"{name}_models", Path(__file__).with_name(f"{name}_models.py"))
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def seeded(framework):
    framework.seed(0)


@pytest.fixture
def case(framework, request):
    """One of the framework's tiny models, by the name the test asks for."""
    return framework.CASES[request.param]()
