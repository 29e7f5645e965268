"""What Keras is fed with is read by number, too."""

import keras
import numpy as np
import pytest

import signalcam as sc

X = np.random.default_rng(0).normal(size=(17, 20, 2)).astype("float32")
Y = np.arange(17) % 3


class Batches(keras.utils.PyDataset):
    """Whole batches by number."""

    def __len__(self):
        return 5

    def __getitem__(self, number):
        return X[4 * number : 4 * number + 4], Y[4 * number : 4 * number + 4]


def same(reader, *, labels=True):
    batch = reader.read([16, 0, 5])
    np.testing.assert_array_equal(batch.inputs, X[[16, 0, 5]])
    assert batch.labels == ((1, 0, 2) if labels else None)
    assert len(reader) == 17


def test_a_pydataset_is_read_batch_by_batch():
    same(sc.data.of(Batches()))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.data is TensorFlow's")
def test_a_data_set_of_tensorflow_is_read_in_order():
    import tensorflow as tf  # noqa: PLC0415 - there only with this engine

    pairs = tf.data.Dataset.from_tensor_slices((X, Y))
    same(sc.data.of(pairs.batch(4)))
    same(sc.data.of(pairs))
    same(sc.data.of(tf.data.Dataset.from_tensor_slices(X).batch(4)), labels=False)
    dicts = tf.data.Dataset.from_tensor_slices({"ecg": X, "rhythm": Y, "id": [f"w{i}" for i in range(17)]})
    reader = sc.data.of(dicts.batch(4), inputs="ecg", labels="rhythm", names="id")
    same(reader)
    assert reader.read([16]).names == ("w16",)
    with pytest.raises(sc.InputError, match="other samples in each pass"):
        sc.data.of(pairs.shuffle(17, seed=3).batch(16))
    with pytest.raises(sc.InputError, match="has no end"):
        sc.data.of(pairs.batch(4).repeat())
    peaks = [len(exp) for exp in sc.Explainer(_network()).stream(pairs.batch(10))]
    assert peaks == [10, 7]


def _network():
    layers = keras.layers
    return keras.Sequential(
        [keras.Input((20, 2)), layers.Conv1D(4, 7, activation="relu"), layers.GlobalAveragePooling1D(), layers.Dense(3)]
    )
