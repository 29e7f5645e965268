"""The table of what results do by code on higher floors: every entry is there, and takes what its method says."""

import inspect

import pytest

import signalcam as sc
from signalcam.results import verbs

METHODS = ("to_html", "show", "channel_ranking", "around", "save", "export")


@pytest.mark.parametrize("verb", [name for name in verbs.VERBS if not name.startswith("plot.")])
def test_every_verb_is_there(verb):
    assert callable(verbs.resolve(verb))


@pytest.mark.parametrize("verb", METHODS)
def test_a_verb_takes_what_its_method_takes(verb):
    method = list(inspect.signature(getattr(sc.Explanation, verb)).parameters.values())[1:]
    function = list(inspect.signature(verbs.resolve(verb)).parameters.values())[1:]
    assert [(each.name, each.kind, each.annotation) for each in method] == [
        (each.name, each.kind, each.annotation) for each in function
    ]
