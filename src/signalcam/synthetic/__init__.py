"""Inputs whose class has a planted cause, and small networks that learn it: to tell where a map should be from how it looks."""

from signalcam.synthetic.networks import accuracy, train
from signalcam.synthetic.planted import Kind, Planted, planted

__all__ = ["Kind", "Planted", "accuracy", "planted", "train"]
