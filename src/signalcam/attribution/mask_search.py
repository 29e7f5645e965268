"""Methods that search masks of the input: Poly-CAM and Opti-CAM."""

from dataclasses import dataclass, replace

import numpy as np

from signalcam.arrays import Array, Layered, Map, Weights, namespace
from signalcam.attribution.context import AttributionContext
from signalcam.attribution.gradient import positive, ratio, weigh
from signalcam.attribution.input_level import over_positions
from signalcam.attribution.perturbation import cast_like, mask_inputs, min_max_scale, softmax
from signalcam.attribution.registry import Method, find, register_planned
from signalcam.errors import MethodError, is_count

_CLIP = 0.001  # of the positions at either end, as in the paper


def poly_cam(case: AttributionContext) -> list[Map]:
    """Weigh each channel by the score it lets through, and by the score lost where it is masked out.

    A channel's mask is clipped at a thousandth of its positions at either end. The paper scores probabilities:
    ask with ``score="probability"`` for its numbers. One layer's map; the paper multiplies several, as ``Explanation.fused("poly-cam")`` does.
    """
    channels = int(case.a.shape[1])
    clipped = _clipped(case.a)

    def masked_inputs(samples: slice, numbers: slice) -> Array:
        trials = np.arange(2 * channels)[numbers]
        maps = namespace(case.a).stack([clipped[samples][:, int(n) % channels, :] for n in trials], axis=1)
        masks = min_max_scale(case.at_input(maps))
        shape = (1, -1, *[1] * (len(masks.shape) - 2))
        turned = namespace(masks).reshape(case.array((trials >= channels).astype(float)), shape)
        return mask_inputs(case, masks + turned * (1 - 2 * masks), samples)

    tried = case.run_with_inputs(2 * channels, masked_inputs)
    return [
        weigh(case.a, positive(trial_scores[:, :channels] + own[:, None] - trial_scores[:, channels:]))
        for own, trial_scores in zip(case.scores, tried, strict=True)
    ]


def _clipped(a: Layered) -> Layered:
    """Clip the extreme positions of each channel to the next ones."""
    xp, last = namespace(a), a.shape[-1] - 1
    ordered, off = xp.sort(a, axis=-1), round(_CLIP * (a.shape[-1] - 1))
    low, high = ordered[..., off : off + 1], ordered[..., last - off : last - off + 1]
    lifted = xp.where(a < low, low + xp.zeros_like(a), a)
    return xp.where(lifted > high, high + xp.zeros_like(a), lifted)


@dataclass(frozen=True)
class OptiCam:
    """Search the mixture of channels whose mask gives the highest score.

    The mixture's weights are the softmax of numbers that Adam improves step by step; the best mixture met is
    the map. It is made to raise the score under masking, so metrics that mask say little about it.

    Attributes:
        steps: Of the search.
        rate: Their size.
    """

    steps: int = 50
    rate: float = 0.1

    def __post_init__(self) -> None:
        if not (is_count(self.steps) and 0 < self.rate < np.inf):
            message = f"steps is {self.steps} and rate {self.rate}; give at least 1 step and a rate above 0."
            raise MethodError(message)

    def __call__(self, case: AttributionContext) -> list[Map]:
        """Return one map a target."""
        return [self._search(case, target) for target in range(len(case.scores))]

    def _search(self, case: AttributionContext, target: int) -> Map:
        xp, a = namespace(case.a), positive(case.a)
        w = xp.zeros_like(a[:, :, 0]) + 0.5
        first, second = xp.zeros_like(w), xp.zeros_like(w)
        best, top = weigh(a, softmax(w)), xp.zeros_like(w[:, 0]) - np.inf
        for step in case.with_progress(range(1, self.steps + 1)):
            score, mixed, slope = climb(case, target, a, w)
            better = score > top
            best = xp.where(better[:, None], mixed, best)
            top = xp.where(better, score, top)
            first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope * slope
            rise = ratio(first / (1 - 0.9**step), xp.sqrt(second / (1 - 0.999**step)))
            w = w + self.rate * rise
        return best


def climb(case: AttributionContext, target: int, a: Layered, w: Weights) -> tuple[Array, Map, Weights]:
    """Return the score under a mixture's mask ``(b,)``, the mixture ``(b, p)``, and the gradient ``(b, c)``."""
    xp, share = namespace(a), softmax(w)
    mixed = weigh(a, share)
    wide = case.at_input(mixed[:, None, :])
    axes = tuple(range(2, len(wide.shape)))
    low, high = xp.min(wide, axis=axes, keepdims=True), xp.max(wide, axis=axes, keepdims=True)
    mask = ratio(wide - low, high - low)
    score, g = case.input_gradients(case.x * cast_like(mask[:, 0, ...], case.x))[target]
    down = over_positions(case, cast_like(case.x * g, a))[:, None, ...]
    at_low, at_high = _share_of(wide == low, axes, a), _share_of(wide == high, axes, a)
    down_masked = down + at_low * xp.sum(down * (mask - 1), axis=axes, keepdims=True)
    down_masked = down_masked - at_high * xp.sum(down * mask, axis=axes, keepdims=True)
    here = case.from_input(ratio(down_masked, high - low))[:, 0, :]
    smoothed = xp.matmul(a, here[:, :, None])[:, :, 0]
    return cast_like(score, a), mixed, share * (smoothed - xp.sum(share * smoothed, axis=1, keepdims=True))


def _share_of(hit: Array, axes: tuple[int, ...], a: Layered) -> Array:
    """Divide 1 between positions that tie."""
    xp = namespace(a)
    ones = xp.astype(hit, a.dtype)
    return ratio(ones, xp.sum(ones, axis=axes, keepdims=True))


def opti_cam(*, steps: int = 50, rate: float = 0.1) -> Method:
    """Return ``opti-cam`` with another search, for ``method=``.

    Args:
        steps: See ``OptiCam``.
        rate: See ``OptiCam``.
    """
    passes = f"{steps} forward, {steps} backward"
    return replace(find("opti-cam"), name=f"opti-cam {steps}", plan=OptiCam(steps, rate), passes=passes)


register_planned("poly-cam", poly_cam, paper="Englebert et al. 2022, arXiv:2204.13359", passes="2 K forward")
register_planned("opti-cam", OptiCam(), paper="Zhang et al. 2023, arXiv:2301.07002", passes="50 forward, 50 backward")
