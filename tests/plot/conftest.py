"""Explanations made by hand, so that figures are tested without any framework."""

import numpy as np
import pytest

from signalcam.alignment.resampling import AxisGrid
from signalcam.inputs.layout import Layout
from signalcam.results.explanation import Explanation, LayerMaps


@pytest.fixture
def make():
    """Build a result whose map at the input's resolution is known."""

    def build(shape, dims, axes, *, signed=False, **layout):
        rng = np.random.default_rng(0)
        lengths = [shape[axis] for axis in axes]
        heat = rng.random((shape[0], 2, 1, *lengths)).astype(np.float32)
        grid = tuple(AxisGrid(axis, n, n, 0.0, 1.0) for axis, n in zip(axes, lengths, strict=True))
        return Explanation(
            layers=(LayerMaps("conv", heat - 0.5 * signed, grid),),
            targets=("predicted", "AF"),
            methods=("grad-cam",),
            layout=Layout(dims, **layout),
            input=rng.normal(size=shape),
            scores=np.zeros((shape[0], 2)),
            target_classes=np.array([[0, 1]] * shape[0]),
            logits=np.zeros((shape[0], 2)),
            probabilities=np.array([[0.99999, 0.00001]] * shape[0]),
            classes=np.zeros(shape[0], int),
            true_classes=np.ones(shape[0], int),
            class_names=("normal", "AF"),
            sample_names=tuple(range(shape[0])),
            provenance={"score": "logit; logits before softmax", "signed": str(signed)},
        )

    return build
