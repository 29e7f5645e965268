"""Measures Keras networks on one engine, in a process of its own, and prints what it found as JSON.

Run as ``python -m benchmarks.keras_worker tensorflow [--quick]``; ``benchmarks.run`` does. What runs
as it is stands beside the forward pass as it is, what is compiled beside the compiled one.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

os.environ["KERAS_BACKEND"] = sys.argv[1] if len(sys.argv) > 1 else "tensorflow"

import keras
import numpy as np
from keras import layers, ops

import signalcam as sc
from benchmarks.measure import interleaved, quiet, seconds
from signalcam.backends.keras import compile_policy

CASES = {
    "1-D": ((32, 5000, 12), (32, 64, 128, 256)),
    "2-D": ((16, 128, 128, 3), (64, 128, 256, 512)),
}
QUICK_CASES = {"1-D": ((4, 500, 2), (4, 4, 8, 8)), "2-D": ((2, 64, 64, 3), (4, 4, 8, 8))}
LAYERS = {"last": "stage4", "middle": "stage2"}
CLASS = 0
PATIENCE = 20.0  # seconds of one call: what is slower is measured once
NEVER = 10**9

Call = Callable[[], Any]


def network(shape: Sequence[int], widths: Sequence[int]) -> keras.Model:
    """A ResNet-18 in one or two dimensions with a softmax; the convolutions of ``LAYERS`` end its stages."""
    keras.utils.set_random_seed(0)
    rank = len(shape) - 2
    convolve = {1: layers.Conv1D, 2: layers.Conv2D}[rank]
    pool = {1: layers.MaxPooling1D, 2: layers.MaxPooling2D}[rank]
    average = {1: layers.GlobalAveragePooling1D, 2: layers.GlobalAveragePooling2D}[rank]
    kernel = {1: 7, 2: 3}[rank]

    def normed(x: Any, width: int, size: int, stride: int, name: str | None = None) -> Any:
        y = convolve(width, size, strides=stride, padding="same", use_bias=False, name=name)(x)
        return layers.BatchNormalization()(y)

    def block(x: Any, width: int, stride: int, name: str | None = None) -> Any:
        y = layers.ReLU()(normed(x, width, kernel, stride))
        around = x if stride == 1 and x.shape[-1] == width else normed(x, width, 1, stride)
        return layers.ReLU()(layers.Add()([normed(y, width, kernel, 1, name), around]))

    inputs = keras.Input(tuple(shape[1:]))
    x = pool(3, 2, padding="same")(layers.ReLU()(normed(inputs, widths[0], 2 * kernel + 1, 2)))
    for number, width in enumerate(widths, 1):
        x = block(block(x, width, 1 if number == 1 else 2), width, 1, f"stage{number}")
    return keras.Model(inputs, layers.Dense(20, activation="softmax")(average()(x)))


# --- contestants ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Contestant:
    """Somebody's Grad-CAM.

    Attributes:
        name: For the table.
        call: What is timed.
        maps: From what the call returned to maps.
        compiled: Whether it is to be set beside the compiled forward pass.
        score: The ``score`` with which SignalCAM explains the same.
    """

    name: str
    call: Call
    maps: Callable[[Any], np.ndarray]
    compiled: bool = False
    score: str = "logit"


def forwards(model: keras.Model, x: Any) -> dict[bool, Call]:
    """The bare forward pass, as it is and compiled."""
    run = partial(model, training=False)
    if keras.backend.backend() == "jax":
        import jax  # noqa: PLC0415 - the engine that was asked for

        jitted = jax.jit(lambda weights, x: model.stateless_call(*weights, x, training=False)[0])
        weights = [[each.value for each in some] for some in (model.trainable_variables, model.non_trainable_variables)]
        return {
            False: lambda: jax.block_until_ready(run(x)),
            True: lambda: jax.block_until_ready(jitted(weights, x)),
        }
    import tensorflow as tf  # noqa: PLC0415 - the engine that was asked for

    graph = tf.function(run)
    return {False: lambda: run(x).numpy(), True: lambda: graph(x).numpy()}


def contestants(model: keras.Model, twin: keras.Model, layer: str, x: Any) -> Iterator[Callable[[], Contestant]]:
    """SignalCAM both ways, on a model each, then the peers of the engine."""
    yield partial(_signalcam, model, layer, x, after=NEVER)
    yield partial(_signalcam, twin, layer, x, after=1)
    if keras.backend.backend() == "tensorflow":
        yield partial(_recipe, model, layer, x, compiling=False)
        yield partial(_recipe, model, layer, x, compiling=True)
        yield partial(_tf_keras_vis, model, layer, x)
        yield partial(_signal_grad_cam, model, layer, x)


def _signalcam(model: keras.Model, layer: str, x: Any, *, after: int) -> Contestant:
    explainer = sc.Explainer(model, layer=layer, target=CLASS)
    plain, compiling = ops.convert_to_numpy(x), after < NEVER

    def call() -> sc.Explanation:
        compile_policy.AFTER = after
        return explainer(plain)

    call()  # measures where the layer looks
    return Contestant("signalcam", call, _ours, compiling)


def _ours(found: sc.Explanation) -> np.ndarray:
    return found.layers[0].values[:, 0, 0]


def rectified(model: keras.Model, layer: str, x: Any, score: str) -> np.ndarray:
    """SignalCAM's rectified maps for a score, to compare with."""
    compile_policy.AFTER = NEVER
    return _ours(sc.Explainer(model, layer=layer, target=CLASS, score=score)(ops.convert_to_numpy(x)))


def _recipe(model: keras.Model, layer: str, x: Any, *, compiling: bool) -> Contestant:
    """Rebuild the model with two outputs, differentiate the probability: what everybody copies."""
    import tensorflow as tf  # noqa: PLC0415 - the engine that was asked for

    rebuilt = keras.Model(model.inputs, [model.get_layer(layer).output, model.output])

    def maps(x: Any) -> Any:
        with tf.GradientTape() as tape:
            activations, probabilities = rebuilt(x, training=False)
            score = probabilities[:, CLASS]
        gradients = tape.gradient(score, activations)
        weights = tf.reduce_mean(gradients, axis=range(1, len(x.shape) - 1), keepdims=True)
        return tf.nn.relu(tf.reduce_sum(weights * activations, axis=-1))

    run = tf.function(maps) if compiling else maps
    return Contestant("recipe", lambda: run(x).numpy(), np.asarray, compiling, "probability")


def _tf_keras_vis(model: keras.Model, layer: str, x: Any) -> Contestant:
    from tf_keras_vis.gradcam import Gradcam  # noqa: PLC0415 - a peer is loaded when its turn comes
    from tf_keras_vis.utils.scores import CategoricalScore  # noqa: PLC0415 - the same

    explain = Gradcam(model, clone=False)
    score = CategoricalScore([CLASS] * len(x))

    def call() -> Any:
        return explain(
            score,
            x,
            penultimate_layer=layer,
            seek_penultimate_conv_layer=False,
            normalize_cam=False,
            expand_cam=False,
        )

    return Contestant("tf-keras-vis", call=call, maps=np.asarray, score="probability")


def _signal_grad_cam(model: keras.Model, layer: str, x: Any) -> Contestant:
    from signal_grad_cam import TfCamBuilder  # noqa: PLC0415 - a peer is loaded when its turn comes

    builder, wanted = TfCamBuilder(model, ignore_channel_dim=True), model.get_layer(layer)
    compute = builder._create_raw_batched_cams  # noqa: SLF001 - the public way also draws figures

    def call() -> Any:
        return compute(list(x), CLASS, wanted, "Grad-CAM", softmax_final=True)[0]

    return Contestant("signal_grad_cam", call=call, maps=np.asarray, score="log_prob_clamped")


# --- measuring -----------------------------------------------------------------------------------


def measured(name: str, *, quick: bool) -> list[dict[str, Any]]:
    """One row a layer: seconds of the forward passes and every contestant's ratio to its own."""
    shape, widths = (QUICK_CASES if quick else CASES)[name]
    model, twin = network(shape, widths), network(shape, widths)
    x = ops.convert_to_tensor(np.random.default_rng(0).standard_normal(shape, dtype=np.float32))
    row = partial(_row, model, twin, x=x, quick=quick)
    return [{"network": name, "layer": where} | row(layer) for where, layer in LAYERS.items()]


def _row(model: keras.Model, twin: keras.Model, layer: str, *, x: Any, quick: bool) -> dict[str, Any]:
    calls = {_key("forward", compiled=each): call for each, call in forwards(model, x).items()}
    first = {name: seconds(call) for name, call in calls.items()}
    refused: dict[str, str] = {}
    apart: dict[str, float] = {}
    for prepared in contestants(model, twin, layer, x):
        try:
            one, kept = prepared(), list[Any]()
            key = _key(one.name, compiled=one.compiled)
            first[key] = seconds(lambda one=one, kept=kept: kept.append(one.call()))
            ours = rectified(model, layer, x, one.score)
            apart[key] = float(np.abs(one.maps(kept[0]) - ours).max() / np.abs(ours).max())
        except Exception as error:  # noqa: BLE001 - whatever a peer raises is its answer
            name = prepared.func.__name__.strip("_")
            refused[name] = f"{type(error).__name__}: {error}".splitlines()[0]
            continue
        if first[key] < PATIENCE:
            calls[key] = one.call
    budget, rounds = (1.0, (2, 3)) if quick else (30.0, (5, 15))
    spent = interleaved(calls, lambda: None, budget=budget, rounds=rounds)
    least = first | {name: min(each) for name, each in spent.items()}
    return {"least": least, "first": first, "apart": apart, "refused": refused}


def _key(name: str, *, compiled: bool) -> str:
    return f"{name}, compiled" if compiled else name


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=["tensorflow", "jax"])
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    with quiet():
        found = [row for name in CASES for row in measured(name, quick=quick)]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
