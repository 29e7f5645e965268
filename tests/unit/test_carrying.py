"""Scores that a result carries: checked, cut with it, told in a line, kept on disk."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from signalcam import InputError, load
from signalcam.metrics.localisation import localisation
from signalcam.results.attached_scores import summary_line
from unit.results import METHODS, SAMPLES, TARGETS

LAYERS = ("conv1", "conv2")
DEEP = ("target", "cam", "layer")


def scores(*metrics, methods=(*METHODS, "random-cam"), samples=SAMPLES, **attrs):
    """What ``evaluate`` returns, with values counted up; means are wrong, to be told from new ones."""
    shape = (len(metrics), len(samples), len(TARGETS), len(methods), len(LAYERS))
    value = np.arange(np.prod(shape), dtype=float).reshape(shape)
    summary = dict.fromkeys(("mean", "low", "high"), (("metric", *DEEP), np.full_like(value[:, 0], 0.125)))
    coords = {
        "metric": list(metrics),
        "better": ("metric", ["lower"] * len(metrics)),
        "paper": ("metric", [""] * len(metrics)),
        "sample": list(samples),
        "target": list(TARGETS),
        "cam": list(methods),
        "layer": list(LAYERS),
    }
    count = {"count": (("metric", *DEEP), np.full_like(value[:, 0], len(samples), int))}
    return xr.Dataset(
        {"value": (("metric", "sample", *DEEP), value), **summary, **count},
        coords,
        {"measure": "logit", "seed": 0, **attrs},
    )


def test_result_carries_scores_and_tells_them(exp):
    scored = exp.with_scores(scores("deletion"))
    assert exp.metrics is None
    assert repr(scored).endswith("; deletion 0.12 (random-cam 0.12)>")
    assert scored.metrics["measure"].values.tolist() == ["logit"]


def test_part_of_a_result_has_its_part_of_the_scores_and_the_baselines(exp):
    part = exp.with_scores(scores("deletion")).sel(cam="hires-cam", layer="conv2", sample=["cy", "ann"])
    assert part.metrics["cam"].values.tolist() == ["hires-cam", "random-cam"]
    assert part.metrics["sample"].values.tolist() == ["cy", "ann"]
    by_hand = scores("deletion")["value"].values[0, [2, 0]][:, :, [1, 2]][..., [1]]
    np.testing.assert_array_equal(part.metrics["value"].values[0], by_hand)
    np.testing.assert_array_equal(part.metrics["mean"].values[0], by_hand.mean(axis=0))
    assert (part.metrics["low"] < part.metrics["mean"]).all()


def test_one_sample_has_its_own_score_and_no_interval(exp):
    one = exp.with_scores(scores("deletion")).isel(sample=1).metrics
    np.testing.assert_array_equal(one["mean"], one["value"].isel(sample=0))
    assert np.isnan(one["low"]).all()


def test_all_samples_in_their_order_keep_the_means_as_they_came(exp):
    assert (exp.with_scores(scores("deletion")).isel(target=1).metrics["mean"] == 0.125).all()


def test_localisation_is_carried_in_the_same_form_beside_other_scores(exp):
    found = localisation(exp, [[(0.5, 1.0)]] * 3)
    both = exp.with_scores(scores("deletion")).with_scores(found).metrics
    np.testing.assert_array_equal(both["value"].sel(metric="iou").sel(cam=list(METHODS)), found["iou"])
    assert np.isnan(both["value"].sel(metric="iou").sel(cam="random-cam")).all()
    assert (both["count"].sel(metric="iou").sel(cam="random-cam") == 0).all()
    assert float(both["better"].sel(metric="onset-error") == "nearer to 0")
    np.testing.assert_array_equal(both["chance"], found["chance"])


def test_newer_scores_take_the_place_of_older_ones_of_that_metric(exp):
    newer = scores("deletion", measure="probability")
    newer["mean"] += 1
    both = exp.with_scores(scores("insertion", "deletion")).with_scores(newer).metrics
    assert both["metric"].values.tolist() == ["insertion", "deletion"]
    assert both["measure"].values.tolist() == ["logit", "probability"]
    assert (both["mean"].sel(metric="deletion") == 1.125).all()


@pytest.mark.parametrize("names", [SAMPLES, (0, 1, 2)])
def test_scores_are_read_as_they_were_saved(exp, tmp_path, names):
    exp = replace(exp, sample_names=names)
    found = exp.with_scores(scores("deletion", samples=names))
    found = found.with_scores(localisation(exp, [[(0.5, 1.0)]] * 3))
    found.save(tmp_path / "run")
    xr.testing.assert_identical(load(tmp_path / "run").metrics, found.metrics)


def test_maps_that_are_others_carry_no_scores(exp):
    scored = exp.with_scores(scores("deletion"))
    assert scored.fused().metrics is None
    assert scored.between(0.5, 2.0).metrics is None
    assert scored.normalized().metrics is not None


def test_scores_that_do_not_fit_are_refused(exp):
    with pytest.raises(InputError, match="of samples x, y, z, and the result of ann, bob, cy"):
        exp.with_scores(scores("deletion", samples=("x", "y", "z")))
    with pytest.raises(InputError, match="no scores of 'hires-cam'"):
        exp.with_scores(scores("deletion", methods=("grad-cam",)))
    with pytest.raises(InputError, match="scores are dict"):
        exp.with_scores({"deletion": 1})


def test_line_has_no_sign_before_zero_and_a_dash_for_nothing(exp):
    some = scores("road", "iou")
    some["mean"][:] = -0.001
    some["mean"][1, :, 2] = np.nan
    assert summary_line(some) == "road 0.00, iou 0.00 (random-cam 0.00, -)"


def test_sentence_about_a_result_tells_its_scores(exp):
    assert str(exp.with_scores(scores("deletion"))).endswith(
        " Scores, mean over samples: deletion 0.12 (random-cam 0.12)."
    )
