"""Transformers at random weights, and where their tokens lie."""

import warnings

import numpy as np
import torch
from torch import nn

TOLERANCE = 1e-4  # of the largest value: single precision, the same numbers added up in another order

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of a library that warns about its own dependencies
    import transformers as hf


def vit(**more):
    config = hf.ViTConfig(
        hidden_size=24,
        num_hidden_layers=3,
        num_attention_heads=3,
        intermediate_size=32,
        image_size=32,
        patch_size=8,
        num_labels=5,
        **more,
    )
    return hf.ViTForImageClassification(config), torch.randn(2, 3, 32, 32)


def swin():
    config = hf.SwinConfig(
        image_size=32, patch_size=4, embed_dim=12, depths=[2, 2], num_heads=[2, 2], window_size=4, num_labels=5
    )
    return hf.SwinForImageClassification(config), torch.randn(2, 3, 32, 32)


def ast():
    config = hf.ASTConfig(
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=32,
        patch_size=8,
        frequency_stride=6,
        time_stride=6,
        max_length=50,
        num_mel_bins=32,
        num_labels=4,
    )
    return hf.ASTForAudioClassification(config), torch.randn(2, 50, 32)


def patch_tst(*, cls=True):
    config = hf.PatchTSTConfig(
        num_input_channels=3,
        context_length=64,
        patch_length=8,
        patch_stride=8,
        d_model=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        ffn_dim=20,
        num_targets=4,
        use_cls_token=cls,
        pooling_type=None if cls else "mean",
        scaling="std" if cls else None,
    )
    return hf.PatchTSTForClassification(config), torch.randn(2, 64, 3)


def bert():
    config = hf.DistilBertConfig(
        vocab_size=50, dim=24, n_layers=3, n_heads=3, hidden_dim=32, max_position_embeddings=32, num_labels=3
    )
    return hf.DistilBertForSequenceClassification(config), torch.randint(0, 50, (2, 11))


class Encoder(nn.Module):
    """A signal cut into patches, a class token in front, torch's own encoder, a head on the mean or on the class token."""

    def __init__(self, prefix=1, *, mean=True, patches="conv", depth=2, first=False):
        super().__init__()
        self.patches = nn.Conv1d(2, 16, 8, stride=8) if patches == "conv" else nn.Linear(16, 16)
        self.kind, self.prefix, self.mean = patches, nn.Parameter(torch.randn(1, prefix, 16)), mean
        layer = nn.TransformerEncoderLayer(16, 2, 24, dropout=0.0, batch_first=True, norm_first=first)
        self.encoder = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.head = nn.Linear(16, 4)

    def forward(self, x):
        if self.kind == "conv":
            tokens = self.patches(x).transpose(1, 2)
        else:
            tokens = self.patches(x.unfold(2, 8, 8).transpose(1, 2).flatten(2))
        tokens = self.encoder(torch.cat([self.prefix.expand(x.shape[0], -1, -1), tokens], 1))
        return self.head(tokens.mean(1) if self.mean else tokens[:, 0])


class Shifted(nn.Module):
    """Attention within windows that are shifted round, on tokens ``(b, *grid, d)`` as torchvision's Swin has them."""

    def __init__(self, width, shift):
        super().__init__()
        self.norm, self.shift = nn.LayerNorm(width), shift
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)

    def forward(self, x):
        axes, grid = tuple(range(1, x.ndim - 1)), x.shape[1:-1]
        y = self.norm(x).roll([-self.shift] * len(axes), axes)
        for axis in axes:  # (b, t, h, w, d) to (b, t / 2, 2, h / 2, 2, w / 2, 2, d)
            y = y.unflatten(2 * axis - 1, (grid[axis - 1] // 2, 2))
        coarse, fine = [2 * axis - 1 for axis in axes], [2 * axis for axis in axes]
        y = y.permute(0, *coarse, *fine, -1)
        tokens = y.reshape(-1, 2 ** len(axes), x.shape[-1])
        y = self.attention(tokens, tokens, tokens)[0].reshape(y.shape)
        places = [
            place
            for pair in zip(range(1, len(axes) + 1), range(len(axes) + 1, 2 * len(axes) + 1), strict=True)
            for place in pair
        ]
        return x + y.permute(0, *places, -1).reshape(x.shape).roll([self.shift] * len(axes), axes)


class Windows(nn.Module):
    """Patches, channels last, two blocks of which the second is shifted, and their merging, for images and video."""

    def __init__(self, axes):
        super().__init__()
        self.patches = (nn.Conv2d, nn.Conv3d)[axes - 2](2, 8, 4, stride=4)
        self.blocks = nn.ModuleList([Shifted(8, 0), Shifted(8, 1)])
        self.merge, self.late = nn.Linear(8 * 2**axes, 12), Shifted(12, 1)
        self.norm, self.head = nn.LayerNorm(12), nn.Linear(12, 4)

    def forward(self, x):
        y = self.patches(x).movedim(1, -1)
        for block in self.blocks:
            y = block(y)
        for axis in range(1, y.ndim - 1):
            y = torch.cat([y.index_select(axis, torch.arange(start, y.shape[axis], 2)) for start in (0, 1)], -1)
        return self.head(self.norm(self.late(self.merge(y))).flatten(1, -2).mean(1))


class Video(nn.Module):
    """Tubelets of a video in one row behind a class token, as ViViT and VideoMAE have them."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv3d(2, 16, (2, 4, 4), stride=(2, 4, 4))
        self.cls, self.head = nn.Parameter(torch.randn(1, 1, 16)), nn.Linear(16, 4)
        self.block = nn.TransformerEncoderLayer(16, 2, 24, dropout=0.0, batch_first=True)

    def forward(self, x):
        y = self.patches(x).flatten(2).transpose(1, 2)
        return self.head(self.block(torch.cat([self.cls.expand(x.shape[0], -1, -1), y], 1)).mean(1))


CASES = {  # layer, prefix, grid behind it, input axis of each grid axis, start and jump of each
    "vit": (vit, "vit.layers.0", 1, (4, 4), (2, 3), ((3.5, 8), (3.5, 8))),
    "vit norm": (vit, "vit.layers.2.layernorm_before", 1, (4, 4), (2, 3), ((3.5, 8), (3.5, 8))),
    "swin": (swin, "swin.encoder.layers.0.blocks.1", 0, (8, 8), (2, 3), ((1.5, 4), (1.5, 4))),
    "swin late": (swin, "swin.encoder.layers.1.blocks.0", 0, (4, 4), (2, 3), ((3.5, 8), (3.5, 8))),
    "audio": (ast, "audio_spectrogram_transformer.layers.1.layernorm_before", 2, (5, 8), (2, 1), ((3.5, 6), (3.5, 6))),
    "patches in time": (patch_tst, "model.encoder.layers.0", 1, (3, 8), (2, 1), ((0, 1), (3.5, 8))),
    "no class token": (lambda: patch_tst(cls=False), "model.encoder.layers.1", 0, (3, 8), (2, 1), ((0, 1), (3.5, 8))),
    "text": (bert, "distilbert.transformer.layer.1", 0, (11,), (1,), ((0, 1),)),
    "signal": (lambda: (Encoder(), torch.randn(2, 2, 80)), "encoder.layers.0", 1, (10,), (2,), ((3.5, 8),)),
    "shifted windows": (
        lambda: (Windows(2), torch.randn(2, 2, 16, 32)),
        "blocks.1",
        0,
        (4, 8),
        (2, 3),
        ((1.5, 4), (1.5, 4)),
    ),
    "shifted windows, merged": (
        lambda: (Windows(2), torch.randn(2, 2, 16, 32)),
        "late.norm",
        0,
        (2, 4),
        (2, 3),
        ((3.5, 8), (3.5, 8)),
    ),
    "shifted windows of a volume": (
        lambda: (Windows(3), torch.randn(2, 2, 16, 16, 32)),
        "blocks.1",
        0,
        (4, 4, 8),
        (2, 3, 4),
        ((1.5, 4),) * 3,
    ),
    "volume merged": (
        lambda: (Windows(3), torch.randn(2, 2, 16, 16, 32)),
        "norm",
        0,
        (2, 2, 4),
        (2, 3, 4),
        ((3.5, 8),) * 3,
    ),
    "video": (
        lambda: (Video(), torch.randn(2, 2, 6, 16, 12)),
        "block",
        1,
        (3, 4, 3),
        (2, 3, 4),
        ((0.5, 2), (1.5, 4), (1.5, 4)),
    ),
    "linear patches": (
        lambda: (Encoder(2, patches="linear"), torch.randn(2, 2, 80)),
        "encoder.layers.1",
        2,
        (10,),
        (2,),
        ((3.5, 8),),
    ),
}


def made(name):
    torch.manual_seed(0)
    build, *rest = CASES[name]
    net, x = build()
    for each in net.modules():
        if isinstance(each, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d):
            nn.init.normal_(each.weight, std=0.3)
    return net.eval(), x, *rest


def logits_of(net, x):
    out = net(x)
    if torch.is_tensor(out):
        return out
    return out["logits"] if "logits" in out else out["prediction_logits"]


def assert_close(found, wanted):
    assert found.shape == wanted.shape
    assert np.abs(wanted).max() > 0
    assert np.abs(found - wanted).max() < TOLERANCE * np.abs(wanted).max()
