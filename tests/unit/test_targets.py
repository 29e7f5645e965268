"""Targets: from what a user writes to one score a sample."""

import numpy as np
import pytest

from signalcam.errors import TargetError
from signalcam.targets import (
    NO_CLASS,
    Class,
    Contrast,
    Counterfactual,
    Finer,
    Output,
    PerSample,
    Predicted,
    Region,
    Regression,
    Similarity,
    TrueLabel,
    as_target,
    class_index,
    make_question,
)
from signalcam.targets.model_output import ModelOutput

NAMES = ("normal", "ventricular", "noise")
ROWS = np.array([[0.5, -1.0, 2.0], [3.0, 2.9, -4.0]])


def reading(main):
    return ModelOutput(main, main, main, "", len(main))


def ask(target, main=ROWS, rows=slice(None), names=NAMES):
    asking = make_question([target], rows, "logit", names)
    said = reading(main)
    asking.check(said.class_count)
    return asking.ask(said)[0]


# --- what each target asks ---------------------------------------------------------------------------


def test_predicted_asks_each_sample_about_its_own_class():
    asked = ask(Predicted())
    assert asked.index.tolist() == [2, 0]
    assert asked.value.tolist() == [2.0, 3.0]


def test_predicted_is_about_class_zero_where_a_single_output_is_negative():
    asked = ask(Predicted(), np.array([2.0, -3.0]), names=None)
    assert asked.index.tolist() == [1, 0]
    assert asked.value.tolist() == [2.0, 3.0]


@pytest.mark.parametrize("name", [1, "ventricular", np.int64(1)])
def test_class_asks_every_sample_about_it(name):
    asked = ask(Class(name))
    assert asked.index.tolist() == [1, 1]
    assert asked.value.tolist() == [-1.0, 2.9]


def test_each_sample_is_asked_about_the_class_listed_for_it():
    asked = ask(PerSample(["noise", 1]))
    assert asked.index.tolist() == [2, 1]
    assert asked.value.tolist() == [2.0, 2.9]


def test_classes_for_each_sample_follow_the_batch():
    asked = ask(PerSample([9, 9, 0, 1, 9]), rows=slice(2, 4))
    assert asked.index.tolist() == [0, 1]


@pytest.mark.parametrize("keep", [False, True], ids=["(batch,)", "(batch, 1)"])
def test_output_asks_about_any_number_of_the_raw_output(keep):
    asked = ask(Output(lambda out: out.sum(axis=1, keepdims=keep)))
    np.testing.assert_array_equal(asked.value, ROWS.sum(1))
    assert asked.index.tolist() == [NO_CLASS, NO_CLASS]


@pytest.mark.parametrize(
    ("function", "given"),
    [(lambda out: out, r"\(2, 3\)"), (lambda out: out.sum(), r"\(\)"), (lambda _: 3.0, "float")],
)
def test_output_that_is_not_one_score_a_sample_raises(function, given):
    with pytest.raises(TargetError, match=rf"Output\(output\) returned {given} for 2 samples"):
        ask(Output(function))


# --- what does not exist ---------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [Class(7), Class(-1), PerSample([0, 7])])
def test_class_out_of_range_raises(target):
    with pytest.raises(TargetError, match=r"class -?\d does not exist: .* 3 classes apart, 0 to 2"):
        ask(target)


def test_single_output_has_classes_zero_and_one_only():
    with pytest.raises(TargetError, match=r"class 2 does not exist: .* 2 classes apart, 0 to 1"):
        ask(Class(2), np.array([0.1, 0.2]), names=None)


@pytest.mark.parametrize("target", [Predicted(), Class(0), PerSample([0, 1])])
def test_dense_output_has_no_classes_to_ask_about(target):
    with pytest.raises(TargetError, match="target=Output"):
        ask(target, np.zeros((2, 3, 7)))


def test_list_of_classes_of_the_wrong_length_raises():
    PerSample([0, 1]).check_count(2)
    with pytest.raises(TargetError, match="holds 2 classes for 3 samples"):
        PerSample([0, 1]).check_count(3)


def test_unknown_class_name_suggests_near_ones():
    with pytest.raises(TargetError, match=r"'ventriculer'.*Nearest: 'ventricular'.*Classes: normal"):
        class_index("ventriculer", NAMES)


def test_class_name_without_names_says_how_to_give_them():
    with pytest.raises(TargetError, match=r"'noise'.*class_names="):
        class_index("noise", None)


@pytest.mark.parametrize("wanted", [1.0, None, True, np.bool_(1), b"noise", [0, 1], np.array([0, 1])])
def test_what_is_no_class_is_no_target(wanted):
    with pytest.raises(TargetError, match="a target cannot be"):
        as_target(wanted, NAMES)


# --- what a user writes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", ["predicted", "Predicted"])
def test_predicted_may_be_written_as_a_word(wanted):
    assert as_target(wanted, NAMES) == Predicted()


def test_class_that_is_called_predicted_comes_first():
    assert as_target("predicted", ["predicted", "other"]) == Class("predicted")


@pytest.mark.parametrize("wanted", [2, np.int32(2), np.array(2), "noise"])
def test_class_may_be_given_by_index_or_name(wanted):
    assert as_target(wanted, NAMES).label(NAMES) == "noise"


def test_function_is_a_target():
    assert as_target(len, None) == Output(len)


@pytest.mark.parametrize("target", [Predicted(), Class(1), PerSample([1]), Output(len)])
def test_target_is_taken_as_it_is(target):
    assert as_target(target, None) is target


@pytest.mark.parametrize(
    ("target", "names", "label"),
    [
        (Predicted(), NAMES, "predicted"),
        (Class(1), NAMES, "ventricular"),
        (Class("noise"), NAMES, "noise"),
        (Class(1), None, "1"),
        (Class(7), NAMES, "7"),
        (Class(-1), NAMES, "-1"),
        (PerSample([1]), NAMES, "per-sample"),
        (Output(len), None, "len"),
        (Output(lambda out: out), None, "output"),
    ],
)
def test_target_has_a_name_in_the_result(target, names, label):
    assert target.label(names) == label


@pytest.mark.parametrize("classes", [3, "AF"])
def test_per_sample_without_a_list_is_told(classes):
    with pytest.raises(TargetError, match="a list with one class for each sample"):
        PerSample(classes)


# --- several classes together ----------------------------------------------------------------------------

THREE = np.array([[0.5, -1.0, 2.0], [3.0, 2.9, -4.0]])


def behind_softmax(rows):
    """A reading of probabilities whose logits are not known."""
    grown = np.exp(rows)
    p = grown / grown.sum(1, keepdims=True)
    return ModelOutput(p, p, None, "softmax", len(p))


def answer(target, said, names=NAMES, score="logit", rows=slice(None)):
    return make_question([target], rows, score, names).ask(said)[0]


def test_the_next_likely_class_can_be_asked_about():
    asked = ask(Predicted(2))
    assert asked.index.tolist() == [0, 1]
    assert asked.value.tolist() == [0.5, 2.9]


@pytest.mark.parametrize("rank", [0, -1])
def test_a_rank_counts_from_one(rank):
    with pytest.raises(TargetError, match=r"the most likely class is Predicted\(1\)"):
        Predicted(rank)


def test_a_rank_beyond_the_classes_raises():
    with pytest.raises(TargetError, match=r"Predicted\(4\) .* 3 classes apart"):
        ask(Predicted(4))


def test_a_contrast_is_the_difference_of_the_logits():
    asked = ask(Contrast("noise", foil="normal"))
    np.testing.assert_allclose(asked.value, THREE[:, 2] - THREE[:, 0])
    assert asked.picks.tolist() == [[2, 0], [2, 0]]


def test_a_contrast_behind_softmax_is_exact_without_the_logits():
    asked = answer(Contrast("noise", foil=["normal", 1]), behind_softmax(THREE))
    np.testing.assert_allclose(asked.value, THREE[:, 2] - THREE[:, :2].mean(1), rtol=1e-12)


def test_the_result_says_that_such_a_contrast_is_exact():
    asking = make_question([Contrast(0, foil=1)], slice(None), "logit", NAMES)
    assert "exact differences" in asking.provenance(behind_softmax(THREE))


def test_a_contrast_may_ask_about_the_runner_up():
    asked = ask(Contrast("predicted", foil=Predicted(2)))
    assert asked.picks.tolist() == [[2, 0], [0, 1]]
    np.testing.assert_allclose(asked.value, [1.5, 0.1])


def test_a_contrast_may_ask_each_sample_about_its_own_classes():
    asked = ask(Contrast(PerSample([0, 1, 2]), foil=PerSample([1, 2, 0])), rows=slice(1, 3))
    assert asked.picks.tolist() == [[1, 2], [2, 0]]


def test_the_quadratic_contrast_is_the_square():
    linear, squared = ask(Contrast(2, foil=0)), ask(Contrast(2, foil=0, form="quadratic"))
    np.testing.assert_allclose(squared.value, linear.value**2)


@pytest.mark.parametrize("foil", [2, ["normal", 2], "noise"])
def test_a_foil_that_is_the_target_raises(foil):
    with pytest.raises(TargetError, match=r"(foil of|compares a class with itself)"):
        as_target(Contrast(2, foil=foil), NAMES)


def test_a_foil_that_is_the_target_for_some_samples_names_them():
    asked = ask(Contrast("predicted", foil=0))
    with pytest.raises(TargetError, match=r"same class for sample\(s\) 8\. .* the runner-up"):
        Contrast("predicted", foil=0).check_picks(asked.picks, np.array([7, 8]))


@pytest.mark.parametrize("options", [{"foil": []}, {"foil": 1, "form": "cubic"}])
def test_a_contrast_that_is_none_raises(options):
    with pytest.raises(TargetError, match="form='linear' or 'quadratic'"):
        Contrast(0, **options)


def test_finer_takes_a_share_of_the_nearest_classes_away():
    asked = ask(Finer("predicted", nearest=2, gamma=0.5))
    assert asked.picks[:, 0].tolist() == [2, 0]
    np.testing.assert_allclose(asked.value, THREE.max(1) - 0.25 * (THREE.sum(1) - THREE.max(1)))


def test_finer_takes_the_nearest_and_not_the_likeliest():
    rows = np.array([[5.0, 1.0, 0.5, -9.0]])
    asked = ask(Finer(2, nearest=1), rows, names=None)
    assert asked.picks.tolist() == [[2, 1]]


def test_finer_with_more_classes_than_there_are_raises():
    with pytest.raises(TargetError, match=r"needs 4 classes.*nearest=2"):
        ask(Finer(nearest=3))


@pytest.mark.parametrize("options", [{"nearest": 0}, {"gamma": -1}])
def test_finer_with_numbers_that_make_no_sense_raises(options):
    with pytest.raises(TargetError, match="at least 1 nearest class"):
        Finer(**options)


def test_a_counterfactual_turns_the_score_over():
    asked = ask(Counterfactual("noise"))
    np.testing.assert_allclose(asked.value, -THREE[:, 2])
    assert asked.index.tolist() == [2, 2]


def test_true_label_asks_about_the_labels():
    target = TrueLabel().with_labels(["noise", 1])
    assert target.label(NAMES) == "true label"
    assert ask(target).index.tolist() == [2, 1]


def test_true_label_without_labels_says_how_to_give_them():
    with pytest.raises(TargetError, match=r"labels=\[\.\.\.\]"):
        Contrast(TrueLabel(), foil="predicted").with_labels(None)


@pytest.mark.parametrize(
    "target",
    [Contrast("predicted", foil=Predicted(2)), Finer(nearest=1), Counterfactual(Contrast(PerSample([0, 1]), foil=2))],
    ids=["contrast", "finer", "counterfactual"],
)
def test_what_was_picked_stays_when_the_input_changes(target):
    asking = make_question([target], slice(None), "logit", NAMES)
    (first,) = asking.ask(reading(THREE))
    changed = THREE[:, ::-1].copy()
    (again,) = asking.freeze([np.asarray(first.picks)]).ask(reading(changed))
    np.testing.assert_array_equal(again.picks, first.picks)
    rows, sign = np.arange(2), -1 if isinstance(target, Counterfactual) else 1
    share = 0.6 if isinstance(target, Finer) else 1
    here = changed[rows, first.picks[:, 0]] - share * changed[rows, first.picks[:, 1]]
    np.testing.assert_allclose(again.value, sign * here)


def test_some_samples_of_a_contrast_are_asked_their_own_questions():
    target = Contrast(PerSample([0, 1, 2]), foil=PerSample([1, 2, 0])).select_samples([2, 0])
    assert ask(target).picks.tolist() == [[2, 0], [0, 1]]


# --- outputs that are no classes ----------------------------------------------------------------------------


def test_a_regression_asks_about_one_output():
    asked = ask(Regression(1), names=None)
    np.testing.assert_allclose(asked.value, THREE[:, 1])
    assert asked.index.tolist() == [NO_CLASS, NO_CLASS]


def test_several_outputs_of_a_regression_count_by_their_weights():
    asked = ask(Regression({0: 1.0, 2: -2.0}), names=None)
    np.testing.assert_allclose(asked.value, THREE[:, 0] - 2 * THREE[:, 2])


def test_the_distance_from_a_reference_value_rises_on_either_side():
    asked = ask(Regression(0, reference=1.0), names=None)
    np.testing.assert_allclose(asked.value, [0.5, 2.0])


def test_the_side_of_the_reference_stays_when_the_input_changes():
    asking = make_question([Regression(0, reference=1.0)], slice(None), "logit", None)
    (first,) = asking.ask(reading(THREE))
    (again,) = asking.freeze([np.asarray(first.picks).astype(int)]).ask(reading(THREE + 10))
    np.testing.assert_allclose(again.value, [-9.5, 12.0])


def test_an_output_of_a_regression_that_does_not_exist_raises():
    with pytest.raises(TargetError, match=r"output 3 does not exist.*0 to 2"):
        ask(Regression(3), names=None)


def test_a_regression_holds_no_class_names_against_the_output():
    make_question([Regression()], slice(None), "logit", ("one",)).check(3)


DENSE = np.arange(2 * 3 * 5, dtype=float).reshape(2, 3, 5) % 7


@pytest.mark.parametrize(
    ("where", "chosen"),
    [
        (None, slice(None)),
        (2, [2]),
        (slice(1, 3), [1, 2]),
        (np.array([True, False, False, False, True]), [0, 4]),
        (slice(-2, None), [3, 4]),
    ],
    ids=["all", "point", "interval", "mask", "from the end"],
)
def test_a_region_adds_up_the_class_over_it(where, chosen):
    asked = ask(Region("noise", where=where), DENSE)
    np.testing.assert_allclose(asked.value, DENSE[:, 2][:, chosen].sum(1))
    assert asked.index.tolist() == [2, 2]


def test_a_region_may_be_where_the_class_is_predicted():
    asked = ask(Region(1, where="predicted"), DENSE)
    inside = DENSE.argmax(1) == 1
    np.testing.assert_allclose(asked.value, (DENSE[:, 1] * inside).sum(1))


def test_a_predicted_region_stays_when_the_input_changes():
    asking = make_question([Region(1, where="predicted")], slice(None), "logit", NAMES)
    (first,) = asking.ask(reading(DENSE))
    (again,) = asking.freeze([np.asarray(first.picks)]).ask(reading(-DENSE))
    np.testing.assert_allclose(again.value, -first.value)


def test_each_sample_may_have_its_own_region():
    masks = [np.arange(5) == 1, np.arange(5) > 2, np.arange(5) == 0]
    asked = ask(Region(0, where=masks), DENSE, rows=slice(1, 3))
    np.testing.assert_allclose(asked.value, [DENSE[0, 0, 3:].sum(), DENSE[1, 0, 0]])


def test_a_region_of_an_output_without_classes():
    asked = ask(Region(None, where=(slice(0, 2), 3)), DENSE, names=None)
    np.testing.assert_allclose(asked.value, DENSE[:, 0:2, 3].sum(1))
    assert asked.index.tolist() == [NO_CLASS, NO_CLASS]


def test_classes_may_lie_last():
    asked = ask(Region(2, where=1, class_axis=-1), DENSE.swapaxes(1, 2).copy())
    np.testing.assert_allclose(asked.value, DENSE[:, 2, 1])


def test_one_channel_of_a_dense_output_tells_two_classes_apart():
    single = DENSE[:, :1]
    found = [ask(Region(c, where=2), single, names=None).value for c in (0, 1)]
    np.testing.assert_allclose(found, [-single[:, 0, 2], single[:, 0, 2]])


@pytest.mark.parametrize(
    ("where", "words"),
    [
        (slice(7, 9), "lies outside the output"),
        (9, "lies outside the output"),
        (np.ones(4, bool), r"shape \(4,\)"),
        ([np.ones(4, bool)] * 2, r"shape \(4,\)"),
    ],
)
def test_a_region_outside_the_output_raises(where, words):
    with pytest.raises(TargetError, match=words):
        ask(Region(0, where=where), DENSE)


@pytest.mark.parametrize("where", ["here", np.zeros(5, bool), np.ones(5)])
def test_a_region_that_is_none_raises(where):
    with pytest.raises(TargetError, match=r"where='predicted'|truth values"):
        Region(0, where=where)


def test_a_region_of_a_class_that_is_not_there_raises():
    with pytest.raises(TargetError, match="class 3 does not exist: the output has 3"):
        ask(Region(3), DENSE, names=None)


def test_a_region_of_a_row_of_scores_raises():
    with pytest.raises(TargetError, match="no positions for a Region"):
        ask(Region(0))


@pytest.mark.parametrize("masks", [[np.ones(5, bool)] * 3, [np.ones(5, bool), np.ones(4, bool)]])
def test_masks_that_do_not_fit_the_samples_raise(masks):
    with pytest.raises(TargetError, match=r"3 masks for 2 samples|different shapes"):
        Region(0, where=masks).check_count(2)


def test_similarity_is_the_cosine_of_the_angle():
    reference = np.array([1.0, 0.0, 2.0], np.float32)
    asked = ask(Similarity(reference), names=None)
    lengths = np.linalg.norm(THREE, axis=1) * np.linalg.norm(reference)
    np.testing.assert_allclose(asked.value, THREE @ reference / lengths, rtol=1e-6)


def test_each_sample_may_have_its_own_reference():
    references = np.eye(3, dtype=np.float32)
    asked = ask(Similarity(references, kind="dot"), rows=slice(1, 3), names=None)
    np.testing.assert_allclose(asked.value, [THREE[0, 1], THREE[1, 2]])
    with pytest.raises(TargetError, match="3 references for 2 samples"):
        Similarity(references).check_count(2)


@pytest.mark.parametrize("reference", [np.zeros(3), [np.nan, 1, 1], np.ones((2, 2, 2))])
def test_a_reference_that_is_none_raises(reference):
    with pytest.raises(TargetError, match=r"of Similarity holds|takes an embedding"):
        Similarity(reference)


def test_a_reference_of_another_length_raises():
    with pytest.raises(TargetError, match="has 4 values and the model's embedding 3"):
        ask(Similarity(np.ones(4)), names=None)


# --- which output ---------------------------------------------------------------------------------------------

SEVERAL = {"features": np.zeros((2, 8)), "extra": THREE + 1, "logits": THREE}


@pytest.mark.parametrize("output", ["extra", 1, lambda raw: raw["extra"]])
def test_the_output_can_be_chosen(output):
    asking = make_question([Class(0)], slice(None), "logit", None, output)
    np.testing.assert_array_equal(asking.main(SEVERAL), THREE + 1)


def test_logits_are_found_by_their_name():
    asking = make_question([Class(0)], slice(None), "logit", None)
    np.testing.assert_array_equal(asking.main(SEVERAL), THREE)


@pytest.mark.parametrize(
    ("raw", "output", "words"),
    [
        (SEVERAL, "extras", "Nearest: 'extra'"),
        (SEVERAL, 5, "It holds 'features', 'extra'"),
        (THREE, "extra", "one array"),
        ({"a": None}, "a", "is NoneType, not an array"),
    ],
)
def test_an_output_that_is_not_there_raises(raw, output, words):
    with pytest.raises(TargetError, match=words):
        make_question([Class(0)], slice(None), "logit", None, output).main(raw)


def test_a_type_in_place_of_a_target_is_told():
    with pytest.raises(TargetError, match=r"write Predicted\(\.\.\.\)"):
        as_target(Predicted, None)


def test_runs_are_alike_only_where_the_question_is():
    def key(*targets, **options):
        return make_question(targets, slice(None), **{"score": "logit", "names": None, **options}).repeated

    assert key(Contrast(0, foil=1)) == key(Contrast(0, foil=1))
    assert key(Contrast(PerSample([0]), foil=1)) == key(Contrast(PerSample([2]), foil=1))
    assert key(Contrast(0, foil=1)) != key(Contrast(0, foil=2))
    assert key(Class(0)) != key(Class(0), output="logits")
    assert key(Output(len)) is None
    assert key(Class(0), output=len) is None
