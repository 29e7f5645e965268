"""Here you find the sanity checks: whether maps depend on the weights and on the class."""

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
from signalcam.metrics.results import check_inputs, check_result
from signalcam.metrics.scorer import Scoring, ScoringOptions
from signalcam.results.explanation import Explanation
from signalcam.results.selection import AXES
from signalcam.targets import PerSample

if TYPE_CHECKING:
    from collections.abc import Iterator

    import xarray as xr

Check = Literal["cascading", "independent", "emprt", "random-logit", "completeness"]
COMPLETE = ("hires-cam", "xgrad-cam")  # their maps sum to the layer's contribution to the logit
BINS = 100
_WEIGHTS, _CLASSES = 4, 5  # streams of random numbers


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
    """Check whether maps change with other weights, and for another class.

    Weights are replaced by normal numbers of equal mean and standard deviation, layer by layer, and restored.
    Statistics of normalisation layers are kept. Maps are compared by Spearman's rank correlation, with and without
    their sign. A constant map has correlation 0.

    Args:
        exp: The maps, of samples of equal length.
        model: The model that was explained. It is unchanged afterwards.
        checks: One or several; all that are possible by default.

            - ``"cascading"``: random weights from the last layer down, cumulatively (Adebayo et al. 2018,
              arXiv:1810.03292). A map that stays similar does not depend on what the model learnt.
            - ``"independent"``: random weights in one layer at a time.
            - ``"emprt"``: relative increase of the map's histogram entropy with all weights random, ``(H' - H) / H``
              (Hedström et al. 2024, arXiv:2401.06465). Higher is better.
            - ``"random-logit"``: correlation with the map of a random other class (Sixt et al. 2020,
              arXiv:1912.09818). Lower is better.
            - ``"completeness"``: ``|sum M - (s - s0)| / |s - s0|``, where ``s0`` is the logit with the layer's output
              set to 0. For hires-cam and xgrad-cam, where it is 0 if all later layers are linear.
        seed: Seed of random weights and classes.
        steps: Number of layers for the first two checks, evenly spaced, including the first and the last.
        explainer: The explainer of these maps, if the names in the result do not define it.
        inputs: The model's inputs if it takes more than the explained one, in the order of the samples.
        extra: Keyword arguments of the model, as in ``signalcam.explain``.

    Returns:
        ``cascading``, ``independent`` and their ``..._without_sign``: ``(weights, sample, target, cam, layer)``, where
        ``weights`` names the layer whose weights were replaced (last). ``emprt``, ``random_logit`` and
        ``completeness``: ``(sample, target, cam, layer)``.

    Raises:
        CamError: A check is not possible; the message says why.

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
    subject = _SanitySubject(exp, model, seed, explainer, inputs, extra)
    names = _resolve_checks(checks, subject)
    if not is_count(steps):
        message = f"steps is {steps!r}; give a whole number, 1 or more."
        raise InputError(message)
    coords: dict[str, Any] = {axis: exp.maps[axis].values for axis in AXES}
    variables: dict[str, Any] = {}
    for name in ("cascading", "independent"):
        if name in names:
            coords["weights"] = subject.layers(steps)
            correlations = subject.randomised(steps, together=name == "cascading")
            variables |= {
                name: (("weights", *AXES), correlations[0]),
                f"{name}_without_sign": (("weights", *AXES), correlations[1]),
            }
    single = {"emprt": subject.emprt, "random-logit": subject.random_logit, "completeness": subject.completeness}
    variables |= {name.replace("-", "_"): (AXES, single[name]()) for name in single if name in names}
    return xr.Dataset(variables, coords, {**exp.provenance, "seed": seed})


def _check(exp: Explanation, inputs: Any, extra: Mapping[str, Any] | None) -> None:
    """Raise an ``InputError`` for results whose maps cannot be computed again."""
    if exp.windows is not None:
        message = "the record was explained window by window, and sanity explains samples again. Explain its windows as samples: signalcam.explain(model, windows)."
        raise InputError(message)
    if exp.shapes is not None:
        message = "the samples are of unequal length, and sanity compares maps of one length. Take samples of one: exp.isel(sample=[...])."
        raise InputError(message)
    check_inputs(exp, inputs, extra)


def _find_method(method: Method | str) -> Method:
    """Return a method by name; methods with options have none."""
    try:
        return find(method)
    except MethodError as error:
        message = f"maps cannot be computed again: {str(method)!r} is a method with options, which its name does not hold. Pass explainer=Explainer(...) as used for these maps."
        raise MethodError(message) from error


def _resolve_checks(checks: Sequence[Check] | Check | None, subject: _SanitySubject) -> list[str]:
    checks_by_name = get_args(Check)
    if checks is None:
        return [name for name in checks_by_name if subject.fits(name)]
    names: list[str] = [checks] if isinstance(checks, str) else list(checks)
    for name in names:
        if name not in checks_by_name:
            message = f"no sanity check is called {name!r}.{nearest(str(name), checks_by_name)} There are: {', '.join(checks_by_name)}."
            raise MethodError(message)
        if not subject.fits(name):
            reason = (
                "needs two classes or more"
                if name == "random-logit"
                else f"is a promise of {', '.join(COMPLETE)} alone, about single classes"
            )
            message = f"{name!r} {reason}, which this result does not have. Leave it out."
            raise TargetError(message)
    return names


@dataclass(frozen=True)
class _SanitySubject:
    """The result and model that ``sanity`` checks."""

    exp: Explanation
    model: Any
    seed: int
    custom_explainer: Explainer | None
    inputs: Any
    extra: Mapping[str, Any] | None

    @cached_property
    def scoring(self) -> Scoring:
        """The scoring setup, with the class of every map fixed."""
        options = ScoringOptions(
            self.model,
            (),
            "logit",
            self.seed,
            None,
            None,
            None,
            (),
            self.custom_explainer,
            None,
            self.extra,
            None,
            None,
            progress=False,
        )
        return Scoring(options, self.exp, self.inputs)

    @cached_property
    def explainer(self) -> Explainer:
        """The explainer that computes these maps again."""
        methods_by_name = {each.name: each for each in self.scoring.explainer.methods}
        methods = [_find_method(methods_by_name.get(name, name)) for name in self.exp.methods]
        return replace(self.scoring.explainer, method=methods, layer=list(self.exp.layer_names))

    def fits(self, check: str) -> bool:
        """Return whether a check is possible for this result."""
        if check == "random-logit":
            return self.exp.probabilities is not None and self.exp.probabilities.shape[1] > 1
        if check == "completeness":
            return set(self.exp.methods) <= set(COMPLETE) and self.custom_explainer is None
        return True

    def explain_again(self, **changes: Any) -> Explanation:
        """Explain the samples once more, with changes to the explainer."""
        inputs = self.scoring.inputs.tree
        with warnings.catch_warnings():  # zero maps are expected here
            warnings.simplefilter("ignore", CamWarning)
            tree = inputs.inputs if self.extra else inputs
            explanation = replace(self.explainer, **changes)(tree, extra=self.extra)
        for layer, other in zip(self.exp.layers, explanation.layers, strict=True):
            if layer.values.shape[3:] != other.values.shape[3:]:
                message = f"maps computed again at layer {layer.name!r} have {other.values.shape[3:]} positions, those of the result {layer.values.shape[3:]}: it is an interval, or the model changed. Explain whole samples."
                raise InputError(message)
        return explanation

    # --- other weights ---------------------------------------------------------------------------

    @cached_property
    def weights(self) -> dict[str, list[np.ndarray]]:
        """The model's weights, by layer."""
        return self.explainer.backend.weights(self.explainer.model)

    def random_weights(self, name: str) -> list[np.ndarray]:
        """Random weights of a layer with equal mean and standard deviation; equal in each call."""
        rng = np.random.default_rng((self.seed, _WEIGHTS, list(self.weights).index(name)))
        return [rng.normal(each.mean(), each.std(), each.shape).astype(each.dtype) for each in self.weights[name]]

    def layers(self, steps: int) -> list[str]:
        """Names of the checked layers, from the last one down."""
        names = list(self.weights)[::-1]
        indices = np.linspace(0, len(names) - 1, min(steps, len(names))).round().astype(int)
        return [names[i] for i in indices]

    @contextmanager
    def _use_random_weights(self, names: Sequence[str]) -> Iterator[None]:
        values = {name: self.random_weights(name) for name in names}
        with self.explainer.backend.use_weights(self.explainer.model, values):
            yield

    def randomised(self, steps: int, *, together: bool) -> np.ndarray:
        """Correlations with maps of random weights, with and without sign: ``(2, weights, sample, target, cam, layer)``."""
        names = list(self.weights)[::-1]
        correlations = []
        for name in self.layers(steps):
            with self._use_random_weights(names[: names.index(name) + 1] if together else [name]):
                other = self.explain_again()
            pairs = list(zip(_native_maps(self.exp), _native_maps(other), strict=True))
            signed = np.stack([spearman(a, b) for a, b in pairs], axis=-1)
            unsigned = np.stack([spearman(np.abs(a), np.abs(b)) for a, b in pairs], axis=-1)
            correlations.append(np.stack([signed, unsigned]))
        return np.stack(correlations, axis=1)

    def emprt(self) -> np.ndarray:
        """Relative increase of the maps' histogram entropy, ``(sample, target, cam, layer)``."""
        with self._use_random_weights(list(self.weights)):
            other = self.explain_again()
        before, after = (
            np.stack([histogram_entropy(rows) for rows in _native_maps(one)], axis=-1) for one in (self.exp, other)
        )
        increase: np.ndarray = (after - before) / np.where(before > 0, before, np.nan)
        return increase

    # --- another class ---------------------------------------------------------------------------

    def random_logit(self) -> np.ndarray:
        """Correlation with the map of another class, ``(sample, target, cam, layer)``."""
        exp, rng = self.exp, np.random.default_rng((self.seed, _CLASSES))
        count = 0 if exp.probabilities is None else exp.probabilities.shape[1]
        shift = rng.integers(1, count, exp.target_classes.shape)
        others = (exp.target_classes + shift) % count
        targets = [PerSample(column.tolist(), f"other {i}") for i, column in enumerate(others.T)]
        pairs = zip(_native_maps(exp), _native_maps(self.explain_again(target=targets)), strict=True)
        return np.stack([spearman(a, b) for a, b in pairs], axis=-1)

    # --- sums ------------------------------------------------------------------------------------

    def completeness(self) -> np.ndarray:
        """Relative difference between a map's sum and the layer's contribution to the logit."""
        whole = self.explain_again(signed=True, score="logit")
        gaps = []
        for name in self.exp.layer_names:
            contribution = whole.scores - self._scores_without(name)
            sums = whole.native(name).values
            total = sums.reshape(*sums.shape[:3], -1).sum(axis=-1)
            size = np.where(contribution != 0, np.abs(contribution), np.nan)
            gaps.append(np.abs(total - contribution[:, :, None]) / size[:, :, None])
        return np.stack(gaps, axis=-1)

    def _scores_without(self, name: str) -> np.ndarray:
        """The logits with a layer's output set to 0, ``(sample, target)``."""
        backend, model = self.explainer.backend, self.explainer.model
        inputs, questions = backend.to_model(model, self.scoring.inputs), self.scoring.questions
        pull = backend.forward_backward(model, inputs, [name], replace(questions[0], kind="plain"))
        row = next(iter(pull.rows))[0]
        edit = Edit(row.ran, row.activation * 0, None, slice(0, len(self.exp)), 1)
        scores = [backend.forward(model, inputs, each, edit)[0] for each in questions]
        return np.stack([backend.numpy(each) for each in scores], axis=1)


def spearman(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation of rows ``(..., n)``; ties share their mean rank, and a constant row gives 0."""
    ranks = [_ranks(each) for each in (a, b)]
    x, y = (each - each.mean(axis=-1, keepdims=True) for each in ranks)
    size = np.sqrt((x * x).sum(axis=-1) * (y * y).sum(axis=-1))
    coefficients: np.ndarray = np.divide((x * y).sum(axis=-1), size, out=np.zeros_like(size), where=size > 0)
    return coefficients


def _ranks(values: np.ndarray) -> np.ndarray:
    rows = values.reshape(-1, values.shape[-1])
    ordered = [np.sort(row) for row in rows]
    both = [
        np.searchsorted(ascending, row, "left") + np.searchsorted(ascending, row, "right")
        for ascending, row in zip(ordered, rows, strict=True)
    ]
    return (np.stack(both) / 2).reshape(values.shape)


def histogram_entropy(maps: np.ndarray) -> np.ndarray:
    """Entropy of the histogram of each row ``(..., n)``, in ``BINS`` bins from the minimum to the maximum."""

    def one(row: np.ndarray) -> float:
        share = np.histogram(row, BINS)[0] / len(row)
        share = share[share > 0]
        return float(-(share * np.log(share)).sum())

    entropies: np.ndarray = np.apply_along_axis(one, -1, maps)
    return entropies


def _native_maps(exp: Explanation) -> list[np.ndarray]:
    """The maps of each layer at its own resolution, ``(sample, target, cam, position)``."""
    native = [exp.native(name).values for name in exp.layer_names]
    return [each.reshape(*each.shape[:3], -1) for each in native]
