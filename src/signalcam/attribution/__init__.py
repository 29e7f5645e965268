"""The methods: maps from activations, gradients and scores. Importing this package registers all of them."""

from signalcam.attribution import attention, gradient, input_level, mask_search, perturbation, smoothing

__all__ = ["attention", "gradient", "input_level", "mask_search", "perturbation", "smoothing"]
