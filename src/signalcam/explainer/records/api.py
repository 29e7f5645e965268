"""``explain_record``: a record longer than the network's input, window by window, in bounded memory."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import islice
from textwrap import shorten
from typing import Any

import numpy as np

from signalcam.alignment.resampling import AxisGrid
from signalcam.alignment.stitching import OverlapAdd, WindowSteps
from signalcam.errors import CamError, CamWarning, InputError, LayoutError, ModelError
from signalcam.explainer.api import Explainer
from signalcam.explainer.assemble import describe_run
from signalcam.explainer.batch_result import BatchResult, ModelOutputs, concatenate_outputs
from signalcam.explainer.batching import find_not_finite, first_size, format_list, progress_bar
from signalcam.explainer.map_warnings import warn_of_flaws, warn_of_score
from signalcam.explainer.receptive_fields import warn_of_spread
from signalcam.explainer.records.checks import (
    check_counted,
    check_options,
    check_record,
    check_uncounted,
    time_axis,
    warn_of_edges,
    with_gradient,
    without_places,
)
from signalcam.explainer.records.windows import RollingBuffer, count_windows, iterate_chunks
from signalcam.explainer.runner import GroupResult, Runner
from signalcam.inputs.conversion import as_inputs
from signalcam.inputs.explained_inputs import ExplainedInputs
from signalcam.inputs.layout import Layout, as_layout, name_axes
from signalcam.inputs.padding import Group
from signalcam.inputs.validation import encode_labels
from signalcam.results.explanation import Explanation
from signalcam.results.layer_maps import LayerMaps
from signalcam.results.record import RecordArray, windows_table
from signalcam.targets import NO_CLASS

_REFUSALS = (RuntimeError, ValueError, TypeError, IndexError)
_LONGER = (2, 8)  # times a window that is refused: what is tried before a longer one is advised
_QUOTED = 300  # letters of what the model said


def explain_record(
    model: Any,
    record: Any,
    *,
    window: float,
    overlap: float = 0.5,
    labels: Sequence[int | str] | None = None,
    extra: Mapping[str, Any] | None = None,
    **options: Any,
) -> Explanation:
    """Explain a record of any length window by window, as one map without seams.

    The record is read once, from its begin to its end, and never copied: beside a few windows, only the
    layer's own map of the whole is held.

    Args:
        model: See ``Explainer``.
        record: One sample without its batch axis, ``(channel, time)``, say: an array, a memmap, a Zarr array
            or what else has a ``shape`` and slices; an iterable of chunks, one after another; or an object
            as ``explain`` takes it, such as an MNE ``Raw``. Whole numbers, as recorders store them, go into the
            model as float32, window by window, unless it takes indices alone.
        window: Length of a window, in seconds where the layout has a rate, else in samples.
        overlap: The share of a window, from 0 to below 1, that the next one has too. For a map that is the one
            of the whole record at once it must be at least the layer's receptive field less its stride.
        labels: The true class of each window.
        extra: What the model takes by keyword beside every batch of windows, see ``explain``.
        options: Every parameter of ``Explainer``, but ``of`` and ``preprocess``. ``layout`` names the axes of
            a batch of windows, ``"batch channel time"``.

    Returns:
        An explanation of one sample. ``windows`` holds each window's place, scores and predicted class;
        ``between(begin, end)`` takes a stretch.

    Raises:
        CamError: Something does not fit; the message says what to do.

    Example:
        >>> record = np.random.default_rng(0).normal(size=(2, 10_000)).astype("float32")
        >>> exp = explain_record(network, record, window=1000, signed=True)
        >>> exp.between(3000, 5000).maps.dims
        ('sample', 'target', 'cam', 'layer', 'time')
    """
    return _Recording.of(Explainer(model, **options), record, extra).explained(window, overlap, labels)


@dataclass
class _Gathered:
    """The results of the windows explained so far.

    Attributes:
        fields: For each layer how its cells lie along the time, and what they depend on.
        starts: Where the windows began.
        parts: What the model answered; the maps are taken out.
        broken: Windows that hold NaN.
        layers: For each layer what a window's maps are like, where their time axis is, and the record's.
        grids: For each layer where its positions lie in a window.
    """

    fields: Sequence[AxisGrid | None]
    starts: list[int] = field(default_factory=list)
    parts: list[BatchResult] = field(default_factory=list)
    broken: list[int] = field(default_factory=list)
    layers: list[tuple[LayerMaps, int, OverlapAdd]] = field(default_factory=list)
    grids: Sequence[dict[int, AxisGrid]] = ()


@dataclass(frozen=True)
class _Recording:
    """A record, and how its windows are explained.

    Attributes:
        explainer: Explains windows.
        record: See ``explain_record``.
        axis: Of the record, along which it is long.
        layout: Of the record, with the axis of samples.
        name: The record's.
        extra: See ``explain``.
        as_float: Whether its values are measurements, which go into the model as float32 where they are whole
            numbers; else they are indices.
    """

    explainer: Explainer
    record: Any
    axis: int
    layout: Layout | None
    name: Any
    extra: Mapping[str, Any] | None
    as_float: bool = True

    @classmethod
    def of(cls, explainer: Explainer, record: Any, extra: Mapping[str, Any] | None) -> _Recording:
        """Check what was passed in, before anything is read."""
        check_options(explainer, extra)
        name: Any = 0
        if (data := explainer.read_container(record)) is not None:
            explainer = explainer.with_options(layout=data.layout or explainer.layout)
            if len(data.array) != 1:
                message = f"the object holds {len(data.array)} samples; a record is one. Pass one, or use explain for all of them."
                raise InputError(message)
            record = data.array[0]
            name = data.sample_names[0] if data.sample_names else 0
        layout = as_layout(explainer.layout)  # type: ignore[arg-type] # a dict was refused
        shape = getattr(record, "shape", None)
        ndim = len(layout.dims) if layout else 3 if shape is None else len(shape) + 1
        if shape is not None and len(shape) + 1 != ndim and layout:
            message = f"the record has shape {tuple(shape)}, but layout {' '.join(layout.dims)!r} leaves {ndim - 1} axes beside the batch. Give one record, without a batch axis."
            raise LayoutError(message)
        axis = time_axis(layout, ndim, explainer.backend.channel_axis(explainer.model))
        own = replace(explainer, layout=without_places(layout))
        return cls(own, record, axis - 1, layout, name, extra)

    @property
    def total(self) -> int | None:
        """The number of samples, if it is known before reading."""
        shape = getattr(self.record, "shape", None)
        return None if shape is None else int(shape[self.axis])

    # --- window by window ------------------------------------------------------------------------

    def explained(self, window: float, overlap: float, labels: Sequence[int | str] | None) -> Explanation:
        """Explain every window, and stitch the maps."""
        length = check_record(self.layout, self.axis + 1, window)
        if not isinstance(overlap, int | float | np.number) or not 0 <= overlap < 1:
            message = (
                f"overlap is {overlap!r}; give the share of a window that the next one has too, from 0 to below 1."
            )
            raise InputError(message)
        tape = RollingBuffer(iterate_chunks(self.record, self.axis, length, self.explainer.backend.numpy), self.axis)
        if not tape.reaches(length):
            message = f"the record has {tape.read} samples, fewer than a window of {length}. Use explain(model, record[None]), or a shorter window."
            raise InputError(message)
        if self.total is None:
            check_uncounted(self.explainer, labels)
        first = tape.at(0, length)
        recording = self._checked_options(first)
        running, steps, grids = recording.plan_windows(first, overlap, labels)
        gathered = _Gathered(grids)
        recording.gather(gathered, running, steps, tape, labels)
        if gathered.broken:
            message = f"windows {format_list(gathered.broken)} hold NaN or infinite values; their maps mean nothing, and are left out where another window has the place."
            warnings.warn(message, CamWarning, stacklevel=3)
        warn_of_score(gathered.parts)
        warn_of_flaws(gathered.parts, running.layers, tuple(running.targets), running.methods, "windows")
        ran = [each.ran for each in gathered.parts[0].layers]
        warn_of_spread([gathered.grids], ran, self.explainer.align)
        return recording.result(gathered, running, steps, tape.read, first, labels)

    def _checked_options(self, first: np.ndarray) -> _Recording:
        """This recording, with whole numbers as measurements, or as the indices the model takes."""
        if first.dtype.kind not in "iu" or self.takes(first):
            return self
        indices = replace(self, as_float=False)
        return indices if indices.takes(first) else self

    def gather(
        self,
        gathered: _Gathered,
        running: Runner,
        steps: WindowSteps,
        tape: RollingBuffer,
        labels: Sequence[int | str] | None,
    ) -> None:
        """Explain window after window, in batches that fit."""
        expected = self.total and count_windows(self.total, steps.window, steps.stride, steps.unit)
        if expected:
            check_counted(self.explainer, labels, expected)
        one = as_inputs(tape.at(0, steps.window)[None])
        size = self.explainer.batch_size or first_size(one, running.backend, running.model)
        with progress_bar(expected, visible=self.explainer.progress, unit="window") as done:
            windows = tape.windows(steps.window, steps.stride, steps.unit)
            while batch := list(islice(windows, size)):
                for piece in self._run(running, batch, gathered, done):
                    self._fold(gathered, running, piece, batch, steps)
                gathered.starts += [start for start, _ in batch]

    def plan_windows(
        self, first: np.ndarray, overlap: float, labels: Sequence[int | str] | None
    ) -> tuple[Runner, WindowSteps, list[AxisGrid | None]]:
        """Choose layers and stride by looking at the first window."""
        targets = [each.with_labels(labels) for each in self.explainer.targets.values()]
        explainer = replace(self.explainer, target=targets)
        try:
            here = self._select_inputs(first[None])
            explainer.backend.layers(explainer.model, here.samples.group().inputs)  # it must run
            running = explainer.with_layers(here)
            axes, deepest = self._axes(explainer, running, here)
        except _REFUSALS as error:
            if isinstance(error, CamError) or self.explainer.backend.ran_out_of_memory(error):
                raise
            raise ModelError(self._refused(first, error)) from error
        steps = WindowSteps.of(first.shape[self.axis], overlap, [*axes, deepest])
        if self.total != steps.window:
            warn_of_edges(running.layers, axes, steps)
        return running, steps, axes

    def _refused(self, first: np.ndarray, error: Exception) -> str:
        """Say why the model does not take a window, and whether a longer one helps."""
        length = first.shape[self.axis]
        text = f"the model does not take a window of {length} samples: {shorten(str(error), _QUOTED)}."
        more = [length * times for times in _LONGER]
        if any(self.takes(np.concatenate([first] * times, self.axis)) for times in _LONGER):
            return f"{text} Give a longer window; it must be at least what one cell of the layer sees."
        return f"{text} Windows of {' and '.join(map(str, more))} samples are refused, too. A batch of windows has shape {(1, *first.shape)}: give a record with the channels that the model takes, in the order of its axes, or the one window it was made for."

    def takes(self, window: np.ndarray) -> bool:
        """Whether the model takes a window."""
        backend = self.explainer.backend
        try:
            backend.layers(self.explainer.model, self._select_inputs(window[None]).samples.group().inputs)
        except _REFUSALS:
            return False
        return True

    def _axes(
        self, explainer: Explainer, running: Runner, here: ExplainedInputs
    ) -> tuple[list[AxisGrid | None], AxisGrid | None]:
        """The grid of each layer along time, widened by what its gradient depends on; and of the last layer."""
        if explainer.align == "resize":
            return [None] * len(running.layers), None
        few, layout = here.samples.group().inputs, running.explained[0].layout
        axes = [self._along(running.measure(few, each, layout)) for each in running.layers]
        if not any(each.needs_gradients for each in explainer.methods):
            return axes, None
        last = explainer.with_layers(replace(here, layers=(None,))).layers[0]
        deepest = self._along(running.measure(few, last, layout))
        fine = any(each.at != "layer" for each in explainer.methods)
        return [each and with_gradient(each, deepest, at_input=fine) for each in axes], deepest

    def _select_inputs(self, windows: np.ndarray) -> ExplainedInputs:
        whole = self.as_float and windows.dtype.kind in "iu"
        inputs = windows.astype(np.float32) if whole else windows
        return self.explainer.select_inputs(as_inputs(inputs, None, self.extra))

    def _along(self, grid: Mapping[int, AxisGrid]) -> AxisGrid | None:
        """The grid axis of a layer along time."""
        return next((each for each in grid.values() if each.input_axis == self.axis + 1), None)

    def _run(
        self, running: Runner, batch: Sequence[tuple[int, np.ndarray]], gathered: _Gathered, done: Any
    ) -> Iterator[GroupResult]:
        """Explain one batch of windows."""
        windows = np.stack([each for _, each in batch])
        before = len(gathered.starts)
        bad = [before + i for i in find_not_finite(windows, running.backend)]
        if bad and self.explainer.nan == "raise":
            message = f"windows {format_list(bad)} hold NaN or infinite values (the first one begins at sample {batch[bad[0] - before][0]}). Clean the record, or pass nan='warn' to go on."
            raise InputError(message)
        gathered.broken += bad
        group = self._select_inputs(windows).samples.group()
        yield from running.run_group(Group(group.rows + before, group.inputs, group.own), done)

    def _fold(
        self, gathered: _Gathered, running: Runner, piece: GroupResult, batch: Sequence[Any], steps: WindowSteps
    ) -> None:
        """Add the maps of some windows to those of the record."""
        columns = [each.maps for each in piece.maps(running.layers)]
        if not gathered.layers:
            gathered.grids = piece.grids
            gathered.layers = [
                self._begun(maps_, field, steps) for maps_, field in zip(columns, gathered.fields, strict=True)
            ]
        for maps, (like, place, stitch) in zip(columns, gathered.layers, strict=True):
            fits = like.grid == maps.grid
            values = maps.values if fits else maps.expand_along(self.axis + 1, steps.window).values
            along = np.moveaxis(values, 3 + place, -1)
            for (start, _), window_maps in zip(batch, along, strict=True):
                stitch.add(start, window_maps)
        empty = np.zeros(0, np.float32)
        gathered.parts += [
            replace(part, layers=tuple(replace(each, values=empty) for each in part.layers)) for part in piece.parts
        ]

    def _begun(self, maps: LayerMaps, grid: AxisGrid | None, steps: WindowSteps) -> tuple[LayerMaps, int, OverlapAdd]:
        """Choose the resolution a layer is stitched at, and start its buffer."""
        dim = self.axis + 1
        along = {axis.input_axis: (place, axis) for place, axis in enumerate(maps.grid)}
        if dim not in along or not steps.fits(along[dim][1]):
            maps = maps.expand_along(dim, steps.window)
            along = {axis.input_axis: (place, axis) for place, axis in enumerate(maps.grid)}
        place, own = along[dim]
        return maps, place, OverlapAdd(own, grid, steps, self.total or 0)

    # --- afterwards ------------------------------------------------------------------------------

    def result(
        self,
        gathered: _Gathered,
        running: Runner,
        steps: WindowSteps,
        total: int,
        first: np.ndarray,
        labels: Sequence[int | str] | None,
    ) -> Explanation:
        outputs = concatenate_outputs(gathered.parts)
        layers = tuple(_whole(*each, total) for each in gathered.layers)
        x = self._stored_record(total, first)
        axes = sorted({axis.input_axis for each in layers for axis in each.grid})
        layout = name_axes(self.layout, x.ndim, axes)
        targets, names = tuple(running.targets), running.class_names
        same = (outputs.index == outputs.index[:1]).all(axis=0)
        about = describe_run(running, gathered.parts[0], "")
        windows_text = f"{len(gathered.starts)} of {steps.window} samples, every {steps.stride}"
        table = _table(outputs, np.asarray(gathered.starts), steps.window, layout, layout.dims[self.axis + 1])
        if labels is not None:
            classes = None if outputs.probabilities is None else outputs.probabilities.shape[1]
            table["label"] = encode_labels(labels, names, classes)
        unit = layout.unit(layout.dims[self.axis + 1])
        return Explanation(
            layers=layers,
            targets=targets,
            methods=tuple(method.name for method in running.methods),
            layout=layout,
            input=x,
            scores=np.full((1, len(targets)), np.nan, outputs.scores.dtype),
            target_classes=np.where(same, outputs.index[:1], NO_CLASS),
            class_names=None if names is None else tuple(names),
            sample_names=(self.name,),
            provenance={**about, "windows": windows_text},
            windows=windows_table(table, targets, names, unit),
        )

    def _stored_record(self, total: int, first: np.ndarray) -> np.ndarray:
        """The record as the result's input, neither read nor copied."""
        if isinstance(self.record, np.ndarray):
            return self.record[None]
        shape = [*first.shape]
        shape[self.axis] = total
        gone = self.total is None
        real = first.dtype.kind == "f" or not gone  # only these can say that a value is not there
        dtype = first.dtype if real else np.dtype(np.float32)
        source = None if gone else self.record
        return RecordArray(source, (1, *shape), dtype, self.explainer.backend.numpy)  # type: ignore[return-value] # is read as one


def _whole(maps: LayerMaps, place: int, stitch: OverlapAdd, total: int) -> LayerMaps:
    """The map of the whole record."""
    values, axis = stitch.result(total)
    grid = (*maps.grid[:place], axis, *maps.grid[place + 1 :])
    return LayerMaps(maps.name, np.moveaxis(values, -1, 2 + place)[None], grid)


def _table(
    outputs: ModelOutputs, starts: np.ndarray, window: int, layout: Layout, dim: str
) -> dict[str, np.ndarray | None]:
    """The table of outputs a window, by column name."""
    ends = {"start": starts, "stop": starts + window}
    timed = {f"{name}_time": layout.coordinate(dim, at) for name, at in ends.items()}
    column_names = {"scores": "score", "index": "target_class", "logits": "logit", "probabilities": "probability"}
    answers = {column_names.get(each.name, each.name): getattr(outputs, each.name) for each in fields(outputs)}
    return {**ends, **(timed if layout.unit(dim) else {}), **answers}
