"""Entry point of ``python -m signalcam.cli``."""

from signalcam.cli import app

app()
