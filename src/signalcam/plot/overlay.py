"""Here you find pictures, and the heat over them: for images, slices and video."""

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

_OPACITY = 0.85  # of the strongest heat, so that the picture stays visible
_LEVELS = 256
_COLOURS = ("r", "g", "b"), ("red", "green", "blue")
# mean and deviation of red, green and blue, by which the input of most image networks is standardised
_IMAGENET = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
_ROUNDED = 1e-2  # of the range of colours: overshoot of resampling


@dataclass(frozen=True)
class Picture:
    """A sample's input as a picture.

    Attributes:
        values: ``(*positions)`` in grey or ``(*positions, 3)`` in red, green and blue, from 0 to 1.
        note: How the input was scaled, for the title.
    """

    values: np.ndarray
    note: str

    @classmethod
    def of(cls, view: MapView, dims: tuple[str, ...]) -> Picture:
        """Make a picture of the input: three channels are colours, any other number is averaged to grey.

        Args:
            view: The map and its input.
            dims: The axes to show, in this order; other axes are channels.
        """
        x, _ = view.move_axes(dims)
        channels = np.asarray(x).reshape(-1, *x.shape[x.ndim - len(dims) :])
        coloured = len(channels) == 3 and _are_colours(view)
        values = np.moveaxis(channels, 0, -1) if coloured else channels.mean(axis=0)
        what = "colours" if coloured else "grey"
        mean = "" if coloured or len(channels) == 1 else f", the mean of {len(channels)} channels,"
        values, how = _scale_picture(values, coloured=coloured)
        return cls(values, f"picture: {what}{mean} {how}")


def _are_colours(view: MapView) -> bool:
    names = view.exp.layout.channel_names
    return names is None or tuple(name.lower() for name in names) in _COLOURS


def _scale_picture(values: np.ndarray, *, coloured: bool) -> tuple[np.ndarray, str]:
    """Scale values to 0..1, unless they are picture values already; return also how."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    values = np.where(np.isfinite(values), values, low).astype(np.float32)
    if low >= 0 and 0.5 < high <= 1:
        return values, "as given"
    if low >= 0 and 127 < high <= 255 and (finite == np.round(finite)).all():
        return values / 255, "as given"
    if coloured and max(-low, high) > 1 + _ROUNDED:
        restored = values * _IMAGENET[1] + _IMAGENET[0]
        if restored.min() >= -_ROUNDED and restored.max() <= 1 + _ROUNDED:
            return np.clip(restored, 0, 1), "with ImageNet's mean and deviation put back"
    scaled: np.ndarray = (values - low) / ((high - low) or 1)
    return scaled, f"from {low:.3g} (black) to {high:.3g} (white)"


@dataclass(frozen=True)
class HeatOverlay:
    """The colours and the opacity of a map."""

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
        """Build one scale for the whole map."""
        return cls(
            view.colours(cmap or (DIVERGING if view.signed else DARK_TO_LIGHT)),
            view.scale(vmin, vmax),
            opacity,
        )

    def alpha(self, heat: np.ndarray) -> np.ndarray:
        """Opacity of each value: 0 at 0 (or ``vmin``) and for missing values."""
        low, high = float(self.scale.vmin or 0), float(self.scale.vmax or 0)
        zero = max(low, 0.0)
        strength = (np.abs(heat) - zero) / (max(abs(low), abs(high)) - zero or 1)
        visible = np.where(np.isfinite(heat), np.clip(strength, 0, 1), 0)
        alpha: np.ndarray = self.opacity * visible
        return alpha

    def draw(self, ax: Axes, heat: np.ndarray, **options: Any) -> AxesImage:
        """Draw the heat over the axes' picture."""
        defaults = {"cmap": self.colours, "norm": self.scale, "alpha": self.alpha(heat)}
        look: dict[str, Any] = defaults | options
        return ax.imshow(np.where(np.isfinite(heat), heat, 0), **look)

    @property
    def mappable(self) -> ScalarMappable:
        """The artist of the colour bar, with opaque colours."""
        return ScalarMappable(self.scale, self.colours)

    def table(self) -> tuple[np.ndarray, np.ndarray]:
        """Colour times opacity, and the weight of the picture, for 256 levels of the scale."""
        levels = np.linspace(0, 1, _LEVELS)
        low, high = float(self.scale.vmin or 0), float(self.scale.vmax or 0)
        alpha = self.alpha(low + levels * (high - low))[:, None]
        over = 255 * alpha * np.asarray(self.colours(levels))[:, :3]
        return np.round(over).astype(np.uint16), np.round(255 * (1 - alpha)).astype(np.uint16)

    def levels(self, heat: np.ndarray) -> np.ndarray:
        """Row of the table of each value; missing values have that of 0."""
        low, high = float(self.scale.vmin or 0), float(self.scale.vmax or 0)
        share = (np.where(np.isfinite(heat), heat, 0) - low) * (_LEVELS - 1) / ((high - low) or 1)
        return np.clip(np.rint(share), 0, _LEVELS - 1).astype(np.uint8)


def blend(picture: np.ndarray, levels: np.ndarray, table: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Blend colours into a picture by a table: ``(..., 3)``, 0 to 255.

    Args:
        picture: ``(..., 3)``, 0 to 255.
        levels: ``(...)``, rows of the table.
        table: The output of ``HeatOverlay.table``.
    """
    over, left = table
    under = (picture.astype(np.uint16) * left[levels] + 127) // 255
    mixed: np.ndarray = np.minimum(over[levels] + under, 255).astype(np.uint8)
    return mixed


def caption(view: MapView, note: str) -> str:
    """Title, note of the picture, and share of missing values."""
    return view.title(" · ".join(filter(None, [note, view.missing_text("has no heat")])))
