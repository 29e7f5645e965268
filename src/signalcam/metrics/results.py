"""Here you find the checks of the result that is scored."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from signalcam.errors import CamWarning, InputError
from signalcam.results.explanation import Explanation


def check_result(exp: object) -> None:
    """Raise an ``InputError`` for anything but an explanation, such as maps or inputs alone."""
    if not isinstance(exp, Explanation):
        message = (
            f"a {type(exp).__name__} was given first, where a result is expected. Give what signalcam.explain returned."
        )
        raise InputError(message)


def warn_of_constant(constant: int, maps: int) -> None:
    """Warn if some maps are constant."""
    if constant:
        message = f"{constant} of {maps} maps are the same everywhere: they point nowhere and score as chance."
        warnings.warn(message, CamWarning, stacklevel=3)


def check_inputs(exp: Explanation, inputs: Any, extra: Mapping[str, Any] | None) -> None:
    """Raise an ``InputError`` if the model needs inputs that the result does not hold, and they are missing."""
    if exp.of and inputs is None:
        message = f"the maps belong to {exp.of!r}, one input of several. Pass all of them: inputs=..."
        raise InputError(message)
    names = {*(extra or {}), *(inputs if isinstance(inputs, Mapping) else ())}
    others, keywords = (_names(exp.provenance.get(name)) for name in ("inputs", "extra"))
    if inputs is None and not names.issuperset(others):
        message = f"the maps were made with {', '.join(others)} as further inputs, which the result does not hold. Pass all inputs as to explain: inputs=..."
        raise InputError(message)
    if others and exp.shapes is not None:
        message = f"the samples are of unequal length, with further inputs ({', '.join(others)}). Score those of one length at a time: exp.isel(sample=[...]), inputs=..."
        raise InputError(message)
    missing = [name for name in keywords if name not in names]
    if missing:
        message = f"the maps were made with the model's keyword {', '.join(missing)}, which the result does not hold. Pass it as to explain: extra=..."
        raise InputError(message)


def _names(text: str | None) -> list[str]:
    return text.split(", ") if text else []
