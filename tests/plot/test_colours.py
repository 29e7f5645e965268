"""The colours can be read by everybody: in order of lightness, with colour-vision deficiency, and in grey."""

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.colors import to_rgb

from signalcam.plot.curves import COLOURS
from signalcam.plot.map_view import DARK_TO_LIGHT, DIVERGING, LIGHT_TO_DARK

# Machado, Oliveira and Fernandes 2009, "A Physiologically-based Model for Simulation of Color Vision Deficiency",
# IEEE TVCG 15(6), doi:10.1109/TVCG.2009.113: the matrices of severity 1, for linear RGB.
MACHADO = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
TOLD_APART = 20  # CIE76: 2.3 is just noticeable side by side; far enough to be told apart across a figure
LIGHTNESS = 15  # L*: grey shades that are told apart across a figure


def linear(rgb):
    """From sRGB to linear light, IEC 61966-2-1."""
    rgb = np.asarray(rgb, float)
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(light):
    """From linear sRGB to CIE L*a*b*, white point D65."""
    to_xyz = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    )
    x, y, z = np.moveaxis(np.asarray(light) @ to_xyz.T / to_xyz.sum(axis=1), -1, 0)
    fx, fy, fz = (np.where(v > (6 / 29) ** 3, np.cbrt(v), v / (3 * (6 / 29) ** 2) + 4 / 29) for v in (x, y, z))
    return np.stack([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)], axis=-1)


def table(name):
    return linear(colormaps[name](np.linspace(0, 1, 256))[:, :3])


def seen_with(deficiency, light):
    return np.clip(np.asarray(light) @ np.array(MACHADO[deficiency]).T, 0, 1)


def test_the_conversion_to_lab_gives_known_values():
    known = {
        (1, 1, 1): (100, 0, 0),
        (0, 0, 0): (0, 0, 0),
        (1, 0, 0): (53.24, 80.09, 67.20),
        (0, 0, 1): (32.30, 79.19, -107.86),
    }
    for rgb, expected in known.items():
        np.testing.assert_allclose(lab(linear(rgb)), expected, atol=0.02)


@pytest.mark.parametrize("deficiency", MACHADO)
def test_white_and_grey_are_the_same_to_everybody(deficiency):
    np.testing.assert_allclose(np.sum(MACHADO[deficiency], axis=1), 1, atol=2e-6)


@pytest.mark.parametrize("name", [LIGHT_TO_DARK, DARK_TO_LIGHT])
@pytest.mark.parametrize("deficiency", [None, *MACHADO])
def test_more_heat_is_always_darker_or_always_lighter(name, deficiency):
    light = table(name) if deficiency is None else seen_with(deficiency, table(name))
    steps = np.diff(lab(light)[:, 0])
    sign = -1 if name == LIGHT_TO_DARK else 1
    assert (sign * steps > -0.02).all()  # colours are stored in 256 steps
    assert sign * steps.sum() > 60


def test_jet_would_fail():
    steps = np.diff(lab(table("jet"))[:, 0])
    assert (steps > 0.02).any()
    assert (steps < -0.02).any()


@pytest.mark.parametrize("name", [DIVERGING, "PuOr_r"])
@pytest.mark.parametrize("deficiency", [None, *MACHADO])
@pytest.mark.parametrize("share", [0.1, 0.25])  # of the scale, from either end
def test_for_and_against_are_told_apart(name, deficiency, share):
    ends = table(name)[[int(share * 255), 255 - int(share * 255)]]
    against, towards = lab(ends if deficiency is None else seen_with(deficiency, ends))
    assert np.linalg.norm(against - towards) > TOLD_APART


@pytest.mark.parametrize("name", [DIVERGING, "PuOr_r"])
def test_in_grey_more_of_either_kind_is_darker(name):
    lightness = lab(table(name))[:, 0]
    assert (np.diff(lightness[:120]) > -0.02).all()
    assert (np.diff(lightness[136:]) < 0.02).all()


def test_in_grey_only_the_other_diverging_map_tells_for_from_against():
    """What is balanced about zero cannot differ in grey: so the documentation names a map for grey printers."""
    first, last = lab(table(DIVERGING))[[0, -1], 0]
    assert abs(first - last) < 1
    first, last = lab(table("PuOr_r"))[[0, -1], 0]
    assert abs(first - last) > LIGHTNESS


@pytest.mark.parametrize("deficiency", [None, *MACHADO])
def test_the_first_four_curves_are_told_apart(deficiency):
    light = linear([to_rgb(colour) for colour in COLOURS[:4]])
    colours = lab(light if deficiency is None else seen_with(deficiency, light))
    apart = [np.linalg.norm(colours[i] - colours[j]) for i in range(4) for j in range(i)]
    assert min(apart) > TOLD_APART
