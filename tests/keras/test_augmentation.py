"""Averages over transformed inputs on Keras: channels last, and mirrored as an image is."""

import keras
import numpy as np
import pytest
from keras import layers

import signalcam as sc
from signalcam.attribution.augmentation import Flip, GaussianNoise, Scale, Shift

SINGLE = 1e-4  # float32, of the largest value


def network(shape):
    conv = layers.Conv1D if len(shape) == 2 else layers.Conv2D
    return keras.Sequential(
        [
            layers.Input(shape),
            conv(4, 3, padding="same", activation="relu", name="one"),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )


def maps(model, x, method, **options):
    exp = sc.explain(model, x, layer="one", method=method, target=1, signed=True, **options)
    return exp.maps.values[:, 0, 0, 0]


def close(found, wanted):
    np.testing.assert_allclose(found, wanted, rtol=0, atol=SINGLE * np.abs(wanted).max())


@pytest.mark.parametrize("method", ["hires-cam", "ablation-cam", "input-energy"])
def test_signals_are_moved_scaled_and_brought_back(method, x):
    model = network((24, 2))
    found = maps(model, x, sc.Augment(method, [Shift(3), Scale(0.5)]))
    later = maps(model, np.concatenate([x[:, :1].repeat(3, 1), x[:, :-3]], axis=1), method)
    later = np.concatenate([later[:, 3:], later[:, -1:].repeat(3, 1)], axis=1)
    close(found, (maps(model, x, method) + later + maps(model, x / 2, method)) / 3)


def test_images_are_mirrored_and_signals_are_not(x):
    model, image = network((12, 10, 2)), np.random.default_rng(0).standard_normal((3, 12, 10, 2))
    image = image.astype(np.float32)
    found = maps(model, image, sc.Augment("hires-cam", Flip("width")))
    mirrored = maps(model, image[:, :, ::-1].copy(), "hires-cam")[..., ::-1]
    close(found, (maps(model, image, "hires-cam") + mirrored) / 2)
    with pytest.raises(sc.MethodError, match="Flip needs an axis 'width'"):
        maps(network((24, 2)), x, sc.Augment("hires-cam", Flip("width")))


def test_default_and_noise_repeat(x):
    model, method = network((24, 2)), sc.Augment("hires-cam", [GaussianNoise(2, 0.3, 7), Shift(-1)])
    close(maps(model, x, method), maps(model, x, method, batch_size=1))
    assert np.isfinite(maps(model, x, sc.Augment())).all()
