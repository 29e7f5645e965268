"""Questions put to PyTorch networks: their maps are those of the scores they name."""

import numpy as np
import pytest
import torch
from torch import nn

import signalcam as sc

NAMES = ["normal", "AF", "noise", "other"]


class Dense(nn.Module):
    """One row of class scores a position, and softmax over the classes if asked for."""

    def __init__(self, rank=1, last=None):
        super().__init__()
        conv = {1: nn.Conv1d, 2: nn.Conv2d}[rank]
        self.body = nn.Sequential(conv(2, 4, 3, padding=1), nn.ReLU())
        self.conv, self.head, self.last = conv(4, 5, 3, padding=1), conv(5, 3, 1), last
        self.head.bias.data = torch.tensor([0.0, 0.3, 0.0])  # so that each class is found somewhere

    def forward(self, x):
        z = self.head(self.conv(self.body(x)).relu())
        return z if self.last is None else self.last(z)


def by_hand(model, x, score, method="grad-cam"):
    """The signed map at ``conv`` of any function of what the model returns."""
    kept = []
    handle = model.conv.register_forward_hook(lambda _m, _i, y: kept.append(y))
    out = model(torch.as_tensor(x))
    handle.remove()
    (g,) = torch.autograd.grad(score(out).sum(), kept[0])
    a, axes = kept[0].detach(), tuple(range(2, g.ndim))
    weight = g.mean(axes, keepdim=True) if method == "grad-cam" else g
    return (weight * a).sum(1).numpy()


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("last", [None, nn.Softmax(1)], ids=["logits", "softmax"])
@pytest.mark.parametrize("where", [None, 3, slice(2, 7), "predicted"], ids=str)
def test_the_map_of_a_region_is_that_of_the_logits_added_up_over_it(kit, rank, last, where):
    model, x = Dense(rank).eval(), kit.signal(rank=rank)

    def inside(z):
        if where == "predicted":
            return (z[:, 1] * (z.argmax(1) == 1)).flatten(1).sum(1)
        return z[:, 1].flatten(1).sum(1) if where is None else z[:, 1, where].reshape(len(z), -1).sum(1)

    wanted = by_hand(model, x, inside)
    model.last = last
    exp = kit.explain(model, x, target=sc.Region("AF", where=where), class_names=NAMES[:3])
    kit.assert_maps(exp, wanted)


def test_a_region_that_is_empty_for_some_samples_says_so(kit):
    model, x = Dense().eval(), kit.signal()
    model.head.bias.data[1] = -100
    empty = pytest.warns(sc.CamWarning, match=r"predicted nowhere in sample\(s\) 0, 1, 2, 3")
    with empty, pytest.warns(sc.CamWarning, match="all zero"):
        kit.explain(model, x, target=sc.Region(1, where="predicted"))


def test_the_map_of_a_region_is_the_sum_of_its_points(kit):
    model, x = Dense().eval(), kit.signal()
    model.conv.bias.data += 1  # at no point is every channel silent
    points = [sc.Region(2, where=i) for i in range(4, 7)]
    exp = kit.explain(model, x, target=[sc.Region(2, where=slice(4, 7)), *points])
    maps = exp.native().values[:, :, 0]
    np.testing.assert_allclose(maps[:, 0], maps[:, 1:].sum(1), atol=1e-5 * np.abs(maps).max())


def test_regions_of_equal_name_are_told_apart(kit):
    exp = kit.explain(Dense().eval(), kit.signal(), target=[sc.Region(2, where=i) for i in (1, 2)])
    assert exp.targets == ("2 in a region", "2 in a region 2")


def test_trials_keep_to_the_region_of_the_unchanged_sample(kit):
    model, x = Dense().eval(), kit.signal(batch=2)
    exp = kit.explain(model, x, target=sc.Region(1, where="predicted"), method="ablation-cam")
    with torch.no_grad():
        a = model.conv(model.body(torch.as_tensor(x)))
        z = model.head(a.relu())
        inside = z.argmax(1) == 1
        falls = []
        for c in range(5):
            b = a.clone()
            b[:, c] = 0
            falls.append(((z - model.head(b.relu()))[:, 1] * inside).sum(1))
        wanted = torch.einsum("bc,bcp->bp", torch.stack(falls, 1), a)
    kit.assert_maps(exp, wanted.numpy())


def test_a_regression_shows_no_confidence_it_does_not_have(kit):
    exp = kit.explain(kit.network(classes=1), kit.signal(), target=sc.Regression())
    assert exp.probabilities is None
    assert exp.provenance["score"] == "the output itself"
    assert "predicted" not in exp.plot().get_title(loc="left")


def test_the_map_of_a_regression_away_from_a_value_turns_with_the_side(kit):
    model, x = kit.network(classes=2), kit.signal()
    with torch.no_grad():
        y = model(torch.as_tensor(x))[:, 1].numpy()
    middle = float(np.median(y))
    plain = kit.explain(model, x, target=sc.Regression(1)).native().values[:, 0, 0]
    away = kit.explain(model, x, target=sc.Regression(1, reference=middle))
    kit.assert_maps(away, np.sign(y - middle)[:, None] * plain)


def test_what_is_above_a_reference_input_adds_up_to_the_difference(kit):
    head = nn.Sequential(nn.Flatten(), nn.Linear(60, 1))
    model, x = kit.network(classes=1, head=head), kit.signal()
    method = sc.FromReference("hires-cam", reference=x[0])
    exp = kit.explain(model, x[1:], target=sc.Regression(), method=method)
    with torch.no_grad():
        y = model(torch.as_tensor(x))[:, 0].numpy()
    np.testing.assert_allclose(exp.native().values.sum(-1).ravel(), y[1:] - y[0], atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*all zero:signalcam.CamWarning")
def test_an_input_that_is_its_own_reference_has_no_heat(kit):
    x = kit.signal(batch=1)
    exp = kit.explain(kit.network(), x, target=1, method=sc.FromReference("grad-cam", reference=x))
    np.testing.assert_array_equal(exp.maps, 0)


@pytest.mark.parametrize(
    ("method", "reference", "words"),
    [
        ("score-cam", np.ones((2, 24)), "score-cam is none"),
        ("eigen-cam", np.ones((2, 24)), "eigen-cam is none"),
        ("hires-cam", np.ones((2, 23)), r"shape \(2, 23\) and a sample \(2, 24\)"),
        ("hires-cam", np.full((2, 24), np.nan), "must hold finite values"),
    ],
)
def test_a_reference_input_that_does_not_fit_is_told(kit, method, reference, words):
    with pytest.raises(sc.MethodError, match=words):
        kit.explain(
            kit.network(),
            kit.signal(),
            target=1,
            method=sc.FromReference(method, reference=reference),
        )


def test_similarity_of_an_embedding_is_explained(kit):
    model, x = kit.network(classes=6), kit.signal()
    with torch.no_grad():
        reference = model(torch.as_tensor(x))[0]
    wanted = by_hand(model, x, lambda z: torch.cosine_similarity(z, reference[None]))
    # at the reference itself the angle is at its smallest and has no slope
    exp = kit.explain(model, x[1:], target=sc.Similarity(reference))
    kit.assert_maps(exp, wanted[1:])
    assert exp.classes is None


class ManyOutputs(nn.Module):
    """Logits, and what else a network may return."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.conv = inner, inner.conv

    def forward(self, x):
        z = self.inner(x)
        return {"embedding": z * 2 + 1, "logits": z, "risk": {"stroke": z[:, :1] ** 2}}


@pytest.mark.parametrize(
    ("output", "score"),
    [
        (None, lambda out: out["logits"][:, 1]),
        ("embedding", lambda out: out["embedding"][:, 1]),
        (lambda out: out["risk"]["stroke"], lambda out: out["risk"]["stroke"][:, 0]),
    ],
    ids=["logits", "by key", "by function"],
)
def test_the_output_to_explain_can_be_chosen(kit, output, score):
    model, x = ManyOutputs(kit.network()), kit.signal()
    exp = kit.explain(model, x, target=1, output=output, align="resize")
    kit.assert_maps(exp, by_hand(model, x, score))


def test_an_output_that_is_not_there_is_told(kit):
    with pytest.raises(sc.TargetError, match="Nearest: 'embedding'"):
        kit.explain(ManyOutputs(kit.network()), kit.signal(), output="embeding")


def test_true_labels_are_asked_about_and_named(kit):
    model, x, labels = kit.network(), kit.signal(), ["AF", "normal", "other", "noise"]
    exp = kit.explain(model, x, target=["predicted", sc.TrueLabel()], labels=labels, class_names=NAMES)
    assert exp.targets == ("predicted", "true label")
    assert exp.target_classes[:, 1].tolist() == [NAMES.index(each) for each in labels]
    kit.assert_maps(exp, kit.maps_of(model, x, exp.target_classes[:, 1]), target=1)


def test_a_foil_that_is_predicted_is_told_by_sample(kit):
    model, x = kit.network(), kit.signal(batch=7)
    with torch.no_grad():
        y = model(torch.as_tensor(x)).argmax(1)
    same = np.flatnonzero(y.numpy() == int(y[5]))
    with pytest.raises(sc.TargetError, match=rf"sample\(s\) .*{same[0]}.* the runner-up"):
        kit.explain(model, x, target=sc.Contrast("predicted", foil=int(y[5])))
