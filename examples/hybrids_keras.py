"""The same two hybrids in Keras, on whichever engine it runs, for recordings (batch, time, channel)."""

from collections.abc import Callable

import keras
import numpy as np
from keras import layers

DIMS = "batch time channel"


def cnn_lstm(channels: int = 6, classes: int = 4) -> keras.Model:
    """Convolutions over time, an LSTM behind them, the answer read from its last state."""
    inputs = keras.Input((None, channels))
    x = layers.Conv1D(32, 9, padding="same", activation="relu", name="conv1")(inputs)
    x = layers.Conv1D(32, 5, padding="same", activation="relu", name="conv2")(x)
    x = layers.LSTM(32)(x)
    return keras.Model(inputs, layers.Dense(classes, activation="softmax")(x))


def cnn_bilstm_attention(channels: int = 6, classes: int = 4) -> keras.Model:
    """Convolutions that keep channels apart, an LSTM both ways, attention over its states."""
    inputs = keras.Input((None, channels))
    x = layers.Reshape((-1, channels, 1))(inputs)
    x = layers.Conv2D(8, (9, 1), padding="same", activation="relu", name="conv1")(x)
    x = layers.Conv2D(8, (5, 1), padding="same", activation="relu", name="conv2")(x)
    x = layers.Reshape((-1, channels * 8))(x)
    states = layers.Bidirectional(layers.LSTM(16, return_sequences=True))(x)
    weights = layers.Softmax(axis=1)(layers.Dense(1)(states))  # how much each moment counts
    x = layers.Flatten()(layers.Dot(axes=1)([weights, states]))
    return keras.Model(inputs, layers.Dense(classes, activation="softmax")(x))


NETWORKS = {"CNN-LSTM": cnn_lstm, "CNN-BiLSTM-attention": cnn_bilstm_attention}


def train(network: Callable[[], keras.Model], x: np.ndarray, y: np.ndarray, epochs: int) -> keras.Model:
    """Build a network, train it on all recordings at once, and return it."""
    keras.utils.set_random_seed(0)
    model = network()
    model.compile(keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy")
    model.fit(x, y, batch_size=len(x), epochs=epochs, verbose=0)
    return model
