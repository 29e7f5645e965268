"""The result: raw maps with named axes, and everything needed to read them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from signalcam.attribution.registry import find
from signalcam.errors import TargetError
from signalcam.inputs.layout import Layout
from signalcam.results import normalization as map_operations
from signalcam.results import verbs
from signalcam.results.attached_scores import merge_scores, select_scores, summary_line
from signalcam.results.event_average import EventAverage
from signalcam.results.input_maps import NETWORK_INPUT, InputMaps
from signalcam.results.layer_fusion import Fusion
from signalcam.results.layer_maps import LayerMaps
from signalcam.results.plotter import Plotter
from signalcam.results.selection import AXES, By, as_names, check_axes, index_of, resolve_indices

if TYPE_CHECKING:
    from os import PathLike

    import xarray as xr


@dataclass(frozen=True, eq=False)  # two results are compared map by map, not as a truth value
class Explanation:
    """Maps for samples x targets x methods x layers, with what they are about.

    Nothing in it is normalised. Positive values speak for the target; ``signed=True`` results hold
    negative evidence too. ``maps`` is at the input's resolution, ``native`` at the layer's.

    Attributes:
        layers: The maps, one entry a layer.
        targets: Names of the questions asked.
        methods: Names of the methods.
        layout: Names, rates and units of the input's axes.
        input: The explained input, ``(sample, ...)``.
        scores: ``(sample, target)``, what was differentiated.
        target_classes: ``(sample, target)``, the class each question was about; -1 for none.
        logits: ``(sample, class)``, exact where the provenance says so; ``None`` without classes.
        probabilities: ``(sample, class)``; ``None`` without classes.
        classes: ``(sample,)``, the predicted class; ``None`` without classes.
        true_classes: ``(sample,)``, the labels given.
        class_names: Names of the classes, if given.
        sample_names: Names of the samples, or their numbers.
        provenance: Model, score, alignment and versions.
        of: The name of the input the maps are drawn on; empty where there is only one.
        modalities: The names of all inputs that there are maps of, in the order asked for.
        shapes: ``(sample, axis)``, how long each sample of the input is; ``None`` where all are alike.
        others: The same of the other inputs, see ``modality``.
        windows: Of a record that was explained window by window what was said of each, see
            ``explain_record``; ``scores`` are NaN then, and the classes' are not there.
        metrics: How far the maps can be trusted, see ``with_scores``; ``None`` where nobody asked.
        failed: ``(sample,)``, why a job could not explain a sample; an empty text for one that it could, and
            nothing at all where that is so of all.
    """

    layers: tuple[LayerMaps, ...]
    targets: tuple[str, ...]
    methods: tuple[str, ...]
    layout: Layout
    input: np.ndarray
    scores: np.ndarray
    target_classes: np.ndarray
    logits: np.ndarray | None = None
    probabilities: np.ndarray | None = None
    classes: np.ndarray | None = None
    true_classes: np.ndarray | None = None
    class_names: tuple[str, ...] | None = None
    sample_names: tuple[Any, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    of: str = ""
    modalities: tuple[str, ...] = ()
    shapes: np.ndarray | None = None
    others: tuple[InputMaps, ...] = ()
    windows: xr.Dataset | None = None
    metrics: xr.Dataset | None = None
    failed: tuple[str, ...] = ()

    # --- what it is about ------------------------------------------------------------------------

    @property
    def map_axes(self) -> tuple[int, ...]:
        """The axes of the input that the maps have, batch being axis 0."""
        return self._own.map_axes

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the maps' position axes."""
        return tuple(self.layout.dims[axis] for axis in self.map_axes)

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Names of the layers."""
        return tuple(layer.name for layer in self.layers)

    def __len__(self) -> int:
        return len(self.input)

    def class_name(self, index: int) -> str:
        """The name of a class, or its number."""
        names = self.class_names or ()
        return names[index] if 0 <= index < len(names) else str(index)

    def __repr__(self) -> str:
        what = " x ".join(
            f"{len(names)} {kind}{'s' * (len(names) != 1)}"
            for kind, names in (
                ("sample", self.sample_names),
                ("target", self.targets),
                ("method", self.methods),
                ("layer", self.layers),
            )
        )
        lengths = " x ".join(
            f"{self.input.shape[axis]} {dim}" for axis, dim in zip(self.map_axes, self.dims, strict=True)
        )
        names = ", ".join(self.methods), ", ".join(self.layer_names), ", ".join(self.targets)
        drawn = f" of {self.of}" if self.of else ""
        scored = "" if self.metrics is None else f"; {summary_line(self.metrics)}"
        return (
            f"<Explanation of {self.provenance.get('model', 'a model')}: {what}, maps of {lengths}{drawn}; "
            f"{names[0]} at {names[1]}, for {names[2]}{scored}>"
        )

    def __str__(self) -> str:
        text: str = verbs.call("summarize", self)
        return text

    def _repr_html_(self) -> str:
        markup: str = verbs.call("thumbnail", self)
        return markup

    @property
    def at_network_input(self) -> Explanation | None:
        """Where ``preprocess=`` was used, the same maps on what the network was given; else ``None``."""
        return self.modality(NETWORK_INPUT) if NETWORK_INPUT in self.modalities else None

    @property
    def _own(self) -> InputMaps:
        return InputMaps(self.of, self.layers, self.layout, self.input, self.shapes)

    def modality(self, name: str | int | tuple[Any, ...]) -> Explanation:
        """The maps drawn on another input, with everything said about the samples.

        Args:
            name: One of ``modalities``, or what ``of=`` was given.

        Raises:
            TargetError: There are no maps of an input of that name.
        """
        wanted = "/".join(map(str, name)) if isinstance(name, tuple) else str(name)
        if wanted == self.of:
            return self
        known = {each.name: each for each in (*self.others, self._own)}
        index_of(wanted, self.modalities, "modality")
        new = known.pop(wanted)
        return replace(
            self,
            of=wanted,
            layers=new.layers,
            layout=new.layout,
            input=new.input,
            shapes=new.shapes,
            others=tuple(known.values()),
            metrics=self.metrics if NETWORK_INPUT in self.modalities else None,
        )

    # --- labelled arrays -------------------------------------------------------------------------

    @cached_property
    def maps(self) -> xr.DataArray:
        """The maps at the input's resolution: ``(sample, target, cam, layer, *positions)``."""
        import xarray as xr  # noqa: PLC0415 - not needed to import signalcam

        values = self._own.maps
        positions = {
            dim: self._coordinate(dim, np.arange(length))
            for dim, length in zip(self.dims, values.shape[4:], strict=True)
        }
        coords = {**self._labels(), "layer": list(self.layer_names), **positions}
        return xr.DataArray(values, coords, (*AXES, *self.dims), "importance", dict(self.provenance))

    def native(self, layer: str | None = None) -> xr.DataArray:
        """The maps of one layer at its own resolution: ``(sample, target, cam, *positions)``.

        Args:
            layer: Its name; the first by default.

        Returns:
            An array whose position coordinates are the centres of what each position sees, in the
            units of the input's axes.
        """
        import xarray as xr  # noqa: PLC0415 - not needed to import signalcam

        own = self.layers[0 if layer is None else index_of(layer, self.layer_names, "layer")]
        dims = tuple(self.layout.dims[axis.input_axis] for axis in own.grid)
        places = {dim: self._coordinate(dim, axis.centres) for dim, axis in zip(dims, own.grid, strict=True)}
        return xr.DataArray(
            own.values,
            {**self._labels(), **places},
            (*AXES[:3], *dims),
            "importance",
            dict(self.provenance),
        )

    @cached_property
    def lengths(self) -> xr.DataArray:
        """How long each sample is, in values along time: ``(sample,)``.

        Where samples differ along other axes than time there is one column for each: ``(sample, axis)``.
        """
        import xarray as xr  # noqa: PLC0415 - not needed to import signalcam

        values, axes = self._own.lengths()
        if len(axes) == 1:
            return self._by_sample(values[:, 0], "length")
        coords = {"sample": list(self.sample_names), "axis": axes}
        return xr.DataArray(values, coords, ("sample", "axis"), "length")

    @cached_property
    def outputs(self) -> xr.DataArray:
        """The logit of every class, ``(sample, class)``; a single output counts as two classes."""
        return self._by_class(self.logits, "logit", kind=self.provenance.get("score", ""))

    @cached_property
    def confidence(self) -> xr.DataArray:
        """The probability of every class, ``(sample, class)``."""
        return self._by_class(self.probabilities, "probability")

    @cached_property
    def predicted(self) -> xr.DataArray:
        """The predicted class of each sample, ``(sample,)``."""
        return self._by_sample(self.classes, "predicted")

    @cached_property
    def labels(self) -> xr.DataArray | None:
        """The true class of each sample, ``(sample,)``, if labels were given."""
        return None if self.true_classes is None else self._by_sample(self.true_classes, "label")

    def to_xarray(self) -> xr.Dataset:
        """Everything as one labelled dataset."""
        import xarray as xr  # noqa: PLC0415 - not needed to import signalcam

        score = xr.DataArray(self.scores, dims=("sample", "target"))
        variables: dict[str, Any] = {"importance": self.maps, "score": score}
        if self.classes is not None:
            variables |= {
                "logit": self.outputs,
                "probability": self.confidence,
                "predicted": self.predicted,
            }
        if self.labels is not None:
            variables["label"] = self.labels
        return xr.Dataset(variables, attrs=dict(self.provenance))

    def mean(self, dim: str | Sequence[str] = "sample") -> xr.DataArray:
        """Average the maps over an axis."""
        return self.maps.mean(dim, keep_attrs=True)

    def std(self, dim: str | Sequence[str] = "sample") -> xr.DataArray:
        """The standard deviation of the maps over an axis."""
        return self.maps.std(dim, keep_attrs=True)

    def channel_ranking(self, by: By = "sample") -> xr.Dataset:
        """Rank the channels by their importance, which is the sum of their map over all other positions.

        Args:
            by: ``"sample"``, or ``"predicted"`` or ``"label"`` for the mean over the samples of each predicted
                or true class.

        Returns:
            ``importance`` and ``rank`` (1 for the most important) for each channel; for classes also the
            ``count`` of their samples.

        Raises:
            CamError: The maps have no channel axis (``PerChannel`` gives them one), or there are no classes.
        """
        ranking: xr.Dataset = verbs.call("channel_ranking", self, by)
        return ranking

    def around(self, events: Sequence[Any], before: float = 0.2, after: float = 0.4, dim: str = "time") -> EventAverage:
        """Average maps and input around events, such as the R peaks of an electrocardiogram.

        Each map is interpolated from the layer's own positions to where the event and its surroundings lie, and
        nothing is stretched. Maps count as they are; those of ``normalized("max")`` count alike.

        Args:
            events: One array of times for each sample, in the units of the axis: seconds from its begin where there is
                a sampling rate, else samples. An event whose cut does not lie inside its sample is left out.
            before: How much to cut before each event, in the same units.
            after: How much after it.
            dim: The axis.

        Returns:
            A ``table`` with mean and standard deviation of maps and input, and how many events there were; it draws
            itself with ``plot()``.

        Raises:
            CamError: There is no such axis, not one row of events a sample, or no event to cut around.

        Example:
            >>> exp.around([[20.0, 90.0], [], [150.0], [199.0]], before=5, after=10)
            <EventAverage 3 events, from -5 to 10 samples; 1 left out>
        """
        average: EventAverage = verbs.call("around", self, events, before, after, dim)
        return average

    def _labels(self) -> dict[str, Any]:
        return {
            "sample": list(self.sample_names),
            "target": list(self.targets),
            "cam": list(self.methods),
        }

    def _coordinate(self, dim: str, positions: np.ndarray) -> Any:
        unit = self.layout.unit(dim)
        return (dim, self.layout.coordinate(dim, positions), {"units": unit} if unit else {})

    def _by_sample(self, values: np.ndarray | None, name: str) -> xr.DataArray:
        import xarray as xr  # noqa: PLC0415 - not needed to import signalcam

        if values is None:
            raise TargetError(self._no_classes(f"{name} class"))
        return xr.DataArray(values, {"sample": list(self.sample_names)}, ("sample",), name)

    def _by_class(self, values: np.ndarray | None, name: str, **attributes: str) -> xr.DataArray:
        import xarray as xr  # noqa: PLC0415 - not needed to import signalcam

        if values is None:
            raise TargetError(self._no_classes(f"{name} for each"))
        names = list(self.class_names or range(values.shape[1]))
        coords = {"sample": list(self.sample_names), "class": names}
        return xr.DataArray(values, coords, ("sample", "class"), name, attributes)

    def _no_classes(self, what: str) -> str:
        if self.windows is not None:
            return f"the record was explained window by window, so there is no one {what}. Read .windows instead."
        return f"the model's output holds no classes, so there is no {what}. Read .scores instead."

    # --- parts of it -----------------------------------------------------------------------------

    def isel(self, **chosen: int | slice | Sequence[int]) -> Explanation:
        """Take samples, targets, methods or layers by position; a single number keeps its axis.

        Args:
            chosen: ``sample=``, ``target=``, ``cam=``, ``layer=``, each a number, slice or list. A
                layer is one of the modality at hand; the others keep theirs.

        Returns:
            A smaller explanation. Samples of unequal length are cut to the longest one taken.
        """
        check_axes(chosen)
        every = (self.sample_names, self.targets, self.methods, self.layers)
        s, t, m, y = (
            resolve_indices(chosen.get(axis, slice(None)), len(known), axis)
            for axis, known in zip(AXES, every, strict=True)
        )

        def rows(values: np.ndarray | None) -> np.ndarray | None:
            return None if values is None else values[s]

        smaller = self._changed(
            lambda each: each.select(s, t, m),
            targets=tuple(self.targets[i] for i in t),
            methods=tuple(self.methods[i] for i in m),
            scores=self.scores[s][:, t],
            target_classes=self.target_classes[s][:, t],
            logits=rows(self.logits),
            probabilities=rows(self.probabilities),
            classes=rows(self.classes),
            true_classes=rows(self.true_classes),
            sample_names=tuple(self.sample_names[i] for i in s),
            failed=tuple(self.failed[i] for i in s) if self.failed else (),
            windows=None if self.windows is None else self.windows.isel(target=t),
            metrics=select_scores(self.metrics, s, {"target": t, "cam": m, "layer": y}, self.methods),
        )
        return replace(smaller, layers=tuple(smaller.layers[i] for i in y))

    def _changed(self, change: Callable[[InputMaps], InputMaps], **more: Any) -> Explanation:
        """Change all modalities alike."""
        own, others = change(self._own), tuple(map(change, self.others))
        return replace(
            self, layers=own.layers, layout=own.layout, input=own.input, shapes=own.shapes, others=others, **more
        )

    def sel(self, **chosen: Any) -> Explanation:
        """Take samples, targets, methods or layers by name.

        Args:
            chosen: ``sample=``, ``target=``, ``cam=``, ``layer=``, each a name or a list of names.
                A target may be given by class index, a method in any of its spellings.

        Returns:
            A smaller explanation.

        Raises:
            CamError: Nothing has that name; the message lists what has.
        """
        check_axes(chosen)
        every = (self.sample_names, self.targets, self.methods, self.layer_names)
        known = dict(zip(AXES, every, strict=True))
        return self.isel(
            **{
                axis: [index_of(self._spelt(axis, each), known[axis], axis) for each in as_names(names)]
                for axis, names in chosen.items()
            }
        )

    def _spelt(self, axis: str, name: Any) -> Any:
        if axis == "cam" and name not in self.methods:  # it need not be registered any more
            return find(name).name
        if axis == "target" and isinstance(name, int | np.integer):
            return self.class_name(int(name))
        return name

    def between(self, begin: float, end: float, dim: str = "time") -> Explanation:
        """Take a stretch, of which alone the input is read and the maps are worked out.

        Args:
            begin: Where it begins, in the units of the axis (seconds where there is a sampling rate).
            end: Where it ends.
            dim: The axis.

        Returns:
            A shorter explanation, at the same places of the axis, with the windows that reach into it.

        Raises:
            LayoutError: There is no such axis, nothing of it lies there, or samples are of unequal length.
        """
        start, stop = self._own.interval_to_indices(dim, begin, end)
        shorter = self._changed(lambda each: each.between(dim, begin, end), metrics=None)
        if self.windows is None:
            return shorter
        reach = (self.windows["start"] < stop) & (self.windows["stop"] > start)
        return replace(shorter, windows=self.windows.isel(window=np.flatnonzero(reach.values)))

    @np.errstate(invalid="ignore")  # maps that are not finite were warned of when they were made
    def normalized(self, kind: map_operations.Normalisation = "max") -> Explanation:
        """Scale every map by itself, for looking at shapes; magnitudes are lost.

        Args:
            kind: ``"max"`` (0 stays 0), ``"minmax"`` (0..1) or ``"symmetric"`` (-1..1, 0 stays 0).

        Returns:
            An explanation of the same shape.
        """
        provenance = {**self.provenance, "normalized": kind}
        return self._changed(lambda each: each.normalized(kind), provenance=provenance)

    def fused(self, how: Fusion = "mean") -> Explanation:
        """Put the maps of all layers together, at the input's resolution.

        Args:
            how: ``"mean"``, ``"max"``, ``"product"`` or ``"layer-cam"``, see ``signalcam.results.layer_fusion.fuse``. What
                is negative is dropped first.

        Returns:
            An explanation with one layer, named after the way and the layers.

        Raises:
            MethodError: There is no such way, or only one layer.
        """
        alone = [each.name for each in self.others if len(each.layers) == 1]
        return self._changed(lambda each: each if each.name in alone else each.fused(how), metrics=None)

    def with_scores(self, scores: xr.Dataset) -> Explanation:
        """Carry what the metrics said of these maps into figures, reports and files.

        Args:
            scores: What ``signalcam.metrics.evaluate`` or ``localisation`` returned for this result. Called again
                with others, both are kept, by metric; curves are those of the last that has any.

        Returns:
            The same, with ``metrics``: a dataset in the form of ``evaluate``. Parts of it carry their part of
            the scores, with the means of the samples that are left; ``between``, ``fused`` and another input's
            maps carry none, as these are other maps.

        Raises:
            InputError: They are no scores, or those of other samples, targets, methods or layers.

        Example:
            >>> exp.with_scores(sc.metrics.evaluate(exp, network, "deletion")).metrics.sizes["metric"]
            1
        """
        names = (self.sample_names, self.targets, self.methods, self.layer_names)
        return replace(self, metrics=merge_scores(self.metrics, scores, dict(zip(AXES, names, strict=True))))

    # --- looking and keeping ---------------------------------------------------------------------

    @property
    def plot(self) -> Plotter:
        """Figures: ``exp.plot()`` picks one that fits; ``exp.plot.signal(...)`` and others ask for one.

        Raises:
            MissingExtra: matplotlib is not installed.
        """
        return Plotter(self)

    def to_html(self, path: str | PathLike[str]) -> None:
        """Write a report: one page to click through, which opens from disk without a network.

        Args:
            path: A file to write, whole or not at all; one that is there is replaced.

        Raises:
            MissingExtra: Bokeh is not installed.
            StoreError: It cannot be written, or there is more data than a page should hold.
            LayoutError: There is no page for maps with such axes.

        Example:
            >>> exp.to_html("report.html")
        """
        verbs.call("to_html", self, path)

    def show(self, height: int = 800) -> Any:
        """Show the report in a notebook.

        Args:
            height: Of its frame, in pixels.

        Raises:
            MissingExtra: Bokeh or IPython is not installed.
            StoreError: There is more data than a page should hold.
        """
        return verbs.call("show", self, height)

    def save_video(self, path: str | PathLike[str], sample: int = 0, **options: Any) -> None:
        """Write one sample of a video under its heat, frame by frame; of a volume, slice by slice.

        The colours of all frames are on one scale. Frames keep their proportions (those of the layout's
        ``spacing``, where it is known); small ones are enlarged. The file is written whole or not at all.

        Args:
            path: Ends in ``.webp``, ``.gif`` or ``.mp4`` (which needs the extra ``video``).
            sample: Its number.
            options: ``target=``, ``method=`` and ``layer=`` (names; the first by default); ``fps=``, frames a
                second, by default those of the layout, else 10; ``captions=False`` for frames without
                words; ``cmap=``, ``vmin=``, ``vmax=`` and ``opacity=`` of the strongest heat.

        Raises:
            StoreError: The file cannot be written, or its name says no kind of video.
            LayoutError: The maps have not 3 axes, or ``fps`` is not positive or too high for the file.
            MissingExtra: matplotlib, or what writes ``.mp4``, is not installed.

        Example:
            >>> layout = sc.Layout("batch channel time height width", sampling_rate=8)
            >>> sc.explain(volume_network, volume, layout=layout).save_video("why.webp")
        """
        self.plot.video(path, sample, **options)

    def save(self, path: str | PathLike[str]) -> None:
        """Write everything to a Zarr store, all or nothing.

        Args:
            path: A folder to make; an earlier result there is replaced once the new one is whole.

        Raises:
            StoreError: It cannot be written, or something that is no result of ours lies there.
        """
        verbs.call("save", self, path)

    def export(self, path: str | PathLike[str], samples: slice | None = None) -> None:
        """Write maps and what is said of each sample to one file that other programs read.

        Maps lie at each layer's own resolution, in 32 bits; those of a sample that failed are NaN, and ``failed``
        says why. They are read and written a block at a time, so those of a job need not fit into memory. Only the
        maps of the input at hand are written, and no input.

        Args:
            path: Ends in ``.h5`` (or ``.hdf5``; axes are dimension scales), ``.parquet`` (a row a sample; its schema's
                metadata say how the lists of numbers are shaped) or ``.npz``. It is written whole or not at all.
            samples: A stretch of them, without steps; all by default.

        Raises:
            StoreError: There is a file already, its name says no such kind, or it cannot be written.
            InputError: The stretch holds no sample, or has steps.
            MissingExtra: What writes such files is not installed.

        Example:
            >>> exp.export("maps.npz")
            >>> import numpy as np
            >>> np.load("maps.npz")["maps_0"].shape[:3]  # samples, targets, methods
            (4, 1, 1)
        """
        verbs.call("export", self, path, samples)
