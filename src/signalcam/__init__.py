"""SignalCAM: which part of the input made the network say so, for signals first."""

from typing import TYPE_CHECKING

from signalcam import data, metrics, synthetic
from signalcam.attribution.augmentation import Augment
from signalcam.attribution.input_level import PerChannel
from signalcam.attribution.reference import FromReference
from signalcam.attribution.registry import Method, methods
from signalcam.attribution.smoothing import Principal, Smooth
from signalcam.errors import (
    CamError,
    CamWarning,
    InputError,
    JobError,
    LayoutError,
    MethodError,
    MissingExtra,
    ModelError,
    StoreError,
    TargetError,
)
from signalcam.explainer.api import Explainer, explain
from signalcam.explainer.layer_listing import LayerInfo, Layers, layers
from signalcam.explainer.preprocessing import Preprocessing
from signalcam.explainer.records.api import explain_record
from signalcam.inputs.layout import Layout
from signalcam.inputs.padding import Lengths, Mask
from signalcam.inputs.tokens import Tokens
from signalcam.io import load
from signalcam.results.explanation import Explanation
from signalcam.targets import (
    Class,
    Contrast,
    Counterfactual,
    Finer,
    Output,
    PerSample,
    Predicted,
    Region,
    Regression,
    Similarity,
    TrueLabel,
)

if TYPE_CHECKING:
    from signalcam.jobs import Job

__version__ = "0.1.0"

__all__ = [
    "Augment",
    "CamError",
    "CamWarning",
    "Class",
    "Contrast",
    "Counterfactual",
    "Explainer",
    "Explanation",
    "Finer",
    "FromReference",
    "InputError",
    "Job",
    "JobError",
    "LayerInfo",
    "Layers",
    "Layout",
    "LayoutError",
    "Lengths",
    "Mask",
    "Method",
    "MethodError",
    "MissingExtra",
    "ModelError",
    "Output",
    "PerChannel",
    "PerSample",
    "Predicted",
    "Preprocessing",
    "Principal",
    "Region",
    "Regression",
    "Similarity",
    "Smooth",
    "StoreError",
    "TargetError",
    "Tokens",
    "TrueLabel",
    "data",
    "explain",
    "explain_record",
    "layers",
    "load",
    "methods",
    "metrics",
    "synthetic",
]


def __getattr__(name: str) -> object:
    """Load what needs an optional dependency when it is asked for."""
    if name != "Job":
        message = f"module 'signalcam' has no attribute {name!r}"
        raise AttributeError(message)
    from signalcam.jobs import Job  # noqa: PLC0415 - needs pydantic

    return Job
