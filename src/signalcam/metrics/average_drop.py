"""Here you find the metrics that mask a sample by its map: average drop, coherency, ADCC, ..."""

from __future__ import annotations

import numpy as np

from signalcam.errors import MethodError
from signalcam.metrics.perturbation import PerturbationExperiment
from signalcam.metrics.registry import metric
from signalcam.results.normalization import affine

_GRAD_CAM_PP = "Chattopadhyay et al. 2018, arXiv:1710.11063"
_ADCC = "Poppi et al. 2021, arXiv:2104.10252"


def _scale_maps(study: PerturbationExperiment) -> tuple[np.ndarray, np.ndarray]:
    """Return the maps scaled to 0..1, ``(sample, *axes)``, and whether each map is not constant."""
    flat = study.maps.reshape(study.count, -1).astype(np.float64)
    shift, scale = affine(flat, "minmax")
    scaled = (flat - shift[:, None]) * scale[:, None]
    return scaled.reshape(study.maps.shape), scale != 0


def _only_where(values: np.ndarray, defined: np.ndarray) -> np.ndarray:
    return np.where(defined, values, np.nan)


def _score_masked(study: PerturbationExperiment, imputer: object) -> tuple[np.ndarray, np.ndarray]:
    """Return the score of each masked sample, and whether its map is not constant."""
    masks, defined = _scale_maps(study)
    return study.scored(study.lit(masks, imputer)), defined


@metric("average-drop", better="lower", paper=_GRAD_CAM_PP)
def average_drop(study: PerturbationExperiment, *, imputer: object = "zero") -> np.ndarray:
    """Compute the share of the score that is lost when a sample is masked by its map.

    A map that is 1 except at one position has almost no drop. Read this metric with complexity, or use ADCC.

    Args:
        study: The maps and the model.
        imputer: The value of masked parts; zero in the paper, which multiplies.
    """
    score = study.score
    masked_score, defined = _score_masked(study, imputer)
    lost = np.maximum(score - masked_score, 0) / np.where(score > 0, score, np.nan)
    return _only_where(lost, defined)


@metric("increase-in-confidence", better="higher", paper=_GRAD_CAM_PP)
def increase_in_confidence(study: PerturbationExperiment, *, imputer: object = "zero") -> np.ndarray:
    """Compute whether the score rises when a sample is masked by its map: 1 or 0.

    Args:
        study: The maps and the model.
        imputer: See ``average_drop``.
    """
    masked_score, defined = _score_masked(study, imputer)
    return _only_where((masked_score > study.score).astype(float), defined)


@metric("average-gain", better="higher", paper="Zhang et al. 2023, arXiv:2301.07002")
def average_gain(study: PerturbationExperiment, *, imputer: object = "zero") -> np.ndarray:
    """Compute the gain of probability under the mask, as a share of the largest possible gain.

    Args:
        study: The maps and the model.
        imputer: See ``average_drop``.

    Raises:
        MethodError: The measure is not a probability.
    """
    if study.question.score != "probability":
        message = "average-gain divides by 1 - p, which needs probabilities. Pass measure='probability'."
        raise MethodError(message)
    score = study.score
    masked_score, defined = _score_masked(study, imputer)
    won = np.maximum(masked_score - score, 0) / np.where(score < 1, 1 - score, np.nan)
    return _only_where(won, defined)


@metric("coherency", better="higher", paper=_ADCC)
def coherency(study: PerturbationExperiment, *, imputer: object = "zero") -> np.ndarray:
    """Correlate the map with the map of the masked sample; scaled to 0..1.

    Args:
        study: The maps and the model.
        imputer: See ``average_drop``.
    """
    mask, _ = _scale_maps(study)
    masked_maps = study.explained(study.lit(mask, imputer))
    rows = (each.reshape(study.count, -1).astype(np.float64) for each in (mask, masked_maps))
    scaled: np.ndarray = (1 + correlation(*rows)) / 2
    return scaled


@metric("complexity", better="lower", paper=_ADCC)
def complexity(study: PerturbationExperiment) -> np.ndarray:
    """Compute the mean of the map, scaled to 0..1.

    Args:
        study: The maps and the model.
    """
    mask, defined = _scale_maps(study)
    return _only_where(mask.reshape(study.count, -1).mean(axis=1), defined)


@metric("adcc", better="higher", paper=_ADCC)
def adcc(study: PerturbationExperiment, *, imputer: object = "zero") -> np.ndarray:
    """Compute the harmonic mean of coherency, 1 - complexity and 1 - average drop of each sample.

    Args:
        study: The maps and the model.
        imputer: See ``average_drop``.
    """
    parts = np.stack(
        [coherency(study, imputer=imputer), 1 - complexity(study), 1 - average_drop(study, imputer=imputer)]
    )
    zero = (parts <= 0).any(axis=0)
    harmonic = len(parts) / (1 / np.where(zero, 1, parts)).sum(axis=0)
    return np.where(zero & ~np.isnan(parts).any(axis=0), 0, harmonic)


def correlation(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Pearson correlation of the rows of two arrays, ``(row,)``; NaN where a row is constant."""
    a, b = (each - each.mean(axis=1, keepdims=True) for each in (one, other))
    size = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    flat = (np.ptp(one, axis=1) == 0) | (np.ptp(other, axis=1) == 0)
    coefficients: np.ndarray = (a * b).sum(axis=1) / np.where(flat | (size == 0), np.nan, size)
    return coefficients
