"""Here you find the metrics, which score how far maps can be trusted, against baselines."""

from signalcam.metrics.compare import Comparison, compare
from signalcam.metrics.evaluate import evaluate
from signalcam.metrics.imputers import (
    Blur,
    Constant,
    Imputer,
    Inverse,
    Linear,
    Mean,
    Noise,
    OtherSample,
    SegmentMean,
    Swap,
)
from signalcam.metrics.localisation import localisation
from signalcam.metrics.perturbation import PerturbationExperiment
from signalcam.metrics.registry import Metric, find, metric, metrics, names
from signalcam.metrics.sanity import sanity

__all__ = [
    "Blur",
    "Comparison",
    "Constant",
    "Imputer",
    "Inverse",
    "Linear",
    "Mean",
    "Metric",
    "Noise",
    "OtherSample",
    "PerturbationExperiment",
    "SegmentMean",
    "Swap",
    "compare",
    "evaluate",
    "find",
    "localisation",
    "metric",
    "metrics",
    "names",
    "sanity",
]
