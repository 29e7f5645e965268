"""Here you find synthetic inputs with a known cause of their class, and small networks that learn it.

They tell where a map should be, whatever it looks like.
"""

from signalcam.synthetic.networks import accuracy, train
from signalcam.synthetic.planted import Kind, Planted, planted

__all__ = ["Kind", "Planted", "accuracy", "planted", "train"]
