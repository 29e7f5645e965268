"""Convolutions with a recurrence or attention behind them: the examples' networks, and odder ones."""

import hybrids_torch
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

import signalcam as sc

NETWORKS = pytest.mark.parametrize("name", hybrids_torch.NETWORKS)
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")),
]


def network(name):
    return hybrids_torch.NETWORKS[name](channels=2).eval()


def states_by_hand(lstm, x, suffix=""):
    """An LSTM's states ``(batch, time, unit)`` from its weights, step by step."""
    of_input, of_state, bias, more = (
        getattr(lstm, f"{each}_l0{suffix}") for each in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    state = cell = torch.zeros(len(x), lstm.hidden_size)
    states = []
    for step in x.unbind(1):
        gates = step @ of_input.T + state @ of_state.T + bias + more
        let_in, keep, new, show = gates.chunk(4, 1)
        cell = keep.sigmoid() * cell + let_in.sigmoid() * new.tanh()
        state = show.sigmoid() * cell.tanh()
        states.append(state)
    return torch.stack(states, 1)


def tail_by_hand(net):
    """From the second convolution to the logits, the recurrence written out."""

    def from_last_state(a):
        return net.head(states_by_hand(net.lstm, a.transpose(1, 2))[:, -1])

    def from_attention(a):
        x = a.movedim(3, 1).flatten(2)
        back = states_by_hand(net.lstm, x.flip(1), "_reverse").flip(1)
        states = torch.cat([states_by_hand(net.lstm, x), back], 2)
        loud = torch.exp(states @ net.attention.weight[0] + net.attention.bias)
        share = loud / loud.sum(1, keepdim=True)
        return net.head(torch.einsum("bt,btu->bu", share, states))

    return from_attention if hasattr(net, "attention") else from_last_state


def before(net):
    return lambda x: net.conv2(net.conv1(x[:, None] if hasattr(net, "attention") else x))


@NETWORKS
@pytest.mark.parametrize("method", ["grad-cam", "hires-cam"])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("device", DEVICES)
def test_hybrid_gets_the_map_of_its_recurrence_written_out(kit, name, method, training, device):
    net, x = network(name), torch.as_tensor(kit.signal())
    wanted = kit.maps_by_hand(before(net), tail_by_hand(net), x, [1] * 4, method)
    net.train(training).to(device)
    exp = sc.explain(net, x, layer="conv2", method=method, target=1, signed=True)
    kit.assert_maps(exp, wanted, tolerance=1e-5 if device == "cpu" else 1e-3)
    assert net.lstm.training == training


@NETWORKS
def test_attentions_softmax_is_not_taken_for_the_answers(kit, name):
    """It sums to one over time; a softmax over classes behind it is the one looked behind."""
    net, x = network(name), torch.as_tensor(kit.signal())
    exp, behind = (
        sc.explain(each, x, layer=layer, target=1, signed=True)
        for each, layer in ((net, "conv2"), (nn.Sequential(net, nn.Softmax(1)).eval(), "0.conv2"))
    )
    np.testing.assert_allclose(exp.outputs, net(x).detach(), atol=1e-6)
    np.testing.assert_allclose(behind.outputs, net(x).detach(), atol=1e-6)
    np.testing.assert_allclose(behind.native(), exp.native(), atol=1e-8)


@NETWORKS
def test_convolution_is_chosen_and_the_recurrence_behind_it_is_not(kit, name):
    net, x = network(name), kit.signal()
    exp = sc.explain(net, x, target=1, signed=True, layout="batch channel time")
    assert exp.layer_names == ("conv2",)
    assert exp.dims == (("channel", "time") if hasattr(net, "attention") else ("time",))
    assert exp.maps.shape[4:] == x.shape[-len(exp.dims) :]
    assert not any("lstm" in each.name for each in sc.layers(net, x))


@NETWORKS
def test_recordings_of_unequal_length_get_the_map_they_have_alone(kit, name):
    net, x = network(name), kit.signal()
    short = [x[0], x[1][:, :17], x[2][:, :20], x[3]]
    options = {"method": ["grad-cam", "hires-cam"], "target": 1, "signed": True}
    exp = sc.explain(net, short, layout="batch channel time", **options)
    for number, each in enumerate(short):
        alone = sc.explain(net, each[None], layout="batch channel time", **options)
        own = exp.isel(sample=number).maps
        np.testing.assert_allclose(own, alone.maps, atol=1e-5 * float(abs(alone.maps).max()))


class Packed(nn.Module):
    """A recurrence that is told where each recording ends."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(2, 5, 3, padding=1)
        self.lstm, self.head = nn.LSTM(5, 6, batch_first=True, bidirectional=True), nn.Linear(12, 4)

    def forward(self, x, lengths):
        steps = self.conv(x).relu().transpose(1, 2)
        packed = pack_padded_sequence(steps, lengths.cpu(), batch_first=True, enforce_sorted=False)
        return self.head(self.lstm(packed)[1][0].movedim(0, 1).flatten(1))


def test_packed_recurrence_takes_padded_recordings_in_one_batch(kit):
    net, x = Packed().eval(), kit.signal(batch=3)
    samples = [x[0], x[1][:, :22], x[2][:, :23]]
    exp = kit.explain(net, samples, target=1, extra={"lengths": sc.Lengths()})
    assert exp.provenance["unequal lengths"].startswith("padded and marked")
    for number, each in enumerate(samples):
        alone = kit.explain(net, each[None], target=1, extra={"lengths": sc.Lengths()})
        own = exp.isel(sample=number).maps
        np.testing.assert_allclose(own, alone.maps, atol=1e-5 * float(abs(alone.maps).max()))


# --- cuDNN keeps what its backward pass needs in training mode only ------------------------------


class Own(nn.LSTM):
    """A user's own name for an LSTM."""


class Behind(nn.Module):
    """A convolution, and two recurrent layers with dropout between them."""

    def __init__(self, cell):
        super().__init__()
        self.conv = nn.Conv1d(2, 5, 3, padding=1)
        self.cell = cell(5, 6, num_layers=2, dropout=0.5, batch_first=True)
        self.head = nn.Linear(6, 4)

    def tail(self, a):
        return self.head(self.cell(a.relu().transpose(1, 2))[0][:, -1])

    def forward(self, x):
        return self.tail(self.conv(x))


@pytest.mark.parametrize("cell", [nn.LSTM, nn.GRU, nn.RNN, Own])
@pytest.mark.parametrize("device", DEVICES)
def test_recurrence_runs_in_training_mode_without_dropout(kit, cell, device):
    net, x, seen = Behind(cell).eval(), torch.as_tensor(kit.signal()), set()
    wanted = kit.maps_by_hand(net.conv, net.tail, x, [1] * 4)
    net.cell.register_forward_pre_hook(lambda cell, _: seen.add((cell.training, cell.dropout, net.training)))
    kit.assert_maps(
        kit.explain(net.to(device), x, target=1),
        wanted,
        tolerance=1e-5 if device == "cpu" else 1e-3,
    )
    assert seen == {(True, 0.0, False)}
    assert (net.cell.training, net.cell.dropout) == (False, 0.5)
