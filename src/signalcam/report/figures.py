"""The figures of a page as Bokeh models without data; the page's script fills them."""

from __future__ import annotations

from typing import Any

from bokeh.embed import json_item
from bokeh.models import (
    BasicTicker,
    BoxZoomTool,
    ColumnDataSource,
    CrosshairTool,
    FixedTicker,
    LinearColorMapper,
    PanTool,
    PlainText,
    Range1d,
    ResetTool,
    SaveTool,
    WheelZoomTool,
)
from bokeh.models.annotations import ColorBar
from bokeh.palettes import Colorblind8, Inferno256, Oranges256, RdBu11, interp_palette
from bokeh.plotting import figure

_DARK = "#14171c"  # the page's background in dark mode
_LEGIBLE_COLOURS, _LIGHT = (
    200,
    228,
)  # of 256 colours; a black line is invisible on darker ones: one sign, two signs
_NAME = 13  # pixels per channel name
_OPACITY = 217  # of 255, for the strongest heat over a picture, which stays visible


def list_palettes() -> dict[str, Any]:
    """Colours for evidence of one sign (``one``) and of both signs (``two``), on each background.

    Strips lie behind a line, so they start at the background's colour. Over pictures the opacity follows the heat.
    ``curves`` appear on both backgrounds, so they omit black and yellow.
    """
    diverging = list(interp_palette(RdBu11, 256))
    return {
        "light": {"one": list(reversed(Oranges256))[:_LEGIBLE_COLOURS], "two": diverging[256 - _LIGHT : _LIGHT]},
        "dark": {
            "one": list(interp_palette((_DARK, "#5a2c08", "#c25a0c"), 256)),
            "two": list(interp_palette(("#2b7bba", "#123a5c", _DARK, "#5c1620", "#c23b45"), 256)),
        },
        "picture": {
            "one": [f"{colour}{_OPACITY * i // 255:02x}" for i, colour in enumerate(Inferno256)],
            "two": [f"{colour[:7]}{_OPACITY * abs(2 * i - 255) // 255:02x}" for i, colour in enumerate(diverging)],
        },
        "curves": [colour for colour in Colorblind8 if colour not in ("#000000", "#F0E442")],
    }


def draw_signal(summary: dict[str, Any], name: str) -> dict[str, Any]:
    """Figure of a signal: lines over strips of heat, one row per channel, zoomed along the long axis."""
    rows, across = summary["rows"], summary["axes"][0]
    inner = 270 if len(rows) == 1 else min(max(40 * len(rows), 240), max(560, 10 * len(rows)))
    plot = _make_figure(name, inner + 60, "width", across)
    plot.add_tools(CrosshairTool(dimensions="height", name=f"{name}-cross"))
    strips = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []}, name=f"{name}-heat")
    mapper = _make_colour_mapper(name)
    plot.image("image", "x", "y", "dw", "dh", source=strips, color_mapper=mapper, level="image")
    source = ColumnDataSource({"xs": [], "ys": [], "widths": []}, name=f"{name}-lines")
    glyph = plot.multi_line("xs", "ys", source=source, line_width="widths", line_join="round")
    glyph.glyph.name = f"{name}-line"
    if len(rows) > 1:
        last, tick_step = len(rows) - 1, -(-_NAME * len(rows) // inner)
        plot.yaxis.ticker = FixedTicker(ticks=[last - i for i in range(0, len(rows), tick_step)])
        plot.yaxis.major_label_overrides = {last - i: _escape_formula(each) for i, each in enumerate(rows)}
    else:
        plot.yaxis.axis_label = _escape_formula(
            _label({"name": "signal" if rows == ["0"] else rows[0], "unit": summary["units"]})
        )
    _add_colour_bar(plot, mapper, name)
    return _to_json(plot)


def draw_picture(summary: dict[str, Any], name: str) -> dict[str, Any]:
    """Figure of a picture under its heat, with opacity by strength."""
    up, across = summary["axes"][-2:]
    plot = _make_figure(name, 520, "both", across)
    plot.yaxis.axis_label = _escape_formula(_label(up))
    plot.yaxis.ticker = FixedTicker(ticks=[])
    source = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []}, name=f"{name}-lines")
    plot.image_rgba("image", "x", "y", "dw", "dh", source=source)
    heat = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []}, name=f"{name}-heat")
    mapper = _make_colour_mapper(name)
    plot.image("image", "x", "y", "dw", "dh", source=heat, color_mapper=mapper)
    plot.add_tools(CrosshairTool(name=f"{name}-cross"))
    _add_colour_bar(plot, mapper, name)
    return _to_json(plot)


def draw_curves(measure: str, name: str) -> dict[str, Any]:
    """Figure of metric curves over the share removed: a colour per method, baselines dashed."""
    plot = _make_figure(name, 300, "both", {"name": "share removed", "unit": ""})
    plot.xaxis.ticker = BasicTicker()
    plot.yaxis.axis_label = _escape_formula(measure)
    source = ColumnDataSource({"xs": [], "ys": [], "colours": [], "dashes": []}, name=f"{name}-lines")
    plot.multi_line(
        "xs", "ys", source=source, line_color="colours", line_dash="dashes", line_width=2, line_join="round"
    )
    return _to_json(plot)


def _make_figure(name: str, height: int, dimensions: Any, across: dict[str, Any]) -> Any:
    wheel = WheelZoomTool(dimensions=dimensions)
    plot = figure(
        name=name,
        height=height,
        sizing_mode="stretch_width",
        min_width=260,
        toolbar_location="above",
        x_range=Range1d(start=0, end=1, name=f"{name}-across"),
        y_range=Range1d(start=0, end=1, name=f"{name}-up"),
        background_fill_color=None,
        border_fill_color=None,
        outline_line_color=None,
        tools=[PanTool(dimensions=dimensions), wheel, BoxZoomTool(dimensions=dimensions), ResetTool(), SaveTool()],
        active_scroll=wheel,
    )
    plot.toolbar.logo = None
    plot.grid.visible = False
    plot.xaxis.axis_label = _escape_formula(_label(across))
    plot.xaxis.ticker = FixedTicker(ticks=[], name=f"{name}-ticks")
    plot.xaxis.name, plot.yaxis.name = f"{name}-x", f"{name}-y"
    for axis in (plot.xaxis, plot.yaxis):
        axis.minor_tick_line_color = None
        axis.axis_label_text_font_style = "normal"
    return plot


def _label(axis: dict[str, Any]) -> str:
    unit = "h:m:s" if axis.get("clock") else axis["unit"]
    return f"{axis['name']} ({unit})" if unit else axis["name"]


def _escape_formula(text: str) -> Any:
    """Wrap a text so that Bokeh reads no formula in it."""
    return PlainText(text=text)


def _make_colour_mapper(name: str) -> LinearColorMapper:
    return LinearColorMapper(palette="Greys3", low=0, high=1, nan_color="rgba(0, 0, 0, 0)", name=f"{name}-colours")


def _add_colour_bar(plot: Any, mapper: LinearColorMapper, name: str) -> None:
    bar = ColorBar(
        color_mapper=mapper,
        ticker=FixedTicker(ticks=[]),
        name=f"{name}-bar",
        width=10,
        padding=4,
        background_fill_color=None,
        bar_line_color=None,
    )
    plot.add_layout(bar, "right")


def _to_json(plot: Any) -> dict[str, Any]:
    item: dict[str, Any] = dict(json_item(plot))
    return item
