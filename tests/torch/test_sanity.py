"""Other weights, other classes and small changes of the sample: against loops by hand."""

import copy

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import signalcam as sc
from signalcam.metrics.sanity import histogram_entropy, spearman


@pytest.fixture(scope="module")
def trained():
    data = sc.synthetic.planted("burst", 120)
    model = sc.synthetic.train(data, epochs=10)
    return model, data[:6]


def explained(model, data, **options):
    return sc.explain(model, data.inputs, layout=data.layout, **options)


def linear_head():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv1d(1, 6, 5, 2),
        nn.ReLU(),
        nn.Conv1d(6, 5, 3),
        nn.ReLU(),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(5, 3),
    ).eval()


def test_weights_are_replaced_from_the_last_layer_down_and_put_back(trained):
    model, data = trained
    before = {name: each.clone() for name, each in model.state_dict().items()}
    parameters = dict(model.named_parameters())
    exp = explained(model, data, signed=True)
    found = sc.metrics.sanity(exp, model, "cascading", steps=3)
    names = found["weights"].values.tolist()
    assert names[0] == "head"
    assert names[-1] == "conv1"
    assert (found["cascading"][0] != 1).any()
    assert abs(found["cascading"][-1].mean()) < 0.9
    for name, each in model.named_parameters():
        assert each is parameters[name]
    for name, each in model.state_dict().items():
        assert torch.equal(each, before[name])


def test_a_layer_alone_is_what_a_copy_with_those_weights_gives(trained):
    model, data = trained
    exp = explained(model, data, signed=True)
    found = sc.metrics.sanity(exp, model, "independent", steps=100, seed=3)
    names = [name for name, each in model.named_modules() if any(True for _ in each.parameters(recurse=False))]
    other = copy.deepcopy(model)
    rng = np.random.default_rng((3, 4, names.index("conv2")))
    with torch.no_grad():
        for each in other.conv2.parameters():
            old = each.numpy()
            each.copy_(torch.as_tensor(rng.normal(old.mean(), old.std(), old.shape).astype("f4")))
    target = sc.PerSample(exp.predicted.values.tolist())
    again = explained(other, data, signed=True, target=target)
    for i in range(len(data)):
        a, b = (each.native().values[i, 0, 0] for each in (exp, again))
        alike = found["independent"].sel(weights="conv2")[i, 0, 0, 0]
        assert alike.item() == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-6)


def test_the_map_of_another_class_is_compared_with_that_class(trained):
    model, data = trained
    exp = explained(model, data, method="hires-cam", signed=True)
    found = sc.metrics.sanity(exp, model, "random-logit")["random_logit"].values[:, 0, 0, 0]
    every = explained(model, data, method="hires-cam", signed=True, target=[0, 1, 2])
    for i, value in enumerate(found):
        own = exp.native().values[i, 0, 0]
        others = [every.native().values[i, k, 0] for k in range(3) if k != exp.predicted[i]]
        assert min(abs(value - stats.spearmanr(own, each).statistic) for each in others) < 1e-6


def test_a_map_that_heeds_neither_weights_nor_class_is_found_out(trained):
    model, data = trained
    exp = explained(model, data, method=["grad-cam", "eigen-cam"], signed=True)
    alike = sc.metrics.sanity(exp, model, "random-logit")["random_logit"]
    np.testing.assert_allclose(alike.values[:, 0, 1, 0], 1)  # eigen-cam never looks at the class
    assert alike.values[:, 0, 0, 0].mean() < 0.9


def test_sums_are_complete_where_the_head_is_linear_and_not_behind_a_hidden_layer(trained):
    head, x = linear_head(), torch.randn(4, 1, 50)
    exp = sc.explain(head, x, method=["hires-cam", "xgrad-cam"], target=[0, "predicted"])
    gap = sc.metrics.sanity(exp, head, "completeness")["completeness"]
    assert gap.max() < 1e-4
    model, data = trained
    exp = explained(model, data, method="hires-cam")
    assert sc.metrics.sanity(exp, model, "completeness")["completeness"].max() > 1e-2


def test_randomised_weights_change_how_even_a_map_is(trained):
    model, data = trained
    exp = explained(model, data)
    found = sc.metrics.sanity(exp, model, "emprt")["emprt"]
    assert found.dims == ("sample", "target", "cam", "layer")
    assert np.isfinite(found).all()


def test_recurrent_layers_get_their_weights_back():
    class Hybrid(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.lstm, self.head = nn.Conv1d(1, 4, 3), nn.LSTM(4, 5, batch_first=True), nn.Linear(5, 2)

        def forward(self, x):
            return self.head(self.lstm(self.conv(x).relu().transpose(1, 2))[0][:, -1])

    model, x = Hybrid().eval(), torch.randn(2, 1, 30)
    before = model(x)
    exp = sc.explain(model, x, signed=True)
    found = sc.metrics.sanity(exp, model, "independent")
    assert (found["independent"].sel(weights="lstm") < 0.999).any()
    assert torch.equal(model(x), before)


def test_what_cannot_be_checked_is_said(trained):
    model, data = trained
    exp = explained(model, data)
    with pytest.raises(sc.MethodError, match="Nearest: 'cascading'"):
        sc.metrics.sanity(exp, model, "cascade")
    with pytest.raises(sc.TargetError, match="a promise of hires-cam"):
        sc.metrics.sanity(exp, model, "completeness")


def test_rank_correlation_and_histogram_entropy_are_the_textbooks():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 5, (3, 20)), rng.normal(size=(3, 20))
    slow = [stats.spearmanr(x, y).statistic for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(spearman(a, b), slow)
    assert spearman(np.ones((1, 9)), b[:1, :9]) == 0
    counts = np.histogram(b[0], 100)[0]
    assert histogram_entropy(b)[0] == pytest.approx(stats.entropy(counts))


def test_sensitivity_is_the_largest_and_the_mean_relative_change(trained):
    model, data = trained
    exp = explained(model, data, signed=True)
    scores = sc.metrics.evaluate(exp, model, ["max-sensitivity", "average-sensitivity"], baselines=[], seed=5)
    reach = 0.02 * np.ptp(data.inputs, axis=(1, 2))[:, None, None]
    changes = []
    for number in range(10):
        drawn = np.random.default_rng((5, 3, number)).uniform(-1, 1, data.inputs.shape)
        again = sc.explain(
            model,
            (data.inputs + reach * drawn).astype("f4"),
            layout=data.layout,
            signed=True,
            target=sc.PerSample(exp.predicted.values.tolist()),
        )
        difference = (again.maps.values - exp.maps.values)[:, 0, 0, 0]
        size = np.linalg.norm(exp.maps.values[:, 0, 0, 0], axis=1)
        changes.append(np.linalg.norm(difference, axis=1) / size)
    found = scores["value"].values[:, :, 0, 0, 0]
    np.testing.assert_allclose(found[0], np.max(changes, axis=0), rtol=1e-4)
    np.testing.assert_allclose(found[1], np.mean(changes, axis=0), rtol=1e-4)


def test_maps_on_the_raw_signal_are_checked_as_those_of_the_networks_input(trained):
    model, data = trained
    x = data.inputs[:3]
    raw = sc.explain(model, x / 2, layout=data.layout, target=1, preprocess=lambda each: each * 2)
    own = sc.explain(model, x, layout=data.layout, target=1)
    found, wanted = (sc.metrics.sanity(each, model, "independent", steps=2) for each in (raw, own))
    np.testing.assert_allclose(found["independent"], wanted["independent"], atol=1e-6)


def test_what_cannot_be_explained_again_from_the_result_is_refused(trained):
    model, data = trained
    x, options = data.inputs[:2], {"layout": data.layout, "target": 1}
    record = sc.explain_record(
        model, np.concatenate(x, axis=-1), window=x.shape[-1] / (data.layout.sampling_rate or 1), **options
    )
    with pytest.raises(sc.InputError, match="window by window"):
        sc.metrics.sanity(record, model)
    with pytest.raises(sc.InputError, match="unequal length"):
        sc.metrics.sanity(sc.explain(model, [x[0], x[1][:, :-40]], **options), model)
    whole = sc.explain(model, x, **options)
    places = whole.maps[whole.dims[0]].values
    with pytest.raises(sc.InputError, match="it is an interval"):
        sc.metrics.sanity(whole.between(places[5], places[-50]), model, "cascading")


def test_a_method_that_was_built_is_made_again_by_the_explainer_that_made_it(trained):
    model, data = trained
    explainer = sc.Explainer(model, method=sc.PerChannel("hires-cam"), layout=data.layout)
    exp = explainer(data.inputs)
    with pytest.raises(sc.MethodError, match=r"method with options.*Pass explainer=Explainer") as raised:
        sc.metrics.sanity(exp, model, "emprt")
    assert "Known:" not in str(raised.value)
    assert len(sc.metrics.sanity(exp, model, "emprt", explainer=explainer)["emprt"]) == len(exp)
