"""The figures behind ``exp.plot``: every entry of the table is there, and takes what its method passes on."""

import inspect

import pytest

from signalcam.results import verbs
from signalcam.results.plotter import Plotter

FIGURES = [name for name in verbs.VERBS if name.startswith("plot.")]
SHARED = ("signal", "ecg", "spectrogram", "image", "volume", "summary", "curve")


@pytest.mark.parametrize("verb", FIGURES)
def test_every_figure_is_there(verb):
    assert callable(verbs.resolve(verb))


@pytest.mark.parametrize("figure", SHARED)
def test_a_figure_takes_what_its_method_passes_on(figure):
    method = inspect.signature(getattr(Plotter, figure)).parameters
    passed = [each.name for each in method.values() if each.kind is each.KEYWORD_ONLY and each.name != "scores"]
    taken = inspect.signature(verbs.resolve(f"plot.{figure}")).parameters
    open_ended = any(each.kind is each.VAR_KEYWORD for each in taken.values())
    assert open_ended or set(passed) <= set(taken)
