"""Every exception and warning of SignalCAM.

CamError
├── ModelError        no backend owns this model; a layer is unknown, never ran, or has no positions
├── MethodError       no method, score or alignment has that name; a method cannot be had of this model, or with such numbers
├── TargetError       a class is unknown or out of range; the output is no row of scores
├── LayoutError       the axes do not fit the input
├── InputError        the numbers themselves are unusable (empty, not finite, not numeric)
├── JobError          a job cannot run as it is described
├── StoreError        a result cannot be written, or what lies there is not one of ours
└── MissingExtra      a feature needs an optional dependency

Each leaf is also the built-in a reader would expect, so ``except ValueError`` keeps working.
"""

from __future__ import annotations

from difflib import get_close_matches
from numbers import Integral
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class CamError(Exception):
    """The root: ``except CamError`` catches whatever SignalCAM raises on purpose."""


class ModelError(CamError, LookupError):
    """The model, or a layer of it, cannot be explained as asked."""


class MethodError(CamError, ValueError):
    """An option names something that does not exist."""


class TargetError(CamError, ValueError):
    """The question does not fit what the model returns."""


class LayoutError(CamError, ValueError):
    """The axes named do not fit the axes given."""


class InputError(CamError, ValueError):
    """The input holds values no network can be asked about."""


class JobError(CamError, ValueError):
    """A job cannot run as it is described."""


class StoreError(CamError, OSError):
    """A result cannot be saved there, or cannot be read from there."""


class MissingExtra(CamError, ImportError):  # noqa: N818 - a public name, read as a sentence
    """A feature needs an optional dependency that is not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs an optional dependency: pip install 'signalcam[{extra}]'.")


class CamWarning(UserWarning):
    """A result that is right but easily misread."""


def is_count(value: object, least: int = 1) -> bool:
    """Whether a value is a whole number of at least ``least``."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


def nearest(name: str, names: Iterable[str]) -> str:
    """Suggest names that look like ``name``, as a sentence; empty if there are none."""
    close = get_close_matches(name, list(names), n=3, cutoff=0.5)
    return f" Nearest: {', '.join(map(repr, close))}." if close else ""
