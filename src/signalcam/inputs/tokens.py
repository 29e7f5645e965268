"""``Tokens``: how many prefix tokens there are, and the grid that the patch tokens fill."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from signalcam.arrays import Array, namespace
from signalcam.errors import LayoutError, is_count

MOST_BEFORE = 8  # tokens that may stand before a grid nobody declared: class, distillation, registers


@dataclass(frozen=True)
class Tokens:
    """How the tokens of a transformer lie: ``Tokens(prefix=1, grid=(14, 14))``.

    Attributes:
        prefix: Tokens before the first one that has a place in the input (class, registers); they get no
            heat, and keep their own activations where a method edits the layer.
        grid: Positions along each axis, the last one running fastest; a stage that merges two by two is
            recognised. Empty where tokens lie along one axis, or where the grid is to be found.

    Raises:
        LayoutError: These are no whole numbers.

    Example:
        >>> import numpy as np
        >>> Tokens(prefix=1, grid=(2, 3)).take(np.zeros((4, 8, 7))).shape
        (4, 8, 2, 3)
    """

    prefix: int = 0
    grid: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "grid", tuple(self.grid))
        if not is_count(self.prefix, 0) or not all(map(is_count, self.grid)):
            message = f"{self} does not say where tokens lie. Pass Tokens(prefix=1, grid=(14, 14)), say: whole numbers, the grid's 1 or more."
            raise LayoutError(message)

    @property
    def description(self) -> str:
        """The tokens in words: ``"4 x 6 behind 1 without a place"``."""
        grid = " x ".join(map(str, self.grid))
        return f"{grid} behind {self.prefix} without a place" if self.prefix else grid

    def take(self, array: Array) -> Array:
        """Fold ``(b, c, *others, n)`` to ``(b, c, *others, *grid)`` without the prefix."""
        rest = array[..., self.prefix :]
        return namespace(array).reshape(rest, (*rest.shape[:-1], *self.grid))

    def put(self, values: Array, whole: Array) -> Array:
        """Undo ``take``, with the prefix tokens of another array ``(b, c, *others, n)``."""
        xp = namespace(whole)
        flat = xp.reshape(values, (*whole.shape[:-1], -1))
        return xp.concat([whole[..., : self.prefix], flat], axis=-1) if self.prefix else flat

    def number(self, at: Sequence[int]) -> int:
        """The number of the token at a place of the grid."""
        number = 0
        for place, cells in zip(at, self.grid, strict=True):
            number = number * cells + place
        return self.prefix + number

    def check(self, count: int, layer: str) -> None:
        """Raise a ``LayoutError`` where a layer has no more tokens than prefix tokens."""
        if self.prefix >= count:
            message = f"layer {layer!r} has {count} tokens, and tokens={self.prefix} says that {self.prefix} stand before the first one with a place. Pass fewer."
            raise LayoutError(message)

    def fits(self, count: int) -> bool:
        """Whether so many tokens are the prefix and the grid, or the grid after merging."""
        return halved_lengths(self.grid, count - self.prefix) is not None

    def fitted(self, count: int, layer: str) -> Tokens:
        """The tokens of a layer with so many: without the prefix, or after merging."""
        for prefix in (self.prefix, 0):
            halved = halved_lengths(self.grid, count - prefix)
            if halved is not None:
                return Tokens(prefix, half_length(self.grid, halved))
        message = f"layer {layer!r} has {count} tokens, and {self} says {self.prefix + math.prod(self.grid)}. Pass a prefix and a grid that add up to its tokens."
        raise LayoutError(message)


def as_tokens(option: Tokens | int | None) -> Tokens | None:
    """Turn what ``tokens=`` takes into a ``Tokens``."""
    if option is None or isinstance(option, Tokens):
        return option
    if is_count(option, 0):
        return Tokens(int(option))
    message = f"tokens={option!r} says not where tokens lie. Pass how many stand before the first one that has a place (1 for a class token), or signalcam.Tokens(prefix=1, grid=(14, 14))."
    raise LayoutError(message)


def half_length(grid: Sequence[int], times: int) -> tuple[int, ...]:
    """A grid after merging neighbours two by two along each axis, so many times."""
    return tuple(-(-cells // 2**times) for cells in grid)


def halved_lengths(grid: Sequence[int], count: int) -> int | None:
    """How often a grid was merged two by two to leave so many positions; ``None`` for never."""
    most = max(grid, default=1).bit_length()
    return next((n for n in range(most) if math.prod(half_length(grid, n)) == count > 1), None)
