"""A result in a notebook: a static thumbnail, and the whole report in a frame."""

from __future__ import annotations

import base64
import struct
import zlib
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from signalcam.errors import MissingExtra
from signalcam.report.html import render
from signalcam.report.quantize import read_lines, read_picture
from signalcam.report.summary import kind_of, row_names
from signalcam.report.text import describe_result

if TYPE_CHECKING:
    from signalcam.results.explanation import Explanation

_WIDTH, _ROW, _ROWS, _COLUMNS = 480, 36, 6, 240
_INSIDE = 0.42  # share of a row that the largest deflection fills to either side
_PIXELS = 200  # along an axis of a picture, about
_MOST_VALUES = 10_000_000  # a larger sample gets no thumbnail, as reading it takes long
_COLOUR_FOR, _COLOUR_AGAINST = (0xE8, 0x70, 0x1A), (0x2B, 0x7B, 0xBA)  # visible on white and on black


def thumbnail(exp: Explanation) -> str:
    """Render a description and a small drawing of the first map as static HTML without script."""
    caption = f"<p>{escape(describe_result(exp))}</p>"
    if not len(exp) or len(exp.dims) > 3 or np.prod(exp.input.shape[1:]) > _MOST_VALUES:
        return caption
    kind, dims = kind_of(exp)
    first = exp.isel(sample=0, target=0, cam=0, layer=0)
    figure = _draw_signal(first, dims) if kind == "signal" else _draw_picture(first, dims)
    about = escape(f"{exp.methods[0]} of sample {exp.sample_names[0]}, for {exp.targets[0]}")
    return f'<figure style="margin:0">{figure}<figcaption><small>{about}</small></figcaption></figure>{caption}'


def show(exp: Explanation, height: int = 800) -> Any:
    """Show the report in a frame of a notebook.

    Args:
        exp: The result.
        height: Height of the frame, in pixels.

    Raises:
        MissingExtra: Bokeh or IPython is not installed.
    """
    try:
        from IPython.display import IFrame  # noqa: PLC0415 - installed with notebooks
    except ImportError as error:
        raise MissingExtra("showing a report in a notebook", "notebook") from error
    extras = [f'srcdoc="{escape(render(exp))}"', 'sandbox="allow-scripts allow-downloads"']
    return IFrame("about:blank", "100%", height, extras=extras)


def _scale_map(single: Explanation) -> np.ndarray:
    """Scale the map to -1 .. 1; non-finite values become 0."""
    heat = np.nan_to_num(single.maps.values[0, 0, 0, 0], nan=0, posinf=0, neginf=0)
    scaled: np.ndarray = heat / (np.abs(heat).max(initial=0) or 1)
    return scaled


def _draw_signal(single: Explanation, dims: tuple[str, ...]) -> str:
    rows, names = read_lines(single, dims)[:_ROWS], row_names(single)
    heat = _scale_map(single)
    heat = np.moveaxis(heat, single.dims.index(dims[0]), -1).reshape(-1, heat.shape[single.dims.index(dims[0])])
    height = _ROW * len(rows)
    wide = height if len(heat) == 1 else _ROW
    parts = [_draw_strip(each, number * _ROW, wide) for number, each in enumerate(heat[:_ROWS])]
    finite = [each[np.isfinite(each)] for each in rows]
    middles = [float(np.median(each)) if len(each) else 0.0 for each in finite]
    swing = max(float(np.abs(each - at).max(initial=0)) for each, at in zip(finite, middles, strict=True))
    scaled = [(each - at) / (swing or 1) for each, at in zip(rows, middles, strict=True)]
    parts += [_draw_line(each, _ROW * (number + 0.5)) for number, each in enumerate(scaled)]
    hidden_note = f" and {len(names) - _ROWS} more" if len(names) > _ROWS else ""
    caption = escape(f"{', '.join(names[:_ROWS])}{hidden_note}, from top to bottom, over their heat")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" role="img" '
        f'aria-label="{caption}">{"".join(parts)}</svg>'
    )


def _column_ends(length: int) -> np.ndarray:
    return np.linspace(0, length, min(_COLUMNS, length) + 1).astype(int)


def _draw_strip(heat: np.ndarray, top: int, height: int) -> str:
    ends = _column_ends(len(heat))
    columns = [heat[a:b][np.abs(heat[a:b]).argmax()] for a, b in pairwise(ends)]
    wide = _WIDTH / len(columns)
    return "".join(
        f'<rect x="{i * wide:.1f}" y="{top}" width="{wide + 0.1:.1f}" height="{height}" fill="{_colour(column)}" '
        f'fill-opacity="{abs(column):.2f}"/>'
        for i, column in enumerate(columns)
        if abs(column) > 0.01
    )


def _colour(strength: float) -> str:
    return "#{:02x}{:02x}{:02x}".format(*(_COLOUR_FOR if strength > 0 else _COLOUR_AGAINST))


def _draw_line(values: np.ndarray, middle: float) -> str:
    """Draw a polyline through the minimum and maximum of each column."""
    ends, points = _column_ends(len(values)), []
    for number, (a, b) in enumerate(pairwise(ends)):
        finite = values[a:b][np.isfinite(values[a:b])]
        turns = sorted({float(finite.min()), float(finite.max())}) if len(finite) else []
        x = (number + 0.5) * _WIDTH / (len(ends) - 1)
        points += [f"{x:.1f},{middle - _INSIDE * _ROW * each:.1f}" for each in turns]
    return f'<polyline points="{" ".join(points)}" fill="none" stroke="currentColor" stroke-width="0.7"/>'


def _draw_picture(single: Explanation, dims: tuple[str, ...]) -> str:
    """Draw a picture, or the strongest slice of a volume, under its heat."""
    planes = read_picture(single, dims)
    heat = _scale_map(single).transpose([single.dims.index(dim) for dim in dims])
    if len(dims) == 3:
        at = int(np.abs(heat).max(axis=(1, 2)).argmax())
        planes, heat = planes[:, at], heat[at]
    steps = [max(1, round(n / _PIXELS)) for n in heat.shape]
    planes, heat = planes[:, :: steps[0], :: steps[1]], heat[:: steps[0], :: steps[1]]
    planes = np.where(np.isfinite(planes), planes, np.nan)
    low = np.nan if np.isnan(planes).all() else np.nanmin(planes)
    grey = 255 * np.nan_to_num((planes - low) / (np.nanmax(planes - low, initial=0) or 1)) * np.ones((3, 1, 1))
    colour = np.where(heat > 0, np.reshape(_COLOUR_FOR, (3, 1, 1)), np.reshape(_COLOUR_AGAINST, (3, 1, 1)))
    share = 0.85 * np.abs(heat)
    pixels = (grey * (1 - share) + colour * share).astype(np.uint8)
    if dims[-1] == "time":
        pixels = pixels[:, ::-1]
    text = base64.b64encode(_encode_png(np.moveaxis(pixels, 0, -1))).decode()
    return f'<img src="data:image/png;base64,{text}" width="{_WIDTH // 2}" alt="the input under its heat">'


def _encode_png(pixels: np.ndarray) -> bytes:
    """Encode pixels ``(up, across, 3)`` as PNG (W3C PNG 3rd edition, 5.3 and 11.2)."""
    height, width, _ = pixels.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows.tobytes())) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts
