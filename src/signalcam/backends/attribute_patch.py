"""Set an entry of an object's own dictionary for the length of a block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def patch_attribute(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Set an entry of an object's own dictionary, unseen by trackers, and restore it."""
    had, old = name in owner.__dict__, owner.__dict__.get(name)
    owner.__dict__[name] = value
    try:
        yield
    finally:
        if had:
            owner.__dict__[name] = old
        else:
            owner.__dict__.pop(name, None)
