"""The door: importing is quick and loads no framework, and every error is one of ours."""

import json
import subprocess
import sys

import pytest

import signalcam as sc
from signalcam import errors

OTHERS = 200  # modules that importing signalcam loads beside its own and those of numpy: quick on any machine
HEAVY = [
    "torch",
    "tensorflow",
    "jax",
    "keras",
    "xarray",
    "matplotlib",
    "zarr",
    "tqdm",
    "pandas",
    "scipy",
    "pydantic",
]
IMPORT = """
import json, sys
import numpy
before = set(sys.modules)
import signalcam
print(json.dumps(sorted(set(sys.modules) - before)))
"""


@pytest.fixture(scope="module")
def imports():
    return json.loads(subprocess.check_output([sys.executable, "-c", IMPORT]))  # noqa: S603 - our own words


def test_import_loads_few_modules_beside_numpy(imports):
    assert len([name for name in imports if not name.startswith("signalcam")]) < OTHERS


@pytest.mark.parametrize("module", HEAVY)
def test_import_does_not_load(imports, module):
    assert module not in imports


def test_every_public_name_exists():
    assert [name for name in sc.__all__ if not hasattr(sc, name)] == []
    assert sorted(sc.__all__) == sc.__all__


BUILT_IN = {
    "ModelError": LookupError,
    "MethodError": ValueError,
    "TargetError": ValueError,
    "LayoutError": ValueError,
    "InputError": ValueError,
    "JobError": ValueError,
    "StoreError": OSError,
    "MissingExtra": ImportError,
}


@pytest.mark.parametrize(("name", "built_in"), BUILT_IN.items())
def test_error_is_one_of_ours_and_the_built_in_a_reader_expects(name, built_in):
    error = getattr(sc, name)
    assert issubclass(error, sc.CamError)
    assert issubclass(error, built_in)


def test_every_error_is_listed_above():
    ours = {name for name, each in vars(errors).items() if isinstance(each, type) and issubclass(each, sc.CamError)}
    assert ours == {"CamError", *BUILT_IN}


def test_warning_can_be_silenced_by_its_own_name():
    assert issubclass(sc.CamWarning, UserWarning)


def test_a_job_without_its_extra_says_what_to_install(monkeypatch):
    for name in [each for each in sys.modules if each.startswith("signalcam.jobs")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pydantic", None)
    with pytest.raises(sc.MissingExtra, match=r"signalcam\[jobs\]"):
        _ = sc.Job


def test_missing_extra_says_what_to_install():
    message = str(sc.MissingExtra("Explanation.plot", "plot"))
    assert message == "Explanation.plot needs an optional dependency: pip install 'signalcam[plot]'."


def test_model_of_no_framework_is_refused():
    with pytest.raises(sc.ModelError, match="no backend owns 'object': expected a model of keras, tf_keras, torch"):
        sc.explain(object(), [[1.0]])
