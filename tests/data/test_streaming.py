"""Samples that come batch after batch: loaders, functions that make generators, and what they must not do."""

import pickle
from itertools import chain

import numpy as np
import pytest

import signalcam as sc
from signalcam.data.streaming import Stream

X = np.random.default_rng(5).normal(size=(23, 2, 20)).astype("float32")
Y = np.arange(23) % 3


class Loader:
    """Yields pairs of five; knows how often it was begun, and how many batches it gave."""

    def __init__(self, size=5, broken=None):
        self.size, self.broken, self.begun, self.given = size, broken, 0, 0

    def __iter__(self):
        self.begun += 1
        for start in range(0, len(X), self.size):
            if self.broken is not None and start >= self.broken:
                raise OSError("the disk is gone")
            self.given += 1
            yield X[start : start + self.size], Y[start : start + self.size]


def generator():
    yield from Loader()


def stream(given, **more):
    """The stream itself, without what checks its samples."""
    return sc.data.of(given, **more).parts[0]


@pytest.mark.parametrize("given", [Loader(), generator, Loader(size=1), Loader(size=100)])
def test_every_sample_has_its_number(given):
    reader = sc.data.of(given, layout="batch channel time")
    assert isinstance(reader, sc.data.Reader)
    assert len(reader) == 23
    for numbers in ([0, 1, 2], [11, 9, 10], [22], [3], range(23)):
        batch = reader.read(numbers)
        np.testing.assert_array_equal(batch.inputs, X[list(numbers)])
        assert batch.labels == tuple(Y[list(numbers)])
        assert batch.numbers == tuple(numbers)
        assert not batch.failed
    assert batch.layout.dims == ("batch", "channel", "time")


def test_going_on_begins_nothing_anew_and_going_back_does():
    loader = Loader()
    reader = stream(loader, length=23)
    begun = loader.begun
    for start in range(0, 23, 4):
        reader.read(range(start, min(start + 4, 23)))
    assert loader.begun == begun
    reader.read([22, 21, 20])  # still kept
    assert loader.begun == begun


def test_going_back_further_than_what_is_kept_begins_anew():
    begun = []

    def made():
        begun.append(True)
        yield from np.arange(200).reshape(100, 1, 2)

    reader = stream(made, length=100)
    before = len(begun)
    for numbers in ([90], [89], [40], [90]):
        np.testing.assert_array_equal(reader.read(numbers).inputs[:, 0], 2 * np.array(numbers))
    assert len(begun) == before + 1  # for 40


def test_halves_of_what_was_asked_are_kept():
    loader = Loader(size=2)
    reader = stream(loader, length=23)
    begun = loader.begun
    for numbers in (range(8, 16), range(8, 12), range(8, 10), [8], [9], range(10, 12), range(12, 16)):
        np.testing.assert_array_equal(reader.read(numbers).inputs, X[list(numbers)])
    assert loader.begun == begun


def test_samples_that_are_not_finite_are_told_by_number():
    broken = X.copy()
    broken[7, 1, 3] = np.nan
    batch = sc.data.of(lambda: (broken[i : i + 4] for i in range(0, 23, 4))).read(range(5, 9))
    assert batch.numbers == (5, 6, 8)
    assert "NaN" in batch.failed[7]
    assert batch.labels is None


def test_a_stream_that_breaks_off_tells_so_for_all_that_follow():
    reader = sc.data.of(Loader(broken=10), length=23)
    batch = reader.read([8, 9, 10, 22])
    assert batch.numbers == (8, 9)
    assert batch.failed[10] == batch.failed[22] == "the stream breaks off after 10 samples: the disk is gone"
    assert reader.read([0]).numbers == (0,)
    with pytest.raises(sc.InputError, match="cannot be counted"):
        sc.data.of(Loader(broken=10))
    with pytest.raises(sc.InputError, match="the disk is gone"):
        sc.data.of(Loader(broken=0))


def test_a_stream_that_is_shorter_than_said_tells_so_and_a_longer_one_is_cut():
    assert sc.data.of(Loader(), length=30).read([22, 23]).failed == {23: "the stream ends after 23 samples"}
    assert len(sc.data.of(Loader(), length=4)) == 4


def test_what_can_be_gone_through_once_is_refused_with_the_way_out():
    kept = generator()
    for once in (generator(), zip(X, Y, strict=True), lambda: kept):
        with pytest.raises(sc.InputError, match="Pass a function that returns a new one"):
            sc.data.of(once)


def test_what_gives_other_samples_each_time_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(sc.InputError, match="other samples in each pass"):
        sc.data.of(lambda: iter([rng.normal(size=(3, 2, 20))]))
    kept = iter([X[:3], X[3:6], X[6:9]])
    with pytest.raises(sc.InputError, match="other samples in each pass"):
        sc.data.of(lambda: chain(kept))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (3, "int cannot be iterated"),
        ("a.npy", "sc.data.open"),
        (lambda: 1 / 0, "division by zero"),
        (lambda: iter([(X, Y, Y)]), "a tuple of 3"),
        (lambda: iter([((X, X), Y)]), "has 2 inputs"),
        (lambda: iter([(X, Y[:4])]), "4 labels or names for 23 samples"),
        (lambda: iter([np.arange(5)]), "samples first"),
        (
            lambda: iter([{"ecg": X, "age": Y}]),
            "a dict of 'ecg', 'age'; say which of them are the inputs, as in inputs='ecg'",
        ),
        (lambda: iter([(np.array(["a", None], object), Y)]), "array of numbers"),
        (lambda: iter([]), "holds no samples"),
    ],
)
def test_what_is_no_stream_of_batches_is_refused_in_a_sentence(given, said):
    with pytest.raises(sc.InputError, match=said) as error:
        sc.data.of(given)
    assert str(error.value).endswith(".")


def test_dicts_are_told_apart_by_their_keys():
    names = [f"w{i}" for i in range(23)]

    def made():
        for i in range(0, 23, 6):
            some = slice(i, i + 6)
            yield {"ecg": X[some], "age": Y[some] + 40, "rhythm": Y[some], "id": names[some]}

    batch = sc.data.of(made, inputs="ecg", labels="rhythm", names="id").read([20, 2])
    np.testing.assert_array_equal(batch.inputs, X[[20, 2]])
    assert (batch.labels, batch.names) == ((2, 2), ("w20", "w2"))
    batch = sc.data.of(lambda: (({"ecg": X, "age": Y}, Y) for _ in range(1)), inputs="ecg").read([4])
    assert batch.labels == (1,)
    with pytest.raises(sc.InputError, match="say which of them are the labels"):
        sc.data.of(made, inputs="ecg", labels="class")
    by_number = sc.data.of([{"ecg": x, "rhythm": y} for x, y in zip(X, Y, strict=True)], inputs="ecg", labels="rhythm")
    assert by_number.read([5]).labels == (2,)
    assert "say which" in sc.data.of([{"ecg": X[0]}]).read([0]).failed[0]


def test_lists_of_samples_and_single_samples_are_batches_too():
    lengths = [20, 9, 14, 20]
    ragged = [X[i, :, :n] for i, n in enumerate(lengths)]
    batch = sc.data.of(lambda: iter([ragged[:2], (ragged[2:], [1, 0])])).read([1, 2, 3])
    assert [each.shape for each in batch.inputs] == [(2, 9), (2, 14), (2, 20)]
    assert batch.labels == (None, 1, 0)
    single = sc.data.of(lambda: zip(X, Y, strict=True))
    np.testing.assert_array_equal(single.read([4]).inputs, X[[4]])
    assert single.read([4]).labels == (1,)


def test_values_that_are_no_classes_are_left_out():
    assert sc.data.of(lambda: iter([(X, X[:, 0, 0])])).read([0]).labels is None
    assert sc.data.of(lambda: iter([(X, np.eye(3)[Y])])).read([0]).labels is None
    assert sc.data.of(lambda: iter([(X, Y[:, None])])).read([5]).labels == (2,)
    assert sc.data.of([(X[0], 0.5), (X[1], 0.25)]).read([0]).labels is None


def test_zero_and_one_are_classes_also_with_a_decimal_point():
    """Losses of two classes take them so."""
    two = (Y > 0).astype("float32")
    for given in (two, two[:, None]):
        assert sc.data.of(lambda y=given: iter([(X, y)])).read(range(5)).labels == tuple(map(int, two[:5]))
    assert sc.data.of([(X[0], 72.0), (X[1], np.float64(1))]).read([0, 1]).labels == (None, 1)


def test_labels_and_names_beside_the_stream_go_first():
    reader = sc.data.of(Loader(), labels=list("ab" * 11 + "c"), names=range(100, 123))
    assert reader.read([22]).labels == ("c",)
    assert reader.read([22]).names == (122,)
    with pytest.raises(sc.InputError, match="2 labels for 23 samples"):
        sc.data.of(Loader(), labels=[1, 2])


def test_length_and_edition_are_of_streams():
    with pytest.raises(sc.InputError, match="are read by number"):
        sc.data.of(X, length=4)


def test_the_fingerprint_is_of_the_first_samples_the_length_and_the_edition():
    known = sc.data.of(Loader()).fingerprint
    assert sc.data.of(Loader(size=3)).fingerprint == known
    assert sc.data.of(generator, length=23).fingerprint == known
    others = [
        sc.data.of(Loader(), length=22),
        sc.data.of(Loader(), edition="2026-11"),
        sc.data.of(Loader(), labels=Y + 1),
        sc.data.of(Loader(), layout="batch channel time"),
        sc.data.of(lambda: iter([(X + 1, Y)])),
        sc.data.of(lambda: iter([X])),
    ]
    assert len({known, *(each.fingerprint for each in others)}) == 7


def test_a_stream_can_be_pickled_wherever_it_is():
    reader = sc.data.of(Loader())
    reader.read([12])
    again = pickle.loads(pickle.dumps(reader))  # noqa: S301 - our own
    np.testing.assert_array_equal(again.read([2, 12]).inputs, X[[2, 12]])
    assert again.fingerprint == reader.fingerprint


def test_a_loader_that_uses_its_array_again_is_read_right():
    def made():
        array = np.empty((4, 2, 20), "float32")
        for i in range(5):
            array[:] = X[4 * i : 4 * i + 4]
            yield array

    np.testing.assert_array_equal(sc.data.of(made).read(range(20)).inputs, X[:20])


class PyDataset:
    """What a data set of Keras looks like: whole batches by number, and as many as it says."""

    shuffle = False

    def __len__(self):
        return 5

    def __getitem__(self, number):
        return X[5 * number : 5 * number + 5], Y[5 * number : 5 * number + 5]

    def on_epoch_end(self):
        raise AssertionError("nobody ends an epoch here")


def test_a_data_set_of_keras_is_batches_and_must_not_shuffle():
    given = PyDataset()
    reader = sc.data.of(given)
    assert len(reader) == 23
    assert reader.read([17]).labels == (2,)
    given.shuffle = True
    with pytest.raises(sc.InputError, match="draws the order"):
        sc.data.of(given)


class Tensor:
    """What a tensor of TensorFlow looks like from here: an array, if asked."""

    def __init__(self, values):
        self.values = values
        self.shape, self.ndim, self.dtype = values.shape, values.ndim, values.dtype

    def __len__(self):
        return len(self.values)

    def __iter__(self):
        return map(Tensor, map(np.asarray, self.values))

    def __array__(self, dtype=None, copy=None):
        return self.values

    def numpy(self):
        return self.values


class TensorFlowDataset:
    """What a ``tf.data.Dataset`` looks like; ``shuffle`` is a method there."""

    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        return (tuple(map(Tensor, each)) for each in self.batches)

    def __len__(self):
        raise TypeError("the length is unknown")

    def cardinality(self):
        return np.int64(-2 if self.batches else -1)

    def shuffle(self, size):
        raise AssertionError


def test_a_data_set_of_tensorflow_is_read_by_what_it_does():
    words = np.array([b"a", b"b"], object)
    given = TensorFlowDataset([(X[:20], Y[:20]), (X[20:], Y[20:])])
    assert sc.data.of(given).read([21]).labels == (0,)
    assert sc.data.of(TensorFlowDataset([(X[:2], words)])).read([1]).labels == ("b",)


def test_what_goes_on_for_ever_asks_for_a_length():
    class Forever(TensorFlowDataset):
        def __iter__(self):
            while True:
                yield X[:2], Y[:2]

    with pytest.raises(sc.InputError, match="has no end"):
        sc.data.of(Forever([]))
    assert len(sc.data.of(Forever([]), length=7).read(range(7))) == 7


def test_batches_of_a_stream_come_in_order():
    found = list(sc.data.batches(sc.data.of(Loader()), 4))
    assert [len(each) for each in found] == [4, 4, 4, 4, 4, 3]
    assert isinstance(sc.data.of(Loader()).parts[0], Stream)
