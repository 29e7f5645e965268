"""Metrics that read a curve: the score as more and more is taken away."""

from __future__ import annotations

import numpy as np

from signalcam.metrics.perturbation import Order, PerturbationExperiment
from signalcam.metrics.registry import metric

MOST: Order = "most relevant first"
LEAST: Order = "least relevant first"
_RISE = "Petsiuk et al. 2018, arXiv:1806.07421"
_ROAD = "Rong et al. 2022, arXiv:2202.00449"


def area(curve: np.ndarray, fractions: np.ndarray) -> np.ndarray:
    """Integrate ``(sample, step)`` over the share taken away, by the trapezoid rule: ``(sample,)``."""
    found: np.ndarray = np.trapezoid(curve, fractions, axis=1)
    return found


def normalised(curve: np.ndarray) -> np.ndarray:
    """Scale ``(sample, step)`` so that it starts at 1 and ends at 0; NaN where both ends are equal."""
    span = curve[:, :1] - curve[:, -1:]
    found: np.ndarray = (curve - curve[:, -1:]) / np.where(span, span, np.nan)
    return found


@metric("deletion", better="lower", paper=_RISE)
@metric("deletion-normalised", better="lower", paper=f"{_RISE}; scaled", scaled=True)
def deletion(study: PerturbationExperiment, *, imputer: object = "zero", scaled: bool = False) -> np.ndarray:
    """Integrate the score while the most relevant units are taken away.

    Args:
        study: The maps and the model.
        imputer: What stands in; zeros in the paper.
        scaled: Let every curve run from 1 to 0, so that samples of unlike confidence compare.
    """
    return _area(study, MOST, imputer, scaled=scaled)


@metric("insertion", better="higher", paper=_RISE)
@metric("insertion-normalised", better="higher", paper=f"{_RISE}; scaled", scaled=True)
def insertion(study: PerturbationExperiment, *, imputer: object = "blur", scaled: bool = False) -> np.ndarray:
    """Integrate the score while the most relevant units are put into an empty sample.

    Putting ``k`` of ``n`` in is taking the ``n - k`` least relevant away, so the area is that of the curve
    in which those go first.

    Args:
        study: The maps and the model.
        imputer: What an empty sample is; blurred in the paper.
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
    """Integrate how much more is lost with the most relevant units than with the least relevant.

    Args:
        study: The maps and the model.
        imputer: What stands in.
    """
    least, most = study.curve(LEAST, imputer), study.curve(MOST, imputer)
    return area(least - most, study.fractions)


@metric("road-morf", better="lower", paper=_ROAD, order=MOST)
@metric("road-lerf", better="higher", paper=_ROAD, order=LEAST)
def road_one_way(study: PerturbationExperiment, *, order: Order, imputer: object = "linear") -> np.ndarray:
    """Average the score over the steps of one order, what is taken away being interpolated.

    Args:
        study: The maps and the model.
        order: What goes first.
        imputer: What stands in; noisy linear interpolation in the paper.
    """
    found: np.ndarray = study.curve(order, imputer)[:, 1:-1].mean(axis=1)
    return found


@metric("road", better="higher", paper=_ROAD)
def road(study: PerturbationExperiment, *, imputer: object = "linear") -> np.ndarray:
    """Halve the gap between least and most relevant first, averaged over the steps.

    The steps leave out nothing and everything, by default 10 to 90 %. For probabilities it lies between
    -1/2 and 1/2, and the samples' own scores cancel.

    Args:
        study: The maps and the model.
        imputer: See ``road_one_way``.
    """
    least, most = (road_one_way(study, order=each, imputer=imputer) for each in (LEAST, MOST))
    found: np.ndarray = (least - most) / 2
    return found
