"""Tiny networks that come apart at the explained layer, and their maps worked out by hand."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from seeding import SEED
from torch import nn

import signalcam as sc

CLASSES = 4
CONVS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
LENGTHS = {1: (24,), 2: (12, 10), 3: (8, 7, 6)}
TOLERANCE = 1e-5  # of a map's largest value: float32 sums taken in another order


class Net(nn.Module):
    """A body, the explained layer ``conv``, a head that ends in logits, and a last step on them."""

    def __init__(self, body, conv, head, last=None):
        super().__init__()
        self.body, self.conv, self.head, self.last = body, conv, head, last

    def logits(self, x):
        return self.head(self.conv(self.body(x)))

    def forward(self, x):
        z = self.logits(x)
        return z if self.last is None else self.last(z)


def network(rank=1, classes=CLASSES, last=None, head=None, kind=Net):
    """A strided network with a flatten head, in which Grad-CAM and HiResCAM differ."""
    conv, lengths = CONVS[rank], LENGTHS[rank]
    body = nn.Sequential(conv(2, 4, 3, padding=1), nn.ReLU())
    middle = conv(4, 5, 3, stride=2, padding=1)
    cells = 5 * int(np.prod([(length + 1) // 2 for length in lengths]))
    head = head or nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(cells, classes))
    return kind(body, middle, head, last).eval()


def signal(batch=4, rank=1, dtype=np.float32):
    rng = np.random.default_rng(0)
    return rng.standard_normal((batch, 2, *LENGTHS[rank])).astype(dtype)


def map_by_hand(a, g, method):
    """One sample's signed map, channel by channel; ``a`` and ``g`` are ``(c, *positions)``."""
    total = np.zeros(a.shape[1:])
    for activation, gradient in zip(a, g, strict=True):
        weight = gradient.mean() if method == "grad-cam" else gradient
        total = total + weight * activation
    return total


def maps_by_hand(before, after, x, classes, method="grad-cam"):
    """Signed maps from a network in two halves: to the layer, and from there to the logits."""
    with torch.inference_mode(mode=False), torch.enable_grad():
        a = before(x).detach().clone().requires_grad_()
        score = sum(row[c] for row, c in zip(after(a), classes, strict=True))
        (g,) = torch.autograd.grad(score, a)
    pairs = zip(a.detach().double().numpy(), g.double().numpy(), strict=True)
    return np.stack([map_by_hand(*pair, method) for pair in pairs])


def maps_of(net, x, classes, method="grad-cam"):
    """Signed maps by hand of a ``Net`` at ``conv``, for its logits."""
    x = torch.as_tensor(x)
    return maps_by_hand(lambda t: net.conv(net.body(t)), net.head, x, classes, method)


def explain(model, x, **options):
    """Explain at ``conv``, with signs, so that no map is blank."""
    return sc.explain(model, x, **{"layer": "conv", "signed": True, **options})


def assert_maps(exp, wanted, tolerance=TOLERANCE, target=0, method=0):
    """Compare an explanation's maps at layer resolution, each scaled by its largest value."""
    found = exp.native().values[:, target, method]
    size = np.abs(wanted).reshape(len(wanted), -1).max(axis=1)
    assert found.shape == wanted.shape
    assert (size > 0).all()
    difference = np.abs(found - wanted).reshape(len(wanted), -1).max(axis=1)
    assert (difference / size).max() < tolerance


def pytest_collectstart():
    torch.manual_seed(SEED)  # for networks that a module makes when it is imported, whatever came before it


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(SEED)


@pytest.fixture
def compiler():
    """PyTorch's compiler, forgetting what other tests compiled."""
    with warnings.catch_warnings():
        # importing the compiler touches modules that PyTorch itself has deprecated
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"torch\.")
        warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch\.")
        import torch._dynamo  # noqa: PLC0415

        yield torch._dynamo
        torch._dynamo.reset()


@pytest.fixture(scope="session")
def kit():
    """What the files of this folder share; a test folder called ``torch`` can be no package."""
    return SimpleNamespace(
        Net=Net,
        network=network,
        signal=signal,
        maps_by_hand=maps_by_hand,
        maps_of=maps_of,
        explain=explain,
        assert_maps=assert_maps,
    )
