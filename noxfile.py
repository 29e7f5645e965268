"""What `make test` runs: one environment for each framework, and one with none."""

import os
import shutil

import nox

nox.options.default_venv_backend = "venv"
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_missing_interpreters = True
nox.options.sessions = ["lint", "core", "torch", "oracles", "pages", "keras"]

PINNED = ("--quiet", "--constraint", "constraints.txt")
TESTING = ("pytest", "pytest-cov", "pytest-xdist", "hypothesis", "sybil")
TWO = ("-n", "2", "--dist", "worksteal")  # workers: as many as the machines of continuous integration have cores
SHAPES = ("array-api-strict", "beartype", "jaxtyping")
MORE = ("tests/agreement/test_torch.py", "tests/real/test_real_data.py")
REAL_DATA = ("librosa", "PyWavelets")
WRAPPED = ("skorch",)  # whose estimators do


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
    session.install(*PINNED, *TESTING, *SHAPES, "--editable", ".[metrics,jobs]")
    session.run("pytest", *TWO, "tests/unit", "tests/properties", "tests/house", *session.posargs)


def install_torch(session: nox.Session, *more: str) -> None:
    """Install PyTorch, the figures, the readers and jobs, with what tests them."""
    session.install(
        *PINNED,
        *TESTING,
        *SHAPES,
        *WRAPPED,
        *more,
        "transformers",
        "mypy",
        "types-tqdm",
        "--editable",
        ".[demo,video,data,ray]",
    )
    session.install(*PINNED, "--no-deps", "aeon")  # for its recordings, as in the Keras sessions


@nox.session
def torch(session: nox.Session) -> None:
    """Check types, then test PyTorch, the figures, the readers, jobs, the demo and every snippet of the documentation."""
    install_torch(session, *(REAL_DATA if "SIGNALCAM_REAL_DATA" in os.environ else ()))
    session.run("mypy")
    session.env["OMP_NUM_THREADS"] = "1"  # two workers on two cores: more threads would wait for each other
    session.run("pytest", *TWO, "tests/backends", "tests/torch", "tests/plot", "tests/data", *MORE, *session.posargs)
    session.run("pytest", "tests/jobs", *session.posargs)  # alone: jobs have processes of their own
    ignored = ("--ignore-glob=*keras*", "--ignore-glob=*tensorflow*")
    session.run("pytest", "--doctest-modules", *ignored, "src", "README.md", "CONTRIBUTING.md", "docs")


@nox.session
def check(session: nox.Session) -> None:
    """Answer within minutes: format, style, floors, types, and the fast tests of the core and of PyTorch."""
    if not session.posargs or "--no-install" not in session.posargs:
        install_torch(session, "ruff", "import-linter")
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")
    session.run("lint-imports")
    session.run("mypy")
    session.env["OMP_NUM_THREADS"] = "1"
    session.run("pytest", *TWO, "-m", "not slow", "tests/house", "tests/unit", "tests/properties", "tests/torch")


@nox.session
def oracles(session: nox.Session) -> None:
    """Compare metrics with Quantus, torchcam and grad-cam, whose needs fit no other environment."""
    session.install("--quiet", "--requirement", "tests/peers/requirements.txt")
    peers = ("--requirement", "tests/peers/peers.txt")
    session.install("--quiet", "--no-deps", *peers, "--editable", ".")
    session.run("pytest", "tests/peers", *session.posargs)


@nox.session
def pages(session: nox.Session) -> None:
    """Open the pages in Chromium, click, type and read them back; no framework is there."""
    missing = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    if missing and os.name == "posix" and os.geteuid() == 0 and shutil.which("apt-get"):
        install = ("install", "--yes", "--quiet", "chromium", "chromium-driver")
        for words in (("update", "--quiet"), install):  # where they fail, tests skip and say so
            session.run("apt-get", *words, external=True, silent=True, success_codes=range(256))
    session.install(*PINNED, *TESTING, *SHAPES, "selenium", "--editable", ".[notebook,jobs]")
    session.run("pytest", "tests/pages", *session.posargs)


ENGINES = {
    "tensorflow": ("tensorflow-cpu", "keras"),
    "jax": ("jax", "keras"),
    "torch": ("torch", "keras"),
}


@nox.session
@nox.parametrize("engine", list(ENGINES))
def keras(session: nox.Session, engine: str) -> None:
    """Test Keras 3 on one engine, with no other framework installed."""
    session.install(*PINNED, *TESTING, *SHAPES, *ENGINES[engine], "--editable", ".[plot,jobs]")
    # aeon for its recordings alone, as what its code needs clashes with our pins; Keras 2 asks for
    # all of TensorFlow although the part for processors will do
    keras2 = ("tf_keras",) if engine == "tensorflow" else ()
    session.install(*PINNED, "--no-deps", "aeon", *keras2)
    session.env.update(KERAS_BACKEND=engine, SIGNALCAM_FRAMEWORK="keras", TF_CPP_MIN_LOG_LEVEL="3")
    real = ("tests/real/test_real_keras.py",) if engine == "tensorflow" else ()
    agreement = "tests/agreement/test_keras.py"
    # two at a time: most of it is spent compiling, on one core
    session.run("pytest", *TWO, "tests/backends", "tests/keras", agreement, *real, *session.posargs)
    session.run("pytest", "docs/keras", *session.posargs)
