"""Checks before a record is explained: the time axis, the window, labels and targets."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from signalcam.alignment.resampling import AxisGrid
from signalcam.alignment.stitching import WindowSteps
from signalcam.errors import CamError, CamWarning, InputError, LayoutError
from signalcam.explainer.api import Explainer
from signalcam.explainer.receptive_fields import candidate_axes
from signalcam.inputs.layout import Layout
from signalcam.inputs.pytree import is_array


def check_record(layout: Layout | None, axis: int, window: float) -> int:
    """The length of a window in samples.

    Args:
        layout: Of the record, with the axis of samples.
        axis: Of time, in it.
        window: Its length in the units of time, if they are known.
    """
    step = 1.0
    if layout is not None:
        name = layout.dims[axis]
        line = layout.line(name, len((layout.coordinates or {}).get(name, (0, 0))))
        if line is None:
            message = f"{name!r} is not evenly spaced, so windows of {window} would be of unequal length. Resample the record."
            raise LayoutError(message)
        step = abs(line[1])
    is_length = isinstance(window, int | float | np.number) and 0 < window < float("inf")
    length = round(window / step) if is_length else 0
    if length < 1:
        unit = "samples" if step == 1 else f"the units of time, at least {step:g}"
        message = f"window is {window!r}; give its length in {unit}."
        raise InputError(message)
    return length


def check_uncounted(explainer: Explainer, labels: Sequence[int | str] | None) -> None:
    """Refuse labels and classes by window: the number of windows is not known yet."""
    if labels is not None:
        message = "labels= needs one a window, and how many windows an iterator gives is not known before its end. Pass an array."
        raise InputError(message)
    _check_targets(explainer, None, 0, "an unknown number of")


def check_counted(explainer: Explainer, labels: Sequence[int | str] | None, windows: int) -> None:
    """Refuse labels and classes by window unless there is one for each window."""
    if labels is not None and len(labels) != windows:
        message = f"{len(labels)} labels for {windows} windows. Give one a window, in order."
        raise InputError(message)
    _check_targets(explainer, labels, windows, windows)


def _check_targets(explainer: Explainer, labels: Sequence[int | str] | None, windows: int, counted: object) -> None:
    try:
        for target in explainer.targets.values():
            target.with_labels(labels).check_count(windows)
    except CamError as error:
        message = (
            f"the record has {counted} windows, and a target that holds one entry a sample needs one a window: {error}"
        )
        raise InputError(message) from error


def time_axis(layout: Layout | None, ndim: int, channel_axis: int) -> int:
    """The axis of time, batch included."""
    if layout is not None and "time" in layout.dims:
        return layout.dims.index("time")
    if layout is not None or ndim > 3:
        description = f"layout {' '.join(layout.dims)!r}" if layout else f"a record of {ndim - 1} axes"
        message = f"which axis of {description} is the time is not known. Name it: layout='batch channel time'."
        raise LayoutError(message)
    return candidate_axes(None, ndim, channel_axis)[0]


def without_places(layout: Layout | None) -> Layout | None:
    """The layout of a window: coordinates of the record's entries do not apply to it."""
    if layout is None or "time" not in (layout.coordinates or {}):
        return layout
    rest = {dim: each for dim, each in (layout.coordinates or {}).items() if dim != "time"}
    units = {dim: each for dim, each in (layout.axis_units or {}).items() if dim != "time"}
    return replace(layout, coordinates=rest, axis_units=units)


def check_options(explainer: Explainer, extra: Mapping[str, Any] | None) -> None:
    """Refuse options that have no meaning for the windows of one record."""
    several = explainer.of is not None or isinstance(explainer.layout, Mapping)
    if several or explainer.preprocess is not None:
        message = "of=, a layout by input and preprocess= have no place in explain_record, which cuts one array into windows as the network takes them. Prepare the record first."
        raise InputError(message)
    if arrays := [name for name, each in (extra or {}).items() if is_array(each)]:
        message = f"extra holds an array, {arrays[0]!r}, which has no row for each window. Pass what is the same for all windows, or let the model hold it."
        raise InputError(message)


def with_gradient(axis: AxisGrid, last: AxisGrid | None, *, at_input: bool) -> AxisGrid:
    """A layer's grid axis with a field that includes what its gradient depends on.

    Args:
        axis: The layer's.
        last: That of the last layer.
        at_input: Whether a method reads the input's gradient, too.
    """
    if last is None or not (last.probed and axis.probed and 0 < axis.field <= last.field):
        return axis
    field = 2 * last.field - (1 if at_input else axis.field)
    return replace(axis, field=field if field <= axis.length else axis.field)


def warn_of_edges(layers: Sequence[str], axes: Sequence[AxisGrid | None], steps: WindowSteps) -> None:
    """Warn where maps near the seams are made at windows' edges."""
    for layer, axis in zip(layers, axes, strict=True):
        if axis is None or not axis.probed or not axis.field:
            continue
        need = axis.field - axis.jump
        if axis.field > steps.window:
            message = f"a cell of layer {layer!r} sees {axis.field:g} samples, but a window has {steps.window}: every cell is made at a window's edge, and neighbours are faded into one another. Give a longer window where the model takes one, or choose an earlier layer."
        elif steps.overlap < need:
            message = f"windows overlap by {steps.overlap} samples, but a cell of layer {layer!r} (and what it leads to) sees {axis.field:g}: maps near the seams were made at windows' edges. Give an overlap of at least {need / steps.window:.2f} ({need:g} samples) for this window."
        else:
            continue
        warnings.warn(message, CamWarning, stacklevel=6)
