"""Figures of an explanation."""

from signalcam.plot.plotter import Plotter

__all__ = ["Plotter"]
