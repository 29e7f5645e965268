"""Loaders of PyTorch as they are: by number where their data set allows, else one batch after another."""

import numpy as np
import pytest
import torch
from loader_batches import stacked
from torch.utils.data import (
    DataLoader,
    IterableDataset,
    RandomSampler,
    SubsetRandomSampler,
    TensorDataset,
)

import signalcam as sc
from signalcam.data.memory import InMemorySamples
from signalcam.data.streaming import Stream

X = torch.from_numpy(np.random.default_rng(7).normal(size=(17, 2, 20)).astype("float32"))
Y = torch.arange(17) % 3
PAIRS = TensorDataset(X, Y)


class Endless(IterableDataset):
    """Samples one after another; what PyTorch hands to a worker of its own is no matter here."""

    def __init__(self, *, labelled=True):
        self.labelled = labelled

    def __iter__(self):
        return iter(PAIRS) if self.labelled else iter(X)


def inner(reader):
    return type(reader.parts[0])


def same(reader, *, labels=True):
    batch = reader.read([16, 0, 5])
    np.testing.assert_array_equal(batch.inputs, X[[16, 0, 5]])
    assert batch.labels == ((1, 0, 2) if labels else None)
    assert len(reader) == 17


def test_a_loader_in_order_is_read_by_number():
    reader = sc.data.of(DataLoader(PAIRS, batch_size=4))
    same(reader)
    assert inner(reader) is InMemorySamples
    same(sc.data.of(DataLoader(TensorDataset(X), batch_size=4)), labels=False)
    same(sc.data.of(DataLoader(X, batch_size=4)), labels=False)


@pytest.mark.parametrize(
    ("loader", "labelled"),
    [
        (DataLoader(Endless(), batch_size=4), True),
        (DataLoader(Endless(), batch_size=None), True),
        (DataLoader(Endless(labelled=False), batch_size=4), False),
        (DataLoader([(X[:9], Y[:9]), (X[9:], Y[9:])], batch_size=None), True),
        (DataLoader(PAIRS, batch_sampler=[range(6), range(6, 17)]), True),
        (DataLoader(TensorDataset(X), sampler=range(17), batch_size=4), False),
    ],
)
def test_other_loaders_are_streams(loader, labelled):
    reader = sc.data.of(loader)
    assert inner(reader) is Stream
    same(reader, labels=labelled)


def test_a_loader_with_its_own_batches_is_a_stream_of_them():
    loader = DataLoader(PAIRS, batch_size=4, collate_fn=stacked)
    same(sc.data.of(loader, inputs="ecg", labels="rhythm"))


def test_processes_of_the_loader_read_for_it():
    loader = DataLoader(PAIRS, batch_size=4, collate_fn=stacked, num_workers=2, multiprocessing_context="spawn")
    same(sc.data.of(loader, inputs="ecg", labels="rhythm", length=17))


def test_a_last_batch_that_is_dropped_is_not_counted():
    reader = sc.data.of(DataLoader(PAIRS, batch_size=5, drop_last=True))
    assert len(reader) == 15


@pytest.mark.parametrize(
    "loader",
    [
        DataLoader(PAIRS, shuffle=True),
        DataLoader(PAIRS, sampler=RandomSampler(PAIRS)),
        DataLoader(PAIRS, sampler=SubsetRandomSampler(range(5))),
        DataLoader(PAIRS, batch_sampler=torch.utils.data.BatchSampler(RandomSampler(PAIRS), 4, drop_last=False)),
        DataLoader(PAIRS, collate_fn=stacked, in_order=False),
    ],
)
def test_a_loader_that_shuffles_is_refused(loader):
    with pytest.raises(sc.InputError, match="DataLoader draws the order of its samples anew in each pass"):
        sc.data.of(loader)


def test_what_a_loader_gives_is_explained_as_by_the_loader_itself():
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv1d(2, 4, 5),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool1d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(4, 3),
    )
    loader = DataLoader(Endless(), batch_size=6)
    explainer = sc.Explainer(network)
    direct = list(explainer.stream(loader))
    read = list(explainer.stream(sc.data.batches(sc.data.of(loader), 6)))
    for one, two in zip(direct, read, strict=True):
        np.testing.assert_array_equal(one.layers[0].values, two.layers[0].values)
        assert one.true_classes.tolist() == two.true_classes.tolist()
