"""Results made by hand, to be put on pages."""

import numpy as np
from unit.results import make

from signalcam import Layout
from signalcam.alignment.resampling import AxisGrid
from signalcam.results.layer_maps import LayerMaps


def smooth(*shape):
    """Maps without corners, no two alike."""
    rng = np.random.default_rng(len(shape))
    walk = rng.standard_normal(shape).cumsum(axis=-1)
    return (walk - walk.min(axis=-1, keepdims=True)).astype("f4")


def ecg(samples=3, length=4000, **changes):
    """Recordings of three leads, longer than a figure is wide, explained at two layers."""
    grids = {
        "conv1": (AxisGrid(2, length // 8, length, 3.5, 8.0),),
        "conv2": (AxisGrid(2, length // 100, length, 49.5, 100.0, first=40, last=length - 60),),
    }
    layers = [LayerMaps(name, smooth(samples, 2, 2, grid[0].cells), grid) for name, grid in grids.items()]
    rng = np.random.default_rng(1)
    known = {
        "layers": tuple(layers),
        "layout": Layout("batch channel time", 500, ["I", "II", "V1"], "mV"),
        "input": rng.standard_normal((samples, 3, length)).cumsum(axis=2),
        "scores": np.zeros((samples, 2)),
        "target_classes": np.tile([0, 2], (samples, 1)),
        "logits": np.zeros((samples, 3)),
        "classes": np.arange(samples) % 3,
        "true_classes": np.arange(samples) % 2,
        "probabilities": np.linspace(0.05, 1, 3 * samples).reshape(3, samples).T,
        "sample_names": tuple(f"rec {i}" for i in range(samples)),
    }
    return make(**known | changes)


def picture(shape, dims, axes, **layout):
    """Pictures or volumes whose maps are a quarter as fine."""
    grid = tuple(AxisGrid(axis, shape[axis] // 4, shape[axis], 1.5, 4.0) for axis in axes)
    layers = (LayerMaps("conv", smooth(shape[0], 2, 2, *(axis.cells for axis in grid)), grid),)
    x = np.random.default_rng(2).standard_normal(shape)
    return make(layers=layers, layout=Layout(dims, **layout), input=x)
