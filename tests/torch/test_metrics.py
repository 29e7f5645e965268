"""Scoring maps of PyTorch networks, from the front door."""

import warnings
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

import signalcam as sc

MODEST = {"metrics": ["deletion", "insertion", "road"], "steps": 4}
KNOWN = "ignore:with imputer:signalcam.CamWarning"  # tiny untrained networks are sure of nothing
pytestmark = [pytest.mark.filterwarnings(KNOWN)]


@pytest.fixture
def net(kit):
    return kit.network()


@pytest.fixture
def exp(kit, net):
    return sc.explain(net, kit.signal(), layer="conv", layout="batch channel time", signed=True)  # no map is blank


def test_dataset_has_every_axis_by_name_and_baselines_beside(net, exp):
    scores = sc.metrics.evaluate(exp, net, **MODEST)
    assert scores["value"].dims == ("metric", "sample", "target", "cam", "layer")
    assert list(scores.cam.values) == ["grad-cam", "random-cam", "input-energy"]
    assert list(scores.better.values) == ["lower", "higher", "higher"]
    assert scores["curve_score"].dims == ("curve", "sample", "target", "cam", "layer", "step")
    assert scores.sizes["step"] == 5
    assert scores.attrs["measure"] == "probability"
    assert np.isfinite(scores["mean"]).all()
    assert (scores["low"] <= scores["mean"]).all()
    assert (scores["mean"] <= scores["high"]).all()


def test_deletion_is_that_of_a_loop_over_the_network(net, kit):
    net.body[0].bias.data += 1  # it is silent nowhere, so that no two positions are alike
    exp = sc.explain(net, kit.signal(), layer="conv", layout="batch channel time", signed=True)
    scores = sc.metrics.evaluate(exp, net, "deletion", steps=4, baselines=[])
    for sample, x in enumerate(kit.signal()):
        own = exp.maps.values[sample, 0, 0, 0].reshape(12, 2).mean(1)  # the layer's stride is 2
        assert len(np.unique(own)) == 12  # ties are drawn by chance
        curve = []
        for step in range(5):
            changed = x.copy().reshape(2, 12, 2)
            changed[:, np.argsort(-own)[: 3 * step]] = 0
            with torch.no_grad():
                p = net(torch.as_tensor(changed.reshape(1, 2, 24))).softmax(1)
            curve.append(float(p[0, exp.classes[sample]]))
        wanted = sum((a + b) / 8 for a, b in pairwise(curve))
        assert float(scores["value"][0, sample, 0, 0, 0]) == pytest.approx(wanted, abs=1e-6)


def test_network_comes_back_as_it_was_and_nothing_global_is_drawn(net, exp):
    net.train()
    before = {name: each.clone() for name, each in net.state_dict().items()}
    drawn = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002 - nobody may touch it
    sc.metrics.evaluate(exp, net, ["road", "coherency"], steps=3)
    assert net.training
    assert all(torch.equal(each, before[name]) for name, each in net.state_dict().items())
    assert all(each.grad is None and each.requires_grad for each in net.parameters())
    assert torch.equal(torch.get_rng_state(), drawn[0])
    np.testing.assert_array_equal(np.random.get_state()[1], drawn[1])  # noqa: NPY002 - the same


# random-cam may be nowhere positive
@pytest.mark.filterwarnings("ignore:interpret-time-top is not defined:signalcam.CamWarning")
def test_numbers_do_not_depend_on_the_batch_size(net, exp):
    few = [sc.metrics.find("infidelity", trials=5), sc.metrics.find("r-fidelity-plus", trials=3)]
    wanted = [
        *few,
        "road",
        "insertion",
        "average-drop",
        "coherency",
        "schlegel-swap",
        "interpret-time-top",
    ]
    one, other = (
        sc.metrics.evaluate(exp.isel(sample=[0, 1]), net, wanted, steps=3, batch_size=size) for size in (1, 64)
    )
    assert np.isfinite(one["value"].sel(cam="grad-cam")).all()
    np.testing.assert_allclose(one["value"], other["value"], rtol=1e-4, atol=1e-6)


def test_every_metric_has_a_value_on_a_network(kit, net):
    exp = sc.explain(net, kit.signal(2), layer="conv", signed=True)
    scores = sc.metrics.evaluate(exp, net, sc.metrics.names(), steps=3, fine_tuned=net, baselines=[])
    assert list(scores.metric.values) == list(sc.metrics.names())
    assert np.isfinite(scores["value"]).all()


def test_the_same_seed_gives_the_same_numbers_and_another_others(net, exp):
    first, again, other = (sc.metrics.evaluate(exp, net, "road", steps=4, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first["value"], again["value"])
    assert (first["value"] != other["value"]).any()


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_any_number_of_axes(kit, rank):
    net = kit.network(rank)
    exp = sc.explain(net, kit.signal(2, rank), layer="conv", signed=True)
    scores = sc.metrics.evaluate(exp, net, ["deletion", "road", "mufidelity"], steps=3)
    assert np.isfinite(scores["value"]).all()


def test_memory_that_runs_out_halves_the_rows(net, exp, monkeypatch):
    whole = sc.metrics.evaluate(exp, net, "deletion", steps=4)
    forward = type(net).forward

    def small(self, x):
        if len(x) > 3:
            message = "CUDA out of memory"
            raise torch.OutOfMemoryError(message)
        return forward(self, x)

    monkeypatch.setattr(type(net), "forward", small)
    np.testing.assert_allclose(sc.metrics.evaluate(exp, net, "deletion", steps=4)["value"], whole["value"], atol=1e-6)


def test_logit_is_measured_as_the_network_returns_it(kit, net, exp):
    scores = sc.metrics.evaluate(exp, net, "deletion", measure="logit", steps=2, baselines=[])
    with torch.no_grad():
        logits = net(torch.as_tensor(kit.signal())).numpy()
    np.testing.assert_allclose(scores["score"][:, 0], logits[np.arange(4), exp.classes], atol=1e-5)


def test_a_function_is_measured(kit, net, exp):
    scores = sc.metrics.evaluate(exp, net, "deletion", measure=lambda rows: 2 * rows, steps=2, baselines=[])
    logits = sc.metrics.evaluate(exp, net, "deletion", measure="logit", steps=2, baselines=[])
    np.testing.assert_allclose(scores["value"], 2 * logits["value"], rtol=1e-5)


def test_accuracy_asks_whether_the_true_class_is_still_named(kit, net):
    x = kit.signal()
    predicted = sc.explain(net, x, layer="conv").classes
    labels = [int(predicted[0]), *[(int(each) + 1) % 4 for each in predicted[1:]]]
    exp = sc.explain(net, x, layer="conv", labels=labels)
    scores = sc.metrics.evaluate(exp, net, "deletion", measure="accuracy", steps=2, baselines=[])
    np.testing.assert_array_equal(scores["score"][:, 0], [1, 0, 0, 0])


def test_accuracy_without_labels_is_refused(net, exp):
    with pytest.raises(sc.TargetError, match="there are no labels"):
        sc.metrics.evaluate(exp, net, measure="accuracy")


def test_a_measure_that_is_not_finite_is_refused(net, exp):
    with pytest.raises(sc.InputError, match="not finite for samples 0, 1"):
        sc.metrics.evaluate(exp, net, measure=lambda rows: rows * float("nan"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 50}, "only 12 windows"),
        ({"steps": 1}, "steps is 1"),
        ({"window": 0}, "window is 0"),
        ({"window": {"space": 3}}, "'space', but the maps have axes time"),
        ({"seed": -1}, "seed is -1"),
        ({"metrics": ["road", "road"]}, "two metrics are called 'road'"),
        ({"metrics": []}, "empty list"),
        ({"metrics": "roda"}, "no metric 'roda'"),
        ({"measure": "logits"}, "no score 'logits'"),
        ({"imputer": "nought"}, "no imputer 'nought'"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"target": [1, 2]}, "2 entries for 1 targets"),
        ({"inputs": np.zeros((4, 2, 30), np.float32)}, "the maps are of"),
        ({"metrics": "f-fidelity-plus"}, "fine_tuned="),
    ],
)
def test_what_cannot_be_meant_is_refused_in_a_sentence(net, exp, options, message):
    with pytest.raises(sc.CamError, match=message):
        sc.metrics.evaluate(exp, net, **options)


def test_windows_are_as_wide_as_the_layers_stride_or_as_told(net, exp):
    counts = [
        sc.metrics.evaluate(exp, net, "deletion", steps=3, window=window, baselines=[])["removed"].values[0, 1]
        for window in (None, 1, 24 // 5, {"time": 8})
    ]
    np.testing.assert_allclose(counts, [4 / 12, 8 / 24, 2 / 6, 1 / 3])


def test_several_targets_methods_and_layers_are_each_scored(kit, net):
    exp = sc.explain(
        net, kit.signal(), layer=["body.0", "conv"], method=["grad-cam", "hires-cam"], target=[0, 2], signed=True
    )
    scores = sc.metrics.evaluate(exp, net, "deletion", steps=3)
    assert scores["value"].shape == (1, 4, 2, 4, 2)
    alone = sc.metrics.evaluate(exp.sel(target=2, cam="hires-cam", layer="conv"), net, "deletion", steps=3)
    same = {"target": "2", "cam": "hires-cam", "layer": "conv"}
    np.testing.assert_allclose(scores["value"].sel(same), alone["value"].sel(same), atol=1e-6)


def test_a_question_about_no_class_needs_to_be_asked_again(kit, net):
    question = sc.Regression(1)
    exp = sc.explain(net, kit.signal(), layer="conv", target=question, signed=True)
    with pytest.raises(sc.TargetError, match=r"not about a class.*target="):
        sc.metrics.evaluate(exp, net, "deletion")
    scores = sc.metrics.evaluate(exp, net, "deletion", target=question, steps=2, baselines=[])
    np.testing.assert_allclose(scores["score"], exp.scores, atol=1e-5)


def test_a_contrast_keeps_the_class_it_picked(kit, net):
    question = sc.Finer()
    exp = sc.explain(net, kit.signal(), layer="conv", target=question)
    scores = sc.metrics.evaluate(exp, net, "deletion", target=question, measure="logit", steps=2, baselines=[])
    np.testing.assert_allclose(scores["score"], exp.scores, atol=1e-5)


def test_maps_with_a_channel_axis_remove_single_channels(kit, net):
    options = {"layer": "conv", "layout": "batch channel time", "method": sc.PerChannel("hires-cam"), "signed": True}
    exp, explainer = sc.explain(net, kit.signal(), **options), sc.Explainer(net, **options)
    scores = sc.metrics.evaluate(exp, net, ["deletion", "road", "coherency"], explainer=explainer)
    assert np.isfinite(scores["value"].sel(metric=["deletion", "road"])).all()
    assert scores.sizes["step"] == 11


def test_samples_of_unequal_length_score_as_alone(kit):
    net = nn.Sequential(nn.Conv1d(2, 4, 5), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, 3))
    rng = np.random.default_rng(0)
    x = [rng.standard_normal((2, length)).astype(np.float32) for length in (30, 44, 30)]
    exp = sc.explain(net, x, layer="0")
    whole = sc.metrics.evaluate(exp, net, "deletion", steps=5)
    for sample in range(3):
        alone = sc.metrics.evaluate(exp.isel(sample=[sample]), net, "deletion", steps=5)
        ours = whole["value"].isel(sample=[sample])
        distinct = [0, 2]  # ties of a random map may fall otherwise under another number
        np.testing.assert_allclose(ours[..., distinct, :], alone["value"][..., distinct, :], atol=2e-2)


def test_maps_of_the_raw_signal_are_scored_where_the_network_sees_them(kit, net):
    exp = sc.explain(net, 5 * kit.signal(), layer="conv", preprocess=lambda x: x / 5)
    scores = sc.metrics.evaluate(exp, net, "deletion", steps=3)
    same = sc.metrics.evaluate(sc.explain(net, kit.signal(), layer="conv"), net, "deletion", steps=3)
    np.testing.assert_allclose(scores["value"], same["value"], atol=1e-5)


def test_several_inputs_are_passed_again():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv1d(2, 4, 5), nn.Linear(5, 3)

        def forward(self, ecg, age):
            return self.head(torch.cat([self.conv(ecg).relu().mean(-1), age], 1))

    net, rng = Two(), np.random.default_rng(0)
    inputs = {
        "ecg": rng.standard_normal((3, 2, 40)).astype(np.float32),
        "age": rng.standard_normal((3, 1)).astype(np.float32),
    }
    exp = sc.explain(net, inputs, of="ecg", signed=True)
    with pytest.raises(sc.InputError, match="inputs="):
        sc.metrics.evaluate(exp, net)
    scores = sc.metrics.evaluate(exp, net, ["deletion", "coherency"], inputs=inputs, steps=3)
    with torch.no_grad():
        p = net(**{name: torch.as_tensor(each) for name, each in inputs.items()}).softmax(1).numpy()
    np.testing.assert_allclose(scores["score"][:, 0], p.max(1), atol=1e-6)


def test_fused_layers_say_how_to_do_without_baselines(kit, net):
    exp = sc.explain(net, kit.signal(), layer=["body.0", "conv"], signed=True).fused("mean")
    with pytest.raises(sc.ModelError, match=r"baselines=\[\]"):
        sc.metrics.evaluate(exp, net, "deletion")
    scores = sc.metrics.evaluate(exp, net, "deletion", baselines=[])
    assert np.isfinite(scores["value"]).all()


def test_a_drop_that_is_not_defined_is_counted_and_warned_of_as_maps_without_aim_are(kit, net):
    flat = sc.explain(net, kit.signal(), layer="conv", method="uniform")
    undefined = pytest.warns(sc.CamWarning, match="average-drop is not defined for 4 of 4 samples")
    with undefined, pytest.warns(sc.CamWarning, match="4 of 4 maps are the same everywhere"):
        scores = sc.metrics.evaluate(flat, net, "average-drop", baselines=[])
    assert scores["count"].item() == 0
    assert np.isnan(scores["mean"].item())


def test_a_model_that_knows_silence_as_a_class_is_warned_of():
    net = nn.Sequential(nn.Conv1d(1, 2, 1, bias=False), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(2, 2))
    with torch.no_grad():
        net[0].weight[:] = 0.01
        net[3].weight[:] = torch.tensor([[-1.0, -1.0], [0.0, 0.0]])  # most samples' means are above 0
        net[3].bias[:] = torch.tensor([4.0, 0.0])
    exp = sc.explain(
        net,
        np.random.default_rng(0).standard_normal((4, 1, 30)).astype(np.float32),
        layer="0",
        signed=True,
        align="resize",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with pytest.warns(sc.CamWarning, match="as sure of samples with everything removed"):
            sc.metrics.evaluate(exp, net, "deletion", steps=3)


def test_road_of_an_image_agrees_with_the_curve_by_hand(kit):
    net = kit.network(2)
    x = kit.signal(2, 2)
    exp = sc.explain(net, x, layer="body.0", signed=True)  # as fine as the image: no two positions are equal
    exact = sc.metrics.Linear(noise=0)
    scores = sc.metrics.evaluate(exp, net, "road-morf", imputer=exact, window=1, steps=4, baselines=[])
    from signalcam.metrics.interpolation import interpolate_removed  # noqa: PLC0415 - an inner part

    for sample in range(2):
        own, found = exp.maps.values[sample, 0, 0, 0], []
        assert len(np.unique(own)) == own.size  # ties are drawn by chance
        order = np.argsort(-own.reshape(-1))
        for step in (1, 2, 3):
            known = np.ones(own.size, bool)
            known[order[: 30 * step]] = False
            changed = interpolate_removed(x[sample], known.reshape(own.shape))
            with torch.no_grad():
                p = net(torch.as_tensor(changed[None].astype(np.float32))).softmax(1)
            found.append(float(p[0, exp.classes[sample]]))
        assert float(scores["value"][0, sample, 0, 0, 0]) == pytest.approx(np.mean(found), abs=1e-5)


def test_another_model_or_another_order_is_noticed(kit, net, exp):
    other = kit.network()
    with torch.no_grad():
        other.head[-1].bias[:] += torch.tensor([5.0, 0, 0, 0])
    with pytest.warns(sc.CamWarning, match="than when they were explained"):
        sc.metrics.evaluate(exp, other, "deletion", steps=2, baselines=[])
    with pytest.warns(sc.CamWarning, match="in the same order"):
        sc.metrics.evaluate(exp, net, "deletion", steps=2, baselines=[], inputs=5 * kit.signal()[::-1].copy())


def test_network_in_an_estimator_is_scored_like_itself(kit, net, exp):
    class Estimator:
        module_ = net

    Estimator.__module__ = "skorch.classifier"
    scores = [sc.metrics.evaluate(exp, model, **MODEST) for model in (Estimator(), net)]
    np.testing.assert_array_equal(scores[0]["value"], scores[1]["value"])


def test_maps_on_inputs_that_have_numbers_for_names_are_scored(kit):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.head = nn.Conv1d(2, 4, 5), nn.Conv1d(1, 4, 3), nn.Linear(8, 3)

        def forward(self, x, y):
            return self.head(torch.cat([self.a(x).relu().mean(-1), self.b(y).relu().mean(-1)], 1))

    torch.manual_seed(0)
    model, both = Two().eval(), (torch.randn(3, 2, 60), torch.randn(3, 1, 40))
    exp = sc.explain(model, both, of=[0, 1], method="hires-cam", signed=True)
    scores = sc.metrics.evaluate(exp, model, inputs=both, **MODEST)
    assert np.isfinite(scores["mean"]).all()
