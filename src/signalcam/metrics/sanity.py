"""Does a map depend on what the network has learnt, and on what it was asked?"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from signalcam.attribution.registry import Method, find
from signalcam.backends.protocol import Edit
from signalcam.errors import CamWarning, InputError, MethodError, TargetError, is_count, nearest
from signalcam.explainer.api import Explainer
from signalcam.metrics.results import check_result
from signalcam.metrics.scorer import Scoring, ScoringOptions, check_given
from signalcam.results.explanation import Explanation
from signalcam.results.selection import AXES
from signalcam.targets import PerSample

if TYPE_CHECKING:
    from collections.abc import Iterator

    import xarray as xr

Check = Literal["cascading", "independent", "emprt", "random-logit", "completeness"]
COMPLETE = ("hires-cam", "xgrad-cam")  # whose maps add up to what a layer gives to the logit
BINS = 100
_WEIGHTS, _CLASSES = 4, 5  # what chance is drawn for, so that no two draws are alike


def sanity(
    exp: Explanation,
    model: Any,
    checks: Sequence[Check] | Check | None = None,
    *,
    seed: int = 0,
    steps: int = 10,
    explainer: Explainer | None = None,
    inputs: Any = None,
    extra: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Check whether maps change where they must: with other weights, and for another class.

    Weights are replaced by normal numbers of the same mean and standard deviation, layer by layer, and put back;
    statistics of normalisations stay. Maps are compared by Spearman's rank correlation, as they are and without
    sign; a map that is the same everywhere is like no other, 0.

    Args:
        exp: The maps, of samples of equal length.
        model: The model that was explained. It is borrowed: it comes back exactly as it was.
        checks: One or several; all that can be had by default.

            - ``"cascading"``: other weights from the last layer down, each on top of those before (Adebayo et al.
              2018, arXiv:1810.03292). A map that stays alike does not depend on what was learnt.
            - ``"independent"``: other weights in one layer at a time.
            - ``"emprt"``: how much more even the histogram of the map becomes with all weights replaced, ``(H' - H) / H``
              (Hedström et al. 2024, arXiv:2401.06465). Higher is better.
            - ``"random-logit"``: likeness to the map of another class, drawn by chance (Sixt et al. 2020,
              arXiv:1912.09818). Lower is better.
            - ``"completeness"``: ``|sum M - (s - s0)| / |s - s0|``, where ``s0`` is the logit with nothing but zeros
              coming from the layer; of hires-cam and xgrad-cam, which promise 0 where what lies behind is linear.
        seed: Of the weights and classes drawn.
        steps: How many layers are looked at by the first two, evenly spread, the first and the last included.
        explainer: How the maps were made, where the names in the result do not say it.
        inputs: What the model takes, where that is more than the explained input, in the order of the samples.
        extra: What it takes by keyword beside the inputs, as in ``signalcam.explain``.

    Returns:
        ``cascading``, ``independent`` and their ``..._without_sign``: ``(weights, sample, target, cam, layer)``,
        ``weights`` naming the layer whose weights were replaced (last); ``emprt``, ``random_logit`` and
        ``completeness``: ``(sample, target, cam, layer)``.

    Raises:
        CamError: A check cannot be had; the message says why.

    Example:
        >>> import signalcam as sc
        >>> found = sc.metrics.sanity(exp, network, ["cascading", "random-logit"])
        >>> found["cascading"].dims
        ('weights', 'sample', 'target', 'cam', 'layer')
    """
    import xarray as xr  # noqa: PLC0415 - not needed to import signalcam

    check_result(exp)
    exp = exp if exp.at_network_input is None else replace(exp.at_network_input, of="")
    _check(exp, inputs, extra)
    asked = _Asked(exp, model, seed, explainer, inputs, extra)
    wanted = _wanted(checks, asked)
    if not is_count(steps):
        message = f"steps is {steps!r}; give a whole number, 1 or more."
        raise InputError(message)
    coords: dict[str, Any] = {axis: exp.maps[axis].values for axis in AXES}
    found: dict[str, Any] = {}
    for name in ("cascading", "independent"):
        if name in wanted:
            coords["weights"] = asked.layers(steps)
            alike = asked.randomised(steps, together=name == "cascading")
            found |= {name: (("weights", *AXES), alike[0]), f"{name}_without_sign": (("weights", *AXES), alike[1])}
    single = {"emprt": asked.emprt, "random-logit": asked.random_logit, "completeness": asked.completeness}
    found |= {name.replace("-", "_"): (AXES, single[name]()) for name in single if name in wanted}
    return xr.Dataset(found, coords, {**exp.provenance, "seed": seed})


def _check(exp: Explanation, inputs: Any, extra: Mapping[str, Any] | None) -> None:
    """Refuse results whose maps cannot be made again."""
    if exp.windows is not None:
        message = "the record was explained window by window, and sanity explains samples again. Explain its windows as samples: signalcam.explain(model, windows)."
        raise InputError(message)
    if exp.shapes is not None:
        message = "the samples are of unequal length, and sanity compares maps of one length. Take samples of one: exp.isel(sample=[...])."
        raise InputError(message)
    check_given(exp, inputs, extra)


def _known(method: Method | str) -> Method:
    """A method by its name, which those that were built do not have."""
    try:
        return find(method)
    except MethodError as error:
        message = f"maps could not be made anew: {str(method)!r} is a method that was built, and its name does not say how. Pass explainer=Explainer(...) as it made these maps."
        raise MethodError(message) from error


def _wanted(checks: Sequence[Check] | Check | None, asked: _Asked) -> list[str]:
    known = get_args(Check)
    if checks is None:
        return [name for name in known if asked.fits(name)]
    names: list[str] = [checks] if isinstance(checks, str) else list(checks)
    for name in names:
        if name not in known:
            message = f"no sanity check is called {name!r}.{nearest(str(name), known)} There are: {', '.join(known)}."
            raise MethodError(message)
        if not asked.fits(name):
            reason = (
                "needs two classes or more"
                if name == "random-logit"
                else f"is a promise of {', '.join(COMPLETE)} alone, about single classes"
            )
            message = f"{name!r} {reason}, which this result does not have. Leave it out."
            raise TargetError(message)
    return names


@dataclass(frozen=True)
class _Asked:
    """What ``sanity`` was asked."""

    exp: Explanation
    model: Any
    seed: int
    given: Explainer | None
    inputs: Any
    extra: Mapping[str, Any] | None

    @cached_property
    def scoring(self) -> Scoring:
        """Knows how the maps were made, with every class as it was."""
        how = ScoringOptions(
            self.model,
            (),
            "logit",
            self.seed,
            None,
            None,
            None,
            (),
            self.given,
            None,
            self.extra,
            None,
            None,
            progress=False,
        )
        return Scoring(how, self.exp, self.inputs)

    @cached_property
    def explainer(self) -> Explainer:
        """Makes the same maps again."""
        known = {each.name: each for each in self.scoring.explainer.methods}
        methods = [_known(known.get(name, name)) for name in self.exp.methods]
        return replace(self.scoring.explainer, method=methods, layer=list(self.exp.layer_names))

    def fits(self, check: str) -> bool:
        """Whether a check can be had of this result."""
        if check == "random-logit":
            return self.exp.probabilities is not None and self.exp.probabilities.shape[1] > 1
        if check == "completeness":
            return set(self.exp.methods) <= set(COMPLETE) and self.given is None
        return True

    def again(self, **changes: Any) -> Explanation:
        """Explain the same samples once more."""
        inputs = self.scoring.inputs.tree
        with warnings.catch_warnings():  # a blank map is what is counted here, not warned of
            warnings.simplefilter("ignore", CamWarning)
            tree = inputs.inputs if self.extra else inputs
            found = replace(self.explainer, **changes)(tree, extra=self.extra)
        for mine, other in zip(self.exp.layers, found.layers, strict=True):
            if mine.values.shape[3:] != other.values.shape[3:]:
                message = f"maps made again at layer {mine.name!r} have {other.values.shape[3:]} positions, and the result has {mine.values.shape[3:]}: it is a stretch, or the model changed. Explain the samples as the model takes them."
                raise InputError(message)
        return found

    # --- other weights ---------------------------------------------------------------------------

    @cached_property
    def weights(self) -> dict[str, list[np.ndarray]]:
        """The model's own, by layer."""
        return self.explainer.backend.weights(self.explainer.model)

    def drawn(self, name: str) -> list[np.ndarray]:
        """Normal numbers of the same mean and standard deviation, the same whenever they are asked for."""
        rng = np.random.default_rng((self.seed, _WEIGHTS, list(self.weights).index(name)))
        return [rng.normal(each.mean(), each.std(), each.shape).astype(each.dtype) for each in self.weights[name]]

    def layers(self, steps: int) -> list[str]:
        """Names of the layers looked at, from the last one down."""
        names = list(self.weights)[::-1]
        places = np.linspace(0, len(names) - 1, min(steps, len(names))).round().astype(int)
        return [names[i] for i in places]

    @contextmanager
    def _changed(self, names: Sequence[str]) -> Iterator[None]:
        values = {name: self.drawn(name) for name in names}
        with self.explainer.backend.use_weights(self.explainer.model, values):
            yield

    def randomised(self, steps: int, *, together: bool) -> np.ndarray:
        """``(2, weights, sample, target, cam, layer)``: likeness as they are, and without sign."""
        names = list(self.weights)[::-1]
        found = []
        for name in self.layers(steps):
            with self._changed(names[: names.index(name) + 1] if together else [name]):
                other = self.again()
            pairs = list(zip(_rows(self.exp), _rows(other), strict=True))
            signed = np.stack([spearman(a, b) for a, b in pairs], axis=-1)
            bare = np.stack([spearman(np.abs(a), np.abs(b)) for a, b in pairs], axis=-1)
            found.append(np.stack([signed, bare]))
        return np.stack(found, axis=1)

    def emprt(self) -> np.ndarray:
        """How much more even the map's histogram becomes."""
        with self._changed(list(self.weights)):
            other = self.again()
        before, after = (
            np.stack([histogram_entropy(each) for each in _rows(one)], axis=-1) for one in (self.exp, other)
        )
        found: np.ndarray = (after - before) / np.where(before > 0, before, np.nan)
        return found

    # --- another class ---------------------------------------------------------------------------

    def random_logit(self) -> np.ndarray:
        """Likeness to the map of another class."""
        exp, rng = self.exp, np.random.default_rng((self.seed, _CLASSES))
        count = 0 if exp.probabilities is None else exp.probabilities.shape[1]
        shift = rng.integers(1, count, exp.target_classes.shape)
        others = (exp.target_classes + shift) % count
        targets = [PerSample(column.tolist(), f"other {i}") for i, column in enumerate(others.T)]
        pairs = zip(_rows(exp), _rows(self.again(target=targets)), strict=True)
        return np.stack([spearman(a, b) for a, b in pairs], axis=-1)

    # --- sums ------------------------------------------------------------------------------------

    def completeness(self) -> np.ndarray:
        """How far sums of maps are from what the layer gives to the logit."""
        whole = self.again(signed=True, score="logit")
        gaps = []
        for name in self.exp.layer_names:
            given = whole.scores - self._without(name)
            sums = whole.native(name).values
            total = sums.reshape(*sums.shape[:3], -1).sum(axis=-1)
            size = np.where(given != 0, np.abs(given), np.nan)
            gaps.append(np.abs(total - given[:, :, None]) / size[:, :, None])
        return np.stack(gaps, axis=-1)

    def _without(self, name: str) -> np.ndarray:
        """``(sample, target)``, the logits with zeros coming from a layer."""
        backend, model = self.explainer.backend, self.explainer.model
        inputs, asked = backend.to_model(model, self.scoring.inputs), self.scoring.questions
        pull = backend.forward_backward(model, inputs, [name], replace(asked[0], kind="plain"))
        row = next(iter(pull.rows))[0]
        edit = Edit(row.ran, row.activation * 0, None, slice(0, len(self.exp)), 1)
        scores = [backend.forward(model, inputs, each, edit)[0] for each in asked]
        return np.stack([backend.numpy(each) for each in scores], axis=1)


def spearman(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation of the rows ``(..., n)``; ties share their mean rank, and a constant row gives 0."""
    ranks = [_ranks(each) for each in (a, b)]
    x, y = (each - each.mean(axis=-1, keepdims=True) for each in ranks)
    size = np.sqrt((x * x).sum(axis=-1) * (y * y).sum(axis=-1))
    found: np.ndarray = np.divide((x * y).sum(axis=-1), size, out=np.zeros_like(size), where=size > 0)
    return found


def _ranks(values: np.ndarray) -> np.ndarray:
    rows = values.reshape(-1, values.shape[-1])
    ordered = [np.sort(row) for row in rows]
    both = [
        np.searchsorted(known, row, "left") + np.searchsorted(known, row, "right")
        for known, row in zip(ordered, rows, strict=True)
    ]
    return (np.stack(both) / 2).reshape(values.shape)


def histogram_entropy(maps: np.ndarray) -> np.ndarray:
    """The entropy of how often each value comes, of the rows ``(..., n)``, in ``BINS`` bins from the least to the largest."""

    def one(row: np.ndarray) -> float:
        share = np.histogram(row, BINS)[0] / len(row)
        share = share[share > 0]
        return float(-(share * np.log(share)).sum())

    found: np.ndarray = np.apply_along_axis(one, -1, maps)
    return found


def _rows(exp: Explanation) -> list[np.ndarray]:
    """For each layer its maps at its own resolution, ``(sample, target, cam, position)``."""
    native = [exp.native(name).values for name in exp.layer_names]
    return [each.reshape(*each.shape[:3], -1) for each in native]
