"""Every metric of what is removed, against loops and against what must hold exactly."""

import warnings
from itertools import permutations

import numpy as np
import pytest

import signalcam as sc
from signalcam.metrics import find, metrics, names
from signalcam.metrics.aggregate import MetricValues, concatenate_values
from signalcam.metrics.imputers import as_imputer
from signalcam.metrics.out_of_distribution import warn_of_confidence
from signalcam.metrics.perturbation import PerturbedAxes, PerturbedUnits, ranks
from signalcam.results.statistics import interval, mean
from unit.scored import FIRST, LAST, squashed, study, total

SAMPLES, LENGTH = 5, 12
CURVES = [
    "deletion",
    "insertion",
    "road",
    "road-morf",
    "road-lerf",
    "area-between-curves",
    "deletion-normalised",
    "insertion-normalised",
]


@pytest.fixture
def x(rng):
    return rng.standard_normal((SAMPLES, 2, LENGTH))


@pytest.fixture
def weights(rng):
    return rng.standard_normal((2, LENGTH))


@pytest.fixture
def maps(rng):
    return rng.standard_normal((SAMPLES, LENGTH))


def values(name, of, **options):
    return find(name, **options).values(of)


# --- ranking -------------------------------------------------------------------------------------


def test_ranks_are_a_permutation_with_the_largest_first(maps):
    found = ranks(maps, 0)
    for row, own in zip(found, maps, strict=True):
        assert sorted(row) == list(range(LENGTH))
        assert (np.diff(own[np.argsort(row)]) <= 0).all()


def test_a_map_that_is_half_zero_loses_exactly_as_much_as_was_asked_for():
    maps = np.maximum(np.random.default_rng(0).standard_normal((3, 100)), 0)
    of = study(np.ones((3, 1, 100)), maps, total(np.ones((1, 100))), steps=10)
    for order in (FIRST, LAST):
        np.testing.assert_allclose(of.curve(order, "zero"), [np.arange(100, -1, -10)] * 3)


def test_ties_fall_by_chance_and_the_same_again():
    flat = np.zeros((2, 50))
    one, again, other = ranks(flat, 0), ranks(flat, 0), ranks(flat, 1)
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()
    assert (one[0] != one[1]).any()
    assert abs(np.corrcoef(one[0], np.arange(50))[0, 1]) < 0.5


# --- layout --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dims", "map_axes"),
    [
        (("batch", "channel", "time"), (2,)),
        (("batch", "time", "channel"), (1,)),
        (("batch", "channel", "time"), (1, 2)),
        (("batch", "_", "time", "channel"), (2, 3)),
        (("batch", "height", "width", "channel"), (1, 2)),
    ],
)
def test_layout_is_undone_and_masks_follow_it(dims, map_axes, rng):
    x = rng.standard_normal((3, 4, 5, 2)[: len(dims)])
    axes = PerturbedAxes.of(map_axes, dims)
    np.testing.assert_array_equal(axes.back(axes.rows(x), x.shape), x)
    known = rng.random((3, *[x.shape[i] for i in map_axes])) > 0.5
    direct = np.where(axes.wide(known, x.ndim), x, 0)
    rows = np.where(axes.mask_rows(known)[:, None], axes.rows(x), 0)
    np.testing.assert_array_equal(axes.back(rows, x.shape), direct)


def test_units_are_windows_with_a_shorter_last_one(rng):
    units, maps = PerturbedUnits((7, 5), (3, 2)), rng.standard_normal((2, 7, 5))
    assert units.shape == (3, 3)
    sums, means = units.sums(maps), units.means(maps)
    numbers = np.arange(9)[None]
    spread = units.spread(numbers)[0]
    for unit in range(9):
        np.testing.assert_allclose(sums[:, unit], maps[:, spread == unit].sum(1))
        np.testing.assert_allclose(means[:, unit], maps[:, spread == unit].mean(1))
    assert spread[6, 4] == 8


# --- curves --------------------------------------------------------------------------------------


def curve_by_hand(x, maps, function, steps, fill, *, most_first=True):
    """Sort, take away one more handful, ask again."""
    found = []
    for sample, own in zip(x, maps, strict=True):
        order = sorted(range(len(own)), key=lambda place: -own[place] if most_first else own[place])
        scores = []
        for step in range(steps + 1):
            changed = sample.copy()
            known = np.ones(len(own), bool)
            for place in order[: int(np.floor(step * len(own) / steps + 0.5))]:
                known[place] = False
            changed = fill(sample, known)
            scores.append(function(changed[None])[0])
        found.append(scores)
    return np.asarray(found)


def zeros(sample, known):
    return np.where(known, sample, 0)


def lines(sample, known):
    if not known.any():
        return sample.mean(1, keepdims=True) + np.zeros_like(sample)
    return np.stack([np.interp(range(len(known)), np.flatnonzero(known), line[known]) for line in sample])


def by_trapezoids(curve, shares):
    return sum((b - a) * (f + g) / 2 for a, b, f, g in zip(shares, shares[1:], curve, curve[1:], strict=False))


@pytest.mark.parametrize("steps", [3, 5, 12])
def test_deletion_is_the_area_of_a_loop(steps, x, maps, weights):
    of = study(x, maps, squashed(weights), steps=steps)
    curves = curve_by_hand(x, maps, squashed(weights), steps, zeros)
    wanted = [by_trapezoids(each, of.fractions) for each in curves]
    np.testing.assert_allclose(values("deletion", of), wanted, atol=1e-12)


def test_insertion_puts_the_most_relevant_into_an_empty_sample(x, maps, weights):
    of, wanted = study(x, maps, squashed(weights), steps=4), []
    for sample, own in zip(x, maps, strict=True):
        order, scores = np.argsort(-own), []
        for count in (0, 3, 6, 9, 12):
            shown = np.zeros_like(sample)
            shown[:, order[:count]] = sample[:, order[:count]]
            scores.append(squashed(weights)(shown[None])[0])
        wanted.append(by_trapezoids(scores, (0, 0.25, 0.5, 0.75, 1)))
    np.testing.assert_allclose(values("insertion", of, imputer="zero"), wanted, atol=1e-12)


def test_road_is_half_the_gap_of_interpolated_loops(x, maps, weights):
    function, exact = squashed(weights), sc.metrics.Linear(noise=0)
    of = study(x, maps, function, steps=4, imputer=exact)
    most = curve_by_hand(x, maps, function, 4, lines)[:, 1:-1].mean(1)
    least = curve_by_hand(x, maps, function, 4, lines, most_first=False)[:, 1:-1].mean(1)
    np.testing.assert_allclose(values("road-morf", of), most, atol=1e-9)
    np.testing.assert_allclose(values("road-lerf", of), least, atol=1e-9)
    np.testing.assert_allclose(values("road", of), (least - most) / 2, atol=1e-9)


def test_area_between_curves_is_the_difference_of_two_areas(x, maps, weights):
    of = study(x, maps, squashed(weights))
    most, least = of.curve(FIRST, "mean"), of.curve(LAST, "mean")
    wanted = [by_trapezoids(each, of.fractions) for each in least - most]
    np.testing.assert_allclose(values("area-between-curves", of), wanted, atol=1e-12)


@pytest.mark.parametrize("name", ["deletion", "insertion", "road-morf", "road-lerf"])
def test_a_model_that_never_changes_its_mind_scores_what_it_says(name, x, maps):
    np.testing.assert_allclose(values(name, study(x, maps, lambda x: np.full(len(x), 0.3))), 0.3)


@pytest.mark.parametrize("name", ["road", "area-between-curves"])
def test_a_model_that_never_changes_its_mind_tells_no_maps_apart(name, x, maps):
    np.testing.assert_allclose(values(name, study(x, maps, lambda x: np.full(len(x), 0.3))), 0, atol=1e-12)


def test_no_order_deletes_faster_than_that_of_a_linear_models_parts(rng):
    x, weights = rng.standard_normal((1, 1, 5)), rng.standard_normal((1, 5))
    parts = (x * weights)[:, 0]
    best = values("deletion", study(x, parts, total(weights), steps=5))
    orders = np.asarray(list(permutations(range(5))), float)
    every = study(np.repeat(x, len(orders), 0), orders, total(weights), steps=5)
    np.testing.assert_allclose(best[0], values("deletion", every).min(), atol=1e-12)


def test_turning_a_map_over_swaps_the_two_orders(x, maps, weights):
    one, other = (study(x, each, squashed(weights)) for each in (maps, -maps))
    np.testing.assert_allclose(one.curve(FIRST, "zero"), other.curve(LAST, "zero"), atol=1e-12)
    np.testing.assert_allclose(values("road", one, imputer="zero"), -values("road", other, imputer="zero"))


@pytest.mark.parametrize("name", CURVES)
def test_only_the_order_of_a_map_counts(name, x, maps, weights):
    one, other = (study(x, each, squashed(weights)) for each in (maps, np.exp(3 * maps)))
    np.testing.assert_allclose(values(name, one), values(name, other))


def test_normalised_curve_runs_from_one_to_nothing(x, maps, weights):
    function = squashed(weights)
    of = study(x, maps, function)
    curve = of.curve(FIRST, "zero")
    scaled = (curve - curve[:, -1:]) / (curve[:, :1] - curve[:, -1:])
    np.testing.assert_allclose(
        values("deletion-normalised", of), [by_trapezoids(each, of.fractions) for each in scaled]
    )
    assert np.isnan(values("deletion-normalised", study(x, maps, lambda x: np.ones(len(x))))).all()


@pytest.mark.parametrize("name", CURVES)
def test_a_volume_scores_as_the_signal_it_is_flattened_to(name, rng):
    x, maps, weights = (
        rng.standard_normal((2, 1, 3, 4, 2)),
        rng.standard_normal((2, 3, 4, 2)),
        rng.standard_normal((1, 24)),
    )
    function = squashed(weights)
    volume = study(x, maps, lambda x: function(x.reshape(len(x), 1, 24)))
    signal = study(x.reshape(2, 1, 24), maps.reshape(2, 24), function)
    np.testing.assert_allclose(values(name, volume, imputer="mean"), values(name, signal, imputer="mean"))


def test_a_curve_that_two_metrics_read_is_run_once(x, maps, weights):
    of = study(x, maps, squashed(weights))
    values("deletion", of)
    before = of.asker.rows
    values("deletion-normalised", of)
    assert of.asker.rows == before


def test_windows_go_as_a_whole(x, maps):
    seen = []

    def look(x):
        seen.append(x[:, 0] == 0)
        return np.ones(len(x))

    study(x + 9, maps, look, width=4, steps=3).curve(FIRST, "zero")
    gone = np.concatenate(seen).reshape(-1, 3, 4)
    assert (gone.all(2) | ~gone.any(2)).all()


# --- seen through a map --------------------------------------------------------------------------


def seen_through(x, maps, function):
    """For each sample the score of the sample, and of what the scaled map lets through."""
    own, shown = [], []
    for sample, each in zip(x, maps, strict=True):
        m = (each - each.min()) / (each.max() - each.min())
        own.append(function(sample[None])[0])
        shown.append(function((sample * m)[None])[0])
    return np.asarray(own), np.asarray(shown)


def test_drop_increase_and_gain_are_those_of_a_loop(x, maps, weights):
    of, (p, o) = study(x, maps, squashed(weights)), seen_through(x, maps, squashed(weights))
    np.testing.assert_allclose(values("average-drop", of), [max(0, a - b) / a for a, b in zip(p, o, strict=True)])
    np.testing.assert_allclose(values("increase-in-confidence", of), [float(b > a) for a, b in zip(p, o, strict=True)])
    np.testing.assert_allclose(values("average-gain", of), [max(0, b - a) / (1 - a) for a, b in zip(p, o, strict=True)])


def test_a_map_that_hides_almost_nothing_drops_almost_nothing(weights, x):
    fake = np.ones((SAMPLES, LENGTH))
    fake[:, 0] = 0
    weights[:, 0] = 0
    of = study(x, fake, lambda x: total(weights)(x) ** 2)
    np.testing.assert_allclose(values("average-drop", of), 0, atol=1e-12)
    np.testing.assert_allclose(values("complexity", of), (LENGTH - 1) / LENGTH)


def test_adcc_is_a_harmonic_mean(x, maps, weights):
    again = np.random.default_rng(3).standard_normal(maps.shape)
    of = study(x, maps, squashed(weights), explain=lambda _: again)
    wanted = []
    for m, a, drop, cx in zip(maps, again, values("average-drop", of), values("complexity", of), strict=True):
        ch = (1 + np.corrcoef(m, a)[0, 1]) / 2
        wanted.append(3 / (1 / ch + 1 / (1 - cx) + 1 / (1 - drop)))
    np.testing.assert_allclose(values("adcc", of), wanted)


def test_coherency_is_one_where_the_map_comes_back_and_nothing_where_it_is_turned_over(x, maps, weights):
    for sign, wanted in ((1, 1), (-1, 0)):
        of = study(x, maps, squashed(weights), explain=lambda _, sign=sign: sign * maps * 5 + 1)
        np.testing.assert_allclose(values("coherency", of), wanted, atol=1e-9)


def test_a_constant_map_has_no_drop(x, maps, weights):
    maps[2] = 0.7
    of = study(x, maps, squashed(weights), explain=lambda _: maps)
    for name in ("average-drop", "average-gain", "increase-in-confidence", "complexity", "coherency", "adcc"):
        assert np.isnan(values(name, of)).tolist() == [False, False, True, False, False], name


def test_a_score_of_nothing_has_no_drop(x, maps):
    of = study(x, maps, lambda x: np.zeros(len(x)))
    assert np.isnan(values("average-drop", of)).all()


def test_gain_is_for_probabilities(x, maps, weights):
    with pytest.raises(sc.MethodError, match="measure='probability'"):
        values("average-gain", study(x, maps, total(weights), measure="logit"))


def test_without_a_way_to_explain_again_coherency_is_refused(x, maps, weights):
    with pytest.raises(sc.MethodError, match="explainer="):
        values("coherency", study(x, maps, total(weights)))


# --- random sets ---------------------------------------------------------------------------------


@pytest.fixture
def linear(x, weights):
    """A linear model, and the map that says exactly what each position adds."""
    return study(x, (x * weights).sum(1), total(weights))


def test_a_linear_models_parts_are_perfectly_faithful(linear):
    np.testing.assert_allclose(values("infidelity-unscaled", linear), 0, atol=1e-12)
    np.testing.assert_allclose(values("infidelity", linear), 0, atol=1e-12)
    np.testing.assert_allclose(values("mufidelity", linear), 1)
    np.testing.assert_allclose(values("sensitivity-n", linear), 1)


def test_infidelity_does_not_know_a_maps_units(x, maps, weights):
    one, other = (study(x, each, squashed(weights)) for each in (maps, 40 * maps))
    np.testing.assert_allclose(values("infidelity", one), values("infidelity", other))
    assert (values("infidelity", one) <= values("infidelity-unscaled", one) + 1e-12).all()


def test_the_best_factor_is_the_best_of_many(x, maps, weights):
    best = values("infidelity", study(x, maps, squashed(weights)))
    for factor in np.linspace(-1, 1, 81):
        worse = values("infidelity-unscaled", study(x, factor * maps, squashed(weights)))
        assert (best <= worse + 1e-12).all()


def test_a_blank_map_promises_nothing_and_the_infidelity_is_what_is_lost(x, weights):
    of = study(x, np.zeros((SAMPLES, LENGTH)), total(weights))
    np.testing.assert_allclose(values("infidelity", of), values("infidelity-unscaled", of))
    assert np.isnan(values("mufidelity", of)).all()


def test_mufidelity_is_spearmans_correlation(x, maps, weights):
    stats = pytest.importorskip("scipy.stats")
    of = study(x, np.round(maps), squashed(weights))
    pick = of.subsets(0.2 * LENGTH, 200, 1)
    lost = of.score[:, None] - of.removed(200, pick, "zero")
    wanted = [
        stats.spearmanr([np.round(maps)[i][each].sum() for each in pick(i)], lost[i]).statistic for i in range(SAMPLES)
    ]
    np.testing.assert_allclose(values("mufidelity", of), wanted)


def test_random_sets_have_the_size_asked_for_and_are_each_samples_own(x, maps, weights):
    of = study(x, maps, total(weights))
    pick = of.subsets(3, 50, 0)
    assert (pick(0).sum(1) == 3).all()
    assert (pick(0) != pick(1)).any()
    np.testing.assert_array_equal(pick(1), of.subsets(3, 50, 0)(1))


def test_sure_removal_of_the_top_set_is_deletion_without_its_start(x, maps, weights):
    of = study(x, maps, squashed(weights), steps=4)
    curve = of.curve(FIRST, "zero")
    np.testing.assert_allclose(
        values("r-fidelity-plus", of, alpha=1.0, trials=2), (curve[:, :1] - curve[:, 1:]).mean(1)
    )


def test_sure_removal_of_the_rest_is_the_other_order(x, maps, weights):
    of = study(x, maps, squashed(weights), steps=4)
    curve = of.curve(LAST, "zero")  # keeping the top 3, 6, 9 takes the last 9, 6, 3 away
    np.testing.assert_allclose(
        values("r-fidelity-minus", of, alpha=1.0, trials=2), (curve[:, :1] - curve[:, 1:-1]).mean(1)
    )


def test_removal_at_random_takes_its_share(x):
    of = study(np.ones((2, 1, 200)), np.arange(400.0).reshape(2, 200), total(np.ones((1, 200))))
    found = values("r-fidelity-plus", of, alpha=0.3, trials=200)
    np.testing.assert_allclose(found, 0.3 * np.mean([50, 100, 150, 200]), rtol=0.02)


def test_fine_tuned_fidelity_never_removes_more_than_the_model_was_tuned_on(x):
    ones, maps = np.ones((2, 1, 200)), np.arange(400.0).reshape(2, 200)
    other = study(ones, maps, total(np.ones((1, 200))))
    of = study(ones, maps, lambda x: np.zeros(len(x)), retrained=other)
    found = values("f-fidelity-plus", of, beta=0.1, trials=200)
    np.testing.assert_allclose(found, 0.1 * 200, rtol=0.03)


def test_fine_tuned_fidelity_without_a_fine_tuned_model_is_refused(x, maps, weights):
    with pytest.raises(sc.MethodError, match="fine_tuned="):
        values("f-fidelity-plus", study(x, maps, total(weights)))


# --- time series ---------------------------------------------------------------------------------


@pytest.mark.parametrize("imputer", ["zero", "mean", "inverse", "swap", "segment-mean"])
def test_schlegels_quality_is_the_loss_beyond_that_of_a_random_choice(imputer, maps, rng):
    x, weights = rng.standard_normal((SAMPLES, 2, 60)), rng.standard_normal((2, 60))
    maps = rng.standard_normal((SAMPLES, 60))
    of = study(x, maps, squashed(weights), width=3)
    found, units = values(f"schlegel-{imputer}", of), maps.reshape(SAMPLES, 20, 3).mean(2)
    chance = of.removed(5, of.subsets(2, 5, 200), imputer).mean(1)
    for sample in range(SAMPLES):
        known = np.ones(60, bool)
        for unit in np.argsort(-units[sample])[:2]:
            known[3 * unit : 3 * unit + 3] = False
        changed = as_imputer(imputer).fill(x[sample][None], known[None], None)
        assert found[sample] == pytest.approx(chance[sample] - squashed(weights)(changed)[0])


def test_interpret_time_follows_the_authors_steps(rng):
    x, weights = rng.standard_normal((3, 1, 80)), rng.standard_normal((1, 80))
    maps, function = rng.standard_normal((3, 80)), squashed(weights)
    maps[:, :10] = 0
    of = study(x, maps, function)
    tops, bottoms = (values(f"interpret-time-{each}", of, imputer="zero") for each in ("top", "bottom"))
    for sample, own in enumerate(maps):
        score, order = function(x[sample][None])[0], np.argsort(-own, kind="stable")
        positive, zero = int((own > 0).sum()), int((own == 0).sum())
        curves = {"top": [(0.0, 0.0)], "bottom": [(0.0, 0.0)]}
        for k in np.arange(0.05, 1.001, 0.05):
            count = int(np.floor(k * positive + 0.5))
            sets = {"top": order[:count], "bottom": order[positive - count : positive + zero]}
            for name, gone in sets.items():
                changed = x[sample].copy()
                changed[:, gone] = 0
                share = len(gone) / 80
                if share - curves[name][-1][0] >= 0.01:
                    curves[name].append((share, (score - function(changed[None])[0]) / score))
        curves["top"].append((1.0, curves["top"][-1][1]))
        bottom = [(share, max(0, lost)) for share, lost in curves["bottom"]]
        assert tops[sample] == pytest.approx(by_trapezoids(*[[p[i] for p in curves["top"]] for i in (1, 0)]))
        assert bottoms[sample] == pytest.approx(by_trapezoids(*[[p[i] for p in bottom] for i in (1, 0)]))
    f1 = values("interpret-time-f1", of, imputer="zero")
    np.testing.assert_allclose(f1, tops * (1 - bottoms) / (tops + 1 - bottoms))


def test_interpret_time_of_a_map_without_anything_positive_is_not_defined(x, maps, weights):
    of = study(x, -np.abs(maps), squashed(weights))
    assert np.isnan(values("interpret-time-top", of)).all()
    assert np.isnan(values("interpret-time-f1", of)).all()


# --- all of them ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", names())
def test_a_sample_does_not_see_its_batch(name, x, maps, weights):
    function = squashed(weights)

    def make(rows):
        again = study(x[rows], maps[rows], function, explain=lambda x: x[:, 0])
        again.retrained = study(x[rows], maps[rows], function)
        return values(name, again)

    np.testing.assert_allclose(make(slice(0, 1)), make(slice(0, SAMPLES))[:1], atol=1e-12)


@pytest.mark.parametrize("name", names())
def test_every_metric_has_a_paper_a_direction_and_a_sentence(name):
    found = find(name)
    assert found.better in ("higher", "lower")
    assert found.summary.endswith(".")
    assert any(sign in found.paper for sign in ("arXiv:", "doi:"))


def test_metrics_are_listed_by_name():
    assert [each.name for each in metrics()] == list(names()) == sorted(names())


def test_an_unknown_metric_names_the_nearest():
    with pytest.raises(sc.MethodError, match="Nearest: 'deletion'"):
        find("deletoin")


def test_an_unknown_option_names_those_there_are():
    with pytest.raises(sc.MethodError, match=r"no option 'imputr'.*'imputer'"):
        find("deletion", imputr="zero")


# --- means ---------------------------------------------------------------------------------------


def test_a_mean_leaves_out_what_is_not_defined_and_counts_the_rest():
    found, count = mean(np.array([[1.0, np.nan], [3.0, np.nan]]))
    np.testing.assert_array_equal(found, [2.0, np.nan])
    np.testing.assert_array_equal(count, [2, 0])


def test_interval_is_that_of_a_resampling_loop(rng):
    values = rng.standard_normal((30, 2))
    values[:4, 1] = np.nan
    low, high = interval(values, 0)
    for column in range(2):
        own = values[np.isfinite(values[:, column]), column]
        means = [rng.choice(own, len(own)).mean() for _ in range(4000)]
        np.testing.assert_allclose([low[column], high[column]], np.quantile(means, [0.025, 0.975]), atol=0.05)


def test_many_samples_have_the_interval_of_resampling(rng, monkeypatch):
    values = rng.exponential(size=(2000, 3))
    values[::7, 1] = np.nan
    drawn = interval(values, 0)
    monkeypatch.setattr("signalcam.results.statistics.MANY", 2000)
    for one, two in zip(drawn, interval(values, 0), strict=True):
        np.testing.assert_allclose(one, two, atol=0.15 * np.nanstd(values) / np.sqrt(2000) * 2)
    assert np.isnan(interval(np.where(np.arange(2000)[:, None] > 0, np.nan, values), 0)).all()


def test_one_sample_has_no_interval():
    low, high = interval(np.ones((1, 3)), 0)
    assert np.isnan(low).all()
    assert np.isnan(high).all()


def test_parts_are_put_in_the_order_of_the_samples():
    def part(rows):
        rows = np.asarray(rows, float)
        cell = rows[None, :, None, None, None]
        return MetricValues(cell, {"c": rows[:, None]}, {"i": rows[:, None]}, rows[:, None], np.zeros((1, 1)))

    whole = concatenate_values([part([1, 3]), part([0, 2])], np.array([1, 3, 0, 2]))
    for each in (whole.values[0, :, 0, 0, 0], whole.curves["c"][:, 0], whole.confidence["i"][:, 0], whole.score[:, 0]):
        np.testing.assert_array_equal(each, [0, 1, 2, 3])


def test_a_model_sure_of_nothing_is_warned_of():
    sure = np.tile([0.8, 0.8, 0.99], (6, 1))
    with pytest.warns(sc.CamWarning, match="'zero' the model is as sure of samples with everything removed"):
        warn_of_confidence({"zero": sure})


def test_a_model_unsettled_by_a_tenth_is_warned_of():
    unsure = np.tile([0.8, 0.4, 0.34], (6, 1))
    with pytest.warns(sc.CamWarning, match="out of distribution"):
        warn_of_confidence({"zero": unsure})


def test_a_model_that_grows_unsure_only_with_all_gone_is_not_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_confidence({"zero": np.tile([0.8, 0.8, 0.34], (6, 1))})
