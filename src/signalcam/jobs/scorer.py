"""Scoring of a job's maps by metrics, computed from the maps as they are stored."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from signalcam.errors import CamWarning, JobError
from signalcam.jobs.codec import restore_maps
from signalcam.jobs.columns import MAP_AXES

if TYPE_CHECKING:
    import xarray as xr

    from signalcam.jobs.config_sections import MetricsSection
    from signalcam.results.explanation import Explanation

_log = logging.getLogger("signalcam")


# --- in the store ------------------------------------------------------------------------------------


def scores_dataset(about: Mapping[str, Any], exp: Explanation, values: np.ndarray) -> xr.Dataset:
    """Stored scores as a data set like that of ``evaluate``, without curves."""
    from signalcam.metrics import find  # noqa: PLC0415 - only where there are scores
    from signalcam.metrics.aggregate import MetricValues, label_values  # noqa: PLC0415

    facts, section = about["facts"]["metrics"], about["job"]["metrics"]
    baselines = [each for each in facts["methods"] if each not in exp.methods]
    provenance = {
        **exp.provenance,
        "measure": section["measure"],
        "seed": section["seed"],
        "baselines": ", ".join(baselines),
    }
    by_metric = np.moveaxis(values.astype(np.float64), 1, 0)
    scores = MetricValues(by_metric, {}, {}, _class_probabilities(exp, section["measure"]), np.empty((0, 0)))
    metrics = [find(each) for each in facts["names"]]
    return label_values(exp, metrics, scores, methods=facts["methods"], seed=section["seed"], about=provenance)


def _class_probabilities(exp: Explanation, measure: str) -> np.ndarray:
    """Probability of each target's class, ``(sample, target)``; NaN if another measure was used."""
    if measure != "probability" or exp.probabilities is None:
        return np.full(exp.scores.shape, np.nan)
    probability = np.take_along_axis(exp.probabilities, np.maximum(exp.target_classes, 0), axis=1)
    return np.where(exp.target_classes >= 0, probability, np.nan)


# --- in a process ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scorer:
    """Score maps by the metrics of a job."""

    section: MetricsSection
    model: Any
    target: Any
    batch: int

    def facts(self, exp: Explanation) -> dict[str, Any]:
        """Score a first sample; return the names of metrics and methods."""
        try:
            scores = self._evaluate(exp.isel(sample=[0, 0]))  # twice, as an imputer may fill one sample from another
        except Exception as error:
            message = f"metrics: a first sample cannot be scored ({error})"
            raise JobError(message) from error
        return {name: scores[axis].values.tolist() for name, axis in (("names", "metric"), ("methods", "cam"))}

    def fill(
        self,
        about: Mapping[str, Any],
        rows: Mapping[str, np.ndarray],
        explained: Sequence[tuple[np.ndarray, Explanation]],
        *,
        stop: bool,
    ) -> None:
        """Score the maps of a batch into ``rows``; failures stay NaN, or raise ``JobError`` if ``stop``."""
        good_rows = [
            (rows_of, np.isfinite(rows["peak_0"][rows_of]).all(axis=(1, 2)), exp.input) for rows_of, exp in explained
        ]
        scorable = [(rows_of[good], inputs[good]) for rows_of, good, inputs in good_rows if good.any()]
        if scorable:
            rows_of, inputs = (np.concatenate(each) for each in zip(*scorable, strict=True))
            self._fill(rows, rows_of, _stored_explanation(about, rows, rows_of, inputs), stop=stop)

    def _fill(self, rows: Mapping[str, np.ndarray], rows_of: np.ndarray, exp: Explanation, *, stop: bool) -> None:
        try:
            values = self._evaluate(exp)["value"].transpose("sample", "metric", *MAP_AXES).values
        except Exception as error:  # as where a sample cannot be explained
            if stop:
                message = f"the maps of a batch cannot be scored ({error}). Write on_error = 'record' under [engine] to go on without their scores."
                raise JobError(message) from error
            if len(rows_of) > 1:
                for number, row in enumerate(rows_of):
                    self._fill(rows, row[None], exp.isel(sample=number), stop=stop)
                return
            _log.info("sample %s cannot be scored: %s", exp.sample_names[0], error)
            return
        rows["metrics"][rows_of] = values

    def _evaluate(self, exp: Explanation) -> xr.Dataset:
        from signalcam.metrics import evaluate  # noqa: PLC0415 - only where scores are asked for

        section = self.section
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", CamWarning)
            scores = evaluate(
                exp,
                self.model,
                list(section.names),
                measure=section.measure,
                seed=section.seed,
                imputer=section.imputer,
                steps=section.steps,
                window=section.window,
                baselines=list(section.baselines),
                batch_size=self.batch,
                target=self.target if (exp.target_classes < 0).any() else None,
            )
        for warning in caught:
            _log.info("scores of samples %s to %s: %s", exp.sample_names[0], exp.sample_names[-1], warning.message)
        return scores


def _stored_explanation(
    about: Mapping[str, Any], rows: Mapping[str, np.ndarray], rows_of: np.ndarray, inputs: np.ndarray
) -> Explanation:
    """Build the explanation of some samples of a unit, as it will be read from the store."""
    from signalcam.jobs.rebuild import rebuild_explanation  # noqa: PLC0415 - needs this module

    maps = [
        restore_maps(rows[f"maps_{i}"][rows_of], rows[f"peak_{i}"][rows_of])
        for i in range(len(about["facts"]["layers"]))
    ]
    names = rows["sample"][rows_of] if "sample" in rows else np.arange(len(rows_of))
    return rebuild_explanation(
        about, lambda name: rows[name][rows_of] if name in rows else None, maps, inputs, tuple(names.tolist())
    )
