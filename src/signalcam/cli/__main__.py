"""Runs the command line by ``python -m signalcam.cli``."""

from signalcam.cli import app

app()
