"""Where other libraries' maps are not what the papers define: each claim of docs/other-libraries.md as numbers.

Run as ``python -m benchmarks.differences`` in the environment of ``requirements.txt``; it takes a minute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import signalcam as sc
from benchmarks.measure import quiet
from benchmarks.peers import declare_torchvision_operators

LAYER, TARGET = "1", 2


def main() -> None:
    """Print every number, as a table."""
    torch.manual_seed(0)
    declare_torchvision_operators()
    names = ("signalcam", "grad-cam", "torchcam", "torch", "numpy")
    print(", ".join(f"{name} {version(name)}" for name in names))
    print("\n| library | method | what is measured | found |\n| --- | --- | --- | --- |")
    for row in rows():
        print(f"| {' | '.join(row)} |")


def rows() -> Iterator[tuple[str, str, str, str]]:
    """Library, method, what is measured, and the number."""
    same = "largest difference, as a share of the largest value"
    x, model = torch.randn(4, 3, 32, 32), network()
    for name, theirs in (
        ("grad-cam", "GradCAM"),
        ("layer-cam", "LayerCAM"),
        ("xgrad-cam", "XGradCAM"),
    ):
        yield (
            "grad-cam",
            name,
            same,
            f"{apart(grad_cam(model, theirs, x), ours(model, name, x)):.0e}",
        )
        yield (
            "torchcam",
            name,
            same,
            f"{apart(torchcam(model, theirs, x), ours(model, name, x)):.0e}",
        )
    wrong, right = torchcam(model, "GradCAMpp", x), ours(model, "grad-cam++", x)
    yield "torchcam", "grad-cam++", same, f"{apart(wrong, right):.2f}"
    lost = squared(model, x)
    yield (
        "torchcam",
        "grad-cam++",
        "the same, from weights g^2 relu(g): the division is lost",
        f"{apart(wrong, lost):.0e}",
    )
    for scale in (1.0, 0.1, 0.01):
        found = grad_cam(network(scale), "GradCAMPlusPlus", x)
        wanted = ours(network(scale), "grad-cam++", x)
        yield (
            "grad-cam",
            "grad-cam++",
            f"{same}, logits times {scale:g}",
            f"{apart(found, wanted):.2g}",
        )
        wanted = epsilon(network(scale), x)
        yield (
            "grad-cam",
            "grad-cam++",
            "the same, from our formula with their epsilon put back",
            f"{apart(found, wanted):.0e}",
        )
    yield (
        "grad-cam",
        "eigen-cam",
        "maps of 200 with random rectified activations that point away from them",
        str(upside_down()),
    )
    yield (
        "grad-cam",
        "ablation-cam",
        "correlation of the weights with the true drops, score positive",
        f"{ablation(2.0):+.3f}",
    )
    yield "grad-cam", "ablation-cam", "the same, score negative", f"{ablation(-2.0):+.3f}"
    yield "signalcam", "ablation-cam", "the same, score negative", f"{our_ablation(-2.0):+.3f}"
    yield "grad-cam", "every method", "one-dimensional signal", refusal(_grad_cam_of_signal)
    yield "torchcam", "score-cam", "one-dimensional signal", refusal(_score_cam_of_signal)
    total, score = complete()
    yield (
        "signalcam",
        "full-grad",
        "sum of the map and the score it explains",
        f"{total:.4f}, {score:.4f}",
    )
    yield (
        "grad-cam",
        "guided backpropagation",
        "rectifiers still in place after one call",
        str(guided()),
    )


# --- networks and maps ---------------------------------------------------------------------------


def network(scale: float = 1.0) -> nn.Module:
    """A rectified layer, pooling, and a linear layer whose logits are scaled."""
    torch.manual_seed(0)
    head = nn.Linear(16, 5)
    with torch.no_grad():
        head.weight *= scale
        head.bias *= scale
    features = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 16, 3, 2), nn.ReLU())
    return nn.Sequential(nn.Identity(), features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head).eval()


def ours(model: nn.Module, method: str, x: Tensor) -> np.ndarray:
    """SignalCAM's maps at the layer, each divided by its largest value."""
    exp = sc.explain(model, x, layer=LAYER, method=method, target=TARGET)
    return scaled(exp.native().values[:, 0, 0])


def grad_cam(model: nn.Module, name: str, x: Tensor) -> np.ndarray:
    """The package grad-cam's maps at the layer, before it stretches and normalises them."""
    import pytorch_grad_cam  # noqa: PLC0415 - a peer is loaded when its turn comes
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget  # noqa: PLC0415 - as above

    layer = model.get_submodule(LAYER)
    with quiet(), getattr(pytorch_grad_cam, name)(model, [layer]) as cam:
        targets = [ClassifierOutputTarget(TARGET)] * len(x)
        cam(x, targets)
        a = cam.activations_and_grads.activations[0].numpy()
        g = cam.activations_and_grads.gradients[0].numpy() if cam.uses_gradients else None
        found = cam.get_cam_image(x, layer, targets, a, g, eigen_smooth=False)
        return scaled(np.maximum(found, 0))


def torchcam(model: nn.Module, name: str, x: Tensor) -> np.ndarray:
    """Torchcam's maps at the layer."""
    from torchcam import methods  # noqa: PLC0415 - a peer is loaded when its turn comes

    with getattr(methods, name)(model, LAYER) as extract:
        return scaled(np.asarray(extract(TARGET, model(x), normalized=False)[0].detach()))


def scaled(maps: np.ndarray) -> np.ndarray:
    """Divide each map by its largest value."""
    top = maps.reshape(len(maps), -1).max(axis=1).reshape(-1, *[1] * (maps.ndim - 1))
    return maps / np.where(top == 0, 1, top)


def apart(found: np.ndarray, wanted: np.ndarray) -> float:
    """The largest difference between normalised maps."""
    return float(np.abs(found - wanted).max())


def felt(model: nn.Module, x: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Activations and gradients at the layer, in double precision."""
    model, x = model.double(), x.double()
    a = model[1](model[0](x)).detach().requires_grad_()
    (g,) = torch.autograd.grad(model[2:](a)[:, TARGET].sum(), a)
    model.float()
    return a.detach().numpy(), g.numpy()


def weighed(a: np.ndarray, alpha: np.ndarray, g: np.ndarray) -> np.ndarray:
    """Maps of channels weighed by the sum of ``alpha relu(g)``."""
    w = (alpha * np.maximum(g, 0)).sum((2, 3), keepdims=True)
    return scaled(np.maximum((w * a).sum(1), 0))


def squared(model: nn.Module, x: Tensor) -> np.ndarray:
    """Grad-CAM++ without its division."""
    a, g = felt(model, x)
    return weighed(a, g**2, g)


def epsilon(model: nn.Module, x: Tensor) -> np.ndarray:
    """Grad-CAM++ with 1e-6 in the divisor."""
    a, g = felt(model, x)
    return weighed(a, g**2 / (2 * g**2 + a.sum((2, 3), keepdims=True) * g**3 + 1e-6), g)


# --- single claims -------------------------------------------------------------------------------


def upside_down() -> int:
    """How many Eigen-CAM maps point away from the sum of what they were made of."""
    from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection  # noqa: PLC0415 - a peer is loaded when its turn comes

    rng = np.random.default_rng(0)
    a = np.maximum(rng.standard_normal((200, 8, 6, 6)), 0).astype(np.float32)
    maps = np.asarray(get_2d_projection(a)).reshape(200, -1)
    total = a.sum(1).reshape(200, -1)
    return int(((maps * (total - total.mean(1, keepdims=True))).sum(1) < 0).sum())


def _drops(offset: float) -> tuple[nn.Module, Tensor, np.ndarray]:
    """A network whose score is about ``offset``, and how much each channel holds it up."""
    model, x = network(), torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        model[4].bias[:] = offset
        a = model[1](x)
        hot = torch.eye(a.shape[1])[:, :, None, None]
        drops = model(x)[0, TARGET] - model[2:](a * (1 - hot))[:, TARGET]
    return model, x, drops.numpy()


def ablation(offset: float) -> float:
    """How grad-cam's weights go with the true drops."""
    import pytorch_grad_cam  # noqa: PLC0415 - a peer is loaded when its turn comes
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget  # noqa: PLC0415 - as above

    model, x, drops = _drops(offset)
    layer = model.get_submodule(LAYER)
    with quiet(), pytorch_grad_cam.AblationCAM(model, [layer]) as cam:
        targets = [ClassifierOutputTarget(TARGET)]
        weights = cam.get_cam_weights(x, layer, targets, layer(x).detach(), None)
    return float(np.corrcoef(np.asarray(weights).ravel(), drops)[0, 1])


def our_ablation(offset: float) -> float:
    """How our map goes with the true drops, weighing the channels."""
    model, x, drops = _drops(offset)
    exp = sc.explain(model, x, layer=LAYER, method="ablation-cam", target=TARGET, signed=True)
    with torch.no_grad():
        wanted = (model[1](x)[0].numpy() * drops[:, None, None]).sum(0)
    return float(np.corrcoef(exp.native().values[0, 0, 0].ravel(), wanted.ravel())[0, 1])


def refusal(asked: Callable[[nn.Module, Tensor], Any]) -> str:
    """What a library answers to a signal."""
    model = nn.Sequential(nn.Conv1d(2, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, 3))
    try:
        with quiet():
            asked(model.eval(), torch.randn(1, 2, 30))
    except Exception as error:  # noqa: BLE001 - whatever a peer raises is its answer
        return f"{type(error).__name__}: {error}".replace("|", "/")
    return "a map"


def _grad_cam_of_signal(model: nn.Module, x: Tensor) -> None:
    import pytorch_grad_cam  # noqa: PLC0415 - a peer is loaded when its turn comes

    with pytorch_grad_cam.GradCAM(model, [model[1]]) as cam:
        cam(x, None)


def _score_cam_of_signal(model: nn.Module, x: Tensor) -> None:
    from torchcam.methods import ScoreCAM  # noqa: PLC0415 - a peer is loaded when its turn comes

    with torch.no_grad(), ScoreCAM(model, LAYER) as extract:
        extract(TARGET, model(x))


def complete() -> tuple[float, float]:
    """The sum of SignalCAM's full-grad and the score."""
    model, x = network(), torch.randn(1, 3, 32, 32)
    exp = sc.explain(model, x, layer=LAYER, method="full-grad", target=TARGET, signed=True)
    return float(exp.maps.sum()), float(exp.scores[0, 0])


def guided() -> bool:
    """Whether the very rectifiers of a model are there after guided backpropagation by grad-cam."""
    from pytorch_grad_cam import GuidedBackpropReLUModel  # noqa: PLC0415 - a peer is loaded when its turn comes

    model: Any = network()

    def before() -> list[int]:
        return [id(each) for each in model.modules() if isinstance(each, nn.ReLU)]

    first = before()
    GuidedBackpropReLUModel(model)(torch.randn(1, 3, 32, 32), TARGET)
    return before() == first


if __name__ == "__main__":
    main()
