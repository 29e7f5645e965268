"""The HTML page of a report: summary, scripts, and the data or where to fetch them.

Requests of a page. In a file ``source`` is ``embedded`` and the browser computes the answers. From a server it is
``served``, and the server answers in JSON, with numbers as base64:

- ``tile?sample=&target=&method=&layer=&from=&to=&columns=``: one map and its signal in an interval of the long axis (as
  drawn: ``start + step * entry``), reduced to at most ``columns`` evenly spaced columns. ``{"x": (n,) float64,
  "low": (channel, n) float32, "high": (channel, n), "heat": (rows, n)}``: minimum and maximum of each column, and its
  heat of largest magnitude. rows is 1 or the number of channels; NaN is left blank. ``sample`` and the others are
  numbers from 0. ``group=`` in place of ``sample=`` selects one of ``summary["groups"]``: heat is the mean map; low and
  high are the mean minus and plus its deviation, in as many rows as heat.
- ``slice?sample=&target=&method=&layer=&at=``: a slice of a picture or volume. ``{"picture": (planes, up, across) uint8,
  "planes": 1 or 3, "heat": (up, across) float32, "strongest": largest magnitude in all slices, "at": its slice}``;
  ``at=-1`` selects the strongest slice. For a group the picture is empty and ``"deviation"`` holds the deviation.
- ``samples?offset=&limit=&sort=&descending=&predicted=&outcome=&least=&most=&text=``: rows of the table that pass the
  filter. ``{"count": number of all, "rows": [{"number", "name", "predicted", "confidence", "label", "asked", "score",
  "trusted"}]}``; ``trusted`` is ``[metric][target][method][layer]`` if the result has scores. sort is ``number``,
  ``name``, ``predicted``, ``label``, ``confidence``, or ``metric`` with the numbers ``metric=&target=&method=&layer=``.
  ``outcome`` is ``right`` or ``wrong``. Unknown values are null.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import numpy as np

from signalcam.errors import MissingExtra

_SCRIPTS = (
    "numbers.js",
    "sources.js",
    "figures.js",
    "table.js",
    "trust.js",
    "overview.js",
    "page.js",
)
_UNSAFE = {ord(each): f"\\u{ord(each):04x}" for each in "<>&\u2028\u2029"}


def render_page(summary: Mapping[str, Any], source: Literal["embedded", "served"] = "embedded", data: str = "") -> str:
    """Write the page as one HTML document; names are escaped as data.

    Args:
        summary: What ``summary.summarize_page`` returns; for a served page ``summary.outline_page`` is enough.
            An embedded page also needs ``packed``, the positions in ``data``.
        source: Where the page gets its numbers from.
        data: Encoded numbers of an embedded page; see ``quantize``.
    """
    script, page_script = load_bokeh(), _load_script()
    figures = _draw_figures(summary)
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src {_hash_script(script)} {_hash_script(page_script)}",
            "style-src 'unsafe-inline'",
            "img-src data: blob:",
            f"connect-src {_CONNECT_SOURCES[source]}",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    embedded = {"summary": summary, "source": source, **figures}
    parts = {
        "policy": policy,
        "style": _read_file("page.css"),
        "bokeh": script,
        "own": page_script,
        "data": data,
        "known": _encode_json(embedded),
        "title": _escape(str(summary["sentence"])),
    }
    before, *rest = _read_file("page.html").split("{{")
    sections = (each.split("}}", 1) for each in rest)
    return before + "".join(parts[name] + after for name, after in sections)


_CONNECT_SOURCES = {"embedded": "'none'", "served": "'self'"}


def _draw_figures(summary: Mapping[str, Any]) -> dict[str, Any]:
    from signalcam.report import figures  # noqa: PLC0415 - loads Bokeh

    draw = figures.draw_signal if summary["kind"] == "signal" else figures.draw_picture
    drawings = {"figure": draw(dict(summary), "map")}
    if summary["groups"]:
        rows = summary["rows"] if summary["map_rows"] > 1 else ["mean and deviation"]
        drawings["means"] = draw({**summary, "rows": rows, "units": ""}, "mean")
    if summary["scores"] and summary["scores"]["curves"]:
        drawings["curves"] = figures.draw_curves(summary["scores"]["curves"]["measure"], "curve")
    return {**drawings, "palettes": figures.list_palettes()}


@cache
def load_bokeh() -> str:
    """Load Bokeh's script; raise ``MissingExtra`` if it is not installed."""
    try:
        from bokeh.resources import Resources  # noqa: PLC0415 - an extra, loaded when needed
    except ImportError as error:
        raise MissingExtra("a report", "report") from error
    return str(Resources(mode="inline", components=["bokeh"]).js_raw[0])


@cache
def _load_script() -> str:
    return "(() => {\n" + "\n".join(_read_file(name) for name in _SCRIPTS) + "\n})();"


def _read_file(name: str) -> str:
    return files("signalcam.report").joinpath(name).read_text(encoding="utf-8")


def _hash_script(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _encode_json(content: object) -> str:
    """Encode as JSON that cannot end a script element; non-finite numbers become null."""
    return json.dumps(_replace_non_finite(content), allow_nan=False, default=_to_python).translate(_UNSAFE)


def _to_python(value: object) -> object:
    return value.item() if isinstance(value, np.generic) else str(value)


def _replace_non_finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): _replace_non_finite(each) for name, each in value.items()}
    return [_replace_non_finite(each) for each in value] if isinstance(value, list | tuple) else value


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
