"""A method's maps averaged over transformed copies of the input."""

import numpy as np
import pytest
import torch
from torch import nn

import signalcam as sc
from signalcam.attribution.augmentation import Flip, GaussianNoise, Scale, Shift

SINGLE = 2e-5  # float32, of the largest value: sums in another order
pytestmark = pytest.mark.filterwarnings("ignore:.*all zero because:signalcam.CamWarning")


def chain(stride=1):
    """Unpadded, pooled, linear: what a shift of the input moves, it does not change."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv1d(2, 4, 5, stride=stride),
        nn.ReLU(),
        nn.Conv1d(4, 5, 3),
        nn.ReLU(),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(5, 3),
    ).eval()


def picture():
    """The same for images, told apart by where things lie: a linear layer over all positions."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 12 * 10, 3))


def signal(length=80, batch=3):
    return torch.randn(batch, 2, length, generator=torch.Generator().manual_seed(1))


def image():
    return torch.randn(3, 2, 12, 10, generator=torch.Generator().manual_seed(1))


def maps(method, model=None, x=None, **options):
    """Signed maps at the input, ``(sample, *positions)``."""
    options = {"target": 1, "layer": "1", "signed": True} | options
    exp = sc.explain(chain() if model is None else model, signal() if x is None else x, method=method, **options)
    return exp.maps.values[:, 0, 0, 0]


def close(found, wanted, tolerance=SINGLE):
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * np.abs(wanted).max())


NOTHING = {
    "no transform": [],
    "scale by 1": Scale(1),
    "no shift": Shift(0),
    "no noise": GaussianNoise(2, 0.0),
    "all of them": [Shift(0), Scale(1.0), GaussianNoise(1, 0)],
}


@pytest.mark.parametrize("transforms", NOTHING.values(), ids=NOTHING)
@pytest.mark.parametrize("method", ["grad-cam", "eigen-cam", "ablation-cam", "guided-grad-cam", sc.PerChannel()])
def test_transforms_that_change_nothing_give_the_method_itself(method, transforms):
    close(maps(sc.Augment(method, transforms)), maps(method))


def test_map_is_the_mean_over_the_clean_input_and_scaled_copies():
    model, x = picture(), image()
    found = maps(sc.Augment("hires-cam", [Scale(0.5), Scale(3.0)]), model, x)
    wanted = sum(maps("hires-cam", model, factor * x) for factor in (1, 0.5, 3)) / 3
    close(found, wanted)


def test_map_that_was_not_moved_stays_at_the_layer():
    exp = sc.explain(chain(), signal(), layer="1", method=sc.Augment("grad-cam", Scale(0.9)))
    assert exp.native().shape[-1] == 76
    exp = sc.explain(chain(), signal(), layer="1", method=sc.Augment("grad-cam"))
    assert exp.native().shape[-1] == 80


@pytest.mark.parametrize("stride", [1, 4])
@pytest.mark.parametrize("method", ["grad-cam", "mean-activation", "input-energy"])
def test_shifts_by_whole_positions_leave_the_map_in_its_place(stride, method):
    """Away from the borders the mean is the very map, so its peaks have not been smeared."""
    model, x = chain(stride), signal()
    found = maps(sc.Augment(method, [Shift(4), Shift(-8)]), model, x, layer="3")
    inside = slice(8 + 13, -8 - 13)  # what was held, and the field of a position
    plain = maps(method, model, x, layer="3")
    close(found[:, inside], plain[:, inside])
    assert not np.allclose(found, plain, atol=0.01 * np.abs(plain).max())  # at the borders


def test_shifted_input_holds_its_ends():
    model, x = picture(), image()
    later = torch.cat([x[:, :, :1].expand(-1, -1, 3, -1), x[:, :, :-3]], dim=2)
    earlier = torch.cat([x[..., 2:], x[..., -1:].expand(-1, -1, -1, 2)], dim=-1)
    found = maps(sc.Augment("hires-cam", [Shift(3, "height"), Shift(-2)]), model, x)
    one, two = maps("hires-cam", model, later), maps("hires-cam", model, earlier)
    one = np.concatenate([one[:, 3:], one[:, -1:].repeat(3, 1)], axis=1)
    two = np.concatenate([two[..., :1].repeat(2, -1), two[..., :-2]], axis=-1)
    close(found, (maps("hires-cam", model, x) + one + two) / 3)


def test_shift_follows_the_axis_called_time():
    model, x = picture(), image()
    layout = "batch channel time frequency"
    found = maps(sc.Augment("hires-cam", Shift(2)), model, x, layout=layout)
    close(found, maps(sc.Augment("hires-cam", Shift(2, "time")), model, x, layout=layout))
    close(found, maps(sc.Augment("hires-cam", Shift(2, "height")), model, x))


@pytest.mark.parametrize("method", ["hires-cam", "input-energy", sc.PerChannel("hires-cam")])
@pytest.mark.parametrize(("axis", "number"), [("width", -1), ("height", -2)])
def test_mirrored_images_are_mirrored_back(method, axis, number):
    model, x = picture(), image()
    found = maps(sc.Augment(method, Flip(axis)), model, x)
    mirrored = np.flip(maps(method, model, x.flip(number)), number)
    close(found, (maps(method, model, x) + mirrored) / 2)


def test_copies_are_asked_about_the_class_of_the_clean_sample():
    model, x = picture(), image()
    classes = model(x).argmax(1)
    far = [GaussianNoise(3, 2.0, seed=5), Flip("width")]
    noisy = x + 2 * torch.randn(x.shape, generator=torch.Generator().manual_seed(9))
    assert (model(noisy).argmax(1) != classes).any()
    found = maps(sc.Augment("hires-cam", far), model, x, target="predicted")
    close(found, maps(sc.Augment("hires-cam", far), model, x, target=sc.PerSample(classes.tolist())))


def test_noise_repeats_by_its_seed_and_leaves_every_random_state_alone():
    model = chain()
    before = torch.get_rng_state().clone(), np.random.get_state()[1].copy()  # noqa: NPY002 - the global one is meant
    once, again, other = (
        maps(sc.Augment("hires-cam", GaussianNoise(2, 0.5, seed)), model, batch_size=size)
        for seed, size in ((3, 1), (3, 3), (4, 3))
    )
    close(once, again)
    assert np.abs(other - once).max() > 0.01 * np.abs(once).max()
    assert torch.equal(before[0], torch.get_rng_state())
    np.testing.assert_array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002 - the global one is meant


@pytest.mark.parametrize("x", [signal(), image()], ids=["signal", "image"])
def test_default_makes_sense_for_signals_and_images(x):
    model = chain() if x.ndim == 3 else picture()
    exp = sc.explain(model, x, layer="1", method=[sc.Augment(), "grad-cam"], target=1)
    assert exp.methods[0] == "augmented grad-cam"
    one, other = (exp.maps.values[:, 0, i].reshape(3, -1) for i in (0, 1))
    assert min(np.corrcoef(*pair)[0, 1] for pair in zip(one, other, strict=True)) > 0.7


def test_methods_around_methods_go_around_each_other():
    close(maps(sc.Augment(sc.Smooth("grad-cam", n=1, noise=0), [])), maps("grad-cam"))
    close(maps(sc.Smooth(sc.Augment("grad-cam", Shift(2)), n=1, noise=0)), maps(sc.Augment("grad-cam", Shift(2))))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: Flip("time"), "along 'height' or 'width', and not along 'time'"),
        (lambda: Flip("channel"), "not along 'channel'"),
        (lambda: Shift(0.5), "whole number of samples"),
        (lambda: Shift(3, "channel"), "'channel' has none"),
        (lambda: Scale(0), "above 0"),
        (lambda: Scale(float("nan")), "above 0"),
        (lambda: GaussianNoise(0), "at least 1 copy"),
        (lambda: sc.Augment("grad-cam", "flip"), "'flip' is no transform; give Shift"),
        (lambda: sc.Augment("grad-cam", [Shift(1), 3]), "3 is no transform"),
        (lambda: sc.Augment("gradcamm"), "Nearest: 'grad-cam'"),
    ],
)
def test_transforms_that_make_no_sense_are_refused_at_once(wrong, message):
    with pytest.raises(sc.MethodError, match=message) as caught:
        wrong()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("transform", "layout", "message"),
    [
        (Flip("width"), None, "Flip needs an axis 'width', and the input has batch, channel, time"),
        (Flip("height"), "batch channel time", "Flip needs an axis 'height'"),
        (Shift(2, "width"), None, "Shift needs an axis 'width'"),
        (Shift(-80), None, r"Shift\(-80\) leaves nothing of an axis of 80 samples"),
    ],
)
def test_axes_that_the_input_does_not_have_are_refused(transform, layout, message):
    with pytest.raises(sc.MethodError, match=message):
        maps(sc.Augment("grad-cam", transform), layout=layout)
