"""Results made by hand, and how two of them are compared."""

from dataclasses import fields

import numpy as np
import xarray as xr

from signalcam import Explanation, Layout
from signalcam.alignment.resampling import AxisGrid
from signalcam.results.input_maps import InputMaps
from signalcam.results.layer_maps import LayerMaps

METHODS, TARGETS, SAMPLES = ("grad-cam", "hires-cam"), ("predicted", "noise"), ("ann", "bob", "cy")
GRIDS = {
    "conv1": (AxisGrid(2, 10, 40, 1.5, 4.0, 4.0, probed=True),),
    "conv2": (AxisGrid(2, 5, 40, 3.5, 8.0),),
}


def numbers(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def make(grids=GRIDS, **changes):
    """Three ECGs of two leads and 40 samples, explained by two methods at two layers."""
    layers = [LayerMaps(name, numbers(3, 2, 2, *[axis.cells for axis in grid]), grid) for name, grid in grids.items()]
    known = {
        "layers": tuple(layers),
        "targets": TARGETS,
        "methods": METHODS,
        "layout": Layout("batch channel time", 10.0, ["I", "II"], "mV"),
        "input": numbers(3, 2, 40),
        "scores": numbers(3, 2),
        "target_classes": np.array([[0, 2], [1, 2], [2, 2]]),
        "logits": numbers(3, 3),
        "probabilities": np.float32([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.1, 0.1, 0.8]]),
        "classes": np.array([0, 1, 2]),
        "true_classes": np.array([0, 1, 1]),
        "class_names": ("normal", "ventricular", "noise"),
        "sample_names": SAMPLES,
        "provenance": {"model": "Net", "score": "logit; logits returned by the model"},
    }
    return Explanation(**known | changes)


def scored(exp, metrics=("deletion", "insertion"), curves=("most first", "$least$ first")):
    """The same result with the scores it may carry: two curves at each target and layer, beside two baselines."""
    methods = [*exp.methods, "random-cam", "input-energy"]
    cells = len(exp.targets), len(methods), len(exp.layer_names)
    rng = np.random.default_rng(5)
    value, curve = rng.random((2, len(exp), *cells)), rng.random((2, len(exp), *cells, 4))
    summary = ("metric", "target", "cam", "layer")
    scores = xr.Dataset(
        {
            "value": (("metric", "sample", *summary[1:]), value),
            **{name: (summary, value.mean(axis=1)) for name in ("mean", "low", "high")},
            "count": (summary, np.full((2, *cells), len(exp))),
            "curve_score": (("curve", "sample", *summary[1:], "step"), curve),
            "removed": (("layer", "step"), np.tile(np.linspace(0, 1, 4), (cells[2], 1))),
        },
        {
            "metric": list(metrics),
            "better": ("metric", ["lower", "higher"]),
            "curve": list(curves),
            "sample": list(exp.sample_names),
            "target": list(exp.targets),
            "cam": methods,
            "layer": list(exp.layer_names),
        },
        {"measure": "probability"},
    )
    return exp.with_scores(scores)


def assert_same(one, other):
    """Every field of two results, or of parts of them, is equal, and so is the type of its numbers."""
    for each in fields(one):
        _assert_same(getattr(one, each.name), getattr(other, each.name))


def _assert_same(one, other):
    if isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    elif isinstance(one, tuple) and one and isinstance(one[0], LayerMaps | InputMaps):
        for mine, yours in zip(one, other, strict=True):
            assert_same(mine, yours)
    else:
        assert one == other
