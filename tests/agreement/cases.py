"""Networks, weights and inputs that every framework builds alike. No framework is imported here.

Weights are drawn in PyTorch's order, ``(out, in, *kernel)``, inputs channels first. Keras' networks
are channels last. Maps have positions only, in the order of the input's axes, so none needs turning.

Padding ``'same'`` means the same to both frameworks in two cases, and only those are drawn:
stride 1, where an even kernel's odd zero goes to the end; and an odd kernel of stride ``s`` on
lengths of ``s * n + 1``, where Keras pads half a kernel on each side, as PyTorch does when told to.
"""

from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

import signalcam as sc

EXPECTED = Path(__file__).with_name("expected.npz")
METHODS = ["grad-cam", "hires-cam"]
PASSES = ["shapley-cam", "lift-cam", "guided-grad-cam", "full-grad"]  # with passes of their own
LAYERS = ["relu1", "conv2"]  # one with positive values only, one with both signs
FIXED_CLASS = 1
TARGETS = ["predicted", FIXED_CLASS]
CLASSES = 4
EPSILON = 1e-3  # of every BatchNorm: Keras' default; PyTorch's is 1e-5
TOLERANCE = 1e-5  # of a map's or a logit row's largest value: single precision, other sum orders
PLACE_TOLERANCE = 1e-5  # of a sample: places are rounded to 1e-6, and saved in single precision


@dataclass(frozen=True)
class Conv:
    """A convolution, followed by BatchNorm, ReLU and, where ``pool`` is over 1, max pooling."""

    filters: int
    kernel: int
    stride: int = 1
    padding: str = "valid"
    pool: int = 1


@dataclass(frozen=True)
class Case:
    """One network and its input; ``flat`` feeds every position to the head, not their mean."""

    name: str
    seed: int
    lengths: tuple[int, ...]
    convs: tuple[Conv, ...]
    channels: int = 3
    samples: int = 3
    softmax: bool = False
    flat: bool = False

    @property
    def rank(self) -> int:
        """Position axes."""
        return len(self.lengths)


CASES = [
    Case("signal valid", 1, (97,), (Conv(5, 7, stride=2), Conv(6, 5))),
    Case(
        "signal valid pooled softmax",
        2,
        (120,),
        (Conv(5, 6, pool=2), Conv(6, 5, stride=3)),
        softmax=True,
    ),
    Case(
        "signal same softmax",
        3,
        (90,),
        (Conv(5, 7, padding="same"), Conv(6, 4, padding="same")),
        softmax=True,
    ),
    Case(
        "signal same strided",
        4,
        (121,),
        (Conv(5, 7, 3, "same"), Conv(6, 3, 2, "same")),
    ),
    Case(
        "signal flat softmax",
        5,
        (64,),
        (Conv(5, 5, pool=2), Conv(6, 5, padding="same")),
        softmax=True,
        flat=True,
    ),
    Case("image valid softmax", 6, (28, 23), (Conv(5, 3), Conv(6, 4, stride=2)), softmax=True),
    Case("image same strided", 7, (31, 27), (Conv(5, 3, 2, "same"), Conv(6, 3, padding="same"))),
    Case("volume valid", 8, (12, 11, 10), (Conv(4, 3), Conv(5, 3)), samples=2),
    Case(
        "volume same softmax",
        9,
        (11, 9, 10),
        (Conv(4, 3, padding="same"), Conv(5, 2, padding="same")),
        samples=2,
        softmax=True,
    ),
]


def grown(case: Case) -> list[tuple[int, ...]]:
    """The lengths that each convolution sees, and those that the head sees."""
    seen = [case.lengths]
    for conv in case.convs:
        shrunk = (_after(conv, length) // conv.pool for length in seen[-1])
        seen.append(tuple(shrunk))
    return seen


def _after(conv: Conv, length: int) -> int:
    if conv.padding == "valid":
        return (length - conv.kernel) // conv.stride + 1
    if conv.stride > 1 and (length % conv.stride != 1 or conv.kernel % 2 == 0):
        message = f"frameworks pad {length} samples for {conv} in two ways: draw another case"
        raise ValueError(message)
    return -(-length // conv.stride)


def weights(case: Case) -> dict[str, np.ndarray]:
    """Draw the weights, with moving statistics as training would have left them."""
    rng = np.random.default_rng(case.seed)
    drawn: dict[str, np.ndarray] = {}
    channels = case.channels
    for number, conv in enumerate(case.convs, 1):
        size = (conv.filters, channels, *[conv.kernel] * case.rank)
        drawn[f"conv{number}.weight"] = rng.normal(0, np.sqrt(2 / prod(size[1:])), size)
        drawn[f"conv{number}.bias"] = rng.normal(0, 0.1, conv.filters)
        drawn[f"norm{number}.weight"] = rng.uniform(0.5, 1.5, conv.filters)
        drawn[f"norm{number}.bias"] = rng.normal(0, 0.3, conv.filters)
        drawn[f"norm{number}.running_mean"] = rng.normal(0, 0.5, conv.filters)
        drawn[f"norm{number}.running_var"] = rng.uniform(0.5, 2, conv.filters)
        channels = conv.filters
    features = channels * prod(grown(case)[-1]) if case.flat else channels
    drawn["head.weight"] = rng.normal(0, 1, (CLASSES, features))
    drawn["head.bias"] = rng.normal(0, 0.1, CLASSES)
    return {name: array.astype(np.float32) for name, array in drawn.items()}


def inputs(case: Case) -> np.ndarray:
    """Draw the input, ``(sample, channel, *positions)``."""
    rng = np.random.default_rng([case.seed, 1])
    return rng.standard_normal((case.samples, case.channels, *case.lengths), dtype=np.float32)


def answers(model: object, x: np.ndarray) -> dict[str, np.ndarray]:
    """Explain a model: its maps at the input's resolution, logits, classes and layers' places.

    ``maps`` are ``(sample, target, cam, layer, *positions)`` with both signs, ``places``
    ``(layer, axis, 3)``: start, jump and field, in samples. ``passes`` are maps of one layer and the
    predicted class by methods with backward passes of their own, ``(sample, method, *positions)``.
    """
    exp = sc.explain(model, x, method=METHODS, layer=LAYERS, target=TARGETS, signed=True)
    places = [[(a.start, a.jump, a.field) for a in layer.grid] for layer in exp.layers]
    probed = [axis.probed for layer in exp.layers for axis in layer.grid]
    assert all(probed), "a layer's place was not measured"
    own = sc.explain(model, x, method=PASSES, layer=LAYERS[0], signed=True)
    return {
        "maps": exp.maps.values.astype(np.float32),
        "passes": own.maps.values[:, 0, :, 0].astype(np.float32),
        "logits": exp.logits.astype(np.float32),
        "classes": exp.classes.astype(np.int32),
        "places": np.asarray(places, np.float32),
    }


def expected(case: Case) -> dict[str, np.ndarray]:
    """What PyTorch answered when ``make_expected.py`` was last run."""
    with np.load(EXPECTED) as saved:
        names = ("maps", "passes", "logits", "classes", "places")
        return {name: saved[f"{case.name}/{name}"] for name in names}


def difference(found: np.ndarray, wanted: np.ndarray, axes: int) -> float:
    """The largest difference in any map (the last ``axes`` axes), in units of its largest value."""
    assert found.shape == wanted.shape
    last = tuple(range(-axes, 0))
    size = np.abs(wanted).max(axis=last)
    assert (size > 0).all()
    return float((np.abs(found - wanted).max(axis=last) / size).max())


def assert_agreement(case: Case, found: dict[str, np.ndarray]) -> None:
    """Compare a framework's answers with those saved."""
    wanted = expected(case)
    np.testing.assert_array_equal(found["classes"], wanted["classes"])
    np.testing.assert_allclose(found["places"], wanted["places"], rtol=0, atol=PLACE_TOLERANCE)
    assert difference(found["logits"], wanted["logits"], 1) < TOLERANCE
    assert difference(found["maps"], wanted["maps"], case.rank) < TOLERANCE
    assert difference(found["passes"], wanted["passes"], case.rank) < TOLERANCE
