"""Requests of a served page: checked queries, and answers from a store that may be saved again meanwhile."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from http import HTTPStatus
from os import PathLike
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import parse_qs

import numpy as np

from signalcam import io
from signalcam.errors import StoreError
from signalcam.report.downsample import Tiles
from signalcam.report.page import render_page
from signalcam.report.slices import cut_slice
from signalcam.report.summary import kind_of, outline_page
from signalcam.report.table import METRIC, OUTCOMES, SORTS, SampleTable, TableQuery
from signalcam.results.explanation import Explanation

_MOST_COLUMNS, _ROWS, _TEXT = 8192, 1000, 200  # limits of one request
_READ_SECONDS = 0.15  # seconds that a request may spend reading on in a long sample


class Refusal(Exception):  # noqa: N818 - an HTTP response, not a program error
    """A refused request: HTTP status and one sentence."""

    def __init__(self, status: HTTPStatus, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


# --- the store ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OpenedStore:
    """A result as it was when it was opened.

    Attributes:
        exp: The result; inputs and maps stay on disk.
        stamp: Stamp of the store at that time.
        number: How many times the store was opened before.
        page: The page, without maps.
    """

    exp: Explanation
    stamp: tuple[int, ...]
    number: int
    page: str

    @cached_property
    def tiles(self) -> Tiles:
        """The signals and maps as tiles."""
        return Tiles(replace(self.exp, metrics=None))

    @cached_property
    def table(self) -> SampleTable:
        """The table of samples."""
        return SampleTable(self.exp)


class StoreView:
    """A store that is opened again after it was saved again."""

    def __init__(self, path: str | PathLike[str]) -> None:
        self._path, self._lock = Path(path), Lock()
        self._shown = self._opened(0)

    def _opened(self, number: int) -> OpenedStore:
        stamp = _read_stamp(self._path)
        exp = io.load_lazy(self._path)
        if not len(exp):
            message = f"{self._path} holds no samples. Give a result with at least one."
            raise StoreError(message)
        if stamp is None or stamp != _read_stamp(self._path):
            message = f"{self._path} is being saved at this moment. Open it again."
            raise StoreError(message)
        return OpenedStore(exp, stamp, number, render_page(outline_page(exp), "served"))

    def newest(self) -> OpenedStore:
        """Return the store as it is now."""
        with self._lock:
            previous = self._shown
            same = _read_stamp(self._path) == previous.stamp  # made anew, as caches may hold a partly written store
            self._shown = replace(previous) if same else self._opened(previous.number + 1)
            return self._shown

    def numbered(self, number: int) -> OpenedStore:
        """Return the store that a page was made of; raise ``Refusal`` if it was saved again since."""
        store = self._shown
        if store.number != number or _read_stamp(self._path) != store.stamp:
            message = "the result was saved again or removed since; reload the page."
            raise Refusal(HTTPStatus.CONFLICT, message)
        return store


def _read_stamp(path: Path) -> tuple[int, ...] | None:
    """Stamp that changes when a store is saved again; ``None`` without a store."""
    try:
        stat = (path / "zarr.json").stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns, stat.st_size


# --- queries and answers -----------------------------------------------------------------------------


class Query:
    """The query of a request; every value is checked when it is read.

    Args:
        text: The part of the address after the question mark.
    """

    def __init__(self, text: str) -> None:
        try:
            fields = parse_qs(text, keep_blank_values=True, max_num_fields=20, errors="strict")
        except ValueError as error:
            raise Refusal(HTTPStatus.BAD_REQUEST, "the address holds no readable question.") from error
        self._given = {name: values[-1] for name, values in fields.items()}

    def text(self, name: str, *, most: int = _TEXT) -> str:
        """Read a short text; empty if it is missing."""
        value = self._given.get(name, "")
        if len(value) > most:
            raise _bad_value(name, value[:20], f"at most {most} characters")
        return value

    def one_of(self, name: str, options: Sequence[str]) -> str:
        """Read one of some words."""
        value = self.text(name)
        if value not in options:
            raise _bad_value(name, value, f"one of {', '.join(map(repr, options))}")
        return value

    def number(self, name: str) -> float:
        """Read a finite number."""
        value = self.text(name)
        try:
            number_value = float(value)
        except ValueError:
            number_value = math.nan
        if not math.isfinite(number_value):
            raise _bad_value(name, value, "a finite number")
        return number_value

    def count(self, name: str, most: int, least: int = 0) -> int:
        """Read a whole number from ``least`` to ``most``."""
        value = self.text(name)
        count_value = int(value) if re.fullmatch(r"-?[0-9]{1,18}", value) else None
        if count_value is None or not least <= count_value <= most:
            raise _bad_value(name, value, f"a whole number from {least} to {most}")
        return count_value


def _bad_value(name: str, value: str, expected: str) -> Refusal:
    return Refusal(HTTPStatus.BAD_REQUEST, f"{name} is {value!r}; give {expected}.")


def _answer_slice(store: OpenedStore, query: Query) -> dict[str, Any]:
    exp = store.exp
    kind, dims = kind_of(exp)
    if kind == "signal":
        raise Refusal(HTTPStatus.BAD_REQUEST, "signals have no slices; ask for a tile.")
    deepest = exp.input.shape[exp.layout.dims.index(dims[0])] - 1 if len(dims) == 3 else 0
    maps_cut = cut_slice(
        replace(exp, metrics=None), **_parse_map_of_sample(exp, query), at=query.count("at", deepest, least=-1)
    )
    return {
        "picture": _encode_base64(maps_cut.picture, "u1"),
        "planes": len(maps_cut.picture),
        "heat": _encode_base64(maps_cut.heat, "<f4"),
        "deviation": None,
        "strongest": maps_cut.strongest,
        "at": maps_cut.at,
    }


def _answer_tile(store: OpenedStore, query: Query) -> dict[str, Any]:
    if kind_of(store.exp)[0] != "signal":
        raise Refusal(HTTPStatus.BAD_REQUEST, "images and volumes have no tiles; ask for a slice.")
    position = _parse_map_of_sample(store.exp, query)
    columns = query.count("columns", _MOST_COLUMNS, least=1)
    begin, end = query.number("from"), query.number("to")
    tile = store.tiles.tile(**position, begin=begin, end=end, columns=columns, patience=_READ_SECONDS)
    heights = {name: _encode_base64(getattr(tile, name), "<f4") for name in ("low", "high", "heat")}
    return {"x": _encode_base64(tile.x, "<f8"), **heights, "done": tile.done}


def _parse_map_of_sample(exp: Explanation, query: Query) -> dict[str, int]:
    return {"sample": query.count("sample", len(exp) - 1), **_parse_map(exp, query)}


def _parse_map(exp: Explanation, query: Query) -> dict[str, int]:
    sizes = {"target": len(exp.targets), "method": len(exp.methods), "layer": len(exp.layers)}
    return {name: query.count(name, length - 1) for name, length in sizes.items()}


def _parse_sort(exp: Explanation, query: Query) -> str | tuple[int, ...]:
    """Parse the sort key: a column, or the numbers of a metric and a map."""
    sort = query.one_of("sort", (*SORTS, METRIC) if exp.metrics is not None else SORTS)
    if sort != METRIC or exp.metrics is None:
        return sort
    position = _parse_map(exp, query)
    return query.count("metric", exp.metrics.sizes["metric"] - 1), *position.values()


def _answer_samples(store: OpenedStore, query: Query) -> dict[str, Any]:
    shares = {name: query.number(name) if query.text(name) else None for name in ("least", "most")}
    table_query = TableQuery(
        offset=query.count("offset", len(store.exp)),
        limit=query.count("limit", _ROWS),
        sort=_parse_sort(store.exp, query),
        descending=bool(query.text("descending")),
        text=query.text("text"),
        predicted=query.count("predicted", 2**31) if query.text("predicted") else None,
        outcome=query.one_of("outcome", OUTCOMES),
        **shares,
    )
    return store.table.rows(table_query)


ANSWERS: dict[str, Callable[[OpenedStore, Query], dict[str, Any]]] = {
    "tile": _answer_tile,
    "slice": _answer_slice,
    "samples": _answer_samples,
}


def _encode_base64(values: np.ndarray, kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values, kind).tobytes()).decode("ascii")


def as_json(value: Any) -> bytes:
    """Encode as JSON; non-finite numbers become null."""
    return json.dumps(_replace_non_finite(value), allow_nan=False).encode()


def _replace_non_finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _replace_non_finite(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_replace_non_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
