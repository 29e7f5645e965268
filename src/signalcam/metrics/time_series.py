"""Metrics made for time series; they work along any axes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from signalcam.metrics.imputers import Noise
from signalcam.metrics.perturbation import PerturbationExperiment, Picker
from signalcam.metrics.registry import metric

_SCHLEGEL = "Schlegel et al. 2019, arXiv:1909.07082"
_TURBE = "Turbe et al. 2023, doi:10.1038/s42256-023-00620-w"
_TOP = 0.1  # of the units: what lies above the 90th percentile
_DRAWS = 5  # random selections, averaged
_STREAM = 200
_QUANTILES = np.arange(0.05, 1.001, 0.05)
_STEP = 0.01  # of the units: nearer points of a curve are dropped


@metric("schlegel-zero", better="higher", paper=_SCHLEGEL, imputer="zero")
@metric("schlegel-mean", better="higher", paper=_SCHLEGEL, imputer="mean")
@metric("schlegel-inverse", better="higher", paper=_SCHLEGEL, imputer="inverse")
@metric("schlegel-swap", better="higher", paper=_SCHLEGEL, imputer="swap")
@metric("schlegel-segment-mean", better="higher", paper=_SCHLEGEL, imputer="segment-mean")
def schlegel(study: PerturbationExperiment, *, imputer: object, share: float = _TOP) -> np.ndarray:
    """Take how much more is lost by changing the top tenth of the map than by changing as much at random.

    Swapping and averaging need windows of more than one position.

    Args:
        study: The maps and the model.
        imputer: What is done to the chosen windows.
        share: Of the units that are changed.
    """
    count = max(1, round(share * study.units.count))
    top = study.removed(1, lambda i: study.ranks[i][None] < count, imputer)
    chance = study.removed(_DRAWS, study.subsets(count, _DRAWS, _STREAM), imputer)
    found: np.ndarray = chance.mean(axis=1) - top[:, 0]
    return found


def _loss(study: PerturbationExperiment, pick: Picker, imputer: object) -> np.ndarray:
    """The share of the score that is lost in each trial: ``(sample, trial)``."""
    own = study.score[:, None]
    left = study.removed(len(_QUANTILES), pick, imputer)
    found: np.ndarray = (own - left) / np.where(own > 0, own, np.nan)
    return found


def _sizes(positive: int) -> np.ndarray:
    return np.floor(_QUANTILES * positive + 0.5).astype(int)


def _top(study: PerturbationExperiment) -> Picker:
    """From the positive units the most relevant, quantile after quantile."""

    def pick(sample: int) -> np.ndarray:
        positive = int((study.relevance[sample] > 0).sum())
        first: np.ndarray = study.ranks[sample] < _sizes(positive)[:, None]
        return first

    return pick


def _bottom(study: PerturbationExperiment) -> Picker:
    """The units that are zero, and from the positive ones the least relevant."""

    def pick(sample: int) -> np.ndarray:
        relevance, place = study.relevance[sample], study.ranks[sample]
        positive, usable = int((relevance > 0).sum()), int((relevance >= 0).sum())
        least = positive - _sizes(positive)[:, None]
        last: np.ndarray = (place >= least) & (place < usable)
        return last

    return pick


def _areas(study: PerturbationExperiment, pick: Picker, imputer: object, *, to_the_end: bool) -> np.ndarray:
    lost = _loss(study, pick, imputer)
    shares = np.stack([pick(i).mean(axis=1) for i in range(study.count)])
    some = (study.relevance > 0).any(axis=1)
    every = [_area(*each, to_the_end=to_the_end) for each in zip(shares, lost, strict=True)]
    return np.where(some, every, np.nan)


def _area(shares: Sequence[float], lost: Sequence[float], *, to_the_end: bool) -> float:
    """Integrate from (0, 0) over the share changed, on with the last value where that is wanted."""
    x, y = [0.0], [0.0]
    for share, value in zip(shares, lost, strict=True):
        if share - x[-1] >= _STEP:
            x.append(float(share))
            y.append(float(value))
    if to_the_end and x[-1] < 1:
        x.append(1.0)
        y.append(y[-1])
    return float(np.trapezoid(y if to_the_end else np.maximum(y, 0), x))


@metric("interpret-time-top", better="higher", paper=_TURBE)
def interpret_time_top(study: PerturbationExperiment, *, imputer: object = Noise(own=False)) -> np.ndarray:
    """Integrate the share of the score lost as more of the positive map is corrupted, the top first.

    Meant for standardised signals and a model that was trained with the same corruption. The paper integrates by
    Simpson's rule; here it is the trapezoid rule, which uneven steps cannot lead astray.

    Args:
        study: The maps and the model.
        imputer: The corruption; standard normal noise in the paper.
    """
    return _areas(study, _top(study), imputer, to_the_end=True)


@metric("interpret-time-bottom", better="lower", paper=_TURBE)
def interpret_time_bottom(study: PerturbationExperiment, *, imputer: object = Noise(own=False)) -> np.ndarray:
    """Integrate the share of the score lost as more is corrupted, what the map calls irrelevant first.

    Args:
        study: The maps and the model.
        imputer: See ``interpret_time_top``.
    """
    return _areas(study, _bottom(study), imputer, to_the_end=False)


@metric("interpret-time-f1", better="higher", paper=_TURBE)
def interpret_time_f1(study: PerturbationExperiment, *, imputer: object = Noise(own=False)) -> np.ndarray:
    """Put both areas together: ``t (1 - b) / (t + 1 - b)``, at most 1/2, as the authors' code has it.

    Args:
        study: The maps and the model.
        imputer: See ``interpret_time_top``.
    """
    top = interpret_time_top(study, imputer=imputer)
    rest = 1 - interpret_time_bottom(study, imputer=imputer)
    total = top + rest
    found: np.ndarray = top * rest / np.where(total, total, np.nan)
    return found
