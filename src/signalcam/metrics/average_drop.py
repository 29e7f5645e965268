"""Metrics that look through a map: the sample shown only as far as the map lets it through."""

from __future__ import annotations

import numpy as np

from signalcam.errors import MethodError
from signalcam.metrics.perturbation import PerturbationExperiment
from signalcam.metrics.registry import metric
from signalcam.results.normalization import affine

_GRAD_CAM_PP = "Chattopadhyay et al. 2018, arXiv:1710.11063"
_ADCC = "Poppi et al. 2021, arXiv:2104.10252"


def _mask(study: PerturbationExperiment) -> tuple[np.ndarray, np.ndarray]:
    """Return the maps scaled to 0..1, ``(sample, *axes)``, and which samples' maps are not constant."""
    flat = study.maps.reshape(study.count, -1).astype(np.float64)
    shift, scale = affine(flat, "minmax")
    scaled = (flat - shift[:, None]) * scale[:, None]
    return scaled.reshape(study.maps.shape), scale != 0


def _where(values: np.ndarray, defined: np.ndarray) -> np.ndarray:
    return np.where(defined, values, np.nan)


def _shown(study: PerturbationExperiment, imputer: object) -> tuple[np.ndarray, np.ndarray]:
    """Return the score of each sample seen through its map, and which maps are not constant."""
    mask, defined = _mask(study)
    return study.scored(study.lit(mask, imputer)), defined


@metric("average-drop", better="lower", paper=_GRAD_CAM_PP)
def average_drop(study: PerturbationExperiment, *, imputer: object = "zero") -> np.ndarray:
    """Take the share of the score that is lost when only what the map shows is left.

    A map of 1 all over but for one position has almost no drop: read it beside complexity, or ADCC.

    Args:
        study: The maps and the model.
        imputer: What the hidden part is; zero in the paper, which multiplies.
    """
    own = study.score
    shown, defined = _shown(study, imputer)
    lost = np.maximum(own - shown, 0) / np.where(own > 0, own, np.nan)
    return _where(lost, defined)


@metric("increase-in-confidence", better="higher", paper=_GRAD_CAM_PP)
def increase_in_confidence(study: PerturbationExperiment, *, imputer: object = "zero") -> np.ndarray:
    """Say whether the score rises when only what the map shows is left: 1 or 0.

    Args:
        study: The maps and the model.
        imputer: See ``average_drop``.
    """
    shown, defined = _shown(study, imputer)
    return _where((shown > study.score).astype(float), defined)


@metric("average-gain", better="higher", paper="Zhang et al. 2023, arXiv:2301.07002")
def average_gain(study: PerturbationExperiment, *, imputer: object = "zero") -> np.ndarray:
    """Take how much of the probability still missing to 1 is won when only what the map shows is left.

    Args:
        study: The maps and the model.
        imputer: See ``average_drop``.

    Raises:
        MethodError: Something else than a probability is measured.
    """
    if study.question.score != "probability":
        message = "average-gain divides by 1 - p, which asks for probabilities. Pass measure='probability'."
        raise MethodError(message)
    own = study.score
    shown, defined = _shown(study, imputer)
    won = np.maximum(shown - own, 0) / np.where(own < 1, 1 - own, np.nan)
    return _where(won, defined)


@metric("coherency", better="higher", paper=_ADCC)
def coherency(study: PerturbationExperiment, *, imputer: object = "zero") -> np.ndarray:
    """Correlate the map with the map of what it shows, from 0 to 1.

    Args:
        study: The maps and the model.
        imputer: See ``average_drop``.
    """
    mask, _ = _mask(study)
    again = study.explained(study.lit(mask, imputer))
    rows = (each.reshape(study.count, -1).astype(np.float64) for each in (mask, again))
    found: np.ndarray = (1 + correlation(*rows)) / 2
    return found


@metric("complexity", better="lower", paper=_ADCC)
def complexity(study: PerturbationExperiment) -> np.ndarray:
    """Average the map, scaled to 0..1.

    Args:
        study: The maps and the model.
    """
    mask, defined = _mask(study)
    return _where(mask.reshape(study.count, -1).mean(axis=1), defined)


@metric("adcc", better="higher", paper=_ADCC)
def adcc(study: PerturbationExperiment, *, imputer: object = "zero") -> np.ndarray:
    """Take the harmonic mean of coherency, 1 - complexity and 1 - average drop, sample by sample.

    Args:
        study: The maps and the model.
        imputer: See ``average_drop``.
    """
    parts = np.stack(
        [coherency(study, imputer=imputer), 1 - complexity(study), 1 - average_drop(study, imputer=imputer)]
    )
    nothing = (parts <= 0).any(axis=0)
    harmonic = len(parts) / (1 / np.where(nothing, 1, parts)).sum(axis=0)
    return np.where(nothing & ~np.isnan(parts).any(axis=0), 0, harmonic)


def correlation(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Pearson's correlation of each row; NaN where a row is constant."""
    a, b = (each - each.mean(axis=1, keepdims=True) for each in (one, other))
    size = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    flat = (np.ptp(one, axis=1) == 0) | (np.ptp(other, axis=1) == 0)
    found: np.ndarray = (a * b).sum(axis=1) / np.where(flat | (size == 0), np.nan, size)
    return found
