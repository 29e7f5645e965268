"""What is scored: a result, and nothing else."""

from __future__ import annotations

import warnings

from signalcam.errors import CamWarning, InputError
from signalcam.results.explanation import Explanation


def check_result(exp: object) -> None:
    """Refuse what is no explanation, such as the maps or the input alone."""
    if not isinstance(exp, Explanation):
        message = (
            f"a {type(exp).__name__} was given first, where a result is expected. Give what signalcam.explain returned."
        )
        raise InputError(message)


def warn_of_constant(constant: int, maps: int) -> None:
    """Say how many maps are the same everywhere, if any are."""
    if constant:
        message = f"{constant} of {maps} maps are the same everywhere: they point nowhere and score as chance."
        warnings.warn(message, CamWarning, stacklevel=3)
