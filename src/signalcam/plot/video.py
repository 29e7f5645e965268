"""A video, or a volume slice by slice, as a file: every frame under its own heat, all at one scale."""

from __future__ import annotations

import os
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from signalcam.errors import LayoutError, MissingExtra, StoreError
from signalcam.plot.map_view import MapView
from signalcam.plot.overlay import HeatOverlay, Picture, blend, caption
from signalcam.plot.volume import Body, place_name, upright
from signalcam.results import zarr_store

if TYPE_CHECKING:
    from signalcam.results.explanation import Explanation

_FPS = 10.0  # frames a second where the layout does not know them
_TICKS = {".webp": 1000, ".gif": 100}  # parts of a second that a frame's duration is counted in
_LEAST = {
    ".webp": 1,
    ".gif": 2,
}  # parts that a frame lasts at least: viewers slow down shorter ones
_NARROW = 200  # pixels: smaller frames are enlarged, by a whole number
_DPI = 100
_LETTERS = 0.052  # inches that a letter of the caption is wide


@dataclass(frozen=True)
class Film:
    """Frames ready to be written.

    Attributes:
        frames: One after the other, ``(height, width, 3)``, 0 to 255.
        size: Height and width of each.
        count: How many there are.
        fps: How many are shown a second.
    """

    frames: Iterator[np.ndarray]
    size: tuple[int, int]
    count: int
    fps: float

    def durations(self, suffix: str) -> list[int]:
        """How long each frame lasts, in milliseconds that add up to the film's."""
        parts = _TICKS[suffix]
        ends = np.rint(np.arange(self.count + 1) * parts / self.fps).astype(int)
        milliseconds: list[int] = (np.diff(ends) * (1000 // parts)).tolist()
        return milliseconds


def save(
    exp: Explanation,
    path: str | os.PathLike[str],
    sample: int = 0,
    *,
    target: Any = None,
    method: Any = None,
    layer: Any = None,
    fps: float | None = None,
    captions: bool = True,
    **look: Any,
) -> None:
    """Write one sample's video; see ``Explanation.save_video``."""
    place = zarr_store.as_path(path)
    suffix = place.suffix.lower()
    if suffix not in _WRITERS:
        message = f"a video cannot be written to {place.name!r}: its name ends in {suffix or 'nothing'!r}; expected {', '.join(_WRITERS)}."
        raise StoreError(message)
    if len(exp.dims) != 3:
        message = f"a video needs maps of 3 axes, such as time, height and width; this one has {', '.join(exp.dims)}. Use exp.plot()."
        raise LayoutError(message)
    rate = _rate(exp, suffix, fps)
    view = MapView.of(exp, sample, target, method, layer)
    write = _WRITERS[suffix]()
    film = _film(view, HeatOverlay.of(view, **look), rate, captions=captions)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".saving-", dir=place.parent) as folder:
            whole = Path(folder) / f"film{suffix}"
            write(whole, film)
            whole.replace(place)
    except OSError as error:
        reason = error.strerror or str(error).strip().partition("\n")[0]
        message = f"cannot save to {place}: {reason}. Choose a file that can be written to."
        raise StoreError(message) from error


def _rate(exp: Explanation, suffix: str, fps: float | None) -> float:
    """Frames a second: those asked for, or the layout's."""
    if fps is None:
        fps = _own_rate(exp)
    if not isinstance(fps, Real) or not 0 < fps < np.inf:
        message = f"fps is {fps!r}; give frames a second, above 0."
        raise LayoutError(message)
    most = _TICKS[suffix] / _LEAST[suffix] if suffix in _TICKS else np.inf
    if fps > most:
        message = f"{fps:g} frames a second are more than the {most:g} that {suffix} can hold. Pass fps={most:g} or less, which shows it slower."
        raise LayoutError(message)
    return float(fps)


def _own_rate(exp: Explanation) -> float:
    if "time" not in exp.dims or exp.layout.unit("time") != "s":
        return _FPS
    length = exp.input.shape[exp.layout.dims.index("time")]
    line = exp.layout.line("time", length)
    if line is None:
        message = "the frames are not evenly spaced in time, so there is no one rate. Pass fps=10, say, which shows each as long as the next."
        raise LayoutError(message)
    return 1 / abs(line[1])


def _film(view: MapView, heat: HeatOverlay, fps: float, *, captions: bool) -> Film:
    """Blend frame by frame, as they are asked for."""
    along = "time" if "time" in view.exp.dims else view.exp.dims[0]
    shown, turned = upright([dim for dim in view.exp.dims if dim != along])
    picture = Picture.of(view, (along, *shown))
    order = (slice(None), *(slice(None, None, -1 if turn else 1) for turn in turned))
    levels = heat.levels(view.heat).transpose([view.exp.dims.index(dim) for dim in (along, *shown)])
    values, levels = picture.values[order], levels[order]
    high, wide = _enlarged(view, shown, levels.shape[1:])
    table = heat.table()
    foot = _foot(view, heat, picture.note, wide) if captions else np.zeros((0, wide, 3), np.uint8)

    def frames() -> Iterator[np.ndarray]:
        for number, level in enumerate(levels):
            under = np.rint(255 * values[number]).astype(np.uint8)
            under = under if under.ndim == 3 else under[..., None]
            frame = _resized(blend(under, level, table), high, wide)
            if captions:
                frame = _stamped(frame, place_name(view.exp, along, number))
            yield np.concatenate([frame, foot])

    return Film(frames(), (high + len(foot), wide), len(levels), fps)


def _enlarged(view: MapView, dims: tuple[str, ...], shape: tuple[int, ...]) -> tuple[int, int]:
    """How large a frame is: in its true proportions, and large enough to be seen."""
    steps = Body.of(view.exp, dims).steps
    finest = min(steps.values())
    high, wide = (n * steps[dim] / finest for n, dim in zip(shape, dims, strict=True))
    times = max(1, int(np.ceil(_NARROW / max(high, wide))))
    return max(round(high * times), 1), max(round(wide * times), 1)


def _resized(frame: np.ndarray, high: int, wide: int) -> np.ndarray:
    if frame.shape[:2] == (high, wide):
        return frame
    rows = np.arange(high) * frame.shape[0] // high
    resized: np.ndarray = frame[rows][:, np.arange(wide) * frame.shape[1] // wide]
    return resized


def _stamped(frame: np.ndarray, text: str) -> np.ndarray:
    """Write when, or where, a frame is, into its corner."""
    from PIL import Image, ImageDraw  # noqa: PLC0415 - already there: matplotlib needs it

    image = Image.fromarray(frame)
    ink: dict[str, Any] = {"fill": "white", "stroke_width": 1, "stroke_fill": "black"}
    ImageDraw.Draw(image).text((4, 2), text, **ink)
    return np.asarray(image)


def _foot(view: MapView, heat: HeatOverlay, note: str, wide: int) -> np.ndarray:
    """What stands below every frame, drawn once: the colour bar and what is shown."""
    letters = max(int((wide / _DPI - 0.2) / _LETTERS), 12)
    said = [
        *textwrap.wrap(view.meaning(), letters),
        *chain(*(textwrap.wrap(line, letters) for line in caption(view, note).split("\n"))),
    ]
    figure = Figure(figsize=(wide / _DPI, 0.42 + 0.14 * len(said)), dpi=_DPI)
    high = figure.get_figheight()
    bar = figure.add_axes((0.06, 1 - 0.18 / high, 0.88, 0.1 / high))
    scale = figure.colorbar(ScalarMappable(heat.scale, heat.colours), cax=bar, orientation="horizontal")
    scale.outline.set_linewidth(0.5)
    ends = [float(heat.scale.vmin or 0), float(heat.scale.vmax or 0)]
    scale.set_ticks(ends, labels=[f"{end:.3g}" for end in ends])
    bar.tick_params(labelsize=6, length=2, pad=1)
    low, high_end = bar.get_xticklabels()
    low.set_horizontalalignment("left")
    high_end.set_horizontalalignment("right")
    figure.text(0.03, 1 - 0.36 / high, "\n".join(said), fontsize=6.5, va="top", linespacing=1.3)
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    drawn = np.asarray(canvas.buffer_rgba())[..., :3]
    return _resized(drawn, drawn.shape[0], wide)


def _pillow(suffix: str, **options: Any) -> Callable[[Path, Film], None]:
    def write(path: Path, film: Film) -> None:
        from PIL import Image  # noqa: PLC0415 - already there: matplotlib needs it

        images = (Image.fromarray(frame) for frame in film.frames)
        durations = film.durations(suffix)
        next(images).save(path, save_all=True, append_images=images, duration=durations, loop=0, **options)

    return write


def _ffmpeg() -> Callable[[Path, Film], None]:
    try:
        import imageio_ffmpeg  # noqa: PLC0415 - only for this one kind of file
    except ImportError as error:
        raise MissingExtra("writing .mp4", "video") from error

    def write(path: Path, film: Film) -> None:
        high, wide = (n + n % 2 for n in film.size)  # as its colours are kept two by two
        more = [(0, high - film.size[0]), (0, wide - film.size[1]), (0, 0)]
        sink = imageio_ffmpeg.write_frames(
            str(path),
            (wide, high),
            fps=film.fps,
            codec="libx264",
            quality=None,
            macro_block_size=1,
            ffmpeg_log_level="quiet",
            output_params=["-crf", "20", "-movflags", "+faststart"],
        )
        sink.send(None)
        try:
            for frame in film.frames:
                sink.send(np.ascontiguousarray(np.pad(frame, more, mode="edge")))
        finally:
            sink.close()
        _require_whole(imageio_ffmpeg, path, film.count)

    return write


def _require_whole(imageio_ffmpeg: Any, path: Path, count: int) -> None:
    """Raise an ``OSError`` unless every frame is in the file: ffmpeg does not say when its disk was full."""
    try:
        found = imageio_ffmpeg.count_frames_and_secs(str(path))[0]
    except RuntimeError:
        found = 0
    if found != count:
        message = f"ffmpeg wrote {found} of {count} frames"
        raise OSError(message)


_WRITERS: dict[str, Callable[[], Callable[[Path, Film], None]]] = {
    ".webp": lambda: _pillow(".webp", quality=80),
    ".gif": lambda: _pillow(".gif"),
    ".mp4": _ffmpeg,
}
