"""Where the network's input lies in the raw signal, seen by nudging that."""

import numpy as np
import pytest

from signalcam.alignment.raw_to_network import AxisMap, average_axis, probe_axes
from signalcam.alignment.resampling import AxisGrid, resample


def windows(x, size, hop):
    return np.lib.stride_tricks.sliding_window_view(x, size, axis=-1)[:, ::hop]


def log_spectrogram(x):
    """Frames of 64, a hop of 20, not padded: (batch, frequency, frame)."""
    power = np.abs(np.fft.rfft(windows(x, 64, 20) * np.hanning(64), axis=-1)) ** 2
    return np.log(power + 1e-9).swapaxes(1, 2)


def standardised(x):
    return (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True)


def cepstra(x):
    """A centred, mean-normalised spectrogram turned by a cosine transform."""
    spectra = log_spectrogram(np.pad(x, ((0, 0), (32, 32)), mode="reflect"))
    turned = np.cos(np.pi / 33 * (np.arange(33) + 0.5) * np.arange(12)[:, None]) @ spectra
    return (turned - turned.mean(-1, keepdims=True))[:, None]


PREPARED = {
    "nothing": (lambda x: x[:, None], 600, 2, 0, 1),
    "standardised": (standardised, 600, 1, 0, 1),
    "a short one standardised": (standardised, 40, 1, 0, 1),
    "scaled by its range": (lambda x: (x - x.min(-1, keepdims=True)) / np.ptp(x, -1, keepdims=True), 600, 1, 0, 1),
    "scaled by its peak": (lambda x: x / np.abs(x).max(-1, keepdims=True), 600, 1, 0, 1),
    "cut out": (lambda x: x[:, 300:700], 1000, 1, 300, 1),
    "differences": (lambda x: np.diff(x, axis=-1), 600, 1, 0.5, 1),
    "means of 100": (lambda x: x.reshape(len(x), -1, 100).mean(-1), 1000, 1, 49.5, 100),
    "every third": (lambda x: x[:, ::3], 900, 1, 0, 3),
    "interpolated": (
        lambda x: np.stack([np.interp(np.arange(1500) / 2.5, np.arange(600), each) for each in x]),
        600,
        1,
        0,
        0.4,
    ),
    "log spectrogram": (log_spectrogram, 4000, 2, 31.5, 20),
    "cepstra": (cepstra, 4000, 3, 0, 20),
}


@pytest.mark.parametrize("name", PREPARED)
def test_the_line_from_prepared_to_raw_is_seen(name, rng):
    prepare, length, axis, start, jump = PREPARED[name]
    raw = rng.normal(scale=0.1, size=(1, length))
    link = probe_axes(prepare, raw, 1, range(1, prepare(raw).ndim))
    assert (link.raw_axis, link.input_axis) == (1, axis)
    assert link.jump == pytest.approx(jump, rel=0.002)
    assert link.start == pytest.approx(start, abs=max(0.6, 0.1 * jump))  # a tenth of a step


SHUFFLED = np.random.default_rng(0).permutation(600)


@pytest.mark.parametrize(
    "prepare",
    [
        lambda x: np.abs(np.fft.rfft(x, axis=-1)),
        lambda x: np.stack([x.mean(-1), x.std(-1), x.max(-1)], 1),
        lambda x: x[:, SHUFFLED],
        lambda x: np.zeros((len(x), 50)),
        lambda x: np.full((len(x), 50), np.nan),
        lambda x: x[:, ::-1],
    ],
)
def test_no_line_is_seen_where_there_is_none(prepare, rng):
    assert probe_axes(prepare, rng.normal(size=(1, 600)), 1, [1]) is None


def test_channels_are_seen_too(rng):
    raw = rng.normal(size=(1, 5, 600))
    link = probe_axes(lambda x: standardised(x).swapaxes(1, 2), raw, 1, [1, 2])
    assert (link.raw_axis, link.input_axis, link.start, link.jump) == (1, 2, 0, 1)


def test_what_an_entry_is_made_of_is_seen_about(rng):
    link = probe_axes(log_spectrogram, rng.normal(size=(1, 4000)), 1, [1, 2])
    assert 20 <= link.reach <= 64  # windows of 64 that fade to their ends


def test_a_layer_is_carried_to_the_raw_signal():
    carried = AxisMap(1, 2, 100.0, 10.0, 15.0).map_grid(AxisGrid(2, 5, 20, 1.5, 4.0, 8.0, probed=True), 400)
    assert carried == AxisGrid(1, 5, 400, 115.0, 40.0, 80.0, probed=True, first=85, last=305)


def test_maps_are_nothing_where_the_network_saw_nothing():
    grid = (AxisGrid(1, 3, 12, 3.0, 3.0, first=2, last=8), AxisGrid(2, 2, 4, 0.0, 3.0))
    full = resample(np.ones((1, 3, 2), np.float32), grid)
    assert full.dtype == np.float32
    assert full[0, :, 0].tolist() == [0, 0, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0]


def test_an_axis_is_averaged_as_if_interpolated_first(rng):
    maps, axis = rng.normal(size=(2, 1, 1, 4, 6)), AxisGrid(2, 6, 30, -2.0, 5.5)
    here = average_axis(maps, 4, axis)
    np.testing.assert_allclose(here, resample(maps, (axis,)).mean(-1))
