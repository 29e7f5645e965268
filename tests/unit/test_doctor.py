"""What the doctor says of environments made up for it, without importing what is in them."""

import platform
import re
import sys
from importlib.metadata import PackageNotFoundError

import numpy as np
import pytest
from typer.testing import CliRunner

from signalcam.cli import app, doctor

NEEDS = (
    "numpy>=2.0",
    "oneword>=2; extra == 'small'",
    "oneword>=2; extra == 'large'",
    "otherword>=1; extra == 'large'",
    "ofelsewhere; sys_platform == 'nowhere' and extra == 'small'",
)


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """Installs packages by name, version and module; a module raises when it is imported."""
    for name in ("KERAS_BACKEND", "KERAS_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))

    def install(name, version, module=None, more=()):
        about = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        about.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *more]
        (about / "METADATA").write_text("\n".join(lines))
        (about / "top_level.txt").write_text(module or name)
        (tmp_path / f"{module or name}.py").write_text("raise AssertionError('imported')")
        monkeypatch.syspath_prepend(tmp_path)

    return install


def told():
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 0, result.output
    return result.stdout


def row(name):
    return re.search(rf"^  {re.escape(name)} +(.*)$", told(), re.MULTILINE).group(1)


def needing(install):
    extras = [f"Provides-Extra: {each}" for each in ("small", "large")]
    install("signalcam", "7.8", "unused", [*extras, *(f"Requires-Dist: {each}" for each in NEEDS)])


def test_versions_of_the_core_are_told():
    assert row("signalcam")
    assert row("Python").startswith(f"{platform.python_version()} on ")
    assert row("numpy") == np.__version__


def test_frameworks_are_told_and_none_is_imported(environment):
    loaded = set(sys.modules)
    environment("torch", "9.9")
    environment("jax", "8.8")
    assert (row("torch"), row("jax")) == ("9.9", "8.8")
    assert not {"torch", "jax", "keras", "tensorflow"} & (set(sys.modules) - loaded)


def test_a_framework_under_another_package_name_is_found(environment):
    environment("tensorflow-cpu", "9.1", "tensorflow")
    assert row("tensorflow") == "9.1"


def test_a_complete_extra_is_called_so(environment):
    needing(environment)
    environment("oneword", "2.1")
    assert row("signalcam") == "7.8"
    assert row("small") == "complete"


def test_what_an_extra_lacks_is_told_with_the_line_that_brings_it(environment):
    needing(environment)
    environment("oneword", "2.1")
    assert row("large") == "lacks otherword: pip install 'signalcam[large]'"


def test_what_is_too_old_for_an_extra_is_told(environment):
    needing(environment)
    environment("oneword", "1.9")
    assert row("small") == "lacks oneword>=2 (has 1.9): pip install 'signalcam[small]'"


def test_extras_of_a_bare_folder_are_not_known(monkeypatch):
    def metadata(_name):
        raise PackageNotFoundError

    monkeypatch.setattr(doctor, "metadata", metadata)
    assert "not known, as signalcam runs from a folder" in told()


# --- Keras' engine -------------------------------------------------------------------------------


def with_engines(environment, *engines):
    for name in ("keras", *engines):
        environment(name, "9.9")


def without(monkeypatch, *gone):
    """An environment that lacks what the one that runs the tests may have."""
    installed = doctor._installed_version
    monkeypatch.setattr(
        doctor, "_installed_version", lambda name, brought: None if name in gone else installed(name, brought)
    )


def test_engine_named_by_the_environment_is_told(environment, monkeypatch):
    with_engines(environment, "jax")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert "Keras runs on jax (KERAS_BACKEND says so)." in told()


def test_engine_named_by_the_file_of_keras_is_told(environment, monkeypatch, tmp_path):
    with_engines(environment, "torch")
    (tmp_path / "keras.json").write_text('{"backend": "torch"}')
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert f"Keras runs on torch ({tmp_path / 'keras.json'} says so)." in told()


@pytest.mark.parametrize("text", ["{", "[]", '{"floatx": "float32"}'])
def test_a_broken_file_of_keras_is_passed_over(environment, monkeypatch, tmp_path, text):
    with_engines(environment, "tensorflow")
    (tmp_path / "keras.json").write_text(text)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert "Keras runs on tensorflow (its own choice, as KERAS_BACKEND is not set)." in told()


def test_an_engine_that_is_missing_is_told_with_the_ways_out(environment, monkeypatch):
    with_engines(environment, "jax")
    without(monkeypatch, "tensorflow", "torch")
    assert "which is not installed. Do one of: set KERAS_BACKEND=jax; pip install 'signalcam[tensorflow]'" in told()


def test_an_unknown_engine_is_told(environment, monkeypatch):
    with_engines(environment)
    monkeypatch.setenv("KERAS_BACKEND", "openvino")
    assert "Keras runs on openvino (KERAS_BACKEND says so), which SignalCAM does not know." in told()


def test_without_keras_nothing_is_said_of_its_engine(monkeypatch):
    without(monkeypatch, "keras")
    assert "Keras runs on" not in told()
