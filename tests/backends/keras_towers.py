"""Keras' model of several inputs for the contract suite; see torch_towers.py."""

import keras
import numpy as np
from keras import layers, ops

LAYERS = {"ecg": "ecg_conv", "frame": "frame_conv"}


class Towers(keras.Model):
    def __init__(self):
        super().__init__()
        self.stem = layers.Conv1D(4, 5, activation="relu", name="stem")
        self.ecg_conv = layers.Conv1D(5, 3, name="ecg_conv")
        self.frame_conv = layers.Conv2D(3, 3, name="frame_conv")
        self.head, self.runs = layers.Dense(4, name="head"), []

    def call(self, ecg, frame, patient, inside=None, lengths=None, temperature=1.0):
        self.runs.append(ecg.shape[0])
        e = ops.square(self.ecg_conv(self.stem(ecg)))
        if lengths is not None:
            inside = ops.arange(ecg.shape[1])[None] < ops.cast(lengths, "int32")[:, None]
        if inside is None:
            inside = ops.ones(ecg.shape[:2])
        here = ops.cast(inside, e.dtype)[:, 6:, None]
        e = ops.sum(e * here, axis=1) / ops.sum(here, axis=1)
        f = ops.mean(ops.square(self.frame_conv(frame)), axis=(1, 2))
        return self.head(ops.concatenate([e, f, patient], axis=1)) / temperature


def towers():
    """The model, and the list that grows with each of its runs."""
    model, rng = Towers(), np.random.default_rng(0)
    model(np.zeros((1, 9, 2)), np.zeros((1, 5, 5, 1)), np.zeros((1, 2)))
    for each in model.weights:
        each.assign(rng.normal(0, 0.3, each.shape))
    return model, model.runs
