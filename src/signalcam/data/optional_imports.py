"""Imports of optional packages that read files."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from signalcam.errors import MissingExtra


def import_optional(package: str, what: str, extra: str = "data") -> Any:
    """Import a package that reads ``what``; raise ``MissingExtra``, naming ``extra``, if it is not installed."""
    try:
        return import_module(package)
    except ImportError as error:
        feature = f"reading {what}"
        raise MissingExtra(feature, extra) from error
