"""Samples that any object hands out, and batches of them."""

import numpy as np
import pytest

import signalcam as sc

X = np.random.default_rng(3).normal(size=(7, 2, 20))


class Pairs:
    """What a data set of PyTorch looks like."""

    def __len__(self):
        return 5

    def __getitem__(self, number):
        if number == 3:
            raise OSError("the disk is gone")
        return X[number], np.int64(number % 2)


def test_an_array_is_read_with_labels_and_names():
    reader = sc.data.of(X, labels=np.arange(7), names="abcdefg", layout="batch channel time")
    batch = reader.read([6, 1])
    np.testing.assert_array_equal(batch.inputs, X[[6, 1]])
    assert batch.labels == (6, 1)
    assert batch.names == ("g", "b")
    assert batch.layout.dims == ("batch", "channel", "time")
    assert isinstance(reader, sc.data.Reader)


def test_pairs_are_samples_and_labels_and_one_that_raises_is_told():
    batch = sc.data.of(Pairs()).read(range(5))
    assert batch.labels == (0, 1, 0, 0)
    assert batch.numbers == (0, 1, 2, 4)
    assert batch.failed == {3: "the disk is gone"}


def test_a_list_of_arrays_of_any_length_is_a_list():
    batch = sc.data.of([X[0], X[1, :, :9]]).read([1, 0])
    assert [each.shape for each in batch.inputs] == [(2, 9), (2, 20)]


def test_the_fingerprint_changes_with_a_value_a_label_and_the_layout():
    other = X.copy()
    other[3, 1, 7] += 1e-9
    readers = [
        sc.data.of(X),
        sc.data.of(other),
        sc.data.of(X, labels=range(7)),
        sc.data.of(X, layout="batch channel time"),
    ]
    assert len({each.fingerprint for each in readers}) == 4
    assert sc.data.of(X.copy()).fingerprint == readers[0].fingerprint


def test_what_is_no_sequence_or_has_too_few_labels_is_refused():
    with pytest.raises(sc.InputError, match="generator can be iterated only once"):
        sc.data.of(each for each in X)
    with pytest.raises(sc.InputError, match="6 labels for 7 samples"):
        sc.data.of(X, labels=range(6))
    with pytest.raises(sc.InputError, match="holds no samples"):
        sc.data.of([])


def test_batches_cover_all_samples_in_order():
    found = list(sc.data.batches(sc.data.of(X), 3))
    assert [each.numbers for each in found] == [(0, 1, 2), (3, 4, 5), (6,)]
    with pytest.raises(sc.InputError, match="size of a batch is 0"):
        next(sc.data.batches(sc.data.of(X), 0))


def test_a_batch_that_cannot_be_read_is_left_out_with_a_warning():
    broken = X.copy()
    broken[2:4] = np.nan
    with pytest.warns(sc.CamWarning, match="none of the samples 2 to 3 could be read"):
        found = list(sc.data.batches(sc.data.of(broken), 2))
    assert [each.numbers for each in found] == [(0, 1), (4, 5), (6,)]
