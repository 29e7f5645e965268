"""Runs the snippets of the documentation, each page in an empty folder of its own."""

import os
import tempfile
from typing import Any

import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser


def _enter(namespace: dict[str, Any]) -> None:
    namespace["_start"] = os.getcwd()  # noqa: PTH109 - what os.chdir is given back
    namespace["_folder"] = tempfile.TemporaryDirectory()
    os.chdir(namespace["_folder"].name)


def _leave(namespace: dict[str, Any]) -> None:
    os.chdir(namespace["_start"])
    namespace["_folder"].cleanup()


MARKERS = {"torch": "torch", "keras": "keras", "pages": "browser", "peers": "peers"}  # by folder of tests
SLOW = (
    "test_demo.py",
    "test_demo_model.py",
    "test_command_line.py",
    "test_compare.py",
    "test_records.py",
    "test_exported.py",
    "test_transformers.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by the framework or program they need, and the slow files that `make check` leaves out."""
    for item in items:
        for folder, marker in MARKERS.items():
            if folder in item.path.parts:
                item.add_marker(marker)
        if "keras" in item.path.parts and os.environ.get("KERAS_BACKEND") == "jax":
            item.add_marker("jax")
        if item.path.name in SLOW:
            item.add_marker("slow")


pytest_collect_file = Sybil([PythonCodeBlockParser()], patterns=["*.md"], setup=_enter, teardown=_leave).pytest()


@pytest.fixture(autouse=True)
def _docstring_examples(request: pytest.FixtureRequest, doctest_namespace: dict[str, Any], tmp_path: Any) -> Any:
    """What the examples in docstrings call ``network``, ``ecg``, ``exp``, and the same of images and volumes."""
    if type(request.node).__name__ != "DoctestItem":
        yield
        return
    import torch  # noqa: PLC0415 - the core's tests run without it

    import signalcam as sc  # noqa: PLC0415 - after the tests have switched on shape checks

    torch.manual_seed(0)
    network = torch.nn.Sequential()
    network.add_module("conv1", torch.nn.Conv1d(2, 8, 7))
    network.add_module("relu1", torch.nn.ReLU())
    network.add_module("conv2", torch.nn.Conv1d(8, 8, 7))
    network.add_module("relu2", torch.nn.ReLU())
    network.add_module("pool", torch.nn.AdaptiveAvgPool1d(1))
    network.add_module("flat", torch.nn.Flatten())
    network.add_module("head", torch.nn.Linear(8, 3))
    ecg = torch.randn(4, 2, 200)
    doctest_namespace |= {"network": network, "ecg": ecg, "exp": sc.explain(network, ecg), "sc": sc}
    doctest_namespace |= {
        "image_network": torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 3),
            torch.nn.ReLU(),
            torch.nn.AdaptiveAvgPool2d(1),
            torch.nn.Flatten(),
            torch.nn.Linear(8, 3),
        ),
        "image": torch.randn(1, 3, 24, 32),
        "volume_network": torch.nn.Sequential(
            torch.nn.Conv3d(1, 8, 3),
            torch.nn.ReLU(),
            torch.nn.AdaptiveAvgPool3d(1),
            torch.nn.Flatten(),
            torch.nn.Linear(8, 3),
        ),
        "volume": torch.randn(1, 1, 8, 10, 12),
    }
    start = os.getcwd()  # noqa: PTH109 - what os.chdir is given back
    os.chdir(tmp_path)
    yield
    os.chdir(start)
