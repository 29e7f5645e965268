"""What is differentiated: the exact logit where it can be had, and what stands in for it where not.

With probabilities ``p = softmax(s)``, ``ln p_c`` is not ``s_c`` plus a constant: its gradient is that
of ``s_c - LSE(s)``, and it vanishes as ``p_c`` nears 1. So the logits themselves are used whenever
the backend found them, and otherwise the log-odds ``ln p_c - ln(sum of the others)``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import array_api_compat
import numpy as np

from signalcam.arrays import Array, namespace
from signalcam.errors import MethodError, TargetError, nearest

FALL_BACK = "log-odds; the logits before the model's last step could not be found"
_CLAMP = 1e-6  # what signal_grad_cam 2.2.0 clips probabilities to
_OUTPUT_NAMES = ("logits", "logit", "scores", "score", "output", "out", "predictions", "prediction")


@dataclass(frozen=True)
class Reading:
    """What the model said, read as one row of class scores a sample.

    Attributes:
        raw: What the model returned, untouched.
        main: The array of scores in it; ``None`` if there is none.
        before: The same array before the model's last softmax or sigmoid; ``None`` if unknown.
        last_step: The name of that last step; ``""`` where the model returns logits.
        batch: How many samples went in.
    """

    raw: Any
    main: Array | None
    before: Array | None
    last_step: str
    batch: int

    @property
    def has_rows(self) -> bool:
        """Whether the output is one row of class scores a sample."""
        return self.main is not None and _row_shape(self.main.shape, self.batch) is not None

    @property
    def values(self) -> Array:
        """``(b, k)``, the scores as returned; ``k = 1`` where one number decides."""
        if self.main is None:
            kind = type(self.raw).__name__
            message = f"the model returned {kind} with no array of scores in it. Ask with target=Output(function)."
            raise TargetError(message)
        return _rows(self.main, self.batch)

    @property
    def logits(self) -> Array | None:
        """``(b, k)``, the scores before the last softmax or sigmoid, if they are known."""
        return None if self.before is None else _rows(self.before, self.batch)

    @property
    def single(self) -> bool:
        """Whether one number decides between two classes."""
        return int(self.values.shape[1]) == 1

    @property
    def apart(self) -> bool:
        """Whether each class is decided by itself, so that several may be true at once."""
        return self.single or "sigmoid" in self.last_step

    @property
    def classes(self) -> int:
        """How many classes can be asked about; a single output tells two apart."""
        return max(2, int(self.values.shape[1]))

    @property
    def told(self) -> int | None:
        """The same; ``None`` where the output holds no row of class scores."""
        return self.classes if self.has_rows else None

    def probabilities(self) -> Array:
        """``(b, classes)``; softmax (sigmoid for one output) is assumed behind bare logits."""
        p = _probability(self.values, self.last_step)
        return namespace(p).concat([1 - p, p], axis=1) if self.single else p

    def logit_rows(self) -> Array | None:
        """``(b, classes)``, the logit of every class, if it is known."""
        z = self.logits
        return namespace(z).concat([-z, z], axis=1) if z is not None and self.single else z

    def predicted(self) -> Array:
        """``(b,)``, the predicted class of each sample."""
        rows = self._by_likelihood()
        return namespace(rows).argmax(rows, axis=1)

    def ranked(self) -> Array:
        """``(b, classes)``, the classes of each sample, the most likely first."""
        rows = self._by_likelihood()
        return namespace(rows).argsort(rows, axis=1, descending=True)

    def nearest(self, index: Array, count: int) -> Array:
        """``(b, 1 + count)``, each sample's class and those whose score lies nearest to its own."""
        rows = self._by_likelihood()
        xp = namespace(rows)
        rows = rows if self.logits is not None else xp.log(rows)
        apart = xp.abs(rows - _pick(rows, index)[:, None])
        apart = xp.where(_is_class(rows, index), -1 + xp.zeros_like(apart), apart)
        return xp.argsort(apart, axis=1)[:, : 1 + count]

    def _by_likelihood(self) -> Array:
        return self.probabilities() if self.single or self.logits is None else self.logits


Score = Callable[[Reading, Array], Array]


def main_output(raw: object) -> Array | None:
    """Pick the array of scores from what a model returned: logits by name, else the first of floats."""
    if hasattr(raw, "shape") and hasattr(raw, "dtype"):
        return raw if "float" in str(raw.dtype) else None
    held = entries(raw)
    preferred = [held[name] for name in _OUTPUT_NAMES if name in held]
    found = (main_output(entry) for entry in (*preferred, *held.values()))
    return next((array for array in found if array is not None), None)


def entries(raw: object) -> dict[Any, Any]:
    """What a model returned, by key or by number; nothing for one array."""
    if isinstance(raw, Mapping):
        return dict(raw)
    if is_dataclass(raw):
        return {field.name: getattr(raw, field.name) for field in fields(raw)}
    if hasattr(raw, "_asdict"):
        return dict(raw._asdict())
    if isinstance(raw, Sequence) and not isinstance(raw, str):
        return dict(enumerate(raw))
    return {}


def find(score: str | Callable[[Array], Array]) -> tuple[str, Score]:
    """Return the name and the function of a score.

    Args:
        score: ``"logit"``, ``"log_odds"``, ``"probability"``, ``"log_prob_clamped"`` (the formula of
            signal_grad_cam 2.2.0), or a function from the scores ``(b, k)`` the model returned to the
            scores ``(b, k)`` to differentiate.

    Raises:
        MethodError: There is no such score.
    """
    if callable(score):
        return getattr(score, "__name__", "custom"), lambda reading, index: _pick(_computed(score, reading), index)
    known: dict[str, Score] = {
        "logit": logit,
        "log_odds": log_odds,
        "probability": probability,
        "log_prob_clamped": log_prob_clamped,
    }
    if not isinstance(score, str) or score not in known:
        message = f"there is no score {score!r}.{nearest(str(score), known)} Known: {', '.join(known)}, or a function."
        raise MethodError(message)
    return score, known[score]


def provenance(name: str, reading: Reading, *, relative: bool = False) -> str:
    """Say what was differentiated under the score's name, and where it came from.

    Args:
        name: The score's.
        reading: What the model said.
        relative: Only differences between classes were asked for, which probabilities tell exactly.
    """
    if not reading.has_rows:
        return "the target's own function; the output holds no classes"
    if reading.logits is None and name == "logit":
        exact = relative and not reading.apart
        return "logit; exact differences, from probabilities" if exact else FALL_BACK
    source = f"before {reading.last_step}" if reading.last_step else "returned by the model"
    return f"{name}; {'logits ' + source if reading.logits is not None else 'probabilities only'}"


def logit(reading: Reading, index: Array) -> Array:
    """The logit of each sample's class, or its log-odds where the logit is unknown."""
    rows = reading.logit_rows()
    return log_odds(reading, index) if rows is None else _pick(rows, index)


def relative_logit(reading: Reading, index: Array) -> Array:
    """The logit of each sample's class, less something that is the same for all classes.

    Differences between classes are those of the logits: behind a softmax ``ln p`` has them exactly.
    """
    if reading.logits is not None or reading.apart:
        return logit(reading, index)
    values = reading.values
    known = reading.last_step == "log_softmax"
    return _pick(values if known else namespace(values).log(reading.probabilities()), index)


def log_odds(reading: Reading, index: Array) -> Array:
    """``ln p_c - ln(sum of the other probabilities)``, never by way of ``1 - p_c``."""
    z = reading.logits
    if reading.apart and z is not None and "softmax" not in reading.last_step:
        return logit(reading, index)
    if reading.apart:
        p = _probability(reading.values, reading.last_step)
        xp = namespace(p)
        odds = xp.log(p) - xp.log1p(-p)
        return _pick(xp.concat([-odds, odds], axis=1) if reading.single else odds, index)
    own, rest = _log_of_rest(z, index) if z is not None else _log_of_probabilities(reading, index)
    return own - rest


def _log_of_rest(z: Array, index: Array) -> tuple[Array, Array]:
    xp = namespace(z)
    others = xp.where(_is_class(z, index), -xp.inf, z)
    top = xp.max(others, axis=1, keepdims=True)
    return _pick(z, index), xp.log(xp.sum(xp.exp(others - top), axis=1)) + top[:, 0]


def _log_of_probabilities(reading: Reading, index: Array) -> tuple[Array, Array]:
    p = _probability(reading.values, reading.last_step)
    xp = namespace(p)
    rest = xp.sum(xp.where(_is_class(p, index), 0.0, p), axis=1)
    return xp.log(_pick(p, index)), xp.log(rest)


def probability(reading: Reading, index: Array) -> Array:
    """The probability of each sample's class."""
    return _pick(reading.probabilities(), index)


def log_prob_clamped(reading: Reading, index: Array) -> Array:
    """``ln p`` clipped to [1e-6, 1 - 1e-6], as signal_grad_cam 2.2.0 does; for comparison only.

    Its gradient is zero, and the map blank, for every probability beyond the clip.
    """
    p = reading.probabilities()
    xp = namespace(p)
    clipped = xp.clip(p, _CLAMP, 1 - _CLAMP)
    rows = xp.log(clipped) - xp.log1p(-clipped) if reading.single else xp.log(clipped)
    return _pick(rows, index)


def relevance(reading: Reading, index: Array) -> Array:
    """``ln|s_c|`` less the mean of ``ln|s_j|`` over the other classes ``j``, of the logits ``s``.

    Activation times its gradient is what LRP-0 hands down to a layer of a rectifier network when the
    class starts with relevance 1 and every other class with an equal share of -1.
    """
    z = reading.logits
    if z is None or reading.single:
        came = "one output" if z is not None else "probabilities whose logits could not be found"
        message = f"relevance-cam needs one logit a class, two at least, but the model returns {came}. Use lift-cam or hires-cam."
        raise MethodError(message)
    xp = namespace(z)
    size = xp.log(xp.abs(z))
    own = _pick(size, index)
    return own - (xp.sum(size, axis=1) - own) / (z.shape[1] - 1)


def _probability(values: Array, last_step: str) -> Array:
    xp = namespace(values)
    if last_step in ("softmax", "sigmoid"):
        return values
    if last_step:
        return xp.exp(values)
    if values.shape[1] == 1:
        return xp.exp(-xp.logaddexp(xp.zeros_like(values), -values))
    grown = xp.exp(values - xp.max(values, axis=1, keepdims=True))
    return grown / xp.sum(grown, axis=1, keepdims=True)


def _computed(score: Callable[[Array], Array], reading: Reading) -> Array:
    """Apply a user's function to the scores; a single one speaks for class 1, against class 0."""
    values = reading.values
    rows = score(values)
    if tuple(getattr(rows, "shape", ())) != tuple(values.shape):
        given = tuple(rows.shape) if hasattr(rows, "shape") else type(rows).__name__
        message = f"the score function returned shape {given} for scores of shape {tuple(values.shape)}; return one score a class."
        raise TargetError(message)
    return namespace(rows).concat([-rows, rows], axis=1) if reading.single else rows


def _pick(rows: Array, index: Array) -> Array:
    xp = namespace(rows)
    return xp.take_along_axis(rows, beside(rows, index)[:, None], axis=1)[:, 0]


def _is_class(rows: Array, index: Array) -> Array:
    numbers = beside(rows, np.arange(rows.shape[1]))
    hot: Array = beside(rows, index)[:, None] == numbers[None, :]
    return hot


def beside(rows: Array, index: Array) -> Array:
    """Put class numbers where the scores are; those found by the framework are there already."""
    if not isinstance(index, np.ndarray):
        return index
    return namespace(rows).asarray(index, device=array_api_compat.device(rows))


def _row_shape(shape: Sequence[int], batch: int) -> tuple[int, int] | None:
    if batch == 1 and tuple(shape[:1]) != (1,):
        shape = (1, *shape)  # a model that squeezes its output squeezed the batch as well
    if len(shape) == 0 or shape[0] != batch or any(length != 1 for length in shape[2:]):
        return None
    return batch, int(shape[1]) if len(shape) > 1 else 1


def _rows(array: Array, batch: int) -> Array:
    shape = _row_shape(array.shape, batch)
    if shape is None:
        message = (
            f"the model returned shape {tuple(array.shape)} for {batch} samples, not one row of class scores for "
            "each. Give the input a batch axis, or ask about a dense output with target=Output(function)."
        )
        raise TargetError(message)
    return namespace(array).reshape(array, shape)
