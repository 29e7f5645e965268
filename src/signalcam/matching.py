"""Which layers are meant by a pattern of names."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from signalcam.errors import ModelError, nearest


def is_pattern(layer: object) -> bool:
    """Whether a name stands for a group of layers: ``"stage4.*"``."""
    return isinstance(layer, str) and ("*" in layer or "?" in layer)


def matching(pattern: str, names: Sequence[str]) -> list[str]:
    """The layers a pattern fits, in the order they ran; the end of a Keras path will do.

    Args:
        pattern: ``*`` stands for any characters, ``?`` for one; a bracket is a call's number.
        names: Of the layers with positions that ran.

    Raises:
        ModelError: It fits none.
    """
    plain = pattern.replace("[", "[[]")
    found = [each for each in names if fnmatchcase(each, plain) or fnmatchcase(each, f"*/{plain}")]
    if not found:
        message = (
            f"no layer with positions that ran is called {pattern!r}.{nearest(pattern, names)} "
            "List all with signalcam.layers(model, example)."
        )
        raise ModelError(message)
    return found
