"""What follows from scores: gains over baselines on the same samples, a table for the terminal, and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from signalcam.attribution.registry import Method
from signalcam.results.attached_scores import SCORE_DIMS, two_digits
from signalcam.results.statistics import interval, mean

if TYPE_CHECKING:
    import xarray as xr

_NAMED = 4  # methods in a sentence
FEWEST = 10  # samples, below which an interval of their mean is worth little
_ARROWS = {"lower": "↓", "higher": "↑", "nearer to 0": "→0"}
Cell = dict[str, Any]


def compare_to_baselines(scores: xr.Dataset, methods: Sequence[Method | str], beside: Sequence[str]) -> xr.Dataset:
    """Add ranks, and what each method gains over each baseline; see ``Comparison``.

    Args:
        scores: What a result carries, see ``Explanation.metrics``.
        methods: All of them, in the order wanted.
        beside: Names of those that are baselines.
    """
    names = [each.name if isinstance(each, Method) else each for each in methods]
    scores = scores.sel(cam=names)
    value = _oriented(scores)
    best, _ = mean(np.moveaxis(value, 1, 0))
    gain = np.stack([value - _at_its_best(value, best, names.index(each)) for each in beside])
    differences = np.moveaxis(gain, 2, 0)
    low, high = interval(differences, int(scores.attrs.get("seed", 0)))
    flat = best.reshape(*best.shape[:2], -1)
    ahead = (flat[..., None, :] > flat[..., :, None]).sum(axis=-1)
    rank = np.where(np.isfinite(flat), 1 + ahead, np.nan).reshape(best.shape)
    dims = ("baseline", "metric", *SCORE_DIMS)
    found = {"gain": mean(differences)[0], "gain_low": low, "gain_high": high}
    gains: dict[str, Any] = {name: (dims, each) for name, each in found.items()}
    coords: dict[str, Any] = {"baseline": list(beside)}
    if all(isinstance(each, Method) for each in methods):
        coords["passes"] = ("cam", [each.passes for each in methods if isinstance(each, Method)])
    return scores.assign_coords(coords).assign(rank=(("metric", *SCORE_DIMS), rank), **gains)


def _at_its_best(value: np.ndarray, best: np.ndarray, method: int) -> np.ndarray:
    """A baseline's values at the layer where it does best, ``(metric, sample, target, 1, 1)``.

    At a poor layer it would be easily beaten, and nobody has to take it from there.
    """
    ranked = np.where(np.isfinite(best), best, -np.inf)[:, :, method]
    layer = ranked.argmax(axis=-1)[:, None, :, None]
    return np.take_along_axis(value[:, :, :, method], layer, axis=-1)[..., None]


def _oriented(scores: xr.Dataset) -> np.ndarray:
    """``(metric, sample, target, cam, layer)``, of which more is better whichever way a metric runs."""
    value = scores["value"].transpose("metric", "sample", *SCORE_DIMS).values
    better = scores["better"].values.reshape(-1, 1, 1, 1, 1)
    signed = np.where(better == "lower", -value, value)
    found: np.ndarray = np.where(better == "nearer to 0", -np.abs(value), signed)
    return found


def verdict(table: xr.Dataset) -> str:
    """Say which methods beat all baselines, metric by metric, and whether to read the maps at all.

    A method beats a baseline where the 95 % interval of the difference on the same samples lies above 0.
    """
    count = int(table["count"].max())
    if count < FEWEST:
        return f"{count} samples are too few to tell a difference from none: give {FEWEST} at least, better a hundred. No verdict."
    winners = {name: _winners(table.sel({"metric": name})) for name in table["metric"].values.tolist()}
    return "\n".join(
        [_whole(table, winners), *(_one(table.sel({"metric": name}), won) for name, won in winners.items())]
    )


def _whole(table: xr.Dataset, winners: dict[str, list[str]]) -> str:
    """The sentence to act upon."""
    beaten, names = _and(table["baseline"].values.tolist()), list(winners)
    always = [each for each in rows(table) if all(each in won for won in winners.values())]
    if not any(winners.values()):
        return f"No method beats {beaten} on {_or(names)}: do not read these maps."
    if always:
        return f"{_beat(always, rows(table))} {beaten} on {_and(names)}: there, {'their' if len(always) > 1 else 'its'} maps tell more than these baselines."
    lost = [name for name, won in winners.items() if not won]
    but = f"no method does on {_or(lost)}" if lost else "on each another one"
    return f"No method beats {beaten} on every metric ({but}): read these maps with care."


def _one(row: xr.Dataset, won: Sequence[str]) -> str:
    """The sentence of one metric."""
    name, better = str(row["metric"].item()), str(row["better"].item())
    own = {each: row.sel(cell) for each, cell in rows(row).items()}
    ranks = {each: float(one["rank"]) for each, one in own.items() if np.isfinite(one["rank"])}
    if not ranks:
        return f"{name}: defined for no sample."
    best = min(ranks, key=lambda each: ranks[each])
    start = f"{name} ({better} is better): best is {best} with {two_digits(own[best]['mean'])}; "
    every = row["baseline"].values.tolist()
    gains = ", ".join(f"{_gain(own[best].sel(baseline=each))} than {each}" for each in every)
    end = f"{_beat(won, own)} all baselines." if won else f"No method beats {_unbeaten(row, own)}."
    return f"{start}{gains}. {end}"


def _beat(words: Sequence[str], every: Sequence[str] | dict[str, Any]) -> str:
    """Who beats; a number where there are many, as the table has the stars."""
    if len(words) > _NAMED:
        return f"{len(words)} of {len(every)} beat"
    return f"{_and(words)} {'beat' if len(words) > 1 else 'beats'}"


def _gain(one: xr.Dataset) -> str:
    gain, low, high = (float(one[each]) for each in ("gain", "gain_low", "gain_high"))
    if gain < 0:
        gain, low, high = -gain, -high, -low
    word = "better" if float(one["gain"]) >= 0 else "worse"
    return f"{two_digits(gain)} ({two_digits(low)} to {two_digits(high)}) {word}"


def _unbeaten(row: xr.Dataset, own: dict[str, xr.Dataset]) -> str:
    """The baselines that no method beats; all of them where each is beaten, but by other methods."""
    every = row["baseline"].values.tolist()
    free = [each for each in every if not any(one["gain_low"].sel(baseline=each) > 0 for one in own.values())]
    return _or(free) if free else f"both {_and(every)}"


def _winners(row: xr.Dataset) -> list[str]:
    return [name for name, cell in rows(row).items() if bool((row.sel(cell)["gain_low"] > 0).all())]


def rows(table: xr.Dataset, *, baselines: bool = False) -> dict[str, Cell]:
    """Where in a table each method is, at each layer and for each target, by what tells it from the others."""
    beside = set(table["baseline"].values.tolist())
    cells = [
        {"target": target, "cam": method, "layer": layer}
        for target in table["target"].values.tolist()
        for method in table["cam"].values.tolist()
        for layer in table["layer"].values.tolist()
        if (method in beside) == baselines
    ]
    return {_name(table, cell): cell for cell in cells}


def _name(table: xr.Dataset, cell: Cell) -> str:
    """A method, and what else must be said to tell it from others."""
    layer = f" at {cell['layer']}" if table["layer"].size > 1 else ""
    target = f" for {cell['target']}" if table["target"].size > 1 else ""
    return f"{cell['cam']}{layer}{target}"


def as_text(table: xr.Dataset) -> str:
    """The table: a row a method, a column a metric: mean, interval, rank; a star where all baselines are beaten."""
    names = table["metric"].values.tolist()
    arrows = [_ARROWS[each] for each in table["better"].values.tolist()]
    head = [
        "",
        *(f"{name} {arrow}" for name, arrow in zip(names, arrows, strict=True)),
        *(["ms/sample"] if "seconds" in table.coords else []),
    ]
    own = [[name, *_row(table.sel(cell))] for name, cell in rows(table).items()]
    beside = [[name, *_row(table.sel(cell))] for name, cell in rows(table, baselines=True).items()]
    widths = [max(map(len, column)) for column in zip(head, *own, *beside, strict=True)]
    line = "  ".join("-" * width for width in widths)
    lines = [
        _aligned(head, widths),
        line,
        *(_aligned(each, widths) for each in own),
        line,
        *(_aligned(each, widths) for each in beside),
    ]
    count = int(table["count"].max())
    return "\n".join(
        [*lines, f"{count} samples: mean (95 % interval) #rank; * beats every baseline on the same samples"]
    )


def _row(one: xr.Dataset) -> list[str]:
    cells = []
    for name in one["metric"].values.tolist():
        here = one.sel({"metric": name})
        star = "*" if bool((here["gain_low"] > 0).all()) else " "
        low, high = two_digits(here["low"]), two_digits(here["high"])
        rank = f"{float(here['rank']):.0f}" if np.isfinite(here["rank"]) else "-"
        cells.append(f"{two_digits(here['mean'])} ({low} to {high}) #{rank}{star}")
    if "seconds" not in one.coords:
        return cells
    cost = 1000 * float(one["seconds"])
    return [*cells, f"{cost:.0f}" if cost >= 10 else f"{cost:.2g}"]


def _aligned(words: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(word.ljust(width) for word, width in zip(words, widths, strict=True)).rstrip()


def _and(words: Sequence[str]) -> str:
    return _listed(words, "and")


def _or(words: Sequence[str]) -> str:
    return _listed(words, "or")


def _listed(words: Sequence[str], last: str) -> str:
    return f"{', '.join(words[:-1])} {last} {words[-1]}" if len(words) > 1 else "".join(words)
