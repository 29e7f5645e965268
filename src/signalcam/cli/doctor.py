"""What is installed, found without importing any of it."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, metadata, packages_distributions, version
from pathlib import Path
from typing import TypeAlias

from packaging.requirements import Requirement

_FRAMEWORKS = ("torch", "keras", "tensorflow", "jax")
_ENGINES = ("tensorflow", "jax", "torch")
_PACKAGE = "signalcam"
Providers: TypeAlias = Mapping[str, list[str]]  # the packages that bring a module


def findings() -> str:
    """Say what is here, what is missing, and which line brings it.

    Example:
        >>> from signalcam.cli.doctor import findings
        >>> findings().splitlines()[1].split()[0]
        'Python'
    """
    brought = packages_distributions()
    system = {
        _PACKAGE: _installed(_PACKAGE, brought) or "not installed",
        "Python": f"{platform.python_version()} on {platform.platform()}",
        "numpy": version("numpy"),
    }
    frameworks = {each: _installed(each, brought) or "not installed" for each in _FRAMEWORKS}
    keras = [f"Keras runs on {_engine(brought)}"] if _installed("keras", brought) else []
    parts = [
        _table(system),
        f"Frameworks, of which one is needed:\n{_table(frameworks)}",
        *keras,
        f"Extras:\n{_extras(brought)}",
    ]
    return "\n\n".join(parts)


def _table(rows: Mapping[str, str]) -> str:
    width = max(map(len, rows))
    return "\n".join(f"  {name:<{width}}  {told}" for name, told in rows.items())


def _installed(name: str, brought: Providers) -> str | None:
    """The version of a package, or of the one that brings a module of its name, as ``tensorflow-cpu`` does."""
    for each in (name, *brought.get(name, ())):
        try:
            return version(each)
        except PackageNotFoundError:
            continue
    return None


def _line(extra: str) -> str:
    return f"pip install '{_PACKAGE}[{extra}]'"


# --- Keras' engine -------------------------------------------------------------------------------


def _engine(brought: Providers) -> str:
    """Which engine Keras takes, who says so, and what is wrong with it."""
    name, why = _chosen_engine()
    if name not in _ENGINES:
        return f"{name} ({why}), which SignalCAM does not know. Set KERAS_BACKEND to {', '.join(_ENGINES[:-1])} or {_ENGINES[-1]}."
    if _installed(name, brought):
        return f"{name} ({why})."
    others = [f"set KERAS_BACKEND={each}" for each in _ENGINES if _installed(each, brought)]
    return f"{name} ({why}), which is not installed. Do one of: {'; '.join([*others, _line(name)])}"


def _chosen_engine() -> tuple[str, str]:
    """As Keras chooses: what the environment says, then its file, then what it takes by itself."""
    if name := os.environ.get("KERAS_BACKEND"):
        return name, "KERAS_BACKEND says so"
    file = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "keras.json"
    try:
        return str(json.loads(file.read_text(encoding="utf-8"))["backend"]), f"{file} says so"
    except (OSError, ValueError, KeyError, TypeError):  # Keras passes over such a file, too
        return "tensorflow", "its own choice, as KERAS_BACKEND is not set"


# --- extras --------------------------------------------------------------------------------------


def _extras(brought: Providers) -> str:
    """One line an extra: complete, or what it lacks and what brings that."""
    try:
        about = metadata(_PACKAGE)
    except PackageNotFoundError:
        return "  not known, as signalcam runs from a folder. In that folder: pip install -e ."
    needs = [Requirement(each) for each in about.get_all("Requires-Dist") or ()]
    lacks = {
        extra: [told for each in needs if _is_of(each, extra) and (told := _lack(each, brought))]
        for extra in about.get_all("Provides-Extra") or ()
    }
    return _table(
        {extra: f"lacks {', '.join(some)}: {_line(extra)}" if some else "complete" for extra, some in lacks.items()}
    )


def _is_of(need: Requirement, extra: str) -> bool:
    """Whether an extra asks for something that the package alone does not."""
    return (
        need.marker is not None and need.marker.evaluate({"extra": extra}) and not need.marker.evaluate({"extra": ""})
    )


def _lack(need: Requirement, brought: Providers) -> str:
    """What is wrong with what is installed of a requirement; nothing if nothing is."""
    found = _installed(need.name, brought)
    if found is None:
        return need.name
    fits = need.specifier.contains(found, prereleases=True)
    return "" if fits else f"{need.name}{need.specifier} (has {found})"
