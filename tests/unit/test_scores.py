"""Scores: what is differentiated, and where the numbers of a model's answer are found."""

from collections import namedtuple
from dataclasses import dataclass
from types import SimpleNamespace

import array_api_strict
import numpy as np
import pytest

from signalcam.errors import MethodError, TargetError
from signalcam.targets import score_functions
from signalcam.targets.model_output import ModelOutput, main_output
from signalcam.targets.score_functions import find, log_odds, log_prob_clamped, logit, probability, provenance

SINGLE = 1e-6  # float32: about eight units in the last place of a number near its reference
DOUBLE = 1e-12  # float64: a few hundred times its resolution
DIFFERENCE = 1e-8  # central differences with a step of 1e-5: the error of the step, squared

SOME = [[0.5, -1.0, 2.0], [3.0, 2.9, -4.0]]
SATURATED = [[40.0, 3.0, -2.0], [90.0, -5.0, 1.0], [0.0, 60.0, 5.0]]  # p rounds to 1.0 in float32
FIRST, LAST = np.array([0, 1]), np.array([2, 2])


def reading(main, before=None, last_step="", raw=None, batch=None):
    batch = len(main) if batch is None else batch
    return ModelOutput(main if raw is None else raw, main, before, last_step, batch)


def from_logits(values, dtype=np.float64):
    z = np.asarray(values, dtype)
    return reading(z, z)


def softmax(z):
    grown = np.exp(z - z.max(axis=1, keepdims=True))
    return (grown / grown.sum(axis=1, keepdims=True)).astype(z.dtype)


def from_probabilities(values, dtype=np.float64, *, known=False):
    """What follows a softmax: probabilities, with or without the logits behind them."""
    z = np.asarray(values, dtype)
    return reading(softmax(z), z if known else None, "softmax")


def sigmoid(z):
    return (1 / (1 + np.exp(-z))).astype(z.dtype)


def exact_log_odds(values, index):
    """s_c - ln(sum of exp of the others), number by number."""
    found = []
    for row, c in zip(np.asarray(values, np.float64), index, strict=True):
        others = np.delete(row, c)
        top = others.max()
        found.append(row[c] - top - np.log(np.exp(others - top).sum()))
    return np.array(found)


def slope(score, z, index):
    """The gradient of each sample's score with respect to its row, by central differences."""
    step, found = 1e-5, np.zeros_like(z)
    for k in range(z.shape[1]):
        nudge = step * np.eye(z.shape[1])[k]
        found[:, k] = (score(z + nudge, index) - score(z - nudge, index)) / (2 * step)
    return found


# --- the logit ---------------------------------------------------------------------------------------


def test_logit_is_the_score_of_the_class():
    assert logit(from_logits(SOME), FIRST).tolist() == [0.5, 2.9]


def test_logit_behind_a_softmax_is_exact_though_the_probability_is_one():
    said = from_probabilities(SATURATED, np.float32, known=True)
    assert said.main.max() == 1.0
    np.testing.assert_array_equal(logit(said, np.array([0, 0, 1])), np.float32([40, 90, 60]))


def test_unknown_logit_is_replaced_by_the_log_odds():
    said = from_probabilities(SOME)
    np.testing.assert_array_equal(logit(said, FIRST), log_odds(said, FIRST))


# --- the log-odds ------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [[0, 0, 1], [1, 1, 0], [2, 2, 2]])
@pytest.mark.parametrize(
    "said",
    [from_logits(SATURATED, np.float32), from_probabilities(SATURATED, np.float32, known=True)],
    ids=["from logits", "behind softmax"],
)
def test_log_odds_are_the_logit_less_the_rest_also_when_saturated(said, index):
    found = log_odds(said, np.array(index))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, exact_log_odds(SATURATED, index), rtol=SINGLE)


@pytest.mark.parametrize("values", [SOME, SATURATED], ids=["ordinary", "saturated"])
def test_log_odds_from_probabilities_alone_never_pass_by_one_minus_p(values):
    index = np.argmax(values, axis=1)
    found = log_odds(from_probabilities(values, np.float32), index)
    np.testing.assert_allclose(found, exact_log_odds(values, index), rtol=SINGLE, atol=SINGLE)


def test_log_odds_from_log_probabilities_are_the_same():
    z = np.asarray(SOME)
    said = reading(np.log(softmax(z)), None, "log_softmax")
    np.testing.assert_allclose(log_odds(said, LAST), exact_log_odds(SOME, LAST), rtol=DOUBLE)


def test_slope_of_log_p_is_that_of_the_log_odds_times_one_minus_p():
    z = np.asarray(SOME)
    of_log_p = slope(lambda x, c: np.log(probability(from_logits(x), c)), z, FIRST)
    of_log_odds = slope(lambda x, c: log_odds(from_logits(x), c), z, FIRST)
    rest = 1 - softmax(z)[[0, 1], FIRST]
    np.testing.assert_allclose(of_log_p, rest[:, None] * of_log_odds, atol=DIFFERENCE)


def test_slope_of_p_is_that_of_log_p_times_p():
    z = np.asarray(SOME)
    of_p = slope(lambda x, c: probability(from_logits(x), c), z, FIRST)
    of_log_p = slope(lambda x, c: np.log(probability(from_logits(x), c)), z, FIRST)
    p = softmax(z)[[0, 1], FIRST]
    np.testing.assert_allclose(of_p, p[:, None] * of_log_p, atol=DIFFERENCE)


def test_log_odds_do_not_change_when_all_logits_move_together():
    moved = np.asarray(SOME) + np.array([[5.0], [-7.0]])
    np.testing.assert_allclose(log_odds(from_logits(moved), LAST), log_odds(from_logits(SOME), LAST), rtol=DOUBLE)


def test_classes_that_do_not_exclude_each_other_have_their_logits_as_log_odds():
    z = np.asarray(SOME)
    said = reading(sigmoid(z), z, "sigmoid")
    np.testing.assert_array_equal(log_odds(said, FIRST), logit(said, FIRST))


def test_log_odds_of_such_classes_come_from_their_own_probability_alone():
    said = reading(sigmoid(np.asarray(SOME)), None, "sigmoid")
    np.testing.assert_allclose(log_odds(said, FIRST), [0.5, 2.9], rtol=DOUBLE)


def test_log_odds_of_such_classes_come_from_log_probabilities_too():
    said = reading(np.log(sigmoid(np.asarray(SOME))), None, "log_sigmoid")
    np.testing.assert_allclose(log_odds(said, FIRST), [0.5, 2.9], rtol=DOUBLE)


# --- probabilities -----------------------------------------------------------------------------------


def test_softmax_is_assumed_behind_bare_logits():
    said = from_logits(SOME)
    np.testing.assert_allclose(said.probabilities(), softmax(np.asarray(SOME)), rtol=DOUBLE)
    np.testing.assert_allclose(probability(said, LAST), softmax(np.asarray(SOME))[:, 2])


def test_probabilities_of_large_logits_do_not_overflow():
    np.testing.assert_array_equal(from_logits([[1e4, 0, -1e4]]).probabilities(), [[1, 0, 0]])


def test_probabilities_the_model_returns_are_taken_as_they_are():
    said = from_probabilities(SOME)
    assert said.probabilities() is said.main or np.array_equal(said.probabilities(), said.main)


def test_clamped_log_probability_follows_its_formula():
    z = np.array([[30.0, 0.0, -20.0], [0.3, 0.1, 0.2]])
    expected = np.log(np.clip(softmax(z), 1e-6, 1 - 1e-6))
    for c in range(3):
        index = np.full(2, c)
        found = log_prob_clamped(from_logits(z), index)
        np.testing.assert_allclose(found, expected[:, c], rtol=DOUBLE)


def test_clamped_log_probability_of_one_output_is_plus_or_minus_its_clamped_logit():
    z = np.array([[0.5], [30.0]])
    p = np.clip(sigmoid(z), 1e-6, 1 - 1e-6)[:, 0]
    expected = np.log(p / (1 - p))
    said = reading(z, z)
    np.testing.assert_allclose(log_prob_clamped(said, np.ones(2, int)), expected, rtol=1e-9)
    np.testing.assert_allclose(log_prob_clamped(said, np.zeros(2, int)), -expected, rtol=1e-9)


# --- one output that decides between two classes -------------------------------------------------------

ALONE = np.array([0.5, -2.0, 4.0])
single_shape = pytest.mark.parametrize("shape", [(3,), (3, 1), (3, 1, 1)])


@single_shape
def test_single_output_tells_two_classes_apart(shape):
    said = from_logits(ALONE.reshape(shape))
    assert said.is_binary
    assert said.has_rows
    assert said.classes == 2


@single_shape
def test_single_logit_speaks_for_class_one_and_against_class_zero(shape):
    said = from_logits(ALONE.reshape(shape))
    np.testing.assert_array_equal(logit(said, np.ones(3, int)), ALONE)
    np.testing.assert_array_equal(logit(said, np.zeros(3, int)), -ALONE)
    np.testing.assert_array_equal(log_odds(said, np.zeros(3, int)), -ALONE)


@single_shape
def test_single_output_predicts_by_its_sign(shape):
    assert from_logits(ALONE.reshape(shape)).predicted().tolist() == [1, 0, 1]


@single_shape
def test_single_probability_predicts_by_one_half(shape):
    said = reading(sigmoid(ALONE).reshape(shape), None, "sigmoid")
    assert said.predicted().tolist() == [1, 0, 1]


def test_single_output_has_two_probabilities_that_add_up_to_one():
    p = from_logits(ALONE).probabilities()
    np.testing.assert_allclose(p[:, 1], sigmoid(ALONE), rtol=DOUBLE)
    np.testing.assert_allclose(p.sum(1), 1, rtol=DOUBLE)


def test_small_probability_of_a_single_logit_keeps_its_digits():
    z = np.float32([-16.0, -60.0])
    expected = np.exp(-np.float64([16.0, 60.0])) / (1 + np.exp(-np.float64([16.0, 60.0])))
    found = probability(from_logits(z, np.float32), np.ones(2, int))
    np.testing.assert_allclose(found, expected, rtol=SINGLE)


@pytest.mark.parametrize("known", [True, False])
def test_single_logit_behind_a_sigmoid_is_exact_or_its_log_odds(known):
    z = ALONE[:, None]
    said = reading(sigmoid(z), z if known else None, "sigmoid")
    np.testing.assert_allclose(logit(said, np.ones(3, int)), ALONE, rtol=DOUBLE)
    np.testing.assert_allclose(logit(said, np.zeros(3, int)), -ALONE, rtol=DOUBLE)


def test_single_logit_behind_a_saturated_sigmoid_is_exact():
    z = np.float32([40.0, -200.0])
    said = reading(np.float32([1.0, 0.0]), z, "sigmoid")
    np.testing.assert_array_equal(logit(said, np.array([1, 0])), [40.0, 200.0])


# --- what the model said -------------------------------------------------------------------------------


def test_prediction_is_the_largest_logit_also_when_probabilities_tie():
    said = reading(np.float32([[1.0, 1.0]]), np.float32([[50.0, 60.0]]), "softmax")
    assert said.predicted().tolist() == [1]


def test_prediction_is_the_largest_probability_where_logits_are_unknown():
    assert from_probabilities(SOME).predicted().tolist() == [2, 0]


def test_score_rows_may_have_trailing_axes_of_one():
    said = from_logits(np.asarray(SOME)[:, :, None, None])
    assert said.has_rows
    np.testing.assert_array_equal(logit(said, FIRST), [0.5, 2.9])


@pytest.mark.parametrize("shape", [(2, 3, 7), (3, 2), ()], ids=["dense", "other batch", "scalar"])
def test_output_that_is_no_row_of_scores_raises(shape):
    said = reading(np.zeros(shape), np.zeros(shape), batch=2)
    assert not said.has_rows
    with pytest.raises(TargetError, match=r"returned shape .* for 2 samples.*target=Output"):
        said.predicted()


def test_output_without_any_array_raises():
    said = reading(None, raw="nothing", batch=2)
    assert not said.has_rows
    with pytest.raises(TargetError, match=r"returned str with no array of scores.*Output"):
        _ = said.values


def test_provenance_of_an_output_without_classes_is_the_targets_own_function():
    assert provenance("logit", reading(np.zeros((2, 3, 7)))).startswith("the target's own function")


@pytest.mark.parametrize(
    ("said", "score", "words"),
    [
        (from_logits(SOME), "logit", "logit; logits returned by the model"),
        (from_probabilities(SOME, known=True), "logit", "logit; logits before softmax"),
        (from_probabilities(SOME), "probability", "probability; probabilities only"),
        (from_probabilities(SOME), "logit", "log-odds; the logits before the model's last step could not be found"),
    ],
)
def test_provenance_says_what_was_differentiated(said, score, words):
    assert provenance(score, said) == words


# --- where the scores are -------------------------------------------------------------------------------


@dataclass
class Answer:
    loss: object
    logits: object


Pair = namedtuple("Pair", "features out")  # noqa: PYI024 - models return plain ones
ROWS, OTHER = np.asarray(SOME), np.zeros((2, 64))


@pytest.mark.parametrize(
    "raw",
    [
        ROWS,
        (ROWS, OTHER),
        [ROWS],
        {"features": OTHER, "logits": ROWS},
        {"a": ROWS, "b": OTHER},
        Answer(OTHER, ROWS),
        {"aux": None, "main": {"hidden": None, "scores": ROWS}},
        (None, (ROWS, OTHER)),
        {"logits": None, "rest": ROWS},
        (b"raw", "text", ROWS),
    ],
    ids=[
        "array",
        "tuple",
        "list",
        "dict by name",
        "dict by order",
        "dataclass",
        "nested dict",
        "nested tuple",
        "empty entry",
        "with text",
    ],
)
def test_scores_are_found_in_what_the_model_returned(raw):
    assert main_output(raw) is ROWS


def test_scores_are_found_by_name_in_a_named_tuple():
    assert main_output(Pair(OTHER, ROWS)) is ROWS


def test_single_sample_whose_model_squeezed_the_batch_away_is_still_one_row():
    said = reading(ROWS[0], ROWS[0], batch=1)
    assert said.predicted().tolist() == [2]
    assert logit(said, np.array([1])).tolist() == [-1.0]


@pytest.mark.parametrize("raw", [None, "text", 3.0, {}, (), SimpleNamespace(logits=1)])
def test_nothing_is_found_where_there_is_no_array(raw):
    assert main_output(raw) is None


# --- choosing a score -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["logit", "log_odds", "probability", "log_prob_clamped"])
def test_score_is_found_by_name(name):
    assert find(name) == (name, getattr(score_functions, name))


@pytest.mark.parametrize("wanted", ["logits", ["logit"], None])
def test_unknown_score_raises_and_lists_what_is_known(wanted):
    with pytest.raises(MethodError, match=r"no score .* Known: logit, log_odds, probability"):
        find(wanted)


def test_misspelt_score_suggests_the_near_one():
    with pytest.raises(MethodError, match="Nearest: 'log_odds'"):
        find("log-odds")


def test_function_of_the_scores_is_a_score():
    def doubled(rows):
        return 2 * rows

    name, score = find(doubled)
    assert name == "doubled"
    np.testing.assert_array_equal(score(from_logits(SOME), FIRST), [1.0, 5.8])


def test_function_of_a_single_output_has_two_sides_too():
    score = find(lambda rows: 2 * rows)[1]
    np.testing.assert_array_equal(score(from_logits(ALONE), np.array([1, 0, 1])), [1.0, 4.0, 8.0])


def test_function_that_returns_other_scores_than_it_was_given_raises():
    score = find(lambda rows: rows.sum(axis=1))[1]
    with pytest.raises(TargetError, match=r"returned shape \(2,\) for scores of shape \(2, 3\)"):
        score(from_logits(SOME), FIRST)


@pytest.mark.parametrize("score", [logit, log_odds, probability, log_prob_clamped])
@pytest.mark.parametrize(("last_step", "columns"), [("", 1), ("", 3), ("sigmoid", 1), ("sigmoid", 3), ("softmax", 3)])
@pytest.mark.parametrize("known", [True, False])
def test_score_speaks_the_array_standard(score, last_step, columns, known):
    z = np.asarray(SOME)[:, :columns]
    main = {"": z, "sigmoid": sigmoid(z), "softmax": softmax(z)}[last_step]
    before = z if known or not last_step else None
    strictly = [each if each is None else array_api_strict.asarray(each) for each in (main, before)]
    strict = ModelOutput(None, *strictly, last_step, 2)
    plain = ModelOutput(None, main, before, last_step, 2)
    found = np.asarray(score(strict, np.array([0, 0])))
    np.testing.assert_allclose(found, score(plain, np.array([0, 0])), rtol=DOUBLE)
