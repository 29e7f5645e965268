"""Here you find the localisation metrics, which compare maps with the known position of the cause."""

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
    """One map and the truth.

    Attributes:
        e: ``(*positions)``, the map.
        truth: ``(*positions)``, true where the cause is.
        near: The truth, enlarged by the tolerance.
        level: Share of the maximum above which a map counts as present.
        top: Share of the positions for ``top-k``.
        places: Coordinates of the only axis; ``None`` for several axes.
    """

    e: np.ndarray
    truth: np.ndarray
    near: np.ndarray
    level: float
    top: float
    places: np.ndarray | None

    @cached_property
    def positive(self) -> np.ndarray:
        """The map without negative values."""
        rectified: np.ndarray = np.maximum(self.e, 0.0)
        return rectified

    @cached_property
    def present(self) -> np.ndarray:
        """Whether the map reaches ``level`` of its maximum."""
        top = self.positive.max()
        present: np.ndarray = (self.positive >= self.level * top) & (top > 0)
        return present


def pointing_game(case: LocalisationCase) -> float:
    """Share of the maxima that are in the truth, or within the tolerance of it; 0 or 1 for one maximum.

    Source: Zhang et al. 2016, arXiv:1608.00507, section 4.1.
    """
    return float(case.near[case.e == case.e.max()].mean())


def mass_accuracy(case: LocalisationCase) -> float:
    """Share of the positive map in the truth; an empty map counts as uniform.

    Source: Arras et al. 2020, arXiv:2003.07258, equation 2; also called energy-based pointing game.
    """
    total = case.positive.sum()
    return float(case.positive[case.truth].sum() / total if total else case.truth.mean())


def rank_accuracy(case: LocalisationCase) -> float:
    """Share of the highest positions in the truth, for as many positions as the truth has.

    Source: Arras et al. 2020, arXiv:2003.07258, equation 3.
    """
    return _share_of_top(case, int(case.truth.sum()))


def top_k(case: LocalisationCase) -> float:
    """Share of the highest positions in the truth, for a share ``top`` of all positions."""
    return _share_of_top(case, max(1, round(case.top * case.e.size)))


def _share_of_top(case: LocalisationCase, count: int) -> float:
    """Expected share of the highest positions in the truth, with ties in random order."""
    least = np.sort(case.e, axis=None)[-count]
    above, tied = case.e > least, case.e == least
    rest = (count - above.sum()) * case.truth[tied].mean()
    return float((case.truth[above].sum() + rest) / count)


def iou(case: LocalisationCase) -> float:
    """Intersection over union of the truth and the positions where the map reaches ``level`` of its maximum."""
    either = (case.present | case.truth).sum()
    return float((case.present & case.truth).sum() / either)


def auroc(case: LocalisationCase) -> float:
    """Probability that a position of the truth ranks above another; ties count half.

    Source: Fawcett 2006, doi 10.1016/j.patrec.2005.10.010, section 7.
    """
    inside, outside = case.e[case.truth], np.sort(case.e[~case.truth])
    below = np.searchsorted(outside, inside, "left") + np.searchsorted(outside, inside, "right")
    return float(below.mean() / (2 * len(outside)))


def onset_error(case: LocalisationCase) -> float:
    """Begin of the strongest run minus begin of the event, in units of the axis."""
    map_run, true_run = _find_runs(case)
    return float(map_run[0] - true_run[0])


def offset_error(case: LocalisationCase) -> float:
    """End of the strongest run minus end of the event, in units of the axis."""
    map_run, true_run = _find_runs(case)
    return float(map_run[1] - true_run[1])


def _find_runs(case: LocalisationCase) -> tuple[np.ndarray, np.ndarray]:
    """First and last position of the run at ``level`` around the maximum, and of the event nearest to it."""
    if case.places is None or not case.present.any():
        return np.full(2, np.nan), np.full(2, np.nan)
    peak = int(case.positive.argmax())
    map_run = next(run for run in _runs(case.present) if run[0] <= peak <= run[1])
    true_run = min(_runs(case.truth), key=lambda run: max(run[0] - peak, peak - run[1], 0))
    return case.places[list(map_run)], case.places[list(true_run)]


def _runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """First and last entry of each run of true values."""
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
    """Compare maps with the known position of the cause.

    Args:
        exp: The maps.
        truth: A mask, true where the cause is: ``(sample, *positions)``, or shaped like the input (channels are
            merged if the map has none). For maps along one axis also, for each sample, a list of
            ``(begin, end)`` in the units of that axis, both ends included.
        metrics: Names; all that fit by default. ``"pointing-game"``, ``"mass-accuracy"``, ``"rank-accuracy"``,
            ``"top-k"``, ``"iou"``, ``"auroc"``; along one axis also ``"onset-error"`` and ``"offset-error"``.
        tolerance: Allowed distance of the maximum from the truth in the pointing game, in the units of each
            axis (seconds along time if there is a sampling rate).
        level: Share of its maximum at which a map counts as present: for ``"iou"`` and the errors.
        top: Share of all positions for ``"top-k"``.

    Returns:
        For each metric an array ``(sample, target, cam, layer)``. Also ``chance``, the share of positions in the
        truth: the mass, rank and top-k accuracy of a random map. A constant map scores as chance.

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
    names = _resolve_metrics(metrics, exp.dims)
    for what, value, most in (("tolerance", tolerance, np.inf), ("level", level, 1), ("top", top, 1)):
        if not isinstance(value, int | float | np.number) or not 0 <= value <= most:
            message = f"{what} is {value!r}; give a number from 0 {'on' if most > 1 else 'to 1'}."
            raise InputError(message)
    masks, maps = _build_masks(exp, truth), exp.maps.values
    reach = [tolerance / _step(exp, dim) for dim in exp.dims]
    positions = exp.maps[exp.dims[0]].values if len(exp.dims) == 1 else None
    rows, chance, constant = [], [], 0
    for sample, mask, inside in zip(maps, masks, _inside_slices(exp), strict=True):
        true, near = mask[inside], _dilate(mask[inside], reach)
        chance.append(true.mean())
        for e in _flatten_maps(sample[(..., *inside)]):
            constant += int(e.min() == e.max())
            case = LocalisationCase(e, true, near, level, top, positions)
            rows.append([MEASURES[name](case) for name in names])
    warn_of_constant(constant, len(rows))
    values = np.asarray(rows, float).reshape(*maps.shape[:4], len(names))
    coords = {axis: exp.maps[axis].values for axis in AXES}
    variables = {name: (AXES, values[..., i]) for i, name in enumerate(names)}
    return xr.Dataset({**variables, "chance": (("sample",), chance)}, coords, dict(exp.provenance))


def _flatten_maps(maps: np.ndarray) -> np.ndarray:
    """Flatten one sample's maps to ``(map, *positions)``, after a check that they are finite."""
    if not np.isfinite(maps).all():
        message = "the maps hold values that are not finite, so they cannot be scored. Look at them first: exp.maps."
        raise InputError(message)
    return maps.reshape(-1, *maps.shape[3:])


def _resolve_metrics(metrics: Sequence[str] | None, dims: Sequence[str]) -> list[str]:
    fitting = [name for name in MEASURES if len(dims) == 1 or name not in _IN_TIME]
    names = fitting if metrics is None else [metrics] if isinstance(metrics, str) else list(metrics)
    for name in names:
        if name not in MEASURES:
            message = f"no localisation metric is called {name!r}.{nearest(str(name), MEASURES)} There are: {', '.join(MEASURES)}."
            raise MethodError(message)
        if name not in fitting:
            message = f"{name!r} is measured along one axis, and these maps have {', '.join(dims)}. Leave it out."
            raise MethodError(message)
    return names


def _build_masks(exp: Explanation, truth: Any) -> np.ndarray:
    """The truth as masks ``(sample, *positions)``."""
    count, shape = len(exp.sample_names), exp.maps.shape[4:]
    if _are_intervals(truth):
        masks = _masks_from_intervals(exp, truth)
    else:
        masks = np.asarray(truth).astype(bool)
        if masks.shape == exp.input.shape:
            others = tuple(i for i in range(1, masks.ndim) if i not in exp.map_axes)
            masks = np.asarray(masks.any(axis=others))
    if masks.shape != (count, *shape):
        message = f"the truth has shape {masks.shape}; expected {(count, *shape)} for {count} samples of maps with axes {', '.join(exp.dims)}, or the input's {exp.input.shape}."
        raise InputError(message)
    for name, whole, inside in zip(exp.sample_names, masks, _inside_slices(exp), strict=True):
        mask = whole[inside]
        if mask.all() or not mask.any():
            what = "covers every position" if mask.all() else "is empty"
            message = f"the truth of sample {name!r} {what}, so no position can be right or wrong. Leave such samples out: exp.isel(sample=[...])."
            raise InputError(message)
    return masks


def _inside_slices(exp: Explanation) -> list[tuple[slice, ...]]:
    """For each sample, slices of the positions before its end."""
    if exp.shapes is None:
        return [(slice(None),) * len(exp.dims)] * len(exp.sample_names)
    ends = exp.shapes[:, [axis - 1 for axis in exp.map_axes]]
    return [tuple(map(slice, each)) for each in ends]


def _are_intervals(truth: Any) -> bool:
    return isinstance(truth, list | tuple) and all(
        isinstance(sample, list | tuple) and all(np.shape(pair) == (2,) for pair in sample) for sample in truth
    )


def _masks_from_intervals(exp: Explanation, truth: Sequence[Sequence[Any]]) -> np.ndarray:
    if len(exp.dims) != 1 or len(truth) != len(exp.sample_names):
        message = f"there are {len(truth)} lists of intervals for {len(exp.sample_names)} samples of maps with axes {', '.join(exp.dims)}. Give one list a sample, for maps along one axis, or a mask."
        raise InputError(message)
    positions = exp.maps[exp.dims[0]].values
    masks = np.zeros((len(truth), len(positions)), bool)
    for mask, intervals in zip(masks, truth, strict=True):
        for begin, end in intervals:
            mask[(positions >= begin) & (positions <= end)] = True
    return masks


def _step(exp: Explanation, dim: str) -> float:
    positions = exp.maps[dim].values
    even = len(positions) > 1 and positions.dtype.kind in "if"
    return float(abs(positions[-1] - positions[0])) / (len(positions) - 1) if even else 1.0


def _dilate(mask: np.ndarray, reach: Sequence[float]) -> np.ndarray:
    """Enlarge a mask by a number of entries along each axis."""
    grown = mask
    for axis, far in enumerate(reach):
        count = np.moveaxis(grown, axis, -1).astype(int)
        count_near = int(np.floor(far + 1e-9))
        padded = np.pad(count, [(0, 0)] * (mask.ndim - 1) + [(count_near + 1, count_near)])
        sums = padded.cumsum(axis=-1)
        wide = sums[..., 2 * count_near + 1 :] - sums[..., : -2 * count_near - 1]
        grown = np.moveaxis(wide > 0, -1, axis)
    return grown
