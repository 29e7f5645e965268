"""Everything people do to networks: each is explained rightly, or refused by a sentence that helps.

The rows are those of the notes on peers: right means equal to a map worked out by hand.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - as everybody calls it
from torch import nn

import signalcam as sc

CLASSES = [0, 3, 1, 2]
SAME = 1e-6  # of the largest logit: the same operations, so only the last digit may differ


# --- ranks, activations in place -----------------------------------------------------------------


@pytest.mark.parametrize("method", ["grad-cam", "hires-cam"])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_convolutions_of_every_rank_equal_the_map_by_hand(kit, rank, method):
    net, x = kit.network(rank), kit.signal(rank=rank)
    exp = kit.explain(net, x, target=sc.PerSample(CLASSES), method=method)
    kit.assert_maps(exp, kit.maps_of(net, x, CLASSES, method))


def _twice_in_place(t):
    t += 1
    t *= 2
    return t


@pytest.mark.parametrize(
    "in_place",
    [nn.ReLU(inplace=True), F.relu_, torch.relu_, torch.sigmoid_, _twice_in_place],
    ids=["module", "F.relu_", "torch.relu_", "sigmoid_", "augmented assignment"],
)
def test_layer_changed_in_place_afterwards_keeps_its_own_activation(kit, in_place):
    class InPlace(kit.Net):
        def forward(self, x):
            return self.head[1:](in_place(self.conv(self.body(x))))

    net, x = kit.network(kind=InPlace), kit.signal()
    exp = kit.explain(net, x, target=sc.PerSample(CLASSES))
    by_hand = kit.maps_by_hand(
        lambda t: net.conv(net.body(t)),
        lambda a: net.head[1:](in_place(a.clone())),
        torch.as_tensor(x),
        CLASSES,
    )
    kit.assert_maps(exp, by_hand)


def test_layer_that_itself_works_in_place_is_explained_after_it(kit):
    net, x = kit.network(), kit.signal()
    net.head[0] = nn.ReLU(inplace=True)
    exp = kit.explain(net, x, layer="head.0", target=1)
    before = lambda t: F.relu(net.conv(net.body(t)))  # noqa: E731
    kit.assert_maps(exp, kit.maps_by_hand(before, net.head[1:], torch.as_tensor(x), [1] * 4))


# --- exact logits --------------------------------------------------------------------------------


SATURATED = 100_000  # times the logits: of each sample the largest is then ahead by far more than 17
LAST_STEPS = {
    "Softmax": nn.Softmax(dim=1),
    "F.softmax": lambda z: F.softmax(z, dim=1),
    "torch.softmax": lambda z: torch.softmax(z, -1),
    "tensor.softmax": lambda z: z.softmax(dim=1),
    "special.softmax": lambda z: torch.special.softmax(z, dim=1),
    "LogSoftmax": nn.LogSoftmax(dim=1),
    "F.log_softmax": lambda z: F.log_softmax(z, dim=1),
    "tensor.log_softmax": lambda z: z.log_softmax(1),
    "special.log_softmax": lambda z: torch.special.log_softmax(z, 1),
    "Sigmoid": nn.Sigmoid(),
    "F.sigmoid": F.sigmoid,
    "torch.sigmoid": torch.sigmoid,
    "tensor.sigmoid": lambda z: z.sigmoid(),
    "special.expit": torch.special.expit,
    "tensor.sigmoid_": lambda z: z.sigmoid_(),
    "torch.sigmoid_": torch.sigmoid_,
    "LogSigmoid": nn.LogSigmoid(),
    "F.logsigmoid": F.logsigmoid,
}


def assert_exact(kit, net, bare, x):
    """Maps and outputs are those of the network without its last step."""
    index = sc.explain(bare, x[:1], layer="conv", signed=True).outputs.shape[1] - 1
    targets = ["predicted", 0, index]
    found, wanted = (kit.explain(model, x, target=targets) for model in (net, bare))
    size = np.abs(wanted.outputs.values).max()
    assert np.abs(found.outputs.values - wanted.outputs.values).max() <= SAME * size
    np.testing.assert_array_equal(found.predicted, wanted.predicted)
    for target in range(3):
        maps = wanted.native().values[:, target, 0]
        kit.assert_maps(found, maps, SAME, target=target)
    assert found.provenance["score"].startswith("logit; logits before")


@pytest.mark.parametrize("scale", [1, SATURATED], ids=["", "saturated"])
@pytest.mark.parametrize("last", LAST_STEPS.values(), ids=LAST_STEPS)
def test_logits_behind_the_last_step_are_exact(kit, last, scale):
    bare, x = kit.network(), kit.signal()
    bare.head[2].weight.data *= scale
    net = kit.Net(bare.body, bare.conv, bare.head, last).eval()
    assert_exact(kit, net, bare, x)


def test_saturated_softmax_is_one_to_the_last_bit(kit):
    net = kit.network(last=nn.Softmax(1))
    net.head[2].weight.data *= SATURATED
    assert (net(torch.as_tensor(kit.signal())).amax(1) == 1).all()


SELECTIONS = {
    "squeeze": (lambda z: z[:, :, None], 1, lambda p: p.squeeze(-1)),
    "unsqueeze": (lambda z: z, 1, lambda p: p.unsqueeze(-1)),
    "indexing": (lambda z: z[:, None, :], 2, lambda p: p[:, 0]),
    "slice": (lambda z: z, 1, lambda p: p[:, 1:]),
    "reversed": (lambda z: z, 1, lambda p: p.flip(1)),
    "view": (lambda z: z.reshape(len(z), 1, -1), 2, lambda p: p.view(len(p), -1)),
    "flatten": (lambda z: z[:, :, None, None], 1, lambda p: p.flatten(1)),
    "permute": (lambda z: z[:, None, :], 2, lambda p: p.permute(0, 2, 1)),
    "transpose": (lambda z: z.t(), 0, lambda p: p.t()),
    "fancy indexing": (lambda z: z, 1, lambda p: p[:, [2, 0, 3]]),
    "index_select": (lambda z: z, 1, lambda p: p.index_select(1, torch.tensor([3, 1]))),
    "chunk": (lambda z: torch.cat([z, -z], 1), 1, lambda p: p.chunk(2, dim=1)[0]),
    "unbind": (lambda z: torch.stack([z, -z], 1), 2, lambda p: p.unbind(1)[1]),
    "clone": (lambda z: z, 1, lambda p: p.clone().contiguous()),
    "double": (lambda z: z, 1, lambda p: p.double()),
    "narrow": (lambda z: z, 1, lambda p: p.narrow(1, 1, 2)),
}


@pytest.mark.parametrize("step", [torch.softmax, torch.log_softmax, lambda z, _: z.sigmoid()])
@pytest.mark.parametrize("selection", SELECTIONS.values(), ids=SELECTIONS)
def test_logits_behind_a_selection_of_the_probabilities_are_exact(kit, selection, step):
    shape, axis, select = selection
    bare, x = kit.network(last=lambda z: select(shape(z))), kit.signal()
    net = kit.Net(bare.body, bare.conv, bare.head, lambda z: select(step(shape(z), axis)))
    assert_exact(kit, net, bare, x)


@pytest.mark.parametrize("shape", [(4,), (4, 1)], ids=str)
@pytest.mark.parametrize("last", [None, torch.sigmoid], ids=["logit", "sigmoid"])
def test_single_output_answers_for_both_classes(kit, last, shape):
    net, x = kit.network(classes=1), kit.signal()
    net.last = lambda z: (z if last is None else last(z)).reshape(shape)
    exp = kit.explain(net, x, target=[0, 1])
    wanted = kit.maps_of(net, x, [0] * 4)
    kit.assert_maps(exp, wanted, target=1)
    kit.assert_maps(exp, -wanted, target=0)
    s = net.logits(torch.as_tensor(x)).detach().numpy()
    np.testing.assert_allclose(exp.outputs, np.concatenate([-s, s], axis=1), rtol=SAME)


def _softmax_by_hand(z):
    grown = (z - z.amax(1, keepdim=True)).exp()
    return grown / grown.sum(1, keepdim=True)


UNRESOLVED = {
    "softmax by hand": _softmax_by_hand,
    "average of two softmaxes": lambda z: (z.softmax(1) + (2 * z).softmax(1)) / 2,
    "clamped softmax": lambda z: z.softmax(1).clamp(1e-7, 1),
}


@pytest.mark.parametrize("last", UNRESOLVED.values(), ids=UNRESOLVED)
def test_logits_that_cannot_be_found_fall_back_to_log_odds_with_one_warning(kit, last):
    net, x = kit.network(last=last), kit.signal()
    with pytest.warns(sc.CamWarning) as caught:
        exp = kit.explain(net, x, target=2, layer=["conv", "body"], batch_size=2)
    assert len(caught) == 1
    assert "log-odds" in str(caught[0].message)
    assert exp.provenance["score"].startswith("log-odds")

    def odds(a):
        p = last(net.head(a)).double()
        return p.log() - (p.sum(1, keepdim=True) - p).log()

    before = lambda t: net.conv(net.body(t))  # noqa: E731
    kit.assert_maps(exp, kit.maps_by_hand(before, odds, torch.as_tensor(x), [2] * 4))


@pytest.mark.parametrize(
    "last",
    [lambda z: 1 - z[:, :1].sigmoid(), lambda z: z.softmax(1).max(1).values],
    ids=["1 - sigmoid", "max"],
)
def test_single_probability_behind_arithmetic_falls_back_to_its_log_odds(kit, last):
    net, x = kit.network(last=last), kit.signal()
    with pytest.warns(sc.CamWarning, match="log-odds") as caught:
        exp = kit.explain(net, x, target=1)
    assert len(caught) == 1
    before = lambda t: net.conv(net.body(t))  # noqa: E731
    odds = lambda a: torch.logit(last(net.head(a)).double()).reshape(4, 1)  # noqa: E731
    kit.assert_maps(exp, kit.maps_by_hand(before, odds, torch.as_tensor(x), [0] * 4))


def test_fall_back_that_has_saturated_says_so(kit):
    net, x = kit.network(last=_softmax_by_hand), kit.signal()
    net.head[2].weight.data *= 1e5
    with pytest.warns(sc.CamWarning) as caught:
        kit.explain(net, x)
    said = [str(each.message) for each in caught]
    assert sum("could not be found" in each for each in said) == 1
    assert any("saturated" in each and "4 of 4 samples" in each for each in said)


@pytest.mark.parametrize("score", ["log_odds", "probability", "log_prob_clamped"])
def test_no_fall_back_is_warned_of_where_another_score_was_asked_for(kit, score):
    exp = kit.explain(kit.network(last=_softmax_by_hand), kit.signal(), score=score)
    assert exp.provenance["score"] == f"{score}; probabilities only"


def test_no_fall_back_is_warned_of_where_the_target_is_a_function(kit):
    kit.explain(kit.network(last=_softmax_by_hand), kit.signal(), target=lambda p: p[:, 0])


# --- what the model takes and returns ------------------------------------------------------------


class Named(NamedTuple):
    features: torch.Tensor
    logits: torch.Tensor


@dataclass
class Result:
    loss: None
    logits: torch.Tensor


OUTPUTS = {
    "dict": lambda z: {"embedding": z[:, :2] * 2, "logits": z},
    "tuple": lambda z: (z, z[:, :2]),
    "list": lambda z: [z],
    "namedtuple": lambda z: Named(z[:, :1], z),
    "dataclass": lambda z: Result(None, z),
    "nested": lambda z: {"aux": None, "output": ({"scores": z},)},
}


@pytest.mark.parametrize("wrap", OUTPUTS.values(), ids=OUTPUTS)
@pytest.mark.parametrize("last", [None, torch.sigmoid], ids=["logits", "sigmoid"])
def test_scores_are_found_inside_whatever_the_model_returns(kit, wrap, last):
    net, x = kit.network(), kit.signal()
    net.last = lambda z: wrap(z if last is None else last(z))
    exp = kit.explain(net, x, target=sc.PerSample(CLASSES))
    kit.assert_maps(exp, kit.maps_of(net, x, CLASSES))


def test_output_that_holds_no_scores_names_the_way_out(kit):
    net = kit.network(last=lambda z: {"text": "normal"})
    with pytest.raises(sc.TargetError, match=r"target=Output\(function\)"):
        kit.explain(net, kit.signal())


class Fusion(nn.Module):
    """A signal and a row of numbers a sample."""

    def __init__(self, net):
        super().__init__()
        self.net, self.age = net, nn.Linear(3, 4)

    def combined(self, ecg, age):
        return self.net(ecg) + self.age(age)


class TakesDict(Fusion):
    def forward(self, batch):
        return self.combined(batch["ecg"], batch["age"])


class TakesKeywords(Fusion):
    def forward(self, age, *, ecg):
        return self.combined(ecg, age)


class TakesTwo(Fusion):
    def forward(self, ecg, age):
        return self.combined(ecg, age)


class TakesPair(Fusion):
    def forward(self, pair):
        return self.combined(*pair)


@pytest.mark.parametrize(
    ("kind", "pack"),
    [
        (TakesDict, lambda ecg, age: {"age": age, "ecg": ecg}),
        (TakesKeywords, lambda ecg, age: {"age": age, "ecg": ecg}),
        (TakesTwo, lambda ecg, age: (ecg, age)),
        (TakesPair, lambda ecg, age: (ecg, age)),
    ],
)
@pytest.mark.parametrize("batch_size", [None, 3])
def test_several_inputs_reach_the_model_as_it_takes_them(kit, kind, pack, batch_size):
    net, x = kit.network(), kit.signal()
    model = kind(net).eval()
    age = np.ones((4, 3), np.float32)
    exp = kit.explain(model, pack(x, age), layer="net.conv", target=1, batch_size=batch_size)
    kit.assert_maps(exp, kit.maps_of(net, x, [1] * 4))
    assert exp.input.shape == x.shape
    with torch.no_grad():
        wanted = model.combined(torch.as_tensor(x), torch.as_tensor(age))
    np.testing.assert_allclose(exp.outputs, wanted, rtol=1e-5, atol=1e-6)  # one batch or two


# --- global modes of the caller and of the model -------------------------------------------------


def test_frozen_model_is_explained(kit):
    net, x = kit.network().requires_grad_(requires_grad=False), kit.signal()
    kit.assert_maps(kit.explain(net, x, target=1), kit.maps_of(net, x, [1] * 4))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_caller_who_switched_gradients_off_gets_the_same_maps(kit, mode):
    net, x = kit.network(last=nn.Softmax(1)), kit.signal()
    with mode():
        exp = kit.explain(net, torch.as_tensor(x).clone(), target=1)
        assert not torch.is_grad_enabled()
        assert torch.is_inference_mode_enabled() == (mode is torch.inference_mode)
    kit.assert_maps(exp, kit.maps_of(net, x, [1] * 4))


def test_input_made_under_inference_mode_is_explained(kit):
    net, x = kit.network(), kit.signal()
    with torch.inference_mode():
        made = torch.as_tensor(x) * 1
    kit.assert_maps(kit.explain(net, made, target=1), kit.maps_of(net, x, [1] * 4))


def test_model_made_under_inference_mode_names_the_way_out(kit):
    with torch.inference_mode():
        net = kit.network()
    with pytest.raises(sc.ModelError, match=r"inference_mode.*[Bb]uild or load it outside"):
        kit.explain(net, kit.signal())


def test_backbone_that_runs_under_no_grad_is_explained(kit):
    class Backbone(kit.Net):
        def forward(self, x):
            with torch.no_grad():
                features = self.conv(self.body(x))
                features = features * 1
            return self.head(features)

    net, x = kit.network(kind=Backbone), kit.signal()
    kit.assert_maps(kit.explain(net, x, target=1), kit.maps_of(net, x, [1] * 4))


def test_forward_under_no_grad_is_explained(kit):
    class Deployed(kit.Net):
        @torch.no_grad()
        def forward(self, x):
            return self.logits(x)

    net, x = kit.network(kind=Deployed), kit.signal()
    kit.assert_maps(kit.explain(net, x, target=1), kit.maps_of(net, x, [1] * 4))


def test_forward_under_inference_mode_names_the_way_out(kit):
    class Deployed(kit.Net):
        @torch.inference_mode()
        def forward(self, x):
            return self.logits(x)

    with pytest.raises(sc.ModelError, match=r"Use torch.no_grad\(\) in its forward"):
        kit.explain(kit.network(kind=Deployed), kit.signal())


def test_head_under_inference_mode_is_told_from_the_layer(kit):
    class Deployed(kit.Net):
        def forward(self, x):
            features = self.conv(self.body(x))
            with torch.inference_mode():
                return self.head(features)

    with pytest.raises(sc.ModelError, match=r"layer 'conv' gave no gradient.*Choose another"):
        kit.explain(kit.network(kind=Deployed), kit.signal())


# --- number types and memory layouts -------------------------------------------------------------


def test_autocast_is_explained_as_it_runs(kit):
    net, x = kit.network(last=nn.Softmax(1)), kit.signal()
    with torch.autocast("cpu", torch.bfloat16):
        exp = kit.explain(net, x, target=1)
        wanted = kit.maps_of(net, x, [1] * 4)
    kit.assert_maps(exp, wanted)
    assert exp.maps.dtype == np.float32


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_model_in_another_precision_is_explained_in_it(kit, dtype):
    net, x = kit.network().to(dtype), kit.signal()
    exp = kit.explain(net, x, target=1)
    kit.assert_maps(exp, kit.maps_of(net, torch.as_tensor(x).to(dtype), [1] * 4))
    assert exp.maps.dtype == np.float32


def test_double_precision_input_meets_a_single_precision_model(kit):
    net, x = kit.network(), kit.signal(dtype=np.float64)
    exp = kit.explain(net, x, target=1)
    kit.assert_maps(exp, kit.maps_of(net, x.astype(np.float32), [1] * 4))


def _read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


@pytest.mark.parametrize(
    "store",
    [
        lambda x: np.repeat(x, 2, axis=2)[:, :, ::2],
        lambda x: x[:, :, ::-1].copy()[:, :, ::-1],
        _read_only,
        np.asfortranarray,
        lambda x: x.astype(">f4"),
        list,
    ],
    ids=["strided", "negative strides", "read-only", "Fortran order", "big-endian", "list"],
)
def test_memory_layout_of_the_input_does_not_matter(kit, store):
    net, x = kit.network(), kit.signal()
    kit.assert_maps(kit.explain(net, store(x), target=1), kit.maps_of(net, x, [1] * 4))


def test_integers_into_a_convolution_name_the_way_out(kit):
    x = np.ones((4, 2, 24), dtype=np.int64)
    with pytest.raises(sc.InputError, match=r"int64.*astype\('float32'\)"):
        kit.explain(kit.network(), x)


class TextNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.conv, self.head = (
            nn.Embedding(9, 6),
            nn.Conv1d(6, 5, 3),
            nn.Linear(5, 4),
        )

    def features(self, ids):
        return self.conv(self.embedding(ids).transpose(1, 2))

    def tail(self, a):
        return self.head(a.relu().amax(2))

    def forward(self, ids):
        return self.tail(self.features(ids))


def test_positions_of_an_unpadded_text_network_lie_in_the_middle_of_their_words(kit):
    net, ids = TextNet().eval(), np.random.default_rng(0).integers(0, 9, (4, 12))
    exp = kit.explain(net, ids, target=1)
    by_hand = kit.maps_by_hand(net.features, net.tail, torch.as_tensor(ids), [1] * 4)
    kit.assert_maps(exp, by_hand)
    assert exp.maps.shape == (4, 1, 1, 1, 12)
    np.testing.assert_array_equal(exp.layers[0].grid[0].centres, np.arange(1, 11))


def test_too_many_words_to_exchange_are_spread_evenly_with_a_warning(kit):
    net, ids = TextNet().eval(), np.random.default_rng(0).integers(0, 9, (1, 1025))
    with pytest.warns(sc.CamWarning, match="spread evenly"):
        kit.explain(net, ids, target=1)


# --- recurrent layers and tokens -----------------------------------------------------------------


class Recurrent(nn.Module):
    """Convolution, LSTM with dropout between its layers, last state."""

    def __init__(self, rank=1, *, batch_first=True):
        super().__init__()
        self.rank, self.batch_first = rank, batch_first
        self.conv = nn.Conv1d(2, 5, 3, padding=1) if rank == 1 else nn.Conv2d(2, 5, 3, padding=1)
        width = 5 if rank == 1 else 50
        self.lstm = nn.LSTM(width, 6, num_layers=2, dropout=0.5, batch_first=batch_first)
        self.head = nn.Linear(6, 4)

    def sequence(self, a):
        steps = a.relu().movedim(2, 1).flatten(2)
        return steps if self.batch_first else steps.transpose(0, 1)

    def last(self, states):
        return self.head(states[:, -1] if self.batch_first else states[-1])

    def tail(self, a):
        return self.last(self.lstm(self.sequence(a))[0])

    def forward(self, x):
        return self.tail(self.conv(x))


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("training", [False, True])
def test_convolution_before_an_lstm_is_explained_in_evaluation_mode(kit, rank, training):
    net, x = Recurrent(rank).eval(), torch.as_tensor(kit.signal(rank=rank))
    wanted = kit.maps_by_hand(net.conv, net.tail, x, [1] * 4)
    kit.assert_maps(kit.explain(net.train(training), x, target=1), wanted)
    assert net.lstm.training == training
    assert net.lstm.dropout == 0.5


@pytest.mark.parametrize("batch_first", [True, False])
def test_lstm_is_explained_as_a_layer(kit, batch_first):
    net, x = Recurrent(batch_first=batch_first).eval(), torch.as_tensor(kit.signal())
    net.last = lambda s: net.head((s if batch_first else s.transpose(0, 1)).mean(1))
    exp = kit.explain(net, x, layer="lstm", target=1, align="resize")
    channels_second = lambda s: (s if batch_first else s.transpose(0, 1)).transpose(1, 2)  # noqa: E731
    before = lambda t: channels_second(net.lstm(net.sequence(net.conv(t)))[0])  # noqa: E731
    after = lambda a: net.head(a.mean(2))  # noqa: E731
    kit.assert_maps(exp, kit.maps_by_hand(before, after, x, [1] * 4))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
@pytest.mark.parametrize("rank", [1, 2])
def test_lstm_on_a_gpu_is_explained_in_evaluation_mode(kit, rank):
    net, x = Recurrent(rank).eval(), torch.as_tensor(kit.signal(rank=rank))
    wanted = kit.maps_by_hand(net.conv, net.tail, x, [1] * 4)
    state = torch.cuda.get_rng_state()
    exp = kit.explain(net.cuda(), x, target=1)
    kit.assert_maps(exp, wanted, tolerance=1e-3)  # cuDNN's convolutions may use TF32
    assert torch.equal(torch.cuda.get_rng_state(), state)
    assert not net.lstm.training


class Tokens(nn.Module):
    """Patches of eight samples become tokens of six numbers."""

    def __init__(self):
        super().__init__()
        self.mix, self.norm, self.head = nn.Linear(16, 6), nn.LayerNorm(6), nn.Linear(6, 4)

    def patches(self, x):
        return x.unfold(2, 8, 8).transpose(1, 2).flatten(2)

    def tail(self, tokens):
        return self.head(self.norm(tokens).tanh().mean(1))

    def forward(self, x):
        return self.tail(self.mix(self.patches(x)))


@pytest.mark.parametrize("layer", ["mix", "norm"])
def test_tokens_carry_their_channels_last(kit, layer):
    net, x = Tokens().eval(), torch.as_tensor(kit.signal())
    mix = lambda t: net.mix(net.patches(t))  # noqa: E731
    halves = {
        "mix": (mix, net.tail),
        "norm": (lambda t: net.norm(mix(t)), lambda a: net.head(a.tanh().mean(1))),
    }[layer]
    turned = (lambda t: halves[0](t).transpose(1, 2), lambda a: halves[1](a.transpose(1, 2)))
    exp = kit.explain(net, x, layer=layer, target=1)
    kit.assert_maps(exp, kit.maps_by_hand(*turned, x, [1] * 4))
    np.testing.assert_array_equal(exp.native().time, [3.5, 11.5, 19.5])


def test_layer_norm_over_channels_and_time_keeps_its_channels_second(kit):
    net, x = kit.network(), kit.signal()
    norm = nn.LayerNorm([5, 12])
    nn.init.normal_(norm.weight)
    net.head = nn.Sequential(norm, *net.head)
    exp = kit.explain(net, x, layer="head.0", target=1, align="resize")
    before = lambda t: norm(net.conv(net.body(t)))  # noqa: E731
    kit.assert_maps(exp, kit.maps_by_hand(before, net.head[1:], torch.as_tensor(x), [1] * 4))


# --- compiled, scripted --------------------------------------------------------------------------


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
@pytest.mark.parametrize("engine", ["eager", "aot_eager"])
@pytest.mark.parametrize("last", [None, nn.Softmax(1)], ids=["logits", "softmax"])
def test_compiled_model_is_explained(kit, compiler, engine, warm, last):
    net, x = kit.network(last=last), kit.signal()
    compiled = torch.compile(net, backend=engine)
    if warm:
        compiled(torch.as_tensor(x))
    exp = kit.explain(compiled, x, target=1)
    kit.assert_maps(exp, kit.maps_of(net, x, [1] * 4))


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
@pytest.mark.parametrize("whole", [False, True], ids=["part", "whole"])
def test_module_compiled_in_place_is_explained(kit, compiler, warm, whole):
    net, x = kit.network(), kit.signal()
    (net if whole else net.conv).compile(backend="eager")
    if warm:
        net(torch.as_tensor(x))
    exp = kit.explain(net, x, target=1)
    kit.assert_maps(exp, kit.maps_of(net, x, [1] * 4))


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
def test_layer_inside_a_compiled_part_is_explained(kit, compiler, warm):
    net, x = kit.network(), kit.signal()
    wanted = kit.maps_by_hand(net.body[0], lambda a: net.head(net.conv(a.relu())), torch.as_tensor(x), [1] * 4)
    net.body = torch.compile(net.body, backend="eager")
    if warm:
        net(torch.as_tensor(x))
    exp = kit.explain(net, x, target=1, layer="body._orig_mod.0")
    kit.assert_maps(exp, wanted)


def test_compiled_model_still_runs_compiled_afterwards(kit, compiler):
    frames = []

    def engine(graph, _example):
        frames.append(graph)
        return graph.forward

    net, x = kit.network(), torch.as_tensor(kit.signal())
    compiled = torch.compile(net, backend=engine)
    compiled(x)
    before = len(frames)
    kit.explain(compiled, x)
    compiled(x)
    assert before == len(frames) == 1


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # PyTorch retires TorchScript
@pytest.mark.parametrize("make", ["script", "trace"])
def test_scripted_model_names_the_way_out(kit, make):
    net, x = kit.network().body, torch.as_tensor(kit.signal())
    scripted = torch.jit.script(net) if make == "script" else torch.jit.trace(net, x)
    with pytest.raises(sc.ModelError, match=r"no layer can be seen.*Pass the nn.Module.*torch.export"):
        kit.explain(scripted, x)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # PyTorch retires TorchScript
def test_scripted_part_is_left_alone_and_refused_as_a_layer(kit):
    net, x = kit.network(), kit.signal()
    wanted = kit.maps_of(net, x, [1] * 4)
    net.body = torch.jit.script(net.body)
    kit.assert_maps(kit.explain(net, x, target=1), wanted)
    assert kit.explain(net, x, layer=None).layer_names == ("head.0",)
    with pytest.raises(sc.ModelError, match=r"layer 'body.0'.*scripted"):
        kit.explain(net, x, layer="body.0")


# --- layers used oddly ---------------------------------------------------------------------------


class Siamese(nn.Module):
    """Runs its convolution on the signal and on what comes out; the head sees one or both."""

    def __init__(self, seen):
        super().__init__()
        self.seen = seen
        self.conv, self.head = nn.Conv1d(2, 2, 3, padding=1), nn.Linear(48, 4)

    def after_first(self, a):
        return self.after_second(self.conv(a.tanh()), a)

    def after_second(self, b, a=None):
        seen = {"first": lambda: a, "last": lambda: b, "both": lambda: a + b}[self.seen]()
        return self.head(seen.tanh().flatten(1))

    def forward(self, x):
        a = self.conv(x)
        return self.after_second(self.conv(a.tanh()), a)


def test_layer_that_runs_twice_is_explained_at_the_run_that_counts(kit):
    net, x = Siamese("first").eval(), torch.as_tensor(kit.signal())
    wanted = kit.maps_by_hand(net.conv, lambda a: net.after_second(None, a), x, [1] * 4)
    kit.assert_maps(kit.explain(net, x, target=1), wanted)


def test_layer_that_runs_twice_asks_which_run_is_meant(kit):
    net, x = Siamese("both").eval(), kit.signal()
    with pytest.raises(sc.ModelError, match=r"Say which: 'conv\[0\]' or 'conv\[1\]'"):
        kit.explain(net, x)


def test_either_run_of_a_layer_can_be_named(kit):
    net, x = Siamese("both").eval(), torch.as_tensor(kit.signal())
    first = kit.maps_by_hand(net.conv, net.after_first, x, [1] * 4)
    a = net.conv(x).detach()
    second = kit.maps_by_hand(lambda t: net.conv(net.conv(t).tanh()), lambda b: net.after_second(b, a), x, [1] * 4)
    kit.assert_maps(kit.explain(net, x, target=1, layer="conv[0]"), first)
    kit.assert_maps(kit.explain(net, x, target=1, layer="conv[1]"), second)
    exp = kit.explain(net, x, target=1, layer=["conv[0]", "conv[1]"])
    assert exp.layer_names == ("conv[0]", "conv[1]")


def test_run_that_did_not_happen_is_named(kit):
    with pytest.raises(sc.ModelError, match=r"'conv\[2\]' ran 2 times"):
        kit.explain(Siamese("both").eval(), kit.signal(), layer="conv[2]")


def test_tied_weights_do_not_confuse_layers(kit):
    net, x = kit.network(), kit.signal()
    first, second = nn.Conv1d(2, 2, 3, padding=1), nn.Conv1d(2, 2, 3, padding=1)
    second.weight = first.weight
    net.body = nn.Sequential(first, nn.ReLU(), second, nn.Conv1d(2, 4, 1))
    after = lambda a: net.head(net.conv(net.body[3](a)))  # noqa: E731
    wanted = kit.maps_by_hand(net.body[:3], after, torch.as_tensor(x), [1] * 4)
    kit.assert_maps(kit.explain(net, x, target=1, layer="body.2"), wanted)


@pytest.mark.parametrize("layer", ["conv", "module.conv"])
def test_data_parallel_wrapper_is_looked_through(kit, layer):
    net, x = kit.network(), kit.signal()
    wanted = kit.maps_of(net, x, [1] * 4)
    exp = kit.explain(nn.DataParallel(net), x, target=1, layer=layer)  # moves it to a GPU if there is one
    kit.assert_maps(exp, wanted, tolerance=1e-3 if torch.cuda.is_available() else 1e-5)


@pytest.mark.parametrize("training", [False, True])
def test_batch_norm_uses_and_keeps_its_running_statistics(kit, training):
    net, x = kit.network(), kit.signal()
    norm = nn.BatchNorm1d(5)
    nn.init.uniform_(norm.running_mean, -1, 0)  # below 0, so that no sample falls silent
    net.head = nn.Sequential(norm, *net.head).eval()
    wanted = kit.maps_of(net, x, [1] * 4)
    state = {name: each.clone() for name, each in net.state_dict().items()}
    kit.assert_maps(kit.explain(net.train(training), x, target=1), wanted)
    assert all(torch.equal(each, state[name]) for name, each in net.state_dict().items())


def test_block_with_a_residual_addition_is_explained_after_it(kit):
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Conv1d(4, 4, 3, padding=1)

        def forward(self, x):
            y = self.inner(x)
            y += x
            return y.relu_()

    net, x = kit.network(), kit.signal()
    net.body = nn.Sequential(net.body, Residual())
    after = lambda a: net.head(net.conv(a))  # noqa: E731
    wanted = kit.maps_by_hand(net.body, after, torch.as_tensor(x), [1] * 4)
    kit.assert_maps(kit.explain(net, x, target=1, layer="body.1"), wanted)
    inner = kit.maps_by_hand(
        lambda t: net.body[1].inner(net.body[0](t)),
        lambda a: after((a + net.body[0](torch.as_tensor(x))).relu()),
        torch.as_tensor(x),
        [1] * 4,
    )
    kit.assert_maps(kit.explain(net, x, target=1, layer="body.1.inner"), inner)


def test_dropout_that_never_sleeps_leaves_the_random_state_alone(kit):
    class Sampled(kit.Net):
        def forward(self, x):
            return self.head(F.dropout(self.conv(self.body(x)), training=True))

    net, x = kit.network(kind=Sampled), kit.signal()
    state = torch.get_rng_state()
    first = kit.explain(net, x, target=1)
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(first.maps, kit.explain(net, x, target=1).maps)


# --- the user's own things -----------------------------------------------------------------------


def test_mixed_training_modes_come_back(kit):
    net = kit.network().train()
    net.head[0].eval()
    net.body.eval()
    modes = [each.training for each in net.modules()]
    kit.explain(net, kit.signal())
    assert modes == [each.training for each in net.modules()]


def test_gradients_of_a_training_run_stay(kit):
    net, x = kit.network(), kit.signal()
    net(torch.as_tensor(x)).sum().backward()
    held = {name: each.grad for name, each in net.named_parameters()}
    values = {name: each.clone() for name, each in held.items()}
    kit.explain(net, x)
    assert all(each.grad is held[name] for name, each in net.named_parameters())
    assert all(torch.equal(held[name], values[name]) for name in held)


def test_graph_of_a_training_run_can_still_be_walked(kit):
    net, x = kit.network(), kit.signal()
    loss = net(torch.as_tensor(x)).sum()
    kit.explain(net, x)
    loss.backward()
    assert net.conv.weight.grad is not None


def test_hooks_of_the_user_stay_and_count(kit):
    net, x = kit.network(), kit.signal()
    net.conv.register_forward_hook(lambda _m, _i, out: 2 * out)
    net.body.register_forward_pre_hook(lambda _m, args: (args[0] - 1,))
    hooks = [dict(each._forward_hooks) for each in net.modules()]
    exp = kit.explain(net, x, target=1)
    assert hooks == [dict(each._forward_hooks) for each in net.modules()]
    kit.assert_maps(exp, kit.maps_of(net, x, [1] * 4))


# PyTorch says of such a hook that the tapped layer's input needs no gradient; it runs all the same
@pytest.mark.filterwarnings("ignore:Full backward hook is firing:UserWarning")
def test_backward_hooks_of_the_user_do_not_get_in_the_way(kit):
    net, x = kit.network(), kit.signal()
    wanted = kit.maps_of(net, x, [1] * 4)
    net.conv.register_full_backward_hook(lambda _m, _i, _o: None)
    net.head[2].register_full_backward_hook(lambda _m, _i, _o: None)
    kit.assert_maps(kit.explain(net, x, target=1), wanted)


def test_exception_of_the_model_comes_through_and_leaves_no_hooks(kit):
    class Broken(kit.Net):
        def forward(self, x):
            self.conv(self.body(x))
            raise ZeroDivisionError("the model's own")

    net = kit.network(kind=Broken).train()
    with pytest.raises(ZeroDivisionError, match="the model's own") as error:
        kit.explain(net, kit.signal())
    assert "SignalCAM ran Broken on shape (4, 2, 24)" in error.value.__notes__[0]
    assert not any(each._forward_hooks for each in net.modules())
    assert all(each.training for each in net.modules())
    assert all(each.requires_grad for each in net.parameters())


# --- models and samples that are hardly there ----------------------------------------------------


def test_model_without_values_names_the_way_out(kit):
    with pytest.raises(sc.ModelError, match=r"meta.*[Ll]oad"):
        kit.explain(kit.network().to("meta"), kit.signal())


def test_model_without_parameters_is_explained(kit):
    class Averages(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.AvgPool1d(4)

        def tail(self, a):
            return torch.cat([a.square().mean(2), a.amax(2)], 1)

        def forward(self, x):
            return self.tail(self.conv(x))

    net, x = Averages().eval(), torch.as_tensor(kit.signal())
    wanted = kit.maps_by_hand(net.conv, net.tail, x, [1] * 4, "hires-cam")
    kit.assert_maps(kit.explain(net, x, target=1, method="hires-cam"), wanted)


@pytest.mark.parametrize("classes", [1, 4])
@pytest.mark.parametrize("last", [None, torch.sigmoid], ids=["logits", "sigmoid"])
def test_squeezed_batch_of_one_is_still_one_sample(kit, classes, last):
    net, x = kit.network(classes=classes), kit.signal()
    net.last = lambda z: (z if last is None else last(z)).squeeze()
    exp = kit.explain(net, x, target=1, batch_size=3)  # the last batch holds one sample
    single = kit.explain(net, x[:1], target=1)
    wanted = kit.maps_of(net, x, [min(1, classes - 1)] * 4)
    kit.assert_maps(exp, wanted)
    kit.assert_maps(single, wanted[:1])


def test_samples_that_are_not_finite_are_named(kit):
    x = kit.signal()
    x[1, 0, 3], x[3, 1, 0] = np.nan, np.inf
    with pytest.raises(sc.InputError, match=r"samples 1, 3 hold NaN or infinite values"):
        kit.explain(kit.network(), x)


def test_samples_that_are_not_finite_leave_the_others_right(kit):
    net, x = kit.network(), kit.signal()
    clean = kit.maps_of(net, x, [1] * 4)
    x[1, 0, 3] = np.nan
    with pytest.warns(sc.CamWarning) as caught:
        exp = kit.explain(net, x, target=1, nan="warn")
    assert "samples 1 hold NaN" in str(caught[0].message)
    kit.assert_maps(exp.isel(sample=[0, 2, 3]), clean[[0, 2, 3]])


def test_targets_a_sample_of_the_wrong_number_are_refused(kit):
    with pytest.raises(sc.TargetError, match="3 classes for 4 samples"):
        kit.explain(kit.network(), kit.signal(), target=sc.PerSample([0, 1, 2]))
