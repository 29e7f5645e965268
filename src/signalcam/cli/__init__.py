"""The command line: ``signalcam demo``, ``explain``, ``run`` and the others; ``commands`` has one function each."""

from signalcam.cli.commands import app

__all__ = ["app"]
