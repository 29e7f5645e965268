"""Which samples, targets, methods and layers of a result are meant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from signalcam.errors import MethodError, TargetError, nearest

By = Literal["sample", "predicted", "label"]
AXES = ("sample", "target", "cam", "layer")


def check_axes(chosen: Mapping[str, object]) -> None:
    """Raise where something is to be chosen along an axis that there is not."""
    for axis in chosen:
        if axis == "method":
            message = "the axis of methods is called 'cam'. Select by it: exp.sel(cam='grad-cam')."
            raise MethodError(message)
        if axis not in AXES:
            message = f"there is no axis {axis!r} to choose from; choose by {', '.join(AXES)}."
            raise MethodError(message)


def as_names(names: Any) -> Sequence[Any]:
    """One name, or several, as a sequence."""
    return list(names) if isinstance(names, list | tuple | np.ndarray) else [names]


def resolve_indices(chosen: int | slice | Sequence[int], length: int, axis: str) -> list[int]:
    """The positions that a number, slice or list means."""
    try:
        found = np.arange(length)[chosen]
    except IndexError as error:
        message = f"there is no {axis} {chosen!r}: there are {length}, counted from 0."
        raise TargetError(message) from error
    return [int(each) for each in np.atleast_1d(found)]


def index_of(name: Any, known: Sequence[Any], axis: str) -> int:
    """The position of a name among those known."""
    if name in known:
        return list(known).index(name)
    what = "method" if axis == "cam" else axis
    message = f"there is no {what} {name!r} here.{nearest(str(name), map(str, known))} There are: {', '.join(map(str, known[:20]))}."
    raise TargetError(message)
