"""Here you find the methods of results whose code lies in higher packages; it is imported on call."""

from __future__ import annotations

from functools import reduce
from importlib import import_module
from typing import Any

VERBS = {
    "plot.signal": "signalcam.plot.signal:SignalDisplay.from_explanation",
    "plot.ecg": "signalcam.plot.ecg:EcgDisplay.from_explanation",
    "plot.text": "signalcam.plot.text:draw",
    "plot.spectrogram": "signalcam.plot.image:ImageDisplay.from_spectrogram",
    "plot.image": "signalcam.plot.image:ImageDisplay.from_explanation",
    "plot.volume": "signalcam.plot.volume:VolumeDisplay.from_explanation",
    "plot.video": "signalcam.plot.video:save",
    "plot.heat": "signalcam.plot.overlay:HeatOverlay.of",
    "plot.compare": "signalcam.plot.compare:draw",
    "plot.summary": "signalcam.plot.mean_maps:summary_display",
    "plot.curve": "signalcam.plot.curves:CurveDisplay.from_metrics",
    "plot.scores": "signalcam.plot.curves:CurveDisplay.from_scores",
    "plot.event_average": "signalcam.plot.event_average:draw_event_average",
    "plot.comparison": "signalcam.plot.scores:draw_scores",
    "summarize": "signalcam.report.text:describe_result",
    "thumbnail": "signalcam.report.notebook:thumbnail",
    "to_html": "signalcam.report.html:write",
    "show": "signalcam.report.notebook:show",
    "channel_ranking": "signalcam.results.channel_ranking:channel_ranking",
    "around": "signalcam.results.epochs:average_around",
    "save": "signalcam.results.serialization:save",
    "export": "signalcam.results.export:export",
}


def resolve(verb: str) -> Any:
    """Import the function or class of a verb of ``VERBS``."""
    module, name = VERBS[verb].split(":")
    return reduce(getattr, name.split("."), import_module(module))


def call(verb: str, *values: Any, **options: Any) -> Any:
    """Import the function of a verb, and call it."""
    return resolve(verb)(*values, **options)
