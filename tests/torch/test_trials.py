"""Asking a PyTorch model again: other inputs, other activations, other backward passes."""

import contextlib
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import signalcam as sc
from signalcam.attribution.perturbation import _gaussian, one_hot
from signalcam.attribution.registry import Method
from signalcam.backends import backend_of
from signalcam.explainer import perturbation_engine
from signalcam.inputs.conversion import as_inputs
from signalcam.targets import Class, PerSample, Question

EXACT = 1e-12  # float64: sums in another order
SINGLE = 1e-5  # float32: the same, of the largest value
RNG = np.random.default_rng(0)


def ask(kind="plain", classes=(0, 1, 2, 0)):
    return Question((PerSample(classes),), "logit", None, (np.asarray(classes),), kind)


def drops(case):
    """How much each target's score falls when a channel is put out, as a map of two positions or more."""
    channels = case.a.shape[1]

    def edit(samples, numbers):
        hot = case.array(np.eye(channels)[numbers])
        return case.a[samples][:, None] * (1 - hot)[None, :, :, None]

    tried = case.run_with_activations(channels, edit)
    lost = [own[:, None] - each for own, each in zip(case.scores, tried, strict=True)]
    return [torch.einsum("bc,bcp->bp", each.to(case.a), case.a) for each in lost]


DROPS = Method("drops", None, "none", "trials", needs_gradients=False, plan=drops)


def by_hand(model, x, layer, target=1):
    """The same, running the whole model once a channel with a hook of our own."""
    kept, channel = [], [None]

    def hook(_module, _inputs, output):
        kept[:] = [output.detach().clone()]
        if channel[0] is not None:
            output = output.clone()
            output[:, channel[0]] = 0
        return output

    model = model.eval()
    handle = model.get_submodule(layer).register_forward_hook(hook)
    with torch.no_grad():
        full, a = model(x)[:, target], None
        a, total = kept[0], 0
        for number in range(a.shape[1]):
            channel[0] = number
            total = total + (full - model(x)[:, target]).reshape(-1, *[1] * (a.ndim - 2)) * a[:, number]
    handle.remove()
    return total.numpy()


class Residual(nn.Module):
    """Rectifiers in place, a shortcut around the tapped layer, arithmetic between layers."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv1d(2, 6, 5), nn.BatchNorm1d(6), nn.ReLU(inplace=True))
        self.one, self.two = nn.Conv1d(6, 6, 3, padding=1), nn.Conv1d(6, 6, 3, padding=1)
        self.relu, self.head = nn.ReLU(inplace=True), nn.Linear(6, 3)

    def forward(self, x):
        x = self.stem(x) * 2
        y = self.two(self.relu(self.one(x)))
        y += x
        return self.head(self.relu(y).mean(-1))


class Dense(nn.Module):
    """Everything is concatenated to what came before."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.three = (
            nn.Conv1d(2, 4, 3, padding=1),
            nn.Conv1d(6, 4, 3, padding=1),
            nn.Conv1d(10, 4, 3, padding=1),
        )
        self.head = nn.Linear(14, 3)

    def forward(self, x):
        for each in (self.one, self.two, self.three):
            x = torch.cat([x, torch.relu(each(x))], 1)
        return self.head(x.mean(-1))


class Shared(nn.Module):
    """A layer that runs before and at the tap, and a recurrent layer on the way."""

    def __init__(self):
        super().__init__()
        self.conv, self.lstm = nn.Conv1d(3, 3, 3, padding=1), nn.LSTM(3, 3, batch_first=True)
        self.out, self.head = nn.Conv1d(3, 5, 3), nn.Linear(5, 3)

    def forward(self, x):
        x = self.conv(torch.relu(self.conv(x)))
        x, _ = self.lstm(x.movedim(1, 2))
        return self.head(torch.relu(self.out(x.movedim(1, 2))).mean(-1))


class Counting(nn.Module):
    """Changes what a layer returned, outside of any layer, in a way that cannot be done twice."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.head = nn.Conv1d(2, 4, 3), nn.Conv1d(4, 4, 3), nn.Linear(4, 3)

    def forward(self, x):
        x = self.one(x)
        x.add_(1)
        return self.head((torch.tanh(self.two(x)) + x[..., 1:-1]).mean(-1))


class InPlace(Counting):
    """The same without a consequence behind the tap: what is handed back refuses to be changed."""

    def forward(self, x):
        x = self.one(x)
        x.add_(1)
        return self.head(torch.tanh(self.two(x)).mean(-1))


def network(kind, channels=2):
    torch.manual_seed(0)
    return kind().eval()


CASES = [
    (Residual, "stem.0", 2),
    (Residual, "one", 2),
    (Residual, "two", 2),
    (Residual, "stem", 2),
    (Dense, "one", 2),
    (Dense, "two", 2),
    (Dense, "three", 2),
    (Shared, "out", 3),
    (Counting, "two", 2),
    (InPlace, "two", 2),
]


@pytest.mark.parametrize(("kind", "layer", "channels"), CASES)
@pytest.mark.parametrize("batch_size", [1, 5, None])
@pytest.mark.filterwarnings("ignore:where layer:signalcam.CamWarning")
def test_trials_behind_a_layer_equal_whole_runs_by_hand(kind, layer, channels, batch_size):
    model, x = network(kind), torch.randn(3, channels, 40)
    exp = sc.explain(model, x, layer=layer, method=DROPS, target=1, signed=True, batch_size=batch_size)
    wanted = by_hand(network(kind), x, layer)
    found = exp.native().values[:, 0, 0]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=SINGLE * np.abs(wanted).max())


@pytest.mark.parametrize(("kind", "layer", "channels"), CASES[:-2])
@pytest.mark.filterwarnings("ignore:where layer:signalcam.CamWarning")
def test_what_lies_before_the_layer_is_not_run_again(kind, layer, channels):
    model, x, runs = network(kind), torch.randn(2, channels, 40), []
    first = next(each for each in model.modules() if isinstance(each, nn.Conv1d))
    exp = sc.explain(model, x, layer=layer, method=DROPS, target=1, signed=True)
    assert exp.provenance["trials run"] == perturbation_engine.TAIL
    own = type(first).forward

    def forward(*args):
        runs.append(args[0].shape[0])
        return own(first, *args)

    first.forward = forward
    sc.explain(model, x, layer=layer, method=DROPS, target=1, signed=True, batch_size=2)
    assert sum(runs) < 12  # the pass, the memory of each batch, and where the layer looks


def test_model_that_cannot_be_cut_is_run_whole_and_the_result_says_so():
    model, x = network(Counting), torch.randn(2, 2, 40)
    exp = sc.explain(model, x, layer="two", method=DROPS, target=1, signed=True)
    assert exp.provenance["trials run"] == perturbation_engine.WHOLE


@pytest.mark.parametrize("layer", ["stem", "two"])
def test_model_comes_back_as_it_was_also_when_a_trial_fails(layer):
    model, x = network(Residual).train(), torch.randn(2, 2, 40)
    before = {name: dict(each.__dict__) for name, each in model.named_modules()}

    def fails(case):
        def edit(samples, numbers):
            return case.a[samples][:, None, :2]

        return case.run_with_activations(2, edit)

    broken = Method("broken", None, "none", "trials", needs_gradients=False, plan=fails)
    with pytest.raises(RuntimeError):
        sc.explain(model, x, layer=layer, method=broken)
    sc.explain(model, x, layer=layer, method=DROPS, signed=True)
    after = {name: dict(each.__dict__) for name, each in model.named_modules()}
    assert str(after) == str(before)
    assert all("forward" not in each.__dict__ for each in model.modules())


@pytest.mark.parametrize("last", [nn.Softmax(1), nn.Sigmoid(), nn.LogSoftmax(1)])
def test_trials_score_exact_logits_behind_the_last_step(last):
    bare, x = network(Residual), torch.randn(3, 2, 40)
    with torch.no_grad():
        bare.head.weight *= 200  # saturates every probability
    plain, behind = (
        sc.explain(each, x, layer=layer, method=DROPS, target=1, signed=True).native().values
        for each, layer in ((bare, "two"), (nn.Sequential(bare, last), "0.two"))
    )
    np.testing.assert_allclose(behind, plain, rtol=0, atol=SINGLE * np.abs(plain).max())


def test_no_more_rows_than_the_batch_size_are_run(monkeypatch):
    model, x, rows = network(Residual), torch.randn(3, 2, 40), []
    backend = type(backend_of(model))
    own = backend.forward

    def push(self, model, inputs, question, edit=None):
        rows.append(inputs.explained.shape[0])
        return own(self, model, inputs, question, edit)

    monkeypatch.setattr(backend, "forward", push)
    sc.explain(model, x, layer="two", method=DROPS, target=1, signed=True)
    rows.clear()
    sc.explain(model, x, layer="two", method=DROPS, target=1, signed=True, batch_size=4)
    assert (max(rows), sum(rows)) == (4, 18)


class Largest(TorchDispatchMode):
    """Notes how many values the largest tensor holds that anything makes while the block is open."""

    values = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        sizes = [
            each.untyped_storage().nbytes() // each.element_size()
            for each in tree_leaves(made)
            if isinstance(each, torch.Tensor)
        ]
        self.values = max(self.values, *sizes, 0)
        return made


@pytest.mark.parametrize("method", ["ablation-cam", "recipro-cam", "score-cam", "poly-cam"])
@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.filterwarnings("ignore:poly-cam at:signalcam.CamWarning")
def test_memory_is_bounded_by_the_batch_size_and_not_by_the_trials(method, samples):
    """Enough channels and positions that whatever was made for all at once would be far too large."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv1d(4, 24, 4, 4), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(24, 3))
    x, rows = torch.randn(samples, 4, 96), 2
    options = {"layer": "1", "method": method, "target": 1, "signed": True, "batch_size": rows}
    sc.explain(model, x, **options)  # where the layer looks is measured once
    with Largest() as largest:
        sc.explain(model, x, **options)
    assert largest.values <= rows * 24 * 24  # so many samples at the largest place of the network


def test_numbers_of_the_trials_not_run_are_not_made():
    case = SimpleNamespace(array=lambda values: values)
    tracemalloc.start()
    try:
        found = one_hot(case, slice(2, 4), 3001, 3000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(found, np.eye(3001, 3000)[2:4])
    assert peak < 100 * 3001


def test_blur_of_a_long_signal_is_made_some_columns_at_a_time():
    blocks = list(_gaussian(150, 0.2))
    assert [each.shape for each in blocks] == [(150, 64), (150, 64), (150, 22)]
    off = np.arange(150)[:, None] - np.arange(150)
    wanted = np.exp(-0.5 * (off / 30) ** 2)
    wanted /= wanted.sum(1, keepdims=True)
    np.testing.assert_allclose(np.concatenate(blocks, axis=1).T, wanted, rtol=EXACT)


def test_trials_are_halved_when_memory_runs_out(monkeypatch):
    model, x = network(Residual), torch.randn(3, 2, 40)
    wanted = sc.explain(model, x, layer="two", method=DROPS, target=1, signed=True).maps
    backend = type(backend_of(model))
    own = backend.forward

    def push(self, model, inputs, question, edit=None):
        if inputs.explained.shape[0] > 2:
            raise torch.OutOfMemoryError
        return own(self, model, inputs, question, edit)

    monkeypatch.setattr(backend, "forward", push)
    found = sc.explain(model, x, layer="two", method=DROPS, target=1, signed=True).maps
    np.testing.assert_allclose(found, wanted, rtol=SINGLE, atol=SINGLE * float(wanted.max()))


def test_random_state_is_left_alone():
    model, x = network(Residual), torch.randn(3, 2, 40)
    before = torch.get_rng_state().clone(), np.random.get_state()[1].copy()  # noqa: NPY002 - the global one is meant
    sc.explain(model, x, layer="two", method=DROPS, signed=True)
    assert torch.equal(before[0], torch.get_rng_state())
    np.testing.assert_array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002 - the global one is meant


def test_trials_run_as_the_user_runs_the_model_under_autocast():
    model, x = network(Residual), torch.randn(3, 2, 40)
    plain = sc.explain(model, x, layer="two", method=DROPS, target=1, signed=True).native().values
    kinds = []
    model.head.register_forward_hook(lambda *seen: kinds.append(seen[2].dtype))
    with torch.autocast("cpu", torch.bfloat16):
        found = sc.explain(model, x, layer="two", method=DROPS, target=1, signed=True).native().values
    assert set(kinds) == {torch.bfloat16}
    assert np.corrcoef(found.ravel(), plain.ravel())[0, 1] > 0.99


# --- other backward passes ------------------------------------------------------------------------


def felt(model, x, layer, kind, classes=(0, 1, 2)):
    pull = backend_of(model).forward_backward(model, as_inputs(x), [layer], ask(kind, classes))
    ((one,),) = pull.rows
    return one, pull.scored_targets[0].value


class Quadratic(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(2, 4, 3)
        self.form = nn.Parameter(torch.randn(3, 4, 4))

    def forward(self, x):
        a = self.conv(x).mean(-1)
        return torch.einsum("bi,kij,bj->bk", a, self.form, a) + a[:, :3] + 1


def test_half_the_curvature_makes_a_quadratic_score_complete():
    torch.manual_seed(1)
    model, x = Quadratic().double(), torch.randn(3, 2, 20, dtype=torch.float64)
    one, score = felt(model, x, "conv", "curved")
    total = (one.gradient * one.activation).sum((1, 2))
    np.testing.assert_allclose(total, score.detach() - 1, rtol=EXACT, atol=EXACT)


def test_curvature_is_nothing_for_a_rectifier_network():
    model, x = network(Residual), torch.randn(3, 2, 40)
    curved, plain = (felt(model, x, "one", kind)[0].gradient for kind in ("curved", "plain"))
    np.testing.assert_array_equal(curved, plain)


def smooth_tail(step):
    torch.manual_seed(2)
    return nn.Sequential(
        nn.Conv1d(2, 4, 3),
        step,
        nn.Conv1d(4, 5, 3),
        step,
        nn.AvgPool1d(2),
        nn.Flatten(),
        nn.Linear(40, 8),
        step,
        nn.Linear(8, 3),
    ).double()


STEPS = [
    nn.ReLU(),
    nn.ReLU(inplace=True),
    nn.ELU(),
    nn.GELU(),
    nn.SiLU(),
    nn.Tanh(),
    nn.Sigmoid(),
    nn.LeakyReLU(0.2, inplace=True),
    nn.Softplus(),
]


@pytest.mark.parametrize("step", STEPS, ids=repr)
def test_rescaled_contributions_add_up_to_what_the_activations_change(step):
    model, x = smooth_tail(step), torch.randn(3, 2, 20, dtype=torch.float64)
    one, score = felt(model, x, "0", "rescale")
    with torch.no_grad():
        empty = model[1:](torch.zeros(3, 4, 18, dtype=torch.float64))
    wanted = score.detach() - empty[range(3), [0, 1, 2]]
    total = (one.gradient * one.activation).sum((1, 2))
    np.testing.assert_allclose(total, wanted, rtol=1e-9, atol=1e-9)
    assert one.activation.shape == one.gradient.shape == (3, 4, 18)


def test_relevance_is_what_the_layer_by_layer_rule_hands_down():
    """LRP-0 by its own rule, ``R_i = sum_j a_i w_ij R_j / z_j``, layer after layer."""
    torch.manual_seed(3)
    tail = [nn.Linear(12, 6), nn.Linear(6, 5), nn.Linear(5, 3)]
    model = nn.Sequential(nn.Conv1d(2, 4, 3), nn.Flatten(), tail[0], nn.ReLU(), tail[1], nn.ReLU(), tail[2]).double()
    x = torch.randn(1, 2, 5, dtype=torch.float64)
    one, _ = felt(model, x, "0", "relevance", (1,))
    found = (one.activation * one.gradient).reshape(-1).numpy()
    inputs = [one.activation.reshape(-1).detach()]
    for layer in tail[:-1]:
        inputs.append(torch.relu(layer(inputs[-1])).detach())
    relevance = torch.tensor([-0.5, 1.0, -0.5], dtype=torch.float64)
    for layer, a in zip(reversed(tail), reversed(inputs), strict=True):
        z = layer(a).detach()
        relevance = a * (layer.weight.detach().T @ (relevance / torch.where(z == 0, 1, z)))
    np.testing.assert_allclose(found, relevance.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", [nn.Sigmoid(), nn.Identity()])
def test_relevance_refuses_a_single_output(kind):
    model = nn.Sequential(nn.Conv1d(2, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, 1), kind)
    with pytest.raises(sc.MethodError, match="one logit a class"):
        backend_of(model).forward_backward(model, as_inputs(torch.randn(2, 2, 9)), ["0"], ask("relevance", (0, 1)))


def test_guided_gradients_equal_those_by_hand():
    torch.manual_seed(4)
    one, two, head = nn.Conv1d(2, 4, 3), nn.Conv1d(4, 4, 3), nn.Linear(4, 3)
    model = nn.Sequential(
        one, nn.ReLU(), two, nn.ReLU(inplace=True), nn.AdaptiveAvgPool1d(1), nn.Flatten(), head
    ).double()
    x = torch.randn(3, 2, 20, dtype=torch.float64)
    z1 = one(x)
    z2 = two(torch.relu(z1))
    up = head.weight[[0, 1, 2]][:, :, None].expand_as(z2) / z2.shape[2]
    down = torch.where((z2 > 0) & (up > 0), up, 0)
    up = nn.functional.conv_transpose1d(down, two.weight)
    down = torch.where((z1 > 0) & (up > 0), up, 0)
    wanted = nn.functional.conv_transpose1d(down, one.weight).detach()
    ((score, found),) = backend_of(model).input_gradients(model, as_inputs(x), ask(classes=(0, 1, 2)), "guided")
    np.testing.assert_allclose(found, wanted, rtol=EXACT, atol=EXACT)
    np.testing.assert_allclose(score, model(x)[range(3), range(3)].detach(), rtol=EXACT)


def test_guided_gradients_need_rectifiers():
    model = nn.Sequential(nn.Conv1d(2, 4, 3), nn.Tanh(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, 3))
    with pytest.raises(sc.MethodError, match="needs rectifiers"):
        backend_of(model).input_gradients(model, as_inputs(torch.randn(2, 2, 9)), ask(classes=(0, 1)), "guided")


def test_offsets_and_activations_add_up_to_the_score():
    torch.manual_seed(5)
    model = nn.Sequential(
        nn.Conv1d(2, 4, 3),
        nn.BatchNorm1d(4),
        nn.ReLU(),
        nn.Conv1d(4, 5, 3),
        nn.BatchNorm1d(5, affine=False),
        nn.ReLU(),
        nn.MaxPool1d(2),
        nn.Flatten(),
        nn.Linear(40, 3, bias=False),
    ).double()
    x = torch.randn(3, 2, 20, dtype=torch.float64)
    with contextlib.suppress(ValueError):
        model(x)  # moves the statistics
    model.eval()
    backend, given = backend_of(model), as_inputs(x)
    held = backend.offsets(model, given)
    assert list(held) == ["0[0]", "1[0]", "3[0]", "4[0]"]
    pull = backend.forward_backward(model, given, list(held), ask(classes=(0, 1, 2)))
    (row,) = pull.rows
    total = sum((held[each.ran][None, :, None] * each.gradient).sum((1, 2)) for each in row)
    ((score, g),) = backend.input_gradients(model, given, ask(classes=(0, 1, 2)), None)
    np.testing.assert_allclose(total + (g * x).sum((1, 2)), score, rtol=1e-9, atol=1e-12)


# --- no gradients ---------------------------------------------------------------------------------


class Cut(nn.Module):
    """A layer whose output is rounded to whole numbers behind it: nothing to differentiate."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv1d(2, 4, 3), nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.conv(x).detach().mean(-1))


@pytest.mark.parametrize("method", ["eigen-cam", "mean-activation", DROPS])
def test_methods_without_gradients_do_where_there_is_none(method):
    exp = sc.explain(network(Cut), torch.randn(2, 2, 20), layer="conv", method=method)
    assert np.isfinite(exp.maps).all()
    with pytest.raises(sc.ModelError, match="gave no gradient"):
        sc.explain(network(Cut), torch.randn(2, 2, 20), layer="conv", method=[method, "grad-cam"])


def test_no_backward_pass_is_made_for_methods_without_gradients(monkeypatch):
    def never(*_args, **_kwargs):
        raise AssertionError

    monkeypatch.setattr(torch.autograd, "grad", never)
    pull = backend_of(network(Cut)).forward_backward(
        network(Residual), as_inputs(torch.randn(2, 2, 40)), ["two"], ask(None, (0, 1))
    )
    assert [row[0].gradient for row in pull.rows] == [None]


def test_fixed_questions_keep_the_class_of_the_unchanged_samples():
    asked = Question((Class(1),), "logit", None, (np.zeros(0, int),)).freeze([np.array([[2], [0], [1]])])
    np.testing.assert_array_equal(asked.repeated_for(slice(1, 3), 2).own[0], [0, 0, 1, 1])
