"""The one engine behind every metric that takes something away and asks the model again.

A map is ranked in units (samples, or windows as wide as the layer's stride), units are taken away by a
schedule, an imputer fills the gaps, and the model scores what is left. A metric is what it makes of these scores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Literal

import numpy as np

from signalcam.errors import MethodError
from signalcam.metrics.imputers import Imputer, NormalDraws, as_imputer
from signalcam.metrics.model_calls import ModelScorer
from signalcam.targets import Question

Order = Literal["most relevant first", "least relevant first"]
Picker = Callable[[int], np.ndarray]  # from a sample to (trial, unit): what is taken away
TIES, TRIALS = 1, 2  # what chance is drawn for, so that no two draws are alike


def ranks(values: np.ndarray, seed: int) -> np.ndarray:
    """Rank ``(sample, unit)`` from 0, the most important, on; equal values in an order drawn by chance.

    The order in which a sample's ties fall is the same for every map of that sample.
    """
    chance = np.stack([np.random.default_rng((seed, TIES, i)).random(values.shape[1]) for i in range(len(values))])
    order = np.lexsort((chance, -values), axis=1)
    return np.argsort(order, axis=1)


@dataclass(frozen=True)
class PerturbedAxes:
    """From an input as the model takes it to ``(row, channel, *positions)``, and back.

    Attributes:
        lines: Axes of the map whose entries have no neighbours: each is a row of its own, as channels are.
        positions: The other axes of the map.
        rest: What the map has no axis for.
    """

    lines: tuple[int, ...]
    positions: tuple[int, ...]
    rest: tuple[int, ...]

    @classmethod
    def of(cls, map_axes: Sequence[int], dims: Sequence[str]) -> PerturbedAxes:
        """Sort the axes of an input, batch first, by its names."""
        lines = tuple(each for each in map_axes if dims[each] == "channel")
        positions = tuple(each for each in map_axes if each not in lines)
        rest = tuple(each for each in range(1, len(dims)) if each not in map_axes)
        return cls(lines, positions, rest)

    @property
    def _order(self) -> tuple[int, ...]:
        return (0, *self.lines, *self.rest, *self.positions)

    def rows(self, x: np.ndarray) -> np.ndarray:
        """Lay an input out."""
        ordered = x.transpose(self._order)
        return ordered.reshape(-1, prod(x.shape[i] for i in self.rest), *[x.shape[i] for i in self.positions])

    def back(self, rows: np.ndarray, shape: Sequence[int]) -> np.ndarray:
        """Undo ``rows`` for an input of that shape."""
        ordered = rows.reshape(-1, *[shape[i] for i in self._order[1:]])
        return ordered.transpose(np.argsort(self._order))

    def mask_rows(self, known: np.ndarray) -> np.ndarray:
        """Lay out ``(r, *axes of the map)`` as ``rows`` lays out inputs: ``(rows, *positions)``."""
        axes = sorted((*self.lines, *self.positions))
        order = [1 + axes.index(each) for each in (*self.lines, *self.positions)]
        ordered = known.transpose((0, *order))
        return ordered.reshape(-1, *ordered.shape[1 + len(self.lines) :])

    def wide(self, values: np.ndarray, ndim: int) -> np.ndarray:
        """Give ``(r, *axes of the map)`` the other axes too, so that it multiplies with an input."""
        axes = sorted((*self.lines, *self.positions))
        return np.expand_dims(values, [each for each in range(1, ndim) if each not in axes])


@dataclass(frozen=True)
class PerturbedUnits:
    """The windows that are taken away whole.

    Attributes:
        lengths: Of the map's axes.
        widths: Of a window along each; the last one may be shorter.
    """

    lengths: tuple[int, ...]
    widths: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """How many windows lie along each axis."""
        pairs = zip(self.lengths, self.widths, strict=True)
        return tuple(-(-length // width) for length, width in pairs)

    @property
    def count(self) -> int:
        """How many there are."""
        return prod(self.shape)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Add up ``(r, *lengths)`` over each window: ``(r, unit)``."""
        for axis, (length, width) in enumerate(zip(self.lengths, self.widths, strict=True), 1):
            values = np.add.reduceat(values, np.arange(0, length, width), axis=axis)
        return values.reshape(len(values), -1)

    def means(self, values: np.ndarray) -> np.ndarray:
        """Average over each window: ``(r, unit)``."""
        found: np.ndarray = self.sums(values) / self.sums(np.ones((1, *self.lengths)))
        return found

    def spread(self, units: np.ndarray) -> np.ndarray:
        """From ``(r, unit)`` to ``(r, *lengths)``."""
        wide = units.reshape(-1, *self.shape)
        for axis, (length, width) in enumerate(zip(self.lengths, self.widths, strict=True), 1):
            wide = np.take(wide, np.arange(length) // width, axis=axis)
        return wide


@dataclass
class PerturbationExperiment:
    """The samples and maps of one target, method and layer, and what the model says to changed ones.

    Attributes:
        asker: Asks the model.
        question: What is measured, with a row for every sample.
        maps: ``(sample, *axes of the map)``.
        axes: Which axes of the input are which.
        units: What is taken away at once.
        steps: Into how many steps a schedule goes from nothing taken away to everything.
        seed: Of everything that is drawn.
        imputer: In place of the one each metric's paper takes; ``None`` for that.
        explain: From samples, laid out as the model takes them, to maps like ``maps`` for the same questions.
        retrained: The same question put to the model that was fine-tuned, if there is one.
        original: ``(sample,)``, the measured score of the samples as they are, if it is known already.
        curves: Those worked out so far, by order and imputer.
        fillers: The imputers of these, by name.
    """

    asker: ModelScorer
    question: Question
    maps: np.ndarray
    axes: PerturbedAxes
    units: PerturbedUnits
    steps: int
    seed: int
    imputer: Imputer | None = None
    explain: Callable[[np.ndarray], np.ndarray] | None = None
    retrained: PerturbationExperiment | None = None
    original: np.ndarray | None = None
    curves: dict[tuple[Order, str], np.ndarray] = field(default_factory=dict)
    fillers: dict[str, Imputer] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many samples there are."""
        return len(self.maps)

    @cached_property
    def score(self) -> np.ndarray:
        """``(sample,)``, the measured score of the samples as they are."""
        if self.original is not None:
            return self.original
        return self.asker.about(self.question, np.arange(self.count), self.asker.x.__getitem__)

    @cached_property
    def relevance(self) -> np.ndarray:
        """``(sample, unit)``, the sum of the map over each unit."""
        return self.units.sums(self.maps.astype(np.float64))

    @cached_property
    def ranks(self) -> np.ndarray:
        """``(sample, unit)``, 0 for the unit whose mean is the largest."""
        return ranks(self.units.means(self.maps.astype(np.float64)), self.seed)

    @property
    def counts(self) -> np.ndarray:
        """``(step,)``, how many units each step takes away, none and all included."""
        exact = np.arange(self.steps + 1) * self.units.count / self.steps
        return np.floor(exact + 0.5).astype(np.int64)

    @property
    def fractions(self) -> np.ndarray:
        """``(step,)``, the share of units that each step takes away."""
        found: np.ndarray = self.counts / self.units.count
        return found

    def chosen(self, imputer: object) -> Imputer:
        """The imputer a metric runs with: the user's, or its paper's."""
        return self.imputer or as_imputer(imputer)

    def curve(self, order: Order, imputer: object) -> np.ndarray:
        """Take units away in the order of their rank: ``(sample, step)`` scores.

        Args:
            order: What goes first.
            imputer: What the metric's paper fills the gaps with.
        """
        filler = self.chosen(imputer)
        key = (order, filler.name)
        if key not in self.curves:
            self.fillers[filler.name] = filler
            self.curves[key] = self._curve(order, filler)
        return self.curves[key]

    def _curve(self, order: Order, imputer: Imputer) -> np.ndarray:
        last = self.units.count - 1
        place = self.ranks if order == "most relevant first" else last - self.ranks
        counts = self.counts[1:]
        changed = self.removed(len(counts), lambda i: place[i] < counts[:, None], imputer)
        return np.concatenate([self.score[:, None], changed], axis=1)

    def removed(self, trials: int, pick: Picker, imputer: object) -> np.ndarray:
        """Take away units as told: ``(sample, trial)`` scores.

        Args:
            trials: How many a sample.
            pick: From a sample's number to ``(trial, unit)``, true for what is taken away.
            imputer: See ``curve``.
        """
        filler, samples = self.chosen(imputer), np.repeat(np.arange(self.count), trials)
        numbers = np.tile(np.arange(trials), self.count)

        def make(rows: slice) -> np.ndarray:
            own = samples[rows]
            picked = {int(i): pick(int(i)) for i in np.unique(own)}
            gone = np.stack([picked[int(i)][t] for i, t in zip(own, numbers[rows], strict=True)])
            return self.filled(own, self.units.spread(~gone), filler)

        return self.asker.about(self.question, samples, make).reshape(self.count, trials)

    def filled(self, samples: np.ndarray, known: np.ndarray, imputer: Imputer) -> np.ndarray:
        """Fill the gaps of some samples.

        Args:
            samples: ``(r,)``, their numbers.
            known: ``(r, *axes of the map)``, what is left as it is.
            imputer: Fills the rest.
        """
        if getattr(imputer, "anywhere", False):
            kinds, own = np.unique(samples, return_inverse=True)
            blank = self._imputed(kinds, np.zeros((len(kinds), *known.shape[1:]), bool), imputer)
            wide = self.axes.wide(known, blank.ndim)
            return np.where(wide, self.asker.x[samples], blank[own])
        return self._imputed(samples, known, imputer)

    def _imputed(self, samples: np.ndarray, known: np.ndarray, imputer: Imputer) -> np.ndarray:
        x = self.asker.x
        per = prod(x.shape[i] for i in self.axes.lines)

        def others(rows: np.ndarray) -> np.ndarray:
            own = rows.reshape(-1, per)[:, 0]
            return self.axes.rows(x[own])

        drawn = NormalDraws(self.seed, np.repeat(samples, per), others, self.count)
        rows = imputer.fill(self.axes.rows(x[samples]), self.axes.mask_rows(known), drawn)
        return self.axes.back(rows, x.shape)

    def lit(self, mask: np.ndarray, imputer: object) -> np.ndarray:
        """Show every sample only as far as a mask in 0..1 lets it through: ``x m + (1 - m) x0``.

        Args:
            mask: ``(sample, *axes of the map)``.
            imputer: Says what ``x0`` is.
        """
        x, filler = self.asker.x, self.chosen(imputer)
        nothing = np.zeros(mask.shape, bool)
        blank = self.filled(np.arange(self.count), nothing, filler)
        m = self.axes.wide(mask, x.ndim)
        mixed: np.ndarray = (x * m + blank * (1 - m)).astype(x.dtype)
        return mixed

    def scored(self, x: np.ndarray) -> np.ndarray:
        """Score other inputs, one for every sample: ``(sample,)``."""
        return self.asker.about(self.question, np.arange(self.count), x.__getitem__)

    def explained(self, x: np.ndarray) -> np.ndarray:
        """Explain other inputs as the samples were: ``(sample, *axes of the map)``.

        Raises:
            MethodError: It is not known how.
        """
        if self.explain is None:
            message = "this metric explains changed samples, and it is not known how the maps were made. Pass explainer=Explainer(...)."
            raise MethodError(message)
        return self.explain(x)

    def subsets(self, size: float, trials: int, stream: int) -> Picker:
        """Draw random sets of units, each sample its own.

        Args:
            size: How many units a set has, at least 1.
            trials: How many sets.
            stream: Sets of another stream are others.
        """
        wanted = int(min(max(1, round(size)), self.units.count))

        def pick(sample: int) -> np.ndarray:
            rng = np.random.default_rng((self.seed, TRIALS, stream, sample))
            return np.argsort(np.argsort(rng.random((trials, self.units.count)))) < wanted

        return pick
