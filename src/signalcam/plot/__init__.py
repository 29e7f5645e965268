"""Figures of an explanation: matplotlib, axes in and axes out, nothing global touched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from signalcam.errors import LayoutError, MissingExtra

if TYPE_CHECKING:
    from os import PathLike

    from matplotlib.axes import Axes

    from signalcam.explanation import Explanation


class Plotter:
    """Draws one map of an explanation; ``exp.plot()`` picks the figure that fits its axes.

    Every figure takes ``sample=`` (a number), ``target=``, ``method=`` and ``layer=`` (names; the first
    by default), ``ax=`` (a new figure by default; pictures and volumes take ``fig=``, too), ``cmap=``, ``vmin=`` and ``vmax=``, and returns the
    ``Axes`` it drew on. The colour scale is the map's own and is never squared or clipped unasked.

    Raises:
        MissingExtra: matplotlib is not installed.

    Example:
        >>> ax = exp.plot(sample=0)
        >>> ax.figure.savefig("why.png", dpi=150)
    """

    def __init__(self, explanation: Explanation) -> None:
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
        message = (
            f"there is no figure for a map with axes {', '.join(dims)}. Draw exp.maps yourself."
        )
        raise LayoutError(message)

    def signal(self, sample: int = 0, **options: Any) -> Axes:
        """Draw each channel as a thin black line on a strip of heat, over time.

        Args:
            sample: Its number.
            options: The common ones (see the class), ``channels=`` (names or numbers; all by
                default) and ``line_kws=`` for the lines.
        """
        from signalcam.plot.signal import draw  # noqa: PLC0415 - matplotlib only when drawing

        return draw(self._explanation, sample, **options)

    def text(self, sample: int = 0, **options: Any) -> Axes:
        """Write a text out, each token on a background of its heat, or draw a bar for each token.

        The tokens' names come with the layout (``token_names=``), or with what a tokenizer returned.

        Args:
            sample: Its number.
            options: The common ones (see the class), ``style="inline"`` or ``"bar"``, and ``text_kws=``
                for the letters.
        """
        from signalcam.plot.text import draw  # noqa: PLC0415 - matplotlib only when drawing

        return draw(self._explanation, sample, **options)

    def spectrogram(self, sample: int = 0, **options: Any) -> Axes:
        """Draw a spectrogram in grey, time across, under heat as opaque as it is strong.

        Bands that are not evenly spaced (mel) are drawn side by side, with ticks at their Hz.

        Args:
            sample: Its number.
            options: The common ones (see the class); ``loudness=``, what the input is: ``"power"`` or
                ``"amplitude"``, drawn in dB down to 80 below the loudest, or ``"given"`` (by default where
                it holds negative values or the layout's units are dB, else power); ``frequency="log"`` for
                octaves of one height; ``opacity=`` of the strongest heat, ``image_kws=`` and ``heat_kws=``
                for ``Axes.imshow``.

        Raises:
            CamError: The map has no axis called ``time`` and one more, or an option does not fit.

        Example:
            >>> layout = sc.Layout("batch channel frequency time", sampling_rate=100, spacing={"frequency": 125})
            >>> heard = sc.explain(image_network, image, layout=layout)
            >>> heard.plot.spectrogram(frequency="log").get_ylabel()
            'frequency (Hz)'
        """
        from signalcam.plot.image import draw_spectrogram  # noqa: PLC0415 - matplotlib only when drawing

        self._needs(2, "spectrogram")
        return draw_spectrogram(self._explanation, sample, **options)

    def image(self, sample: int = 0, **options: Any) -> Axes:
        """Draw a grey or colour picture under heat as opaque as it is strong.

        Three channels, wherever they are, are red, green and blue; any other number is averaged to grey.
        The title says how their values were scaled.

        Args:
            sample: Its number.
            options: The common ones (see the class); ``opacity=`` of the strongest heat, ``image_kws=``
                and ``heat_kws=`` for ``Axes.imshow``.

        Raises:
            LayoutError: The map has not 2 axes.

        Example:
            >>> ax = sc.explain(image_network, image).plot.image(opacity=0.6)
            >>> ax.get_xlabel()
            'width'
        """
        from signalcam.plot.image import draw  # noqa: PLC0415 - matplotlib only when drawing

        self._needs(2, "image")
        return draw(self._explanation, sample, **options)

    def volume(self, sample: int = 0, **options: Any) -> Axes:
        """Draw slices of a volume, or frames of a video, all at one scale and in true proportions.

        Proportions are those of the layout's ``spacing``, if all axes have one. An axis named after the direction it
        rises to (``left``, ``anterior``, ``superior``, ...) is shown upright, with letters at its sides.

        Args:
            sample: Its number.
            options: The common ones (see the class); ``style="slices"``, three through the strongest point
                or ``at=`` a place in the units of the axes, or ``style="montage"`` (by default where there
                is time), ``count=`` of them, 12 by default, along ``axis=``; ``opacity=`` of the strongest
                heat, ``image_kws=`` and ``heat_kws=`` for ``Axes.imshow``.

        Raises:
            CamError: The map has not 3 axes, ``at`` lies outside, or an option does not fit.

        Example:
            >>> layout = sc.Layout("batch channel depth height width", spacing={"depth": 3, "height": 1, "width": 1})
            >>> seen = sc.explain(volume_network, volume, layout=layout)
            >>> ax = seen.plot.volume(at=(9, 4, 5))
            >>> ax.get_xticklabels()[0].get_text()
            'depth 9'
        """
        from signalcam.plot.volume import draw  # noqa: PLC0415 - matplotlib only when drawing

        self._needs(3, "volume")
        return draw(self._explanation, sample, **options)

    def video(self, path: str | PathLike[str], sample: int = 0, **options: Any) -> None:
        """Write a video; see ``Explanation.save_video``."""
        from signalcam.plot.video import save  # noqa: PLC0415 - matplotlib only when drawing

        save(self._explanation, path, sample, **options)

    def _needs(self, axes: int, figure: str) -> None:
        """Refuse a figure that has no place for the map's axes."""
        dims = self._explanation.dims
        if len(dims) != axes:
            message = f"exp.plot.{figure} draws maps of {axes} axes; this one has {', '.join(dims)}. Use exp.plot()."
            raise LayoutError(message)


__all__ = ["Plotter"]
