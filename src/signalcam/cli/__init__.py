"""Command line: ``signalcam demo``, ``explain``, ``run`` and others, each a function in ``commands``."""

from signalcam.cli.commands import app

__all__ = ["app"]
