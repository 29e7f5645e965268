"""A study whose model is a plain function, so that metrics are tested without any framework."""

import numpy as np

from signalcam.metrics.perturbation import PerturbationExperiment, PerturbedAxes, PerturbedUnits
from signalcam.targets import PerSample, Question

FIRST, LAST = "most relevant first", "least relevant first"


class Function:
    """Asks a function of ``x (row, channel, *positions)``, a few rows at a time."""

    def __init__(self, x, function, size=7):
        self.x, self.function, self.size, self.rows = x, function, size, 0

    def score(self, _question, samples, make):
        pieces = [slice(i, i + self.size) for i in range(0, len(samples), self.size)]
        found = [self.function(make(piece)) for piece in pieces]
        self.rows += len(samples)
        return np.concatenate(found).astype(np.float64)


def study(x, maps, function, *, width=1, steps=4, seed=0, measure="probability", **more):
    """A study of signals ``(sample, channel, time)``, images or volumes, channels first."""
    names = ("batch", "channel", "depth", "height", "width")[: x.ndim]
    axes = tuple(range(2, x.ndim))
    question = Question((PerSample(()),), measure, None, (np.zeros(len(x), int),), kind=None)
    units = PerturbedUnits(x.shape[2:], (width,) * len(axes))
    return PerturbationExperiment(
        Function(x, function), question, maps, PerturbedAxes.of(axes, names), units, steps, seed, **more
    )


def total(weights):
    """A model that adds up its input times some weights."""
    return lambda x: (x * weights).reshape(len(x), -1).sum(axis=1)


def squashed(weights):
    """The same, between 0 and 1 and far from linear."""
    return lambda x: 1 / (1 + np.exp(-np.sin(total(weights)(x)) - total(weights**2)(x) / 9))
