"""Packages that read files, loaded when a file needs them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from signalcam.errors import MissingExtra


def import_optional(package: str, what: str, extra: str = "data") -> Any:
    """Import a package.

    Args:
        package: Its name, or that of a module in it.
        what: What it is needed for: ``"HDF5 files"``.
        extra: Of SignalCAM, that brings it.

    Raises:
        MissingExtra: It is not installed.
    """
    try:
        return import_module(package)
    except ImportError as error:
        feature = f"reading {what}"
        raise MissingExtra(feature, extra) from error
