"""Parts: from what one batch brought up to maps, and from batches to one result."""

import warnings
from contextlib import nullcontext

import numpy as np
import oracles
import pytest

from signalcam import CamWarning
from signalcam.alignment.resampling import spread_evenly
from signalcam.attribution.registry import find
from signalcam.backends.protocol import ForwardResult, LayerOutput
from signalcam.explainer.batch_maps import compute_batch, join_batches
from signalcam.explainer.batch_result import BatchRequest, BatchResult, ModelOutputs, concatenate_outputs
from signalcam.explainer.map_warnings import warn_of_flaws, warn_of_score
from signalcam.explainer.perturbation_engine import ContextSettings
from signalcam.inputs.pytree import Inputs
from signalcam.targets import NO_CLASS, Predicted, Question, ScoredTarget
from signalcam.targets.model_output import ModelOutput
from signalcam.targets.score_functions import FALL_BACK, log_odds

SINGLE = 1e-6  # float32: about eight units in the last place of a number near its reference
METHODS = (find("grad-cam"), find("hires-cam"))


class Framework:
    """A backend whose arrays are NumPy's."""

    def full_precision(self):
        return nullcontext()

    def numpy(self, array):
        return np.asarray(array)


def reading(main, before=None, last_step=""):
    return ModelOutput(main, main, before, last_step, len(main))


ROWS = np.float32([[1.0, -1.0], [0.5, 3.0]])
PLAIN = reading(ROWS, ROWS)


def pull(a, gradients, said=PLAIN):
    """One layer, one list of gradients for each target."""
    asked = [ScoredTarget(ROWS[:, t % 2], np.full((len(ROWS), 1), t)) for t in range(len(gradients))]
    return ForwardResult(said, asked, [[LayerOutput("conv[0]", a, g)] for g in gradients])


def part(a, gradients, said=PLAIN, *, signed=True):
    setting = ContextSettings(Framework(), None, lambda layer, cells: {}, (2, 1, 3), 8)
    nothing = (np.zeros(0, int),) * len(gradients)
    asked = Question((Predicted(),) * len(gradients), "logit", None, nothing)
    given = BatchRequest(Inputs(ROWS), asked, np.arange(2))
    return compute_batch(pull(a, gradients, said), METHODS, [setting], given, "logit", signed=signed)


def layer(rng, cells=(3, 4)):
    return rng.standard_normal((2, 5, *cells), np.float32)


# --- maps ------------------------------------------------------------------------------------------------


def test_every_target_and_method_has_its_map(rng):
    a, g, h = layer(rng), layer(rng), layer(rng)
    (maps,) = part(a, [g, h]).layers
    assert maps.values.shape == (2, 2, 2, 12)
    assert maps.cells == (3, 4)
    for t, gradient in enumerate([g, h]):
        for m, oracle in enumerate([oracles.grad_cam, oracles.hires_cam]):
            expected = oracle(a, gradient).reshape(2, 12)
            np.testing.assert_allclose(maps.values[:, t, m], expected, rtol=SINGLE, atol=SINGLE)


def test_negative_evidence_is_dropped_unless_signed(rng):
    a, g = layer(rng), layer(rng)
    (signed,), (positive,) = part(a, [g]).layers, part(a, [g], signed=False).layers
    np.testing.assert_array_equal(positive.values, np.maximum(signed.values, 0))
    assert (signed.values < 0).any()


def test_batches_are_joined_and_positions_unfolded_in_the_inputs_order(rng):
    a, g = layer(rng), layer(rng)
    (maps,) = part(a, [g]).layers
    grid = {0: spread_evenly(3, 3, 6), 1: spread_evenly(2, 4, 8)}  # the layer's axes are the input's, swapped
    joined = join_batches("conv", [maps, maps], grid)
    unfolded = maps.values.reshape(2, 1, 2, 3, 4).swapaxes(3, 4)
    np.testing.assert_array_equal(joined.values, np.concatenate([unfolded, unfolded]))
    assert joined.grid == (grid[1], grid[0])


def test_axis_of_one_cell_without_a_place_is_dropped(rng):
    a, g = layer(rng, (1, 4)), layer(rng, (1, 4))
    (maps,) = part(a, [g]).layers
    joined = join_batches("conv", [maps], {1: spread_evenly(2, 4, 8)})
    np.testing.assert_array_equal(joined.values, maps.values)


# --- what the model said -----------------------------------------------------------------------------------


def said(reading_):
    a = np.ones((2, 1, 3), np.float32)
    return part(a, [a], reading_).outputs


def test_answers_are_kept_in_numpy():
    kept = said(PLAIN)
    np.testing.assert_array_equal(kept.logits, ROWS)
    np.testing.assert_allclose(kept.probabilities.sum(1), 1, rtol=SINGLE)
    assert kept.predicted.tolist() == [0, 1]
    assert kept.scores.tolist() == [[1.0], [0.5]]
    assert kept.index.tolist() == [[0], [0]]


def test_answers_to_all_batches_are_put_together():
    both = concatenate_outputs([part(np.ones((2, 1, 3), np.float32), [np.ones((2, 1, 3), np.float32)])] * 2)
    assert both.predicted.tolist() == [0, 1, 0, 1]
    assert both.logits.shape == (4, 2)


def test_output_without_classes_leaves_scores_only():
    dense = reading(np.zeros((2, 3, 7), np.float32))
    kept = said(dense)
    assert (kept.logits, kept.probabilities, kept.predicted) == (None, None, None)
    both = concatenate_outputs([part(np.ones((2, 1, 3)), [np.ones((2, 1, 3))], dense)] * 2)
    assert both.logits is None
    assert both.scores.shape == (4, 1)


def softmax(z):
    grown = np.exp(z - z.max(axis=1, keepdims=True))
    return grown / grown.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("values", "last_step"),
    [
        (softmax(np.float32([[40, 3, -2], [1, 2, 0]])), "softmax"),
        (np.float32([[0.9, 0.2, 0.5], [0.01, 0.8, 0.9]]), "sigmoid"),
        (np.float32([[0.9], [0.01]]), "sigmoid"),
    ],
    ids=["saturated softmax", "several true at once", "single"],
)
def test_unknown_logits_are_kept_as_the_log_odds_that_were_differentiated(values, last_step):
    given = reading(values, None, last_step)
    kept = said(given).logits
    assert np.isfinite(kept).all()
    for c in range(given.classes):
        expected = log_odds(given, np.full(2, c))
        np.testing.assert_allclose(kept[:, c], expected, rtol=SINGLE, atol=SINGLE)


# --- scores that are not what was asked for ------------------------------------------------------------------


def scored(values, index=0, score=FALL_BACK):
    values = np.asarray(values)
    answer = ModelOutputs(values, np.full(values.shape, index))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        warn_of_score([BatchResult(answer, (), score), BatchResult(answer, (), score)])
    assert all(issubclass(each.category, CamWarning) for each in seen)
    return [str(each.message) for each in seen]


def test_log_odds_in_place_of_logits_are_warned_of_once():
    (message,) = scored([[1.0], [2.0]])
    assert message.startswith("the logits before the model's last step could not be found")
    assert "score=" in message


def test_log_odds_that_are_not_finite_are_warned_of_with_their_number():
    _, message = scored([[1.0, 2.0], [np.inf, -np.inf]])
    assert message.startswith("the probabilities of 2 of 4 samples have saturated at 0 or 1")


def test_logits_that_were_found_are_not_warned_of():
    assert scored([[np.inf]], score="logit; logits returned by the model") == []


def test_scores_of_a_function_of_the_output_are_not_warned_of():
    assert scored([[1.0]], index=NO_CLASS) == []


# --- maps that say nothing -----------------------------------------------------------------------------------

FLAWED = {
    "the gradient is zero": (np.ones((2, 1, 3)), np.zeros((2, 1, 3))),
    "all evidence is negative": (np.float32([[[1, 2, 3]]] * 2), -np.ones((2, 1, 3))),
    "not finite": (np.ones((2, 1, 3)), np.float32([[[1, np.nan, 1]]] * 2)),
    "the same everywhere": (np.ones((2, 1, 3)), np.ones((2, 1, 3))),
}


def complaints(parts, methods=METHODS):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        warn_of_flaws(parts, ["conv"], ["noise"], methods)
    assert all(issubclass(each.category, CamWarning) for each in seen)
    return [str(each.message) for each in seen]


@pytest.mark.parametrize("reason", FLAWED)
def test_map_that_says_nothing_is_warned_of_with_the_reason(reason):
    grad_cam, hires_cam = complaints([part(*[FLAWED[reason][0], [FLAWED[reason][1]]], signed=False)])
    assert grad_cam.startswith("grad-cam at layer 'conv' for target 'noise' is, for 2 of 2 samples,")
    assert hires_cam.startswith("hires-cam at layer 'conv'")
    assert reason in grad_cam
    assert reason in hires_cam


def test_warning_counts_the_samples_of_all_batches():
    a = np.float32([[[1, 2, 3]]] * 2)
    good, half = np.ones((2, 1, 3)), np.ones((2, 1, 3))
    half[1] = 0
    found = complaints([part(a, [good]), part(a, [half])])
    assert [each.split(",")[1] for each in found] == [" for 1 of 4 samples"] * 2


def test_maps_that_show_something_are_not_warned_of(rng):
    assert complaints([part(layer(rng), [layer(rng)])]) == []


def test_blank_map_of_activations_is_not_put_down_to_the_gradient():
    blank = part(*[FLAWED["the gradient is zero"][0], [FLAWED["the gradient is zero"][1]]])
    assert "nothing stands out" in complaints([blank], [find("fem")] * 2)[0]


def test_baseline_that_is_the_same_everywhere_is_not_warned_of():
    flat = part(*[FLAWED["the same everywhere"][0], [FLAWED["the same everywhere"][1]]])
    assert complaints([flat], [find("uniform")] * 2) == []


def test_signed_map_of_negative_evidence_is_not_warned_of():
    a, g = FLAWED["all evidence is negative"]
    assert complaints([part(a, [g])]) == []
