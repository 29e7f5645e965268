"""Here you find how the maps of samples of one shape are scored."""

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
from signalcam.metrics.model_calls import ModelScorer, StillPredicted
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
    """The options of ``evaluate``; see there."""

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
        """Raise a ``CamError`` if an option is not valid."""
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
        """The name of the measure."""
        return "accuracy" if self.measure == "accuracy" else find_score(self.measure)[0]

    def score(self, exp: Explanation, inputs: Any) -> tuple[MetricValues, tuple[str, ...]]:
        """Score groups of samples of one shape; return the values and the methods' names."""
        if exp.shapes is None:
            one = Scoring(self, exp, inputs)
            return one.compute_values(), one.methods
        kinds, index = np.unique(exp.shapes, axis=0, return_inverse=True)
        rows = [np.flatnonzero(index.reshape(-1) == kind) for kind in range(len(kinds))]
        parts = [Scoring(self._select_rows(each, len(exp)), exp.isel(sample=each.tolist()), None) for each in rows]
        values = [each.compute_values() for each in parts]
        return concatenate_values(values, np.concatenate(rows)), parts[0].methods

    def _select_rows(self, rows: np.ndarray, count: int) -> ScoringOptions:
        """The options for some of the samples."""
        numpy = backend_of(network_of(self.model)).numpy
        arrays = {name: numpy(each) for name, each in (self.extra or {}).items() if is_array(each)}
        selected = {name: each[rows] for name, each in arrays.items() if len(each) == count}
        return replace(self, extra={**(self.extra or {}), **selected} or None)


@dataclass(frozen=True)
class Scoring:
    """Scores samples of one shape.

    Attributes:
        options: The options of ``evaluate``.
        exp: The maps.
        raw_inputs: The model's inputs; ``None`` for the explained input.
    """

    options: ScoringOptions
    exp: Explanation
    raw_inputs: Any

    @cached_property
    def explainer(self) -> Explainer:
        """The explainer of the maps, as far as the result defines it."""
        how, exp = self.options, self.exp
        if how.explainer is not None:
            return replace(how.explainer, model=how.model, preprocess=None, target=list(self.targets))
        about = exp.provenance
        return Explainer(
            how.model,
            target=list(self.targets),
            layout=exp.layout,
            of=_path_of(exp),
            signed=about.get("signed") == "True",
            align=about.get("align", "receptive-field"),
            batch_size=how.batch_size,
            score=_score_name(str(about.get("score", ""))),
        )

    @cached_property
    def targets(self) -> tuple[Target, ...]:
        """The target of each map, with the class of every sample fixed."""
        exp, how = self.exp, self.options
        if how.target is None:
            none = (exp.target_classes == NO_CLASS).any(axis=0)
            if none.any():
                message = f"target {exp.targets[int(none.argmax())]!r} is not about a class, so its measure is not known. Pass target=... as to explain."
                raise TargetError(message)
            return tuple(
                PerSample([int(each) for each in column], label)
                for column, label in zip(exp.target_classes.T, exp.targets, strict=True)
            )
        targets = [as_target(each, exp.class_names) for each in as_list(how.target)]
        truth = None if exp.true_classes is None else exp.true_classes.tolist()
        if len(targets) != len(exp.targets):
            message = f"target holds {len(targets)} entries for {len(exp.targets)} targets ({', '.join(exp.targets)}). Give one for each, in order."
            raise TargetError(message)
        return tuple(each.with_labels(truth) for each in targets)

    @cached_property
    def inputs(self) -> Inputs:
        """The model's inputs, in NumPy."""
        raw = self.exp.input if self.raw_inputs is None else self.raw_inputs
        signals = self.explainer.read_container(raw)
        inputs = as_inputs(raw if signals is None else signals.array, _path_of(self.exp), self.options.extra)
        if any(isinstance(each, Lengths | Mask) for each in (self.options.extra or {}).values()):
            inputs = self.explainer.select_inputs(inputs).samples.group().inputs
        inputs = inputs.map(self.explainer.backend.numpy)
        if inputs.explained.shape != self.exp.input.shape:
            message = f"inputs have shape {inputs.explained.shape}, but the maps are of {self.exp.input.shape}. Pass the samples that were explained."
            raise InputError(message)
        return inputs

    @cached_property
    def asker(self) -> ModelScorer:
        """The scorer of the model."""
        return self._scorer_of(self.explainer.model)

    def _scorer_of(self, model: Any) -> ModelScorer:
        backend = self.explainer.backend
        size = self.options.batch_size or first_size(self.inputs, backend, model)
        return ModelScorer(backend, model, self.inputs, size)

    @cached_property
    def questions(self) -> tuple[Question, ...]:
        """The measure of each target, with the class of every sample fixed."""
        if self.options.measure == "accuracy":
            if self.exp.true_classes is None:
                message = "measure='accuracy' compares with each sample's true class, and there are no labels. Explain with labels=[...], or measure 'probability'."
                raise TargetError(message)
            classes = np.asarray(self.exp.true_classes, np.int64)
            question = Question(
                (StillPredicted(()),), "probability", None, (classes,), kind=None, output=self.explainer.output
            )
            return (question,) * len(self.exp.targets)
        return tuple(self._question(each) for each in self.targets)

    def _question(self, target: Target) -> Question:
        explainer, rows = self.explainer, np.arange(len(self.exp))
        target = target.for_axis(explainer.backend.channel_axis(explainer.model))
        question = replace(
            make_question((target,), rows, self.options.measure, self.exp.class_names, explainer.output), kind=None
        )
        if isinstance(target, PerSample):
            return question.freeze([question.own[0][:, None]])
        model_inputs = explainer.backend.to_model(explainer.model, self.inputs)
        pull = explainer.backend.forward_backward(explainer.model, model_inputs, [], question)
        return question.freeze([explainer.backend.numpy(each.picks) for each in pull.scored_targets])

    # --- maps ------------------------------------------------------------------------------------

    @cached_property
    def baseline_maps(self) -> Explanation | None:
        """The baselines' maps of these layers; ``None`` without baselines."""
        baselines = [each for each in self.options.baselines if each not in self.exp.methods]
        return self._explain_inputs(self.inputs.tree, baselines) if baselines else None

    def _explain_inputs(self, tree: Any, methods: Sequence[Any], layers: Sequence[str] | None = None) -> Explanation:
        try:
            explainer = replace(self.explainer, method=list(methods), layer=list(layers or self.exp.layer_names))
            with warnings.catch_warnings():  # zero maps rank at random, or count as not defined
                warnings.simplefilter("ignore", CamWarning)
                explanation = explainer(self._without_keywords(tree), extra=self.options.extra)
        except (ModelError, MethodError) as error:
            message = f"maps of baselines could not be computed: {error} Pass explainer=Explainer(...) as used for these maps, or baselines=[] for fused layers."
            raise type(error)(message) from error
        return explanation

    def _without_keywords(self, tree: Any) -> Any:
        return tree.inputs if self.options.extra else tree

    @cached_property
    def methods(self) -> tuple[str, ...]:
        """Names of the scored methods, the result's first."""
        return (*self.exp.methods, *(() if self.baseline_maps is None else self.baseline_maps.methods))

    @cached_property
    def maps(self) -> np.ndarray:
        """The maps ``(sample, target, cam, layer, *axes)``, the result's first, then the baselines'."""
        maps: np.ndarray = self.exp.maps.values
        if self.baseline_maps is None:
            return maps
        return np.concatenate([maps, self._on_axes(self.baseline_maps)], axis=2)

    def _on_axes(self, other: Explanation) -> np.ndarray:
        """Maps of another result, on the axes of this one's."""
        values, axes = other.maps.values, self.exp.map_axes
        for index, axis in enumerate(axes):
            if axis not in other.map_axes:
                values = np.expand_dims(values, 4 + index)
        return np.broadcast_to(values, (*values.shape[:4], *[self.exp.input.shape[i] for i in axes]))

    # --- experiments -----------------------------------------------------------------------------

    @cached_property
    def axes(self) -> PerturbedAxes:
        """The conversion of inputs to rows."""
        return PerturbedAxes.of(self.exp.map_axes, self.exp.layout.dims)

    @cached_property
    def units(self) -> tuple[PerturbedUnits, ...]:
        """The windows that are removed at once, for each layer."""
        lengths = tuple(self.exp.input.shape[axis] for axis in self.exp.map_axes)
        return tuple(PerturbedUnits(lengths, self._widths(i)) for i in range(len(self.exp.layers)))

    def _widths(self, layer: int) -> tuple[int, ...]:
        strides = {each.input_axis: ceil(each.jump) for each in self.exp.layers[layer].grid}
        window, exp = self.options.window, self.exp
        if isinstance(window, Mapping):
            unknown = set(window) - set(exp.dims)
            if unknown:
                message = f"window names {min(unknown)!r}, but the maps have axes {', '.join(exp.dims)}."
                raise InputError(message)
        widths = []
        for axis, dim in zip(exp.map_axes, exp.dims, strict=True):
            size = window.get(dim) if isinstance(window, Mapping) else window
            width = size or strides.get(axis, 1)
            widths.append(1 if axis in self.axes.lines else min(width, exp.input.shape[axis]))
        return tuple(widths)

    @cached_property
    def steps(self) -> int:
        """Number of steps of a curve."""
        fewest = min(each.count for each in self.units)
        steps = self.options.steps or min(STEPS, fewest)
        if not 2 <= steps <= fewest:
            message = f"{max(steps, 2)} steps were asked for, but only {fewest} windows can be removed one by one. Give fewer steps, or narrower windows: window=1."
            raise InputError(message)
        return steps

    def build_experiments(self) -> list[PerturbationExperiment]:
        """The experiments of each target, method and layer, in that order."""
        return [
            self._build_experiment(target, method, layer)
            for target in range(len(self.exp.targets))
            for method in range(len(self.methods))
            for layer in range(len(self.exp.layers))
        ]

    def _build_experiment(self, target: int, method: int, layer: int) -> PerturbationExperiment:
        study = PerturbationExperiment(
            self.asker,
            self.questions[target],
            self.maps[:, target, method, layer],
            self.axes,
            self.units[layer],
            self.steps,
            self.options.seed,
            self.options.imputer,
            partial(self._explain_again, target, method, layer),
            original=self.score[:, target],
        )
        if self.options.fine_tuned is None:
            return study
        return replace(study, retrained=replace(study, asker=self.retrained, original=None, curves={}, fillers={}))

    @cached_property
    def retrained(self) -> ModelScorer:
        """The scorer of the fine-tuned model."""
        return self._scorer_of(network_of(self.options.fine_tuned))

    def _explain_again(self, target: int, method: int, layer: int, x: np.ndarray) -> np.ndarray:
        """Maps of other inputs, made as these."""
        methods_by_name = {each.name: each for each in (*self.explainer.methods, *self._known_baselines)}
        name = self.methods[method]
        new_inputs = self.inputs.with_explained(x)
        explanation = self._explain_inputs(
            new_inputs.tree, [methods_by_name.get(name, name)], [self.exp.layer_names[layer]]
        )
        return self._on_axes(explanation)[:, target, 0, 0]

    @property
    def _known_baselines(self) -> tuple[Method, ...]:
        return tuple(each for each in self.options.baselines if isinstance(each, Method))

    @cached_property
    def score(self) -> np.ndarray:
        """The measure of the unchanged samples, ``(sample, target)``."""
        rows = np.arange(len(self.exp))
        columns = [self.asker.score(each, rows, lambda part: self.asker.x[part]) for each in self.questions]
        score = np.stack(columns, axis=1)
        bad = np.flatnonzero(~np.isfinite(score).all(axis=1))
        if len(bad):
            message = f"the measure {self.options.measure_name!r} is not finite for samples {', '.join(map(str, bad[:5]))}. Choose another measure, or leave them out: exp.isel(sample=...)."
            raise InputError(message)
        return score

    def compute_values(self) -> MetricValues:
        """Compute every metric of every experiment."""
        studies, how = self.build_experiments(), self.options
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
        first_curves = studies[0].curves
        curves = {}
        for order, imputer in first_curves:
            stacked = np.stack([each.curves[order, imputer] for each in studies], axis=1)
            curves[f"{order}, {imputer}"] = stacked.reshape(len(stacked), *cell, -1)
        return curves

    def _confidence(self, study: PerturbationExperiment) -> dict[str, np.ndarray]:
        if self.exp.probabilities is None:
            return {}
        return {name: confidence(study, each) for name, each in study.fillers.items()}


def _score_name(text: str) -> str:
    """The explained score by its name in the provenance; the logit if it was a function."""
    name = text.split(";", maxsplit=1)[0]
    return name if name in ("logit", "log_odds", "probability", "log_prob_clamped") else "logit"


def _path_of(exp: Explanation) -> Any:
    return tuple(exp.of.split("/")) if "/" in exp.of else exp.of or None
