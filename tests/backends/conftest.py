"""Which framework the contract is held against: one per process, as two can abort an interpreter."""

import os
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from seeding import SEED


def pytest_configure(config):
    # Keras copies tensors and variables to NumPy in a way NumPy 2 warns of
    config.addinivalue_line(
        "filterwarnings", "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
    )


def _file(what):
    """The file of tiny models named by SIGNALCAM_FRAMEWORK; ``torch`` where nothing is named."""
    name = f"{os.environ.get('SIGNALCAM_FRAMEWORK', 'torch')}_{what}"
    spec = spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def framework():
    """Models of one input."""
    return _file("models")


@pytest.fixture(scope="session")
def towers():
    """A model of several inputs."""
    return _file("towers")


@pytest.fixture(scope="session")
def sentences():
    """A classifier of sentences."""
    return _file("sentences")


@pytest.fixture(autouse=True)
def seeded(framework):
    framework.seed(SEED)


@pytest.fixture
def case(framework, request):
    """One of the framework's tiny models, by the name the test asks for."""
    return framework.CASES[request.param]()
