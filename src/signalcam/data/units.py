"""Units of channels: their spelling, and conversion of voltages to one unit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_VOLTS = {"V": 1.0, "mV": 1e-3, "uV": 1e-6, "nV": 1e-9}
_MICRO = ("\u00b5", "\u03bc", "\x83\xca")  # two signs, and one in the encoding of Japanese files


def normalize_unit(unit: str) -> str:
    """Normalise the spelling of a unit: no spaces, ``u`` for micro."""
    text = unit.strip()
    for sign in _MICRO:
        text = text.replace(sign, "u")
    return next((each for each in _VOLTS if each.lower() == text.lower()), text)


def common_unit(units: Sequence[str], volts: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Factors ``(channel, 1)`` that convert voltages to the unit ``volts``, and the units afterwards."""
    names = [normalize_unit(each) for each in units]
    factors = [_VOLTS[each] / _VOLTS[volts] if each in _VOLTS else 1.0 for each in names]
    return np.asarray(factors)[:, None], tuple(volts if each in _VOLTS else each for each in names)


def unit_of_text(units: Sequence[str]) -> str | None:
    """Join the distinct units of the channels; ``None`` if one is unknown."""
    return ", ".join(dict.fromkeys(units)) if units and all(units) else None
