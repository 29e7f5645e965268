"""What follows from a comparison: gains on the same samples, ranks, and sentences."""

import numpy as np
import pytest
import xarray as xr

from signalcam.attribution.registry import find
from signalcam.metrics.verdict import as_text, compare_to_baselines, verdict
from signalcam.results.statistics import interval

METHODS = ("grad-cam", "hires-cam", "random-cam", "input-energy")
DEEP = ("target", "cam", "layer")
NOISE = np.random.default_rng(0).normal(0, 0.3, 40)  # what samples differ by, whatever the method


def table(levels, better=("lower",), samples=40, layers=("conv",), targets=("predicted",)):
    """Scores that are ``levels[metric][method]`` for every sample but for noise that all methods share."""
    rng = np.random.default_rng(1)
    level = np.asarray(levels, float)[:, None, None, :, None]
    shape = (len(levels), samples, len(targets), len(METHODS), len(layers))
    value = level + NOISE[:samples].reshape(1, -1, 1, 1, 1) + rng.normal(0, 0.01, shape)
    names = ["deletion", "road", "onset-error"][: len(levels)]
    coords = {
        "metric": names,
        "better": ("metric", list(better)),
        "sample": range(samples),
        "target": list(targets),
        "cam": list(METHODS),
        "layer": list(layers),
    }
    average = value.mean(axis=1)
    low, high = interval(np.moveaxis(value, 1, 0), 0)
    every = {"mean": average, "low": low, "high": high, "count": np.full(average.shape, samples)}
    scores = xr.Dataset(
        {
            "value": (("metric", "sample", *DEEP), value),
            **{name: (("metric", *DEEP), each) for name, each in every.items()},
        },
        coords,
    )
    methods = [find(each) for each in METHODS]
    return compare_to_baselines(scores, methods, METHODS[2:])


def test_gain_is_the_mean_difference_on_the_same_samples_and_positive_where_better():
    found = table([[0.2, 0.3, 0.5, 0.25], [0.4, 0.3, 0.1, 0.35]], ("lower", "higher"))
    values = found["value"].values[:, :, 0, :, 0]
    for number, sign in ((0, -1), (1, 1)):
        differences = sign * (values[number, :, 0] - values[number, :, 3])
        one = found.isel(metric=number).sel({"baseline": "input-energy", "cam": "grad-cam"})
        np.testing.assert_allclose(one["gain"].item(), differences.mean())
        assert one["gain_low"].item() < differences.mean() < one["gain_high"].item()
        # what samples differ by falls out: the interval is far narrower than that of either mean
        assert (one["gain_high"] - one["gain_low"]).item() < 0.01 < (one["high"] - one["low"]).item()


def test_ranks_count_those_that_are_better_and_errors_rank_by_size():
    found = table([[0.2, 0.3, 0.5, 0.25], [0.4, 0.3, 0.1, 0.35]], ("lower", "higher"))
    np.testing.assert_array_equal(found["rank"].squeeze(), [[1, 3, 4, 2], [1, 3, 4, 2]])
    errors = table([[0, 0, 0, 0], [0, 0, 0, 0], [-3, 2, 5, -4]], ("lower", "higher", "nearer to 0"))
    np.testing.assert_array_equal(errors["rank"].squeeze()[2], [2, 1, 4, 3])


def test_baseline_counts_at_the_layer_where_it_does_best():
    found = table([[0.2, 0.3, 0.5, 0.25]], layers=("a", "b"))
    found["value"].loc[{"cam": "random-cam", "layer": "b"}] -= 0.4
    again = compare_to_baselines(found[["value", "mean", "low", "high", "count"]], METHODS, ["random-cam"])
    value = found["value"].squeeze()
    for layer in ("a", "b"):
        wanted = value.sel(cam="random-cam", layer="b") - value.sel(cam="grad-cam", layer=layer)
        here = again["gain"].sel(cam="grad-cam", layer=layer).item()
        np.testing.assert_allclose(here, wanted.mean())


def test_many_winners_are_counted():
    said = verdict(table([[0.1, 0.2, 0.5, 0.4]], layers=("a", "b", "c")))
    assert said.startswith("6 of 6 beat random-cam and input-energy on deletion")


def test_verdict_names_methods_that_beat_every_baseline():
    said = verdict(table([[0.2, 0.45, 0.5, 0.4], [0.4, 0.3, 0.1, 0.2]], ("lower", "higher")))
    assert said.startswith("grad-cam beats random-cam and input-energy on deletion and road: ")
    assert "deletion (lower is better): best is grad-cam with " in said
    assert "grad-cam beats all baselines." in said


def test_verdict_warns_where_no_method_beats_a_baseline():
    said = verdict(table([[0.4, 0.45, 0.5, 0.2]]))
    assert said.startswith("No method beats random-cam and input-energy on deletion: do not read these maps.")
    assert "worse than input-energy. No method beats input-energy." in said


def test_verdict_of_mixed_results_says_where_they_fail():
    said = verdict(table([[0.2, 0.45, 0.5, 0.4], [0.1, 0.1, 0.1, 0.4]], ("lower", "higher")))
    assert said.startswith("No method beats random-cam and input-energy on every metric (no method does on road)")


def test_equal_maps_do_not_beat_a_baseline():
    assert "do not read" in verdict(table([[0.3, 0.3, 0.3, 0.3]]))


def test_few_samples_give_no_verdict():
    assert verdict(table([[0.2, 0.3, 0.5, 0.4]], samples=9)).endswith("No verdict.")


@pytest.mark.parametrize(
    ("layers", "targets", "name"),
    [
        (("conv",), ("predicted",), "grad-cam"),
        (("a", "b"), ("predicted",), "grad-cam at a"),
        (("a",), ("0", "1"), "grad-cam for 0"),
    ],
)
def test_table_names_what_tells_rows_apart(layers, targets, name):
    text = as_text(table([[0.2, 0.3, 0.5, 0.4]], layers=layers, targets=targets))
    rows = [line.split("  ")[0] for line in text.splitlines()]
    assert name in rows
    assert max(map(len, text.splitlines())) < 100


def test_metric_without_a_value_is_said_to_have_none():
    found = table([[0.2, 0.3, 0.5, 0.4], [np.nan] * 4], ("lower", "higher"))
    assert "road: defined for no sample." in verdict(found)
    assert "- (- to -) #-" in as_text(found)
