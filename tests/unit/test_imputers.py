"""Every imputer against a loop over values."""

import numpy as np
import pytest

import signalcam as sc
from signalcam.metrics.imputers import IMPUTERS, Blur, Linear, Noise, NormalDraws, as_imputer

SHAPE = (4, 2, 30)


def drawn(count=4, seed=0, others=None):
    return NormalDraws(seed, np.arange(count), others or (lambda rows: rows), count)


@pytest.fixture
def x(rng):
    return rng.standard_normal(SHAPE)


@pytest.fixture
def known(rng):
    return rng.random((4, 30)) > 0.4


def by_loop(x, known, value):
    filled = x.copy()
    for row, channel, place in np.ndindex(x.shape):
        if not known[row, place]:
            filled[row, channel, place] = value(x[row, channel], place)
    return filled


LOOPS = {
    "zero": lambda _line, _place: 0.0,
    "mean": lambda line, _place: sum(line) / len(line),
    "inverse": lambda line, place: max(line) + min(line) - line[place],
}


@pytest.mark.parametrize("name", LOOPS)
def test_values_are_those_of_a_loop(name, x, known):
    found = as_imputer(name).fill(x, known, drawn())
    np.testing.assert_allclose(found, by_loop(x, known, LOOPS[name]), atol=1e-12)


def test_a_number_is_put_everywhere(x, known):
    np.testing.assert_array_equal(as_imputer(2).fill(x, known, drawn()), by_loop(x, known, lambda *_: 2.0))


def test_blur_is_a_convolution_with_the_mirrored_signal(x, known):
    length, sigma = SHAPE[-1], 2.0

    def value(line, place):
        total = weights = 0.0
        for step in range(-length, length):
            at = (place + step) % (2 * length)
            weight = np.exp(-0.5 * (min(abs(step), 2 * length - abs(step)) / sigma) ** 2)
            total += weight * (line[at] if at < length else line[2 * length - 1 - at])
            weights += weight
        return total / weights

    found = Blur(sigma).fill(x, known, drawn())
    np.testing.assert_allclose(found, by_loop(x, known, value), atol=1e-9)


def test_wide_blur_leaves_the_mean(x, known):
    found = Blur(1e4).fill(x, known, drawn())
    np.testing.assert_allclose(found, by_loop(x, known, LOOPS["mean"]), atol=1e-5)


def runs(row):
    found, start = [], None
    for place, there in enumerate([*row, True]):
        if not there and start is None:
            start = place
        if there and start is not None:
            found.append((start, place))
            start = None
    return found


@pytest.mark.parametrize(
    ("name", "change"),
    [("swap", lambda part: part[::-1]), ("segment-mean", lambda part: np.full(len(part), part.mean()))],
)
def test_stretches_are_changed_one_by_one(name, change, x, known):
    wanted = x.copy()
    for row, mask in enumerate(known):
        for start, stop in runs(mask):
            for channel in range(SHAPE[1]):
                wanted[row, channel, start:stop] = change(x[row, channel, start:stop])
    np.testing.assert_allclose(as_imputer(name).fill(x, known, drawn()), wanted, atol=1e-12)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 1, 3, 4, 5)])
@pytest.mark.parametrize("name", ["swap", "segment-mean"])
def test_stretches_lie_along_the_last_axis(name, shape, rng):
    x = rng.standard_normal(shape)
    known = rng.random((shape[0], *shape[2:])) > 0.5
    found = as_imputer(name).fill(x, known, drawn(2))
    for row in np.ndindex(shape[0], *shape[2:-1]):
        line = as_imputer(name).fill(x[row[0], :, *row[1:]][None], known[row][None], drawn(1))
        np.testing.assert_allclose(found[row[0], :, *row[1:]], line[0])


def test_noise_has_each_channels_mean_and_deviation(rng):
    x = rng.standard_normal((1, 2, 20000)) * np.array([[1.0], [5.0]]) + np.array([[3.0], [-2.0]])
    found = Noise().fill(x, np.zeros((1, 20000), bool), drawn(1))
    np.testing.assert_allclose(found.mean(-1), x.mean(-1), atol=0.1)
    np.testing.assert_allclose(found.std(-1), x.std(-1), rtol=0.03)


@pytest.mark.parametrize("name", ["noise", "linear"])
def test_chance_does_not_depend_on_the_batch(name, x, known):
    whole = as_imputer(name).fill(x, known, drawn())
    alone = as_imputer(name).fill(x[2:3], known[2:3], NormalDraws(0, np.array([2]), lambda r: r, 4))
    np.testing.assert_array_equal(whole[2], alone[0])


def test_other_sample_is_never_the_sample_itself(x):
    nothing = np.zeros((4, 30), bool)
    found = as_imputer("sample").fill(x, nothing, drawn(others=lambda rows: x[rows]))
    partner = [next(j for j in range(4) if np.array_equal(found[i], x[j])) for i in range(4)]
    assert all(i != j for i, j in enumerate(partner))
    assert sorted(partner) == [0, 1, 2, 3]


def test_other_sample_needs_another_sample(x):
    with pytest.raises(sc.InputError, match="only one"):
        as_imputer("sample").fill(x[:1], np.zeros((1, 30), bool), drawn(1))


@pytest.mark.parametrize("name", [*IMPUTERS, 0.5])
def test_what_is_known_is_kept_and_precision_too(name, x, known):
    single = x.astype(np.float32)
    found = as_imputer(name).fill(single, known, drawn(others=lambda rows: single[rows]))
    assert found.dtype == np.float32
    here = np.broadcast_to(known[:, None], x.shape)
    np.testing.assert_array_equal(found[here], single[here])


def test_linear_without_noise_adds_none(x, known):
    known[:, 0] = True
    found = Linear(noise=0).fill(x, known, drawn())
    wanted = [
        [np.interp(range(30), np.flatnonzero(k), line[k]) for line in row] for row, k in zip(x, known, strict=True)
    ]
    np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_a_function_is_asked_only_where_something_is_missing(x, known):
    found = as_imputer(lambda x, _known: x * 0 + 9).fill(x, known, drawn())
    np.testing.assert_array_equal(found, by_loop(x, known, lambda *_: 9.0))


def test_a_function_of_another_shape_is_refused(x, known):
    with pytest.raises(sc.InputError, match=r"returned shape \(4,\)"):
        as_imputer(lambda x, _known: x[:, 0, 0]).fill(x, known, drawn())


@pytest.mark.parametrize("wrong", ["zeros", None, True, float("nan"), Blur])
def test_an_unknown_imputer_is_refused(wrong):
    with pytest.raises(sc.MethodError, match="there is no imputer"):
        as_imputer(wrong)
