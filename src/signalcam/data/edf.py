"""The header of EDF and BDF files: units and expected size, which MNE does not expose."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_HEADER_BYTES = 256  # bytes of the fixed part, and of the header of each channel
_SCALED_UNITS = ("uV", "\u00b5V", "\x83\xcaV", "mV")  # units that MNE converts to volts, in exactly this spelling
_BYTES_PER_VALUE = {".edf": 2, ".bdf": 3}  # bytes of a number


@dataclass(frozen=True)
class Header:
    """The header of a file.

    Attributes:
        units: Unit of each channel as MNE returns it, without annotation channels.
        size: Bytes of the complete file; 0 if the header does not say.
    """

    units: tuple[str, ...]
    size: int


def read_header(path: str) -> Header:
    """Read a file's header, by the published layout."""
    with Path(path).open("rb") as file:
        fixed_part = file.read(_HEADER_BYTES)
        count = int(fixed_part[252:256])
        rest = file.read(_HEADER_BYTES * count).decode("latin-1")

    def column(before: int, width: int) -> list[str]:
        """One entry of each channel; ``before`` counts the bytes of a channel in earlier columns."""
        start = before * count
        return [rest[start + width * i : start + width * (i + 1)].strip(" \0") for i in range(count)]

    units = [unit for name, unit in zip(column(0, 16), column(96, 8), strict=True) if not name.endswith("Annotations")]
    block = sum(map(int, column(216, 8))) * _BYTES_PER_VALUE[path[-4:].lower()]
    size = int(fixed_part[184:192]) + int(fixed_part[236:244]) * block
    return Header(tuple("V" if each in _SCALED_UNITS else each for each in units), max(size, 0))
