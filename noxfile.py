"""What `make test` runs: one environment for each framework, and one with none."""

import os

import nox

nox.options.default_venv_backend = "venv"
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_missing_interpreters = True

PINNED = ("--quiet", "--constraint", "constraints.txt")
TESTING = ("pytest", "pytest-cov", "hypothesis", "sybil")
SHAPES = ("array-api-strict", "beartype", "jaxtyping")
REAL_DATA = ("librosa", "nibabel", "PyWavelets", "soundfile", "wfdb")


@nox.session
def lint(session: nox.Session) -> None:
    """Check format, style and which floor imports which."""
    session.install(*PINNED, "ruff", "import-linter", "--editable", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")
    session.run("lint-imports")


@nox.session
def core(session: nox.Session) -> None:
    """Test what needs no framework, in an environment without any."""
    session.install(*PINNED, *TESTING, *SHAPES, "--editable", ".")
    session.run("pytest", "tests/unit", "tests/properties", *session.posargs)


@nox.session
def torch(session: nox.Session) -> None:
    """Check types, then test PyTorch, the figures, the demo and every snippet of the documentation."""
    real_data = REAL_DATA if "SIGNALCAM_REAL_DATA" in os.environ else ()
    session.install(
        *PINNED, *TESTING, *SHAPES, *real_data, "mypy", "types-tqdm", "--editable", ".[demo]"
    )
    session.run("mypy")
    session.run(
        "pytest", "tests/backends", "tests/torch", "tests/plot", "tests/real", *session.posargs
    )
    session.run("pytest", "--doctest-modules", "src", "README.md", "CONTRIBUTING.md", "docs")
