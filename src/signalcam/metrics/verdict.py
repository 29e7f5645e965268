"""Here you find the conclusions from scores: gains over baselines, a text table, and a verdict in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from signalcam.attribution.registry import Method
from signalcam.results.attached_scores import SCORE_DIMS, two_digits
from signalcam.results.statistics import interval, mean

if TYPE_CHECKING:
    import xarray as xr

_MAX_NAMES = 4  # methods named in a sentence
FEWEST = 10  # samples; with fewer the interval of their mean is not reliable
_ARROWS = {"lower": "↓", "higher": "↑", "nearer to 0": "→0"}
Cell = dict[str, Any]


def compare_to_baselines(scores: xr.Dataset, methods: Sequence[Method | str], baselines: Sequence[str]) -> xr.Dataset:
    """Add ranks, and the gain of each method over each baseline; see ``Comparison``.

    Args:
        scores: The scores of a result, see ``Explanation.metrics``.
        methods: All methods, in the order of the table.
        baselines: Names of the baselines among them.
    """
    names = [each.name if isinstance(each, Method) else each for each in methods]
    scores = scores.sel(cam=names)
    value = _orient(scores)
    best, _ = mean(np.moveaxis(value, 1, 0))
    gain = np.stack([value - _at_best_layer(value, best, names.index(each)) for each in baselines])
    differences = np.moveaxis(gain, 2, 0)
    low, high = interval(differences, int(scores.attrs.get("seed", 0)))
    flat = best.reshape(*best.shape[:2], -1)
    ahead = (flat[..., None, :] > flat[..., :, None]).sum(axis=-1)
    rank = np.where(np.isfinite(flat), 1 + ahead, np.nan).reshape(best.shape)
    dims = ("baseline", "metric", *SCORE_DIMS)
    statistics = {"gain": mean(differences)[0], "gain_low": low, "gain_high": high}
    gains: dict[str, Any] = {name: (dims, each) for name, each in statistics.items()}
    coords: dict[str, Any] = {"baseline": list(baselines)}
    if all(isinstance(each, Method) for each in methods):
        coords["passes"] = ("cam", [each.passes for each in methods if isinstance(each, Method)])
    return scores.assign_coords(coords).assign(rank=(("metric", *SCORE_DIMS), rank), **gains)


def _at_best_layer(value: np.ndarray, best: np.ndarray, method: int) -> np.ndarray:
    """A baseline's values at its best layer, ``(metric, sample, target, 1, 1)``.

    At a poor layer it would be easy to beat, and nobody would use it there.
    """
    ranked = np.where(np.isfinite(best), best, -np.inf)[:, :, method]
    layer = ranked.argmax(axis=-1)[:, None, :, None]
    return np.take_along_axis(value[:, :, :, method], layer, axis=-1)[..., None]


def _orient(scores: xr.Dataset) -> np.ndarray:
    """The values ``(metric, sample, target, cam, layer)``, with the sign such that more is better."""
    value = scores["value"].transpose("metric", "sample", *SCORE_DIMS).values
    better = scores["better"].values.reshape(-1, 1, 1, 1, 1)
    signed = np.where(better == "lower", -value, value)
    oriented: np.ndarray = np.where(better == "nearer to 0", -np.abs(value), signed)
    return oriented


def verdict(table: xr.Dataset) -> str:
    """Return which methods beat all baselines, metric by metric, and whether to read the maps at all.

    A method beats a baseline if the 95 % interval of the difference on the same samples is above 0.
    """
    count = int(table["count"].max())
    if count < FEWEST:
        return f"{count} samples are too few to tell a difference from none: give {FEWEST} at least, better a hundred. No verdict."
    winners = {name: _find_winners(table.sel({"metric": name})) for name in table["metric"].values.tolist()}
    return "\n".join(
        [
            _overall_sentence(table, winners),
            *(_metric_sentence(table.sel({"metric": name}), won) for name, won in winners.items()),
        ]
    )


def _overall_sentence(table: xr.Dataset, winners: dict[str, list[str]]) -> str:
    """The overall conclusion, as one sentence."""
    beaten, names = _and(table["baseline"].values.tolist()), list(winners)
    always = [each for each in rows(table) if all(each in won for won in winners.values())]
    if not any(winners.values()):
        return f"No method beats {beaten} on {_or(names)}: do not read these maps."
    if always:
        return f"{_beat_text(always, rows(table))} {beaten} on {_and(names)}: there, {'their' if len(always) > 1 else 'its'} maps tell more than these baselines."
    lost = [name for name, won in winners.items() if not won]
    but = f"no method does on {_or(lost)}" if lost else "on each another one"
    return f"No method beats {beaten} on every metric ({but}): read these maps with care."


def _metric_sentence(row: xr.Dataset, won: Sequence[str]) -> str:
    """The conclusion for one metric."""
    name, better = str(row["metric"].item()), str(row["better"].item())
    rows_of_methods = {baseline: row.sel(cell) for baseline, cell in rows(row).items()}
    ranks = {baseline: float(one["rank"]) for baseline, one in rows_of_methods.items() if np.isfinite(one["rank"])}
    if not ranks:
        return f"{name}: defined for no sample."
    best = min(ranks, key=lambda baseline: ranks[baseline])
    start = f"{name} ({better} is better): best is {best} with {two_digits(rows_of_methods[best]['mean'])}; "
    baselines = row["baseline"].values.tolist()
    gains = ", ".join(
        f"{_gain_text(rows_of_methods[best].sel(baseline=baseline))} than {baseline}" for baseline in baselines
    )
    end = (
        f"{_beat_text(won, rows_of_methods)} all baselines."
        if won
        else f"No method beats {_unbeaten_baselines(row, rows_of_methods)}."
    )
    return f"{start}{gains}. {end}"


def _beat_text(words: Sequence[str], all_methods: Sequence[str] | dict[str, Any]) -> str:
    """Start of a sentence: the methods that beat, or their number if there are many."""
    if len(words) > _MAX_NAMES:
        return f"{len(words)} of {len(all_methods)} beat"
    return f"{_and(words)} {'beat' if len(words) > 1 else 'beats'}"


def _gain_text(one: xr.Dataset) -> str:
    gain, low, high = (float(one[each]) for each in ("gain", "gain_low", "gain_high"))
    if gain < 0:
        gain, low, high = -gain, -high, -low
    word = "better" if float(one["gain"]) >= 0 else "worse"
    return f"{two_digits(gain)} ({two_digits(low)} to {two_digits(high)}) {word}"


def _unbeaten_baselines(row: xr.Dataset, rows_of_methods: dict[str, xr.Dataset]) -> str:
    """The baselines that no method beats; all of them if each is beaten, but by different methods."""
    baselines = row["baseline"].values.tolist()
    unbeaten = [
        baseline
        for baseline in baselines
        if not any(one["gain_low"].sel(baseline=baseline) > 0 for one in rows_of_methods.values())
    ]
    return _or(unbeaten) if unbeaten else f"both {_and(baselines)}"


def _find_winners(row: xr.Dataset) -> list[str]:
    return [name for name, cell in rows(row).items() if bool((row.sel(cell)["gain_low"] > 0).all())]


def rows(table: xr.Dataset, *, baselines: bool = False) -> dict[str, Cell]:
    """Selections of a table for each method, layer and target, by a distinct name."""
    baseline_names = set(table["baseline"].values.tolist())
    cells = [
        {"target": target, "cam": method, "layer": layer}
        for target in table["target"].values.tolist()
        for method in table["cam"].values.tolist()
        for layer in table["layer"].values.tolist()
        if (method in baseline_names) == baselines
    ]
    return {_row_name(table, cell): cell for cell in cells}


def _row_name(table: xr.Dataset, cell: Cell) -> str:
    """The name of a method, with layer and target if there are several."""
    layer = f" at {cell['layer']}" if table["layer"].size > 1 else ""
    target = f" for {cell['target']}" if table["target"].size > 1 else ""
    return f"{cell['cam']}{layer}{target}"


def as_text(table: xr.Dataset) -> str:
    """Format the table as text: one row a method, one column a metric, a star if all baselines are beaten."""
    names = table["metric"].values.tolist()
    arrows = [_ARROWS[each] for each in table["better"].values.tolist()]
    head = [
        "",
        *(f"{name} {arrow}" for name, arrow in zip(names, arrows, strict=True)),
        *(["ms/sample"] if "seconds" in table.coords else []),
    ]
    method_rows = [[name, *_format_row(table.sel(cell))] for name, cell in rows(table).items()]
    baseline_rows = [[name, *_format_row(table.sel(cell))] for name, cell in rows(table, baselines=True).items()]
    widths = [max(map(len, column)) for column in zip(head, *method_rows, *baseline_rows, strict=True)]
    line = "  ".join("-" * width for width in widths)
    lines = [
        _align_cells(head, widths),
        line,
        *(_align_cells(each, widths) for each in method_rows),
        line,
        *(_align_cells(each, widths) for each in baseline_rows),
    ]
    count = int(table["count"].max())
    return "\n".join(
        [*lines, f"{count} samples: mean (95 % interval) #rank; * beats every baseline on the same samples"]
    )


def _format_row(one: xr.Dataset) -> list[str]:
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


def _align_cells(words: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(word.ljust(width) for word, width in zip(words, widths, strict=True)).rstrip()


def _and(words: Sequence[str]) -> str:
    return _join_words(words, "and")


def _or(words: Sequence[str]) -> str:
    return _join_words(words, "or")


def _join_words(words: Sequence[str], last: str) -> str:
    return f"{', '.join(words[:-1])} {last} {words[-1]}" if len(words) > 1 else "".join(words)
