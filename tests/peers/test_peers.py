"""Metrics equal to other libraries' where those are right, and what happens where they are not.

Run by ``nox -s oracles``, in an environment of its own (see requirements.txt).
"""

import sys
from contextlib import nullcontext
from types import ModuleType

import numpy as np
import pytest
import torch

import signalcam as sc
from signalcam.metrics.interpolation import interpolate_removed

for name, wanted in {
    "torchvision": (),
    "torchvision.transforms": ("Compose", "Normalize", "ToTensor"),
    "torchvision.transforms.functional": ("resize",),
}.items():
    # grad-cam imports these names at once, and uses none of them for what is compared here
    sys.modules[name] = ModuleType(name)
    vars(sys.modules[name]).update(dict.fromkeys(wanted))

import quantus  # noqa: E402 - after the names that grad-cam looks for
from pytorch_grad_cam.metrics.perturbation_confidence import RemoveMostRelevantFirst  # noqa: E402
from pytorch_grad_cam.metrics.road import NoisyLinearImputer  # noqa: E402
from torchcam.metrics import ClassificationMetric, DeletionInsertionMetric  # noqa: E402

QUIET = {"disable_warnings": True, "display_progressbar": False}
LENGTH, STEPS = 40, 10
SAME = 1e-6  # sums of float32 in another order
pytestmark = [
    pytest.mark.filterwarnings("ignore::signalcam.CamWarning"),
    pytest.mark.filterwarnings("ignore:::quantus"),
    pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning"),  # grad-cam's
]


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv1d(1, 6, 5, padding=2),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(6 * LENGTH, 3),
    ).eval()


@pytest.fixture(scope="module")
def exp(network):
    """Signed maps of one channel, so that no two values tie."""
    x = np.random.default_rng(0).standard_normal((5, 1, LENGTH)).astype(np.float32)
    return sc.explain(network, x, layer="1", method="hires-cam", signed=True)


@pytest.fixture(scope="module")
def truth():
    masks = np.zeros((5, LENGTH), bool)
    for row, start in zip(masks, (3, 8, 15, 22, 30), strict=True):
        row[start : start + 6] = True
    return masks


def by_quantus(metric, network, exp, a, **more):
    return metric(
        model=network,
        x_batch=exp.input.copy(),
        y_batch=exp.classes.copy(),
        a_batch=a.copy(),
        channel_first=True,
        device="cpu",
        **more,
    )


def maps(exp):
    return exp.maps.values[:, 0, 0, 0]


def ours(exp, network, metric, **options):
    found = sc.metrics.evaluate(exp, network, metric, window=1, steps=STEPS, baselines=[], **options)
    return found["value"].values[0, :, 0, 0, 0]


# --- equal ---------------------------------------------------------------------------------------


def test_gini_and_entropy_equal_quantus(network, exp):
    options = {"abs": True, "normalise": False, **QUIET}
    a = maps(exp)[:, None]
    sparse = by_quantus(quantus.Sparseness(**options), network, exp, a)
    spread = by_quantus(quantus.Complexity(**options), network, exp, a)
    # theirs adds 1e-7 to every value before it sorts
    np.testing.assert_allclose(ours(exp, network, "gini"), sparse, atol=5e-6)
    np.testing.assert_allclose(ours(exp, network, "entropy"), np.divide(spread, np.log(LENGTH)), atol=SAME)


@pytest.mark.parametrize(
    ("name", "peer", "options"),
    [
        ("pointing-game", quantus.PointingGame, {}),
        ("mass-accuracy", quantus.RelevanceMassAccuracy, {}),
        ("rank-accuracy", quantus.RelevanceRankAccuracy, {}),
        ("top-k", quantus.TopKIntersection, {"k": 8}),
    ],
)
def test_localisation_equals_quantus(network, exp, truth, name, peer, options):
    positive = np.maximum(maps(exp), 0)[:, None]
    metric = peer(abs=False, normalise=False, **options, **QUIET)
    theirs = by_quantus(metric, network, exp, positive, s_batch=truth[:, None])
    mine = sc.metrics.localisation(exp, truth, name, top=8 / LENGTH)[name].values.ravel()
    np.testing.assert_allclose(mine, np.asarray(theirs, float), atol=SAME)


def test_deletion_curve_equals_pixel_flipping_of_quantus(network, exp):
    metric = quantus.PixelFlipping(
        features_in_step=LENGTH // STEPS, perturb_baseline=0.0, abs=False, normalise=False, **QUIET
    )
    theirs = by_quantus(metric, network, exp, maps(exp)[:, None], softmax=True)
    found = sc.metrics.evaluate(exp, network, "deletion", window=1, steps=STEPS, baselines=[])
    curve = found["curve_score"].values[0, :, 0, 0, 0]
    np.testing.assert_allclose(curve[:, 1:], theirs, atol=SAME)  # theirs begins after the first step


class Handed:
    """What torchcam asks for maps, handing out known ones."""

    def __init__(self, model, values):
        self.model, self.values = model, torch.as_tensor(values)

    def __call__(self, *_given, **_named):
        return [self.values]

    def fuse_cams(self, cams):
        return cams[0]

    def _hooks_off(self):
        return nullcontext()


def softmax(scores):
    return torch.softmax(scores, -1)


def test_deletion_and_insertion_equal_torchcam_to_all_digits(network, exp):
    metric = DeletionInsertionMetric(Handed(network, maps(exp)), softmax, steps=STEPS)
    metric.update(torch.as_tensor(exp.input))
    theirs = metric.summary()
    insertion = sc.metrics.find("insertion", imputer="zero")
    assert ours(exp, network, "deletion").mean() == pytest.approx(theirs["deletion_auc"], abs=1e-7)
    assert ours(exp, network, insertion).mean() == pytest.approx(theirs["insertion_auc"], abs=1e-7)


def test_drop_and_increase_equal_torchcam(network, exp):
    a = np.maximum(maps(exp), 0)
    metric = ClassificationMetric(Handed(network, a / a.max(axis=1, keepdims=True)), softmax)
    metric.update(torch.as_tensor(exp.input))
    theirs = metric.summary()
    plain = sc.explain(network, exp.input, layer="1", method="hires-cam")
    assert ours(plain, network, "average-drop").mean() == pytest.approx(theirs["avg_drop"], abs=SAME)
    assert ours(plain, network, "increase-in-confidence").mean() == theirs["conf_increase"]


@pytest.mark.parametrize("shape", [(3, 1, 50), (3, 20, 24)], ids=["signal", "image"])
def test_linear_interpolation_equals_the_imputer_of_grad_cam_without_noise(shape):
    rng = np.random.default_rng(1)
    x, known = rng.standard_normal(shape).astype(np.float32), rng.random(shape[1:]) > 0.7
    known[:, 0] = True
    theirs = NoisyLinearImputer(noise=0)(torch.as_tensor(x), torch.as_tensor(known.astype(np.float32)))
    np.testing.assert_allclose(interpolate_removed(x, known), theirs.numpy(), atol=1e-5)


# --- not equal, and why --------------------------------------------------------------------------


def test_road_of_quantus_fails_on_a_signal_of_several_channels(network, exp):
    wide = torch.nn.Sequential(torch.nn.Conv1d(3, 1, 1), network)
    x, a = np.repeat(exp.input, 3, axis=1), maps(exp)[:, None]
    with pytest.raises(IndexError):
        quantus.ROAD(percentages=[10, 50], **QUIET)(
            model=wide, x_batch=x, y_batch=exp.classes, a_batch=a, channel_first=True, device="cpu"
        )


def test_pointing_game_of_quantus_counts_an_empty_truth_as_found(network, exp, truth):
    metric = quantus.PointingGame(abs=False, normalise=False, **QUIET)
    none = np.zeros_like(truth)[:, None]
    assert all(by_quantus(metric, network, exp, maps(exp)[:, None], s_batch=none))
    with pytest.raises(sc.InputError, match="is empty"):
        sc.metrics.localisation(exp, none[:, 0], "pointing-game")


def test_black_of_quantus_is_the_least_value_of_a_sample_and_not_zero(network, exp):
    found = [
        by_quantus(
            quantus.PixelFlipping(features_in_step=LENGTH, perturb_baseline=each, abs=False, normalise=False, **QUIET),
            network,
            exp,
            maps(exp)[:, None],
            softmax=True,
        )
        for each in ("black", 0.0)
    ]
    least = np.broadcast_to(exp.input.min(axis=(1, 2), keepdims=True), exp.input.shape).copy()
    with torch.no_grad():
        wanted = softmax(network(torch.as_tensor(least))).numpy()[np.arange(5), exp.classes]
    np.testing.assert_allclose(np.ravel(found[0]), wanted, atol=SAME)
    assert np.abs(np.subtract(*found)).max() > 0.01


@pytest.mark.parametrize("percentile", [50, 90])
def test_road_of_grad_cam_removes_everything_where_half_of_a_map_is_zero(percentile):
    a = np.maximum(np.random.default_rng(0).standard_normal((16, 16)), 0).astype(np.float32)
    seen = []
    imputer = lambda x, mask: seen.append(float((mask == 0).float().mean())) or x  # noqa: E731
    RemoveMostRelevantFirst(100 - percentile, imputer)(torch.zeros(1, 16, 16), torch.as_tensor(a))
    assert (a == 0).mean() > 0.45
    assert seen == [1.0]
