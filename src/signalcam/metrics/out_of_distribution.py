"""Here you find warnings about changed samples that are out of the model's distribution."""

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

_RARE = 0.05  # quantile of the confidence of unchanged samples; most changed ones below it are unusual
_STREAM = 1000  # of random numbers, other than those of the metrics


def confidence(study: PerturbationExperiment, imputer: Imputer) -> np.ndarray:
    """The model's largest probability with random units removed: ``(sample, share)``.

    Hendrycks and Gimpel 2017 (arXiv:1610.02136) detect samples out of distribution by it.
    """
    question = Question((Confidence(),), "probability", None, (np.zeros(0),), kind=None, output=study.question.output)
    asker, samples, units = study.asker, np.arange(study.count), study.units
    columns = [asker.score(question, samples, asker.x.__getitem__)]
    for share in SHARES[1:]:
        pick = study.subsets(share * units.count, 1, _STREAM)
        removed = np.concatenate([pick(int(i)) for i in samples])
        x = study.filled(samples, units.spread(~removed), imputer)
        columns.append(asker.score(question, samples, x.__getitem__))
    return np.stack(columns, axis=1)


def warn_of_confidence(by_imputer: Mapping[str, np.ndarray]) -> None:
    """Warn if scores of changed samples depend more on the imputer than on the map.

    Args:
        by_imputer: The output of ``confidence`` for each imputer.
    """
    for name, values in by_imputer.items():
        whole, partly, nothing = values.T
        if np.median(nothing) >= np.median(whole):
            _warn(
                f"with imputer {name!r} the model is as sure of samples with everything removed ({np.median(nothing):.2f}) as of the samples ({np.median(whole):.2f}): the replacement looks like a class to it. Choose another imputer, or compare several."
            )
        elif np.mean(partly < np.quantile(whole, _RARE)) > 1 / 2:
            _warn(
                f"with imputer {name!r} removing a random tenth of the units makes the model less sure of most samples than of the {_RARE:.0%} it is least sure of: they are out of distribution, which lowers scores too. Choose another imputer (such as 'linear' or 'sample') or wider windows."
            )


def _warn(message: str) -> None:
    warnings.warn(message, CamWarning, stacklevel=4)
