"""What lies under the heat, and how the heat lies over it: the same for pictures, slices and video."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize

from signalcam.plot.map_view import DARK_TO_LIGHT, DIVERGING, MapView

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

_OPACITY = 0.85  # of the strongest heat: the picture stays visible below it
_LEVELS = 256
_COLOURS = ("r", "g", "b"), ("red", "green", "blue")
# what most image networks were trained with: taken away from red, green and blue, and divided by
_IMAGENET = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
_ROUNDED = 1e-2  # of the range of colours: what resampling may have added on either side


@dataclass(frozen=True)
class Picture:
    """A sample's input as it can be shown.

    Attributes:
        values: ``(*positions)`` in grey or ``(*positions, 3)`` in red, green and blue, from 0 to 1.
        note: How the input was scaled to that, for the reader of the figure.
    """

    values: np.ndarray
    note: str

    @classmethod
    def of(cls, view: MapView, dims: tuple[str, ...]) -> Picture:
        """Make a picture of the input: three channels are colours, any other number is averaged to grey.

        Args:
            view: The map and its input.
            dims: The axes to show, in that order; what else the input has are its channels.
        """
        x, _ = view.moved(dims)
        channels = np.asarray(x).reshape(-1, *x.shape[x.ndim - len(dims) :])
        coloured = len(channels) == 3 and _are_colours(view)
        shown = np.moveaxis(channels, 0, -1) if coloured else channels.mean(axis=0)
        what = "colours" if coloured else "grey"
        mean = "" if coloured or len(channels) == 1 else f", the mean of {len(channels)} channels,"
        values, how = _scaled(shown, coloured=coloured)
        return cls(values, f"picture: {what}{mean} {how}")


def _are_colours(view: MapView) -> bool:
    names = view.exp.layout.channel_names
    return names is None or tuple(name.lower() for name in names) in _COLOURS


def _scaled(shown: np.ndarray, *, coloured: bool) -> tuple[np.ndarray, str]:
    """Bring values to 0..1: as they are where they are light already, else in the way that is told."""
    finite = shown[np.isfinite(shown)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    shown = np.where(np.isfinite(shown), shown, low).astype(np.float32)
    if low >= 0 and 0.5 < high <= 1:
        return shown, "as given"
    if low >= 0 and 127 < high <= 255 and (finite == np.round(finite)).all():
        return shown / 255, "as given"
    if coloured and max(-low, high) > 1 + _ROUNDED:
        restored = shown * _IMAGENET[1] + _IMAGENET[0]
        if restored.min() >= -_ROUNDED and restored.max() <= 1 + _ROUNDED:
            return np.clip(restored, 0, 1), "with ImageNet's mean and deviation put back"
    scaled: np.ndarray = (shown - low) / ((high - low) or 1)
    return scaled, f"from {low:.3g} (black) to {high:.3g} (white)"


@dataclass(frozen=True)
class HeatOverlay:
    """The colours of a map, as opaque as it is strong."""

    colours: Colormap
    scale: Normalize
    opacity: float

    @classmethod
    def of(
        cls,
        view: MapView,
        cmap: str | Colormap | None = None,
        vmin: float | None = None,
        vmax: float | None = None,
        opacity: float = _OPACITY,
    ) -> HeatOverlay:
        """One scale for everything that is drawn of the map."""
        return cls(
            view.colours(cmap or (DIVERGING if view.signed else DARK_TO_LIGHT)),
            view.scale(vmin, vmax),
            opacity,
        )

    def alpha(self, heat: np.ndarray) -> np.ndarray:
        """How opaque each value is: none at 0 (or ``vmin``) and where there is no number."""
        low, high = float(self.scale.vmin or 0), float(self.scale.vmax or 0)
        zero = max(low, 0.0)
        strength = (np.abs(heat) - zero) / (max(abs(low), abs(high)) - zero or 1)
        seen = np.where(np.isfinite(heat), np.clip(strength, 0, 1), 0)
        alpha: np.ndarray = self.opacity * seen
        return alpha

    def draw(self, ax: Axes, heat: np.ndarray, **options: Any) -> AxesImage:
        """Lay it over what the axes show."""
        own = {"cmap": self.colours, "norm": self.scale, "alpha": self.alpha(heat)}
        drawn: dict[str, Any] = own | options
        return ax.imshow(np.where(np.isfinite(heat), heat, 0), **drawn)

    @property
    def mappable(self) -> ScalarMappable:
        """What a colour bar shows: the colours where they are opaque."""
        return ScalarMappable(self.scale, self.colours)

    def table(self) -> tuple[np.ndarray, np.ndarray]:
        """Colour times opacity, and what is left of the picture, for 256 levels of the scale."""
        levels = np.linspace(0, 1, _LEVELS)
        low, high = float(self.scale.vmin or 0), float(self.scale.vmax or 0)
        alpha = self.alpha(low + levels * (high - low))[:, None]
        over = 255 * alpha * np.asarray(self.colours(levels))[:, :3]
        return np.round(over).astype(np.uint16), np.round(255 * (1 - alpha)).astype(np.uint16)

    def levels(self, heat: np.ndarray) -> np.ndarray:
        """Which row of the table each value takes; where there is no number, that of 0."""
        low, high = float(self.scale.vmin or 0), float(self.scale.vmax or 0)
        share = (np.where(np.isfinite(heat), heat, 0) - low) * (_LEVELS - 1) / ((high - low) or 1)
        return np.clip(np.rint(share), 0, _LEVELS - 1).astype(np.uint8)


def blend(picture: np.ndarray, levels: np.ndarray, table: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Blend colours into a picture by a table.

    Args:
        picture: ``(..., 3)``, 0 to 255.
        levels: ``(...)``, rows of the table.
        table: From ``Heat.table``.

    Returns:
        ``(..., 3)``, 0 to 255.
    """
    over, left = table
    under = (picture.astype(np.uint16) * left[levels] + 127) // 255
    mixed: np.ndarray = np.minimum(over[levels] + under, 255).astype(np.uint8)
    return mixed


def caption(view: MapView, note: str) -> str:
    """The title, how the picture came about, and how much of the map is no number."""
    return view.title(" · ".join(filter(None, [note, view.lost("has no heat")])))
