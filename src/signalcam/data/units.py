"""Units of channels: voltages are brought to one unit, so that channels and files can be compared."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_VOLTS = {"V": 1.0, "mV": 1e-3, "uV": 1e-6, "nV": 1e-9}
_MICRO = ("\u00b5", "\u03bc", "\x83\xca")  # two signs, and one in the encoding of Japanese files


def normalize_unit(unit: str) -> str:
    """A unit without spaces, and with ``u`` for micro."""
    text = unit.strip()
    for sign in _MICRO:
        text = text.replace(sign, "u")
    return next((each for each in _VOLTS if each.lower() == text.lower()), text)


def common_unit(units: Sequence[str], volts: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """What channels are multiplied by to have all voltages in one unit, and which units they have then.

    Args:
        units: Of each channel, as a file has it.
        volts: What voltages are brought to; other units stay.
    """
    names = [normalize_unit(each) for each in units]
    factors = [_VOLTS[each] / _VOLTS[volts] if each in _VOLTS else 1.0 for each in names]
    return np.asarray(factors)[:, None], tuple(volts if each in _VOLTS else each for each in names)


def unit_of_text(units: Sequence[str]) -> str | None:
    """The unit of all channels, or those of several; ``None`` where one is not known."""
    return ", ".join(dict.fromkeys(units)) if units and all(units) else None
