"""Here you find ``Explanation``, the result: maps with named axes, and what is needed to read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from signalcam.inputs.layout import Layout
from signalcam.results import labelled_arrays, selection, verbs
from signalcam.results.attached_scores import merge_scores
from signalcam.results.description import describe_explanation
from signalcam.results.event_average import EventAverage
from signalcam.results.input_maps import NETWORK_INPUT, InputMaps
from signalcam.results.layer_fusion import Fusion
from signalcam.results.layer_maps import LayerMaps
from signalcam.results.normalization import Normalisation
from signalcam.results.plotter import Plotter
from signalcam.results.selection import By

if TYPE_CHECKING:
    from os import PathLike

    import xarray as xr


@dataclass(frozen=True, eq=False)  # two results are compared map by map, not as a truth value
class Explanation:
    """Maps for samples x targets x methods x layers, with the input and the outputs they belong to.

    Maps are not normalised. Positive values support the target; results with ``signed=True`` also hold
    negative evidence. ``maps`` is at the input's resolution, ``native`` at the layer's.

    Attributes:
        layers: The maps, one entry for each layer.
        targets: Names of the targets.
        methods: Names of the methods.
        layout: Names, rates and units of the input's axes.
        input: The explained input, ``(sample, ...)``.
        scores: ``(sample, target)``, the values that were differentiated.
        target_classes: ``(sample, target)``, the class of each target; -1 for none.
        logits: ``(sample, class)``, exact where the provenance says so; ``None`` without classes.
        probabilities: ``(sample, class)``; ``None`` without classes.
        classes: ``(sample,)``, the predicted class; ``None`` without classes.
        true_classes: ``(sample,)``, the true class; ``None`` without labels.
        class_names: Names of the classes, or ``None``.
        sample_names: Names of the samples, or their numbers.
        provenance: Model, score, alignment and versions.
        of: The name of the explained input; empty if there is only one.
        modalities: The names of all explained inputs, in the order of ``of=``.
        shapes: ``(sample, axis)``, the lengths of each sample; ``None`` if all are equal.
        others: The maps of the other explained inputs, see ``modality``.
        windows: Scores and outputs of each window of a record, see ``explain_record``; ``scores`` are NaN then.
        metrics: Scores of the maps, see ``with_scores``; ``None`` if there are none.
        failed: ``(sample,)``, why a job could not explain a sample, or empty text; ``()`` if none failed.
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

    @property
    def map_axes(self) -> tuple[int, ...]:
        """The axes of the input that the maps have; batch is axis 0."""
        return selection.input_maps_of(self).map_axes

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
        """Return the name of a class, or its number."""
        names = self.class_names or ()
        return names[index] if 0 <= index < len(names) else str(index)

    def __repr__(self) -> str:
        return describe_explanation(self)

    def __str__(self) -> str:
        text: str = verbs.call("summarize", self)
        return text

    def _repr_html_(self) -> str:
        markup: str = verbs.call("thumbnail", self)
        return markup

    @property
    def at_network_input(self) -> Explanation | None:
        """The maps on the network's own input, if ``preprocess=`` was used; else ``None``."""
        return self.modality(NETWORK_INPUT) if NETWORK_INPUT in self.modalities else None

    def modality(self, name: str | int | tuple[Any, ...]) -> Explanation:
        """Return the explanation of another input; outputs and classes are unchanged.

        Args:
            name: One of ``modalities``, or an entry of ``of=``.

        Raises:
            TargetError: No maps belong to an input of that name.
        """
        return selection.select_modality(self, name)

    @cached_property
    def maps(self) -> xr.DataArray:
        """The maps at the input's resolution: ``(sample, target, cam, layer, *positions)``."""
        return labelled_arrays.label_maps(self, selection.input_maps_of(self).maps)

    def native(self, layer: str | None = None) -> xr.DataArray:
        """Return the maps of one layer at its own resolution: ``(sample, target, cam, *positions)``.

        Args:
            layer: Its name; the first by default.

        Returns:
            An array. Its coordinates are the centres of the receptive fields, in the units of the input's axes.
        """
        return labelled_arrays.label_layer_maps(self, layer)

    @cached_property
    def lengths(self) -> xr.DataArray:
        """The length of each sample in values along time: ``(sample,)``.

        One column for each axis if samples differ along other axes than time: ``(sample, axis)``.
        """
        return labelled_arrays.label_lengths(self, *selection.input_maps_of(self).lengths())

    @cached_property
    def outputs(self) -> xr.DataArray:
        """The logit of every class, ``(sample, class)``; a single output counts as two classes."""
        return labelled_arrays.label_classes(self, self.logits, "logit", kind=self.provenance.get("score", ""))

    @cached_property
    def confidence(self) -> xr.DataArray:
        """The probability of every class, ``(sample, class)``."""
        return labelled_arrays.label_classes(self, self.probabilities, "probability")

    @cached_property
    def predicted(self) -> xr.DataArray:
        """The predicted class of each sample, ``(sample,)``."""
        return labelled_arrays.label_samples(self, self.classes, "predicted")

    @cached_property
    def labels(self) -> xr.DataArray | None:
        """The true class of each sample, ``(sample,)``; ``None`` without labels."""
        return None if self.true_classes is None else labelled_arrays.label_samples(self, self.true_classes, "label")

    def to_xarray(self) -> xr.Dataset:
        """Return maps, scores, outputs and classes as one labelled dataset."""
        return labelled_arrays.build_dataset(self)

    def mean(self, dim: str | Sequence[str] = "sample") -> xr.DataArray:
        """Average the maps over an axis."""
        return self.maps.mean(dim, keep_attrs=True)

    def std(self, dim: str | Sequence[str] = "sample") -> xr.DataArray:
        """Return the standard deviation of the maps over an axis."""
        return self.maps.std(dim, keep_attrs=True)

    def channel_ranking(self, by: By = "sample") -> xr.Dataset:
        """Rank the channels by their importance: the sum of their map over all other positions.

        Args:
            by: ``"sample"``; or ``"predicted"`` or ``"label"``, the mean of each predicted or true class.

        Returns:
            ``importance`` and ``rank`` (1 for the most important) of each channel; for classes also ``count``.

        Raises:
            CamError: The maps have no channel axis (``PerChannel`` adds one), or there are no classes.
        """
        ranking: xr.Dataset = verbs.call("channel_ranking", self, by)
        return ranking

    def around(self, events: Sequence[Any], before: float = 0.2, after: float = 0.4, dim: str = "time") -> EventAverage:
        """Average maps and input around events, such as the R peaks of an electrocardiogram.

        Maps are interpolated to the time of the event; time is not stretched. Maps keep their magnitudes;
        ``normalized("max")`` gives all of them the same weight.

        Args:
            events: One array of times for each sample, in the units of the axis (seconds if there is a sampling
                rate). Events whose epoch exceeds the sample are left out.
            before: Length of the epoch before each event, in these units.
            after: Length of the epoch after each event.
            dim: The axis.

        Returns:
            Mean, standard deviation and count in ``table``; ``plot()`` draws it.

        Raises:
            CamError: There is no such axis, ``events`` has not one row for each sample, or no epoch is left.

        Example:
            >>> exp.around([[20.0, 90.0], [], [150.0], [199.0]], before=5, after=10)
            <EventAverage 3 events, from -5 to 10 samples; 1 left out>
        """
        average: EventAverage = verbs.call("around", self, events, before, after, dim)
        return average

    def isel(self, **indices: int | slice | Sequence[int]) -> Explanation:
        """Select samples, targets, methods or layers by position; a single number keeps its axis.

        Args:
            indices: ``sample=``, ``target=``, ``cam=``, ``layer=``, each a number, slice or list. Layers are those of
                the input at hand; other inputs keep theirs.

        Returns:
            A smaller explanation. Samples of unequal length are cut to the longest selected one.
        """
        return selection.select_indices(self, indices)

    def sel(self, **names: Any) -> Explanation:
        """Select samples, targets, methods or layers by name.

        Args:
            names: ``sample=``, ``target=``, ``cam=``, ``layer=``, each a name or a list of names. A target may be a
                class index; a method may have any of its spellings.

        Raises:
            CamError: There is no such name; the message lists the names.
        """
        return selection.select_names(self, names)

    def between(self, begin: float, end: float, dim: str = "time") -> Explanation:
        """Select an interval of an axis; only that part is read and resampled.

        Args:
            begin: Its begin, in the units of the axis (seconds if there is a sampling rate).
            end: Its end.
            dim: The axis. Its coordinates are kept, and the windows that overlap the interval.

        Raises:
            LayoutError: There is no such axis, the interval is empty, or samples have unequal lengths.
        """
        return selection.select_interval(self, begin, end, dim)

    @np.errstate(invalid="ignore")  # maps that are not finite were warned of when they were computed
    def normalized(self, kind: Normalisation = "max") -> Explanation:
        """Scale every map by itself, to compare shapes; magnitudes are lost.

        Args:
            kind: ``"max"`` (0 stays 0), ``"minmax"`` (0..1) or ``"symmetric"`` (-1..1, 0 stays 0).
        """
        provenance = {**self.provenance, "normalized": kind}
        return selection.change_inputs(self, lambda x: x.normalized(kind), provenance=provenance)

    def fused(self, how: Fusion = "mean") -> Explanation:
        """Fuse the maps of all layers into one, at the input's resolution.

        Args:
            how: ``"mean"``, ``"max"``, ``"product"`` or ``"layer-cam"``, see ``signalcam.results.layer_fusion.fuse``.
                Negative values are dropped first.

        Returns:
            An explanation with one layer, named after ``how`` and the layers.

        Raises:
            MethodError: There is no such fusion, or only one layer.
        """
        single = [other.name for other in self.others if len(other.layers) == 1]
        return selection.change_inputs(self, lambda x: x if x.name in single else x.fused(how), metrics=None)

    def with_scores(self, scores: xr.Dataset) -> Explanation:
        """Attach metric scores, for figures, reports and files.

        Args:
            scores: What ``signalcam.metrics.evaluate`` or ``localisation`` returned for this explanation. A second
                call adds its metrics to those of the first; curves are those of the last call with any.

        Returns:
            An explanation with ``metrics``, a dataset in the form of ``evaluate``. A selection keeps its part of
            the scores. ``between``, ``fused`` and ``modality`` drop them, because their maps differ.

        Raises:
            InputError: They are no scores, or those of other samples, targets, methods or layers.

        Example:
            >>> exp.with_scores(sc.metrics.evaluate(exp, network, "deletion")).metrics.sizes["metric"]
            1
        """
        names = (self.sample_names, self.targets, self.methods, self.layer_names)
        entries = dict(zip(selection.AXES, names, strict=True))
        return replace(self, metrics=merge_scores(self.metrics, scores, entries))

    @property
    def plot(self) -> Plotter:
        """Figures: ``exp.plot()`` selects one that fits; ``exp.plot.signal(...)`` and others draw one kind.

        Raises:
            MissingExtra: matplotlib is not installed.
        """
        return Plotter(self)

    def to_html(self, path: str | PathLike[str]) -> None:
        """Write an interactive report: one page, which opens from disk without a network.

        Args:
            path: The file to write, whole or not at all. An existing file is replaced.

        Raises:
            CamError: Bokeh is not installed, the file cannot be written, or the maps do not fit one page.
        """
        verbs.call("to_html", self, path)

    def show(self, height: int = 800) -> Any:
        """Show the report in a notebook.

        Args:
            height: In pixels.

        Raises:
            CamError: Bokeh or IPython is not installed, or there is too much data for one page.
        """
        return verbs.call("show", self, height)

    def save_video(self, path: str | PathLike[str], sample: int = 0, **options: Any) -> None:
        """Write one sample of a video with its heat, frame by frame; of a volume, slice by slice.

        All frames have one colour scale and true proportions (by the layout's ``spacing``). Small frames are
        enlarged. The file is written whole or not at all.

        Args:
            path: Ends in ``.webp``, ``.gif`` or ``.mp4`` (which needs the extra ``video``).
            sample: Its number.
            options: ``target=``, ``method=`` and ``layer=`` (names; the first by default); ``fps=`` (the layout's by
                default, else 10); ``captions=False``; ``cmap=``, ``vmin=``, ``vmax=`` and ``opacity=``.

        Raises:
            CamError: The file cannot be written, its ending is no kind of video, ``fps`` does not fit, the maps have
                not 3 axes, or matplotlib or the encoder is not installed.

        Example:
            >>> layout = sc.Layout("batch channel time height width", sampling_rate=8)
            >>> sc.explain(volume_network, volume, layout=layout).save_video("why.webp")
        """
        self.plot.video(path, sample, **options)

    def save(self, path: str | PathLike[str]) -> None:
        """Write everything to a Zarr store, whole or not at all.

        Args:
            path: The folder to write. An earlier result there is replaced once the new one is complete.

        Raises:
            StoreError: It cannot be written, or the folder holds something other than a result.
        """
        verbs.call("save", self, path)

    def export(self, path: str | PathLike[str], samples: slice | None = None) -> None:
        """Write maps and outputs to one file that other programs read.

        Maps have each layer's own resolution, in 32 bits; those of a failed sample are NaN. They are written in
        blocks, so that those of a job need not fit into memory. Inputs and the maps of ``others`` are not written.

        Args:
            path: Ends in ``.h5`` (or ``.hdf5``; axes are dimension scales), ``.parquet`` (one row for each sample;
                the schema's metadata hold the shapes of lists) or ``.npz``. It is written whole or not at all.
            samples: A slice of them, without steps; all by default.

        Raises:
            CamError: The file exists, its ending is no such kind, it cannot be written, the slice is empty or has
                steps, or the library that writes such files is not installed.

        Example:
            >>> exp.export("maps.npz")
            >>> import numpy as np
            >>> np.load("maps.npz")["maps_0"].shape[:3]  # samples, targets, methods
            (4, 1, 1)
        """
        verbs.call("export", self, path, samples)
