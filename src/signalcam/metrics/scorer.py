"""Scores the maps of samples of one shape: from a result to studies, and from these to numbers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from math import ceil
from typing import Any

import numpy as np

from signalcam.arrays import Array
from signalcam.attribution.registry import Method
from signalcam.backends import backend_of, network_of
from signalcam.errors import CamWarning, InputError, MethodError, ModelError, TargetError, is_count
from signalcam.explainer.api import Explainer
from signalcam.explainer.batching import first_size, progress_bar
from signalcam.inputs.conversion import as_inputs
from signalcam.inputs.padding import Lengths, Mask
from signalcam.inputs.pytree import Inputs, is_array
from signalcam.inputs.validation import as_list
from signalcam.metrics.aggregate import MetricValues, concatenate_values
from signalcam.metrics.imputers import Imputer
from signalcam.metrics.model_calls import ModelScorer, StillNamed
from signalcam.metrics.out_of_distribution import confidence
from signalcam.metrics.perturbation import PerturbationExperiment, PerturbedAxes, PerturbedUnits
from signalcam.metrics.registry import Metric
from signalcam.results.explanation import Explanation
from signalcam.targets import NO_CLASS, PerSample, Question, Target, as_target, make_question
from signalcam.targets.score_functions import find as find_score

STEPS = 10
Windows = int | Mapping[str, int] | None


@dataclass(frozen=True)
class ScoringOptions:
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
        for what, value, least in (
            ("steps", self.steps, 2),
            ("batch_size", self.batch_size, 1),
            ("seed", self.seed, 0),
            *(("window", each, 1) for each in widths),
        ):
            if value is not None and not is_count(value, least):
                message = f"{what} is {value!r}; give a whole number, {least} or more."
                raise InputError(message)

    @property
    def measure_name(self) -> str:
        """The name of what is measured."""
        return "accuracy" if self.measure == "accuracy" else find_score(self.measure)[0]

    def found(self, exp: Explanation, inputs: Any) -> tuple[MetricValues, tuple[str, ...]]:
        """Score samples of one shape after another, and name the methods."""
        if exp.shapes is None:
            one = Scoring(self, exp, inputs)
            return one.found(), one.methods
        kinds, index = np.unique(exp.shapes, axis=0, return_inverse=True)
        rows = [np.flatnonzero(index.reshape(-1) == kind) for kind in range(len(kinds))]
        parts = [Scoring(self._of_rows(each, len(exp)), exp.isel(sample=each.tolist()), None) for each in rows]
        found = [each.found() for each in parts]
        return concatenate_values(found, np.concatenate(rows)), parts[0].methods

    def _of_rows(self, rows: np.ndarray, count: int) -> ScoringOptions:
        """The same for some of the samples."""
        numpy = backend_of(network_of(self.model)).numpy
        arrays = {name: numpy(each) for name, each in (self.extra or {}).items() if is_array(each)}
        own = {name: each[rows] for name, each in arrays.items() if len(each) == count}
        return replace(self, extra={**(self.extra or {}), **own} or None)


@dataclass(frozen=True)
class Scoring:
    """Scores samples of one shape.

    Attributes:
        how: What was asked for.
        exp: Their maps.
        given: What the model takes; ``None`` for the explained input.
    """

    how: ScoringOptions
    exp: Explanation
    given: Any

    @cached_property
    def explainer(self) -> Explainer:
        """How the maps were made, as far as the result tells."""
        how, exp = self.how, self.exp
        if how.explainer is not None:
            return replace(how.explainer, model=how.model, preprocess=None, target=list(self.targets))
        about = exp.provenance
        return Explainer(
            how.model,
            target=list(self.targets),
            layout=exp.layout,
            of=_of(exp),
            signed=about.get("signed") == "True",
            align=about.get("align", "receptive-field"),
            batch_size=how.batch_size,
            score=_score(str(about.get("score", ""))),
        )

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
        asked = [as_target(each, exp.class_names) for each in as_list(how.target)]
        truth = None if exp.true_classes is None else exp.true_classes.tolist()
        if len(asked) != len(exp.targets):
            message = f"target holds {len(asked)} questions for {len(exp.targets)} targets ({', '.join(exp.targets)}). Give one for each, in order."
            raise TargetError(message)
        return tuple(each.with_labels(truth) for each in asked)

    @cached_property
    def inputs(self) -> Inputs:
        """What the model takes, in NumPy."""
        given = self.exp.input if self.given is None else self.given
        signals = self.explainer.read_container(given)
        taken = as_inputs(given if signals is None else signals.array, _of(self.exp), self.how.extra)
        if any(isinstance(each, Lengths | Mask) for each in (self.how.extra or {}).values()):
            taken = self.explainer.select_inputs(taken).samples.group().inputs
        taken = taken.map(self.explainer.backend.numpy)
        if taken.explained.shape != self.exp.input.shape:
            message = f"inputs have shape {taken.explained.shape}, but the maps are of {self.exp.input.shape}. Pass the samples that were explained."
            raise InputError(message)
        return taken

    @cached_property
    def asker(self) -> ModelScorer:
        """Asks the model."""
        return self._asker(self.explainer.model)

    def _asker(self, model: Any) -> ModelScorer:
        backend = self.explainer.backend
        size = self.how.batch_size or first_size(self.inputs, backend, model)
        return ModelScorer(backend, model, self.inputs, size)

    @cached_property
    def questions(self) -> tuple[Question, ...]:
        """What is measured for each target, every sample's own class fixed."""
        if self.how.measure == "accuracy":
            if self.exp.true_classes is None:
                message = "measure='accuracy' compares with each sample's true class, and there are no labels. Explain with labels=[...], or measure 'probability'."
                raise TargetError(message)
            own = np.asarray(self.exp.true_classes, np.int64)
            asked = Question((StillNamed(()),), "probability", None, (own,), kind=None, output=self.explainer.output)
            return (asked,) * len(self.exp.targets)
        return tuple(self._question(each) for each in self.targets)

    def _question(self, target: Target) -> Question:
        explainer, rows = self.explainer, np.arange(len(self.exp))
        target = target.for_axis(explainer.backend.channel_axis(explainer.model))
        asked = replace(
            make_question((target,), rows, self.how.measure, self.exp.class_names, explainer.output), kind=None
        )
        if isinstance(target, PerSample):
            return asked.freeze([asked.own[0][:, None]])
        given = explainer.backend.to_model(explainer.model, self.inputs)
        pull = explainer.backend.forward_backward(explainer.model, given, [], asked)
        return asked.freeze([explainer.backend.numpy(each.picks) for each in pull.scored_targets])

    # --- maps ------------------------------------------------------------------------------------

    @cached_property
    def beside(self) -> Explanation | None:
        """The baselines' maps of the same layers."""
        own = [each for each in self.how.baselines if each not in self.exp.methods]
        return self._explained(self.inputs.tree, own) if own else None

    def _explained(self, tree: Any, methods: Sequence[Any], layers: Sequence[str] | None = None) -> Explanation:
        try:
            again = replace(self.explainer, method=list(methods), layer=list(layers or self.exp.layer_names))
            with warnings.catch_warnings():  # a blank map ranks by chance, or is counted as not defined
                warnings.simplefilter("ignore", CamWarning)
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
        """``(sample, target, cam, layer, *axes)``, the baselines' behind the result's own."""
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
        return np.broadcast_to(values, (*values.shape[:4], *[self.exp.input.shape[i] for i in wanted]))

    # --- studies ---------------------------------------------------------------------------------

    @cached_property
    def axes(self) -> PerturbedAxes:
        """Which axes of the input are which."""
        return PerturbedAxes.of(self.exp.map_axes, self.exp.layout.dims)

    @cached_property
    def units(self) -> tuple[PerturbedUnits, ...]:
        """What is taken away at once, for each layer."""
        lengths = tuple(self.exp.input.shape[axis] for axis in self.exp.map_axes)
        return tuple(PerturbedUnits(lengths, self._widths(i)) for i in range(len(self.exp.layers)))

    def _widths(self, layer: int) -> tuple[int, ...]:
        strides = {each.input_axis: ceil(each.jump) for each in self.exp.layers[layer].grid}
        window, exp = self.how.window, self.exp
        if isinstance(window, Mapping):
            unknown = set(window) - set(exp.dims)
            if unknown:
                message = f"window names {min(unknown)!r}, but the maps have axes {', '.join(exp.dims)}."
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

    def studies(self) -> list[PerturbationExperiment]:
        """One for each target, method and layer, in that order."""
        return [
            self._study(target, method, layer)
            for target in range(len(self.exp.targets))
            for method in range(len(self.methods))
            for layer in range(len(self.exp.layers))
        ]

    def _study(self, target: int, method: int, layer: int) -> PerturbationExperiment:
        study = PerturbationExperiment(
            self.asker,
            self.questions[target],
            self.maps[:, target, method, layer],
            self.axes,
            self.units[layer],
            self.steps,
            self.how.seed,
            self.how.imputer,
            partial(self._again, target, method, layer),
            original=self.score[:, target],
        )
        if self.how.fine_tuned is None:
            return study
        return replace(study, retrained=replace(study, asker=self.retrained, original=None, curves={}, fillers={}))

    @cached_property
    def retrained(self) -> ModelScorer:
        """Asks the fine-tuned model."""
        return self._asker(network_of(self.how.fine_tuned))

    def _again(self, target: int, method: int, layer: int, x: np.ndarray) -> np.ndarray:
        """Maps of other inputs, made as these were."""
        known = {each.name: each for each in (*self.explainer.methods, *self._known_baselines)}
        name = self.methods[method]
        changed = self.inputs.with_explained(x)
        found = self._explained(changed.tree, [known.get(name, name)], [self.exp.layer_names[layer]])
        return self._on_axes(found)[:, target, 0, 0]

    @property
    def _known_baselines(self) -> tuple[Method, ...]:
        return tuple(each for each in self.how.baselines if isinstance(each, Method))

    @cached_property
    def score(self) -> np.ndarray:
        """``(sample, target)``, what is measured of the samples as they are."""
        rows = np.arange(len(self.exp))
        columns = [self.asker.about(each, rows, lambda part: self.asker.x[part]) for each in self.questions]
        score = np.stack(columns, axis=1)
        bad = np.flatnonzero(~np.isfinite(score).all(axis=1))
        if len(bad):
            message = f"the measure {self.how.measure_name!r} is not finite for samples {', '.join(map(str, bad[:5]))}. Choose another measure, or leave them out: exp.isel(sample=...)."
            raise InputError(message)
        return score

    def found(self) -> MetricValues:
        """Work out every metric of every study."""
        studies, how = self.studies(), self.how
        with progress_bar(len(studies) * len(how.metrics), visible=how.progress, unit="score") as done:
            columns = [[self._values(each, study, done) for each in how.metrics] for study in studies]
        cell = (len(self.exp.targets), len(self.methods), len(self.exp.layers))
        values = np.moveaxis(np.asarray(columns), 0, -1)
        return MetricValues(
            values.reshape(*values.shape[:2], *cell),
            self._curves(studies, cell),
            self._confidence(studies[0]),
            self.score,
            np.stack([studies[i].fractions for i in range(cell[2])]),
        )

    def _values(self, metric: Metric, study: PerturbationExperiment, done: Callable[[int], object]) -> np.ndarray:
        values = metric.values(study)
        done(1)
        return values

    def _curves(self, studies: Sequence[PerturbationExperiment], cell: tuple[int, ...]) -> dict[str, np.ndarray]:
        known = studies[0].curves
        found = {}
        for order, imputer in known:
            whole = np.stack([each.curves[order, imputer] for each in studies], axis=1)
            found[f"{order}, {imputer}"] = whole.reshape(len(whole), *cell, -1)
        return found

    def _confidence(self, study: PerturbationExperiment) -> dict[str, np.ndarray]:
        if self.exp.probabilities is None:
            return {}
        return {name: confidence(study, each) for name, each in study.fillers.items()}


def check_given(exp: Explanation, inputs: Any, extra: Mapping[str, Any] | None) -> None:
    """Raise an ``InputError`` where the model took more than the result holds, and it is not passed again."""
    if exp.of and inputs is None:
        message = f"the maps are drawn on {exp.of!r}, one input of several. Pass all of them: inputs=..."
        raise InputError(message)
    given = {*(extra or {}), *(inputs if isinstance(inputs, Mapping) else ())}
    others, keywords = (_names(exp.provenance.get(name)) for name in ("inputs", "extra"))
    if inputs is None and not given.issuperset(others):
        message = f"the maps were made with {', '.join(others)} beside the explained input, which the result does not hold. Pass all inputs as to explain: inputs=..."
        raise InputError(message)
    if others and exp.shapes is not None:
        message = f"the samples are of unequal length, with {', '.join(others)} beside them. Score those of one length at a time: exp.isel(sample=[...]), inputs=..."
        raise InputError(message)
    missing = [name for name in keywords if name not in given]
    if missing:
        message = f"the maps were made with the model's keyword {', '.join(missing)}, which the result does not hold. Pass it as to explain: extra=..."
        raise InputError(message)


def _names(told: str | None) -> list[str]:
    return told.split(", ") if told else []


def _score(said: str) -> str:
    """What was differentiated, from what a result says of it; the logit where that was a user's function."""
    name = said.split(";", maxsplit=1)[0]
    return name if name in ("logit", "log_odds", "probability", "log_prob_clamped") else "logit"


def _of(exp: Explanation) -> Any:
    return tuple(exp.of.split("/")) if "/" in exp.of else exp.of or None
