"""Keras, on whichever engine it is set to, gives the maps that PyTorch gave for the same weights."""

from math import prod

import keras
import numpy as np
import pytest
from keras import layers

from agreement import cases

every_case = pytest.mark.parametrize("case", cases.CASES, ids=lambda case: case.name)


def network(case):
    """Build a case's network, channels last, with its weights."""
    lengths = case.lengths if case.flat else [None] * case.rank
    steps = [keras.Input((*lengths, case.channels))]
    for number, conv in enumerate(case.convs, 1):
        steps += block(case, number, conv)
    steps.append(layers.Flatten() if case.flat else of_rank("GlobalAveragePooling", case)())
    last = "softmax" if case.softmax else None
    steps.append(layers.Dense(cases.CLASSES, activation=last, name="head"))
    model = keras.Sequential(steps)
    set_weights(model, case)
    return model


def of_rank(kind, case):
    return getattr(layers, f"{kind}{case.rank}D")


def block(case, number, conv):
    convolution = of_rank("Conv", case)(
        conv.filters,
        conv.kernel,
        strides=conv.stride,
        padding=conv.padding,
        data_format="channels_last",
        name=f"conv{number}",
    )
    normal = layers.BatchNormalization(epsilon=cases.EPSILON, name=f"norm{number}")
    pool = [of_rank("MaxPooling", case)(conv.pool)] if conv.pool > 1 else []
    return [convolution, normal, layers.ReLU(name=f"relu{number}"), *pool]


def set_weights(model, case):
    drawn = cases.weights(case)
    for number in range(1, len(case.convs) + 1):
        kernel, bias = drawn[f"conv{number}.weight"], drawn[f"conv{number}.bias"]
        model.get_layer(f"conv{number}").set_weights([kernel_last(kernel), bias])
        entries = ("weight", "bias", "running_mean", "running_var")
        normal = [drawn[f"norm{number}.{entry}"] for entry in entries]
        model.get_layer(f"norm{number}").set_weights(normal)
    model.get_layer("head").set_weights([head_kernel(case, drawn["head.weight"]), drawn["head.bias"]])


def kernel_last(kernel):
    """From ``(out, in, *kernel)`` to ``(*kernel, in, out)``."""
    return np.moveaxis(kernel, (0, 1), (-1, -2))


def head_kernel(case, weight):
    """From ``(class, feature)`` to ``(feature, class)``; flat features are channels last, too."""
    if not case.flat:
        return weight.T
    positions = prod(cases.grown(case)[-1])
    split = weight.reshape(cases.CLASSES, -1, positions)
    return split.transpose(2, 1, 0).reshape(-1, cases.CLASSES)


@every_case
def test_keras_gives_the_answers_of_pytorch(case):
    x = np.moveaxis(cases.inputs(case), 1, -1)
    cases.assert_agreement(case, cases.answers(network(case), x))
