"""Here you find the metrics of random removals: infidelity, mu-fidelity, sensitivity-n, R-fidelity."""

from __future__ import annotations

from typing import Literal

import numpy as np

from signalcam.errors import MethodError
from signalcam.metrics.average_drop import correlation
from signalcam.metrics.perturbation import TRIALS, PerturbationExperiment, Picker
from signalcam.metrics.registry import metric

_INFIDELITY = "Yeh et al. 2019, arXiv:1901.09392"
_BOXES, _SETS, _SIZES, _FIDELITY = 0, 1, 2, 100  # streams of random numbers
_ROBUST, _FINE_TUNED = "Zheng et al. 2024, arXiv:2310.01820", "Zheng et al. 2024, arXiv:2410.02970"


def boxes(study: PerturbationExperiment, trials: int) -> Picker:
    """Draw one box of units for each trial; lengths and positions are uniform along each axis."""

    def pick(sample: int) -> np.ndarray:
        rng = np.random.default_rng((study.seed, TRIALS, _BOXES, sample))
        inside = np.ones((trials, *study.units.shape), bool)
        for axis, count in enumerate(study.units.shape, 1):
            length = rng.integers(1, count + 1, trials)
            start = rng.integers(0, count - length + 1)
            positions = np.arange(count)
            here = (positions >= start[:, None]) & (positions < (start + length)[:, None])
            inside &= np.expand_dims(here, [each for each in range(1, inside.ndim) if each != axis])
        return inside.reshape(trials, -1)

    return pick


def promised_effects(study: PerturbationExperiment, pick: Picker) -> np.ndarray:
    """The sum of the map over each random set, ``(sample, trial)``: the effect that it predicts."""
    return np.stack([pick(i) @ study.relevance[i] for i in range(study.count)])


def _effects(
    study: PerturbationExperiment, pick: Picker, trials: int, imputer: object
) -> tuple[np.ndarray, np.ndarray]:
    """The predicted and the measured loss of each set, ``(sample, trial)`` each."""
    return promised_effects(study, pick), study.score[:, None] - study.removed(trials, pick, imputer)


@metric("infidelity", better="lower", paper=_INFIDELITY)
@metric("infidelity-unscaled", better="lower", paper=_INFIDELITY, scaled=False)
def infidelity(
    study: PerturbationExperiment, *, trials: int = 200, imputer: object = "zero", scaled: bool = True
) -> np.ndarray:
    """Compute the mean squared difference between predicted and measured loss over random boxes.

    Maps of class activation methods have no units. The predictions of each sample are therefore first scaled by
    the least-squares factor ``sum(prediction * loss) / sum(prediction ** 2)``.

    Args:
        study: The maps and the model.
        trials: Boxes per sample.
        imputer: The replacement of removed units.
        scaled: ``False`` for maps in the units of the measure, whose sum over a box predicts the loss itself.
    """
    predicted, lost = _effects(study, boxes(study, trials), trials, imputer)
    size = (predicted**2).sum(axis=1)
    factor = (predicted * lost).sum(axis=1) / np.where(size > 0, size, 1) if scaled else np.ones(study.count)
    squares: np.ndarray = ((factor[:, None] * predicted - lost) ** 2).mean(axis=1)
    return squares


@metric("mufidelity", better="higher", paper="Bhatt et al. 2020, arXiv:2005.00631; Fel et al. 2021, arXiv:2009.04521")
def mufidelity(
    study: PerturbationExperiment, *, share: float = 0.2, trials: int = 200, imputer: object = "zero"
) -> np.ndarray:
    """Correlate the ranks of predicted and measured loss over random sets of units (Spearman).

    Args:
        study: The maps and the model.
        share: The share of units in a set.
        trials: Sets per sample.
        imputer: The replacement of removed units.
    """
    pick = study.subsets(share * study.units.count, trials, _SETS)
    predicted, lost = _effects(study, pick, trials, imputer)
    return correlation(_rank_rows(predicted), _rank_rows(lost))


def _rank_rows(rows: np.ndarray) -> np.ndarray:
    """Rank each row; ties share their mean rank."""
    ranks = np.empty(rows.shape)
    for row, values in zip(ranks, rows, strict=True):
        _, index, counts = np.unique(values, return_inverse=True, return_counts=True)
        row[:] = (np.cumsum(counts) - (counts - 1) / 2)[index]
    return ranks


@metric("sensitivity-n", better="higher", paper="Ancona et al. 2018, arXiv:1711.06104")
def sensitivity_n(
    study: PerturbationExperiment, *, sizes: int = 5, trials: int = 100, imputer: object = "zero"
) -> np.ndarray:
    """Correlate predicted and measured loss over random sets, averaged over set sizes of 1 to 80 % of the units.

    Args:
        study: The maps and the model.
        sizes: Number of sizes, evenly spaced on a logarithmic scale.
        trials: Sets of each size per sample.
        imputer: The replacement of removed units; zeros in the paper.
    """
    most = max(1.0, 0.8 * study.units.count)
    set_sizes = np.unique(np.round(np.geomspace(1, most, sizes)).astype(int))
    correlations = [
        correlation(*_effects(study, study.subsets(int(n), trials, _SIZES + i), trials, imputer))
        for i, n in enumerate(set_sizes)
    ]
    means: np.ndarray = np.mean(correlations, axis=0)
    return means


Side = Literal["map", "rest"]


@metric("r-fidelity-plus", better="higher", paper=_ROBUST, side="map")
@metric("r-fidelity-minus", better="lower", paper=_ROBUST, side="rest")
def r_fidelity(
    study: PerturbationExperiment,
    *,
    side: Side,
    alpha: float = 0.5,
    beta: float | None = None,
    trials: int = 50,
    imputer: object = "zero",
) -> np.ndarray:
    """Compute the mean loss when random parts of the map's top set, or of the rest, are removed.

    The mean is also over the sizes of the schedule. Each unit is removed with probability ``alpha``, so that samples
    stay closer to the model's training data than with all removed.

    Args:
        study: The maps and the model.
        side: ``"map"`` removes from the top set, ``"rest"`` from the other units.
        alpha: Probability of removal of each unit of the set.
        beta: The largest expected share of all units to remove; ``None`` for any.
        trials: Random removals for each size and sample.
        imputer: The replacement of removed units.
    """
    count = study.units.count
    sizes = [int(each) for each in study.counts[1:] if side == "map" or each < count]

    def lost(number: int, size: int) -> np.ndarray:
        set_size = size if side == "map" else count - size
        probability = alpha if beta is None else min(alpha, beta * count / set_size)

        def pick(sample: int) -> np.ndarray:
            rng = np.random.default_rng((study.seed, TRIALS, _FIDELITY + number, sample))
            top = study.ranks[sample] < size
            removed: np.ndarray = (rng.random((trials, count)) < probability) & (top if side == "map" else ~top)
            return removed

        losses: np.ndarray = study.score - study.removed(trials, pick, imputer).mean(axis=1)
        return losses

    means: np.ndarray = np.mean([lost(*each) for each in enumerate(sizes)], axis=0)
    return means


@metric("f-fidelity-plus", better="higher", paper=_FINE_TUNED, side="map")
@metric("f-fidelity-minus", better="lower", paper=_FINE_TUNED, side="rest")
def f_fidelity(
    study: PerturbationExperiment,
    *,
    side: Side,
    alpha: float = 0.5,
    beta: float = 0.1,
    trials: int = 50,
    imputer: object = "zero",
) -> np.ndarray:
    """Compute R-fidelity with a model that was fine-tuned on samples with random parts removed.

    Args:
        study: The maps and the model.
        side: See ``r_fidelity``.
        alpha: See ``r_fidelity``.
        beta: The largest share of a sample that was removed in fine-tuning.
        trials: See ``r_fidelity``.
        imputer: The replacement used in fine-tuning.

    Raises:
        MethodError: There is no fine-tuned model.
    """
    if study.retrained is None:
        message = "f-fidelity needs a model fine-tuned with random parts of its inputs removed. Pass it as fine_tuned=..., or use r-fidelity-plus and r-fidelity-minus."
        raise MethodError(message)
    return r_fidelity(study.retrained, side=side, alpha=alpha, beta=beta, trials=trials, imputer=imputer)
