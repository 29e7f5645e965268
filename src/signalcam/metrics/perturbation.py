"""Here you find the perturbation experiment behind every metric that removes parts of a sample.

A map is ranked in units (samples, or windows as wide as the layer's stride). A schedule removes units, an imputer
replaces them, and the model scores the result. A metric is a function of these scores.
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
Picker = Callable[[int], np.ndarray]  # from a sample to (trial, unit): the units to remove
TIES, TRIALS = 1, 2  # streams of random numbers


def ranks(values: np.ndarray, seed: int) -> np.ndarray:
    """Rank ``(sample, unit)``, 0 for the most important; ties are in random order.

    The order of ties is a property of the sample: it is equal for all its maps.
    """
    chance = np.stack([np.random.default_rng((seed, TIES, i)).random(values.shape[1]) for i in range(len(values))])
    order = np.lexsort((chance, -values), axis=1)
    return np.argsort(order, axis=1)


@dataclass(frozen=True)
class PerturbedAxes:
    """Conversion of a model input to ``(row, channel, *positions)``, and back.

    Attributes:
        lines: Axes of the map whose entries have no neighbours, as channels; each entry is a row.
        positions: The other axes of the map.
        rest: Axes of the input that the map does not have.
    """

    lines: tuple[int, ...]
    positions: tuple[int, ...]
    rest: tuple[int, ...]

    @classmethod
    def of(cls, map_axes: Sequence[int], dims: Sequence[str]) -> PerturbedAxes:
        """Sort the axes of an input, batch first, by their names."""
        lines = tuple(each for each in map_axes if dims[each] == "channel")
        positions = tuple(each for each in map_axes if each not in lines)
        rest = tuple(each for each in range(1, len(dims)) if each not in map_axes)
        return cls(lines, positions, rest)

    @property
    def _order(self) -> tuple[int, ...]:
        return (0, *self.lines, *self.rest, *self.positions)

    def rows(self, x: np.ndarray) -> np.ndarray:
        """Convert an input to rows."""
        ordered = x.transpose(self._order)
        return ordered.reshape(-1, prod(x.shape[i] for i in self.rest), *[x.shape[i] for i in self.positions])

    def back(self, rows: np.ndarray, shape: Sequence[int]) -> np.ndarray:
        """Convert rows back to an input of this shape."""
        ordered = rows.reshape(-1, *[shape[i] for i in self._order[1:]])
        return ordered.transpose(np.argsort(self._order))

    def mask_rows(self, mask: np.ndarray) -> np.ndarray:
        """Convert ``(r, *axes of the map)`` to rows: ``(rows, *positions)``."""
        axes = sorted((*self.lines, *self.positions))
        order = [1 + axes.index(each) for each in (*self.lines, *self.positions)]
        ordered = mask.transpose((0, *order))
        return ordered.reshape(-1, *ordered.shape[1 + len(self.lines) :])

    def wide(self, values: np.ndarray, ndim: int) -> np.ndarray:
        """Add axes of length 1 to ``(r, *axes of the map)``, to broadcast with an input."""
        axes = sorted((*self.lines, *self.positions))
        return np.expand_dims(values, [each for each in range(1, ndim) if each not in axes])


@dataclass(frozen=True)
class PerturbedUnits:
    """The windows that are removed as a whole.

    Attributes:
        lengths: Lengths of the map's axes.
        widths: Widths of a window; the last one may be shorter.
    """

    lengths: tuple[int, ...]
    widths: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of windows along each axis."""
        pairs = zip(self.lengths, self.widths, strict=True)
        return tuple(-(-length // width) for length, width in pairs)

    @property
    def count(self) -> int:
        """Number of windows."""
        return prod(self.shape)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sum ``(r, *lengths)`` over each window: ``(r, unit)``."""
        for axis, (length, width) in enumerate(zip(self.lengths, self.widths, strict=True), 1):
            values = np.add.reduceat(values, np.arange(0, length, width), axis=axis)
        return values.reshape(len(values), -1)

    def means(self, values: np.ndarray) -> np.ndarray:
        """Average over each window: ``(r, unit)``."""
        means: np.ndarray = self.sums(values) / self.sums(np.ones((1, *self.lengths)))
        return means

    def spread(self, units: np.ndarray) -> np.ndarray:
        """Expand ``(r, unit)`` to ``(r, *lengths)``."""
        wide = units.reshape(-1, *self.shape)
        for axis, (length, width) in enumerate(zip(self.lengths, self.widths, strict=True), 1):
            wide = np.take(wide, np.arange(length) // width, axis=axis)
        return wide


@dataclass
class PerturbationExperiment:
    """Perturbation experiment for one (target, method, layer), with cached model scores.

    Attributes:
        asker: Scores samples by the model.
        question: The measure, with a row for every sample.
        maps: ``(sample, *axes of the map)``.
        axes: The conversion of inputs to rows.
        units: The windows that are removed at once.
        steps: Number of steps from nothing removed to everything.
        seed: The seed of all random numbers.
        imputer: Replaces the imputer of each metric's paper; ``None`` to keep it.
        explain: Return maps like ``maps`` of other model inputs.
        retrained: The experiment with the fine-tuned model, if there is one.
        original: ``(sample,)``, the measured score of the unchanged samples, if it was computed before.
        curves: The curves so far, by order and imputer.
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
        """Number of samples."""
        return len(self.maps)

    @cached_property
    def score(self) -> np.ndarray:
        """The measured score of the unchanged samples, ``(sample,)``."""
        if self.original is not None:
            return self.original
        return self.asker.score(self.question, np.arange(self.count), self.asker.x.__getitem__)

    @cached_property
    def relevance(self) -> np.ndarray:
        """The sum of the map over each unit, ``(sample, unit)``."""
        return self.units.sums(self.maps.astype(np.float64))

    @cached_property
    def ranks(self) -> np.ndarray:
        """The rank of each unit by its mean, 0 for the largest: ``(sample, unit)``."""
        return ranks(self.units.means(self.maps.astype(np.float64)), self.seed)

    @property
    def counts(self) -> np.ndarray:
        """The number of units removed in each step, ``(step,)``, from 0 to all."""
        exact = np.arange(self.steps + 1) * self.units.count / self.steps
        return np.floor(exact + 0.5).astype(np.int64)

    @property
    def fractions(self) -> np.ndarray:
        """The share of units removed in each step, ``(step,)``."""
        shares: np.ndarray = self.counts / self.units.count
        return shares

    def resolve_imputer(self, imputer: object) -> Imputer:
        """Return the user's imputer, or that of the metric's paper."""
        return self.imputer or as_imputer(imputer)

    def curve(self, order: Order, imputer: object) -> np.ndarray:
        """Remove units in the order of their rank: ``(sample, step)`` scores.

        Args:
            order: The units that go first.
            imputer: The imputer of the metric's paper.
        """
        filler = self.resolve_imputer(imputer)
        key = (order, filler.name)
        if key not in self.curves:
            self.fillers[filler.name] = filler
            self.curves[key] = self._compute_curve(order, filler)
        return self.curves[key]

    def _compute_curve(self, order: Order, imputer: Imputer) -> np.ndarray:
        last = self.units.count - 1
        position = self.ranks if order == "most relevant first" else last - self.ranks
        counts = self.counts[1:]
        changed = self.removed(len(counts), lambda i: position[i] < counts[:, None], imputer)
        return np.concatenate([self.score[:, None], changed], axis=1)

    def removed(self, trials: int, pick: Picker, imputer: object) -> np.ndarray:
        """Remove sets of units: ``(sample, trial)`` scores.

        Args:
            trials: Number of sets per sample.
            pick: From a sample's index to ``(trial, unit)``, true for the units to remove.
            imputer: See ``curve``.
        """
        filler, samples = self.resolve_imputer(imputer), np.repeat(np.arange(self.count), trials)
        numbers = np.tile(np.arange(trials), self.count)

        def make(rows: slice) -> np.ndarray:
            indices = samples[rows]
            sets = {int(i): pick(int(i)) for i in np.unique(indices)}
            removed = np.stack([sets[int(i)][t] for i, t in zip(indices, numbers[rows], strict=True)])
            return self.filled(indices, self.units.spread(~removed), filler)

        return self.asker.score(self.question, samples, make).reshape(self.count, trials)

    def filled(self, samples: np.ndarray, keep: np.ndarray, imputer: Imputer) -> np.ndarray:
        """Replace the removed values of some samples.

        Args:
            samples: ``(r,)``, their indices.
            keep: ``(r, *axes of the map)``, true where a value stays.
            imputer: The imputer.
        """
        if getattr(imputer, "anywhere", False):
            kinds, rows = np.unique(samples, return_inverse=True)
            blank = self._impute(kinds, np.zeros((len(kinds), *keep.shape[1:]), bool), imputer)
            wide = self.axes.wide(keep, blank.ndim)
            return np.where(wide, self.asker.x[samples], blank[rows])
        return self._impute(samples, keep, imputer)

    def _impute(self, samples: np.ndarray, keep: np.ndarray, imputer: Imputer) -> np.ndarray:
        x = self.asker.x
        n_lines = prod(x.shape[i] for i in self.axes.lines)

        def others(rows: np.ndarray) -> np.ndarray:
            indices = rows.reshape(-1, n_lines)[:, 0]
            return self.axes.rows(x[indices])

        draws = NormalDraws(self.seed, np.repeat(samples, n_lines), others, self.count)
        rows = imputer.fill(self.axes.rows(x[samples]), self.axes.mask_rows(keep), draws)
        return self.axes.back(rows, x.shape)

    def lit(self, mask: np.ndarray, imputer: object) -> np.ndarray:
        """Mask every sample by a mask in 0..1: ``x m + (1 - m) x0``.

        Args:
            mask: ``(sample, *axes of the map)``.
            imputer: The source of ``x0``.
        """
        x, filler = self.asker.x, self.resolve_imputer(imputer)
        nothing = np.zeros(mask.shape, bool)
        blank = self.filled(np.arange(self.count), nothing, filler)
        m = self.axes.wide(mask, x.ndim)
        mixed: np.ndarray = (x * m + blank * (1 - m)).astype(x.dtype)
        return mixed

    def scored(self, x: np.ndarray) -> np.ndarray:
        """Score other inputs, one for every sample: ``(sample,)``."""
        return self.asker.score(self.question, np.arange(self.count), x.__getitem__)

    def explained(self, x: np.ndarray) -> np.ndarray:
        """Return the maps of other inputs, made as those of the samples: ``(sample, *axes of the map)``.

        Raises:
            MethodError: It is not known how the maps were made.
        """
        if self.explain is None:
            message = "this metric explains changed samples, and it is not known how the maps were made. Pass explainer=Explainer(...)."
            raise MethodError(message)
        return self.explain(x)

    def subsets(self, size: float, trials: int, stream: int) -> Picker:
        """Draw random sets of units, other ones for each sample.

        Args:
            size: Number of units in a set, at least 1.
            trials: Number of sets.
            stream: Stream of random numbers.
        """
        n_units = int(min(max(1, round(size)), self.units.count))

        def pick(sample: int) -> np.ndarray:
            rng = np.random.default_rng((self.seed, TRIALS, stream, sample))
            return np.argsort(np.argsort(rng.random((trials, self.units.count)))) < n_units

        return pick
