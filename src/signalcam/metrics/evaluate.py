"""The front door of the metrics: a result and its model go in, scored maps come out."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np

from signalcam.arrays import Array
from signalcam.backends.protocol import Inputs
from signalcam.batches import as_inputs, first_size, progress_bar
from signalcam.checks import several
from signalcam.errors import CamWarning, InputError, MethodError, ModelError, TargetError, is_count
from signalcam.explain import Explainer
from signalcam.explanation import Explanation
from signalcam.metrics import curves, robustness, shape  # noqa: F401 - register their metrics
from signalcam.metrics.asking import Asker, StillNamed
from signalcam.metrics.confidence import confidence, warn_of_confidence
from signalcam.metrics.imputers import Imputer, as_imputer
from signalcam.metrics.registry import Metric, find
from signalcam.metrics.removal import Axes, Study, Units
from signalcam.metrics.summary import Found, dataset, joined
from signalcam.scores import find as find_score
from signalcam.targets import NO_CLASS, PerSample, Question, Target, as_target, question

if TYPE_CHECKING:
    import xarray as xr

STEPS = 10
DEFAULT = ("deletion", "insertion", "road")
BASELINES = ("random-cam", "input-energy")
Windows = int | Mapping[str, int] | None


def evaluate(  # noqa: PLR0913 - a front door: every parameter is a question users ask
    exp: Explanation, model: Any, metrics: Any = DEFAULT, *,
    measure: str | Callable[[Array], Array] = "probability", seed: int = 0,
    imputer: Any = None, steps: int | None = None, window: Windows = None, baselines: Any = BASELINES,
    explainer: Explainer | None = None, target: Any = None, inputs: Any = None, extra: Mapping[str, Any] | None = None,
    fine_tuned: Any = None, batch_size: int | None = None, progress: bool = False,
) -> xr.Dataset:  # fmt: skip
    """Score how faithful maps are to the model, beside baselines that they must beat.

    Args:
        exp: The maps, of samples of any length.
        model: The model that was explained. It is borrowed: it comes back exactly as it was.
        metrics: One or several: names from ``signalcam.metrics.names()``, or ``Metric`` objects, as
            ``signalcam.metrics.find("deletion", imputer="mean")`` gives them.
        measure: What is measured, which need not be what was explained: ``"probability"`` of the class each map
            is about, ``"logit"``, ``"log_odds"``, ``"accuracy"`` (whether the true class is still predicted,
            for results with labels), or a function from the scores ``(batch, class)`` to as many.
        seed: Of ties, noise, random sets and intervals.
        imputer: What stands in for what is taken away: ``"zero"``, ``"mean"``, ``"blur"``, ``"noise"``, ``"sample"``,
            ``"linear"``, ``"inverse"``, ``"swap"``, ``"segment-mean"``, a number, an ``Imputer``, or a function of
            ``x (row, channel, *positions)`` and ``known (row, *positions)``. ``None`` takes what each metric's
            paper does.
        steps: From nothing taken away to everything; ``None`` for 10, or as many as there are windows.
        window: How many positions are taken away together, a number or one by axis: ``{"time": 25}``. ``None``
            takes the layer's stride, below which its maps tell nothing apart.
        baselines: Methods that are scored beside; an empty list for none.
        explainer: How the maps were made, where the names in the result do not say it.
        target: What was asked, for each target of the result, where it is not about a class.
        inputs: What the model takes, where that is more than the explained input, in the order of the samples.
        extra: What it takes by keyword beside the inputs, as in ``signalcam.explain``.
        fine_tuned: The same model trained on, with random parts removed: for ``f-fidelity``.
        batch_size: Rows at a time; ``None`` picks a size that fits. Halved when memory runs out.
        progress: Show a progress bar.

    Returns:
        ``value (metric, sample, target, method, layer)``; over samples that have a value ``mean``, its 95 %
        bootstrap interval ``low`` and ``high``, and their ``count``; ``score (sample, target)`` of the unchanged
        samples; ``curve_score (curve, sample, target, method, layer, step)`` with the share ``removed (layer, step)``;
        ``confidence (imputer, sample, share)``, the largest probability where random units are taken away. ``better``
        says of each metric which way is better.

    Raises:
        CamError: Something does not fit; the message says what to do.

    Example:
        >>> import signalcam as sc
        >>> scores = sc.metrics.evaluate(exp, network, "deletion")
        >>> scores["mean"].sel(metric="deletion").squeeze().dims
        ('method',)
    """
    wanted = tuple(find(each) for each in several(metrics))
    how = How(
        model, wanted, measure, seed, None if imputer is None else as_imputer(imputer), steps, window,
        tuple(baselines if isinstance(baselines, list | tuple) else [baselines]), explainer, target, extra, fine_tuned, batch_size, progress,
    )  # fmt: skip
    how.check()
    drawn = exp.at_network_input
    exp = exp if drawn is None else drawn
    _check(exp, inputs)
    found, methods = how.found(exp, exp.input if inputs is None else inputs)
    warn_of_confidence(found.confidence)
    _warn_of_undefined(wanted, found.values)
    about = {**exp.provenance, "measure": how.measure_name, "seed": seed, "baselines": ", ".join(methods[len(exp.methods) :])}  # fmt: skip
    return dataset(exp, wanted, found, methods=methods, seed=seed, about=about)


def _check(exp: Explanation, inputs: Any) -> None:
    """Refuse results that cannot be asked about again."""
    if exp.windows is not None:
        message = "the record was explained window by window, and metrics score samples. Explain its windows as samples: signalcam.explain(model, windows)."
        raise InputError(message)
    if exp.of and inputs is None:
        message = (
            f"the maps are drawn on {exp.of!r}, one input of several. Pass all of them: inputs=..."
        )
        raise InputError(message)
    if not len(exp):
        message = "the result holds no samples, so there is nothing to score. Give one at least."
        raise InputError(message)
    if not all(np.isfinite(layer.values).all() for layer in exp.layers) and exp.shapes is None:
        message = "a map holds NaN or infinite values, which have no rank. Take the samples without: exp.isel(sample=...)."
        raise InputError(message)


def _warn_of_undefined(wanted: Sequence[Metric], values: np.ndarray) -> None:
    for each, own in zip(wanted, values, strict=True):
        missing = int((~np.isfinite(own)).any(axis=(1, 2, 3)).sum())
        if missing:
            message = f"{each.name} is not defined for {missing} of {len(own)} samples (a constant map, or a score that has nothing to lose); they are left out of its mean, see 'count'."
            warnings.warn(message, CamWarning, stacklevel=3)


@dataclass(frozen=True)
class How:
    """What ``evaluate`` was asked for; see there."""

    model: Any
    metrics: tuple[Metric, ...]
    measure: str | Callable[[Array], Array]
    seed: int
    imputer: Imputer | None
    steps: int | None
    window: Windows
    baselines: tuple[Any, ...]
    explainer: Explainer | None
    target: Any
    extra: Mapping[str, Any] | None
    fine_tuned: Any
    batch_size: int | None
    progress: bool

    def check(self) -> None:
        """Raise where an option cannot be meant."""
        names = [each.name for each in self.metrics]
        if len(set(names)) < len(names):
            message = f"two metrics are called {next(n for n in names if names.count(n) > 1)!r}. Give one another name: signalcam.metrics.find(name, called=...)."
            raise MethodError(message)
        if self.measure != "accuracy":
            find_score(self.measure)
        widths = self.window.values() if isinstance(self.window, Mapping) else [self.window]
        for what, value, least in (("steps", self.steps, 2), ("batch_size", self.batch_size, 1), ("seed", self.seed, 0), *(("window", each, 1) for each in widths)):  # fmt: skip
            if value is not None and not is_count(value, least):
                message = f"{what} is {value!r}; give a whole number, {least} or more."
                raise InputError(message)

    @property
    def measure_name(self) -> str:
        """The name of what is measured."""
        return "accuracy" if self.measure == "accuracy" else find_score(self.measure)[0]

    def found(self, exp: Explanation, inputs: Any) -> tuple[Found, tuple[str, ...]]:
        """Score samples of one shape after another, and name the methods."""
        if exp.shapes is None:
            one = Scoring(self, exp, inputs)
            return one.found(), one.methods
        kinds, index = np.unique(exp.shapes, axis=0, return_inverse=True)
        rows = [np.flatnonzero(index.reshape(-1) == kind) for kind in range(len(kinds))]
        parts = [Scoring(self, exp.isel(sample=each.tolist()), None) for each in rows]
        found = [each.found() for each in parts]
        return joined(found, np.concatenate(rows)), parts[0].methods


@dataclass(frozen=True)
class Scoring:
    """Scores samples of one shape.

    Attributes:
        how: What was asked for.
        exp: Their maps.
        given: What the model takes; ``None`` for the explained input.
    """

    how: How
    exp: Explanation
    given: Any

    @cached_property
    def explainer(self) -> Explainer:
        """How the maps were made, as far as the result tells."""
        how, exp = self.how, self.exp
        if how.explainer is not None:
            return replace(
                how.explainer, model=how.model, preprocess=None, target=list(self.targets)
            )
        about = exp.provenance
        return Explainer(
            how.model, target=list(self.targets), layout=exp.layout, of=_of(exp), signed=about.get("signed") == "True",
            align=about.get("align", "receptive-field"), batch_size=how.batch_size,
        )  # fmt: skip

    @cached_property
    def targets(self) -> tuple[Target, ...]:
        """What each map was about, with every class as it was."""
        exp, how = self.exp, self.how
        if how.target is None:
            none = (exp.target_classes == NO_CLASS).any(axis=0)
            if none.any():
                message = f"target {exp.targets[int(none.argmax())]!r} is not about a class, so what to measure is not known. Pass target=... as it was given to explain."
                raise TargetError(message)
            return tuple(
                PerSample([int(each) for each in column], label)
                for column, label in zip(exp.target_classes.T, exp.targets, strict=True)
            )
        asked = [as_target(each, exp.class_names) for each in several(how.target)]
        if len(asked) != len(exp.targets):
            message = f"target holds {len(asked)} questions for {len(exp.targets)} targets ({', '.join(exp.targets)}). Give one for each, in order."
            raise TargetError(message)
        return tuple(each.labelled(exp.true_classes) for each in asked)

    @cached_property
    def inputs(self) -> Inputs:
        """What the model takes, in NumPy."""
        given = self.exp.input if self.given is None else self.given
        taken = as_inputs(given, _of(self.exp), self.how.extra)
        taken = taken.map(self.explainer.backend.numpy)
        if taken.explained.shape != self.exp.input.shape:
            message = f"inputs have shape {taken.explained.shape}, but the maps are of {self.exp.input.shape}. Pass the samples that were explained."
            raise InputError(message)
        return taken

    @cached_property
    def asker(self) -> Asker:
        """Asks the model."""
        return self._asker(self.how.model)

    def _asker(self, model: Any) -> Asker:
        backend = self.explainer.backend
        size = self.how.batch_size or first_size(self.inputs, backend, model)
        return Asker(backend, model, self.inputs, size)

    @cached_property
    def questions(self) -> tuple[Question, ...]:
        """What is measured for each target, every sample's own class fixed."""
        if self.how.measure == "accuracy":
            if self.exp.true_classes is None:
                message = "measure='accuracy' compares with each sample's true class, and there are no labels. Explain with labels=[...], or measure 'probability'."
                raise TargetError(message)
            own = np.asarray(self.exp.true_classes, np.int64)
            asked = Question((StillNamed(()),), "probability", None, (own,), kind=None, output=self.explainer.output)  # fmt: skip
            return (asked,) * len(self.exp.targets)
        return tuple(self._question(each) for each in self.targets)

    def _question(self, target: Target) -> Question:
        explainer, rows = self.explainer, np.arange(len(self.exp))
        target = target.for_axis(explainer.backend.channel_axis(explainer.model))
        asked = replace(
            question((target,), rows, self.how.measure, self.exp.class_names, explainer.output), kind=None
        )  # fmt: skip
        if isinstance(target, PerSample):
            return asked.fixed([asked.own[0][:, None]])
        given = explainer.backend.prepared(explainer.model, self.inputs)
        pull = explainer.backend.pull(explainer.model, given, [], asked)
        return asked.fixed([explainer.backend.numpy(each.picks) for each in pull.asked])

    # --- maps ------------------------------------------------------------------------------------

    @cached_property
    def beside(self) -> Explanation | None:
        """The baselines' maps of the same layers."""
        own = [each for each in self.how.baselines if each not in self.exp.methods]
        return self._explained(self.inputs.tree, own) if own else None

    def _explained(self, tree: Any, methods: Sequence[Any], layers: Sequence[str] | None = None) -> Explanation:  # fmt: skip
        try:
            again = replace(self.explainer, method=list(methods), layer=list(layers or self.exp.layer_names))  # fmt: skip
            found = again(self._bare(tree), extra=self.how.extra)
        except (ModelError, MethodError) as error:
            message = f"maps could not be made anew to compare with: {error} Pass explainer=Explainer(...) as it made these maps, or baselines=[] where layers were put together."
            raise type(error)(message) from error
        return found

    def _bare(self, tree: Any) -> Any:
        return tree.inputs if self.how.extra else tree

    @cached_property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods scored, the result's own first."""
        return (*self.exp.methods, *(() if self.beside is None else self.beside.methods))

    @cached_property
    def maps(self) -> np.ndarray:
        """``(sample, target, method, layer, *axes)``, the baselines' behind the result's own."""
        own: np.ndarray = self.exp.maps.values
        if self.beside is None:
            return own
        return np.concatenate([own, self._on_axes(self.beside)], axis=2)

    def _on_axes(self, other: Explanation) -> np.ndarray:
        """Maps of another result, on the axes of this one's."""
        values, wanted = other.maps.values, self.exp.map_axes
        for place, axis in enumerate(wanted):
            if axis not in other.map_axes:
                values = np.expand_dims(values, 4 + place)
        return np.broadcast_to(values, (*values.shape[:4], *[self.exp.input.shape[i] for i in wanted]))  # fmt: skip

    # --- studies ---------------------------------------------------------------------------------

    @cached_property
    def axes(self) -> Axes:
        """Which axes of the input are which."""
        return Axes.of(self.exp.map_axes, self.exp.layout.dims)

    @cached_property
    def units(self) -> tuple[Units, ...]:
        """What is taken away at once, for each layer."""
        lengths = tuple(self.exp.input.shape[axis] for axis in self.exp.map_axes)
        return tuple(Units(lengths, self._widths(i)) for i in range(len(self.exp.layers)))

    def _widths(self, layer: int) -> tuple[int, ...]:
        strides = {each.input_axis: ceil(each.jump) for each in self.exp.layers[layer].grid}
        window, exp = self.how.window, self.exp
        if isinstance(window, Mapping):
            unknown = set(window) - set(exp.dims)
            if unknown:
                message = f"window names {sorted(unknown)[0]!r}, but the maps have axes {', '.join(exp.dims)}."
                raise InputError(message)
        wide = []
        for axis, dim in zip(exp.map_axes, exp.dims, strict=True):
            asked = window.get(dim) if isinstance(window, Mapping) else window
            width = asked or strides.get(axis, 1)
            wide.append(1 if axis in self.axes.lines else min(width, exp.input.shape[axis]))
        return tuple(wide)

    @cached_property
    def steps(self) -> int:
        """How many steps a curve has."""
        fewest = min(each.count for each in self.units)
        steps = self.how.steps or min(STEPS, fewest)
        if not 2 <= steps <= fewest:
            message = f"{max(steps, 2)} steps were asked for, but only {fewest} windows can be taken away one by one. Give fewer steps, or narrower windows: window=1."
            raise InputError(message)
        return steps

    def studies(self) -> list[Study]:
        """One for each target, method and layer, in that order."""
        return [
            self._study(target, method, layer)
            for target in range(len(self.exp.targets))
            for method in range(len(self.methods))
            for layer in range(len(self.exp.layers))
        ]

    def _study(self, target: int, method: int, layer: int) -> Study:
        how = self.how
        return Study(
            self.asker, self.questions[target], self.maps[:, target, method, layer], self.axes, self.units[layer],
            self.steps, how.seed, how.imputer, original=self.score[:, target],
        )  # fmt: skip

    @cached_property
    def score(self) -> np.ndarray:
        """``(sample, target)``, what is measured of the samples as they are."""
        rows = np.arange(len(self.exp))
        columns = [self.asker.about(each, rows, lambda part: self.asker.x[part]) for each in self.questions]  # fmt: skip
        score = np.stack(columns, axis=1)
        bad = np.flatnonzero(~np.isfinite(score).all(axis=1))
        if len(bad):
            message = f"the measure {self.how.measure_name!r} is not finite for samples {', '.join(map(str, bad[:5]))}. Choose another measure, or leave them out: exp.isel(sample=...)."
            raise InputError(message)
        return score

    def found(self) -> Found:
        """Work out every metric of every study."""
        studies, how = self.studies(), self.how
        with progress_bar(len(studies) * len(how.metrics), shown=how.progress, unit="score") as done:  # fmt: skip
            columns = [[self._values(each, study, done) for each in how.metrics] for study in studies]  # fmt: skip
        cell = (len(self.exp.targets), len(self.methods), len(self.exp.layers))
        values = np.moveaxis(np.asarray(columns), 0, -1)
        return Found(
            values.reshape(*values.shape[:2], *cell),
            self._curves(studies, cell),
            self._confidence(studies[0]),
            self.score,
            np.stack([studies[i].fractions for i in range(cell[2])]),
        )

    def _values(self, metric: Metric, study: Study, done: Callable[[int], object]) -> np.ndarray:
        values = metric.values(study)
        done(1)
        return values

    def _curves(self, studies: Sequence[Study], cell: tuple[int, ...]) -> dict[str, np.ndarray]:
        known = studies[0].curves
        found = {}
        for order, imputer in known:
            whole = np.stack([each.curves[order, imputer] for each in studies], axis=1)
            found[f"{order}, {imputer}"] = whole.reshape(len(whole), *cell, -1)
        return found

    def _confidence(self, study: Study) -> dict[str, np.ndarray]:
        if self.exp.probabilities is None:
            return {}
        return {name: confidence(study, each) for name, each in study.fillers.items()}


def _of(exp: Explanation) -> Any:
    return tuple(exp.of.split("/")) if "/" in exp.of else exp.of or None
