"""Metrics that take random sets away and compare what the map promised with what was lost."""

from __future__ import annotations

from typing import Literal

import numpy as np

from signalcam.errors import MethodError
from signalcam.metrics.average_drop import correlation
from signalcam.metrics.perturbation import TRIALS, PerturbationExperiment, Picker
from signalcam.metrics.registry import metric

_INFIDELITY = "Yeh et al. 2019, arXiv:1901.09392"
_BOXES, _SETS, _SIZES, _KEPT = 0, 1, 2, 100  # streams of chance
_ROBUST, _FINE_TUNED = "Zheng et al. 2024, arXiv:2310.01820", "Zheng et al. 2024, arXiv:2410.02970"


def boxes(study: PerturbationExperiment, trials: int) -> Picker:
    """Draw one box of units for each trial, every length and place along each axis equally likely."""

    def pick(sample: int) -> np.ndarray:
        rng = np.random.default_rng((study.seed, TRIALS, _BOXES, sample))
        inside = np.ones((trials, *study.units.shape), bool)
        for axis, count in enumerate(study.units.shape, 1):
            length = rng.integers(1, count + 1, trials)
            start = rng.integers(0, count - length + 1)
            places = np.arange(count)
            here = (places >= start[:, None]) & (places < (start + length)[:, None])
            inside &= np.expand_dims(here, [each for each in range(1, inside.ndim) if each != axis])
        return inside.reshape(trials, -1)

    return pick


def promised_effects(study: PerturbationExperiment, pick: Picker) -> np.ndarray:
    """What the map says of each set: the sum of its importance there, ``(sample, trial)``."""
    return np.stack([pick(i) @ study.relevance[i] for i in range(study.count)])


def _effects(
    study: PerturbationExperiment, pick: Picker, trials: int, imputer: object
) -> tuple[np.ndarray, np.ndarray]:
    """What the map promised and what was lost, ``(sample, trial)`` each."""
    return promised_effects(study, pick), study.score[:, None] - study.removed(trials, pick, imputer)


@metric("infidelity", better="lower", paper=_INFIDELITY)
@metric("infidelity-unscaled", better="lower", paper=_INFIDELITY, scaled=False)
def infidelity(
    study: PerturbationExperiment, *, trials: int = 200, imputer: object = "zero", scaled: bool = True
) -> np.ndarray:
    """Square the difference between what the map promised for a random box and what was lost with it.

    A map of a class activation method has no units, so its promises are first scaled by the factor that fits
    them best: ``sum(promise * loss) / sum(promise ** 2)``, for each sample.

    Args:
        study: The maps and the model.
        trials: Boxes a sample.
        imputer: What stands in.
        scaled: ``False`` for maps in the units of the measure, whose sum over a box is the loss itself.
    """
    promise, lost = _effects(study, boxes(study, trials), trials, imputer)
    size = (promise**2).sum(axis=1)
    factor = (promise * lost).sum(axis=1) / np.where(size > 0, size, 1) if scaled else np.ones(study.count)
    found: np.ndarray = ((factor[:, None] * promise - lost) ** 2).mean(axis=1)
    return found


@metric("mufidelity", better="higher", paper="Bhatt et al. 2020, arXiv:2005.00631; Fel et al. 2021, arXiv:2009.04521")
def mufidelity(
    study: PerturbationExperiment, *, share: float = 0.2, trials: int = 200, imputer: object = "zero"
) -> np.ndarray:
    """Correlate the ranks of promise and loss over random sets of units (Spearman).

    Args:
        study: The maps and the model.
        share: Of the units that a set has.
        trials: Sets a sample.
        imputer: What stands in.
    """
    pick = study.subsets(share * study.units.count, trials, _SETS)
    promise, lost = _effects(study, pick, trials, imputer)
    return correlation(_ranked(promise), _ranked(lost))


def _ranked(rows: np.ndarray) -> np.ndarray:
    """Rank each row; equal values share the mean of their ranks."""
    found = np.empty(rows.shape)
    for row, values in zip(found, rows, strict=True):
        _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
        row[:] = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return found


@metric("sensitivity-n", better="higher", paper="Ancona et al. 2018, arXiv:1711.06104")
def sensitivity_n(
    study: PerturbationExperiment, *, sizes: int = 5, trials: int = 100, imputer: object = "zero"
) -> np.ndarray:
    """Correlate promise and loss over random sets of one size, averaged over sizes from 1 to 80 % of the units.

    Args:
        study: The maps and the model.
        sizes: How many sizes, evenly spaced on a logarithmic scale.
        trials: Sets of each size a sample.
        imputer: What stands in; zeros in the paper.
    """
    most = max(1.0, 0.8 * study.units.count)
    wanted = np.unique(np.round(np.geomspace(1, most, sizes)).astype(int))
    every = [
        correlation(*_effects(study, study.subsets(int(n), trials, _SIZES + i), trials, imputer))
        for i, n in enumerate(wanted)
    ]
    found: np.ndarray = np.mean(every, axis=0)
    return found


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
    """Average what is lost when parts of the map's top set, or of the rest, are removed at random.

    Averaged over the sizes of the schedule. Each unit goes with probability ``alpha``, so that samples stay
    nearer to what the model knows than where all go.

    Args:
        study: The maps and the model.
        side: ``"map"`` removes from the top set, ``"rest"`` from what is not in it.
        alpha: How likely each unit of the set is to go.
        beta: The largest share of all units that may go in the mean; ``None`` for any.
        trials: Random removals for each size and sample.
        imputer: What stands in.
    """
    count = study.units.count
    sizes = [int(each) for each in study.counts[1:] if side == "map" or each < count]

    def lost(number: int, size: int) -> np.ndarray:
        own = size if side == "map" else count - size
        likely = alpha if beta is None else min(alpha, beta * count / own)

        def pick(sample: int) -> np.ndarray:
            rng = np.random.default_rng((study.seed, TRIALS, _KEPT + number, sample))
            top = study.ranks[sample] < size
            gone: np.ndarray = (rng.random((trials, count)) < likely) & (top if side == "map" else ~top)
            return gone

        found: np.ndarray = study.score - study.removed(trials, pick, imputer).mean(axis=1)
        return found

    found: np.ndarray = np.mean([lost(*each) for each in enumerate(sizes)], axis=0)
    return found


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
    """Do as R-fidelity with a model that was fine-tuned on samples with random parts removed.

    Args:
        study: The maps and the model.
        side: See ``r_fidelity``.
        alpha: See ``r_fidelity``.
        beta: The largest share of a sample that was removed in fine-tuning.
        trials: See ``r_fidelity``.
        imputer: What stood in while fine-tuning.

    Raises:
        MethodError: There is no fine-tuned model.
    """
    if study.retrained is None:
        message = "f-fidelity asks a model that was trained on with random parts of its inputs removed. Pass it as fine_tuned=..., or take r-fidelity-plus and r-fidelity-minus."
        raise MethodError(message)
    return r_fidelity(study.retrained, side=side, alpha=alpha, beta=beta, trials=trials, imputer=imputer)
