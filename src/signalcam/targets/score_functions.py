"""The scores that can be differentiated: the exact logit, log-odds, probability and others.

With probabilities ``p = softmax(s)``, ``ln p_c`` is not ``s_c`` plus a constant: its gradient is that
of ``s_c - LSE(s)``, and it vanishes as ``p_c`` nears 1. So the logits themselves are used whenever
the backend found them, and otherwise the log-odds ``ln p_c - ln(sum of the others)``.
"""

from __future__ import annotations

from collections.abc import Callable

from signalcam.arrays import Array, namespace
from signalcam.errors import MethodError, nearest
from signalcam.targets.model_output import ModelOutput, _computed, _is_class, _pick, _probability

FALL_BACK = "log-odds; the logits before the model's last step could not be found"
_CLAMP = 1e-6  # what signal_grad_cam 2.2.0 clips probabilities to


Score = Callable[[ModelOutput, Array], Array]


def find(score: str | Callable[[Array], Array]) -> tuple[str, Score]:
    """Find a score's name and function.

    Args:
        score: ``"logit"``, ``"log_odds"``, ``"probability"``, ``"log_prob_clamped"`` (the formula of
            signal_grad_cam 2.2.0), or a function from the scores ``(b, k)`` the model returned to the
            scores ``(b, k)`` to differentiate.

    Raises:
        MethodError: There is no such score.
    """
    if callable(score):
        return getattr(score, "__name__", "custom"), lambda reading, index: _pick(_computed(score, reading), index)
    functions: dict[str, Score] = {
        "logit": logit,
        "log_odds": log_odds,
        "probability": probability,
        "log_prob_clamped": log_prob_clamped,
    }
    if not isinstance(score, str) or score not in functions:
        message = f"there is no score {score!r}.{nearest(str(score), functions)} Known: {', '.join(functions)}, or a function."
        raise MethodError(message)
    return score, functions[score]


def provenance(name: str, reading: ModelOutput, *, relative: bool = False) -> str:
    """The score's name and where it came from.

    Args:
        name: The score's.
        reading: What the model said.
        relative: Only differences between classes were asked for, which probabilities tell exactly.
    """
    if not reading.has_rows:
        return "the target's own function; the output holds no classes"
    if reading.logits is None and name == "logit":
        exact = relative and not reading.is_multilabel
        return "logit; exact differences, from probabilities" if exact else FALL_BACK
    source = f"before {reading.last_step}" if reading.last_step else "returned by the model"
    return f"{name}; {'logits ' + source if reading.logits is not None else 'probabilities only'}"


def logit(reading: ModelOutput, index: Array) -> Array:
    """The logit of each sample's class, or its log-odds where the logit is unknown."""
    rows = reading.logit_rows()
    return log_odds(reading, index) if rows is None else _pick(rows, index)


def relative_logit(reading: ModelOutput, index: Array) -> Array:
    """The logit of each sample's class, less a constant of all classes.

    Differences between classes are those of the logits: behind a softmax ``ln p`` has them exactly.
    """
    if reading.logits is not None or reading.is_multilabel:
        return logit(reading, index)
    values = reading.values
    is_log_softmax = reading.last_step == "log_softmax"
    return _pick(values if is_log_softmax else namespace(values).log(reading.probabilities()), index)


def log_odds(reading: ModelOutput, index: Array) -> Array:
    """``ln p_c - ln(sum of the other probabilities)``, never by way of ``1 - p_c``."""
    z = reading.logits
    if reading.is_multilabel and z is not None and "softmax" not in reading.last_step:
        return logit(reading, index)
    if reading.is_multilabel:
        p = _probability(reading.values, reading.last_step)
        xp = namespace(p)
        odds = xp.log(p) - xp.log1p(-p)
        return _pick(xp.concat([-odds, odds], axis=1) if reading.is_binary else odds, index)
    own, rest = _log_of_rest(z, index) if z is not None else _log_of_probabilities(reading, index)
    return own - rest


def _log_of_rest(z: Array, index: Array) -> tuple[Array, Array]:
    xp = namespace(z)
    others = xp.where(_is_class(z, index), -xp.inf, z)
    top = xp.max(others, axis=1, keepdims=True)
    return _pick(z, index), xp.log(xp.sum(xp.exp(others - top), axis=1)) + top[:, 0]


def _log_of_probabilities(reading: ModelOutput, index: Array) -> tuple[Array, Array]:
    p = _probability(reading.values, reading.last_step)
    xp = namespace(p)
    rest = xp.sum(xp.where(_is_class(p, index), 0.0, p), axis=1)
    return xp.log(_pick(p, index)), xp.log(rest)


def probability(reading: ModelOutput, index: Array) -> Array:
    """The probability of each sample's class."""
    return _pick(reading.probabilities(), index)


def log_prob_clamped(reading: ModelOutput, index: Array) -> Array:
    """``ln p`` clipped to [1e-6, 1 - 1e-6], as signal_grad_cam 2.2.0 does; for comparison only.

    Its gradient is zero, and the map blank, for every probability beyond the clip.
    """
    p = reading.probabilities()
    xp = namespace(p)
    clipped = xp.clip(p, _CLAMP, 1 - _CLAMP)
    rows = xp.log(clipped) - xp.log1p(-clipped) if reading.is_binary else xp.log(clipped)
    return _pick(rows, index)


def relevance(reading: ModelOutput, index: Array) -> Array:
    """``ln|s_c|`` less the mean of ``ln|s_j|`` over the other classes ``j``, of the logits ``s``.

    In a rectifier network, activation times this gradient is LRP-0's relevance of a layer. The class
    starts with relevance 1, every other class with an equal share of -1.
    """
    z = reading.logits
    if z is None or reading.is_binary:
        came = "one output" if z is not None else "probabilities whose logits could not be found"
        message = f"relevance-cam needs one logit a class, two at least, but the model returns {came}. Use lift-cam or hires-cam."
        raise MethodError(message)
    xp = namespace(z)
    size = xp.log(xp.abs(z))
    own = _pick(size, index)
    return own - (xp.sum(size, axis=1) - own) / (z.shape[1] - 1)
