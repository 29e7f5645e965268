"""Grad-CAM by SignalCAM and by its peers, each used as its own documentation says.

Every contestant gets the same model, layer, batch and classes, and returns one map a class and
sample. What a library sets up once for a model is made before the clock starts; hooks live only as
long as one call, so that no contestant runs under another's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import signalcam as sc
from benchmarks.measure import quiet

Maps = np.ndarray  # (class, sample, *positions)
Call = Callable[[Tensor], Any]


@dataclass(frozen=True)
class Contestant:
    """One library.

    Attributes:
        name: As on the package index.
        prepare: From model, layer name and classes to what is timed.
        maps: From what that returned to the maps.
        same: From SignalCAM's signed maps and the input to what these maps should be.
    """

    name: str
    prepare: Callable[[nn.Module, str, Sequence[int]], Call]
    maps: Callable[[Any], Maps]
    same: Callable[[Maps, Tensor], Maps]

    @property
    def version(self) -> str:
        """The installed version."""
        return version(self.name)


def contestants() -> list[Contestant]:
    """SignalCAM first, then every peer."""
    declare_torchvision_operators()
    return [
        Contestant("signalcam", _signalcam, _signalcam_maps, _rectified),
        Contestant("torchcam", _torchcam, _stacked, _rectified),
        Contestant("captum", _captum, lambda found: _stacked(found)[:, :, 0], _signed),
        Contestant("grad-cam", _grad_cam, np.stack, grad_cam_look),
        Contestant("signal_grad_cam", _signal_grad_cam, np.asarray, _rectified),
    ]


def forward(model: nn.Module) -> Call:
    """The floor: the bare forward pass."""

    def call(x: Tensor) -> Tensor:
        with torch.no_grad():
            return model(x)

    return call


def declare_torchvision_operators() -> None:
    """Let grad-cam import torchvision where its compiled operators do not fit the build of torch."""
    with contextlib.suppress(RuntimeError):
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _kept.append(library)


_kept: list[Any] = []  # a library of operators lives as long as the object that declared it


# --- SignalCAM -----------------------------------------------------------------------------------


def _signalcam(model: nn.Module, layer: str, classes: Sequence[int]) -> Call:
    return sc.Explainer(model, layer=layer, target=list(classes))


def _signalcam_maps(found: sc.Explanation) -> Maps:
    return np.moveaxis(found.layers[0].values[:, :, 0], 1, 0)


def signed_maps(model: nn.Module, layer: str, classes: Sequence[int], x: Tensor) -> Maps:
    """SignalCAM's maps with negative evidence, to compare the others with."""
    with quiet():
        return _signalcam_maps(sc.Explainer(model, layer=layer, target=list(classes), signed=True)(x))


# --- peers ---------------------------------------------------------------------------------------


def _torchcam(model: nn.Module, layer: str, classes: Sequence[int]) -> Call:
    from torchcam.methods import GradCAM  # noqa: PLC0415 - a peer is loaded when its turn comes

    def call(x: Tensor) -> list[Tensor]:
        with GradCAM(model, layer) as extract:
            scores = model(x)
            return [extract(each, scores, normalized=False, retain_graph=each != classes[-1])[0] for each in classes]

    return call


def _captum(model: nn.Module, layer: str, classes: Sequence[int]) -> Call:
    from captum.attr import LayerGradCam  # noqa: PLC0415 - a peer is loaded when its turn comes

    attribution = LayerGradCam(model, model.get_submodule(layer))
    return lambda x: [attribution.attribute(x, target=each).detach() for each in classes]


def _grad_cam(model: nn.Module, layer: str, classes: Sequence[int]) -> Call:
    from pytorch_grad_cam import GradCAM  # noqa: PLC0415 - a peer is loaded when its turn comes
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget  # noqa: PLC0415

    def call(x: Tensor) -> list[np.ndarray]:
        with GradCAM(model, [model.get_submodule(layer)]) as explain:
            return [explain(x, [ClassifierOutputTarget(each)] * len(x)) for each in classes]

    return call


def _signal_grad_cam(model: nn.Module, layer: str, classes: Sequence[int]) -> Call:
    from signal_grad_cam import TorchCamBuilder  # noqa: PLC0415 - a peer is loaded when its turn comes

    with quiet():
        builder = TorchCamBuilder(model, ignore_channel_dim=True)
    torch.use_deterministic_algorithms(mode=False)  # it leaves this on, and everybody slower
    wanted = model.get_submodule(layer)

    def call(x: Tensor) -> list[list[np.ndarray]]:
        compute = builder._create_raw_batched_cams  # noqa: SLF001 - the public way also draws figures
        found = [compute(list(x), each, wanted, "Grad-CAM", softmax_final=False)[0] for each in classes]
        builder.activations = builder.gradients = None
        return found

    return call


# --- what the maps should be ---------------------------------------------------------------------


def _stacked(found: Sequence[Tensor]) -> Maps:
    return np.stack([each.numpy() for each in found])


def _signed(maps: Maps, _x: Tensor) -> Maps:
    return maps


def _rectified(maps: Maps, _x: Tensor) -> Maps:
    return np.maximum(maps, 0)


def grad_cam_look(maps: Maps, x: Tensor) -> Maps:
    """Normalise and stretch with grad-cam's own function, as it does: twice, and rectified between."""
    from pytorch_grad_cam.utils.image import scale_cam_image  # noqa: PLC0415 - as above

    size = tuple(reversed(x.shape[2:]))
    stretched = [scale_cam_image(np.maximum(each, 0), size) for each in maps]
    return np.stack([scale_cam_image(np.maximum(each, 0)) for each in stretched])
