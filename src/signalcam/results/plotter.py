"""``exp.plot``: which figure a call means; the figures themselves are the files of ``plot``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any, Literal

from signalcam.errors import LayoutError, MethodError, MissingExtra, nearest
from signalcam.results import verbs

if TYPE_CHECKING:
    from os import PathLike

    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure


_NO_OPTIONS = ("exp", "view", "path")  # of the functions behind a figure
Spread = Literal["deviation", "quantiles"]


class Plotter:
    """Draws maps of an explanation; ``exp.plot()`` picks the figure that fits its axes.

    Figures of one map take ``sample=`` (a number), ``target=``, ``method=`` and ``layer=`` (names; the first
    by default), ``ax=`` or ``fig=`` (a new figure by default), ``cmap=``, ``vmin=``, ``vmax=`` and ``colorbar=``,
    and return the ``Axes`` they drew on. The colour scale is the map's own and is never squared or clipped unasked.
    Behind each stands a display that keeps the artists, such as ``signalcam.plot.signal.SignalDisplay``.

    Raises:
        MissingExtra: matplotlib is not installed.
        CamError: An option names nothing that there is, the map holds no finite value, or ``ax=`` and ``fig=`` are
            both given.

    Example:
        >>> ax = exp.plot(sample=0)
        >>> ax.figure.savefig("why.png", dpi=150)
    """

    def __init__(self, explanation: Any) -> None:
        try:
            import matplotlib as mpl  # noqa: F401, PLC0415 - only to see whether it is there
        except ImportError as error:
            raise MissingExtra("drawing", "plot") from error
        self._explanation = explanation

    def __call__(self, sample: int = 0, **options: Any) -> Axes:
        """Draw a signal, a text, an image or a volume, by the axes the map has.

        Args:
            sample: Its number.
            options: Those of the figure chosen: see ``signal``, ``text``, ``spectrogram``, ``image`` and ``volume``.
        """
        dims = self._explanation.dims
        if dims == ("token",) and self._explanation.layout.token_names:
            return self.text(sample, **options)
        if len(dims) == 1 or set(dims) == {"time", "channel"}:
            return self.signal(sample, **options)
        if len(dims) == 2:
            draw = self.spectrogram if "time" in dims else self.image
            return draw(sample, **options)
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

        Lines of more than 2000 values are drawn by the least and the largest of each stretch, maps of more
        than 1600 by the value of largest magnitude; ``exp.between(...)`` shows a part in full.

        Args:
            sample: Its number.
            target: A name; see the class.
            method: A name.
            layer: A name.
            channels: Names or numbers; all by default.
            norm: ``"shared"``, one colour scale for all channels, or ``"own"``: each channel's heat divided by its
                largest magnitude. It concerns maps with a channel axis alone.
            drawing: The common options (see the class), ``style="strip"`` (heat behind the line), ``"line"`` (a
                broad stroke along it) or ``"area"`` (below it), ``line_kws=`` for the lines and ``strip_kws=`` for
                what holds the heat.

        Example:
            >>> ax = exp.plot.signal(1, channels=[0], style="area", line_kws={"linewidth": 0.5})
        """
        which = {"target": target, "method": method, "layer": layer, "channels": channels, "norm": norm}
        return self._draw("signal", verbs.call("plot.signal", self._explanation, sample, **which), drawing)

    def heatmap(self, sample: int = 0, **options: Any) -> Axes:
        """Draw the map alone, time across and channels downwards, the first on top.

        A map without a channel axis is one row: it is the same for all channels.

        Args:
            sample: Its number.
            options: Those of ``signal`` but ``style=`` and ``line_kws=``.

        Example:
            >>> ax = exp.plot.heatmap(0, cmap="inferno")
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

        1 mm of the paper is 1 mm of the page, and each lead is drawn around its median. In ``ax=`` or ``fig=`` of
        yours only the proportions are kept. The leads are put in the order of the clinic by their names.

        Args:
            sample: Its number.
            target: A name; see the class.
            method: A name.
            layer: A name.
            channels: Names or numbers of those that are leads; all by default.
            norm: ``"shared"``, one colour scale for all leads, or ``"own"``; see ``signal``.
            drawing: The common options (see the class), ``layout="3x4+1"`` (four columns of 2.5 s of a 10-second
                record, lead II below) or ``"12x1"`` (one row a lead; by default where there are fewer than 12),
                ``speed=25`` in mm a second, ``gain=10`` in mm a mV, ``line_kws=`` for the traces and ``strip_kws=``
                for the heat.

        Raises:
            LayoutError: The layout holds no lead names, sampling rate or units, a channel is no lead, or the record
                is longer than 60 s.

        Example:
            >>> import signalcam as sc
            >>> layout = sc.Layout("batch channel time", sampling_rate=100, channel_names=["II", "V1"], units="mV")
            >>> ax = sc.explain(network, ecg, layout=layout).plot.ecg()
        """
        which = {"target": target, "method": method, "layer": layer, "channels": channels, "norm": norm}
        return self._draw("ecg", verbs.call("plot.ecg", self._explanation, sample, **which), drawing)

    def text(self, sample: int = 0, **options: Any) -> Axes:
        """Write a text out, each token on a background of its heat, or draw a bar for each token.

        The tokens' names come with the layout (``token_names=``), or with what a tokenizer returned.

        Args:
            sample: Its number.
            options: The common ones (see the class), ``style="inline"`` or ``"bar"``, and ``text_kws=``
                for the letters.
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
            target: A name; see the class.
            method: A name.
            layer: A name.
            loudness: What the input is: ``"power"`` or ``"amplitude"``, drawn in dB down to 80 below the loudest, or
                ``"given"`` (by default where it holds negative values or the layout's units are dB, else power).
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
        self._needs(2, "spectrogram")
        which = {"target": target, "method": method, "layer": layer, "loudness": loudness, "frequency": frequency}
        return self._draw("spectrogram", verbs.call("plot.spectrogram", self._explanation, sample, **which), drawing)

    def image(
        self, sample: int = 0, *, target: Any = None, method: Any = None, layer: Any = None, **drawing: Any
    ) -> Axes:
        """Draw a grey or colour picture under heat as opaque as it is strong.

        Three channels, wherever they are, are red, green and blue; any other number is averaged to grey.
        The title says how their values were scaled.

        Args:
            sample: Its number.
            target: A name; see the class.
            method: A name.
            layer: A name.
            drawing: The common options (see the class); ``opacity=`` of the strongest heat, ``image_kws=``
                and ``heat_kws=`` for ``Axes.imshow``.

        Raises:
            LayoutError: The map has not 2 axes.

        Example:
            >>> ax = sc.explain(image_network, image).plot.image(opacity=0.6)
            >>> ax.get_xlabel()
            'width'
        """
        self._needs(2, "image")
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
        """Draw slices of a volume, or frames of a video, all at one scale and in true proportions.

        Proportions are those of the layout's ``spacing``, if all axes have one. An axis named after the direction it
        rises to (``left``, ``anterior``, ``superior``, ...) is shown upright, with letters at its sides.

        Args:
            sample: Its number.
            target: A name; see the class.
            method: A name.
            layer: A name.
            style: ``"slices"``, three through one point, or ``"montage"`` (by default where there is time).
            at: The point, in the units of the axes; the strongest by default.
            axis: Along which a montage goes.
            count: How many slices of a montage.
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
        self._needs(3, "volume")
        which = {
            "target": target,
            "method": method,
            "layer": layer,
            "style": style,
            "at": at,
            "axis": axis,
            "count": count,
        }
        return self._draw("volume", verbs.call("plot.volume", self._explanation, sample, **which), drawing)

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
        """Draw the same sample several times, once for each method, layer or target.

        Args:
            along: ``"method"``, ``"layer"`` or ``"target"``; by default the first there are several of.
            sample: Its number.
            methods: Names of those to compare; all by default.
            layers: The same, to compare layers.
            targets: The same, to compare targets.
            options: Those of the figure that fits the map, but for ``ax=``; ``fig=`` (a figure or subfigure without
                axes); and ``norm="shared"``, one colour scale for all panels, or ``"own"``: each map divided by its
                largest magnitude, which its panel says. Targets share, since their magnitudes are comparable;
                methods and layers do not, unless asked to.

        Returns:
            The figure.

        Raises:
            MethodError: There is nothing to compare.

        Example:
            >>> import signalcam as sc
            >>> exp = sc.explain(network, ecg, method=["grad-cam", "hires-cam"])
            >>> fig = exp.plot.compare("method")
            >>> fig = exp.plot.compare(methods=["hires-cam", "grad-cam"], norm="shared")
        """
        given = {
            axis: names
            for axis, names in (("method", methods), ("layer", layers), ("target", targets))
            if names is not None
        }
        if len(given) > 1 or (given and along not in (None, *given, *(f"{axis}s" for axis in given))):
            message = f"one comparison at a time: {', '.join([*filter(None, [along]), *given])} were asked for. Give one of methods=, layers=, targets=."
            raise MethodError(message)
        if "ax" in options:
            message = "a comparison has several axes, so it takes no ax=. Give fig=, a figure or subfigure."
            raise LayoutError(message)
        asked, names = next(iter(given.items()), (along, None))
        figure: Figure | SubFigure = verbs.call("plot.compare", self._explanation, asked, names, sample, **options)
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
        """Draw the mean map over all samples with its standard deviation, or quantiles, over the mean signal.

        Maps are averaged as they are; ``exp.normalized().plot.summary()`` gives each sample the same say. For the whole
        store of a job what it has summed up is drawn, also while it runs: no map is read, each was divided by its
        largest magnitude, and no signal lies behind. Then mean and deviation of images and spectrograms are drawn side
        by side, of volumes in slices through the middle, of videos in three frames.

        Args:
            by: A curve for each ``"label"`` (the true class, also called ``"class"``), each ``"predicted"`` class, or
                each ``"outcome"`` (right and wrong, also called ``"right"``); of a job also for each ``"group"``; one
                for all by default.
            target: A name; see the class.
            method: A name.
            layer: A name.
            channel: Whose signal is drawn behind, and whose map where maps have a channel axis; the first by
                default.
            spread: ``"deviation"``, the mean and a standard deviation to either side; or ``"quantiles"``, the median and
                bands between the quantiles 0.25 and 0.75, 0.05 and 0.95; of a job those that it was asked for. Of
                images and volumes the second picture is how far the outermost quantiles lie apart.
            drawing: ``ax=`` or ``fig=``, ``legend=``, ``line_kws=``, ``band_kws=`` and ``background_kws=``; of images and
                volumes ``fig=``, ``cmap=``, ``vmin=``, ``vmax=`` and ``colorbar=``.

        Returns:
            The axes; of images and volumes those of the first mean.

        Raises:
            CamError: The maps are not over one axis and not all of a job's, or there is nothing to tell samples apart by.

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
        """Draw what a metric gave at each step, such as the score as more and more is removed.

        Args:
            scores: Those that the result carries (``exp.with_scores``) where none are given. Else over ``(sample, method, step)``, whatever the last is called; the first two may be missing. The
                coordinate of the steps, such as the share removed, and its ``units`` and ``long_name`` are said
                below. Of a dataset its only variable is drawn, or ``curve_score`` over the share ``removed``.
            curve: Which of the curves carried, a name of ``exp.metrics["curve"]``; the first by default.
            target: A name, of what is carried.
            layer: A name, of what is carried.
            baseline: Methods whose names begin so are grey and broken.
            drawing: ``ax=`` or ``fig=``, ``legend=``, ``line_kws=`` and ``band_kws=``.

        Raises:
            InputError: The array has other axes, the dataset several variables, or there is nothing to draw.

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
        """Draw a display with options, which must be some that it has."""
        look = [verbs.resolve("plot.heat")] if figure in ("image", "spectrogram", "volume") else []
        check_options(figure, drawing, getattr(self, figure), display.plot, *look)
        axes: Axes = display.plot(**drawing).ax_
        return axes

    def _needs(self, axes: int, figure: str) -> None:
        """Refuse a figure that has no place for the map's axes."""
        dims = self._explanation.dims
        if len(dims) != axes:
            message = f"exp.plot.{figure} draws maps of {axes} axes; this one has {', '.join(dims)}. Use exp.plot()."
            raise LayoutError(message)


def check_options(figure: str, given: Iterable[str], *takers: Callable[..., Any]) -> None:
    """Raise where an option is none that a figure has.

    Args:
        figure: Its name, as in ``exp.plot.signal``.
        given: Names of options.
        takers: What they are passed to.
    """
    named = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
    every = [each for taker in takers for each in signature(taker).parameters.values()]
    known = dict.fromkeys(each.name for each in every if each.kind in named and each.name not in _NO_OPTIONS)
    for name in given:
        if name not in known:
            message = f"exp.plot.{figure} has no option {name!r}.{nearest(name, known)} It has {', '.join(known)}."
            raise MethodError(message)
