"""A result for every test that reads one."""

import pytest

from unit.results import make


@pytest.fixture
def exp():
    return make()
