"""Figures of an explanation: matplotlib, axes in and axes out, nothing global touched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from signalcam.errors import LayoutError, MissingExtra

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from signalcam.explanation import Explanation


class Plotter:
    """Draws one map of an explanation; ``exp.plot()`` picks the figure that fits its axes.

    Every figure takes ``sample=`` (a number), ``target=``, ``method=`` and ``layer=`` (names; the first
    by default), ``ax=`` (a new figure by default), ``cmap=``, ``vmin=`` and ``vmax=``, and returns the
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
            options: Those of the figure chosen: see ``signal``, ``text``, ``image`` and ``volume``.
        """
        dims = self._explanation.dims
        if dims == ("token",) and self._explanation.layout.token_names:
            return self.text(sample, **options)
        if len(dims) == 1 or set(dims) == {"time", "channel"}:
            return self.signal(sample, **options)
        if len(dims) == 2:
            return self.image(sample, **options)
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

    def image(self, sample: int = 0, **options: Any) -> Axes:
        """Draw a grey or colour picture, or a spectrogram, under heat as opaque as it is strong.

        Args:
            sample: Its number.
            options: The common ones; see the class.
        """
        from signalcam.plot.image import draw  # noqa: PLC0415 - matplotlib only when drawing

        self._needs(2, "image")
        return draw(self._explanation, sample, **options)

    def volume(self, sample: int = 0, **options: Any) -> Axes:
        """Draw the three orthogonal slices through the strongest point of a volume or video.

        Args:
            sample: Its number.
            options: The common ones; see the class.
        """
        from signalcam.plot.image import draw_volume  # noqa: PLC0415 - matplotlib only when drawing

        self._needs(3, "volume")
        return draw_volume(self._explanation, sample, **options)

    def _needs(self, axes: int, figure: str) -> None:
        """Refuse a figure that has no place for the map's axes."""
        dims = self._explanation.dims
        if len(dims) != axes:
            message = f"exp.plot.{figure} draws maps of {axes} axes; this one has {', '.join(dims)}. Use exp.plot()."
            raise LayoutError(message)


__all__ = ["Plotter"]
