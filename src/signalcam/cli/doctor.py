"""``signalcam doctor``: installed frameworks and extras, found without importing them."""

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
Providers: TypeAlias = Mapping[str, list[str]]  # packages that provide each module


def describe_installation() -> str:
    """List what is installed, what is missing, and the command that installs it.

    Example:
        >>> from signalcam.cli.doctor import describe_installation
        >>> describe_installation().splitlines()[1].split()[0]
        'Python'
    """
    providers = packages_distributions()
    system = {
        _PACKAGE: _installed_version(_PACKAGE, providers) or "not installed",
        "Python": f"{platform.python_version()} on {platform.platform()}",
        "numpy": version("numpy"),
    }
    frameworks = {each: _installed_version(each, providers) or "not installed" for each in _FRAMEWORKS}
    keras = [f"Keras runs on {_describe_engine(providers)}"] if _installed_version("keras", providers) else []
    sections = [
        _format_table(system),
        f"Frameworks, of which one is needed:\n{_format_table(frameworks)}",
        *keras,
        f"Extras:\n{_list_extras(providers)}",
    ]
    return "\n\n".join(sections)


def _format_table(rows: Mapping[str, str]) -> str:
    width = max(map(len, rows))
    return "\n".join(f"  {name:<{width}}  {text}" for name, text in rows.items())


def _installed_version(name: str, providers: Providers) -> str | None:
    """Version of a package, or of one that provides a module of that name, as ``tensorflow-cpu`` does."""
    for package in (name, *providers.get(name, ())):
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return None


def _install_command(extra: str) -> str:
    return f"pip install '{_PACKAGE}[{extra}]'"


# --- Keras' engine -------------------------------------------------------------------------------


def _describe_engine(providers: Providers) -> str:
    """Describe Keras' engine, what selects it, and what is wrong with it."""
    name, why = _select_engine()
    if name not in _ENGINES:
        return f"{name} ({why}), which SignalCAM does not know. Set KERAS_BACKEND to {', '.join(_ENGINES[:-1])} or {_ENGINES[-1]}."
    if _installed_version(name, providers):
        return f"{name} ({why})."
    others = [f"set KERAS_BACKEND={each}" for each in _ENGINES if _installed_version(each, providers)]
    return f"{name} ({why}), which is not installed. Do one of: {'; '.join([*others, _install_command(name)])}"


def _select_engine() -> tuple[str, str]:
    """Name of Keras' engine and what selects it: the environment, then its file, then its default."""
    if name := os.environ.get("KERAS_BACKEND"):
        return name, "KERAS_BACKEND says so"
    file = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "keras.json"
    try:
        return str(json.loads(file.read_text(encoding="utf-8"))["backend"]), f"{file} says so"
    except (OSError, ValueError, KeyError, TypeError):  # Keras ignores such a file, too
        return "tensorflow", "its own choice, as KERAS_BACKEND is not set"


# --- extras --------------------------------------------------------------------------------------


def _list_extras(providers: Providers) -> str:
    """List the extras, one per line: complete, or what is missing and the command that installs it."""
    try:
        about = metadata(_PACKAGE)
    except PackageNotFoundError:
        return "  not known, as signalcam runs from a folder. In that folder: pip install -e ."
    needs = [Requirement(each) for each in about.get_all("Requires-Dist") or ()]
    lacks = {
        extra: [
            lack for need in needs if _belongs_to_extra(need, extra) and (lack := _describe_missing(need, providers))
        ]
        for extra in about.get_all("Provides-Extra") or ()
    }
    return _format_table(
        {
            extra: f"lacks {', '.join(some)}: {_install_command(extra)}" if some else "complete"
            for extra, some in lacks.items()
        }
    )


def _belongs_to_extra(need: Requirement, extra: str) -> bool:
    """Whether an extra adds a requirement to those of the package."""
    return (
        need.marker is not None and need.marker.evaluate({"extra": extra}) and not need.marker.evaluate({"extra": ""})
    )


def _describe_missing(need: Requirement, providers: Providers) -> str:
    """Describe a requirement that is missing or of a wrong version; empty if it is met."""
    installed = _installed_version(need.name, providers)
    if installed is None:
        return need.name
    fits = need.specifier.contains(installed, prereleases=True)
    return "" if fits else f"{need.name}{need.specifier} (has {installed})"
