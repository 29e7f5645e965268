"""Which of a model's inputs is meant by a name, a number or a path of them."""

from __future__ import annotations

from typing import Any

from signalcam.backends.protocol import leaves
from signalcam.errors import InputError, nearest

Path = tuple[Any, ...]


def spelt(path: Path) -> str:
    """The name of an input in messages and results: its keys, outermost first."""
    return "/".join(map(str, path))


def path_of(of: Any, tree: Any) -> Path:
    """Return the keys that lead to an input.

    Args:
        of: Its key or number, or a tuple of these from outside in; the last ones will do.
        tree: The inputs.

    Raises:
        InputError: There is no such input, or there are several.
    """
    known = [path for path, each in leaves(tree) if getattr(each, "shape", ())]
    wanted = of if isinstance(of, tuple) else (of,)
    size = len(wanted)
    found = [each for each in known if size and each[:size] == wanted] or [
        each for each in known if size and each[-size:] == wanted
    ]
    found = found or [each for each in known if spelt(each) == spelt(wanted)]  # as results spell it
    if len(found) == 1:
        return found[0]
    names = [spelt(each) for each in known]
    if names == [""]:
        message = f"there is no input {spelt(wanted)!r}: the model takes a single array. Leave of=... out."
    elif found:
        message = f"{spelt(wanted)!r} may be {' or '.join(map(spelt, found))}. Give the whole path as a tuple."
    else:
        message = f"there is no input {spelt(wanted)!r}.{nearest(spelt(wanted), names)} There are: {', '.join(names)}."
    raise InputError(message)
