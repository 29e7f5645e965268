"""Networks inside what other packages wrap them in: the same maps as the network alone gets.

skorch is the real one. fastai, tsai and trainers are stood in for by tiny classes of the same shape: what
is looked at is an attribute, and their packages are heavy.
"""

import logging
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from skorch import NeuralNetClassifier
from torch import nn

import signalcam as sc


def estimator(kit, **options):
    options = {"module__head": kit.network().head, "module__conv": kit.network().conv, **options}
    return NeuralNetClassifier(
        kit.Net,
        module__body=kit.network().body,
        criterion=nn.CrossEntropyLoss,
        max_epochs=1,
        verbose=0,
        train_split=None,
        **options,
    )


def fitted(kit, **options):
    return estimator(kit, **options).fit(kit.signal(), np.arange(4))


def assert_same(kit, found, net, x):
    wanted = kit.maps_of(net, x, [1] * 4)
    kit.assert_maps(found, wanted)


# --- skorch, and what is made of it --------------------------------------------------------------


def test_network_of_a_fitted_skorch_estimator_is_explained(kit, caplog):
    net, x = fitted(kit), kit.signal()
    with caplog.at_level(logging.INFO, "signalcam"):
        exp = kit.explain(net, x, target=1)
    assert_same(kit, exp, net.module_, x)
    assert exp.provenance["model"] == "Net"
    assert "explaining the network in NeuralNetClassifier.module_" in caplog.text
    assert sc.layers(net, x)[0].name == "head.0"
    assert [each.name for each in sc.layers(net)] == ["conv", "body.0"]


def test_skorch_estimator_predicts_the_same_afterwards(kit):
    net, x = fitted(kit), kit.signal()
    before, training = net.predict_proba(x), net.module_.training
    exp = kit.explain(net, x)
    np.testing.assert_array_equal(net.predict_proba(x), before)
    np.testing.assert_array_equal(exp.predicted, net.predict(x))
    assert net.module_.training == training


@pytest.mark.parametrize("package", ["skorch", "braindecode.classifier"])
def test_estimator_that_is_not_fitted_says_so(kit, package):
    kind = type("EEGClassifier", (NeuralNetClassifier,), {"__module__": package})
    net = kind(kit.Net, criterion=nn.CrossEntropyLoss)
    with pytest.raises(sc.ModelError, match=r"EEGClassifier holds no network yet.*Call fit first"):
        sc.explain(net, kit.signal())
    with pytest.raises(sc.ModelError, match=r"Call fit first"):
        sc.layers(net)


def test_best_of_a_search_is_explained(kit):
    x = np.concatenate([kit.signal()] * 2)
    labels = np.concatenate([np.arange(4)] * 2)
    search = GridSearchCV(estimator(kit), {"lr": [0.01]}, cv=2, scoring="accuracy").fit(x, labels)
    assert_same(kit, kit.explain(search, x[:4], target=1), search.best_estimator_.module_, x[:4])


def test_pipeline_names_the_step_to_pass(kit):
    pipe = make_pipeline(FunctionTransformer(), fitted(kit))
    with pytest.raises(sc.ModelError, match=r"Pipeline prepares its input.*model\[-1\]"):
        sc.explain(pipe, kit.signal())
    exp = kit.explain(pipe[-1], pipe[:-1].transform(kit.signal()), target=1)
    assert_same(kit, exp, pipe[-1].module_, kit.signal())


# --- learners, trainers, parallel ----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["Learner", "Trainer"])
def test_network_of_a_learner_is_explained(kit, kind):
    net, x = kit.network(), kit.signal()
    learner = type(kind, (), {"fit": lambda self: None})()
    learner.model = nn.DataParallel(net)
    assert_same(kit, kit.explain(learner, x, target=1), net, x)


class Lightning(nn.Module):
    """As Lightning's: the network inside, steps beside it, and a trainer that is not there outside of training."""

    def __init__(self, net):
        super().__init__()
        self.net, self.example_input_array = net, torch.zeros(1)

    @property
    def trainer(self):
        raise RuntimeError("LightningModule is not attached to a `Trainer`.")

    def training_step(self, batch, _number):
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def forward(self, x):
        return self.net(x)


def test_lightning_module_gets_the_maps_of_the_network_in_it(kit):
    net, x = kit.network(), kit.signal()
    assert_same(kit, kit.explain(Lightning(net), x, target=1, layer="net.conv"), net, x)


def test_network_without_positions_says_what_is_missing(kit):
    net = nn.Sequential(nn.Flatten(), nn.LazyLinear(8), nn.ReLU(), nn.Linear(8, 3))
    net(torch.as_tensor(kit.signal()))
    for method in ("grad-cam", "eigen-cam"):
        with pytest.raises(sc.ModelError, match=r"no layer of Sequential has positions.*expected a convolution"):
            sc.explain(net, kit.signal(), method=method)


def test_object_without_a_network_is_refused_as_before(kit):
    with pytest.raises(sc.ModelError, match=r"no backend owns 'SimpleNamespace'"):
        sc.explain(SimpleNamespace(model="resnet", module_=None), kit.signal())


def test_distributed_wrapper_is_looked_through(kit, tmp_path):
    net, x = kit.network(), kit.signal()
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        wrapped = nn.parallel.DistributedDataParallel(net)
        assert_same(kit, kit.explain(wrapped, x, target=1), net, x)
    finally:
        torch.distributed.destroy_process_group()
