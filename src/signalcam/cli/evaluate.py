"""Score a result that lies on disk."""

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
    """Evaluate a saved result.

    Args:
        path: Where it lies.
        model: Where the model is, see ``signalcam.cli.model_import.import_model``.
        metrics: As for ``evaluate``, its own by default.
        options: Of ``evaluate``.

    Returns:
        The result with its scores, and a table and a verdict of those asked for.

    Raises:
        CamError: There is no such result or model, or they do not fit.
    """
    exp = load(path)
    scores = evaluate(exp, import_model(model), list(metrics or DEFAULT), **options)
    scored = exp.with_scores(scores)
    names = scores["cam"].values.tolist()
    baselines = [each for each in BASELINES if each in names]
    own = [each for each in names if each not in baselines]
    here = cast("xr.Dataset", scored.metrics).sel({"metric": scores["metric"].values})
    table = compare_to_baselines(here, [*own, *baselines], baselines)
    return scored, f"{as_text(table)}\n\n{verdict(table)}"
