"""Evaluation of a result on disk, for ``signalcam evaluate``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from signalcam.cli.model_import import import_model
from signalcam.io import load
from signalcam.metrics.evaluate import BASELINES, DEFAULT, evaluate
from signalcam.metrics.verdict import as_text, compare_to_baselines, verdict
from signalcam.results.explanation import Explanation

if TYPE_CHECKING:
    import xarray as xr


def evaluate_stored(
    path: str, model: str, metrics: Sequence[str] | None = None, **options: Any
) -> tuple[Explanation, str]:
    """Evaluate a stored result; return it with its scores, and a table with verdict.

    Args:
        path: Path of the result.
        model: ``"module:function"`` of the model; see ``signalcam.cli.model_import.import_model``.
        metrics: Names of metrics; by default those of ``signalcam.metrics.evaluate``.
        options: Options of ``signalcam.metrics.evaluate``.

    Raises:
        CamError: The result or the model is missing, or they do not fit.
    """
    exp = load(path)
    scores = evaluate(exp, import_model(model), list(metrics or DEFAULT), **options)
    scored = exp.with_scores(scores)
    names = scores["cam"].values.tolist()
    baselines = [each for each in BASELINES if each in names]
    evaluated = [each for each in names if each not in baselines]
    chosen_scores = cast("xr.Dataset", scored.metrics).sel({"metric": scores["metric"].values})
    table = compare_to_baselines(chosen_scores, [*evaluated, *baselines], baselines)
    return scored, f"{as_text(table)}\n\n{verdict(table)}"
