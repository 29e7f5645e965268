"""Targets: from what a user writes to one score a sample."""

import numpy as np
import pytest

from signalcam.errors import TargetError
from signalcam.scores import Reading
from signalcam.targets import (
    NO_CLASS,
    Class,
    Output,
    PerSample,
    Predicted,
    as_target,
    class_index,
    question,
)

NAMES = ("normal", "ventricular", "noise")
ROWS = np.array([[0.5, -1.0, 2.0], [3.0, 2.9, -4.0]])


def reading(main):
    return Reading(main, main, main, "", len(main))


def ask(target, main=ROWS, rows=slice(None), names=NAMES):
    asking = question([target], rows, "logit", names)
    said = reading(main)
    asking.check(said.told)
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
    PerSample([0, 1]).check(2)
    with pytest.raises(TargetError, match="holds 2 classes for 3 samples"):
        PerSample([0, 1]).check(3)


def test_unknown_class_name_suggests_near_ones():
    with pytest.raises(
        TargetError, match=r"'ventriculer'.*Nearest: 'ventricular'.*Classes: normal"
    ):
        class_index("ventriculer", NAMES)


def test_class_name_without_names_says_how_to_give_them():
    with pytest.raises(TargetError, match=r"'noise'.*class_names="):
        class_index("noise", None)


@pytest.mark.parametrize(
    "wanted", [1.0, None, True, np.bool_(1), b"noise", [0, 1], np.array([0, 1])]
)
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
        (Predicted(), NAMES, "predicted"), (Class(1), NAMES, "ventricular"), (Class("noise"), NAMES, "noise"),
        (Class(1), None, "1"), (Class(7), NAMES, "7"), (Class(-1), NAMES, "-1"), (PerSample([1]), NAMES, "per-sample"),
        (Output(len), None, "len"), (Output(lambda out: out), None, "output"),
    ],
)  # fmt: skip
def test_target_has_a_name_in_the_result(target, names, label):
    assert target.label(names) == label


@pytest.mark.parametrize("classes", [3, "AF"])
def test_per_sample_without_a_list_is_told(classes):
    with pytest.raises(TargetError, match="a list with one class for each sample"):
        PerSample(classes)
