"""The table of samples: filtered, sorted and paged."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from signalcam.report.scores import round_values, score_values
from signalcam.results.explanation import Explanation

SORTS = ("number", "name", "predicted", "label", "confidence")
METRIC = "metric"  # sort by a score, if the result has any
OUTCOMES = ("", "right", "wrong")


@dataclass(frozen=True)
class TableQuery:
    """Filter, order and page of table rows.

    Attributes:
        offset: Number of matching rows to skip.
        limit: Number of rows to return.
        sort: One of ``SORTS``, or the numbers of a metric, target, method and layer.
        descending: Whether the largest come first; ties stay in the order of their numbers.
        text: Text that the name contains, in upper or lower case.
        predicted: Predicted class; ``None`` for any.
        outcome: One of ``OUTCOMES``; empty for any.
        least: Smallest confidence, 0 to 1; ``None`` for any.
        most: Largest confidence; ``None`` for any.
    """

    offset: int = 0
    limit: int = 50
    sort: str | tuple[int, ...] = "number"
    descending: bool = False
    text: str = ""
    predicted: int | None = None
    outcome: str = ""
    least: float | None = None
    most: float | None = None


@dataclass(frozen=True)
class SampleTable:
    """The table of a result's samples.

    Example:
        >>> from signalcam.report.table import SampleTable, TableQuery
        >>> page = SampleTable(exp).rows(TableQuery(limit=1))
        >>> page["count"], page["rows"][0]["number"]
        (4, 0)
    """

    exp: Explanation

    def rows(self, query: TableQuery) -> dict[str, Any]:
        """Number of matching samples, and the requested page of rows."""
        keys = self._sort_keys(query.sort)
        order = np.argsort(-keys if query.descending else keys, kind="stable")
        passed = order[self._passes_filter(query)[order]]
        page = passed[query.offset : query.offset + query.limit]
        return {"count": len(passed), "rows": [self._row(int(number)) for number in page]}

    @cached_property
    def _names(self) -> list[str]:
        return list(map(str, self.exp.sample_names))

    @cached_property
    def _ranks(self) -> np.ndarray:
        """Rank of each name in natural order."""
        numbers = all(name.isdecimal() for name in self._names)
        order = sorted(set(self._names), key=int if numbers else _natural_key)
        rank_of = {name: number for number, name in enumerate(order)}
        return np.asarray([rank_of[name] for name in self._names])

    @cached_property
    def _confidence(self) -> np.ndarray | None:
        """Probability of the predicted class; ``None`` if unknown."""
        exp = self.exp
        if exp.classes is None or exp.probabilities is None:
            return None
        confidence: np.ndarray = np.asarray(exp.probabilities, float)[np.arange(len(exp)), exp.classes]
        return confidence

    def _column(self, name: str) -> np.ndarray | None:
        """Values of a column; ``None`` if unknown."""
        columns = {"predicted": self.exp.classes, "label": self.exp.true_classes, "confidence": self._confidence}
        return columns[name]

    @cached_property
    def _outcomes(self) -> np.ndarray:
        """``"right"`` or ``"wrong"`` for each sample; empty if unknown."""
        predicted, true = self._column("predicted"), self._column("label")
        if predicted is None or true is None:
            return np.full(len(self.exp), "")
        right = np.where(predicted == true, "right", "wrong")
        return np.where((predicted >= 0) & (true >= 0), right, "")

    @cached_property
    def _trusted(self) -> np.ndarray | None:
        return score_values(self.exp)

    def _sort_keys(self, sort: str | tuple[int, ...]) -> np.ndarray:
        if isinstance(sort, tuple):
            scores = self._trusted
            return np.zeros(len(self.exp)) if scores is None else np.moveaxis(scores, 0, -1)[sort]
        if sort == "name":
            return self._ranks
        column = None if sort == "number" else self._column(sort)
        return np.arange(len(self.exp)) if column is None else np.asarray(column)

    def _passes_filter(self, query: TableQuery) -> np.ndarray:
        """Whether each sample passes the filter; unknown values do not pass."""
        passed = np.ones(len(self.exp), bool)
        if query.text:
            passed &= [query.text.casefold() in name.casefold() for name in self._names]
        predicted, confidence = (self._column(each) for each in ("predicted", "confidence"))
        if query.predicted is not None:
            passed &= predicted is not None and predicted == query.predicted
        if query.outcome:
            passed &= self._outcomes == query.outcome
        if query.least is not None:
            passed &= confidence is not None and confidence >= query.least
        if query.most is not None:
            passed &= confidence is not None and confidence <= query.most
        return passed

    def _row(self, number: int) -> dict[str, Any]:
        exp = self.exp
        columns = {name: self._column(name) for name in ("predicted", "confidence", "label")}
        return {
            "number": number,
            "name": self._names[number],
            **{
                name: None if column is None or not column[number] >= 0 else column[number].item()
                for name, column in columns.items()
            },
            "asked": exp.target_classes[number].tolist(),
            "score": exp.scores[number].tolist(),
            **({} if self._trusted is None else {"trusted": round_values(self._trusted[number])}),
        }


def _natural_key(name: str) -> list[tuple[int, int | str]]:
    """Sort key by which "w2" comes before "w10"."""
    parts = re.split(r"([0-9]{1,18})", name.casefold())
    return [(0, int(each)) if i % 2 else (1, each) for i, each in enumerate(parts)]
