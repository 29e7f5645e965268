"""``Layout``: the names, rates and units of the input's axes."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from signalcam.errors import LayoutError

DUMMY = ("_", "1")
_RESERVED = ("sample", "target", "cam", "layer", "class")  # axes of the result
_UNITS = {"time": "s", "frequency": "Hz"}  # of an axis whose places are known
_SAME_RATE = 1e-2  # relative: rates that are further apart are two rates
_EVEN = 1e-3  # of a step: places that are nearer to even are evenly spaced
_POSITION_NAMES = {1: ("time",), 2: ("height", "width"), 3: ("depth", "height", "width")}


@dataclass(frozen=True)
class Layout:
    """The names of the input's axes, with units and coordinates.

    Args:
        dims: Axis names in order, batch first: ``"batch channel time"``. An axis without meaning is
            called ``_``. A network that walks over the channel axis too (a 2-D convolution on
            ``"batch _ time channel"``) gets a map with a channel axis.
        sampling_rate: Samples a second along ``time``; without it positions are sample numbers.
        channel_names: One name for each entry of the ``channel`` axis.
        units: Of the signal's values, for figures, such as ``"mV"``.
        coordinates: Where the entries of an axis lie, one rising or falling number each:
            ``{"frequency": hertz}``. Maps are labelled, chosen from and drawn by them.
        spacing: The same as a step, from 0 on: ``{"depth": 1.2, "height": 0.9}``.
        axis_units: Of either: ``{"depth": "mm"}``. ``time`` is in seconds and ``frequency`` in Hz unless
            said otherwise.
        lengths: Of the samples of a padded array, along ``time`` (or its only axis of positions): how many
            values of each are signal.
        token_names: Of each sample the words, or pieces of words, along the ``token`` axis, for figures. A list
            may end before its row, whose rest is padding; an empty name is not drawn.

    Raises:
        LayoutError: Names repeat, do not begin with ``batch``, or are axes of the result
            (``sample``, ``layer``, ...). The rate is not positive, or coordinates do not fit. Tokens
            have names but no axis.

    Example:
        >>> layout = Layout("batch channel time", sampling_rate=500, channel_names=["I", "II"])
        >>> layout.dims
        ('batch', 'channel', 'time')
    """

    dims: str | Sequence[str]
    sampling_rate: float | None = None
    channel_names: Sequence[str] | None = None
    units: str | None = None
    coordinates: Mapping[str, Sequence[float]] | None = field(default=None, hash=False)
    spacing: Mapping[str, float] | None = field(default=None, hash=False)
    axis_units: Mapping[str, str] | None = field(default=None, hash=False)
    lengths: Sequence[int] | None = None
    token_names: Sequence[Sequence[str]] | None = field(default=None, repr=False)

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
            dims = " ".join(names)
            message = f"layout {dims!r} must name each axis once, batch first, as in 'batch channel time'."
            raise LayoutError(message)
        if reserved := [name for name in names if name in _RESERVED]:
            message = f"an axis cannot be called {reserved[0]!r}: the result has an axis of that name. Call it 'time' or 'axis', say."
            raise LayoutError(message)
        if self.sampling_rate is not None and not self.sampling_rate > 0:
            message = f"sampling_rate is {self.sampling_rate!r}; give samples a second, above 0."
            raise LayoutError(message)
        object.__setattr__(self, "token_names", _names_of_tokens(self.token_names, names))
        self._check_places()

    def _check_places(self) -> None:
        """Check coordinates, spacing and their units, and keep plain numbers."""
        for what, read in (("coordinates", _places), ("spacing", _step), ("axis_units", _unit)):
            values = getattr(self, what) or {}
            checked = {_check_dim(dim, self.dims, what): read(dim, each) for dim, each in values.items()}
            object.__setattr__(self, what, checked or None)
        unplaced = [dim for dim in self.axis_units or () if not self._is_placed(dim)]
        if unplaced:
            message = f"axis_units names {unplaced[0]!r}, but where its entries lie is not known. Give coordinates or spacing for {unplaced[0]!r}, too."
            raise LayoutError(message)
        if twice := sorted(set(self.coordinates or ()) & set(self.spacing or ())):
            message = f"axis {twice[0]!r} has both coordinates and spacing. Give one of them."
            raise LayoutError(message)
        self._check_rate()

    def _check_rate(self) -> None:
        """Refuse two sampling rates."""
        if not self.sampling_rate or not self._is_placed("time", rate=False):
            return
        step = (self.spacing or {}).get("time") or _mean_step((self.coordinates or {})["time"])
        if self.unit("time") != "s" or not same_rate(1 / step, self.sampling_rate):
            message = f"sampling_rate is {self.sampling_rate:g} a second, but the places given for 'time' are {step:g} {self.unit('time')} apart. Leave one of them out."
            raise LayoutError(message)

    def _is_placed(self, dim: str, *, rate: bool = True) -> bool:
        timed = rate and dim == "time" and bool(self.sampling_rate)
        return timed or dim in (self.coordinates or ()) or dim in (self.spacing or ())

    def coordinate(self, dim: str, positions: np.ndarray) -> np.ndarray:
        """Turn sample numbers along ``dim`` into seconds, Hz, millimetres or channel names, where known."""
        if dim in (self.coordinates or {}):
            return _between(np.asarray((self.coordinates or {})[dim]), positions)
        if dim in (self.spacing or {}):
            step = (self.spacing or {})[dim]
            return np.round(positions * step, 12 - int(np.log10(step)))  # 6 steps of 0.1 are 0.6
        if dim == "time" and self.sampling_rate:
            return positions / self.sampling_rate
        if dim == "channel" and self.channel_names and np.issubdtype(positions.dtype, np.integer):
            names: np.ndarray = np.asarray(self.channel_names)[positions]
            return names
        return positions

    def unit(self, dim: str) -> str:
        """The unit of ``coordinate(dim)``; empty where entries are counted."""
        default = _UNITS.get(dim, "") if self._is_placed(dim) else ""
        return (self.axis_units or {}).get(dim, default)

    def interval_to_indices(self, dim: str, length: int, begin: float, end: float) -> tuple[int, int]:
        """The first index and the end index of the entries between two coordinates."""
        if dim in (self.coordinates or {}):
            places = np.asarray((self.coordinates or {})[dim])
            inside = np.flatnonzero((places >= begin) & (places <= end))
            return (int(inside[0]), int(inside[-1]) + 1) if len(inside) else (0, 0)
        step = float(self.coordinate(dim, np.asarray([1.0]))[0])  # a day's places are not listed
        start, last = np.ceil(begin / step - _EVEN), np.floor(end / step + _EVEN)
        return int(np.clip(start, 0, length)), int(np.clip(last + 1, 0, length))

    def between(self, dim: str, start: int, stop: int) -> Layout:
        """The layout of an interval, whose entries keep their coordinates."""
        rest = {name: each for name, each in (self.spacing or {}).items() if name != dim}
        places = self.coordinate(dim, np.arange(start, stop))
        return replace(
            self,
            coordinates={**(self.coordinates or {}), dim: tuple(places.tolist())},
            spacing=rest,
            axis_units={**(self.axis_units or {}), dim: self.unit(dim)},
            token_names=self._names_between(start, stop) if dim == "token" else self.token_names,
        )

    def _names_between(self, start: int, stop: int) -> Sequence[Sequence[str]] | None:
        return self.token_names and [each[start:stop] for each in self.token_names]

    def select_samples(self, samples: Sequence[int]) -> Layout:
        """The layout of some samples."""
        if self.token_names is None:
            return self
        return replace(self, token_names=[self.token_names[i] for i in samples])

    def line(self, dim: str, length: int) -> tuple[float, float] | None:
        """The start and step of an axis; ``None`` where its entries are not evenly spaced."""
        if dim not in (self.coordinates or {}):  # a day's places are not listed
            return 0.0, float(self.coordinate(dim, np.asarray([1.0]))[0])
        places = self.coordinate(dim, np.arange(length))
        if length < 2:
            rate = self.sampling_rate if dim == "time" else None
            return float(places[0]), 1 / (rate or 1)
        steps = np.diff(places)
        even = np.ptp(steps) <= 2 * _EVEN * abs(steps.mean())
        return (float(places[0]), _mean_step(places)) if even else None


def _check_dim(dim: Any, dims: Sequence[str], what: str) -> str:
    if dim not in dims or dim in DUMMY or dim == "batch":
        named_axes = ", ".join(each for each in dims[1:] if each not in DUMMY)
        message = f"{what} names axis {dim!r}, which the layout does not have. It has {named_axes}."
        raise LayoutError(message)
    if dim == "channel":
        message = f"{what} names the channels, which have names in place of numbers. Give channel_names=[...]."
        raise LayoutError(message)
    return str(dim)


def _places(dim: str, positions: Any) -> tuple[float, ...]:
    values = _numbers(positions)
    if values is None or values.ndim != 1 or not len(values):
        message = f"coordinates of {dim!r} are no row of numbers; give one number for each entry of the axis."
        raise LayoutError(message)
    steps = np.diff(values)
    if not np.isfinite(values).all() or not ((steps > 0).all() or (steps < 0).all()):
        message = f"coordinates of {dim!r} neither rise nor fall all the way; give finite numbers in order, each once."
        raise LayoutError(message)
    return tuple(values.tolist())


def _step(dim: str, step: Any) -> float:
    value = _numbers(step)
    if value is None or value.ndim or not 0 < value < np.inf:
        message = f"spacing of {dim!r} is {step!r}; give the distance between its entries, above 0."
        raise LayoutError(message)
    return float(value)


def _unit(_dim: str, value: Any) -> str:
    return str(value)


def _numbers(values: Any) -> np.ndarray | None:
    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        return None


def _mean_step(places: Sequence[float] | np.ndarray) -> float:
    return float((places[-1] - places[0]) / max(len(places) - 1, 1)) or 1.0


def _between(values: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Interpolate between the coordinates of an axis, and extrapolate linearly beyond."""
    last = len(values) - 1
    if not last:
        return np.full(np.shape(positions), values[0])
    low = np.clip(np.floor(positions).astype(int), 0, last - 1)
    share = positions - low
    interpolated: np.ndarray = np.where(
        share == 1, values[low + 1], values[low] + (values[low + 1] - values[low]) * share
    )
    return interpolated


def same_rate(one: float, other: float) -> bool:
    """Whether two sampling rates are equal up to rounding."""
    return abs(one - other) <= _SAME_RATE * max(abs(one), abs(other))


def _whole_lengths(lengths: Sequence[int]) -> tuple[int, ...]:
    try:
        counts = tuple(operator.index(each) for each in np.asarray(lengths).tolist())
    except TypeError as error:
        message = "lengths must be whole numbers, one a sample: how many values along time are signal."
        raise LayoutError(message) from error
    if min(counts, default=1) < 1:
        message = f"lengths holds {min(counts)}; every sample needs at least 1 value."
        raise LayoutError(message)
    return counts


def _names_of_tokens(names: Any, dims: Sequence[str]) -> tuple[tuple[str, ...], ...] | None:
    """Check token names: one row a sample."""
    if names is None:
        return None
    if "token" not in dims:
        message = (
            f"token_names need an axis called 'token', and the layout is {' '.join(dims)!r}. Call it so: 'batch token'."
        )
        raise LayoutError(message)
    rows = [names] if isinstance(names, str) or not np.iterable(names) else names
    if wrong := [each for each in rows if isinstance(each, str) or not np.iterable(each)]:
        what = "string" if isinstance(wrong[0], str) else type(wrong[0]).__name__
        message = f"token_names holds a {what} where a list was expected; give a list of names for each sample: [['a', 'good', 'day'], ...]."
        raise LayoutError(message)
    return tuple(tuple(map(str, each)) for each in names)


def check_lengths(lengths: Sequence[int], shape: Sequence[int], axis: int) -> None:
    """Raise a ``LayoutError`` unless there is one length a sample, none longer than the array."""
    if len(lengths) != shape[0]:
        message = f"{len(lengths)} lengths for {shape[0]} samples. Give one a sample, in order."
        raise LayoutError(message)
    if max(lengths) > shape[axis]:
        message = f"lengths holds {max(lengths)} but the array is {shape[axis]} long along axis {axis}. Give how many values of each sample are signal."
        raise LayoutError(message)


def as_layout(layout: Layout | str | Sequence[str] | None) -> Layout | None:
    """Turn a layout, axis names or ``None`` into a ``Layout`` or ``None``."""
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
    text, axes = " ".join(layout.dims), len(layout.dims)
    if len(shape) != axes:
        way_out = "Pass inputs[None] for a single sample" if len(shape) < axes else "Name every axis"
        message = f"input has shape {tuple(shape)} but layout {text!r} needs {axes} axes. {way_out}."
        raise LayoutError(message)
    channels = dict(zip(layout.dims, shape, strict=True)).get("channel")
    if layout.channel_names is not None and len(layout.channel_names) != channels:
        message = (
            f"{len(layout.channel_names)} channel names for an input of shape {tuple(shape)} with "
            f"layout {text!r}, which has {channels or 'no'} channels. Give one name a channel."
        )
        raise LayoutError(message)
    _check_lengths(layout, shape)


def _check_lengths(layout: Layout, shape: Sequence[int]) -> None:
    for dim, places in (layout.coordinates or {}).items():
        length = shape[layout.dims.index(dim)]
        if len(places) != length:
            message = f"{len(places)} coordinates for axis {dim!r}, which has {length} entries in an input of shape {tuple(shape)}. Give one for each."
            raise LayoutError(message)


def infer_layout(ndim: int, position_axes: Sequence[int]) -> Layout:
    """Name the axes of an input from its position axes.

    Args:
        ndim: Axes of the input, batch included.
        position_axes: Those along which the layer's positions move (batch is axis 0).
    """
    names = _POSITION_NAMES.get(len(position_axes)) or tuple(f"axis{axis}" for axis in position_axes)
    names_by_axis = dict(zip(position_axes, names, strict=True))
    rest = [axis for axis in range(1, ndim) if axis not in names_by_axis]
    names_by_axis |= dict.fromkeys(rest, "_")
    if rest:
        names_by_axis[rest[0]] = "channel"
    return Layout(("batch", *(names_by_axis[axis] for axis in range(1, ndim))))


def name_axes(layout: Layout | None, ndim: int, position_axes: Sequence[int]) -> Layout:
    """Return the given layout, or infer one in which every position axis has a name."""
    if layout is None:
        return infer_layout(ndim, position_axes)
    if "time" in layout.dims and [layout.dims[axis] for axis in position_axes] == ["channel"]:
        text = " ".join(layout.dims)
        message = (
            f"layout {text!r} says that axis {position_axes[0]} is the channels, but it is the only "
            "one along which the layer's positions move. Swap 'time' and 'channel' in the layout."
        )
        raise LayoutError(message)
    dims = [f"axis{axis}" if name in DUMMY and axis in position_axes else name for axis, name in enumerate(layout.dims)]
    return replace(layout, dims=tuple(dims))
