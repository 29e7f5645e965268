"""Where maps are put: receptive fields of real networks, measured, against arithmetic by hand."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - as everybody calls it
from torch import nn

import signalcam as sc
from signalcam.alignment.resampling import AxisGrid

LENGTH = 1000
TOLERANCE = 1e-5  # of a map's largest value: float32 in another order of operations


def conv(kernel, stride=1, padding=0, dilation=1, channels=4, inputs=4):
    return nn.Conv1d(inputs, channels, kernel, stride, padding, dilation)


def stack(*layers):
    return nn.Sequential(*layers)


def stem(kernel, **options):
    return conv(kernel, inputs=2, **options)


def tcn():
    """Dilations 1, 2, 4, 8, padded by (k - 1) d on both sides, as in many TCNs before trimming."""
    dilations = [(1, 2), (2, 4), (4, 4), (8, 4)]
    return stack(*(conv(3, 1, 2 * d, d, inputs=2 if d == 1 else c) for d, c in dilations))


STACKS = {  # cells, start, jump, field for 1000 samples
    "3 conv k15": (lambda: stack(stem(15), nn.ReLU(), conv(15), nn.ReLU(), conv(15)), 958, 21, 1, 43),
    "3 conv k15 s2": (
        lambda: stack(stem(15, stride=2), nn.ReLU(), conv(15, 2), nn.ReLU(), conv(15, 2)),
        113,
        49,
        8,
        99,
    ),
    "2 (conv k9 + maxpool 4)": (
        lambda: stack(stem(9), nn.ReLU(), nn.MaxPool1d(4), conv(9), nn.ReLU(), nn.MaxPool1d(4)),
        60,
        27.5,
        16,
        56,
    ),
    "TCN": (tcn, 1030, -15, 1, 31),
    "3 conv k7 s2 p3": (
        lambda: stack(stem(7, stride=2, padding=3), nn.ReLU(), conv(7, 2, 3), nn.ReLU(), conv(7, 2, 3)),
        125,
        0,
        8,
        43,
    ),
    "3 conv k7 p3": (
        lambda: stack(stem(7, padding=3), nn.ReLU(), conv(7, 1, 3), nn.ReLU(), conv(7, 1, 3)),
        1000,
        0,
        1,
        19,
    ),
    "same, even kernel": (lambda: stack(stem(4, padding="same")), 1000, 0.5, 1, 4),
    "causal": (lambda: stack(nn.ConstantPad1d((8, 0), 0.0), stem(5, dilation=2)), 1000, -4, 1, 9),
    "dilated, strided": (lambda: stack(stem(3, stride=3, dilation=5)), 330, 5, 3, 11),
    "average pooling": (lambda: stack(stem(3), nn.AvgPool1d(5)), 199, 3, 5, 7),
    "batch norm, GELU": (
        lambda: stack(stem(5), nn.BatchNorm1d(4), nn.GELU(), conv(5, 2)),
        496,
        4,
        2,
        9,
    ),
}


class Pooled(nn.Module):
    """Explains ``net`` through an average over all positions."""

    def __init__(self, net, width=4):
        super().__init__()
        self.net, self.head = net, nn.Linear(width, 3)

    def forward(self, x):
        return self.head(self.net(x).flatten(2).mean(2))


def noise(*shape):
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


def explain(model, x, layer="net", **options):
    return sc.explain(model.eval(), x, layer=layer, target=1, signed=True, **options)


def grid(model, x, **options):
    return explain(model, x, **options).layers[0].grid


# --- receptive fields ----------------------------------------------------------------------------


# PyTorch remarks that padding an even kernel to the same length copies the input
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@pytest.mark.parametrize(("make", "cells", "start", "jump", "field"), STACKS.values(), ids=STACKS)
def test_positions_lie_where_arithmetic_puts_them(make, cells, start, jump, field):
    (axis,) = grid(Pooled(make()), noise(2, 2, LENGTH))
    assert axis == AxisGrid(2, cells, LENGTH, start, jump, field, probed=True)


def test_transposed_convolution_is_measured_to_within_the_step_its_neighbours_share():
    net = stack(stem(4, stride=4), nn.ConvTranspose1d(4, 4, 2, stride=2))
    (axis,) = grid(Pooled(net), noise(2, 2, LENGTH))
    wanted = 0.5 + 2 * np.arange(500)  # neighbours share one step of four samples
    assert axis.probed
    assert np.abs(axis.centres - wanted).max() <= 4


def test_image_with_different_strides_along_its_axes_is_measured_exactly():
    net = stack(nn.Conv2d(2, 4, (5, 3), (2, 1)), nn.ReLU(), nn.Conv2d(4, 4, (3, 3), (2, 2), (1, 0)))
    rows, columns = grid(Pooled(net), noise(2, 2, 60, 50))
    # rows: 5/2 then 3/2 padded by 1; columns: 3/1 then 3/2
    assert rows == AxisGrid(2, 14, 60, 2 + (1 - 1) * 2, 4, 5 + 2 * 2, probed=True)
    assert columns == AxisGrid(3, 23, 50, 1 + 1, 2, 3 + 2, probed=True)


def test_volume_with_different_strides_along_its_axes_is_measured_exactly():
    net = stack(nn.Conv3d(2, 4, (1, 3, 5), (1, 2, 3)), nn.ReLU(), nn.Conv3d(4, 4, 3, padding=1))
    axes = grid(Pooled(net), noise(2, 2, 12, 24, 32))
    lines = [(each.input_axis, each.start, each.jump, each.field) for each in axes]
    assert lines == [(2, 0, 1, 3), (3, 1, 2, 7), (4, 2, 3, 11)]
    assert all(each.probed for each in axes)


def test_pooled_middle_layer_of_a_deep_network_is_measured_exactly():
    layers = [stem(7, stride=2, padding=3), nn.ReLU()]
    for _ in range(4):
        layers += [conv(3, 1, 1), nn.ReLU(), nn.MaxPool1d(2)]
    (axis,) = grid(Pooled(stack(*layers)), noise(2, 2, 2000))
    # each stage: 2 j for the convolution, then j for the pool, whose centre moves by j / 2
    assert (axis.start, axis.jump, axis.field) == (15, 32, 7 + sum(3 * j for j in (2, 4, 8, 16)))


# --- axes in any order ---------------------------------------------------------------------------


class Rearranged(Pooled):
    """Turns its input into ``(batch, channel, time)`` itself."""

    def __init__(self, turn, inputs):
        net = stack(conv(5, inputs=inputs), nn.ReLU(), conv(3, 2))
        super().__init__(net)
        self.turn = turn

    def forward(self, x):
        return super().forward(self.turn(x))


@pytest.mark.parametrize(
    ("shape", "turn", "inputs", "time"),
    [
        ((2, 300, 3), lambda x: x.transpose(1, 2), 3, 1),
        ((2, 300), lambda x: x[:, None], 1, 1),
        ((2, 300, 1), lambda x: x.reshape(len(x), 1, 300), 1, 1),
        ((2, 1, 300, 3), lambda x: x[:, 0].transpose(1, 2), 3, 2),
        ((2, 3, 1, 300), lambda x: x.squeeze(2), 3, 3),
    ],
    ids=[
        "batch time channel",
        "batch time",
        "batch time 1",
        "batch 1 time channel",
        "batch channel 1 time",
    ],
)
def test_time_is_found_wherever_the_input_has_it(shape, turn, inputs, time):
    exp = explain(Rearranged(turn, inputs), noise(*shape))
    assert exp.layers[0].grid == (AxisGrid(time, 147, 300, 3, 2, 7, probed=True),)
    assert exp.maps.dims[4:] == ("time",)
    assert exp.maps.shape[4:] == (300,)


def test_kernels_as_wide_as_the_channels_give_every_channel_the_same_map():
    net = stack(nn.Conv2d(1, 4, (5, 3)), nn.ReLU(), nn.Conv2d(4, 4, (3, 1), (2, 1)))
    exp = explain(Pooled(net), noise(2, 1, 300, 3), layout="batch _ time channel")
    assert exp.layers[0].grid[0] == AxisGrid(2, 147, 300, 3, 2, 7, probed=True)
    assert exp.maps.dims[4:] == ("time", "channel")
    assert (exp.maps == exp.maps.isel(channel=[0])).all()


def test_kernels_narrower_than_the_channels_leave_a_map_over_both():
    net = stack(nn.Conv2d(1, 4, (5, 2)), nn.ReLU(), nn.Conv2d(4, 4, (3, 1)))
    exp = explain(Pooled(net), noise(2, 1, 80, 6), layout="batch _ time channel")
    assert exp.maps.dims[4:] == ("time", "channel")
    lines = [(each.input_axis, each.start, each.jump, each.field) for each in exp.layers[0].grid]
    assert lines == [(2, 3, 1, 7), (3, 0.5, 1, 2)]


# --- layers that see far -------------------------------------------------------------------------


def test_field_longer_than_the_input_is_measured_on_a_longer_one():
    net = stack(stem(15), conv(15, 1, 7, 4), conv(15, 1, 7, 4))
    (axis,) = grid(Pooled(net), noise(2, 2, 120))
    assert (axis.jump, axis.field) == (1, 15 + 2 * 56)
    assert axis.start == 7 + 2 * (28 - 7)
    assert axis.probed


def test_flatten_head_does_not_hinder_measuring_on_a_longer_input():
    class Flat(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = stack(stem(15, padding=7), conv(15, 1, 28, 4), conv(15, 1, 28, 4))
            self.head = nn.Linear(4 * 120, 3)

        def forward(self, x):
            return self.head(self.net(x).flatten(1))

    (axis,) = grid(Flat(), noise(2, 2, 120))
    assert axis == AxisGrid(2, 120, 120, 0, 1, 15 + 2 * 56, probed=True)


class Gated(nn.Module):
    """Squeeze and excitation after a convolution: everything is seen a little."""

    def __init__(self):
        super().__init__()
        self.conv, self.gate = stem(9), nn.Sequential(nn.Linear(4, 2), nn.ReLU(), nn.Linear(2, 4))

    def forward(self, x):
        a = self.conv(x)
        return a * self.gate(a.mean(2)).sigmoid()[:, :, None]


def test_channel_gate_is_seen_through():
    (axis,) = grid(Pooled(Gated()), noise(2, 2, 400))
    assert axis == AxisGrid(2, 392, 400, 4, 1, 9, probed=True)


class Everywhere(nn.Module):
    """Each position is an average over the whole input, weighed by content."""

    def __init__(self):
        super().__init__()
        self.conv, self.attention = (
            stem(3, padding=1),
            nn.MultiheadAttention(4, 1, batch_first=True),
        )

    def forward(self, x):
        a = self.conv(x).transpose(1, 2)
        return self.attention(a, a, a)[0].transpose(1, 2)


def test_layer_that_sees_everything_is_spread_evenly_with_a_warning():
    with pytest.warns(sc.CamWarning, match=r"'net.*spread evenly.*align='resize'") as caught:
        exp = explain(Pooled(Everywhere()), noise(2, 2, 100))
    assert len(caught) == 1
    assert exp.layers[0].grid == (AxisGrid(2, 100, 100, 0, 1),)


def test_resizing_is_asked_for_without_a_warning():
    exp = explain(Pooled(Everywhere()), noise(2, 2, 100), align="resize")
    assert exp.maps.shape[4:] == (100,)


def test_network_of_one_fixed_length_is_measured_at_that_length():
    class Fixed(Pooled):
        def forward(self, x):
            assert x.shape[2] == 200, "only 200 samples"
            return super().forward(x)

    (axis,) = grid(Fixed(stack(stem(9), nn.ReLU(), conv(9, 2))), noise(2, 2, 200))
    assert (axis.start, axis.jump, axis.field) == (8, 2, 17)


def test_silent_rectifiers_still_show_what_they_look_at():
    net = stack(stem(9), nn.ReLU(), conv(5, 2), nn.ReLU(inplace=True))
    net[0].bias.data.fill_(-2)  # hardly ever above zero
    net[2].bias.data.fill_(-2)
    with pytest.warns(sc.CamWarning, match="the gradient is zero"):
        (axis,) = grid(Pooled(net), noise(2, 2, 200))
    assert (axis.start, axis.jump, axis.field, axis.probed) == (6, 2, 13, True)


# a silent input gives a map without a place, which is warned of elsewhere
@pytest.mark.filterwarnings("ignore:.*the same everywhere:signalcam.CamWarning")
def test_measuring_does_not_depend_on_the_values_of_the_input():
    for x in (
        noise(2, 2, 200),
        np.zeros((2, 2, 200)),
        1e4 + noise(2, 2, 200),
        1e-4 * noise(2, 2, 200),
    ):
        torch.manual_seed(0)
        (axis,) = grid(Pooled(stack(stem(9), nn.ReLU(), conv(5, 2))), x)
        assert (axis.start, axis.jump, axis.field, axis.probed) == (6, 2, 13, True)


# --- from places to the map ----------------------------------------------------------------------


@pytest.mark.parametrize(("rank", "mode"), [(1, "linear"), (2, "bilinear"), (3, "trilinear")], ids=str)
def test_resizing_equals_that_of_pytorch(kit, rank, mode):
    net, x = kit.network(rank), kit.signal(rank=rank)
    exp = kit.explain(net, x, align="resize", target=1)
    native = torch.as_tensor(exp.native().values[:, 0])
    wanted = F.interpolate(native, size=x.shape[2:], mode=mode, align_corners=False)[:, 0]
    found = exp.maps.values[:, 0, 0, 0]
    assert np.abs(found - wanted.numpy()).max() < TOLERANCE * np.abs(found).max()


def test_each_value_lies_at_its_centre_and_between_them_is_a_straight_line():
    exp = explain(Pooled(stack(stem(9, stride=4))), noise(2, 2, 200))
    native, full = exp.native().values[:, 0, 0], exp.maps.values[:, 0, 0, 0]
    centres = exp.native()["time"].values
    np.testing.assert_array_equal(centres, 4 + 4 * np.arange(48))
    np.testing.assert_array_equal(full[:, 4:193:4], native)
    wanted = [np.interp(np.arange(200), centres, each) for each in native]
    np.testing.assert_allclose(full, wanted, rtol=1e-5, atol=1e-7)


def test_centres_are_told_in_seconds():
    layout = sc.Layout("batch channel time", sampling_rate=100)
    exp = explain(Pooled(stack(stem(9, stride=4))), noise(2, 2, 200), layout=layout)
    np.testing.assert_allclose(exp.native()["time"][:3], [0.04, 0.08, 0.12])
    assert exp.native()["time"].attrs["units"] == "s"


def hann(inputs, kernel, stride=1):
    """A convolution that averages with a positive bell."""
    layer = nn.Conv1d(inputs, 1, kernel, stride, bias=False)
    layer.weight.data[:] = torch.as_tensor(np.hanning(kernel + 2)[1:-1], dtype=torch.float32)
    return layer


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("place", [95, 200, 301])
def test_map_of_an_impulse_peaks_at_the_impulse(stride, place):
    net = stack(hann(1, 15, stride), nn.ReLU(), hann(1, 15, stride), nn.ReLU(), hann(1, 15, stride))
    model = Pooled(net, width=1)
    model.head.weight.data.fill_(1)
    x = np.zeros((1, 1, 400), np.float32)
    x[0, 0, place] = 1
    exp = explain(model, x)
    jump = stride**3
    assert abs(int(exp.maps.values.argmax()) - place) <= jump / 2
    resized = explain(model, x, align="resize").maps.values.argmax()
    assert stride == 1 or place == 200 or abs(int(resized) - place) > jump / 2
