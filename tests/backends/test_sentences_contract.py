"""What every backend holds to where inputs are numbers of words."""

import numpy as np
import pytest

import signalcam as sc

WORDS, KEYWORDS = 40, (1, 2, 3)  # the first three words tell the class; 0 is padding


def made(count, seed, length=12):
    """Sentences of random words with one that tells the class; where it stands."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(4, WORDS, (count, length)).astype("int32")
    labels, places = rng.integers(0, 3, count), rng.integers(0, length, count)
    ids[np.arange(count), places] = np.asarray(KEYWORDS)[labels]
    return ids, labels.astype("int32"), places


@pytest.fixture(scope="module")
def model(sentences):
    ids, labels, _ = made(240, 0)
    return sentences.trained(ids, labels.astype("int64"), WORDS)


@pytest.mark.parametrize("method", ["grad-cam", "hires-cam"])
def test_the_heat_lies_on_the_word_that_tells_the_class(model, sentences, method):
    ids, labels, places = made(40, 1)
    names = [[f"w{each}" for each in row] for row in ids]
    layout = sc.Layout("batch token", token_names=names)
    exp = sc.explain(model, ids, method=method, layout=layout)
    assert (exp.predicted.values == labels).mean() > 0.9
    np.testing.assert_allclose(exp.outputs, sentences.logits(model, ids), rtol=1e-4, atol=1e-5)
    peaks = exp.maps.values[:, 0, 0, 0].argmax(axis=1)
    assert (abs(peaks - places) <= 1).mean() > 0.9  # the convolution is three words wide
    assert exp.layout.token_names == tuple(map(tuple, names))


def test_padding_that_lengths_tell_of_gets_no_heat_and_no_name(model):
    ids, _, _ = made(4, 2)
    lengths = [12, 9, 12, 6]
    for row, length in zip(ids, lengths, strict=True):
        row[length:] = 0
    names = [[f"w{each}" for each in row[:length]] for row, length in zip(ids, lengths, strict=True)]
    layout = sc.Layout("batch token", lengths=lengths, token_names=names)
    exp = sc.explain(model, ids, layout=layout, signed=True)
    alone = sc.explain(model, ids[3:, :6], layout="batch token", signed=True)
    assert np.isnan(exp.maps.values[3, 0, 0, 0, 6:]).all()
    np.testing.assert_allclose(exp.isel(sample=3).maps.values, alone.maps.values, rtol=1e-4, atol=1e-6)
    assert exp.isel(sample=3).layout.token_names == (tuple(names[3]),)


def test_names_may_end_where_padding_begins(model):
    ids, _, _ = made(2, 3)
    ids[1, 8:] = 0
    names = [[f"w{each}" for each in row if each] for row in ids]
    exp = sc.explain(model, ids, layout=sc.Layout("batch token", token_names=names))
    assert np.isfinite(exp.maps.values).all()  # run as it came


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ([["a"] * 12], "1 lists for 2 samples"),
        ([["a"] * 12, ["a"] * 13], "13 names for sample 1, which has 12"),
        ([["a"] * 12, ["a"] * 10], "padding would be one number"),
    ],
)
def test_names_that_do_not_fit_are_told(model, names, told):
    ids, _, _ = made(2, 4)
    ids[1, 10:] = 7, 8
    with pytest.raises(sc.LayoutError, match=told):
        sc.explain(model, ids, layout=sc.Layout("batch token", token_names=names))


@pytest.mark.parametrize(
    ("kernel", "before", "after", "stride"),
    [(1, 0, 0, 1), (3, 1, 1, 1), (5, 4, 0, 1), (4, 1, 2, 1), (5, 0, 0, 1), (3, 1, 1, 2)],
    ids=["one", "odd", "causal", "even", "unpadded", "strided"],
)
def test_positions_lie_in_the_middle_of_the_words_they_see(sentences, kernel, before, after, stride):
    ids, _, _ = made(3, 5)
    network = sentences.window(kernel, before, after, stride)
    exp = sc.explain(network, ids, layout="batch token", signed=True)
    (axis,) = exp.layers[0].grid
    assert (axis.start, axis.jump, axis.field) == ((kernel - 1) / 2 - before, stride, kernel)


def test_one_word_alone_cannot_be_exchanged_and_each_position_is_taken_to_lie_at_its_word(sentences):
    ids = np.full((2, 12), 7, "int32")
    exp = sc.explain(sentences.window(5, 4, 0, 1), ids, layout="batch token", signed=True)
    (axis,) = exp.layers[0].grid
    assert (axis.start, axis.jump) == (0, 1)
