"""Here you find ``LazyArray``, the base of arrays that are read from disk when they are indexed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np


class LazyArray(ABC):
    """An array that is read where it is indexed; ``np.asarray`` reads all of it.

    Attributes:
        shape: Its shape.
        dtype: The type of its values.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        return self.shape[0]

    @abstractmethod
    def __getitem__(self, key: Any) -> np.ndarray: ...

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:  # noqa: FBT001 - as NumPy calls it
        return np.array(self[:], dtype=dtype, copy=copy)
