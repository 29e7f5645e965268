"""Does a map lie where the cause is known to lie?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from signalcam.errors import InputError, MethodError, nearest
from signalcam.metrics.results import check_result, warn_of_constant
from signalcam.results.explanation import Explanation
from signalcam.results.selection import AXES

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True)
class LocalisationCase:
    """One map and the truth, laid out for the measures below.

    Attributes:
        e: ``(*positions)``, the map.
        truth: ``(*positions)``, true where the cause lies.
        near: The same with the tolerance added.
        level: Share of the maximum above which a map counts as present.
        top: Share of the positions that are looked at by ``top-k``.
        places: Where the entries of the only axis lie; ``None`` where there are more axes.
    """

    e: np.ndarray
    truth: np.ndarray
    near: np.ndarray
    level: float
    top: float
    places: np.ndarray | None

    @cached_property
    def positive(self) -> np.ndarray:
        """The map without what speaks against the target."""
        kept: np.ndarray = np.maximum(self.e, 0.0)
        return kept

    @cached_property
    def present(self) -> np.ndarray:
        """Where the map reaches ``level`` of its maximum."""
        top = self.positive.max()
        found: np.ndarray = (self.positive >= self.level * top) & (top > 0)
        return found


def pointing_game(found: LocalisationCase) -> float:
    """Is the maximum in the truth, or within the tolerance of it? Of several maxima, which share is?

    Source: Zhang et al. 2016, arXiv:1608.00507, section 4.1.
    """
    return float(found.near[found.e == found.e.max()].mean())


def mass_accuracy(found: LocalisationCase) -> float:
    """Which share of the positive map lies in the truth? An empty map counts as an even one.

    Source: Arras et al. 2020, arXiv:2003.07258, equation 2; also called energy-based pointing game.
    """
    total = found.positive.sum()
    return float(found.positive[found.truth].sum() / total if total else found.truth.mean())


def rank_accuracy(found: LocalisationCase) -> float:
    """Of as many highest positions as the truth has, which share lies in it?

    Source: Arras et al. 2020, arXiv:2003.07258, equation 3.
    """
    return _share_of_top(found, int(found.truth.sum()))


def top_k(found: LocalisationCase) -> float:
    """Of the highest positions, ``top`` of all of them, which share lies in the truth?"""
    return _share_of_top(found, max(1, round(found.top * found.e.size)))


def _share_of_top(found: LocalisationCase, count: int) -> float:
    """What is expected where positions that tie are taken in random order."""
    least = np.sort(found.e, axis=None)[-count]
    above, tied = found.e > least, found.e == least
    rest = (count - above.sum()) * found.truth[tied].mean()
    return float((found.truth[above].sum() + rest) / count)


def iou(found: LocalisationCase) -> float:
    """Intersection over union of the truth and of where the map reaches ``level`` of its maximum."""
    either = (found.present | found.truth).sum()
    return float((found.present & found.truth).sum() / either)


def auroc(found: LocalisationCase) -> float:
    """How likely does a position of the truth rank above another one? Ties count half.

    Source: Fawcett 2006, doi 10.1016/j.patrec.2005.10.010, section 7.
    """
    inside, outside = found.e[found.truth], np.sort(found.e[~found.truth])
    below = np.searchsorted(outside, inside, "left") + np.searchsorted(outside, inside, "right")
    return float(below.mean() / (2 * len(outside)))


def onset_error(found: LocalisationCase) -> float:
    """How much later than the event does the strongest stretch begin? In the units of the axis."""
    mine, true = _stretches(found)
    return float(mine[0] - true[0])


def offset_error(found: LocalisationCase) -> float:
    """How much later than the event does the strongest stretch end? In the units of the axis."""
    mine, true = _stretches(found)
    return float(mine[1] - true[1])


def _stretches(found: LocalisationCase) -> tuple[np.ndarray, np.ndarray]:
    """First and last place of the run at ``level`` round the maximum, and of the event nearest to it."""
    if found.places is None or not found.present.any():
        return np.full(2, np.nan), np.full(2, np.nan)
    peak = int(found.positive.argmax())
    mine = next(run for run in _runs(found.present) if run[0] <= peak <= run[1])
    true = min(_runs(found.truth), key=lambda run: max(run[0] - peak, peak - run[1], 0))
    return found.places[list(mine)], found.places[list(true)]


def _runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """First and last entry of each stretch of true ones."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]])))
    return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]


MEASURES: dict[str, Callable[[LocalisationCase], float]] = {
    "pointing-game": pointing_game,
    "mass-accuracy": mass_accuracy,
    "rank-accuracy": rank_accuracy,
    "top-k": top_k,
    "iou": iou,
    "auroc": auroc,
    "onset-error": onset_error,
    "offset-error": offset_error,
}
_IN_TIME = ("onset-error", "offset-error")


def localisation(
    exp: Explanation,
    truth: Any,
    metrics: Sequence[str] | None = None,
    *,
    tolerance: float = 0.0,
    level: float = 0.5,
    top: float = 0.05,
) -> xr.Dataset:
    """Compare maps with where the cause is known to lie.

    Args:
        exp: What was explained.
        truth: A mask, true where the cause lies: ``(sample, *positions)``, or shaped like the input (channels are
            taken together where the map has none). Along one axis also, for each sample, a list of
            ``(begin, end)`` in the units of that axis, both ends included.
        metrics: Names; all that fit by default. ``"pointing-game"``, ``"mass-accuracy"``, ``"rank-accuracy"``,
            ``"top-k"``, ``"iou"``, ``"auroc"``; along one axis also ``"onset-error"`` and ``"offset-error"``.
        tolerance: How far beside the truth the maximum may lie for the pointing game, in the units of each
            axis (seconds along time where there is a sampling rate).
        level: Share of its maximum at which a map counts as present: for ``"iou"`` and the errors.
        top: Share of all positions that ``"top-k"`` looks at.

    Returns:
        For each metric an array ``(sample, target, cam, layer)``, and ``chance``: which share of the positions
        the truth covers, which is what a map without any aim scores as mass, rank and top-k accuracy. A map
        that is the same everywhere scores as chance.

    Raises:
        InputError: The truth does not fit the maps, is empty or covers everything.
        MethodError: There is no such metric, or it does not fit the maps' axes.

    Example:
        >>> import signalcam as sc
        >>> known, new = sc.synthetic.planted(samples=300), sc.synthetic.planted(samples=50, seed=1)
        >>> exp = sc.explain(sc.synthetic.train(known), new.inputs, layout=new.layout)
        >>> scores = sc.metrics.localisation(exp, new.truth, tolerance=0.05)
        >>> bool(scores["mass-accuracy"].mean() > scores["chance"].mean())
        True
    """
    import xarray as xr  # noqa: PLC0415 - not needed to import signalcam

    check_result(exp)
    names = _chosen(metrics, exp.dims)
    for what, value, most in (("tolerance", tolerance, np.inf), ("level", level, 1), ("top", top, 1)):
        if not isinstance(value, int | float | np.number) or not 0 <= value <= most:
            message = f"{what} is {value!r}; give a number from 0 {'on' if most > 1 else 'to 1'}."
            raise InputError(message)
    masks, maps = _masks(exp, truth), exp.maps.values
    reach = [tolerance / _step(exp, dim) for dim in exp.dims]
    places = exp.maps[exp.dims[0]].values if len(exp.dims) == 1 else None
    rows, chance, constant = [], [], 0
    for sample, mask, here in zip(maps, masks, _real(exp), strict=True):
        true, near = mask[here], _dilated(mask[here], reach)
        chance.append(true.mean())
        for e in _finite(sample[(..., *here)]):
            constant += int(e.min() == e.max())
            found = LocalisationCase(e, true, near, level, top, places)
            rows.append([MEASURES[name](found) for name in names])
    warn_of_constant(constant, len(rows))
    values = np.asarray(rows, float).reshape(*maps.shape[:4], len(names))
    coords = {axis: exp.maps[axis].values for axis in AXES}
    every = {name: (AXES, values[..., i]) for i, name in enumerate(names)}
    return xr.Dataset({**every, "chance": (("sample",), chance)}, coords, dict(exp.provenance))


def _finite(maps: np.ndarray) -> np.ndarray:
    """One sample's maps in a row: ``(map, *positions)``."""
    if not np.isfinite(maps).all():
        message = "the maps hold values that are not finite, so they cannot be compared with anything. Look at them first: exp.maps."
        raise InputError(message)
    return maps.reshape(-1, *maps.shape[3:])


def _chosen(metrics: Sequence[str] | None, dims: Sequence[str]) -> list[str]:
    fit = [name for name in MEASURES if len(dims) == 1 or name not in _IN_TIME]
    names = fit if metrics is None else [metrics] if isinstance(metrics, str) else list(metrics)
    for name in names:
        if name not in MEASURES:
            message = f"no localisation metric is called {name!r}.{nearest(str(name), MEASURES)} There are: {', '.join(MEASURES)}."
            raise MethodError(message)
        if name not in fit:
            message = f"{name!r} is measured along one axis, and these maps have {', '.join(dims)}. Leave it out."
            raise MethodError(message)
    return names


def _masks(exp: Explanation, truth: Any) -> np.ndarray:
    """The truth as ``(sample, *positions)``."""
    count, shape = len(exp.sample_names), exp.maps.shape[4:]
    if _are_intervals(truth):
        masks = _from_intervals(exp, truth)
    else:
        masks = np.asarray(truth).astype(bool)
        if masks.shape == exp.input.shape:
            others = tuple(i for i in range(1, masks.ndim) if i not in exp.map_axes)
            masks = np.asarray(masks.any(axis=others))
    if masks.shape != (count, *shape):
        message = f"the truth has shape {masks.shape}; expected {(count, *shape)} for {count} samples of maps with axes {', '.join(exp.dims)}, or the input's {exp.input.shape}."
        raise InputError(message)
    for name, whole, here in zip(exp.sample_names, masks, _real(exp), strict=True):
        mask = whole[here]
        if mask.all() or not mask.any():
            what = "covers every position" if mask.all() else "is empty"
            message = f"the truth of sample {name!r} {what}, so no place can be right or wrong. Leave such samples out: exp.isel(sample=[...])."
            raise InputError(message)
    return masks


def _real(exp: Explanation) -> list[tuple[slice, ...]]:
    """For each sample, the positions before its end."""
    if exp.shapes is None:
        return [(slice(None),) * len(exp.dims)] * len(exp.sample_names)
    ends = exp.shapes[:, [axis - 1 for axis in exp.map_axes]]
    return [tuple(map(slice, each)) for each in ends]


def _are_intervals(truth: Any) -> bool:
    return isinstance(truth, list | tuple) and all(
        isinstance(each, list | tuple) and all(np.shape(pair) == (2,) for pair in each) for each in truth
    )


def _from_intervals(exp: Explanation, truth: Sequence[Sequence[Any]]) -> np.ndarray:
    if len(exp.dims) != 1 or len(truth) != len(exp.sample_names):
        message = f"{len(truth)} lists of intervals came for {len(exp.sample_names)} samples of maps with axes {', '.join(exp.dims)}. Give one list a sample, for maps along one axis, or a mask."
        raise InputError(message)
    places = exp.maps[exp.dims[0]].values
    masks = np.zeros((len(truth), len(places)), bool)
    for mask, intervals in zip(masks, truth, strict=True):
        for begin, end in intervals:
            mask[(places >= begin) & (places <= end)] = True
    return masks


def _step(exp: Explanation, dim: str) -> float:
    places = exp.maps[dim].values
    even = len(places) > 1 and places.dtype.kind in "if"
    return float(abs(places[-1] - places[0])) / (len(places) - 1) if even else 1.0


def _dilated(mask: np.ndarray, reach: Sequence[float]) -> np.ndarray:
    """Add what lies within the reach, in entries along each axis, of a true entry."""
    grown = mask
    for axis, far in enumerate(reach):
        count = np.moveaxis(grown, axis, -1).astype(int)
        near = int(np.floor(far + 1e-9))
        padded = np.pad(count, [(0, 0)] * (mask.ndim - 1) + [(near + 1, near)])
        sums = padded.cumsum(axis=-1)
        wide = sums[..., 2 * near + 1 :] - sums[..., : -2 * near - 1]
        grown = np.moveaxis(wide > 0, -1, axis)
    return grown
