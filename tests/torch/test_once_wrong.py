"""What was wrong once: each stays right."""

import numpy as np
import pytest
import torch
from torch import nn

import signalcam as sc

HEAD = (nn.AdaptiveAvgPool1d(1), nn.Flatten())


def signal(*shape):
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


class Causal(nn.Module):
    """Dilated convolutions that look back only, further than the input is long."""

    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv1d(2 if i == 0 else 8, 8, 3, dilation=2**i) for i in range(7))
        self.out = nn.Identity()
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        for i, conv in enumerate(self.convs):
            x = torch.relu(conv(nn.functional.pad(x, (2 * 2**i, 0))))
        return self.head(self.out(x).mean(-1))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(2, 8, 7, 4)
        self.lstm = nn.LSTM(8, 8, batch_first=True, bidirectional=True)
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        states, _ = self.lstm(torch.relu(self.conv(x)).transpose(1, 2))
        return self.head(states.mean(1))


def test_map_of_a_causal_network_is_not_pushed_out_of_the_input():
    torch.manual_seed(0)
    with pytest.warns(sc.CamWarning, match="could not be measured"):
        exp = sc.explain(Causal(), signal(2, 2, 100), layer="out", method="hires-cam", signed=True)
    assert len(np.unique(exp.maps.values[0])) > 50


def test_recurrent_layer_sees_everything_and_lies_where_its_convolution_looks():
    torch.manual_seed(0)
    exp = sc.explain(Recurrent(), signal(2, 2, 300), layer="lstm", signed=True)
    axis = exp.layers[0].grid[0]
    assert (axis.start, axis.jump, axis.field) == (3.0, 4.0, 0.0)  # a kernel of 7 at steps of 4


def test_recurrent_layer_without_a_convolution_is_spread_evenly_with_a_warning():
    torch.manual_seed(0)
    network = Recurrent()
    network.conv = nn.AvgPool1d(2)  # no layer that a place could be taken from
    network.lstm = nn.LSTM(2, 8, batch_first=True, bidirectional=True)
    with pytest.warns(sc.CamWarning, match="could not be measured"):
        exp = sc.explain(network, signal(2, 2, 300), layer="lstm", signed=True)
    axis = exp.layers[0].grid[0]
    assert not axis.probed
    assert axis.start == pytest.approx(axis.jump / 2 - 0.5)


def test_layer_enlarged_inside_the_network_is_placed_to_half_a_step():
    torch.manual_seed(0)
    encoder = [nn.Conv1d(2, 8, 3, 2, 1), nn.ReLU()]
    for _ in range(4):
        encoder += [nn.Conv1d(8, 8, 3, 2, 1), nn.ReLU()]
    net = nn.Sequential(
        *encoder, nn.Upsample(scale_factor=32), nn.Conv1d(8, 8, 3, padding=1), nn.ReLU(), *HEAD, nn.Linear(8, 3)
    )
    axis = sc.explain(net, signal(2, 2, 2000), layer="12").layers[0].grid[0]
    places = np.arange(axis.cells) // 32 * 32  # of the encoder's cells, whose centres are 32 u
    assert np.abs(axis.centres - places)[100:-100].max() <= 32


@pytest.mark.parametrize(
    "last",
    [
        lambda z: z.log_softmax(1).exp(),
        lambda z: z.softmax(1).gather(1, torch.arange(3).expand(len(z), 3)),
        lambda z: z.softmax(1).roll(0, 1),
        lambda z: tuple(z.softmax(1) for _ in range(12)),
    ],
)
def test_logits_are_found_behind_further_spellings_of_probabilities(last):
    torch.manual_seed(0)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Conv1d(2, 8, 7), nn.ReLU(), *HEAD, nn.Linear(8, 3))
            self.last = lambda z: z

        def forward(self, x):
            return self.last(1e4 * self.body(x))  # saturated

    net, x = Net(), signal(3, 2, 60)
    truth = sc.explain(net, x, layer="body.1", signed=True)
    net.last = last
    exact = sc.explain(net, x, layer="body.1", signed=True)
    np.testing.assert_allclose(exact.maps, truth.maps, rtol=1e-6)
    np.testing.assert_allclose(exact.outputs, truth.outputs, rtol=1e-6)


@pytest.mark.parametrize(
    "last",
    [
        lambda z: z.softmax(1).log(),
        lambda z: (z.softmax(1) + 1e-9).log(),
        lambda z: 1 / (1 + torch.exp(-z)),
    ],
)
def test_probabilities_made_by_hand_are_not_taken_for_logits(last):
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv1d(2, 8, 7), nn.ReLU(), *HEAD, nn.Linear(8, 3))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = body

        def forward(self, x):
            return last(self.body(x))

    with pytest.warns(sc.CamWarning, match="log-odds"):
        sc.explain(Net(), signal(2, 2, 60), layer="body.1", signed=True)


def test_default_layer_is_one_that_every_sample_depends_on():
    class Branching(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv1d(2, 4, 5), nn.Conv1d(4, 4, 5)

        def forward(self, x):
            a = self.a(x)
            return torch.stack([a.square().mean((1, 2)), self.b(a).square().mean((1, 2))], 1)

    torch.manual_seed(0)
    exp = sc.explain(Branching(), signal(4, 2, 60), target=sc.PerSample([1, 0, 1, 0]), signed=True)
    assert exp.layer_names == ("a",)


def test_names_given_twice_are_told():
    net = nn.Sequential(nn.Conv1d(2, 8, 7), nn.ReLU(), *HEAD, nn.Linear(8, 3))
    with pytest.raises(sc.InputError, match="class_names holds a name twice"):
        sc.explain(net, signal(2, 2, 60), class_names=["a", "a", "b"])
    with pytest.raises(sc.InputError, match="sample_names holds a name twice"):
        sc.explain(net, signal(2, 2, 60), sample_names=["a", "a"])


def test_time_and_channel_swapped_in_the_layout_are_told():
    net = nn.Sequential(nn.Conv1d(12, 8, 7), nn.ReLU(), *HEAD, nn.Linear(8, 3))
    with pytest.raises(sc.LayoutError, match="Swap 'time' and 'channel'"):
        sc.explain(net, signal(2, 12, 60), layout="batch time channel")


@pytest.mark.parametrize("figure", ["image", "volume"])
def test_figures_without_room_for_the_map_are_refused(figure):
    net = nn.Sequential(nn.Conv1d(2, 8, 7), nn.ReLU(), *HEAD, nn.Linear(8, 3))
    exp = sc.explain(net, signal(2, 2, 60), signed=True)
    with pytest.raises(sc.LayoutError, match=r"Use exp\.plot\(\)"):
        getattr(exp.plot, figure)()


def test_one_hot_labels_and_odd_batch_sizes_are_told():
    net = nn.Sequential(nn.Conv1d(2, 8, 7), nn.ReLU(), *HEAD, nn.Linear(8, 3))
    with pytest.raises(sc.InputError, match="argmax"):
        sc.explain(net, signal(2, 2, 60), labels=np.eye(3)[:2], signed=True)
    for size in ("4", 2.5, 0):
        with pytest.raises(sc.InputError, match="at least 1"):
            sc.explain(net, signal(2, 2, 60), batch_size=size)


def test_a_sample_without_a_batch_axis_is_told_how_to_get_one():
    net = nn.Sequential(nn.Conv1d(2, 8, 7), nn.ReLU(), *HEAD, nn.Linear(8, 3))
    with pytest.raises(RuntimeError) as caught:
        sc.explain(net, signal(2, 60))
    assert any("pass inputs[None]" in note for note in caught.value.__notes__)
