"""Formulas: equal to their oracles, exact on heads whose answer is known, and found by name."""

import math

import array_api_strict
import jaxtyping
import numpy as np
import oracles
import pytest

import signalcam as sc
from signalcam import formulas
from signalcam.arrays import flatten_positions, namespace
from signalcam.formulas import grad_cam, hires_cam, method, methods, weigh

EXACT = 1e-12  # float64: sums of a few hundred products of numbers around 1
RANKS = {"signal": (7,), "image": (4, 5), "volume": (2, 3, 4)}
BOTH = [(grad_cam, oracles.grad_cam), (hires_cam, oracles.hires_cam)]

each_rank = pytest.mark.parametrize("cells", RANKS.values(), ids=RANKS)
each_formula = pytest.mark.parametrize(("formula", "oracle"), BOTH, ids=["grad-cam", "hires-cam"])
each_library = pytest.mark.parametrize("xp", [np, array_api_strict], ids=["numpy", "strict"])


def layer(rng, cells, batch=3, channels=4):
    shape = (batch, channels, *cells)
    return rng.standard_normal(shape), rng.standard_normal(shape)


# --- against the oracles ---------------------------------------------------------------------------


@each_library
@each_rank
@each_formula
def test_formula_equals_its_oracle(rng, formula, oracle, cells, xp):
    a, g = layer(rng, cells)
    found = formula(flatten_positions(xp.asarray(a)), flatten_positions(xp.asarray(g)))
    assert found.dtype == xp.float64
    expected = oracle(a, g).reshape(len(a), -1)
    np.testing.assert_allclose(np.asarray(found), expected, rtol=EXACT, atol=EXACT)


@each_formula
def test_result_stays_in_the_library_of_its_input(rng, formula, oracle):
    a, g = map(array_api_strict.asarray, layer(rng, (7,)))
    assert namespace(formula(a, g)).__name__ == "array_api_strict"


@each_formula
def test_formula_leaves_its_arguments_as_they_were(rng, formula, oracle):
    a, g = layer(rng, (7,))
    before = a.copy(), g.copy()
    formula(a, g)
    np.testing.assert_array_equal((a, g), before)


@each_formula
def test_map_keeps_negative_evidence(formula, oracle):
    assert formula(np.ones((1, 1, 3)), -np.ones((1, 1, 3))).tolist() == [[-1, -1, -1]]


def test_weigh_adds_up_channels_times_weights(rng):
    a, w = rng.standard_normal((2, 3, 5)), rng.standard_normal((2, 3))
    np.testing.assert_allclose(weigh(a, w), (a * w[:, :, None]).sum(1), rtol=EXACT, atol=EXACT)


# --- shapes and types ------------------------------------------------------------------------------


@each_formula
@pytest.mark.parametrize(
    ("a", "g"),
    [
        ((2, 3), (2, 3)),
        ((2, 3, 4, 5), (2, 3, 4, 5)),
        ((2, 3, 4), (2, 3, 5)),
        ((2, 3, 4), (2, 1, 4)),
    ],
    ids=["no positions", "not flattened", "other positions", "other channels"],
)
def test_wrong_shape_is_refused_while_testing(formula, oracle, a, g):
    with pytest.raises(jaxtyping.TypeCheckError):
        formula(np.zeros(a), np.zeros(g))


def test_integers_are_refused_while_testing():
    with pytest.raises(jaxtyping.TypeCheckError):
        grad_cam(np.zeros((1, 1, 2), int), np.zeros((1, 1, 2), int))


@each_library
@each_rank
def test_positions_are_flattened_in_order(cells, xp):
    cube = np.arange(6 * math.prod(cells), dtype=float).reshape(2, 3, *cells)
    np.testing.assert_array_equal(flatten_positions(xp.asarray(cube)), cube.reshape(2, 3, -1))


@each_library
@pytest.mark.parametrize(
    ("given", "kept"), [("float64", "float64"), ("float32", "float32"), ("int16", "float32")]
)
def test_flattening_gives_single_precision_at_least(xp, given, kept):
    wide = flatten_positions(xp.ones((1, 2, 3), dtype=getattr(xp, given)))
    assert wide.dtype == getattr(xp, kept)


def test_half_precision_is_widened():
    assert flatten_positions(np.ones((1, 2, 3), np.float16)).dtype == np.float32


# --- heads whose maps are known exactly -------------------------------------------------------------


def averaging_head(rng, cells):
    """s = v . mean_u(a) + bias: activations, gradient of s, s, bias, v."""
    a, _ = layer(rng, cells)
    v, bias = rng.standard_normal(4), 0.7
    count = math.prod(cells)
    flat = a.reshape(3, 4, count)
    g = np.broadcast_to(v[None, :, None] / count, flat.shape)
    return flat, g, flat.mean(-1) @ v + bias, bias, v


def flattening_head(rng, cells):
    """s = v . vec(a) + bias: activations, gradient of s, s, bias."""
    a, _ = layer(rng, cells)
    flat = a.reshape(3, 4, -1)
    v, bias = rng.standard_normal(flat.shape[1:]), 0.7
    return flat, np.broadcast_to(v, flat.shape), (flat * v).sum((1, 2)) + bias, bias


@each_rank
def test_grad_cam_is_hires_cam_after_an_averaging_head(rng, cells):
    a, g, *_ = averaging_head(rng, cells)
    np.testing.assert_allclose(grad_cam(a, g), hires_cam(a, g), rtol=EXACT, atol=EXACT)


@each_rank
@each_formula
def test_map_and_bias_add_up_to_the_logit_after_an_averaging_head(rng, formula, oracle, cells):
    a, g, score, bias, _ = averaging_head(rng, cells)
    np.testing.assert_allclose(formula(a, g).sum(1) + bias, score, rtol=EXACT, atol=EXACT)


@each_rank
def test_grad_cam_is_the_first_cam_over_the_number_of_positions(rng, cells):
    a, g, _, _, v = averaging_head(rng, cells)
    first_cam = np.einsum("c,bcp->bp", v, a)
    np.testing.assert_allclose(grad_cam(a, g) * math.prod(cells), first_cam, rtol=EXACT, atol=EXACT)


@each_rank
def test_hires_cam_and_bias_add_up_to_the_logit_after_a_flattening_head(rng, cells):
    a, g, score, bias = flattening_head(rng, cells)
    np.testing.assert_allclose(hires_cam(a, g).sum(1) + bias, score, rtol=EXACT, atol=EXACT)


@each_rank
def test_grad_cam_does_not_add_up_after_a_flattening_head(rng, cells):
    a, g, score, bias = flattening_head(rng, cells)
    assert np.abs(grad_cam(a, g).sum(1) + bias - score).min() > 0.03  # the gap the notes measured


@each_rank
def test_hires_cam_adds_up_to_the_logit_after_a_bias_free_relu_tail(rng, cells):
    a, _ = layer(rng, cells)
    flat = a.reshape(3, -1)
    inner, outer = rng.standard_normal((6, flat.shape[1])), rng.standard_normal(6)
    hidden = flat @ inner.T
    score = np.maximum(hidden, 0) @ outer
    g = ((hidden > 0) * outer) @ inner
    found = hires_cam(flat.reshape(3, 4, -1), g.reshape(3, 4, -1)).sum(1)
    np.testing.assert_allclose(found, score, rtol=EXACT, atol=EXACT)


@each_rank
@each_formula
def test_map_of_a_difference_of_scores_is_the_difference_of_maps(rng, formula, oracle, cells):
    a, g = (each.reshape(3, 4, -1) for each in layer(rng, cells))
    other = rng.standard_normal(g.shape)
    np.testing.assert_allclose(
        formula(a, 2 * g - 3 * other),
        2 * formula(a, g) - 3 * formula(a, other),
        rtol=EXACT,
        atol=1e-11,  # ten times EXACT: six terms instead of one
    )


@each_formula
def test_splitting_a_channel_in_two_changes_nothing(rng, formula, oracle):
    a, g = layer(rng, (7,))
    halves = np.concatenate([a, a[:, :1]], axis=1), np.concatenate([g, g[:, :1] / 2], axis=1)
    halves[1][:, 0] /= 2
    np.testing.assert_allclose(formula(*halves), formula(a, g), rtol=EXACT, atol=EXACT)


# --- the registry ----------------------------------------------------------------------------------


def test_methods_are_listed_by_name_with_their_papers():
    listed = {each.name: each for each in sc.methods()}
    assert sorted(listed) == list(listed)
    assert {"grad-cam", "hires-cam"} <= set(listed)
    assert "1610.02391" in listed["grad-cam"].paper
    assert "2011.08891" in listed["hires-cam"].paper


def test_method_says_what_it_does_and_costs():
    found = formulas.find("grad-cam")
    assert found.formula is grad_cam
    assert found.summary == "Weigh each channel by the mean of its gradient."
    assert (found.family, found.needs_gradients) == ("gradient", True)
    assert found.passes == "1 forward, 1 backward"


def test_formula_without_a_docstring_is_summed_up_by_its_name():
    assert formulas.Method("bare-cam", lambda a, g: a, "none").summary == "bare-cam"


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("Grad-CAM", "grad-cam"), ("grad_cam", "grad-cam"), ("GradCAM", "grad-cam"), ("grad cam", "grad-cam"),
        ("HiResCAM", "hires-cam"), ("hires-cam", "hires-cam"), ("HiRes-CAM", "hires-cam"),
    ],
)  # fmt: skip
def test_method_is_found_in_any_of_its_papers_spellings(spelling, name):
    assert formulas.find(spelling).name == name


def test_method_object_is_taken_as_it_is():
    own = formulas.Method("own-cam", hires_cam, "none")
    assert formulas.find(own) is own


def test_unknown_method_suggests_near_ones():
    with pytest.raises(sc.MethodError, match=r"no method 'gradcamm'.*Nearest: 'grad-cam'.*Known: "):
        formulas.find("gradcamm")


def test_what_is_no_name_is_no_method():
    with pytest.raises(sc.MethodError, match=r"no method 3\. Known: grad-cam, hires-cam"):
        formulas.find(3)


def test_method_registered_from_outside_is_listed_and_found(monkeypatch):
    monkeypatch.setattr(formulas, "_registry", dict(formulas._registry))

    @method("sum-cam", paper="none")
    def sum_cam(a, g):
        """Add up the channels."""
        return a.sum(1)

    assert [each.name for each in methods()] == ["grad-cam", "hires-cam", "sum-cam"]
    assert formulas.find("SumCAM").formula is sum_cam
