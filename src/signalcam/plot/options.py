"""The options of a figure: one that it does not have is told by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from inspect import Parameter, signature
from typing import Any

from signalcam.errors import MethodError, nearest

_NO_OPTIONS = ("exp", "view", "path")  # of the functions behind a figure


def check_options(figure: str, given: Iterable[str], *takers: Callable[..., Any]) -> None:
    """Raise where an option is none that a figure has.

    Args:
        figure: Its name, as in ``exp.plot.signal``.
        given: Names of options.
        takers: What they are passed to.
    """
    named = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
    every = [each for taker in takers for each in signature(taker).parameters.values()]
    known = dict.fromkeys(each.name for each in every if each.kind in named and each.name not in _NO_OPTIONS)
    for name in given:
        if name not in known:
            message = f"exp.plot.{figure} has no option {name!r}.{nearest(name, known)} It has {', '.join(known)}."
            raise MethodError(message)
