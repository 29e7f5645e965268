"""Localisation against counts by hand and slow textbook loops."""

import numpy as np
import pytest

from signalcam import Explanation, Layout
from signalcam.alignment.resampling import AxisGrid
from signalcam.errors import CamWarning, InputError, MethodError
from signalcam.metrics import localisation
from signalcam.results.layer_maps import LayerMaps


def explained(maps, shapes=None, **layout):
    """A result whose map at the input's resolution is the one given: ``(sample, *positions)``."""
    maps = np.asarray(maps, np.float32)
    names = {1: "time", 2: "height width", 3: "depth height width"}[maps.ndim - 1]
    grid = tuple(AxisGrid(i + 2, n, n, 0.0, 1.0) for i, n in enumerate(maps.shape[1:]))
    count = len(maps)
    sizes = None if shapes is None else np.stack([shapes[:, 1:], shapes[:, 1:]], axis=2)
    return Explanation(
        layers=(LayerMaps("conv", maps[:, None, None], grid, sizes),),
        targets=("predicted",),
        methods=("grad-cam",),
        layout=Layout(f"batch channel {names}", **layout),
        input=np.zeros((count, 2, *maps.shape[1:]), np.float32),
        scores=np.zeros((count, 1)),
        target_classes=np.zeros((count, 1), int),
        logits=None,
        probabilities=None,
        classes=None,
        true_classes=None,
        class_names=None,
        sample_names=tuple(range(count)),
        provenance={},
        shapes=shapes,
    )


def one(name, map_, truth, **options):
    found = localisation(explained([map_]), np.asarray([truth], bool), [name], **options)
    return found[name].item()


MAP, TRUTH = [0, 1, 5, 4, -2, 0], [0, 0, 1, 1, 1, 0]


def test_measures_of_a_small_map_are_those_counted_by_hand():
    assert one("pointing-game", MAP, TRUTH) == 1
    assert one("mass-accuracy", MAP, TRUTH) == pytest.approx(9 / 10)
    assert one("rank-accuracy", MAP, TRUTH) == pytest.approx(2 / 3)  # the highest three are 5, 4, 1
    assert one("top-k", MAP, TRUTH, top=1 / 3) == 1
    assert one("iou", MAP, TRUTH) == pytest.approx(2 / 3)
    assert one("onset-error", MAP, TRUTH) == 0
    assert one("offset-error", MAP, TRUTH) == -1


def test_pointing_beside_the_truth_counts_within_the_tolerance_only():
    exp = explained([[0, 9, 0, 0, 0, 0]], sampling_rate=10.0)
    truth = np.array([[0, 0, 0, 1, 1, 0]], bool)
    near = [localisation(exp, truth, tolerance=t)["pointing-game"].item() for t in (0.1, 0.2)]
    assert near == [0, 1]


def test_errors_in_time_are_in_seconds_and_signed():
    exp = explained([[0, 9, 9, 0, 0, 0]], sampling_rate=10.0)
    found = localisation(exp, [[(0.3, 0.4)]])
    assert found["onset-error"].item() == pytest.approx(-0.2)
    assert found["offset-error"].item() == pytest.approx(-0.2)


def test_the_nearest_of_several_events_is_taken():
    exp = explained([[0, 0, 0, 0, 9, 9]])
    found = localisation(exp, np.array([[1, 0, 0, 0, 1, 0]], bool))
    assert found["onset-error"].item() == 0
    assert found["offset-error"].item() == 1


@pytest.mark.parametrize("seed", range(5))
def test_ties_score_as_the_mean_over_random_orders(seed):
    rng = np.random.default_rng(seed)
    map_, truth = rng.integers(0, 3, 12), rng.permutation([1] * 5 + [0] * 7)
    tries = []
    for _ in range(4000):
        order = np.lexsort((rng.random(12), -map_))
        tries.append([truth[order[0]], truth[order[:5]].mean(), truth[order[:4]].mean()])
    expected = np.mean(tries, axis=0)
    found = [one(n, map_, truth, top=4 / 12) for n in ("pointing-game", "rank-accuracy", "top-k")]
    np.testing.assert_allclose(found, expected, atol=0.03)


@pytest.mark.parametrize("seed", range(5))
def test_auroc_is_the_share_of_pairs_in_order(seed):
    rng = np.random.default_rng(seed)
    map_, truth = rng.integers(-3, 4, (4, 5)), rng.permutation([1] * 6 + [0] * 14).reshape(4, 5)
    pairs = [1.0 if a > b else 0.5 if a == b else 0.0 for a in map_[truth == 1] for b in map_[truth == 0]]
    assert one("auroc", map_, truth) == pytest.approx(np.mean(pairs))


def test_tolerance_reaches_as_far_along_every_axis_as_a_slow_count_says():
    rng = np.random.default_rng(0)
    truth = rng.random((3, 7, 6)) > 0.93
    maps = np.zeros((3, 7, 6))
    for place in np.ndindex(maps.shape):
        maps[:] = 0
        maps[place] = 1
        near = truth[tuple(slice(max(i - 2, 0), i + 3) for i in place)].any()
        assert one("pointing-game", maps, truth, tolerance=2) == near


def test_a_mask_may_be_shaped_like_the_input():
    exp = explained([MAP])
    channels = np.zeros((1, 2, 6), bool)
    channels[0, 0, 2] = channels[0, 1, 3:5] = True
    same = localisation(exp, channels)
    assert same.equals(localisation(exp, np.asarray([TRUTH], bool)))


def test_what_lies_behind_a_samples_end_counts_nowhere():
    long, short = [1, 2, 3, 0, 0, 0], [1, 5, 0, np.nan, np.nan, np.nan]
    exp = explained([long, short], shapes=np.array([[2, 6], [2, 3]]))
    truth = np.array([[0, 0, 1, 1, 0, 0], [0, 1, 0, 0, 0, 0]], bool)
    found = localisation(exp, truth)
    assert found["chance"][1].item() == pytest.approx(1 / 3)
    assert found["mass-accuracy"][1].item() == pytest.approx(5 / 6)


def test_maps_without_any_aim_score_as_chance_and_are_told_of():
    exp = explained([np.zeros(6), np.ones(6)])
    truth = np.array([TRUTH, TRUTH], bool)
    with pytest.warns(CamWarning, match="2 of 2 maps are the same everywhere"):
        found = localisation(exp, truth)
    for name in ("pointing-game", "mass-accuracy", "rank-accuracy", "top-k", "auroc"):
        np.testing.assert_allclose(found[name].values.ravel(), 0.5)


@pytest.mark.parametrize(
    ("truth", "said"),
    [
        (np.zeros((1, 6), bool), "sample 0 is empty"),
        (np.ones((1, 6), bool), "sample 0 covers every position"),
        (np.ones((1, 5), bool), r"shape \(1, 5\); expected \(1, 6\)"),
        ([[(0, 1)], [(0, 1)]], "2 lists of intervals for 1 samples"),
    ],
)
def test_truth_that_does_not_fit_is_refused_in_one_sentence(truth, said):
    with pytest.raises(InputError, match=said):
        localisation(explained([MAP]), truth)


def test_a_metric_that_is_not_there_or_does_not_fit_is_refused():
    with pytest.raises(MethodError, match="Nearest: 'auroc'"):
        localisation(explained([MAP]), [[(2, 4)]], ["aurok"])
    with pytest.raises(MethodError, match="along one axis"):
        localisation(explained(np.eye(4)[None]), np.eye(4, dtype=bool)[None], "onset-error")


def test_maps_that_are_not_finite_are_refused():
    with pytest.raises(InputError, match="not finite"):
        localisation(explained([[0, np.inf, 1, 2]]), [[(1, 2)]])


@pytest.mark.parametrize(
    "wrong", [{"level": 2}, {"top": -0.1}, {"tolerance": -1}, {"level": "a"}, {"top": np.nan}], ids=str
)
def test_shares_and_tolerances_that_mean_nothing_are_refused(wrong):
    with pytest.raises(InputError, match=f"{next(iter(wrong))} is"):
        localisation(explained([MAP]), np.array([TRUTH], bool), **wrong)
