"""What is scored: a result, and nothing else."""

from __future__ import annotations

from signalcam.errors import InputError
from signalcam.explanation import Explanation


def check_result(exp: object) -> None:
    """Refuse what is no explanation, such as the maps or the input alone."""
    if not isinstance(exp, Explanation):
        message = f"a {type(exp).__name__} was given first, where a result is expected. Give what signalcam.explain returned."
        raise InputError(message)
