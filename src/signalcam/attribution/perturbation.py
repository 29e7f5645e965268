"""Methods that run the model on changed samples or activations: Score-CAM, Ablation-CAM and others.

A plan gets a ``signalcam.attribution.context.AttributionContext`` and returns one signed map ``(b, p)`` a target. What is scored is what
is explained: the logit, unless ``score=`` says otherwise.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from signalcam.arrays import Array, Layered, Map, Weights, namespace
from signalcam.attribution.context import AttributionContext
from signalcam.attribution.gradient import positive, ratio, weigh
from signalcam.attribution.registry import Method, find, register_planned
from signalcam.errors import MethodError, is_count, nearest

Weighting = Literal["softmax", "none", "relu"]
_LINEAR = 1e-3  # of the sizes involved: how far a score may be from a straight line, in single precision
_COLUMNS = 64  # of a matrix of a signal's length squared that are made at a time


# --- what plans are made of -----------------------------------------------------------------------


def min_max_scale(maps: Array, axes: int = 2) -> Array:
    """Scale each map to 0..1; a constant map becomes 0."""
    xp, rest = namespace(maps), tuple(range(axes, len(maps.shape)))
    low, high = xp.min(maps, axis=rest, keepdims=True), xp.max(maps, axis=rest, keepdims=True)
    return ratio(maps - low, high - low)


def softmax(values: Weights) -> Weights:
    """Turn each row into weights with sum 1; minus infinity becomes 0."""
    xp = namespace(values)
    top = xp.max(values, axis=1, keepdims=True)
    top = xp.where(xp.isfinite(top), top, xp.zeros_like(top))
    grown = xp.exp(values - top)
    return ratio(grown, xp.sum(grown, axis=1, keepdims=True))


def cast_like(array: Array, other: Array) -> Array:
    """Cast an array to another's type."""
    return array if array.dtype == other.dtype else namespace(array).astype(array, other.dtype)


def mask_inputs(case: AttributionContext, masks: Array, samples: slice) -> Array:
    """Multiply samples by masks at the input: ``(samples, masks, *one sample)``."""
    return case.x[samples][:, None, ...] * cast_like(masks, case.x)


def one_hot(case: AttributionContext, numbers: slice, trials: int, width: int) -> Array:
    """Put 1 at each trial's own index, else 0: ``(trials, width)``."""
    return case.array(np.arange(trials)[numbers][:, None] == np.arange(width))


# --- activations are changed ----------------------------------------------------------------------


def ablation_cam(case: AttributionContext) -> list[Map]:
    """Weigh each channel by how much the score falls when it is set to 0.

    The fall is not divided by the score: that changes nothing but the size of the map, and turns it over
    where the score is negative.
    """
    channels = case.a.shape[1]

    def without(samples: slice, numbers: slice) -> Array:
        out = one_hot(case, numbers, channels, channels)
        return case.a[samples][:, None, :, :] * (1 - out)[None, :, :, None]

    tried = case.run_with_activations(channels, without)
    return [_weighed(case.a, own[:, None] - each) for own, each in zip(case.scores, tried, strict=True)]


def recipro_cam(case: AttributionContext) -> list[Map]:
    """Score each position by the model's score when nothing else is active.

    Less what it says when nothing is active at all: the paper's normalising takes any constant away, and
    so a linear layer behind pooling gives ``hires-cam`` itself.
    """
    positions = case.a.shape[2]

    def alone(samples: slice, numbers: slice) -> Array:
        single = one_hot(case, numbers, positions + 1, positions)  # the last trial keeps nothing
        return case.a[samples][:, None, :, :] * single[None, :, None, :]

    tried = case.run_with_activations(positions + 1, alone)
    return [cast_like(each[:, :-1] - each[:, -1:], case.a) for each in tried]


def class_scores(case: AttributionContext) -> list[Map]:
    """Weigh each channel by the linear layer's weight for the target.

    Found without looking into the model: behind pooling and one linear layer the gradient is that weight
    over the number of positions, and the score a straight line in the activations, which two trials check.
    """
    xp = namespace(case.a)

    def opposite(samples: slice, numbers: slice) -> Array:
        sign = case.array(np.asarray([0.0, -1.0])[numbers])
        return case.a[samples][:, None, :, :] * sign[None, :, None, None]

    tried, maps = case.run_with_activations(2, opposite), []
    for target, (own, trials) in enumerate(zip(case.scores, tried, strict=True)):
        g = case.gradient(target)
        rise = xp.sum(case.a * g, axis=(1, 2))
        _require_line(case.method, g, cast_like(own, g), cast_like(trials, g), rise)
        maps.append(weigh(case.a, xp.sum(g, axis=-1)))
    return maps


def _require_line(method: str, g: Layered, own: Array, tried: Array, rise: Array) -> None:
    """Raise unless a score is linear in each channel's mean."""
    xp = namespace(g)
    middle = xp.mean(g, axis=-1, keepdims=True)
    pooled = xp.max(xp.abs(g - middle)) <= _LINEAR * xp.max(xp.abs(g))
    size = xp.abs(rise) + xp.abs(own) + xp.abs(tried[:, 0])
    up, down = own - tried[:, 0] - rise, tried[:, 1] - tried[:, 0] + rise
    straight = xp.all((xp.abs(up) <= _LINEAR * size) & (xp.abs(down) <= _LINEAR * size))
    if not (bool(pooled) and bool(straight)):
        line = "positions count differently" if not bool(pooled) else "the score is no straight line in the activations"
        message = f"{method} needs average pooling and one linear layer right behind the layer, but {line}. Use grad-cam or hires-cam, or name the last layer before the pooling."
        raise MethodError(message)


# --- inputs are masked ----------------------------------------------------------------------------


@dataclass(frozen=True)
class ScoreCam:
    """Weigh each channel by the score of the input masked by it.

    Each channel, stretched to the input and to 0..1, masks the input. The weights are the softmax of the
    scores over the channels, so the map knows only how channels compare; a channel that is the same everywhere
    is left out. Peers stretch otherwise (some before, some after interpolating).

    Attributes:
        weighting: ``"softmax"``; ``"none"`` takes the score above that of an empty input, ``"relu"`` what
            of it is positive.
        baseline: What is masked_inputs where a mask is 0.
        noise: SS-CAM: standard deviation of noise on the masks.
        steps: SS-CAM: noisy copies; IS-CAM: steps from nothing to the masked input.
        rising: IS-CAM: average over ``1/steps, 2/steps, ... 1`` times the masked input.
        seed: Of the noise.
    """

    weighting: Weighting = "softmax"
    baseline: float = 0.0
    noise: float = 0.0
    steps: int = 1
    rising: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.weighting not in get_args(Weighting):
            message = f"there is no weighting {self.weighting!r}.{nearest(str(self.weighting), get_args(Weighting))} Choose 'softmax', 'none' or 'relu'."
            raise MethodError(message)
        if not (is_count(self.steps) and 0 <= self.noise < np.inf and is_count(self.seed, 0)):
            message = f"steps is {self.steps}, noise {self.noise} and seed {self.seed}; give at least 1 step, noise of 0 or more, and a seed of 0, 1, 2, ..."
            raise MethodError(message)

    def __call__(self, case: AttributionContext) -> list[Map]:
        """Return one map a target."""
        xp, channels = namespace(case.a), int(case.a.shape[1])

        def masked_inputs(samples: slice, numbers: slice) -> Array:
            trials = np.arange(channels * self.steps)[numbers]
            maps = xp.stack([case.a[samples][:, int(n) // self.steps, :] for n in trials], axis=1)
            masks = min_max_scale(case.at_input(maps))
            return self._masked_inputs(case, masks, trials % self.steps, trials, samples)

        tried = case.run_with_inputs(channels * self.steps, masked_inputs)
        flat = xp.max(case.a, axis=-1) == xp.min(case.a, axis=-1)
        empty = self._empty(case) if self.weighting != "softmax" else [None] * len(tried)
        return [self._collected(case.a, *each, flat) for each in zip(tried, empty, strict=True)]

    def _masked_inputs(
        self, case: AttributionContext, masks: Array, step: np.ndarray, trials: np.ndarray, samples: slice
    ) -> Array:
        xp, shape = namespace(masks), (1, len(trials), *[1] * (len(masks.shape) - 2))
        if self.noise:
            masks = masks + case.array(_noise(self.seed, trials, masks.shape[2:], self.noise))[None, ...]
        x = mask_inputs(case, masks, samples)
        if self.baseline:
            x = x + cast_like(self.baseline * (1 - masks), case.x)
        if self.rising:
            x = x * cast_like(xp.reshape(case.array((step + 1) / self.steps), shape), case.x)
        return x

    def _empty(self, case: AttributionContext) -> list[Array]:
        def nothing(samples: slice, _numbers: slice) -> Array:
            x = case.x[samples][:, None, ...]
            return namespace(x).zeros_like(x) + self.baseline

        return [each[:, 0] for each in case.run_with_inputs(1, nothing)]

    def _collected(self, a: Layered, scores: Array, empty: Array | None, flat: Array) -> Map:
        xp = namespace(a)
        rows = xp.reshape(cast_like(scores, a), (*a.shape[:2], self.steps))
        mean = xp.mean(rows, axis=-1)
        if empty is None:
            return weigh(a, softmax(xp.where(flat, xp.zeros_like(mean) - np.inf, mean)))
        above = mean - cast_like(empty, a)[:, None]
        above = positive(above) if self.weighting == "relu" else above
        return weigh(a, xp.where(flat, xp.zeros_like(above), above))


def _noise(seed: int, trials: np.ndarray, shape: Sequence[int], size: float) -> np.ndarray:
    """Noise that depends on the trial's number only."""
    noise = [np.random.default_rng((seed, int(n))).standard_normal(shape) for n in trials]
    return size * np.stack(noise)


@dataclass(frozen=True)
class GroupCam:
    """Weigh groups of channels by how much they restore the score of a blurred input.

    The channels, each times its mean gradient, are added up in groups; what is positive of a group masks the
    input, and the rest of it is blurred.

    Attributes:
        groups: How many, of neighbouring channels.
        blur: Standard deviation of the blur, as a share of each axis.
    """

    groups: int = 32
    blur: float = 0.2

    def __post_init__(self) -> None:
        if not (is_count(self.groups) and 0 < self.blur < np.inf):
            message = f"groups is {self.groups} and blur {self.blur}; give at least 1 group and a blur above 0."
            raise MethodError(message)

    def __call__(self, case: AttributionContext) -> list[Map]:
        """Return one map a target."""
        blurred = _blurred(case, self.blur)
        return [self._map(case, target, blurred) for target in range(len(case.scores))]

    def _map(self, case: AttributionContext, target: int, blurred: Array) -> Map:
        xp = namespace(case.a)
        weighed = case.a * xp.mean(case.gradient(target), axis=-1, keepdims=True)
        parts = np.array_split(np.arange(case.a.shape[1]), min(self.groups, case.a.shape[1]))
        maps = positive(
            xp.stack([xp.sum(weighed[:, int(each[0]) : int(each[-1]) + 1, :], axis=1) for each in parts], axis=1)
        )

        def masked_inputs(samples: slice, numbers: slice) -> Array:
            masks = cast_like(min_max_scale(case.at_input(maps[samples][:, numbers, :])), case.x)
            x, soft = case.x[samples][:, None, ...], blurred[samples][:, None, ...]
            return soft + (x - soft) * masks

        def soft_only(samples: slice, _numbers: slice) -> Array:
            return blurred[samples][:, None, ...]

        scores = case.run_with_inputs(len(parts), masked_inputs)[target]
        gained = positive(cast_like(scores - case.run_with_inputs(1, soft_only)[target], case.a))
        return weigh(maps, gained)


def _blurred(case: AttributionContext, share: float) -> Array:
    """The input blurred by a Gaussian along each axis with positions."""
    probe = case.at_input(case.a[:1, :1, :])
    x, xp = case.x, namespace(case.x)
    for axis, length in enumerate(x.shape[1:], start=1):
        if probe.shape[axis + 1] != length or length == 1:
            continue
        order = [i for i in range(len(x.shape)) if i != axis] + [axis]
        back = [order.index(i) for i in range(len(x.shape))]
        turned = xp.permute_dims(x, tuple(order))
        flat = xp.reshape(turned, (-1, length))
        soft = xp.concat([xp.matmul(flat, cast_like(case.array(each), x)) for each in _gaussian(length, share)], axis=1)
        x = xp.permute_dims(xp.reshape(soft, turned.shape), tuple(back))
    return x


def _gaussian(length: int, share: float) -> Iterator[np.ndarray]:
    """Some columns of the blurring matrix, which is large for a long signal."""
    place = np.arange(length)
    for start in range(0, length, _COLUMNS):
        off = place[:, None] - place[None, start : start + _COLUMNS]
        kernel = np.exp(-0.5 * (off / max(share * length, 1e-3)) ** 2)
        yield kernel / kernel.sum(0)


def _weighed(a: Layered, w: Array) -> Map:
    return weigh(a, cast_like(w, a))


# --- under their names ----------------------------------------------------------------------------


def score_cam(*, weighting: Weighting = "softmax", baseline: float = 0.0) -> Method:
    """Return ``score-cam`` with another weighting or baseline, for ``method=``.

    Args:
        weighting: See ``ScoreCam``.
        baseline: See ``ScoreCam``.

    Example:
        >>> from signalcam.attribution.perturbation import score_cam
        >>> score_cam(weighting="relu").name
        'score-cam relu'
    """
    return _register_variant(f"score-cam {weighting}", "score-cam", ScoreCam(weighting, baseline))


def ss_cam(*, n: int = 10, noise: float = 0.1, seed: int = 0) -> Method:
    """Return ``ss-cam`` with other noise, for ``method=``.

    Args:
        n: Noisy masks a channel.
        noise: Their standard deviation; masks lie in 0..1.
        seed: Of the noise.
    """
    return _register_variant(f"ss-cam {n}", "ss-cam", ScoreCam(noise=noise, steps=n, seed=seed))


def is_cam(*, n: int = 10) -> Method:
    """Return ``is-cam`` with another number of steps, for ``method=``.

    Args:
        n: Steps from nothing to the masked input.
    """
    return _register_variant(f"is-cam {n}", "is-cam", ScoreCam(steps=n, rising=True))


def group_cam(*, groups: int = 32, blur: float = 0.2) -> Method:
    """Return ``group-cam`` with other groups, for ``method=``.

    Args:
        groups: See ``GroupCam``.
        blur: See ``GroupCam``.
    """
    return _register_variant(f"group-cam {groups}", "group-cam", GroupCam(groups, blur))


def _register_variant(name: str, registered_name: str, plan: Callable[[AttributionContext], list[Map]]) -> Method:
    return replace(find(registered_name), name=name, plan=plan)


@dataclass(frozen=True)
class SmoothedScoreCam(ScoreCam):
    """Weigh each channel by the score of the input masked by it, averaged over noisy masks.

    As ``score-cam`` else; without noise it is the same.
    """

    noise: float = 0.1
    steps: int = 10


@dataclass(frozen=True)
class IntegratedScoreCam(ScoreCam):
    """Weigh each channel by the score of the input masked by it, averaged as the mask rises from 0.

    The average over ``1/n, 2/n, ... 1`` times the masked input; with one step it is ``score-cam``.
    """

    steps: int = 10
    rising: bool = True


register_planned(
    "ablation-cam", ablation_cam, paper="Desai and Ramaswamy 2020, doi:10.1109/WACV45572.2020.9093360", passes="K tails"
)
register_planned(
    "recipro-cam",
    recipro_cam,
    paper="Byun and Lee 2022, arXiv:2209.14074",
    passes="one tail a position",
)
register_planned(
    "cam",
    class_scores,
    paper="Zhou et al. 2016, arXiv:1512.04150",
    passes="1 forward, 1 backward, 2 tails",
    family="gradient",
    needs_gradients=True,
)
register_planned("score-cam", ScoreCam(), paper="Wang et al. 2020, arXiv:1910.01279", passes="K forward")
register_planned("ss-cam", SmoothedScoreCam(), paper="Wang et al. 2020, arXiv:2006.14255", passes="10 K forward")
register_planned(
    "is-cam",
    IntegratedScoreCam(),
    paper="Naidu et al. 2020, arXiv:2010.03023",
    passes="10 K forward",
)
register_planned(
    "group-cam",
    GroupCam(),
    paper="Zhang et al. 2021, arXiv:2103.13859",
    passes="33 forward, 1 backward",
    needs_gradients=True,
)
