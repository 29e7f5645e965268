"""Warnings about maps that are blank, not finite or show no place."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from signalcam.attribution.registry import Method
from signalcam.errors import CamWarning
from signalcam.explainer.batch_result import BatchResult, concatenate_outputs
from signalcam.targets import NO_CLASS
from signalcam.targets.score_functions import FALL_BACK

_FLAWS = {
    1: "all zero because the gradient is zero (for methods that keep only what is positive, nowhere positive): "
    "the score is saturated, or does not depend on this layer. Choose an earlier layer",
    2: "all zero because no position speaks for the target: all evidence is negative. Look at "
    "signed=True, another method (hires-cam) or an earlier layer",
    3: "not finite: the model's scores or gradients overflow. Look at exp.scores and at the inputs",
    4: "the same everywhere, so it shows no place. Choose an earlier layer",
}


_SILENT = "all zero because nothing stands out in what the layer gives. Choose another layer"


def warn_of_score(parts: Sequence[BatchResult]) -> None:
    """Warn once where log-odds replace logits that are unknown, and where these overflow."""
    outputs = concatenate_outputs(parts)
    values = outputs.scores[:, (outputs.index != NO_CLASS).any(axis=0)]
    if not values.size or all(part.score != FALL_BACK for part in parts):
        return
    message = (
        "the logits before the model's last step could not be found, so its log-odds (each class against the "
        "rest) are explained. Let the model return logits, or name another score=... to go without this warning."
    )
    warnings.warn(message, CamWarning, stacklevel=4)
    saturated = int((~np.isfinite(values)).any(axis=1).sum())
    if saturated:
        message = (
            f"the probabilities of {saturated} of {len(values)} samples have saturated at 0 or 1, so their "
            "log-odds are not finite and their maps mean nothing. Let the model return logits."
        )
        warnings.warn(message, CamWarning, stacklevel=4)


def warn_of_flaws(
    parts: Sequence[BatchResult],
    layers: Sequence[str],
    targets: Sequence[str],
    methods: Sequence[Method],
    what: str = "samples",
) -> None:
    """Warn once for each layer, target and method of maps that are blank or constant."""
    for place, layer in enumerate(layers):
        flaws = np.concatenate([part.layers[place].flaws for part in parts])
        for t, m in np.ndindex(flaws.shape[1:]):
            for number in np.unique(flaws[flaws[:, t, m] > 0, t, m]):
                if number == 4 and methods[m].family == "baseline":
                    continue  # the same everywhere by design
                reason = _FLAWS[number] if number != 1 or methods[m].needs_gradients else _SILENT
                count = int((flaws[:, t, m] == number).sum())
                message = (
                    f"{methods[m].name} at layer {layer!r} for target {targets[t]!r} is, for "
                    f"{count} of {len(flaws)} {what}, {reason}."
                )
                warnings.warn(message, CamWarning, stacklevel=4)
