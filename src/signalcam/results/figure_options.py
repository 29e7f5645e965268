"""Here you find the checks of the arguments of ``exp.plot.*``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import Parameter, signature
from typing import Any

from signalcam.errors import LayoutError, MethodError, nearest

_INTERNAL = ("exp", "view", "path")  # parameters of the functions behind a figure that are no options of it
_KINDS = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


def check_options(figure: str, options: Iterable[str], *functions: Callable[..., Any]) -> None:
    """Raise a ``MethodError`` if none of the functions behind a figure takes an option."""
    parameters = [parameter for function in functions for parameter in signature(function).parameters.values()]
    names = dict.fromkeys(x.name for x in parameters if x.kind in _KINDS and x.name not in _INTERNAL)
    for name in options:
        if name not in names:
            message = f"exp.plot.{figure} has no option {name!r}.{nearest(name, names)} It has {', '.join(names)}."
            raise MethodError(message)


def resolve_comparison(
    along: str | None, names: Mapping[str, Sequence[Any] | None], options: Mapping[str, Any]
) -> tuple[str | None, Any]:
    """Return the axis along which ``exp.plot.compare`` draws and its entries; ``None`` for the default."""
    entries = {axis: values for axis, values in names.items() if values is not None}
    if len(entries) > 1 or (entries and along not in (None, *entries, *(f"{axis}s" for axis in entries))):
        message = f"one comparison at a time: {', '.join([*filter(None, [along]), *entries])} were asked for. Give one of methods=, layers=, targets=."
        raise MethodError(message)
    if "ax" in options:
        message = "a comparison has several axes, so it takes no ax=. Give fig=, a figure or subfigure."
        raise LayoutError(message)
    return next(iter(entries.items()), (along, None))
