"""What methods refuse, in words; their bars and seeds; and methods from outside the package."""

import numpy as np
import pytest
import torch
from torch import nn

import signalcam as sc
from signalcam.attribution import mask_search, perturbation, registry, smoothing
from signalcam.attribution.augmentation import GaussianNoise
from signalcam.attribution.gradient import kpca_cam, random_cam
from signalcam.attribution.registry import method

pytestmark = pytest.mark.filterwarnings("ignore:.*all zero because:signalcam.CamWarning")
AROUND = [sc.Smooth(), sc.PerChannel(), sc.Augment(), sc.Principal()]
EVERY = [*[each.name for each in sc.methods()], *AROUND]
READS_GRADIENT = [
    "cam",
    "eigen-grad-cam",
    "grad-cam",
    "grad-cam++",
    "grad-cam-elementwise",
    "group-cam",
    "guided-grad-cam",
    "hires-cam",
    "layer-cam",
    "lift-cam",
    "relevance-cam",
    "seg-xres-cam",
    "shapley-cam",
    "smooth-grad-cam++",
    "xgrad-cam",
    *AROUND,
]
AT_INPUT = [
    "full-grad",
    "group-cam",
    "guided-grad-cam",
    "is-cam",
    "opti-cam",
    "poly-cam",
    "score-cam",
    "smooth-grad-cam++",
    "ss-cam",
    sc.Smooth(),
    sc.PerChannel(),
    sc.Augment(),
    sc.Smooth("eigen-cam"),
]


class Rounds(nn.Module):
    def forward(self, x):
        return (10 * x).round().to(torch.int32)


class Network(nn.Module):
    """A convolution, a step on what it returns, a pooled and linear head."""

    def __init__(self, step, before=None):
        super().__init__()
        torch.manual_seed(0)
        self.before, self.conv, self.step = before, nn.Conv1d(2, 4, 3), step
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = x if self.before is None else self.before(x).movedim(1, 2)
        return self.head(self.step(self.conv(x)).float().mean(-1))


def signal():
    return torch.randn(2, 2, 30, generator=torch.Generator().manual_seed(1))


def maps(method, model=None, x=None, **options):
    model = Network(nn.ReLU()) if model is None else model
    options = {"layer": "step", "target": 1, "signed": True} | options
    return sc.explain(model, signal() if x is None else x, method=method, **options).maps.values


def told(error, *arguments, **options):
    """The message, in which each thing is said once and on one line."""
    with pytest.raises(error) as caught:
        maps(*arguments, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


# --- what a method needs --------------------------------------------------------------------------


def name_of(wanted):
    """A name that is alike in every process, which the address of a function is not."""
    return getattr(wanted, "name", str(wanted))


@pytest.mark.parametrize("wanted", EVERY, ids=name_of)
def test_layer_of_whole_numbers_is_refused(wanted):
    message = told(sc.ModelError, wanted, Network(Rounds()))
    assert "layer 'step' has no positions" in message
    assert "whole numbers" in message


@pytest.mark.parametrize("wanted", READS_GRADIENT, ids=name_of)
def test_layer_before_rounding_is_refused_where_its_gradient_is_read(wanted):
    message = told(sc.CamError, wanted, Network(Rounds()), layer="conv")
    assert "gave no gradient" in message or "reads the gradient" in message
    assert "Choose another" in message


@pytest.mark.parametrize("wanted", AT_INPUT, ids=name_of)
def test_whole_numbers_as_inputs_are_neither_masked_nor_differentiated(wanted):
    words, model = torch.randint(0, 9, (2, 30)), Network(nn.ReLU(), nn.Embedding(9, 2))
    message = told(sc.MethodError, wanted, model, words)
    assert "this one holds whole numbers (torch.int64)" in message
    assert "grad-cam or ablation-cam" in message


@pytest.mark.parametrize("wanted", ["grad-cam", "ablation-cam", "recipro-cam", "shapley-cam"])
def test_methods_of_the_layer_alone_take_whole_numbers_as_inputs(wanted):
    words, model = torch.randint(0, 9, (2, 30)), Network(nn.ReLU(), nn.Embedding(9, 2))
    assert maps(wanted, model, words, align="resize").any()


def test_network_without_rectifiers_has_no_guided_gradient():
    assert "needs rectifiers" in told(sc.MethodError, "guided-grad-cam", Network(nn.Tanh()))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            lambda: perturbation.score_cam(weighting="sofmax"),
            r"no weighting 'sofmax'. Nearest: 'softmax'",
        ),
        (lambda: perturbation.ss_cam(n=2.5), "steps is 2.5"),
        (lambda: perturbation.ss_cam(noise=float("nan")), "noise nan"),
        (lambda: perturbation.ss_cam(seed=-1), "seed -1"),
        (lambda: perturbation.is_cam(n=0), "steps is 0"),
        (lambda: perturbation.group_cam(groups=True), "groups is True"),
        (lambda: perturbation.group_cam(blur=float("inf")), "blur inf"),
        (lambda: mask_search.opti_cam(steps=0), "steps is 0"),
        (lambda: mask_search.opti_cam(rate=-0.1), "rate -0.1"),
        (lambda: smoothing.smooth_grad_cam_plus_plus(n=0), "n is 0"),
        (lambda: smoothing.seg_xres_cam(1.5), "window is 1.5"),
        (lambda: sc.Smooth(noise=float("inf")), "noise inf"),
        (lambda: sc.Smooth(seed=-1), "seed -1"),
        (lambda: GaussianNoise(seed=0.5), "seed 0.5"),
        (lambda: random_cam(-1), "seed is -1"),
        (lambda: kpca_cam(kernel="rfb"), "Nearest: 'rbf'"),
        (lambda: sc.Smooth("hirescamm"), "Nearest: 'hires-cam'"),
        (lambda: sc.Principal("eigencan"), "Nearest: 'eigen-cam'"),
        (lambda: sc.PerChannel("gradcan"), "Nearest: 'grad-cam'"),
    ],
)
def test_parameters_out_of_range_and_misspelt_names_are_told_at_once(wrong, message):
    with pytest.raises(sc.MethodError, match=message) as caught:
        wrong()
    assert "\n" not in str(caught.value)


# --- bars and seeds -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "unit"),
    [
        ("ablation-cam", "trial"),
        ("score-cam", "trial"),
        ("group-cam", "trial"),
        ("opti-cam", "step"),
        ("smooth-grad-cam++", "step"),
        (sc.Smooth(), "step"),
        (sc.Augment(), "step"),
    ],
)
def test_method_that_takes_its_time_shows_how_far_it_is(wanted, unit, capfd):
    maps(wanted)
    assert capfd.readouterr().err == ""
    maps(wanted, progress=True)
    shown = capfd.readouterr().err
    assert getattr(wanted, "name", wanted) in shown
    assert unit in shown


SEEDED = [perturbation.ss_cam, smoothing.smooth_grad_cam_plus_plus, random_cam, lambda seed: sc.Smooth(seed=seed)]


@pytest.mark.parametrize("seeded", SEEDED)
def test_seed_decides_and_nothing_else(seeded):
    model = Network(nn.Sequential(nn.Conv1d(4, 4, 3), nn.Tanh()))  # its gradients follow the noise
    options = {"layer": "conv", "target": [0, 2]}
    before = torch.get_rng_state().clone(), np.random.get_state()[1].copy()  # noqa: NPY002 - the global one is meant
    once = maps(seeded(seed=3), model, **options)
    torch.rand(3)
    np.random.random(3)  # noqa: NPY002 - the global one is meant
    moved = torch.get_rng_state().clone()
    again, other = (maps(seeded(seed=n), model, batch_size=1, **options) for n in (3, 4))
    size = np.abs(once).max()
    np.testing.assert_allclose(again, once, rtol=0, atol=1e-5 * size)
    assert np.abs(other - once).max() > 1e-3 * size
    assert torch.equal(torch.get_rng_state(), moved)
    assert not torch.equal(before[0], moved)


def test_factories_with_their_defaults_are_the_registered_methods():
    for made, name in (
        (smoothing.smooth_grad_cam_plus_plus(), "smooth-grad-cam++"),
        (mask_search.opti_cam(), "opti-cam"),
    ):
        np.testing.assert_array_equal(maps(made), maps(name))
    assert mask_search.opti_cam(steps=3).passes == "3 forward, 3 backward"
    assert smoothing.smooth_grad_cam_plus_plus(n=3).passes == "4 forward, 3 backward"


# --- from outside ---------------------------------------------------------------------------------


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setattr(registry, "_registry", dict(registry._registry))


@pytest.mark.usefixtures("registered")
def test_formula_from_outside_is_asked_for_by_name():
    @method("twice-cam", paper="none")
    def twice_cam(a, g):
        """Double what HiResCAM says."""
        return 2 * (a * g).sum(1)

    np.testing.assert_array_equal(maps("TwiceCAM"), 2 * maps("hires-cam"))
    np.testing.assert_array_equal(maps(sc.Smooth("twice-cam", n=1, noise=0)), maps("twice-cam"))


@pytest.mark.usefixtures("registered")
def test_plan_from_outside_is_asked_for_by_name():
    def keep(case):
        """Score every position by itself, twice."""
        return [2 * each for each in registry.find("recipro-cam").maps(case)]

    registry.register_planned("twice-recipro", keep, paper="none", passes="as recipro-cam")
    np.testing.assert_array_equal(maps("twice-recipro"), 2 * maps("recipro-cam"))
    assert "twice-recipro" in [each.name for each in sc.methods()]
