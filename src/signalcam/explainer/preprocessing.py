"""``preprocess=``: from the raw signal to the network's input, and the maps' way back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import array_api_compat
import numpy as np

from signalcam.alignment.raw_to_network import AxisMap, average_axis, probe_axes
from signalcam.alignment.resampling import AxisGrid
from signalcam.arrays import Array, namespace
from signalcam.backends.protocol import Backend
from signalcam.errors import CamError, InputError, LayoutError
from signalcam.explainer.batching import NotFinite, check_finite, count_samples
from signalcam.inputs.conversion import as_inputs
from signalcam.inputs.layout import DUMMY, Layout, as_layout, check_layout, name_axes, same_rate
from signalcam.inputs.padding import RaggedArray
from signalcam.inputs.pytree import Inputs, is_array
from signalcam.results.explanation import Explanation
from signalcam.results.input_maps import NETWORK_INPUT, RAW_SIGNAL, InputMaps
from signalcam.results.layer_maps import LayerMaps

_WAY_OUT = "Say it: signalcam.Preprocessing(function, start=..., jump=...), entry f of the network's input lying at start + jump * f of the raw signal."

_WINDOW = 2.0  # steps to either side that an entry is taken to be made of, where only the step is known


@dataclass(frozen=True)
class Preprocessing:
    """A function from the raw signal to the network's input, and how the two axes correspond.

    Args:
        function: From a raw batch, as passed to ``explain``, to what the network takes.
        layout: Names of the axes of the network's input: ``"batch time frequency"``, or a ``Layout``.
        start: Where entry 0 of the network's input lies along the raw signal: the middle of the first
            window, so 0 for windows that are centred. Seen by nudging the raw signal if ``jump`` is left out.
        jump: From one entry to the next: the hop.
        unit: Of both, ``"samples"`` of the raw signal or ``"seconds"``.
        along: The axis of both that they are about.

    Raises:
        LayoutError: ``jump`` is not above 0, or there is a start without it.

    Example:
        >>> import signalcam as sc
        >>> sc.Preprocessing(abs, start=200, jump=160, layout="batch time coefficient").jump
        160
    """

    function: Callable[[Any], Any]
    layout: Layout | str | Sequence[str] | None = None
    start: float | None = None
    jump: float | None = None
    unit: Literal["samples", "seconds"] = "samples"
    along: str = "time"

    def __post_init__(self) -> None:
        if not callable(self.function):
            message = f"preprocess is {type(self.function).__name__}; give a function from a raw batch to the network's input."
            raise InputError(message)
        if (self.start is not None) if self.jump is None else not self.jump > 0:
            message = f"start is {self.start!r} and jump {self.jump!r}; give a jump above 0 from each entry to the next, or neither to have both seen."
            raise LayoutError(message)
        if self.unit not in ("samples", "seconds"):
            message = f"unit is {self.unit!r}; start and jump are in 'samples' of the raw signal or in 'seconds'."
            raise LayoutError(message)
        object.__setattr__(self, "layout", as_layout(self.layout))


def as_preprocessing(option: Any) -> Preprocessing | None:
    """Turn what ``preprocess=`` takes into a ``Preprocessing``, or ``None``."""
    return option if option is None or isinstance(option, Preprocessing) else Preprocessing(option)


@dataclass(frozen=True)
class RawSignal:
    """A raw batch and how it is prepared.

    Attributes:
        signal: The batch.
        layout: Names of its axes, if given.
        how: What makes the network's input of it.
        backend: The model's.
        nan: What to do where values are not finite.
    """

    signal: Array
    layout: Layout | None
    how: Preprocessing
    backend: Backend
    nan: NotFinite

    @classmethod
    def of(
        cls,
        inputs: Any,
        layout: Layout | None,
        how: Preprocessing,
        backend: Backend,
        nan: NotFinite,
    ) -> RawSignal:
        """Read and check a raw batch."""
        tree = as_inputs(inputs)
        if tree.path:
            message = "preprocess= takes one raw array, batch first; this input holds several. Prepare them yourself and pass what the network takes."
            raise InputError(message)
        if isinstance(tree.explained, RaggedArray) or (layout is not None and layout.lengths is not None):
            message = "preprocess= takes raw signals of equal length, and these differ. Explain those of each length by themselves."
            raise InputError(message)
        check_layout(layout, tree.explained.shape)
        check_finite(tree, backend, nan)
        return cls(tree.explained, layout, how, backend, nan)

    def prepared(self) -> Inputs:
        """Compute the network's input, one for each raw sample."""
        network_inputs = self._prepare_batch(self.signal)
        samples, count = int(self.signal.shape[0]), count_samples(network_inputs)
        if count != samples:
            message = (
                f"preprocess made {count} inputs of {samples} raw samples; it must return one for each, batch first."
            )
            raise LayoutError(message)
        try:
            check_finite(network_inputs, self.backend, self.nan)
        except InputError as error:
            message = f"of what preprocess returned, {error}"
            raise InputError(message) from error
        return network_inputs

    def _prepare_batch(self, signal: Array) -> Inputs:
        network_inputs = self.how.function(signal)
        try:
            return as_inputs(network_inputs)
        except CamError as error:
            message = (
                f"preprocess returned {_what(network_inputs)}, which no network takes; expected an array, batch first."
            )
            raise InputError(message) from error

    # --- where is it? ----------------------------------------------------------------------------

    def links(self, network_inputs: Inputs) -> tuple[AxisMap, ...]:
        """Find where the entries of the network's input lie in the raw signal: declared, or measured.

        Raises:
            LayoutError: The axis in question does not turn up along any axis of the network's input.
        """
        main = self._main_axis()
        if self.how.jump is not None:
            return (self._declared(network_inputs, main),)
        axis_maps = {axis: self._probe_axis(network_inputs, axis) for axis in self._axes()}
        if axis_maps.get(main) is None:
            message = f"where the network's input lies along {self._name(main)} could not be seen by nudging the raw signal. {_WAY_OUT}"
            raise LayoutError(message)
        return tuple(link for link in axis_maps.values() if link)

    def _axes(self) -> list[int]:
        dims = self.layout.dims if self.layout else ("",) * len(self.signal.shape)
        return [i for i in range(1, len(dims)) if dims[i] not in DUMMY and self.signal.shape[i] > 1]

    def _main_axis(self) -> int:
        """The axis that must be mapped: the one named, or the longest."""
        shape = self.signal.shape
        if self.layout and self.how.along in self.layout.dims:
            return self.layout.dims.index(self.how.along)
        return max(self._axes() or [1], key=lambda axis: shape[axis])

    def _name(self, axis: int) -> str:
        return repr(self.layout.dims[axis]) if self.layout else f"axis {axis} of the raw signal"

    def _among(self, network_inputs: Inputs, axis: int) -> list[int]:
        """The axes of the network's input that a raw axis may be mapped to: that of its name, if named."""
        layout = as_layout(self.how.layout)
        name = self.layout.dims[axis] if self.layout else self.how.along
        check_layout(layout, network_inputs.explained.shape)
        if layout and name in layout.dims:
            return [layout.dims.index(name)]
        return [i for i in range(1, len(network_inputs.explained.shape)) if network_inputs.explained.shape[i] > 1]

    def _declared(self, network_inputs: Inputs, axis: int) -> AxisMap:
        step = 1.0
        if self.how.unit == "seconds":
            line = self.layout.line(self.how.along, self.signal.shape[axis]) if self.layout else None
            if not self.layout or self.layout.unit(self.how.along) != "s" or line is None:
                message = "start and jump are in seconds, but the raw signal's rate is not known. Give layout=signalcam.Layout(..., sampling_rate=...)."
                raise LayoutError(message)
            step = line[1]
        among = self._among(network_inputs, axis)
        if len(among) > 1:
            link = self._probe_axis(network_inputs, axis)
            among = [link.input_axis] if link else among
        if len(among) != 1:
            message = f"which axis of the network's input, of shape {tuple(network_inputs.explained.shape)}, is {self.how.along!r} is not known. Give Preprocessing(..., layout='batch time frequency'), say."
            raise LayoutError(message)
        start, jump = (self.how.start or 0.0) / step, (self.how.jump or 1.0) / step
        return AxisMap(axis, among[0], start, jump, _WINDOW * jump)

    def _probe_axis(self, network_inputs: Inputs, axis: int) -> AxisMap | None:
        """Measure one axis by nudging noise, or the first sample where noise cannot be prepared."""
        first = self.backend.numpy(self.signal[:1]).astype(np.float32)
        size = float(first.std()) or 1.0
        noise = np.random.default_rng(1).standard_normal(first.shape).astype(np.float32)
        among = self._among(network_inputs, axis)
        for raw in (first.mean() + size * noise, first):
            try:
                axis_map = probe_axes(self._prepare, raw, axis, among)
            except Exception:  # noqa: BLE001, S112 - whatever the user's function raises at what is no recording
                continue
            if axis_map:
                return axis_map
        return None

    def _prepare(self, values: np.ndarray) -> np.ndarray:
        return self.backend.numpy(self._prepare_batch(_like(values, self.signal)).explained)


def _what(value: Any) -> str:
    return f"an array of {value.dtype} {tuple(value.shape)}" if is_array(value) else type(value).__name__


def _like(values: np.ndarray, signal: Array) -> Array:
    """Move numbers to the device and type of the raw signal."""
    if isinstance(signal, np.ndarray):
        return (np.rint(values) if signal.dtype.kind in "iu" else values).astype(signal.dtype)
    xp = namespace(signal)
    return xp.astype(xp.asarray(values, device=array_api_compat.device(signal)), signal.dtype)


# --- afterwards ---------------------------------------------------------------------------------------


def map_to_raw(exp: Explanation, raw: RawSignal, links: Sequence[AxisMap]) -> Explanation:
    """Move the maps of the network's input to the raw signal.

    Args:
        exp: The maps on the network's input.
        raw: The raw signal.
        links: Where the network's input lies along it.

    Returns:
        An explanation of the raw signal that keeps the other.

    Raises:
        LayoutError: A layer has positions along none of the linked axes, or two rates disagree.
    """
    signal = raw.backend.numpy(raw.signal)
    layers = tuple(_map_layer(layer, links, signal.shape) for layer in exp.layers)
    axes = sorted({axis.input_axis for layer in layers for axis in layer.grid})
    layout = name_axes(raw.layout, signal.ndim, axes)
    own = replace(exp, layout=_layout_of_input(exp, layout, links, as_layout(raw.how.layout)))
    description = "; ".join(
        f"{layout.dims[link.raw_axis]}: from {link.start:g} on, a step is {link.jump:g}" for link in links
    )
    provenance = {**exp.provenance, "preprocess": f"{description} (samples of the raw signal)"}
    there = InputMaps(NETWORK_INPUT, own.layers, own.layout, own.input, own.shapes)
    return replace(
        own,
        layers=layers,
        layout=layout,
        input=signal,
        provenance=provenance,
        of=RAW_SIGNAL,
        modalities=(RAW_SIGNAL, NETWORK_INPUT),
        others=(there,),
    )


def _map_layer(layer: LayerMaps, links: Sequence[AxisMap], shape: tuple[int, ...]) -> LayerMaps:
    """Move a layer's maps to the raw signal; average over axes that only the network's input has."""
    by_axis = {link.input_axis: link for link in links}
    values, grids = layer.values, list[AxisGrid]()
    for axis in layer.grid:
        where = 3 + len(grids)
        if axis.input_axis in by_axis:
            link = by_axis[axis.input_axis]
            grids.append(link.map_grid(axis, shape[link.raw_axis]))
        else:
            values = average_axis(values, where, axis)
    if not grids:
        message = f"layer {layer.name!r} has no positions along the axis of the network's input that follows the raw signal. Choose an earlier layer, or leave preprocess= out."
        raise LayoutError(message)
    order = sorted(range(len(grids)), key=lambda i: grids[i].input_axis)
    turned = values.transpose(0, 1, 2, *[3 + i for i in order])
    return LayerMaps(layer.name, turned, tuple(grids[i] for i in order))


def _layout_of_input(exp: Explanation, raw: Layout, links: Sequence[AxisMap], network_layout: Layout | None) -> Layout:
    """Name the axes of the network's input, with the raw signal's clock along those that follow it."""
    layout = exp.layout if network_layout else _renamed(exp, raw, links)
    for link in links:
        dim = layout.dims[link.input_axis]
        length = exp.input.shape[link.input_axis]
        if dim == "channel":
            same = raw.channel_names and not layout.channel_names and len(raw.channel_names) == length
            layout = replace(layout, channel_names=raw.channel_names) if same else layout
        elif dim == raw.dims[link.raw_axis] and dim not in (layout.coordinates or ()):
            layout = _with_clock(layout, raw, link, length)
    return layout


def _renamed(exp: Explanation, raw: Layout, links: Sequence[AxisMap]) -> Layout:
    """Name axes that follow the raw signal as there, and another axis with positions ``feature``."""
    dims = list(exp.layout.dims)
    linked = {link.input_axis: raw.dims[link.raw_axis] for link in links}
    others = [axis for axis in exp.map_axes if axis not in linked]
    for axis in others:
        dims[axis] = "feature" if len(others) == 1 else f"axis{axis}"
    for axis, dim in enumerate(dims):
        if dim in linked.values() and axis not in linked:
            dims[axis] = "_"
    for axis, dim in linked.items():
        dims[axis] = dim
    return replace(exp.layout, dims=tuple(dims))


def _with_clock(layout: Layout, raw: Layout, link: AxisMap, length: int) -> Layout:
    dim = raw.dims[link.raw_axis]
    places = raw.coordinate(dim, link.places(length))
    if layout.sampling_rate and dim == "time":
        if not raw.unit(dim):
            return layout
        rate = (length - 1) / float(places[-1] - places[0]) if length > 1 else layout.sampling_rate
        if not same_rate(rate, layout.sampling_rate):
            message = f"Preprocessing's layout says {layout.sampling_rate:g} steps a second, but by the raw signal's rate they are {rate:g}. Leave sampling_rate out of one of the layouts."
            raise LayoutError(message)
    unit = raw.unit(dim) or "samples"
    spacing = {each: step for each, step in (layout.spacing or {}).items() if each != dim}
    return replace(
        layout,
        coordinates={**(layout.coordinates or {}), dim: np.round(places, 9).tolist()},
        spacing=spacing or None,
        axis_units={**(layout.axis_units or {}), dim: unit},
    )
