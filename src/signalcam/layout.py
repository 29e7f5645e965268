"""Which axis of the input is what, and in which units."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from signalcam.errors import LayoutError

DUMMY = ("_", "1")
_TAKEN = ("sample", "target", "method", "layer", "class")  # axes of the result
_POSITION_NAMES = {1: ("time",), 2: ("height", "width"), 3: ("depth", "height", "width")}


@dataclass(frozen=True)
class Layout:
    """Names the axes of the input and gives them units.

    Args:
        dims: Axis names in order, batch first: ``"batch channel time"``. An axis without meaning is
            called ``_``. A network that walks over the channel axis too (a 2-D convolution on
            ``"batch _ time channel"``) gets a map with a channel axis.
        sampling_rate: Samples a second along ``time``; without it positions are sample numbers.
        channel_names: One name for each entry of the ``channel`` axis.
        units: Of the signal's values, for figures, such as ``"mV"``.
        lengths: Of the samples of a padded array, along ``time`` (or its only axis of positions): how many
            values of each are signal.

    Raises:
        LayoutError: The names repeat, do not begin with ``batch``, or are axes of the result already
            (``sample``, ``layer``, ...), or the rate is not positive.

    Example:
        >>> layout = Layout("batch channel time", sampling_rate=500, channel_names=["I", "II"])
        >>> layout.dims
        ('batch', 'channel', 'time')
    """

    dims: str | Sequence[str]
    sampling_rate: float | None = None
    channel_names: Sequence[str] | None = None
    units: str | None = None
    lengths: Sequence[int] | None = None

    def __post_init__(self) -> None:
        words = self.dims.replace(",", " ").split() if isinstance(self.dims, str) else self.dims
        names = tuple(words)
        object.__setattr__(self, "dims", names)
        if self.channel_names is not None:
            object.__setattr__(self, "channel_names", tuple(map(str, self.channel_names)))
        if self.lengths is not None:
            object.__setattr__(self, "lengths", _whole_lengths(self.lengths))
        real = [name for name in names if name not in DUMMY]
        if len(set(real)) != len(real) or names[:1] != ("batch",):
            given = " ".join(names)
            message = f"layout {given!r} must name each axis once, batch first, as in 'batch channel time'."
            raise LayoutError(message)
        if taken := [name for name in names if name in _TAKEN]:
            message = f"an axis cannot be called {taken[0]!r}: the result has an axis of that name. Call it 'time' or 'axis', say."
            raise LayoutError(message)
        if self.sampling_rate is not None and not self.sampling_rate > 0:
            message = f"sampling_rate is {self.sampling_rate!r}; give samples a second, above 0."
            raise LayoutError(message)

    def coordinate(self, dim: str, positions: np.ndarray) -> np.ndarray:
        """Turn sample numbers along ``dim`` into seconds or channel names, where known."""
        if dim == "time" and self.sampling_rate:
            return positions / self.sampling_rate
        if dim == "channel" and self.channel_names and np.issubdtype(positions.dtype, np.integer):
            names: np.ndarray = np.asarray(self.channel_names)[positions]
            return names
        return positions

    def unit(self, dim: str) -> str:
        """The unit of ``coordinate(dim)``: ``"s"`` for time at a known rate, else nothing."""
        return "s" if dim == "time" and self.sampling_rate else ""


def _whole_lengths(lengths: Sequence[int]) -> tuple[int, ...]:
    try:
        found = tuple(operator.index(each) for each in np.asarray(lengths).tolist())
    except TypeError as error:
        message = (
            "lengths must be whole numbers, one a sample: how many values along time are signal."
        )
        raise LayoutError(message) from error
    if min(found, default=1) < 1:
        message = f"lengths holds {min(found)}; every sample needs at least 1 value."
        raise LayoutError(message)
    return found


def check_lengths(lengths: Sequence[int], shape: Sequence[int], axis: int) -> None:
    """Raise a ``LayoutError`` unless there is one length a sample, none longer than the array."""
    if len(lengths) != shape[0]:
        message = f"{len(lengths)} lengths for {shape[0]} samples. Give one a sample, in order."
        raise LayoutError(message)
    if max(lengths) > shape[axis]:
        message = f"lengths holds {max(lengths)} but the array is {shape[axis]} long along axis {axis}. Give how many values of each sample are signal."
        raise LayoutError(message)


def as_layout(layout: Layout | str | Sequence[str] | None) -> Layout | None:
    """Accept a layout, its axis names, or nothing."""
    return layout if layout is None or isinstance(layout, Layout) else Layout(layout)


def check_layout(layout: Layout | None, shape: Sequence[int]) -> None:
    """Raise a ``LayoutError`` where an input of this shape cannot have these axes."""
    if len(shape) < 2:
        message = (
            f"input has shape {tuple(shape)}; expected a batch axis and at least one more. "
            "Pass inputs[None] for a single sample."
        )
        raise LayoutError(message)
    if layout is None:
        return
    given, axes = " ".join(layout.dims), len(layout.dims)
    if len(shape) != axes:
        way_out = (
            "Pass inputs[None] for a single sample" if len(shape) < axes else "Name every axis"
        )
        message = (
            f"input has shape {tuple(shape)} but layout {given!r} needs {axes} axes. {way_out}."
        )
        raise LayoutError(message)
    channels = dict(zip(layout.dims, shape, strict=True)).get("channel")
    if layout.channel_names is not None and len(layout.channel_names) != channels:
        message = (
            f"{len(layout.channel_names)} channel names for an input of shape {tuple(shape)} with "
            f"layout {given!r}, which has {channels or 'no'} channels. Give one name a channel."
        )
        raise LayoutError(message)


def inferred(ndim: int, position_axes: Sequence[int]) -> Layout:
    """Name the axes of an input whose position axes were found by looking at the network.

    Args:
        ndim: Axes of the input, batch included.
        position_axes: Those along which the layer's positions move (batch is axis 0).
    """
    names = _POSITION_NAMES.get(len(position_axes)) or tuple(
        f"axis{axis}" for axis in position_axes
    )
    given = dict(zip(position_axes, names, strict=True))
    rest = [axis for axis in range(1, ndim) if axis not in given]
    given |= dict.fromkeys(rest, "_")
    if rest:
        given[rest[0]] = "channel"
    return Layout(("batch", *(given[axis] for axis in range(1, ndim))))


def named(layout: Layout | None, ndim: int, position_axes: Sequence[int]) -> Layout:
    """Return the layout given, or the one the network implies; every position axis has a name."""
    if layout is None:
        return inferred(ndim, position_axes)
    if "time" in layout.dims and [layout.dims[axis] for axis in position_axes] == ["channel"]:
        given = " ".join(layout.dims)
        message = (
            f"layout {given!r} says that axis {position_axes[0]} is the channels, but it is the only "
            "one along which the layer's positions move. Swap 'time' and 'channel' in the layout."
        )
        raise LayoutError(message)
    dims = [
        f"axis{axis}" if name in DUMMY and axis in position_axes else name
        for axis, name in enumerate(layout.dims)
    ]
    return replace(layout, dims=tuple(dims))
