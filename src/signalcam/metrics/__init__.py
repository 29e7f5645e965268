"""How far a map can be trusted."""

from signalcam.metrics.localisation import localisation
from signalcam.metrics.shape import entropy, gini, shape

__all__ = ["entropy", "gini", "localisation", "shape"]
