"""Figures look as they did when somebody last looked at them.

``SIGNALCAM_NEW_PICTURES=1 pytest tests/plot/test_looks.py`` draws ``tests/plot/baseline`` anew; look at what
changed before keeping it.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from matplotlib.testing.compare import compare_images

BASELINE = Path(__file__).parent / "baseline"
# root mean square over pixels and colours, of 255. Measured: leaving the heat out changes figures by 12 (line) to 35
# (heatmap), other letters by 9 to 20; the same versions give 0.
TOLERANCE = 6.0
DPI = 50


@pytest.fixture
def exp(make):
    """Three leads with a bump each, and evidence on the bump: shapes that depend on no random numbers."""
    exp = make(
        (3, 3, 300),
        "batch channel time",
        [1, 2],
        signed=True,
        sampling_rate=100,
        channel_names=["I", "II", "V1"],
        units="mV",
    )
    time = np.arange(300) / 100
    for sample in range(3):
        for lead in range(3):
            bump = np.exp(-(((time - 0.6 - 0.8 * lead - 0.1 * sample) / 0.1) ** 2))
            exp.input[sample, lead] = bump - 0.3 * bump[::-1]
            exp.layers[0].values[sample, :, :, lead] = bump - 0.5 * bump[::-1]
    return exp


def scores():
    share = np.linspace(0, 1, 11)
    curves = np.stack([[np.exp(-(2 + sample) * share), 1 - share] for sample in range(3)])
    return xr.DataArray(
        curves,
        {"cam": ["grad-cam", "random"], "share removed": share},
        ("sample", "cam", "share removed"),
        "probability",
    )


FIGURES = {
    "strip": lambda exp: exp.plot.signal(),
    "line": lambda exp: exp.plot.signal(style="line"),
    "area": lambda exp: exp.plot.signal(style="area", norm="own"),
    "heatmap": lambda exp: exp.plot.heatmap(),
    "ecg": lambda exp: exp.plot.ecg(),
    "compare": lambda exp: exp.plot.compare("target", channels=["II"]),
    "summary": lambda exp: exp.plot.summary(),
    "curve": lambda exp: exp.plot.curve(scores()),
}


@pytest.mark.parametrize("name", FIGURES)
def test_looks_as_before(name, exp, tmp_path):
    figure = FIGURES[name](exp)
    figure = figure if hasattr(figure, "savefig") else figure.figure
    figure.savefig(tmp_path / "now.png", dpi=DPI, metadata={"Software": None})
    if os.environ.get("SIGNALCAM_NEW_PICTURES"):
        BASELINE.mkdir(exist_ok=True)
        (BASELINE / f"{name}.png").write_bytes((tmp_path / "now.png").read_bytes())
    difference = compare_images(BASELINE / f"{name}.png", tmp_path / "now.png", TOLERANCE)
    assert difference is None, difference


@pytest.mark.parametrize("name", ["strip", "line", "area", "heatmap", "ecg", "compare"])
def test_a_figure_whose_heat_lies_elsewhere_would_not_pass(name, exp, tmp_path):
    exp.layers[0].values[:] *= 1e-6
    exp.layers[0].values[..., 0] = 1
    figure = FIGURES[name](exp)
    figure = figure if hasattr(figure, "savefig") else figure.figure
    figure.savefig(tmp_path / "now.png", dpi=DPI)
    assert compare_images(BASELINE / f"{name}.png", tmp_path / "now.png", TOLERANCE)
