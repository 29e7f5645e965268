"""Batches: what is accepted as input, and how it is cut to what fits."""

import warnings
from itertools import chain

import array_api_strict
import numpy as np
import pytest

from signalcam.errors import CamWarning, InputError, LayoutError
from signalcam.explainer.batching import (
    check_finite,
    count_samples,
    first_size,
    progress_bar,
    run_in_batches,
    slice_batch,
)
from signalcam.inputs.conversion import as_inputs
from signalcam.inputs.padding import RaggedArray
from signalcam.inputs.pytree import Inputs


class OutOfMemoryError(Exception):
    """What the allocator of the framework below raises."""


class Framework:
    """A backend whose arrays are NumPy's."""

    def __init__(self, free=0):
        self.free = free

    def numpy(self, array):
        return np.asarray(array)

    def free_memory(self, model):
        return self.free

    def ran_out_of_memory(self, error):
        return isinstance(error, OutOfMemoryError)


BACKEND = Framework()
SIGNALS = np.arange(24, dtype=np.float32).reshape(4, 2, 3)


# --- what is accepted --------------------------------------------------------------------------------


def test_array_is_explained_itself():
    given = as_inputs(SIGNALS)
    assert given.explained is SIGNALS
    assert count_samples(given) == 4


@pytest.mark.parametrize("tree", [(SIGNALS[:, 0], SIGNALS), {"age": SIGNALS[:, 0, :1], "ecg": SIGNALS}])
def test_array_with_most_axes_is_the_one_explained(tree):
    assert as_inputs(tree).explained is SIGNALS


def test_larger_of_two_arrays_is_the_one_explained():
    assert as_inputs((SIGNALS[:, :1], SIGNALS)).explained is SIGNALS


def test_arrays_may_lie_deeper():
    given = as_inputs({"signals": [SIGNALS[:, 0], {"ecg": SIGNALS}], "mode": "fast"})
    assert given.path == ("signals", 1, "ecg")


def test_list_of_samples_is_stacked():
    np.testing.assert_array_equal(as_inputs(list(SIGNALS)).explained, SIGNALS)


def test_list_of_samples_stays_in_its_library():
    stacked = as_inputs([array_api_strict.asarray(each) for each in SIGNALS]).explained
    assert isinstance(stacked, type(array_api_strict.asarray(0.0)))
    np.testing.assert_array_equal(np.asarray(stacked), SIGNALS)


def test_list_of_plain_numbers_is_stacked():
    np.testing.assert_array_equal(as_inputs(SIGNALS.tolist()).explained, SIGNALS)


@pytest.mark.parametrize(
    "samples",
    [[np.zeros((2, 3)), np.zeros((2, 4))], [[[1, 2], [3, 4]], [[1, 2, 3], [4, 5, 6]]]],
    ids=["arrays", "numbers"],
)
def test_samples_of_unequal_length_are_kept_apart(samples):
    given = as_inputs(samples)
    assert isinstance(given.explained, RaggedArray)
    assert given.explained.shapes[:, 0].tolist() == [2, 2]
    assert count_samples(given) == 2


def test_samples_with_other_numbers_of_axes_raise():
    with pytest.raises(LayoutError, match=r"have 1 and 2 axes.*several inputs takes a tuple"):
        as_inputs([np.zeros(3), np.zeros((2, 3))])


def test_lists_of_samples_may_lie_beside_other_inputs():
    ragged = [np.zeros((2, n)) for n in (3, 5, 4)]
    given = as_inputs({"ecg": ragged, "age": np.zeros((3, 1))})
    assert given.path == ("ecg",)
    assert isinstance(given.explained, RaggedArray)
    alike = as_inputs({"ecg": [np.zeros((2, 7))] * 3, "age": np.zeros((3, 1))})
    assert alike.explained.shape == (3, 2, 7)


def test_list_of_arrays_with_a_row_a_sample_stays_the_models_own():
    pair = [np.zeros((3, 1, 8)), np.zeros((3, 2, 8))]
    assert as_inputs({"signals": pair, "age": np.zeros((3, 1))}).path == ("signals", 1)


# --- which input is explained, and what is passed beside ---------------------------------------------

TREE = {"signals": (SIGNALS, SIGNALS[:, :1]), "age": SIGNALS[:, 0, :1]}


@pytest.mark.parametrize(
    ("of", "path"),
    [
        ("age", ("age",)),
        (("signals", 1), ("signals", 1)),
        (1, ("signals", 1)),
        (("age",), ("age",)),
    ],
)
def test_input_is_found_by_key_number_or_path(of, path):
    assert as_inputs(TREE, of).path == path


@pytest.mark.parametrize(
    ("tree", "of", "message"),
    [
        (TREE, "agee", r"no input 'agee'\. Nearest: 'age'\. There are: signals/0, signals/1, age"),
        (TREE, "signals", r"'signals' may be signals/0 or signals/1\. Give the whole path"),
        (SIGNALS, "ecg", r"no input 'ecg': the model takes a single array\. Leave of"),
        (TREE, (), r"no input ''"),
    ],
)
def test_name_that_is_no_input_raises(tree, of, message):
    with pytest.raises(InputError, match=message):
        as_inputs(tree, of)


def test_keywords_lie_beside_the_inputs():
    given = as_inputs(SIGNALS, None, {"mask": SIGNALS[:, 0], "scale": 2.0, "rate": [1, 2, 3, 4]})
    assert given.explained is SIGNALS
    part = slice_batch(given, slice(1, 3)).tree
    assert (part.extra["mask"].shape, part.extra["scale"]) == ((2, 3), 2.0)
    assert part.extra["rate"].tolist() == [2, 3]


def test_keyword_may_be_the_input_that_is_explained():
    given = as_inputs(SIGNALS, "video", {"video": SIGNALS[:, :1]})
    assert given.explained.shape == (4, 1, 3)


def test_sample_with_rows_of_unequal_length_raises():
    with pytest.raises(LayoutError, match=r"rows of different lengths.*Pad them"):
        as_inputs([[[1, 2], [3]], [[1, 2], [3]]])


@pytest.mark.parametrize("given", [None, "ecg.csv", 3.0, {}, (), {"rate": 500}, object()])
def test_what_holds_no_array_raises(given):
    with pytest.raises(InputError, match=r"the input is \w+; expected an array"):
        as_inputs(given)


@pytest.mark.parametrize(
    "given",
    [
        np.array([["a", "b"]]),
        np.array([[None, 1]]),
        [{"ecg": 1}],
        np.zeros((2, 3), "datetime64[s]"),
    ],
    ids=["text", "objects", "dicts", "dates"],
)
def test_array_without_numbers_raises(given):
    with pytest.raises(InputError, match=r"has dtype .*; expected numbers.*np\.asarray"):
        as_inputs(given)


@pytest.mark.parametrize("xp", [np, array_api_strict])
def test_complex_numbers_raise(xp):
    with pytest.raises(InputError, match=r"complex64; expected real numbers.*as channels"):
        as_inputs(xp.ones((2, 3), dtype=xp.complex64))


@pytest.mark.parametrize("given", [np.zeros((0, 2, 3)), np.zeros((4, 0)), [], (SIGNALS, SIGNALS[:0])])
def test_empty_batch_raises(given):
    with pytest.raises(InputError, match=r"holds no values\. Pass at least one sample"):
        as_inputs(given)


@pytest.mark.parametrize("dtype", ["int16", "uint8", "bool", "float16", "float64"])
def test_numbers_of_any_kind_are_accepted(dtype):
    assert as_inputs(np.ones((2, 3), dtype)).explained.dtype == dtype


# --- numbers that are not finite -----------------------------------------------------------------------


def spoilt(bad, value=np.nan):
    signals = np.zeros((12, 2, 3), np.float32)
    signals[bad, 1, 2] = value
    return Inputs(signals)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite_are_refused_by_number(value):
    with pytest.raises(InputError, match=r"samples 2, 7 hold NaN or infinite values.*nan='warn'"):
        check_finite(spoilt([2, 7], value), BACKEND, "raise")


def test_only_the_first_of_many_such_samples_are_named():
    with pytest.raises(InputError, match=r"samples 0, 1, 2, 3, 4 and 3 more hold"):
        check_finite(spoilt(slice(8)), BACKEND, "raise")


def test_such_samples_may_pass_with_a_warning():
    with pytest.warns(CamWarning, match=r"samples 3 hold NaN .* their maps mean nothing"):
        check_finite(spoilt([3]), BACKEND, "warn")


def test_every_array_of_the_input_is_looked_at():
    tree = {"ecg": SIGNALS, "age": np.array([[1.0], [2.0], [np.nan], [4.0]])}
    with pytest.raises(InputError, match="samples 2 hold"):
        check_finite(Inputs(tree, ("ecg",)), BACKEND, "raise")


@pytest.mark.parametrize(
    "signals",
    [
        SIGNALS,
        np.arange(4).reshape(2, 2),
        np.full((2, 64), 3e38, np.float32),
        np.ones((2, 2), bool),
    ],
    ids=["ordinary", "integers", "sum overflows", "truth values"],
)
def test_finite_numbers_pass_in_silence(signals):
    check_finite(Inputs(signals), BACKEND, "raise")


def test_infinities_of_both_signs_cause_no_other_warning():
    signals = spoilt([2]).tree
    signals[2, 0] = [np.inf, -np.inf, 0]
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        check_finite(Inputs(signals), BACKEND, "warn")
    assert [each.category for each in seen] == [CamWarning]


# --- slices ----------------------------------------------------------------------------------------------


def test_every_array_with_a_row_a_sample_is_sliced():
    tree = {"ecg": SIGNALS, "age": np.arange(4), "filter": np.arange(5), "mode": "fast"}
    part = slice_batch(Inputs(tree, ("ecg",)), slice(1, 3))
    np.testing.assert_array_equal(part.explained, SIGNALS[1:3])
    assert part.tree["age"].tolist() == [1, 2]
    assert part.tree["filter"].tolist() == [0, 1, 2, 3, 4]
    assert part.tree["mode"] == "fast"


@pytest.mark.parametrize(("free", "size"), [(0, 1), (10**6, 81), (10**12, 256)])
def test_first_batch_fits_into_half_of_the_free_memory(free, size):
    assert first_size(Inputs(SIGNALS), Framework(free), None) == size  # 24 bytes x 256 a sample


# --- one batch after another -------------------------------------------------------------------------------


def collect(count, size, limit=1000, error=OutOfMemoryError):
    """Run batches of which none may be larger than ``limit``; return the rows that went through."""
    tried = []

    def run(rows):
        tried.append(rows.stop - rows.start)
        if rows.stop - rows.start > limit:
            raise error
        return list(range(rows.start, rows.stop))

    with progress_bar(count, visible=False) as done:
        parts = run_in_batches(run, count, size, BACKEND, done)
    return parts, tried


@pytest.mark.parametrize(("count", "size"), [(10, 3), (10, 10), (10, 99), (1, 1), (7, 1)])
def test_batches_hold_every_sample_once_and_in_order(count, size):
    parts, _ = collect(count, size)
    assert list(chain(*parts)) == list(range(count))
    assert all(len(part) <= size for part in parts)


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 9])
def test_batches_are_halved_where_memory_runs_out_and_nothing_is_lost(limit):
    parts, tried = collect(23, 16, limit)
    assert list(chain(*parts)) == list(range(23))
    assert max(map(len, parts)) <= limit
    assert len(tried) < len(parts) + 6  # 16, 8, 4, 2, 1: what is too much is learnt once


def test_last_short_batch_is_halved_from_its_own_size():
    sizes = []

    def run(rows):
        sizes.append(rows.stop - rows.start)
        if sizes == [8, 6]:
            raise OutOfMemoryError
        return rows

    run_in_batches(run, 14, 8, BACKEND, lambda _: None)
    assert sizes == [8, 6, 3, 3]


def test_memory_that_is_too_small_for_one_sample_raises():
    with pytest.raises(OutOfMemoryError):
        collect(4, 4, limit=0)


@pytest.mark.parametrize("error", [RuntimeError, ValueError, KeyboardInterrupt])
def test_other_errors_pass_through_at_once(error):
    with pytest.raises(error):
        collect(10, 8, limit=2, error=error)


def test_progress_is_shown_when_asked_for(capsys):
    with progress_bar(6, visible=True) as done:
        run_in_batches(lambda rows: rows, 6, 2, BACKEND, done)
    assert "6/6" in capsys.readouterr().err


def test_nothing_is_shown_otherwise(capsys):
    collect(6, 2)
    assert capsys.readouterr() == ("", "")
