"""What the header of an EDF or BDF file says and MNE does not hand on: units, and how long the file should be."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_HEADER_BYTES = 256  # bytes of the header, and again for each channel
_SCALED_UNITS = ("uV", "\u00b5V", "\x83\xcaV", "mV")  # what MNE brings to volts, written just so
_BYTES_PER_VALUE = {".edf": 2, ".bdf": 3}  # bytes of a number


@dataclass(frozen=True)
class Header:
    """The header of a file.

    Attributes:
        units: In which MNE hands out each channel; annotations are none.
        size: How many bytes the file has if it is whole; 0 where the header does not know.
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
