"""Keras 3 and Keras 2: hooks, logits and reruns shared by all engines, and one file an engine."""
