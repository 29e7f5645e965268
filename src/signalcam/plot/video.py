"""Here you find how a video, or a volume slice by slice, is written with its heat."""

from __future__ import annotations

import os
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
from signalcam.results.atomic_write import write_whole

if TYPE_CHECKING:
    from signalcam.results.explanation import Explanation

_FPS = 10.0  # frames per second without a sampling rate
_TICKS = {".webp": 1000, ".gif": 100}  # time units per second, in which durations of frames are stored
_LEAST = {".webp": 1, ".gif": 2}  # minimum duration of a frame in these units: viewers slow down shorter ones
_NARROW = 200  # pixels; smaller frames are enlarged, by a whole number
_DPI = 100
_LETTERS = 0.052  # width of a letter of the caption, in inches


@dataclass(frozen=True)
class Film:
    """Frames to write.

    Attributes:
        frames: One after the other, ``(height, width, 3)``, 0 to 255.
        size: Height and width of each.
        count: Number of frames.
        fps: Frames per second.
    """

    frames: Iterator[np.ndarray]
    size: tuple[int, int]
    count: int
    fps: float

    def durations(self, suffix: str) -> list[int]:
        """Duration of each frame in milliseconds; their sum is that of the film."""
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
    """Write the video of one sample; see ``Explanation.save_video``."""
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
    film = _build_film(view, HeatOverlay.of(view, **look), rate, captions=captions)
    try:
        with write_whole(place) as new:
            write(new, film)
    except OSError as error:
        reason = error.strerror or str(error).strip().partition("\n")[0]
        message = f"cannot save to {place}: {reason}. Choose a file that can be written to."
        raise StoreError(message) from error


def _rate(exp: Explanation, suffix: str, fps: float | None) -> float:
    """Frames per second: ``fps``, or the layout's rate."""
    if fps is None:
        fps = _layout_rate(exp)
    if not isinstance(fps, Real) or not 0 < fps < np.inf:
        message = f"fps is {fps!r}; give frames a second, above 0."
        raise LayoutError(message)
    most = _TICKS[suffix] / _LEAST[suffix] if suffix in _TICKS else np.inf
    if fps > most:
        message = f"{fps:g} frames a second are more than the {most:g} that {suffix} can hold. Pass fps={most:g} or less, which shows it slower."
        raise LayoutError(message)
    return float(fps)


def _layout_rate(exp: Explanation) -> float:
    if "time" not in exp.dims or exp.layout.unit("time") != "s":
        return _FPS
    length = exp.input.shape[exp.layout.dims.index("time")]
    line = exp.layout.line("time", length)
    if line is None:
        message = "the frames are not evenly spaced in time, so there is no single rate. Pass one, such as fps=10."
        raise LayoutError(message)
    return 1 / abs(line[1])


def _build_film(view: MapView, heat: HeatOverlay, fps: float, *, captions: bool) -> Film:
    """Return the film, whose frames are blended one by one when they are written."""
    along = "time" if "time" in view.exp.dims else view.exp.dims[0]
    plane_dims, mirrored = upright([dim for dim in view.exp.dims if dim != along])
    picture = Picture.of(view, (along, *plane_dims))
    order = (slice(None), *(slice(None, None, -1 if turn else 1) for turn in mirrored))
    levels = heat.levels(view.heat).transpose([view.exp.dims.index(dim) for dim in (along, *plane_dims)])
    values, levels = picture.values[order], levels[order]
    height, width = _frame_size(view, plane_dims, levels.shape[1:])
    table = heat.table()
    footer = _draw_footer(view, heat, picture.note, width) if captions else np.zeros((0, width, 3), np.uint8)

    def frames() -> Iterator[np.ndarray]:
        for number, level in enumerate(levels):
            under = np.rint(255 * values[number]).astype(np.uint8)
            under = under if under.ndim == 3 else under[..., None]
            frame = _resize(blend(under, level, table), height, width)
            if captions:
                frame = _stamp(frame, place_name(view.exp, along, number))
            yield np.concatenate([frame, footer])

    return Film(frames(), (height + len(footer), width), len(levels), fps)


def _frame_size(view: MapView, dims: tuple[str, ...], shape: tuple[int, ...]) -> tuple[int, int]:
    """Height and width of a frame: in true proportions, and large enough to be seen."""
    steps = Body.of(view.exp, dims).steps
    finest = min(steps.values())
    height, width = (n * steps[dim] / finest for n, dim in zip(shape, dims, strict=True))
    times = max(1, int(np.ceil(_NARROW / max(height, width))))
    return max(round(height * times), 1), max(round(width * times), 1)


def _resize(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    if frame.shape[:2] == (height, width):
        return frame
    rows = np.arange(height) * frame.shape[0] // height
    resized: np.ndarray = frame[rows][:, np.arange(width) * frame.shape[1] // width]
    return resized


def _stamp(frame: np.ndarray, text: str) -> np.ndarray:
    """Write the time or position of a frame into its corner."""
    from PIL import Image, ImageDraw  # noqa: PLC0415 - already there: matplotlib needs it

    image = Image.fromarray(frame)
    ink: dict[str, Any] = {"fill": "white", "stroke_width": 1, "stroke_fill": "black"}
    ImageDraw.Draw(image).text((4, 2), text, **ink)
    return np.asarray(image)


def _draw_footer(view: MapView, heat: HeatOverlay, note: str, width: int) -> np.ndarray:
    """Draw the image below every frame: the colour bar and the caption."""
    letters = max(int((width / _DPI - 0.2) / _LETTERS), 12)
    caption_lines = [
        *textwrap.wrap(view.meaning(), letters),
        *chain(*(textwrap.wrap(line, letters) for line in caption(view, note).split("\n"))),
    ]
    figure = Figure(figsize=(width / _DPI, 0.42 + 0.14 * len(caption_lines)), dpi=_DPI)
    height = figure.get_figheight()
    bar = figure.add_axes((0.06, 1 - 0.18 / height, 0.88, 0.1 / height))
    scale = figure.colorbar(ScalarMappable(heat.scale, heat.colours), cax=bar, orientation="horizontal")
    scale.outline.set_linewidth(0.5)
    ends = [float(heat.scale.vmin or 0), float(heat.scale.vmax or 0)]
    scale.set_ticks(ends, labels=[f"{end:.3g}" for end in ends])
    bar.tick_params(labelsize=6, length=2, pad=1)
    low, high_end = bar.get_xticklabels()
    low.set_horizontalalignment("left")
    high_end.set_horizontalalignment("right")
    figure.text(0.03, 1 - 0.36 / height, "\n".join(caption_lines), fontsize=6.5, va="top", linespacing=1.3)
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    return _resize(pixels, pixels.shape[0], width)


def _pillow_writer(suffix: str, **options: Any) -> Callable[[Path, Film], None]:
    def write(path: Path, film: Film) -> None:
        from PIL import Image  # noqa: PLC0415 - already there: matplotlib needs it

        images = (Image.fromarray(frame) for frame in film.frames)
        durations = film.durations(suffix)
        next(images).save(path, save_all=True, append_images=images, duration=durations, loop=0, **options)

    return write


def _ffmpeg_writer() -> Callable[[Path, Film], None]:
    try:
        import imageio_ffmpeg  # noqa: PLC0415 - only for this one kind of file
    except ImportError as error:
        raise MissingExtra("writing .mp4", "video") from error

    def write(path: Path, film: Film) -> None:
        height, width = (n + n % 2 for n in film.size)  # the codec needs even sizes
        more = [(0, height - film.size[0]), (0, width - film.size[1]), (0, 0)]
        sink = imageio_ffmpeg.write_frames(
            str(path),
            (width, height),
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
    """Raise an ``OSError`` unless every frame was written: ffmpeg does not report a full disk."""
    try:
        written = imageio_ffmpeg.count_frames_and_secs(str(path))[0]
    except RuntimeError:
        written = 0
    if written != count:
        message = f"ffmpeg wrote {written} of {count} frames"
        raise OSError(message)


_WRITERS: dict[str, Callable[[], Callable[[Path, Film], None]]] = {
    ".webp": lambda: _pillow_writer(".webp", quality=80),
    ".gif": lambda: _pillow_writer(".gif"),
    ".mp4": _ffmpeg_writer,
}
