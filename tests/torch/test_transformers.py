"""Transformers at random weights: tokens fold to their grid, without the class token, where they came from."""

import copy
import warnings

import numpy as np
import pytest
import torch
from backends.torch_transformers import CASES, Encoder, assert_close, logits_of, made
from torch import nn

import signalcam as sc
from signalcam.demo import train
from signalcam.demo.heartbeats import RATE


class Squares(nn.Module):
    """Square patches made without a convolution: nothing in the network says what the grid is."""

    def __init__(self):
        super().__init__()
        self.embed, self.cls, self.head = (
            nn.Linear(48, 16),
            nn.Parameter(torch.randn(1, 1, 16)),
            nn.Linear(16, 4),
        )
        self.block = nn.TransformerEncoderLayer(16, 2, 24, dropout=0.0, batch_first=True)
        self.norm = nn.LayerNorm(16)

    def forward(self, x):
        cut = x.unfold(2, 4, 4).unfold(3, 4, 4).permute(0, 2, 3, 1, 4, 5).flatten(1, 2).flatten(2)
        tokens = torch.cat([self.cls.expand(len(x), -1, -1), self.embed(cut)], 1)
        return self.head(self.norm(self.block(tokens)).mean(1))


def pulled(net, x, layer, target):
    """What a layer returned and the gradient there, by a hook and autograd, and the score's making."""
    kept = []

    def hook(_module, _inputs, output):
        first = output if torch.is_tensor(output) else output[0]
        kept.append(first.detach().requires_grad_())
        return kept[0] if torch.is_tensor(output) else (kept[0], *output[1:])

    handle = net.get_submodule(layer).register_forward_hook(hook)
    score = logits_of(net, x)[:, target].sum()
    handle.remove()
    (g,) = torch.autograd.grad(score, kept[0])
    return kept[0].detach(), g


def score_with(net, x, layer, values, target):
    """Scores with other activations."""

    def hook(_module, _inputs, output):
        return values if torch.is_tensor(output) else (values, *output[1:])

    handle = net.get_submodule(layer).register_forward_hook(hook)
    with torch.no_grad():
        score = logits_of(net, x)[:, target]
    handle.remove()
    return score


def folded(array, prefix, grid, input_axes):
    """``(b, *others, n, d)`` to ``(b, d, *axes in the order of the input)``."""
    kept = array[..., prefix:, :].movedim(-1, 1)
    kept = kept.reshape(*kept.shape[:2], *grid)
    return kept.permute(0, 1, *[2 + i for i in np.argsort(input_axes)]).numpy()


def by_hand(a, g, method):
    axes = tuple(range(2, a.ndim))
    weight = g if method == "hires-cam" else g.mean(axes, keepdims=True)
    return (weight * a).sum(1)


@pytest.mark.parametrize("method", ["grad-cam", "hires-cam"])
@pytest.mark.parametrize("name", list(CASES))
def test_maps_are_those_by_hand_prefix_dropped_and_folded(name, method):
    net, x, layer, prefix, grid, axes, _ = made(name)
    exp = sc.explain(net, x, layer=layer, method=method, target=1, signed=True)
    a, g = (folded(each, prefix, grid, axes) for each in pulled(net, x, layer, 1))
    assert_close(exp.native().values[:, 0, 0], by_hand(a, g, method))
    assert exp.maps.ndim == 4 + len(grid)
    assert exp.maps.shape[4:] == tuple(x.shape[axis] for axis in sorted(axes))


@pytest.mark.parametrize("name", list(CASES))
def test_tokens_lie_where_they_came_from(name):
    net, x, layer, _, grid, axes, places = made(name)
    exp = sc.explain(net, x, layer=layer, method="eigen-cam", signed=True)
    found = {each.input_axis: (each.cells, each.start, each.jump) for each in exp.layers[0].grid}
    wanted = {axis: (cells, *place) for axis, cells, place in zip(axes, grid, places, strict=True)}
    assert found == wanted
    assert all(each.probed for each in exp.layers[0].grid)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("vit", "vit.layers.0[0]: 4 x 4 behind 1 without a place"),
        ("swin late", "swin.encoder.layers.1.blocks.0[0]: 4 x 4"),
        ("audio", "audio_spectrogram_transformer.layers.1.layernorm_before[0]: 5 x 8 behind 2 without a place"),
        ("signal", "encoder.layers.0[0]: 10 behind 1 without a place"),
        ("text", None),
        ("shifted windows", None),
    ],
)
def test_result_tells_how_its_tokens_were_folded(name, told, tmp_path):
    net, x, layer, *_ = made(name)
    exp = sc.explain(net, x, layer=layer, method="eigen-cam", signed=True)
    assert exp.provenance.get("tokens") == told
    exp.save(tmp_path / "run")
    assert sc.load(tmp_path / "run").provenance.get("tokens") == told


@pytest.mark.parametrize(
    "name",
    [
        "vit",
        "swin",
        "audio",
        "patches in time",
        "text",
        "signal",
        "shifted windows of a volume",
        "video",
    ],
)
def test_ablation_keeps_the_prefix_tokens(name):
    net, x, layer, prefix, grid, axes, _ = made(name)
    exp = sc.explain(net, x, layer=layer, method="ablation-cam", target=1, signed=True)
    a, _ = pulled(net, x, layer, 1)
    whole = score_with(net, x, layer, a, 1)
    drops = []
    for channel in range(a.shape[-1]):
        without = a.clone()
        without[..., prefix:, channel] = 0
        drops.append(whole - score_with(net, x, layer, without, 1))
    weights = torch.stack(drops, 1).numpy()
    channels = folded(a, prefix, grid, axes)
    wanted = np.einsum("bc,bc...->b...", weights, channels)
    assert_close(exp.native().values[:, 0, 0], wanted)


@pytest.mark.parametrize("name", ["vit", "swin late", "patches in time", "text", "signal", "shifted windows", "video"])
def test_every_method_draws_on_the_grid(name):
    net, x, layer, _, grid, axes, _ = made(name)
    skip = {"cam", "opti-cam", "smooth-grad-cam++", "full-grad", "guided-grad-cam"}
    names = [each.name for each in sc.methods() if each.name not in skip and each.plan is None]
    assert {"grad-cam++", "shapley-cam", "lift-cam", "eigen-cam", "fem"} <= set(names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sc.CamWarning)  # some methods keep nothing of random weights
        exp = sc.explain(net, x, layer=layer, method=names)
    assert exp.native().shape[3:] == tuple(np.asarray(grid)[np.argsort(axes)])
    assert np.isfinite(exp.maps.values).all()


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("vit", "vit.layers.2.layernorm_before"),
        ("swin", "swin.layernorm"),
        ("audio", "audio_spectrogram_transformer.layers.1.layernorm_before"),
        ("text", "distilbert.transformer.layer.1"),
        ("patches in time", "model.encoder.layers.0"),
        ("no class token", "model.encoder.layers.1"),
        ("signal", "encoder"),
        ("shifted windows", "norm"),
        ("volume merged", "norm"),
        ("video", "block"),
    ],
)
def test_last_tokens_that_the_score_depends_on_are_chosen(name, layer):
    net, x, *_ = made(name)
    assert sc.explain(net, x, method="eigen-cam", signed=True).layers[0].name == layer
    assert sc.layers(net, x)[0].gradient > 0


def test_layer_behind_the_last_attention_names_the_one_before():
    net, x, *_ = made("vit")
    with pytest.raises(sc.ModelError, match=r"only the class token.*'vit.layers.2.layernorm_before'"):
        sc.explain(net, x, layer="vit.layers.2")
    exp = sc.explain(net, x, layer="vit.layers.2", method="eigen-cam", signed=True)
    assert exp.native().shape[3:] == (4, 4)


def test_layer_that_runs_on_windows_names_the_way_out():
    net, x, *_ = made("swin")
    with pytest.raises(sc.ModelError, match=r"8 rows for 2 samples.*the block around it"):
        sc.explain(net, x, layer="swin.encoder.layers.0.blocks.0.attention")


class Columns(nn.Module):
    """Every column of a spectrogram is a token."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(16, 16)

    def forward(self, x):
        return self.embed(x.transpose(1, 2))


class Mean(nn.Module):
    """The mean of the tokens."""

    def forward(self, x):
        return x.mean(1)


# --- declared --------------------------------------------------------------------------------------


def test_declared_grid_folds_and_places_tokens_nothing_tells_of():
    net, x = Squares().eval(), torch.randn(2, 3, 16, 24)
    exp = sc.explain(net, x, layer="block", target=1, signed=True, tokens=sc.Tokens(1, (4, 6)))
    a, g = (folded(each, 1, (4, 6), (2, 3)) for each in pulled(net, x, "block", 1))
    assert_close(exp.native().values[:, 0, 0], by_hand(a, g, "grad-cam"))
    assert [(each.start, each.jump) for each in exp.layers[0].grid] == [(1.5, 4), (1.5, 4)]
    before = sc.explain(net, x, layer="embed", signed=True, tokens=sc.Tokens(1, (4, 6)))
    assert before.native().shape[3:] == (4, 6)


def test_declared_prefix_alone_finds_the_grid():
    net, x, layer, *_ = made("vit")
    one = sc.explain(net, x, layer=layer, tokens=1, signed=True)
    assert np.array_equal(one.maps.values, sc.explain(net, x, layer=layer, signed=True).maps.values)


def test_tokens_that_form_no_grid_say_so():
    net, x = Squares().eval(), torch.randn(2, 3, 16, 24)
    with pytest.raises(sc.LayoutError, match=r"has 25 tokens.*says 36"):
        sc.explain(net, x, layer="block", tokens=sc.Tokens(1, (5, 7)))


@pytest.mark.parametrize("align", ["receptive-field", "resize"])
def test_tokens_of_an_image_whose_grid_nothing_tells_are_not_laid_in_a_row(align):
    net, x = Squares().eval(), torch.randn(2, 3, 16, 24)
    with pytest.raises(sc.LayoutError, match=r"cut from 2 axes.*lie in one row.*Say it: tokens="):
        sc.explain(net, x, layer="block", align=align)


def test_tokens_that_each_see_a_whole_column_are_a_row():
    net = nn.Sequential(nn.Flatten(1, 2), Columns(), nn.TransformerEncoderLayer(16, 2, 24, batch_first=True), Mean())
    exp = sc.explain(net.eval(), torch.randn(2, 1, 16, 24), layer="2", signed=True)
    assert exp.native().shape[3:] == (24,)


def test_more_tokens_in_front_than_there_are_say_so():
    net, x = Squares().eval(), torch.randn(2, 3, 16, 24)
    with pytest.raises(sc.LayoutError, match=r"tokens=30 says that 30 stand before.*Pass fewer"):
        sc.explain(net, x, layer="block", tokens=30)


@pytest.mark.parametrize(
    ("name", "tokens", "message"),
    [
        ("signal", 5, r"has 11 tokens, 10 behind 1 .*tokens=5 says.*Pass tokens=1, or.*grid=\(6,\)"),
        ("signal", 11, "has 11 tokens, and tokens=11 says that 11 stand before.*Pass fewer"),
        ("vit", 2, "has 17 tokens, 4 x 4 behind 1 .*tokens=2 says"),
        ("no class token", 1, "all with a place.*1 stand before"),
        ("swin", 1, "all with a place"),
        ("text", 1, "all with a place"),
        ("swin", sc.Tokens(1, (8, 8)), "all with a place"),
        ("shifted windows", sc.Tokens(0, (8, 4)), "on a grid of .*, and Tokens.* says 8 x 4"),
        ("shifted windows", sc.Tokens(1, (4, 8)), "all with a place"),
    ],
    ids=str,
)
def test_tokens_that_contradict_the_layers_are_refused(name, tokens, message):
    net, x, layer, *_ = made(name)
    with pytest.raises(sc.LayoutError, match=message):
        sc.explain(net, x, layer=layer, method="eigen-cam", signed=True, tokens=tokens)


@pytest.mark.parametrize(
    ("name", "tokens"), [("signal", sc.Tokens(5, (6,))), ("shifted windows", sc.Tokens(0, (4, 8)))], ids=str
)
def test_tokens_that_fit_the_layers_are_used(name, tokens):
    net, x, layer, *_ = made(name)
    exp = sc.explain(net, x, layer=layer, method="eigen-cam", align="resize", signed=True, tokens=tokens)
    grid = tokens.grid if name == "signal" else made(name)[4]
    assert exp.native().shape[3:] == grid


@pytest.mark.parametrize("given", [-1, "1", 1.5, True])
def test_tokens_that_are_no_numbers_are_refused(given):
    with pytest.raises(sc.LayoutError, match="where tokens lie"):
        sc.Explainer(nn.Linear(1, 1), tokens=given)


def test_negative_grid_is_refused():
    with pytest.raises(sc.LayoutError, match="whole numbers"):
        sc.Tokens(1, (0, 4))


@pytest.mark.parametrize("name", ["vit", "swin", "patches in time", "signal"])
def test_network_comes_back_as_it_was(name):
    net, x, layer, *_ = made(name)
    before, answer = copy.deepcopy(net.state_dict()), logits_of(net, x).detach()
    sc.explain(net, x, layer=layer, method=["grad-cam", "ablation-cam"], signed=True)
    assert all(torch.equal(each, before[key]) for key, each in net.state_dict().items())
    assert torch.equal(logits_of(net, x).detach(), answer)
    assert not any(each._forward_hooks for each in net.modules())
    assert all(each.grad is None for each in net.parameters())


# --- trained ---------------------------------------------------------------------------------------


def test_heat_lies_where_the_event_was_planted():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(128, 2, 80, generator=generator) * 0.3, torch.arange(128) % 2
    starts = torch.randint(0, 8, (128,), generator=generator) * 8
    wave = torch.sin(torch.arange(16) * torch.tensor([0.4, 1.2])[:, None]) * 2
    for row, (kind, start) in enumerate(zip(y, starts, strict=True)):
        x[row, :, start : start + 16] += wave[kind]
    net = Encoder(mean=False, depth=1, first=True)
    optimiser = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(60):
        optimiser.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimiser.step()
    net = net.eval()
    assert (net(x).argmax(1) == y).float().mean() > 0.95
    exp = sc.explain(net, x, method="hires-cam")
    assert exp.layers[0].name == "encoder.layers.0.norm1"  # behind it only the class token counts
    inside = [
        patches[start // 8 : start // 8 + 2].sum() / patches.sum()
        for patches, start in zip(exp.native().values[:, 0, 0], starts.tolist(), strict=True)
    ]
    assert np.mean(inside) > 0.5  # 0.2 by chance


class BeatTransformer(nn.Module):
    """Overlapping patches of 0.2 s, a class token, one block, the answer from the class token."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv1d(1, 16, 24, stride=12, padding=6)
        self.cls, self.places = nn.Parameter(torch.zeros(1, 1, 16)), nn.Parameter(torch.zeros(1, 20, 16))
        self.block = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, norm_first=True, batch_first=True)
        self.head = nn.Linear(16, 2)

    def forward(self, x):
        tokens = self.patches(x).transpose(1, 2) + self.places
        tokens = torch.cat([self.cls.expand(len(x), -1, -1), tokens], 1)
        return self.head(self.block(tokens)[:, 0])


@pytest.fixture(scope="module")
def beats():
    """A transformer taught on a real electrocardiogram to find ventricular beats, and windows it never saw."""
    learnt, unseen = train.cut_training_windows(), train.cut_held_out_windows()
    with train.use_one_thread(), torch.random.fork_rng():
        torch.manual_seed(0)
        net = BeatTransformer()
        train.fit(net, torch.as_tensor(learnt.network_input), torch.as_tensor(learnt.label))
    return net.eval(), unseen


def test_transformer_of_heartbeats_answers_well(beats):
    net, unseen = beats
    assert (train.predict(net, unseen).numpy() == unseen.label).mean() > 0.9


@pytest.mark.parametrize(("method", "least"), [("hires-cam", 0.8), ("grad-cam", 0.6), ("le-grad", 0.5)])
def test_heat_of_tokens_lies_on_the_ventricular_beat(beats, method, least):
    net, unseen = beats
    chosen = np.flatnonzero(unseen.label)
    exp = sc.explain(net, unseen.network_input[chosen], method=method, target=1)
    assert exp.layers[0].name == "block.norm1"
    seconds = np.arange(exp.maps.shape[-1]) / RATE
    shares, chances = [], []
    for heat, window in zip(exp.maps.values.reshape(len(chosen), -1), chosen, strict=True):
        near = np.abs(seconds[:, None] - unseen.ventricular[window]).min(1) < 0.25
        shares.append(heat[near].sum() / heat.sum())
        chances.append(near.mean())
    assert np.mean(shares) > least > 1.5 * np.mean(chances)


class Mixed(nn.Module):
    """Patches, then linear layers on channels that lie last, without a normalisation among them."""

    def __init__(self):
        super().__init__()
        self.patches, self.head = nn.Conv2d(1, 12, 4, stride=4), nn.Linear(12, 3)
        self.mlp = nn.Sequential(nn.Linear(12, 24), nn.GELU(), nn.Linear(24, 12))

    def forward(self, x):
        return self.head(self.mlp(self.patches(x).permute(0, 2, 3, 1)).mean((1, 2)))


@pytest.mark.parametrize("grid", [(12, 10), (12, 12), (24, 10)], ids=str)
def test_channels_that_lie_last_are_found_where_there_are_as_many_tokens_as_channels(grid):
    torch.manual_seed(0)
    net, x = Mixed().eval(), torch.randn(2, 1, 4 * grid[0], 4 * grid[1])
    exp = sc.explain(net, x, layer="mlp", target=1, method="hires-cam", signed=True)
    a, g = pulled(net, x, "mlp", 1)
    assert_close(exp.native().values[:, 0, 0], (a * g).sum(-1).numpy())
