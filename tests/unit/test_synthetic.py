"""What is planted is where the truth says, and is all that tells the class."""

import numpy as np
import pytest

from signalcam.errors import InputError, MethodError
from signalcam.synthetic import planted

KINDS = ("event", "burst", "channel", "xor", "distractor")
SPACES = (64, (24, 30), (16, 18, 24))


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("kind", KINDS)
def test_truth_covers_all_that_differs_between_classes_and_little_else(kind, space):
    data = planted(kind, 200, space)
    swing = np.abs(data.inputs).mean(axis=0)
    assert data.truth.shape == data.inputs.shape
    assert swing.max() < 2  # nothing lies at the same place in every sample
    inside = np.abs(data.inputs)[data.truth].mean()
    assert inside > 1.3 * 0.3 * np.sqrt(2 / np.pi)  # more than the noise alone
    assert 0 < data.truth.mean() < 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_outside_the_truth_the_classes_do_not_differ(kind):
    data = planted(kind, 3000, 32, seed=1)
    outside = np.where(data.truth, np.nan, data.inputs)
    means = [np.nanmean(outside[data.labels == k]) for k in range(len(data.class_names))]
    assert np.ptp(means) < 0.05


def test_neither_event_of_a_pair_tells_the_class_alone():
    data = planted("xor", 2000, 64)
    marked = np.where(data.truth, data.inputs, 0).sum(axis=1)
    first, second = marked[:, :32].sum(axis=1) > 0, marked[:, 32:].sum(axis=1) > 0
    assert abs(np.corrcoef(first, data.labels)[0, 1]) < 0.1
    assert abs(np.corrcoef(second, data.labels)[0, 1]) < 0.1
    assert np.mean((first != second) == data.labels) > 0.99


def test_only_one_channel_of_many_has_to_do_with_the_class():
    data = planted("channel", 50)
    assert data.truth.any(axis=(0, 2)).tolist() == [False, True, False, False, False, False]


def test_the_same_seed_gives_the_same_samples_and_another_gives_others():
    one, same, other = planted(seed=3), planted(seed=3), planted(seed=4)
    np.testing.assert_array_equal(one.inputs, same.inputs)
    assert (one.inputs != other.inputs).any()


def test_classes_are_even_and_parts_can_be_taken():
    data = planted("burst", 90)
    assert np.bincount(data.labels).tolist() == [30, 30, 30]
    assert len(data[:20]) == len(data[:20].truth) == 20


def test_signals_have_seconds_and_images_do_not():
    assert planted(samples=2).layout.unit("time") == "s"
    assert planted(samples=2, space=(16, 16)).layout.dims[2:] == ("height", "width")


def test_what_cannot_be_planted_is_refused_in_one_sentence():
    with pytest.raises(MethodError, match="Nearest: 'burst'"):
        planted("bursts")
    with pytest.raises(InputError, match="at least 16"):
        planted(space=8)
    with pytest.raises(InputError, match="of 4 axes"):
        planted(space=(16, 16, 16, 16))
    with pytest.raises(InputError, match="at least 2 channels"):
        planted("channel", channels=1)
