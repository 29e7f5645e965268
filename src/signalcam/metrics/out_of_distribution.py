"""Whether changed samples are still something the model knows, by how sure it is of them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np

from signalcam.errors import CamWarning
from signalcam.metrics.aggregate import SHARES
from signalcam.metrics.imputers import Imputer
from signalcam.metrics.model_calls import Confidence
from signalcam.metrics.perturbation import PerturbationExperiment
from signalcam.targets import Question

_RARE = 0.05  # of the samples as they are: surer than so few is out of the ordinary
_STREAM = 1000  # of random sets, apart from those of the metrics


def confidence(study: PerturbationExperiment, imputer: Imputer) -> np.ndarray:
    """How sure the model is where some units are taken away at random: ``(sample, share)``.

    The largest probability, by which Hendrycks and Gimpel 2017 (arXiv:1610.02136) tell samples out of
    distribution.
    """
    question = Question((Confidence(),), "probability", None, (np.zeros(0),), kind=None, output=study.question.output)
    asker, samples, units = study.asker, np.arange(study.count), study.units
    columns = [asker.about(question, samples, asker.x.__getitem__)]
    for share in SHARES[1:]:
        pick = study.subsets(share * units.count, 1, _STREAM)
        gone = np.concatenate([pick(int(i)) for i in samples])
        x = study.filled(samples, units.spread(~gone), imputer)
        columns.append(asker.about(question, samples, x.__getitem__))
    return np.stack(columns, axis=1)


def warn_of_confidence(found: Mapping[str, np.ndarray]) -> None:
    """Warn where scores of changed samples say more about the imputer than about the map.

    Args:
        found: By imputer, what ``confidence`` gave.
    """
    for name, values in found.items():
        whole, some, nothing = values.T
        if np.median(nothing) >= np.median(whole):
            _warn(
                f"with imputer {name!r} the model is as sure of samples with nothing left ({np.median(nothing):.2f}) as of the samples ({np.median(whole):.2f}): it knows what stands in as a class of its own, and curves do not end at ignorance. Choose another imputer, or compare several."
            )
        elif np.mean(some < np.quantile(whole, _RARE)) > 1 / 2:
            _warn(
                f"with imputer {name!r} a tenth of the units, drawn at random, leaves the model less sure of most samples than it is of the {_RARE:.0%} of samples it is least sure of: they are out of its distribution, and scores fall for that, too. Choose another imputer (such as 'linear' or 'sample') or wider windows."
            )


def _warn(message: str) -> None:
    warnings.warn(message, CamWarning, stacklevel=4)
