"""PyTorch's tiny models for the contract suite, and how to see whether one of them was changed.

A file like this for another framework offers the same names:

``CASES``
    Model builders by name; the names are those in ``test_contract.py``.
``seed``, ``Broken``, ``EARLY``
    Seeds the framework; the exception a broken model raises; a layer of the cases' body.
``signal()``, ``laid_out(x)``, ``row_of(x)``
    Inputs as the framework's models take them, channels second or last.
``snapshot(model, x)``
    Everything a user could notice about a model and the process, as plain values.
``hooks(model)``
    How many hooks hang on it.
``counted()``, ``twins()``, ``unpadded()``, ``detector(pattern)``
    Models for single tests; see there.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

CLASSES = 4
CONVS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
LENGTHS = {1: (24,), 2: (12, 10), 3: (8, 7, 6)}
EARLY = "body.0"


class Broken(Exception):  # noqa: N818 - raised by a model of the tests
    """What a model that breaks in mid-run raises."""


@dataclass(frozen=True)
class Case:
    """A model, its input, the layer to explain, and ``maps(x, classes, method)`` by hand."""

    model: Any
    x: np.ndarray
    layer: str
    maps: Callable[[np.ndarray, list[int], str], np.ndarray]


class Net(nn.Module):
    """A body, the layer to explain, a head that ends in logits, and what is done to those."""

    def __init__(self, rank=1, *, in_place=False):
        super().__init__()
        conv, lengths = CONVS[rank], LENGTHS[rank]
        cells = 5 * int(np.prod([(length + 1) // 2 for length in lengths]))
        self.body = nn.Sequential(conv(2, 4, 3, padding=1), nn.ReLU(inplace=in_place))
        self.features = conv(4, 5, 3, stride=2, padding=1)
        self.relu, self.drop = nn.ReLU(inplace=in_place), nn.Dropout(0.5)
        self.head = nn.Linear(cells, CLASSES)
        self.last, self.breaks, self.note = nn.Identity(), False, ["the user's own"]

    def tail(self, a):
        return self.head(self.drop(self.relu(a)).flatten(1))

    def forward(self, x):
        a = self.features(self.body(x))
        if self.breaks:
            raise Broken("in mid-run")
        return self.last(self.tail(a))


def seed(number):
    torch.manual_seed(number)
    np.random.seed(number)  # noqa: NPY002 - the global state is what the contract is about
    random.seed(number)


def laid_out(x):
    """An array ``(batch, channel, *positions)``, as the models here take it."""
    return x


def signal(rank=1, batch=5):
    rng = np.random.default_rng(0)
    return rng.standard_normal((batch, 2, *LENGTHS[rank])).astype(np.float32)


def by_hand(net):
    """Signed maps of a ``Net``, one channel at a time; ``a`` and ``g`` by splitting the model."""

    def maps(x, classes, method):
        modes = [(each, each.training) for each in net.modules()]
        net.eval()
        a = net.features(net.body(torch.as_tensor(x))).detach().clone().requires_grad_()
        score = sum(row[c] for row, c in zip(net.tail(a + 0), classes, strict=True))
        (g,) = torch.autograd.grad(score, a)
        for each, mode in modes:
            each.training = mode
        pairs = zip(a.detach().double().numpy(), g.double().numpy(), strict=True)
        return np.stack([_map(*pair, method) for pair in pairs])

    return maps


def _map(a, g, method):
    total = np.zeros(a.shape[1:])
    for activation, gradient in zip(a, g, strict=True):
        total = total + (gradient.mean() if method == "grad-cam" else gradient) * activation
    return total


def case(rank=1, change=lambda net: None, **options):
    net = Net(rank, **options).eval()
    change(net)
    return Case(net, signal(rank), "features", by_hand(net))


def _ends_in(last):
    return lambda net: setattr(net, "last", last)


def _train(net):
    net.train()
    net.drop.eval()


def _freeze(net):
    net.requires_grad_(requires_grad=False)
    net.head.bias.requires_grad_()


def _after_a_training_step(net):
    net.train()
    net(torch.as_tensor(signal())).square().sum().backward()
    net.features.register_forward_hook(lambda *_: None)


def _break(net):
    net.train()
    net.breaks = True


CASES = {
    "signal": lambda: case(1),
    "image": lambda: case(2),
    "volume": lambda: case(3),
    "softmax": lambda: case(1, _ends_in(nn.Softmax(1))),
    "sigmoid": lambda: case(1, _ends_in(nn.Sigmoid())),
    "train mode": lambda: case(1, _train),
    "frozen": lambda: case(1, _freeze),
    "in place": lambda: case(1, in_place=True),
    "mid-training": lambda: case(1, _after_a_training_step),
    "broken": lambda: case(1, _break),
}


# --- what must stay the same ---------------------------------------------------------------------


def hooks(model):
    kinds = [name for name in vars(model) if name.endswith("_hooks")]
    return sum(len(getattr(each, kind)) for each in model.modules() for kind in kinds)


def snapshot(model, x):
    """Outputs, weights, gradients, modes, hooks, attributes, random states and global switches."""
    switches = {
        "grad": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "threads": torch.get_num_threads(),
        "dtype": str(torch.get_default_dtype()),
        "autocast": torch.is_autocast_enabled("cpu"),
        "cudnn": (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic),
    }
    chance = {
        "torch": torch.get_rng_state().tolist(),
        "numpy": np.random.get_state()[1].tolist(),  # noqa: NPY002 - see seed
        "python": random.getstate(),
    }
    return {
        "switches": switches,
        "chance": chance,
        "attributes": [_attributes(each) for each in model.modules()],
        "parameters": [_parameter(each) for each in model.parameters()],
        "buffers": {name: (id(each), each.tolist()) for name, each in model.named_buffers()},
        "outputs": _outputs(model, x),
    }


def _attributes(module):
    plain = {key: value for key, value in vars(module).items() if not key.endswith("_hooks")}
    held = {key: (id(value), repr(value)) for key, value in plain.items()}
    return held, [len(value) for key, value in vars(module).items() if key.endswith("_hooks")]


def _parameter(each):
    grad = None if each.grad is None else (id(each.grad), each.grad.tolist())
    return id(each), each.requires_grad, each.grad_fn, each.tolist(), grad


def _outputs(model, x):
    """What the model says in the mode it is in, without moving the random state."""
    if model.breaks:
        return None
    with torch.random.fork_rng([]), torch.no_grad():
        torch.manual_seed(1)
        return model(torch.as_tensor(x)).tolist()


# --- models for single tests ---------------------------------------------------------------------


@dataclass
class Counts:
    """Batch sizes of the passes through a model's tail."""

    forward: list[int]
    backward: list[int]


class _Count(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, counts):
        ctx.counts = counts
        counts.forward.append(len(a))
        return a.clone()

    @staticmethod
    def backward(ctx, g):
        ctx.counts.backward.append(len(g))
        return g, None


def counted():
    """A model whose tail counts passes, its counts, and two layers, the later one first."""
    net, counts = Net(1).eval(), Counts([], [])
    tail = net.tail
    net.tail = lambda a: tail(_Count.apply(a, counts))
    return net, counts, ["features", "body.0"]


def twins():
    """A 1-D model, its 2-D twin (kernels 1 x k) with the same weights, and their layer."""
    one = nn.Sequential(nn.Conv1d(2, 4, 5), nn.ReLU(), nn.Conv1d(4, 5, 3, stride=2), _Head())
    two = nn.Sequential(nn.Conv2d(2, 4, (1, 5)), nn.ReLU(), nn.Conv2d(4, 5, (1, 3), stride=(1, 2)), _Head())
    two[3].linear.load_state_dict(one[3].linear.state_dict())
    for place in (0, 2):
        two[place].weight.data = one[place].weight.data[:, :, None]
        two[place].bias.data = one[place].bias.data
    return one.eval(), two.eval(), "2"


class _Head(nn.Module):
    """Averages the squares over all positions, so that gradients differ from place to place."""

    def __init__(self, width=5):
        super().__init__()
        self.linear = nn.Linear(width, CLASSES)

    def forward(self, a):
        return self.linear(a.square().flatten(2).mean(2))


def row_of(x):
    """A batch of signals, as the 2-D twin takes it."""
    return x[:, :, None]


def unpadded():
    """A 1-D model without padding, its layer, and that layer's stride."""
    net = nn.Sequential(nn.Conv1d(2, 4, 5), nn.ReLU(), nn.Conv1d(4, 5, 3, stride=2), _Head())
    return net.eval(), "2", 2


def detector(pattern):
    """A model that answers class 1 where a pattern ``(length,)`` occurs in its one channel."""
    conv = nn.Conv1d(1, 2, len(pattern), padding=len(pattern) // 2)
    conv.weight.data[0, 0] = torch.as_tensor(pattern)
    conv.weight.data[1, 0] = torch.randn(len(pattern)) / 10
    conv.bias.data = torch.tensor([-0.5 * float((pattern**2).sum()), 0.0])
    linear = nn.Linear(2, 2)
    linear.weight.data = torch.tensor([[-1.0, 0.0], [1.0, 0.0]])
    return nn.Sequential(conv, nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), linear).eval(), "1"


def tensor(x):
    """An array of the framework's own."""
    return torch.as_tensor(x)
