"""Here you find ``exp.plot``, which selects a figure and calls the package ``plot`` for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from signalcam.errors import LayoutError, MissingExtra
from signalcam.results import verbs
from signalcam.results.figure_options import check_options, resolve_comparison

if TYPE_CHECKING:
    from os import PathLike

    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure


Spread = Literal["deviation", "quantiles"]


class Plotter:
    """Draw maps of an explanation; ``exp.plot()`` selects the figure that fits its axes.

    Figures of one map take ``sample=`` (a number), and ``target=``, ``method=`` and ``layer=`` (names; the first
    by default). They also take ``ax=`` or ``fig=`` (a new figure by default), ``cmap=``, ``vmin=``, ``vmax=`` and
    ``colorbar=``, and return the ``Axes``. Each map has its own linear colour scale, without clipping. A display
    such as ``signalcam.plot.signal.SignalDisplay`` holds the artists of each figure.

    Raises:
        MissingExtra: matplotlib is not installed.
        CamError: An option or name does not exist, the map has no finite value, or ``ax=`` meets ``fig=``.

    Example:
        >>> ax = exp.plot(sample=0)
        >>> ax.figure.savefig("why.png", dpi=150)
    """

    def __init__(self, explanation: Any) -> None:
        try:
            import matplotlib as mpl  # noqa: F401, PLC0415 - only to see whether it is installed
        except ImportError as error:
            raise MissingExtra("drawing", "plot") from error
        self._explanation = explanation

    def __call__(self, sample: int = 0, **options: Any) -> Axes:
        """Draw a signal, a text, an image or a volume, depending on the axes of the map.

        Args:
            sample: Its number.
            options: Those of ``signal``, ``text``, ``spectrogram``, ``image`` or ``volume``.
        """
        dims = self._explanation.dims
        if dims == ("token",) and self._explanation.layout.token_names:
            return self.text(sample, **options)
        if len(dims) == 1 or set(dims) == {"time", "channel"}:
            return self.signal(sample, **options)
        if len(dims) == 2:
            return (self.spectrogram if "time" in dims else self.image)(sample, **options)
        if len(dims) == 3:
            return self.volume(sample, **options)
        message = f"there is no figure for a map with axes {', '.join(dims)}. Draw exp.maps yourself."
        raise LayoutError(message)

    def signal(
        self,
        sample: int = 0,
        *,
        target: Any = None,
        method: Any = None,
        layer: Any = None,
        channels: Sequence[int | str] | None = None,
        norm: str = "shared",
        **drawing: Any,
    ) -> Axes:
        """Draw each channel as a thin black line with its heat, over time.

        Lines of more than 2000 values show the range of each bin, maps of more than 1600 the largest magnitude.

        Args:
            sample: Its number.
            target: A name; the first by default.
            method: A name.
            layer: A name.
            channels: Names or numbers; all by default.
            norm: ``"shared"``, one colour scale for all channels, or ``"own"``: each channel's heat divided by its
                largest magnitude. Only for maps with a channel axis.
            drawing: The common options (see ``Plotter``); ``style="strip"`` (heat behind the line), ``"line"`` (a
                broad stroke along it) or ``"area"`` (below it); ``line_kws=`` for the lines, ``strip_kws=`` for the
                heat.

        Example:
            >>> ax = exp.plot.signal(1, channels=[0], style="area", line_kws={"linewidth": 0.5})
        """
        which = {"target": target, "method": method, "layer": layer, "channels": channels, "norm": norm}
        return self._draw("signal", verbs.call("plot.signal", self._explanation, sample, **which), drawing)

    def heatmap(self, sample: int = 0, **options: Any) -> Axes:
        """Draw the map alone, time across and channels downwards, the first on top.

        Args:
            sample: Its number; a map without a channel axis is one row.
            options: Those of ``signal`` but ``style=`` and ``line_kws=``.
        """
        return self.signal(sample, style="heat", **options)

    def ecg(
        self,
        sample: int = 0,
        *,
        target: Any = None,
        method: Any = None,
        layer: Any = None,
        channels: Sequence[int | str] | None = None,
        norm: str = "shared",
        **drawing: Any,
    ) -> Axes:
        """Draw an electrocardiogram on its paper, true to scale, under heat as opaque as it is strong.

        1 mm of the paper is 1 mm of the page; with ``ax=`` or ``fig=`` only the proportions hold. Each lead is drawn
        around its median. Leads are in clinical order, by their names.

        Args:
            sample: Its number.
            target: A name; the first by default.
            method: A name.
            layer: A name.
            channels: Names or numbers of those that are leads; all by default.
            norm: ``"shared"``, one colour scale for all leads, or ``"own"``; see ``signal``.
            drawing: The common options (see ``Plotter``); ``layout="3x4+1"`` (four columns of 2.5 s of a 10-second
                record, lead II below) or ``"12x1"`` (one row for each lead; the default below 12 leads);
                ``speed=25`` in mm/s, ``gain=10`` in mm/mV; ``line_kws=`` for traces, ``strip_kws=`` for the heat.

        Raises:
            LayoutError: The layout has no lead names, sampling rate or units, a channel is no lead, or the record
                is longer than 60 s.

        Example:
            >>> layout = sc.Layout("batch channel time", sampling_rate=100, channel_names=["II", "V1"], units="mV")
            >>> ax = sc.explain(network, ecg, layout=layout).plot.ecg()
        """
        which = {"target": target, "method": method, "layer": layer, "channels": channels, "norm": norm}
        return self._draw("ecg", verbs.call("plot.ecg", self._explanation, sample, **which), drawing)

    def text(self, sample: int = 0, **options: Any) -> Axes:
        """Draw a text, each token on a background of its heat, or a bar for each token.

        The names of tokens are those of the layout (``token_names=``) or of the tokenizer's output.

        Args:
            sample: Its number.
            options: The common ones (see ``Plotter``); ``style="inline"`` or ``"bar"``; ``text_kws=``.
        """
        draw = verbs.resolve("plot.text")
        check_options("text", options, draw)
        axes: Axes = draw(self._explanation, sample, **options)
        return axes

    def spectrogram(
        self,
        sample: int = 0,
        *,
        target: Any = None,
        method: Any = None,
        layer: Any = None,
        loudness: Any = None,
        frequency: Any = "given",
        **drawing: Any,
    ) -> Axes:
        """Draw a spectrogram in grey, time across, under heat as opaque as it is strong.

        Bands that are not evenly spaced (mel) are drawn side by side, with ticks at their Hz.

        Args:
            sample: Its number.
            target: A name; the first by default.
            method: A name.
            layer: A name.
            loudness: The quantity of the input: ``"power"`` or ``"amplitude"``, drawn in dB down to 80 below the
                loudest, or ``"given"``, drawn as it is (the default for negative values or dB, else power).
            frequency: ``"log"`` for octaves of one height.
            drawing: Those of ``image``.

        Raises:
            CamError: The map has no axis called ``time`` and one more, or an option does not fit.

        Example:
            >>> layout = sc.Layout("batch channel frequency time", sampling_rate=100, spacing={"frequency": 125})
            >>> heard = sc.explain(image_network, image, layout=layout)
            >>> heard.plot.spectrogram(frequency="log").get_ylabel()
            'frequency (Hz)'
        """
        self._require_axes(2, "spectrogram")
        which = {"target": target, "method": method, "layer": layer, "loudness": loudness, "frequency": frequency}
        return self._draw("spectrogram", verbs.call("plot.spectrogram", self._explanation, sample, **which), drawing)

    def image(
        self, sample: int = 0, *, target: Any = None, method: Any = None, layer: Any = None, **drawing: Any
    ) -> Axes:
        """Draw a grey or colour picture under heat as opaque as it is strong.

        Three channels are red, green and blue; any other number is averaged to grey. The title names the scale.

        Args:
            sample: Its number.
            target: A name; the first by default.
            method: A name.
            layer: A name.
            drawing: The common options (see ``Plotter``); ``opacity=`` of the strongest heat; ``image_kws=``
                and ``heat_kws=`` for ``Axes.imshow``.

        Raises:
            LayoutError: The map has not 2 axes.

        Example:
            >>> ax = sc.explain(image_network, image).plot.image(opacity=0.6)
            >>> ax.get_xlabel()
            'width'
        """
        self._require_axes(2, "image")
        which = {"target": target, "method": method, "layer": layer}
        return self._draw("image", verbs.call("plot.image", self._explanation, sample, **which), drawing)

    def volume(
        self,
        sample: int = 0,
        *,
        target: Any = None,
        method: Any = None,
        layer: Any = None,
        style: str | None = None,
        at: Sequence[float] | None = None,
        axis: str | None = None,
        count: int = 12,
        **drawing: Any,
    ) -> Axes:
        """Draw slices of a volume, or frames of a video, with one colour scale and in true proportions.

        Proportions follow the layout's ``spacing``, if all axes have one. An anatomical axis (``left``, ``anterior``,
        ``superior``, ...: the direction of increasing index) is drawn upright, with letters at its sides.

        Args:
            sample: Its number.
            target: A name; the first by default.
            method: A name.
            layer: A name.
            style: ``"slices"``, three through one point, or ``"montage"`` (the default with a time axis).
            at: The point, in the units of the axes; the strongest by default.
            axis: The axis of a montage.
            count: Number of slices of a montage.
            drawing: Those of ``image``.

        Raises:
            CamError: The map has not 3 axes, ``at`` lies outside, or an option does not fit.

        Example:
            >>> layout = sc.Layout("batch channel depth height width", spacing={"depth": 3, "height": 1, "width": 1})
            >>> seen = sc.explain(volume_network, volume, layout=layout)
            >>> ax = seen.plot.volume(at=(9, 4, 5))
            >>> ax.get_xticklabels()[0].get_text()
            'depth 9'
        """
        self._require_axes(3, "volume")
        which = {"target": target, "method": method, "layer": layer}
        view = {"style": style, "at": at, "axis": axis, "count": count}
        return self._draw("volume", verbs.call("plot.volume", self._explanation, sample, **which, **view), drawing)

    def video(self, path: str | PathLike[str], sample: int = 0, **options: Any) -> None:
        """Write a video; see ``Explanation.save_video``."""
        save = verbs.resolve("plot.video")
        check_options("video", options, save, verbs.resolve("plot.heat"))
        save(self._explanation, path, sample, **options)

    def compare(
        self,
        along: str | None = None,
        sample: int = 0,
        *,
        methods: Sequence[Any] | None = None,
        layers: Sequence[Any] | None = None,
        targets: Sequence[Any] | None = None,
        **options: Any,
    ) -> Figure | SubFigure:
        """Draw one sample several times, once for each method, layer or target.

        Args:
            along: ``"method"``, ``"layer"`` or ``"target"``; by default the first that has several.
            sample: Its number.
            methods: Names to compare; all by default.
            layers: Names to compare.
            targets: Names to compare.
            options: Those of the figure that fits the map, but for ``ax=``; ``fig=`` (a figure or subfigure without
                axes); and ``norm="shared"``, one colour scale for all panels, or ``"own"``: each map divided by its
                largest magnitude, which the panel shows. The default is shared for targets, whose magnitudes are
                comparable, and own for methods and layers.

        Raises:
            MethodError: There is nothing to compare.

        Example:
            >>> exp = sc.explain(network, ecg, method=["grad-cam", "hires-cam"])
            >>> fig = exp.plot.compare(methods=["hires-cam", "grad-cam"], norm="shared")
        """
        names = {"method": methods, "layer": layers, "target": targets}
        axis, entries = resolve_comparison(along, names, options)
        figure: Figure | SubFigure = verbs.call("plot.compare", self._explanation, axis, entries, sample, **options)
        return figure

    def summary(
        self,
        by: str | None = None,
        *,
        target: Any = None,
        method: Any = None,
        layer: Any = None,
        channel: int | str | None = None,
        spread: Spread = "deviation",
        **drawing: Any,
    ) -> Axes:
        """Draw the mean map over all samples, with its standard deviation or quantiles, over the mean signal.

        Maps keep their magnitudes; ``exp.normalized().plot.summary()`` gives each sample the same weight. For the
        whole store of a job its running summary is drawn, without the signal: means of maps divided by their largest
        magnitudes. Of images and volumes a job shows mean and deviation side by side.

        Args:
            by: One curve for each ``"label"`` (alias ``"class"``), ``"predicted"`` class, ``"outcome"`` (right or
                wrong; alias ``"right"``), or ``"group"`` of a job. All samples by default.
            target: A name; the first by default.
            method: A name.
            layer: A name.
            channel: The channel of the signal, and of maps with a channel axis; the first by default.
            spread: ``"deviation"``, the mean +- one standard deviation; or ``"quantiles"``, the median and bands
                between the quantiles 0.25 and 0.75, 0.05 and 0.95 (of a job: its own quantiles). Images and volumes
                show the distance between the outermost quantiles.
            drawing: ``ax=`` or ``fig=``, ``legend=``, ``line_kws=``, ``band_kws=`` and ``background_kws=``; of images and
                volumes ``fig=``, ``cmap=``, ``vmin=``, ``vmax=`` and ``colorbar=``.

        Raises:
            CamError: The maps have several axes and are not a whole job's, or the samples cannot be grouped so.

        Example:
            >>> ax = exp.plot.summary(by="predicted")
        """
        which = {"target": target, "method": method, "layer": layer, "channel": channel, "spread": spread}
        return self._draw("summary", verbs.call("plot.summary", self._explanation, by, **which), drawing)

    def curve(
        self,
        scores: xr.DataArray | xr.Dataset | None = None,
        *,
        curve: str | None = None,
        target: Any = None,
        layer: Any = None,
        baseline: str | tuple[str, ...] = ("random", "input-energy"),
        **drawing: Any,
    ) -> Axes:
        """Draw a metric's curve, such as the model's score over the share that is removed.

        Args:
            scores: Those of ``exp.with_scores`` by default. Else an array ``(sample, cam, step)``; the first two axes
                may be missing. The coordinate of the steps, with ``units`` and ``long_name``, labels the x-axis. A
                dataset needs one variable, or ``curve_score`` over ``removed``.
            curve: A name of ``exp.metrics["curve"]``; the first by default.
            target: A name of ``exp.metrics``; the first by default.
            layer: A name of ``exp.metrics``.
            baseline: Methods whose names start so are drawn grey and dashed.
            drawing: ``ax=`` or ``fig=``, ``legend=``, ``line_kws=`` and ``band_kws=``.

        Raises:
            InputError: The array has other axes, the dataset several variables, or there are no scores.

        Example:
            >>> import numpy as np, xarray as xr
            >>> share, methods = np.linspace(0, 1, 5), ["grad-cam", "random"]
            >>> values = np.random.default_rng(0).random((4, 2, 5))
            >>> scores = xr.DataArray(values, {"cam": methods, "share removed": share}, ("sample", "cam", "share removed"))
            >>> ax = exp.plot.curve(scores.rename("probability"))
        """
        if scores is None:
            which = {"target": target, "layer": layer, "baseline": baseline}
            display = verbs.call("plot.curve", self._explanation, curve, **which)
        else:
            display = verbs.call("plot.scores", scores, baseline=baseline)
        return self._draw("curve", display, drawing)

    def _draw(self, figure: str, display: Any, drawing: dict[str, Any]) -> Axes:
        """Draw a display with options, after a check of their names."""
        heat = [verbs.resolve("plot.heat")] if figure in ("image", "spectrogram", "volume") else []
        check_options(figure, drawing, getattr(self, figure), display.plot, *heat)
        axes: Axes = display.plot(**drawing).ax_
        return axes

    def _require_axes(self, axes: int, figure: str) -> None:
        """Raise a ``LayoutError`` unless the map has this number of axes."""
        dims = self._explanation.dims
        if len(dims) != axes:
            message = f"exp.plot.{figure} draws maps of {axes} axes; this one has {', '.join(dims)}. Use exp.plot()."
            raise LayoutError(message)
