"""Here you find synthetic signals, images and volumes in which the cause of the class is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from signalcam.errors import InputError, MethodError, is_count, nearest
from signalcam.inputs.layout import Layout

Kind: TypeAlias = Literal["event", "burst", "channel", "xor", "distractor"]

RATE = 100.0  # values per second along time
_NOISE = 0.3  # standard deviation of the background; planted patterns have amplitudes of about 1
_NAMES: dict[str, tuple[str, ...]] = {
    "event": ("attack", "release"),
    "burst": ("slow", "middle", "fast"),
    "channel": ("attack", "release"),
    "xor": ("alike", "unlike"),
    "distractor": ("attack", "release"),
}
_AXES = {1: "time", 2: "height width", 3: "depth height width"}
TELLING = 1  # the informative channel of "channel"
_LEAST = 16  # entries along an axis, so that a patch has several possible positions
_PATCH = {1: 5, 2: 3, 3: 3}  # axis length divided by patch length, by the number of axes
_CYCLES = (1, 2, 3)  # of a burst, by class


@dataclass(frozen=True)
class Planted:
    """Samples, their classes, and the position of the cause of each class.

    Attributes:
        kind: The kind of cause.
        inputs: ``(sample, channel, *positions)``, single precision.
        labels: ``(sample,)``, the class of each.
        truth: ``(sample, channel, *positions)``, true where the cause is.
        layout: Names of the axes; time in seconds.
        class_names: One for each class.
    """

    kind: Kind
    inputs: np.ndarray
    labels: np.ndarray
    truth: np.ndarray
    layout: Layout
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, rows: slice) -> Planted:
        """Select samples."""
        return replace(self, inputs=self.inputs[rows], labels=self.labels[rows], truth=self.truth[rows])


def planted(
    kind: Kind = "event",
    samples: int = 400,
    space: int | Sequence[int] = 256,
    channels: int | None = None,
    seed: int = 0,
) -> Planted:
    """Create noise, and plant the cause of its class in each sample.

    - ``"event"``: an event that begins suddenly and fades, or its reverse.
    - ``"burst"``: an oscillation of one of three frequencies.
    - ``"channel"``: an event in each of six channels; only that of the second one depends on the class.
    - ``"xor"``: two events, each upwards or downwards; the class is whether they are alike. One alone is not enough.
    - ``"distractor"``: the event, and a larger bump that does not depend on the class.

    A pattern fills a fifth of a signal, and in images and volumes a third of each axis. It runs along the last axis.

    Args:
        kind: The kind of cause.
        samples: Number of samples; the classes are balanced.
        space: Length of the signal, or of each axis.
        channels: Number of channels; 1 by default, and 6 for ``"channel"``, which needs 2.
        seed: Equal seeds give equal samples.

    Returns:
        The samples, with ``.truth``.

    Raises:
        MethodError: There is no such kind.
        InputError: A number is too small.

    Example:
        >>> import signalcam as sc
        >>> beats = sc.synthetic.planted("event", samples=8)
        >>> beats.inputs.shape, beats.class_names
        ((8, 1, 256), ('attack', 'release'))
    """
    if kind not in get_args(Kind):
        message = f"nothing called {kind!r} can be planted.{nearest(str(kind), get_args(Kind))} There are: {', '.join(get_args(Kind))}."
        raise MethodError(message)
    shape = _check_shape(samples, space)
    width = channels or (6 if kind == "channel" else 1)
    if kind == "channel" and width <= TELLING:
        message = f"{width} channel was asked for; 'channel' needs at least {TELLING + 1} channels, of which one is informative."
        raise InputError(message)
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(samples) % len(_NAMES[kind]))
    inputs = rng.normal(0.0, _NOISE, (samples, width, *shape))
    truth = np.zeros(inputs.shape, bool)
    for x, mask, label in zip(inputs, truth, labels, strict=True):
        _PLANT[kind](x, mask, int(label), rng)
    rate = RATE if len(shape) == 1 else None
    layout = Layout(f"batch channel {_AXES[len(shape)]}", sampling_rate=rate)
    return Planted(kind, inputs.astype(np.float32), labels, truth, layout, _NAMES[kind])


def _check_shape(samples: int, space: int | Sequence[int]) -> tuple[int, ...]:
    shape = (space,) if isinstance(space, int) else tuple(space)
    if not is_count(samples, 2) or len(shape) not in _AXES:
        message = f"{samples!r} samples of {len(shape)} axes were asked for; give at least 2, of 1 to 3 axes."
        raise InputError(message)
    if not all(is_count(each, _LEAST) for each in shape):
        message = f"space is {shape}; each axis needs at least {_LEAST} entries."
        raise InputError(message)
    return shape


# --- the patterns ------------------------------------------------------------------------------------


def _event(box: Sequence[int], label: int) -> np.ndarray:
    """An event that begins suddenly and fades; for class 1 its reverse."""
    line = np.exp(-np.arange(box[-1]) / (box[-1] / 4)) * 2
    pattern: np.ndarray = _side_window(box) * (line if label == 0 else line[::-1])
    return pattern


def _burst(box: Sequence[int], label: int) -> np.ndarray:
    """An oscillation of as many cycles as the class has."""
    phase = np.arange(box[-1]) / box[-1]
    window = np.sin(np.pi * (np.arange(box[-1]) + 0.5) / box[-1])
    pattern: np.ndarray = 2 * _side_window(box) * window * np.sin(2 * np.pi * _CYCLES[label] * phase)
    return pattern


def _bump(box: Sequence[int], height: float) -> np.ndarray:
    """A smooth bump, symmetric in time."""
    pattern: np.ndarray = height * _side_window((*box, 1))[..., 0]
    return pattern


def _side_window(box: Sequence[int]) -> np.ndarray:
    """A smooth window over every axis but the last."""
    windows = [np.sin(np.pi * (np.arange(each) + 0.5) / each) for each in box[:-1]]
    product: np.ndarray = reduce(np.multiply.outer, windows, np.ones(()))
    return product[..., None]


def _random_boxes(x: np.ndarray, count: int, rng: np.random.Generator) -> list[tuple[Any, ...]]:
    """Positions of patches that do not touch: one in each interval of the last axis."""
    shape = x.shape[1:]
    box = _box_size(x)
    interval = shape[-1] // count
    boxes = []
    for number in range(count):
        starts = [int(rng.integers(0, n - b + 1)) for n, b in zip(shape[:-1], box, strict=False)]
        starts.append(number * interval + int(rng.integers(0, interval - box[-1] + 1)))
        boxes.append((..., *(slice(s, s + b) for s, b in zip(starts, box, strict=True))))
    return [boxes[i] for i in rng.permutation(count)]


def _box_size(x: np.ndarray) -> tuple[int, ...]:
    return tuple(each // _PATCH[x.ndim - 1] for each in x.shape[1:])


def _plant_one(shape: Callable[[Sequence[int], int], np.ndarray]) -> Callable[..., None]:
    """Return a function that plants one patch in all channels."""

    def plant(x: np.ndarray, mask: np.ndarray, label: int, rng: np.random.Generator) -> None:
        (place,) = _random_boxes(x, 1, rng)
        x[place] += shape(_box_size(x), label)
        mask[place] = True

    return plant


def _plant_channel(x: np.ndarray, mask: np.ndarray, label: int, rng: np.random.Generator) -> None:
    """Plant an event in each channel: of the sample's class in one of them, of random class in the others."""
    for channel in range(len(x)):
        (place,) = _random_boxes(x, 1, rng)
        informative = channel == TELLING
        x[channel][place] += _event(_box_size(x), label if informative else int(rng.integers(2)))
        mask[channel][place] = informative


def _plant_xor(x: np.ndarray, mask: np.ndarray, label: int, rng: np.random.Generator) -> None:
    """Plant two bumps of equal or of opposite signs."""
    sign = float(rng.choice([-1.0, 1.0]))
    for place, direction in zip(_random_boxes(x, 2, rng), (sign, sign * (1 - 2 * label)), strict=True):
        x[place] += _bump(_box_size(x), 1.5 * direction)
        mask[place] = True


def _plant_distractor(x: np.ndarray, mask: np.ndarray, label: int, rng: np.random.Generator) -> None:
    """Plant the event, and elsewhere a bump of twice its height."""
    place, elsewhere = _random_boxes(x, 2, rng)
    x[place] += _event(_box_size(x), label)
    x[elsewhere] += _bump(_box_size(x), 4.0)
    mask[place] = True


_PLANT: dict[str, Callable[..., Any]] = {
    "event": _plant_one(_event),
    "burst": _plant_one(_burst),
    "channel": _plant_channel,
    "xor": _plant_xor,
    "distractor": _plant_distractor,
}
