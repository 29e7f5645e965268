"""What a reader hands out goes into ``explain`` as it is."""

import numpy as np
import pytest
import torch

import signalcam as sc

X = np.random.default_rng(5).normal(size=(6, 2, 60)).astype("float32")
LAYOUT = sc.Layout("batch channel time", sampling_rate=20, channel_names=["I", "II"])


@pytest.fixture
def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv1d(2, 4, 5),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool1d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(4, 3),
    ).eval()


def test_a_batch_is_explained_with_its_axes_labels_and_names(network):
    reader = sc.data.of(X, labels=[0, 1, 2, 0, 1, 2], names="abcdef", layout=LAYOUT)
    exp = sc.explain(network, reader.read([4, 1]))
    plain = sc.explain(network, X[[4, 1]])
    np.testing.assert_array_equal(exp.maps.values, plain.maps.values)
    assert exp.maps.sample.values.tolist() == ["e", "b"]
    assert exp.labels.values.tolist() == [1, 1]
    assert exp.layout.sampling_rate == 20
    assert exp.layout.channel_names == ("I", "II")


def test_labels_by_name_are_classes_where_these_are_known(network):
    batch = sc.data.of(X, labels=list("xyzxyz")).read([2, 0])
    assert sc.explain(network, batch, class_names="xyz").labels.values.tolist() == [2, 0]
    assert sc.explain(network, batch).labels is None


def test_channels_go_where_the_network_has_them(network):
    layout = sc.Layout("batch time channel", sampling_rate=20)
    turned = sc.explain(network, sc.data.of(X.transpose(0, 2, 1), layout=layout).read(range(6)))
    np.testing.assert_array_equal(turned.maps.values, sc.explain(network, X).maps.values)


def test_samples_of_unequal_length_are_explained_each_alone(network):
    rows = [X[0], X[1, :, :40]]
    turned = [row.T for row in rows]
    exp = sc.explain(network, sc.data.of(turned, layout="batch time channel").read([0, 1]))
    plain = sc.explain(network, rows)
    np.testing.assert_array_equal(exp.maps.values, plain.maps.values)


def test_what_could_not_be_read_is_told_and_left_out(network):
    broken = X.copy()
    broken[1] = np.nan
    with pytest.warns(
        sc.CamWarning,
        match="1 of 3 samples could not be read and are left out. The first, 1: 120 of",
    ):
        exp = sc.explain(network, sc.data.of(broken).read([0, 1, 2]))
    assert exp.maps.sample.values.tolist() == [0, 2]
    with pytest.raises(sc.InputError, match="none of the 1 samples of the batch could be read"):
        sc.explain(network, sc.data.of(broken).read([1]))


def test_a_stream_of_batches_keeps_the_numbers_of_the_reader(network):
    broken = X.copy()
    broken[4] = np.inf
    explainer = sc.Explainer(network)
    with pytest.warns(sc.CamWarning, match="1 of 3 samples"):
        found = list(explainer.stream(sc.data.batches(sc.data.of(broken), 3)))
    assert [each.maps.sample.values.tolist() for each in found] == [[0, 1, 2], [3, 5]]
    np.testing.assert_array_equal(found[1].maps.values, explainer(X[[3, 5]]).maps.values)


def test_a_data_set_of_pytorch_is_read(network):
    given = torch.utils.data.TensorDataset(torch.as_tensor(X), torch.arange(6) % 3)
    batch = sc.data.of(given).read([5, 1])
    np.testing.assert_array_equal(batch.inputs, X[[5, 1]])
    assert sc.explain(network, batch).labels.values.tolist() == [2, 1]
