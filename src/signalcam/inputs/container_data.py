"""``ContainerData``: the signals of an object of another package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from signalcam.inputs.layout import Layout


@dataclass(frozen=True)
class ContainerData:
    """The signals of an object, with the names and units it holds.

    Attributes:
        array: The numbers.
        layout: Names, rate and units of its axes, batch first; ``None`` where nothing is known.
        sample_names: Names of the samples, where the object has them.
        labels: The true classes by name or number, where the object has them.
    """

    array: Any
    layout: Layout | None = None
    sample_names: tuple[Any, ...] | None = None
    labels: tuple[Any, ...] | None = None
