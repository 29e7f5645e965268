"""How far each map of a job can be trusted: metrics, worked out from the maps as they are stored."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from signalcam.errors import CamWarning, JobError
from signalcam.jobs.codec import restore_maps
from signalcam.jobs.columns import _CELL

if TYPE_CHECKING:
    import xarray as xr

    from signalcam.jobs.config_sections import MetricsSection
    from signalcam.results.explanation import Explanation

_log = logging.getLogger("signalcam")


# --- in the store ------------------------------------------------------------------------------------


def dataset(about: Mapping[str, Any], exp: Explanation, values: np.ndarray) -> xr.Dataset:
    """The scores of a store in the form of ``evaluate``, without its curves."""
    from signalcam.metrics import find  # noqa: PLC0415 - only where there are scores
    from signalcam.metrics.aggregate import MetricValues, label_values  # noqa: PLC0415

    known, asked = about["facts"]["metrics"], about["job"]["metrics"]
    beside = [each for each in known["methods"] if each not in exp.methods]
    told = {**exp.provenance, "measure": asked["measure"], "seed": asked["seed"], "baselines": ", ".join(beside)}
    whole = np.moveaxis(values.astype(np.float64), 1, 0)
    found = MetricValues(whole, {}, {}, _measured(exp, asked["measure"]), np.empty((0, 0)))
    metrics = [find(each) for each in known["names"]]
    return label_values(exp, metrics, found, methods=known["methods"], seed=asked["seed"], about=told)


def _measured(exp: Explanation, measure: str) -> np.ndarray:
    """The probability of each target's class, where that was measured."""
    if measure != "probability" or exp.probabilities is None:
        return np.full(exp.scores.shape, np.nan)
    known = np.take_along_axis(exp.probabilities, np.maximum(exp.target_classes, 0), axis=1)
    return np.where(exp.target_classes >= 0, known, np.nan)


# --- in a process ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scorer:
    """Scores maps as a job asks for it.

    Attributes:
        asked: Its section.
        model: The network.
        target: The questions, as ``explain`` takes them.
        batch: Rows at a time.
    """

    asked: MetricsSection
    model: Any
    target: Any
    batch: int

    def facts(self, exp: Explanation) -> dict[str, Any]:
        """What a first sample says of the scores of all.

        Raises:
            JobError: It cannot be scored so.
        """
        try:
            found = self._scored(exp.isel(sample=[0, 0]))  # two, as one may be filled from another
        except Exception as error:
            message = f"metrics: a first sample cannot be scored ({error})"
            raise JobError(message) from error
        return {name: found[axis].values.tolist() for name, axis in (("names", "metric"), ("methods", "cam"))}

    def fill(
        self,
        about: Mapping[str, Any],
        rows: Mapping[str, np.ndarray],
        explained: Sequence[tuple[np.ndarray, Explanation]],
        *,
        stop: bool,
    ) -> None:
        """Score the samples of a batch, of which the maps are in the rows of their unit; what cannot be scored stays NaN.

        Raises:
            JobError: Something cannot be scored, and the job says to stop then.
        """
        kept = [(here, np.isfinite(rows["peak_0"][here]).all(axis=(1, 2)), exp.input) for here, exp in explained]
        some = [(here[good], inputs[good]) for here, good, inputs in kept if good.any()]
        if some:
            here, inputs = (np.concatenate(each) for each in zip(*some, strict=True))
            self._fill(rows, here, _whole(about, rows, here, inputs), stop=stop)

    def _fill(self, rows: Mapping[str, np.ndarray], here: np.ndarray, exp: Explanation, *, stop: bool) -> None:
        try:
            values = self._scored(exp)["value"].transpose("sample", "metric", *_CELL).values
        except Exception as error:  # as where a sample cannot be explained
            if stop:
                message = f"the maps of a batch cannot be scored ({error}). Write on_error = 'record' under [engine] to go on without their scores."
                raise JobError(message) from error
            if len(here) > 1:
                for number, row in enumerate(here):
                    self._fill(rows, row[None], exp.isel(sample=number), stop=stop)
                return
            _log.info("sample %s cannot be scored: %s", exp.sample_names[0], error)
            return
        rows["metrics"][here] = values

    def _scored(self, exp: Explanation) -> xr.Dataset:
        from signalcam.metrics import evaluate  # noqa: PLC0415 - only where scores are asked for

        asked = self.asked
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", CamWarning)
            found = evaluate(
                exp,
                self.model,
                list(asked.names),
                measure=asked.measure,
                seed=asked.seed,
                imputer=asked.imputer,
                steps=asked.steps,
                window=asked.window,
                baselines=list(asked.baselines),
                batch_size=self.batch,
                target=self.target if (exp.target_classes < 0).any() else None,
            )
        for each in said:
            _log.info("scores of samples %s to %s: %s", exp.sample_names[0], exp.sample_names[-1], each.message)
        return found


def _whole(
    about: Mapping[str, Any], rows: Mapping[str, np.ndarray], here: np.ndarray, inputs: np.ndarray
) -> Explanation:
    """Some samples of a unit as an explanation, as it will be read from the store."""
    from signalcam.jobs.rebuild import rebuild_explanation  # noqa: PLC0415 - needs this module

    maps = [
        restore_maps(rows[f"maps_{i}"][here], rows[f"peak_{i}"][here]) for i in range(len(about["facts"]["layers"]))
    ]
    names = rows["sample"][here] if "sample" in rows else np.arange(len(here))
    return rebuild_explanation(
        about, lambda name: rows[name][here] if name in rows else None, maps, inputs, tuple(names.tolist())
    )
