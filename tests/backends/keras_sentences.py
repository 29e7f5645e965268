"""A small classifier of sentences: embedding, one convolution, the strongest place of each channel."""

import keras
import numpy as np
from keras import layers


def trained(ids, labels, words):
    """Train one for some seconds."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((None,), dtype="int32")
    x = layers.Embedding(words, 16)(inputs)
    x = layers.Conv1D(24, 3, padding="same", activation="relu", name="conv")(x)
    outputs = layers.Dense(int(labels.max()) + 1)(layers.GlobalMaxPooling1D()(x))
    model = keras.Model(inputs, outputs)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-2), loss)
    model.fit(ids, labels, batch_size=len(ids), epochs=60, verbose=0)
    return model


def logits(model, ids):
    """What it answers."""
    return np.asarray(keras.ops.convert_to_numpy(model(ids, training=False)))


def window(kernel, before, after, stride):
    """One convolution over embedded words, with so many places of padding before and after."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((None,), dtype="int32")
    x = layers.ZeroPadding1D((before, after))(layers.Embedding(40, 16)(inputs))
    x = layers.Conv1D(24, kernel, strides=stride, activation="relu", name="conv")(x)
    return keras.Model(inputs, layers.Dense(3)(layers.GlobalMaxPooling1D()(x)))
