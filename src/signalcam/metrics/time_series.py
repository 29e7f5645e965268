"""Here you find the metrics made for time series: Schlegel's and InterpretTime's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from signalcam.metrics.imputers import Noise
from signalcam.metrics.perturbation import PerturbationExperiment, Picker
from signalcam.metrics.registry import metric

_SCHLEGEL = "Schlegel et al. 2019, arXiv:1909.07082"
_TURBE = "Turbe et al. 2023, doi:10.1038/s42256-023-00620-w"
_TOP = 0.1  # share of units above the 90th percentile
_DRAWS = 5  # random selections, averaged
_STREAM = 200  # of random numbers, other than those of other metrics
_QUANTILES = np.arange(0.05, 1.001, 0.05)
_STEP = 0.01  # of the units: nearer points of a curve are dropped


@metric("schlegel-zero", better="higher", paper=_SCHLEGEL, imputer="zero")
@metric("schlegel-mean", better="higher", paper=_SCHLEGEL, imputer="mean")
@metric("schlegel-inverse", better="higher", paper=_SCHLEGEL, imputer="inverse")
@metric("schlegel-swap", better="higher", paper=_SCHLEGEL, imputer="swap")
@metric("schlegel-segment-mean", better="higher", paper=_SCHLEGEL, imputer="segment-mean")
def schlegel(study: PerturbationExperiment, *, imputer: object, share: float = _TOP) -> np.ndarray:
    """Compute how much more is lost with the top tenth of the map changed than with as much at random.

    Swapping and averaging need windows of more than one position.

    Args:
        study: The maps and the model.
        imputer: The change of the selected windows.
        share: The share of units to change.
    """
    count = max(1, round(share * study.units.count))
    top = study.removed(1, lambda i: study.ranks[i][None] < count, imputer)
    chance = study.removed(_DRAWS, study.subsets(count, _DRAWS, _STREAM), imputer)
    difference: np.ndarray = chance.mean(axis=1) - top[:, 0]
    return difference


def _relative_loss(study: PerturbationExperiment, pick: Picker, imputer: object) -> np.ndarray:
    """The share of the score that is lost in each trial: ``(sample, trial)``."""
    score = study.score[:, None]
    remaining = study.removed(len(_QUANTILES), pick, imputer)
    shares: np.ndarray = (score - remaining) / np.where(score > 0, score, np.nan)
    return shares


def _sizes(positive: int) -> np.ndarray:
    return np.floor(_QUANTILES * positive + 0.5).astype(int)


def _pick_top(study: PerturbationExperiment) -> Picker:
    """Select the most relevant of the positive units, quantile by quantile."""

    def pick(sample: int) -> np.ndarray:
        positive = int((study.relevance[sample] > 0).sum())
        first: np.ndarray = study.ranks[sample] < _sizes(positive)[:, None]
        return first

    return pick


def _pick_bottom(study: PerturbationExperiment) -> Picker:
    """Select the zero units, and the least relevant of the positive ones."""

    def pick(sample: int) -> np.ndarray:
        relevance, position = study.relevance[sample], study.ranks[sample]
        positive, usable = int((relevance > 0).sum()), int((relevance >= 0).sum())
        least = positive - _sizes(positive)[:, None]
        last: np.ndarray = (position >= least) & (position < usable)
        return last

    return pick


def _areas(study: PerturbationExperiment, pick: Picker, imputer: object, *, to_the_end: bool) -> np.ndarray:
    lost = _relative_loss(study, pick, imputer)
    shares = np.stack([pick(i).mean(axis=1) for i in range(study.count)])
    any_positive = (study.relevance > 0).any(axis=1)
    areas = [_area(*each, to_the_end=to_the_end) for each in zip(shares, lost, strict=True)]
    return np.where(any_positive, areas, np.nan)


def _area(shares: Sequence[float], lost: Sequence[float], *, to_the_end: bool) -> float:
    """Integrate from (0, 0) over the share changed; with ``to_the_end`` on to 1 with the last value."""
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
    """Integrate the share of the score lost while more of the positive map is corrupted, the top first.

    Meant for standardised signals and a model trained with this corruption. The paper integrates by Simpson's rule;
    here it is the trapezoid rule, which is robust to uneven steps.

    Args:
        study: The maps and the model.
        imputer: The corruption; standard normal noise in the paper.
    """
    return _areas(study, _pick_top(study), imputer, to_the_end=True)


@metric("interpret-time-bottom", better="lower", paper=_TURBE)
def interpret_time_bottom(study: PerturbationExperiment, *, imputer: object = Noise(own=False)) -> np.ndarray:
    """Integrate the share of the score lost while more is corrupted, the least relevant first.

    Args:
        study: The maps and the model.
        imputer: See ``interpret_time_top``.
    """
    return _areas(study, _pick_bottom(study), imputer, to_the_end=False)


@metric("interpret-time-f1", better="higher", paper=_TURBE)
def interpret_time_f1(study: PerturbationExperiment, *, imputer: object = Noise(own=False)) -> np.ndarray:
    """Combine both areas: ``t (1 - b) / (t + 1 - b)``, at most 1/2, as in the authors' code.

    Args:
        study: The maps and the model.
        imputer: See ``interpret_time_top``.
    """
    top = interpret_time_top(study, imputer=imputer)
    rest = 1 - interpret_time_bottom(study, imputer=imputer)
    total = top + rest
    score: np.ndarray = top * rest / np.where(total, total, np.nan)
    return score
