"""Signals, images and volumes in which what makes the class is known, entry by entry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from signalcam.errors import InputError, MethodError, is_count, nearest
from signalcam.inputs.layout import Layout

Kind: TypeAlias = Literal["event", "burst", "channel", "xor", "distractor"]

RATE = 100.0  # values a second along time
_NOISE = 0.3  # standard deviation of the background; what is planted swings by 1 or so
_NAMES: dict[str, tuple[str, ...]] = {
    "event": ("attack", "release"),
    "burst": ("slow", "middle", "fast"),
    "channel": ("attack", "release"),
    "xor": ("alike", "unlike"),
    "distractor": ("attack", "release"),
}
_AXES = {1: "time", 2: "height width", 3: "depth height width"}
TELLING = 1  # the channel that has to do with the class, where only one has
_LEAST = 16  # entries along an axis: a patch and some place to put it
_PATCH = {1: 5, 2: 3, 3: 3}  # a patch is this part of each axis, by how many there are
_CYCLES = (1, 2, 3)  # of a burst, by class


@dataclass(frozen=True)
class Planted:
    """Samples, their classes, and where the cause of each class lies.

    Attributes:
        kind: What was planted.
        inputs: ``(sample, channel, *positions)``, single precision.
        labels: ``(sample,)``, the class of each.
        truth: ``(sample, channel, *positions)``, true where the cause was planted.
        layout: Names of the axes; time in seconds.
        class_names: One a class.
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
        """Take some samples."""
        return replace(self, inputs=self.inputs[rows], labels=self.labels[rows], truth=self.truth[rows])


def planted(
    kind: Kind = "event",
    samples: int = 400,
    space: int | Sequence[int] = 256,
    channels: int | None = None,
    seed: int = 0,
) -> Planted:
    """Make noise, and plant in each sample what makes its class.

    - ``"event"``: one event that begins suddenly and fades, or the same backwards.
    - ``"burst"``: an oscillation of one of three frequencies.
    - ``"channel"``: an event in each of six channels, of which only the second one's has to do with the class.
    - ``"xor"``: two events, each upwards or downwards; the class is whether they are alike. Neither tells alone.
    - ``"distractor"``: the event, and a larger bump that tells nothing.

    It fills a fifth of a signal, and in images and volumes a third of each axis, and runs along the last one.

    Args:
        kind: What is planted.
        samples: How many; the classes are as even as can be.
        space: Length of the signal, or of each axis.
        channels: How many; 1 by default, and 6 for ``"channel"``, which needs 2.
        seed: The same numbers give the same samples.

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
    shape = _checked(samples, space)
    width = channels or (6 if kind == "channel" else 1)
    if kind == "channel" and width <= TELLING:
        message = f"{width} channel was asked for; 'channel' needs at least {TELLING + 1} channels, of which one tells."
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


def _checked(samples: int, space: int | Sequence[int]) -> tuple[int, ...]:
    shape = (space,) if isinstance(space, int) else tuple(space)
    if not is_count(samples, 2) or len(shape) not in _AXES:
        message = f"{samples!r} samples of {len(shape)} axes were asked for; give at least 2, of 1 to 3 axes."
        raise InputError(message)
    if not all(is_count(each, _LEAST) for each in shape):
        message = f"space is {shape}; each axis needs at least {_LEAST} entries."
        raise InputError(message)
    return shape


# --- what is planted ---------------------------------------------------------------------------------


def _event(box: Sequence[int], label: int) -> np.ndarray:
    """Begin suddenly and fade; or, for class 1, the other way round."""
    line = np.exp(-np.arange(box[-1]) / (box[-1] / 4)) * 2
    found: np.ndarray = _across(box) * (line if label == 0 else line[::-1])
    return found


def _burst(box: Sequence[int], label: int) -> np.ndarray:
    """Oscillate a few times, or more often."""
    phase = np.arange(box[-1]) / box[-1]
    window = np.sin(np.pi * (np.arange(box[-1]) + 0.5) / box[-1])
    found: np.ndarray = 2 * _across(box) * window * np.sin(2 * np.pi * _CYCLES[label] * phase)
    return found


def _bump(box: Sequence[int], height: float) -> np.ndarray:
    """Rise and fall smoothly, alike in every direction of time."""
    found: np.ndarray = height * _across((*box, 1))[..., 0]
    return found


def _across(box: Sequence[int]) -> np.ndarray:
    """A smooth window over every axis but the last."""
    windows = [np.sin(np.pi * (np.arange(each) + 0.5) / each) for each in box[:-1]]
    product: np.ndarray = reduce(np.multiply.outer, windows, np.ones(()))
    return product[..., None]


def _boxes(x: np.ndarray, count: int, rng: np.random.Generator) -> list[tuple[Any, ...]]:
    """Places of patches that do not touch: each in its own stretch of the last axis."""
    shape = x.shape[1:]
    box = _box(x)
    stretch = shape[-1] // count
    found = []
    for number in range(count):
        starts = [int(rng.integers(0, n - b + 1)) for n, b in zip(shape[:-1], box, strict=False)]
        starts.append(number * stretch + int(rng.integers(0, stretch - box[-1] + 1)))
        found.append((..., *(slice(s, s + b) for s, b in zip(starts, box, strict=True))))
    return [found[i] for i in rng.permutation(count)]


def _box(x: np.ndarray) -> tuple[int, ...]:
    return tuple(each // _PATCH[x.ndim - 1] for each in x.shape[1:])


def _plant_one(shape: Callable[[Sequence[int], int], np.ndarray]) -> Callable[..., None]:
    """One patch, in all channels."""

    def plant(x: np.ndarray, mask: np.ndarray, label: int, rng: np.random.Generator) -> None:
        (place,) = _boxes(x, 1, rng)
        x[place] += shape(_box(x), label)
        mask[place] = True

    return plant


def _plant_channel(x: np.ndarray, mask: np.ndarray, label: int, rng: np.random.Generator) -> None:
    """The event in each channel, of the sample's class in one of them and of any class in the others."""
    for channel in range(len(x)):
        (place,) = _boxes(x, 1, rng)
        tells = channel == TELLING
        x[channel][place] += _event(_box(x), label if tells else int(rng.integers(2)))
        mask[channel][place] = tells


def _plant_xor(x: np.ndarray, mask: np.ndarray, label: int, rng: np.random.Generator) -> None:
    """Two bumps of the same or of opposite signs."""
    sign = float(rng.choice([-1.0, 1.0]))
    for place, way in zip(_boxes(x, 2, rng), (sign, sign * (1 - 2 * label)), strict=True):
        x[place] += _bump(_box(x), 1.5 * way)
        mask[place] = True


def _plant_distractor(x: np.ndarray, mask: np.ndarray, label: int, rng: np.random.Generator) -> None:
    """The event, and elsewhere a bump of twice its height."""
    place, elsewhere = _boxes(x, 2, rng)
    x[place] += _event(_box(x), label)
    x[elsewhere] += _bump(_box(x), 4.0)
    mask[place] = True


_PLANT: dict[str, Callable[..., Any]] = {
    "event": _plant_one(_event),
    "burst": _plant_one(_burst),
    "channel": _plant_channel,
    "xor": _plant_xor,
    "distractor": _plant_distractor,
}
