"""Keras' tiny models for the contract suite, on the engine KERAS_BACKEND names; see torch_models.py.

Keras has neither modes nor activations in place. ``"train mode"`` is a model that trains unless told
otherwise, ``"in place"`` one whose explained layer hands back its very input, which a skip path uses.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from backends.keras_gradients import counting, gradient
from keras import layers, ops

CLASSES = 4
CONVS = {1: layers.Conv1D, 2: layers.Conv2D, 3: layers.Conv3D}
LENGTHS = {1: (24,), 2: (12, 10), 3: (8, 7, 6)}
EARLY = "body/conv"


class Broken(Exception):  # noqa: N818 - raised by a model of the tests
    """What a model that breaks in mid-run raises."""


@dataclass(frozen=True)
class Case:
    """A model, its input, the layer to explain, and ``maps(x, classes, method)`` by hand."""

    model: Any
    x: np.ndarray
    layer: str
    maps: Callable[[np.ndarray, list[int], str], np.ndarray]


class Net(keras.Model):
    """A body, the layer to explain, a head that ends in logits, and what is done to those."""

    def __init__(self, rank=1, *, skip=False, last=None):
        super().__init__()
        conv = CONVS[rank]
        self.body = keras.Sequential(
            [
                conv(4, 3, padding="same", name="conv"),
                layers.BatchNormalization(),
                layers.ReLU(),
            ],
            name="body",
        )
        self.features = conv(5, 3, strides=2, padding="same", name="features")
        self.before, self.skip = None, skip
        if skip:
            self.before, self.features = self.features, layers.Dropout(0.5, name="features")
            self.before.name = "before"
        self.relu, self.drop = layers.ReLU(), layers.Dropout(0.5)
        self.flat = layers.Flatten()
        self.head = layers.Dense(CLASSES, name="head")
        self.last, self.breaks, self.note = last, False, ["the user's own"]
        self.count = None

    def stem(self, x, training=None):
        a = self.body(x, training=training)
        return self.before(a) if self.skip else a

    def tail(self, a, around=None, training=None):
        if self.count:
            a = self.count(a)
        a = self.relu(a)
        a = a if around is None else a + ops.square(around)
        return self.head(self.flat(self.drop(a, training=training)))

    def call(self, x, training=None):
        before = self.stem(x, training)
        a = self.features(before, training=training) if self.skip else self.features(before)
        if self.breaks:
            raise Broken("in mid-run")
        z = self.tail(a, before if self.skip else None, training)
        return z if self.last is None else self.last(z)


class Eager(Net):
    """Trains unless told otherwise."""

    def call(self, x, training=True):  # noqa: FBT002 - as Keras passes it
        return super().call(x, training=training)


def seed(number):
    keras.utils.set_random_seed(number)


def laid_out(x):
    """An array ``(batch, channel, *positions)``, as the models here take it."""
    return np.ascontiguousarray(np.moveaxis(x, 1, -1))


def signal(rank=1, batch=5):
    rng = np.random.default_rng(0)
    return laid_out(rng.standard_normal((batch, 2, *LENGTHS[rank])).astype(np.float32))


def by_hand(net):
    """Signed maps of a ``Net``, one channel at a time; ``a`` and ``g`` by splitting the model."""

    def maps(x, classes, method):
        before = net.stem(ops.convert_to_tensor(x))
        a = before if net.skip else net.features(before)
        around = ops.stop_gradient(before) if net.skip else None
        hot = ops.convert_to_tensor(np.eye(CLASSES, dtype=np.float32)[classes])
        a = ops.convert_to_numpy(a)
        g = gradient(lambda a: ops.sum(net.tail(a, around) * hot), a)
        pairs = zip(a.astype(np.float64), g.astype(np.float64), strict=True)
        return np.stack([_map(*pair, method) for pair in pairs])

    return maps


def _map(a, g, method):
    total = np.zeros(a.shape[:-1])
    for channel in range(a.shape[-1]):
        weight = g[..., channel].mean() if method == "grad-cam" else g[..., channel]
        total = total + weight * a[..., channel]
    return total


def _settle(net, x, number=0):
    """Build a model and give it the same weights on every engine."""
    net(x[:1], training=False)
    rng = np.random.default_rng(number)
    for kernel in (each for each in net.weights if each.name == "kernel"):
        kernel.assign(rng.normal(0, 0.3, kernel.shape))


def case(rank=1, change=lambda net: None, kind=Net, **options):
    net, x = kind(rank, **options), signal(rank)
    _settle(net, x)
    change(net)
    return Case(net, x, "features", by_hand(net))


def _freeze(net):
    net.trainable = False
    net.head.trainable = True


def _after_a_training_step(net):
    net.compile("adam", "mse")
    net.train_on_batch(signal(), np.zeros((5, CLASSES), np.float32))
    net.predict(signal(), verbose=0)


def _break(net):
    net.breaks = True


CASES = {
    "signal": lambda: case(1),
    "image": lambda: case(2),
    "volume": lambda: case(3),
    "softmax": lambda: case(1, last=layers.Softmax()),
    "sigmoid": lambda: case(1, last=layers.Activation("sigmoid")),
    "train mode": lambda: case(1, kind=Eager),
    "frozen": lambda: case(1, _freeze),
    "in place": lambda: case(1, skip=True),
    "mid-training": lambda: case(1, _after_a_training_step),
    "broken": lambda: case(1, _break),
}


# --- what must stay the same ---------------------------------------------------------------------


def _nodes(model):
    return list(model._flatten_layers())


def hooks(model):
    shadows = ("call", "quantized_call", "__call__", "activation_of_signalcam")
    own = sum(name in vars(each) for each in _nodes(model) for name in shadows)
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
    return own + sum(len(vars(each).get(kind, ())) for each in _nodes(model) for kind in kinds)


def snapshot(model, x):
    """Outputs, weights, flags, attributes, random states and global switches."""
    outputs = _outputs(model, x)  # first, as Keras notes on a layer that it was called
    return {
        "switches": {
            "floatx": keras.config.floatx(),
            "format": keras.config.image_data_format(),
            "engine": keras.config.backend(),
            "policy": keras.config.dtype_policy().name,
            **_engine_switches(),
        },
        "chance": {
            "numpy": np.random.get_state()[1].tolist(),  # noqa: NPY002 - see seed
            "python": random.getstate(),
            "engine": _engine_chance(),
        },
        "spellings": _spellings(),
        "attributes": [_attributes(each) for each in _nodes(model)],
        "variables": [_variable(each) for each in model.variables],
        "trainable": [each.trainable for each in _nodes(model)],
        "outputs": outputs,
    }


def _attributes(layer):
    return {key: id(value) for key, value in vars(layer).items()}, "call" in vars(layer)


def _variable(each):
    return id(each), each.path, each.trainable, ops.convert_to_numpy(each.value).tolist()


def _outputs(model, x):
    if model.breaks:
        return None
    return ops.convert_to_numpy(model(ops.convert_to_tensor(x), training=False)).tolist()


def _spellings():
    """Functions that are looked up anew at each call, and so may have been replaced."""
    own = keras.src.backend.nn
    names = ("softmax", "log_softmax", "sigmoid")
    return [id(getattr(module, name)) for module in (own, keras.ops, keras.activations) for name in names]


def _engine_switches():
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf  # noqa: PLC0415 - one engine a process

        eagerly = tf.config.functions_run_eagerly()
        return {"eager": eagerly, "softmax": id(tf.nn.softmax), "sigmoid": id(tf.sigmoid)}
    if keras.backend.backend() == "jax":
        import jax  # noqa: PLC0415 - one engine a process

        return {
            "x64": jax.config.jax_enable_x64,
            "jit": jax.config.jax_disable_jit,
            "softmax": id(jax.nn.softmax),
        }
    import torch  # noqa: PLC0415 - one engine a process

    return {
        "grad": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "softmax": id(torch.softmax),
    }


def _engine_chance():
    if keras.backend.backend() == "torch":
        import torch  # noqa: PLC0415 - one engine a process

        return torch.get_rng_state().tolist()
    return None


# --- models for single tests ---------------------------------------------------------------------


@dataclass
class Counts:
    """Batch sizes of the passes through a model's tail."""

    forward: list[int]
    backward: list[int]


def counted():
    """A model whose tail counts passes, its counts, and two layers, the later one first."""
    net, counts = Net(1), Counts([], [])
    _settle(net, signal())
    net.count = counting(counts.forward.append, counts.backward.append)
    return net, counts, ["features", EARLY]


class _Head(layers.Layer):
    """Averages the squares over all positions, so that gradients differ from place to place."""

    def __init__(self):
        super().__init__()
        self.linear = layers.Dense(CLASSES)

    def build(self, shape):
        self.linear.build((shape[0], shape[-1]))

    def call(self, a):
        return self.linear(ops.mean(ops.square(a), axis=tuple(range(1, len(a.shape) - 1))))


def _stack(shape, first, second):
    return keras.Sequential([keras.Input(shape), first, layers.ReLU(), second, _Head()])


def twins():
    """A 1-D model, its 2-D twin (kernels 1 x k) with the same weights, and their layer."""
    one = unpadded()[0]
    _settle(one, signal())
    two = _stack(
        (1, None, 2),
        layers.Conv2D(4, (1, 5)),
        layers.Conv2D(5, (1, 3), strides=(1, 2), name="features"),
    )
    for old, new in zip(one.get_weights(), two.weights, strict=True):
        new.assign(old[None] if old.ndim == 3 else old)
    return one, two, "features"


def row_of(x):
    """A batch of signals, as the 2-D twin takes it."""
    return x[:, None]


def unpadded():
    """A 1-D model without padding, its layer, and that layer's stride."""
    stride = 2
    second = layers.Conv1D(5, 3, strides=stride, name="features")
    return _stack((None, 2), layers.Conv1D(4, 5), second), "features", stride


def detector(pattern):
    """A model that answers class 1 where a pattern ``(length,)`` occurs in its one channel."""
    conv, linear = layers.Conv1D(2, len(pattern), padding="same"), layers.Dense(2)
    model = keras.Sequential(
        [
            keras.Input((None, 1)),
            conv,
            layers.ReLU(name="detected"),
            layers.GlobalAveragePooling1D(),
            linear,
        ]
    )
    other = np.random.default_rng(1).standard_normal(len(pattern)) / 10
    bias = np.array([-0.5 * float((pattern**2).sum()), 0.0])
    conv.set_weights([np.stack([pattern, other], axis=1)[:, None], bias])
    linear.set_weights([np.array([[-1.0, 1.0], [0.0, 0.0]]), np.zeros(2)])
    return model, "detected"


def tensor(x):
    """An array of the framework's own."""
    return ops.convert_to_tensor(x)
