"""Here you find the metrics of perturbation curves: deletion, insertion, ROAD, ..."""

from __future__ import annotations

import numpy as np

from signalcam.metrics.perturbation import Order, PerturbationExperiment
from signalcam.metrics.registry import metric

MOST: Order = "most relevant first"
LEAST: Order = "least relevant first"
_RISE = "Petsiuk et al. 2018, arXiv:1806.07421"
_ROAD = "Rong et al. 2022, arXiv:2202.00449"


def area(curve: np.ndarray, fractions: np.ndarray) -> np.ndarray:
    """Integrate ``(sample, step)`` over the share removed, by the trapezoid rule: ``(sample,)``."""
    areas: np.ndarray = np.trapezoid(curve, fractions, axis=1)
    return areas


def normalised(curve: np.ndarray) -> np.ndarray:
    """Scale ``(sample, step)`` to start at 1 and end at 0; NaN where both ends are equal."""
    span = curve[:, :1] - curve[:, -1:]
    scaled: np.ndarray = (curve - curve[:, -1:]) / np.where(span, span, np.nan)
    return scaled


@metric("deletion", better="lower", paper=_RISE)
@metric("deletion-normalised", better="lower", paper=f"{_RISE}; scaled", scaled=True)
def deletion(study: PerturbationExperiment, *, imputer: object = "zero", scaled: bool = False) -> np.ndarray:
    """Integrate the score while the most relevant units are removed.

    Args:
        study: The maps and the model.
        imputer: The replacement of removed units; zeros in the paper.
        scaled: Scale each curve to run from 1 to 0, so that samples of different confidence compare.
    """
    return _area(study, MOST, imputer, scaled=scaled)


@metric("insertion", better="higher", paper=_RISE)
@metric("insertion-normalised", better="higher", paper=f"{_RISE}; scaled", scaled=True)
def insertion(study: PerturbationExperiment, *, imputer: object = "blur", scaled: bool = False) -> np.ndarray:
    """Integrate the score while the most relevant units are inserted into an empty sample.

    To insert ``k`` of ``n`` units is to remove the ``n - k`` least relevant. The area is that of the
    curve in which those go first.

    Args:
        study: The maps and the model.
        imputer: The empty sample; blurred in the paper.
        scaled: See ``deletion``.
    """
    return _area(study, LEAST, imputer, scaled=scaled)


def _area(study: PerturbationExperiment, order: Order, imputer: object, *, scaled: bool) -> np.ndarray:
    curve = study.curve(order, imputer)
    return area(normalised(curve) if scaled else curve, study.fractions)


@metric(
    "area-between-curves",
    better="higher",
    paper="Schulz et al. 2020, arXiv:2001.00396; Simic et al. 2022, doi:10.1145/3511808.3557418",
)
def area_between_curves(study: PerturbationExperiment, *, imputer: object = "mean") -> np.ndarray:
    """Integrate the difference between the curves of least and most relevant units first.

    Args:
        study: The maps and the model.
        imputer: The replacement of removed units.
    """
    least, most = study.curve(LEAST, imputer), study.curve(MOST, imputer)
    return area(least - most, study.fractions)


@metric("road-morf", better="lower", paper=_ROAD, order=MOST)
@metric("road-lerf", better="higher", paper=_ROAD, order=LEAST)
def road_one_way(study: PerturbationExperiment, *, order: Order, imputer: object = "linear") -> np.ndarray:
    """Compute the mean score over the steps of one order, with removed units interpolated.

    Args:
        study: The maps and the model.
        order: The units that go first.
        imputer: The replacement; noisy linear interpolation in the paper.
    """
    means: np.ndarray = study.curve(order, imputer)[:, 1:-1].mean(axis=1)
    return means


@metric("road", better="higher", paper=_ROAD)
def road(study: PerturbationExperiment, *, imputer: object = "linear") -> np.ndarray:
    """Compute half the gap between least and most relevant first, averaged over the steps.

    The steps leave out nothing and everything, by default 10 to 90 %. With probabilities the metric is between
    -1/2 and 1/2, and the scores of unchanged samples cancel.

    Args:
        study: The maps and the model.
        imputer: See ``road_one_way``.
    """
    least, most = (road_one_way(study, order=each, imputer=imputer) for each in (LEAST, MOST))
    gap: np.ndarray = (least - most) / 2
    return gap
