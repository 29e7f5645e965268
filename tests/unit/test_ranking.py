"""Which channels lead."""

import numpy as np
import pytest

from signalcam import CamError, Layout, LayoutError, MethodError, TargetError
from signalcam.alignment.resampling import AxisGrid
from unit.results import make

LEADS = ["I", "II", "V1"]
LAYOUT = Layout("batch channel time", 10, LEADS)
GRID = {"conv": (AxisGrid(1, 3, 3, 0.0, 1.0), AxisGrid(2, 40, 40, 0.0, 1.0))}


@pytest.fixture
def exp():
    return make(GRID, input=np.zeros((3, 3, 40), np.float32), layout=LAYOUT)


def test_channels_are_ranked_by_the_sum_of_their_map(exp):
    ranking = exp.channel_ranking()
    sums = exp.layers[0].values.sum(-1)
    assert ranking.importance.dims == ("sample", "target", "cam", "layer", "channel")
    np.testing.assert_allclose(ranking.importance.values[:, :, :, 0], sums, rtol=1e-5, atol=1e-5)
    one = ranking.sel(sample="bob", target="noise").isel(cam=1, layer=0)
    best = one.channel[one["rank"] == 1].item()
    assert best == LEADS[int(sums[1, 1, 1].argmax())]
    assert sorted(one["rank"].values) == [1, 2, 3]


def test_classes_have_the_mean_of_their_samples(exp):
    ranking = exp.channel_ranking(by="label")  # one normal sample, two ventricular ones
    assert ranking["class"].values.tolist() == ["normal", "ventricular"]
    assert ranking["count"].values.tolist() == [1, 2]
    each = exp.channel_ranking().importance.values
    np.testing.assert_allclose(ranking.importance.values[1], each[1:].mean(axis=0))
    assert exp.channel_ranking(by="predicted").sizes["class"] == 3


def test_channels_that_tie_go_in_their_own_order(exp):
    exp.layers[0].values[:] = 0
    assert (exp.channel_ranking()["rank"] == [1, 2, 3]).all()


def test_maps_without_channels_ask_for_those_that_have_them():
    with pytest.raises(LayoutError, match=r"no channel axis.*PerChannel"):
        make().channel_ranking()


@pytest.mark.parametrize(
    ("changes", "by", "error", "told"),
    [
        ({}, "class", MethodError, "no ranking by 'class'; choose 'sample', 'predicted' or 'label'"),
        ({"true_classes": None}, "label", TargetError, "no labels were given"),
        ({"classes": None}, "predicted", TargetError, "output holds no classes"),
    ],
)
def test_rankings_that_cannot_be_had_are_told(changes, by, error, told):
    exp = make(GRID, input=np.zeros((3, 3, 40), np.float32), layout=LAYOUT, **changes)
    with pytest.raises(error, match=told) as raised:
        exp.channel_ranking(by=by)
    assert isinstance(raised.value, CamError)
