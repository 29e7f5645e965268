"""LeGrad: the positive gradient at attention weights, whichever way attention is spelt."""

import copy

import numpy as np
import pytest
import torch
from backends.torch_transformers import Encoder, assert_close, logits_of, made
from torch import nn
from torch.nn import functional

import signalcam as sc

TARGET, WIDTH, HEADS = 1, 12, 3


class Attention(nn.Module):
    """Self-attention, written in one of several ways."""

    def __init__(self, how):
        super().__init__()
        self.how, self.own = how, nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)

    def split(self, x):
        qkv = functional.linear(x, self.own.in_proj_weight, self.own.in_proj_bias)
        return [y.unflatten(2, (HEADS, -1)).transpose(1, 2) for y in qkv.chunk(3, -1)]

    def weights(self, x):
        q, k, _ = self.split(x)
        scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
        if "causal" in self.how:
            late = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
            scores = scores.masked_fill(late, -torch.inf)
        e = (scores - scores.amax(-1, keepdim=True)).exp()
        return e / e.sum(-1, keepdim=True)

    def mixed(self, x, weights):
        return self.own.out_proj((weights @ self.split(x)[2]).transpose(1, 2).flatten(2))

    def forward(self, x):
        if self.how == "module":
            return self.own(x, x, x)[0]
        if self.how == "module without weights":
            return self.own(x, x, x, need_weights=False)[0]
        q, k, v = self.split(x)
        if self.how == "softmax by name":
            scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
            return self.own.out_proj((scores.softmax(3) @ v).transpose(1, 2).flatten(2))
        y = functional.scaled_dot_product_attention(q, k, v, is_causal="causal" in self.how)
        return self.own.out_proj(y.transpose(1, 2).flatten(2))


class Net(nn.Module):
    """A class token before ten patches, two residual blocks of attention, the answer from the class token."""

    def __init__(self, how):
        super().__init__()
        self.patches, self.cls = nn.Conv1d(2, WIDTH, 8, stride=8), nn.Parameter(torch.randn(1, 1, WIDTH))
        self.norms = nn.ModuleList([nn.LayerNorm(WIDTH) for _ in range(2)])
        self.blocks = nn.ModuleList([Attention(how) for _ in range(2)])
        self.head = nn.Linear(WIDTH, 4)

    def forward(self, x):
        return self.behind(self.tokens(x), lambda block, y: block(y))

    def tokens(self, x):
        y = self.patches(x).transpose(1, 2)
        return torch.cat([self.cls.expand(x.shape[0], -1, -1), y], 1)

    def behind(self, y, attend):
        for norm, block in zip(self.norms, self.blocks, strict=True):
            y = y + attend(block, norm(y))
        return self.head(y[:, 0])

    def by_hand(self, x):
        """The paper's map of each block, from the gradient at its weights."""
        kept = []

        def attend(block, y):
            kept.append(block.weights(y))
            return block.mixed(y, kept[-1])

        score = self.behind(self.tokens(x), attend)[:, TARGET].sum()
        arrived = torch.autograd.grad(score, kept)
        return [g.clamp(min=0).mean((1, 2))[:, 1:].numpy() for g in arrived]


def network(how):
    torch.manual_seed(0)
    net = Net(how).eval()
    for each in net.blocks:
        nn.init.normal_(each.own.in_proj_weight, std=0.5)
    return net, torch.randn(3, 2, 80)


def heat(net, x, layer=None, **options):
    exp = sc.explain(net, x, layer=layer, method="le-grad", target=TARGET, signed=True, **options)
    return exp.native().values[:, 0, 0]


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("how", ["module", "module without weights", "softmax by name", "fused", "fused, causal"])
def test_map_is_that_of_hand_written_attention(how, layer):
    net, x = network(how)
    wanted = net.by_hand(x)
    for name in (f"blocks.{layer}", f"norms.{layer}"):  # the block itself; what goes into it
        assert_close(heat(net, x, name), wanted[layer])


def test_last_attention_is_read_without_naming_a_layer():
    net, x = network("fused")
    assert_close(heat(net, x), net.by_hand(x)[-1])


def test_layer_behind_all_attention_shows_the_last():
    net, x = Encoder(depth=2, first=False).eval(), torch.randn(2, 2, 80)
    assert_close(heat(net, x, "encoder.layers.1.norm2"), heat(net, x, "encoder.layers.1"))


def test_layer_that_holds_several_blocks_shows_their_mean():
    net, x = Encoder().eval(), torch.randn(2, 2, 80)
    each = [heat(net, x, f"encoder.layers.{i}") for i in range(2)]
    assert_close(heat(net, x, "encoder"), np.mean(each, axis=0))


def of_hugging_face(net, x, block):
    """The map from the attention that the library itself returns, written out in its own way."""
    eager = copy.deepcopy(net)
    eager.set_attn_implementation("eager")
    said = eager(x, output_attentions=True)
    weights = said["attentions"][block]
    logits = said["logits"] if "logits" in said else said["prediction_logits"]
    (g,) = torch.autograd.grad(logits[:, TARGET].sum(), weights)
    return g.clamp(min=0).mean((1, 2)).numpy()


@pytest.mark.parametrize(
    ("name", "layer", "block"),
    [
        ("vit", "vit.layers.0", 0),
        ("vit", "vit.layers.2.attention", 2),
        ("vit norm", None, 2),
        ("audio", "audio_spectrogram_transformer.layers.0", 0),
        ("text", "distilbert.transformer.layer.1", 1),
        ("text", "distilbert.transformer.layer.2.attention", 2),
        ("patches in time", "model.encoder.layers.0", 0),
    ],
)
def test_fused_attention_of_hugging_face_gives_the_map_of_its_own_weights(name, layer, block):
    net, x, _, prefix, grid, axes, _ = made(name)
    assert net.config._attn_implementation == "sdpa"
    wanted = of_hugging_face(net, x, block)
    wanted = wanted.reshape(len(x), -1, wanted.shape[-1])[..., prefix:].reshape(len(x), *grid)
    found = heat(net, x, layer)
    assert_close(found, wanted.transpose(0, *[1 + i for i in np.argsort(axes)]))


def test_grouped_queries_and_masks_leave_the_answer_as_it_was():
    class Grouped(nn.Module):
        def __init__(self):
            super().__init__()
            self.q, self.kv, self.head = nn.Linear(8, 8), nn.Linear(8, 4), nn.Linear(8, 3)
            self.norm = nn.LayerNorm(8)

        def forward(self, x):
            x = self.norm(x)
            q = self.q(x).unflatten(2, (4, 2)).transpose(1, 2)
            k = self.kv(x).unflatten(2, (2, 2)).transpose(1, 2)
            mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril(3)
            y = functional.scaled_dot_product_attention(q, k, k + 1, attn_mask=mask, enable_gqa=True, scale=0.7)
            return self.head(y.transpose(1, 2).flatten(2).mean(1))

    torch.manual_seed(0)
    net, x = Grouped().eval(), torch.randn(2, 9, 8)
    exp = sc.explain(
        net,
        x,
        layer="norm",
        method=[sc.Smooth("le-grad", n=1, noise=0), "le-grad"],
        target=TARGET,
        align="resize",
        signed=True,
    )
    np.testing.assert_allclose(exp.scores[:, 0], net(x)[:, TARGET].detach(), rtol=1e-5)
    assert exp.maps.values.any()


def test_exported_and_parallel_models_get_the_map_of_the_module(compiler):
    net, x = network("fused")
    batch = {0: torch.export.Dim("batch", min=1, max=64)}
    program = torch.export.export(net, (x,), dynamic_shapes=(batch,))
    wanted = heat(net, x, "norms.1")
    assert_close(heat(program, x, "norms.1"), wanted)
    assert_close(heat(nn.DataParallel(net), x, "norms.1"), wanted)
    assert_close(heat(torch.compile(net, backend="eager"), x, "norms.1"), wanted)


def test_two_targets_and_batches_each_get_their_own():
    net, x = network("fused")
    both = sc.explain(
        net, x, layer="norms.1", method=["le-grad", "grad-cam"], target=[0, TARGET], signed=True, batch_size=2
    )
    assert_close(both.native().values[:, 1, 0], net.by_hand(x)[1])


def test_attention_in_windows_is_refused_with_the_way_out():
    net, x, *_ = made("swin")
    with pytest.raises(sc.MethodError, match=r"'swin.encoder.layers.0.blocks.1'.*windows.*hires"):
        heat(net, x, "swin.encoder.layers.0.blocks.1")


def test_network_without_attention_is_refused_with_the_way_out():
    net = nn.Sequential(nn.Conv1d(2, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, 3))
    with pytest.raises(sc.MethodError, match=r"no softmax attention was seen.*use grad-cam"):
        heat(net, torch.randn(2, 2, 50))


@pytest.mark.parametrize("name", ["vit", "text", "signal"])
def test_network_comes_back_as_it_was(name):
    net, x, layer, *_ = made(name)
    before, answer = copy.deepcopy(net.state_dict()), logits_of(net, x).detach()
    heat(net, x, layer)
    assert all(torch.equal(each, before[key]) for key, each in net.state_dict().items())
    assert torch.equal(logits_of(net, x).detach(), answer)
    assert not any(each._forward_hooks or each._forward_pre_hooks for each in net.modules())
    assert all(each.grad is None for each in net.parameters())
