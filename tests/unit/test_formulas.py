"""Formulas: equal to their oracles, exact on heads whose answer is known, and found by name."""

import math
import tracemalloc

import array_api_strict
import jaxtyping
import numpy as np
import oracles
import pytest

import signalcam as sc
from signalcam.arrays import flatten_positions, namespace
from signalcam.attribution import gradient, registry
from signalcam.attribution.gradient import (
    eigen_cam,
    eigen_grad_cam,
    fem,
    grad_cam,
    grad_cam_elementwise,
    grad_cam_plus_plus,
    hires_cam,
    kpca_cam,
    layer_cam,
    random_cam,
    ratio,
    uniform,
    weigh,
    xgrad_cam,
)
from signalcam.attribution.registry import method, methods

EXACT = 1e-12  # float64: sums of a few hundred products of numbers around 1
SINGLE = 1e-6  # float32, the same
RANKS = {"signal": (7,), "image": (4, 5), "volume": (2, 3, 4)}
LINEAR = {"grad-cam": grad_cam, "hires-cam": hires_cam, "xgrad-cam": xgrad_cam}  # in the gradient
SPLITTING = LINEAR | {"layer-cam": layer_cam, "grad-cam-elementwise": grad_cam_elementwise}

each_rank = pytest.mark.parametrize("cells", RANKS.values(), ids=RANKS)
FORMULAS = [each for each in methods() if each.formula]
each_method = pytest.mark.parametrize("each", FORMULAS, ids=lambda each: each.name)
each_linear = pytest.mark.parametrize("formula", LINEAR.values(), ids=LINEAR)
each_library = pytest.mark.parametrize("xp", [np, array_api_strict], ids=["numpy", "strict"])


def layer(rng, cells, batch=3, channels=4):
    shape = (batch, channels, *cells)
    return rng.standard_normal(shape), rng.standard_normal(shape)


# --- against the oracles ---------------------------------------------------------------------------


@each_library
@each_rank
@each_method
@pytest.mark.parametrize("channels", [1, 4, 30], ids=["one", "few", "more than positions"])
def test_formula_equals_its_oracle(rng, each, cells, xp, channels):
    a, g = layer(rng, cells, channels=channels)
    found = each.formula(flatten_positions(xp.asarray(a)), flatten_positions(xp.asarray(g)))
    assert found.dtype == xp.float64
    expected = oracles.of(each.name)(a, g).reshape(len(a), -1)
    atol = EXACT * max(1, np.abs(expected).max())  # grad-cam++ and xgrad-cam divide by small numbers
    np.testing.assert_allclose(np.asarray(found), expected, rtol=EXACT, atol=atol)


@each_library
@each_method
def test_layer_that_is_all_zero_gives_numbers(each, xp):
    zero = xp.zeros((2, 3, 5), dtype=xp.float32)
    found = np.asarray(each.formula(zero, zero))
    np.testing.assert_array_equal(found, each.name == "uniform")
    assert found.dtype == np.float32


@each_method
def test_result_stays_in_the_library_of_its_input(rng, each):
    a, g = map(array_api_strict.asarray, layer(rng, (7,)))
    assert namespace(each.formula(a, g)).__name__ == "array_api_strict"


@each_method
def test_formula_leaves_its_arguments_as_they_were(rng, each):
    a, g = layer(rng, (7,))
    before = a.copy(), g.copy()
    each.formula(a, g)
    np.testing.assert_array_equal((a, g), before)


@each_method
def test_sample_that_is_not_finite_spoils_no_other(rng, each):
    a, g = layer(rng, (7,))
    whole = each.formula(a, g)
    a[1, 2, 3] = np.nan
    found = each.formula(a, g)
    np.testing.assert_array_equal(found[[0, 2]], whole[[0, 2]])
    assert each.name == "uniform" or np.isnan(found[1]).any()


@pytest.mark.parametrize("formula", [*LINEAR.values(), eigen_grad_cam])
def test_map_keeps_negative_evidence(formula):
    found = formula(np.ones((1, 1, 3)), -np.ones((1, 1, 3)))
    np.testing.assert_allclose(found, [[-1, -1, -1]], rtol=EXACT)


@each_library
def test_ratio_is_zero_where_the_divisor_is(xp):
    x, y = xp.asarray([[1.0, 2.0, 0.0]]), xp.asarray([[2.0], [0.0]])
    assert np.asarray(ratio(x, y)).tolist() == [[0.5, 1, 0], [0, 0, 0]]


def test_weigh_adds_up_channels_times_weights(rng):
    a, w = rng.standard_normal((2, 3, 5)), rng.standard_normal((2, 3))
    np.testing.assert_allclose(weigh(a, w), (a * w[:, :, None]).sum(1), rtol=EXACT, atol=EXACT)


# --- shapes and types ------------------------------------------------------------------------------


@each_method
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
def test_wrong_shape_is_refused_while_testing(each, a, g):
    with pytest.raises(jaxtyping.TypeCheckError):
        each.formula(np.zeros(a), np.zeros(g))


def test_integers_are_refused_while_testing():
    with pytest.raises(jaxtyping.TypeCheckError):
        grad_cam(np.zeros((1, 1, 2), int), np.zeros((1, 1, 2), int))


@each_library
@each_rank
def test_positions_are_flattened_in_order(cells, xp):
    cube = np.arange(6 * math.prod(cells), dtype=float).reshape(2, 3, *cells)
    np.testing.assert_array_equal(flatten_positions(xp.asarray(cube)), cube.reshape(2, 3, -1))


@each_library
@pytest.mark.parametrize(("given", "kept"), [("float64", "float64"), ("float32", "float32"), ("int16", "float32")])
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
def test_grad_cam_is_hires_cam_and_xgrad_cam_after_an_averaging_head(rng, cells):
    a, g, *_ = averaging_head(rng, cells)
    np.testing.assert_allclose(grad_cam(a, g), hires_cam(a, g), rtol=EXACT, atol=EXACT)
    np.testing.assert_allclose(xgrad_cam(a, g), hires_cam(a, g), rtol=EXACT, atol=EXACT)


@each_rank
@each_linear
def test_map_and_bias_add_up_to_the_logit_after_an_averaging_head(rng, formula, cells):
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
@each_linear
def test_map_of_a_difference_of_scores_is_the_difference_of_maps(rng, formula, cells):
    a, g = (each.reshape(3, 4, -1) for each in layer(rng, cells))
    other = rng.standard_normal(g.shape)
    np.testing.assert_allclose(
        formula(a, 2 * g - 3 * other),
        2 * formula(a, g) - 3 * formula(a, other),
        rtol=1e-11,  # ten times EXACT: six terms instead of one, and xgrad-cam divides
        atol=1e-11,
    )


@pytest.mark.parametrize("formula", SPLITTING.values(), ids=SPLITTING)
def test_splitting_a_channel_in_two_changes_nothing(rng, formula):
    a, g = layer(rng, (7,))
    halves = np.concatenate([a, a[:, :1]], axis=1), np.concatenate([g, g[:, :1] / 2], axis=1)
    halves[1][:, 0] /= 2
    np.testing.assert_allclose(formula(*halves), formula(a, g), rtol=EXACT, atol=EXACT)


@each_rank
def test_xgrad_cam_adds_up_to_what_hires_cam_does_in_each_channel(rng, cells):
    a, g = (each.reshape(3, 4, 1, -1) for each in layer(rng, cells))
    for c in range(4):
        one, other = xgrad_cam(a[:, c], g[:, c]), hires_cam(a[:, c], g[:, c])
        np.testing.assert_allclose(one.sum(1), other.sum(1), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_xgrad_cam_leaves_out_a_channel_that_cancels_out(dtype):
    a = np.array([[[1, 2, 3], [0.3, -0.1, -0.2]]], dtype)  # sums to a rounding error, or to 0
    g = np.array([[[1, 1, 1], [5, 0, 0]]], dtype)
    np.testing.assert_array_equal(xgrad_cam(a, g), [[1, 2, 3]])


@each_rank
def test_layer_cam_is_elementwise_grad_cam_without_negative_activations(rng, cells):
    a, g = (each.reshape(3, 4, -1) for each in layer(rng, cells))
    a = np.maximum(a, 0)
    found = layer_cam(a, g)
    np.testing.assert_allclose(found, grad_cam_elementwise(a, g), rtol=EXACT, atol=EXACT)


@each_rank
def test_layer_cam_is_hires_cam_and_what_it_subtracted(rng, cells):
    a, g = (each.reshape(3, 4, -1) for each in layer(rng, cells))
    subtracted = hires_cam(a, np.maximum(-g, 0))
    np.testing.assert_allclose(layer_cam(a, g) - hires_cam(a, g), subtracted, rtol=EXACT, atol=EXACT)


@each_rank
def test_layer_cam_after_an_averaging_head_takes_the_positive_weights(rng, cells):
    a, g, _, _, v = averaging_head(rng, cells)
    wanted = np.einsum("c,bcp->bp", np.maximum(v, 0), a) / math.prod(cells)
    np.testing.assert_allclose(layer_cam(a, g), wanted, rtol=EXACT, atol=EXACT)


@each_rank
def test_grad_cam_plus_plus_after_an_averaging_head_has_a_closed_form(rng, cells):
    a, g, _, _, v = averaging_head(rng, cells)
    count = math.prod(cells)
    a = np.maximum(a, 0)
    slope = v / count
    weights = count * np.maximum(slope, 0) / (2 + slope * a.sum(-1))
    wanted = np.einsum("bc,bcp->bp", weights, a)
    np.testing.assert_allclose(grad_cam_plus_plus(a, g), wanted, rtol=EXACT, atol=EXACT)


@pytest.mark.parametrize("size", [1e-4, 1e-15, 1e-30])
def test_grad_cam_plus_plus_of_small_gradients_is_half_the_positive_ones(rng, size):
    a, g = (np.float32(each) for each in layer(rng, (7,)))
    a, g = np.maximum(a, 0), g * np.float32(size)
    wanted = np.einsum("bc,bcp->bp", np.maximum(g / size, 0).sum(-1) / 2, a)
    off = 10 * size + SINGLE  # g S is left out beside 2
    np.testing.assert_allclose(grad_cam_plus_plus(a, g) / size, wanted, rtol=off, atol=off)


# --- singular vectors -------------------------------------------------------------------------------


@each_library
@pytest.mark.parametrize("channels", [3, 30])
def test_eigen_cam_of_one_pattern_is_that_pattern(rng, channels, xp):
    pattern, strengths = rng.uniform(0, 1, 7), rng.uniform(0, 1, channels)
    a = np.einsum("c,p->cp", strengths, pattern)[None]
    wanted = np.linalg.norm(strengths) * pattern
    found = eigen_cam(*[xp.asarray(a)] * 2)
    np.testing.assert_allclose(np.asarray(found)[0], wanted, rtol=EXACT, atol=EXACT)


@pytest.mark.parametrize("channels", [5, 50])
def test_eigen_cam_of_rectified_activations_is_never_negative(rng, channels):
    a = np.maximum(rng.standard_normal((200, channels, 12)), 0)
    assert eigen_cam(a, a).min() > -EXACT


@pytest.mark.parametrize("channels", [4, 40])
@pytest.mark.parametrize("factor", [1e-30, 1e-12, 1e30])
def test_eigen_cam_scales_with_the_activations_however_small(rng, factor, channels):
    a = np.maximum(rng.standard_normal((3, channels, 12), np.float32), 0)
    found = eigen_cam(a * np.float32(factor), a) / np.float32(factor)
    np.testing.assert_allclose(found, eigen_cam(a, a), rtol=10 * SINGLE, atol=10 * SINGLE)


@pytest.mark.parametrize("channels", [4, 40])
def test_eigen_cam_of_an_infinite_sample_is_not_a_number_without_a_warning(rng, channels):
    a, _ = layer(rng, (7,), channels=channels)
    a[1, 2, 3] = np.inf
    found = eigen_cam(a, a)
    assert np.isnan(found[1]).all()
    np.testing.assert_array_equal(found[[0, 2]], eigen_cam(a[[0, 2]], a[[0, 2]]))


def test_eigen_grad_cam_flips_with_the_score(rng):
    a, g = layer(rng, (7,))
    flipped = eigen_grad_cam(a, -g)
    np.testing.assert_allclose(flipped, -eigen_grad_cam(a, g), rtol=EXACT, atol=EXACT)


@pytest.mark.parametrize("name", ["eigen-cam", "eigen-grad-cam", "kpca-cam"])
def test_no_matrix_of_positions_by_positions_is_held(rng, name):
    a = np.maximum(rng.standard_normal((1, 8, 16 * 112 * 112), np.float32), 0)
    tracemalloc.start()
    found = gradient.find(name).formula(a, a)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.shape == (1, 16 * 112 * 112)
    assert np.isfinite(found).all()
    assert found.any()
    assert peak < 100e6  # that matrix would be 161 GB


KERNELS = [("sigmoid", None), ("sigmoid", 0.5), ("linear", None), ("rbf", None), ("rbf", 0.1)]
each_kernel = pytest.mark.parametrize(("kernel", "gamma"), KERNELS)


@each_library
@each_rank
@each_kernel
def test_kpca_cam_equals_textbook_kernel_pca(rng, kernel, gamma, cells, xp):
    a, _ = layer(rng, cells)
    flat = flatten_positions(xp.asarray(a))
    found = np.asarray(kpca_cam(kernel=kernel, gamma=gamma).formula(flat, flat))
    wanted = oracles.kpca_cam(a, a, kernel, gamma).reshape(3, -1)
    np.testing.assert_allclose(found, wanted, rtol=10 * EXACT, atol=10 * EXACT)


@pytest.mark.parametrize("channels", [3, 30])
def test_kpca_cam_with_a_linear_kernel_is_eigen_cam_of_centred_channels(rng, channels):
    a, _ = layer(rng, (17,), channels=channels)
    found, centred = kpca_cam(kernel="linear").formula(a, a), a - a.mean(-1, keepdims=True)
    np.testing.assert_allclose(found, eigen_cam(centred, a), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("factor", [1e-3, 1e-8])
def test_kpca_cam_of_small_activations_keeps_its_digits(rng, factor):
    """Where nothing saturates the sigmoid is a line: centred Eigen-CAM times the root of its slope."""
    a = rng.standard_normal((2, 4, 9)).astype(np.float32)
    small = a * np.float32(factor)
    found = gradient.find("kpca-cam").formula(small, small) / factor
    slope = (1 - math.tanh(1) ** 2) / 4
    wanted = math.sqrt(slope) * eigen_cam(a - a.mean(-1, keepdims=True), a)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())


def test_kpca_cam_of_activations_that_all_saturate_is_blank_and_not_noise():
    a = np.random.default_rng(0).uniform(100, 200, (2, 4, 37)).astype(np.float32)
    assert not gradient.find("kpca-cam").formula(a, a).any()
    assert kpca_cam(gamma=1e-6).formula(a, a).any()


@pytest.mark.parametrize("kernel", ["sigmoid", "linear", "rbf"])
def test_kpca_cam_of_many_positions_is_close_to_the_exact_one(rng, monkeypatch, kernel):
    """Smooth patterns over an image, as a layer holds, from a quarter of the positions."""
    rows, columns = np.mgrid[:28, :32] / 30
    patterns = [np.exp(-20 * ((rows - u) ** 2 + (columns - v) ** 2)) for u, v in rng.uniform(0, 1, (6, 2))]
    patterns[0] *= 2  # so that one direction leads: of two that are nearly equal, a mixture is found
    a = np.stack(patterns).reshape(1, 6, -1)
    method = kpca_cam(kernel=kernel)
    exact = method.formula(a, a)[0]
    monkeypatch.setattr(gradient, "_MARKS", 223)
    found = method.formula(a, a)[0]
    assert np.abs(found - exact).max() < 0.04 * np.abs(exact).max()  # from 223 of 896 places
    assert abs(found.mean()) < 1e-12


@pytest.mark.parametrize("cells", [(1030,), (32, 64), (16, 112, 112)])
def test_marks_of_many_positions_lie_evenly_along_every_axis(cells):
    places = np.arange(math.prod(cells), dtype=float).reshape(1, 1, -1)
    marks = gradient._marks(places)[0, 0].astype(int)
    assert len(set(marks)) == 1021
    for axis, along in enumerate(np.unravel_index(marks, cells)):
        counts = np.bincount(along, minlength=cells[axis])
        assert counts.max() - counts.min() <= 2 + 0.1 * counts.mean()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"kernel": "linaer"}, r"no kernel 'linaer'. Nearest: 'linear'.*sigmoid, linear, rbf"),
        ({"gamma": 0.0}, "gamma is 0.0; give a number above 0"),
        ({"gamma": math.nan}, "gamma is nan"),
    ],
)
def test_kpca_cam_refuses_kernels_that_make_no_sense(wrong, message):
    with pytest.raises(sc.MethodError, match=message):
        kpca_cam(**wrong)


@pytest.mark.parametrize("value", [np.inf, np.nan, 1e300])
def test_kpca_cam_of_a_sample_beyond_numbers_spoils_no_other(rng, value):
    a, _ = layer(rng, (7,))
    whole = gradient.find("kpca-cam").formula(a, a)
    a[1, 2, 3] = value
    found = gradient.find("kpca-cam").formula(a, a)
    assert np.isnan(found[1]).all()
    np.testing.assert_array_equal(found[[0, 2]], whole[[0, 2]])


# --- activations and baselines -----------------------------------------------------------------------


@each_method
def test_only_a_method_that_says_so_reads_the_gradient(rng, each):
    a, g = layer(rng, (7,))
    same = np.array_equal(each.formula(a, g), each.formula(a, g[::-1]))
    assert same is not each.needs_gradients
    assert (each.family == "gradient") is each.needs_gradients


def test_fem_marks_what_stands_out_with_the_channels_mean():
    a = np.zeros((1, 2, 10))
    a[0, 0, 3], a[0, 1] = 5, 7  # a spike, and a channel that is the same everywhere
    assert fem(a, a).tolist() == [[0, 0, 0, 0.5, 0, 0, 0, 0, 0, 0]]


def test_fem_of_five_positions_or_fewer_is_blank(rng):
    a = np.maximum(rng.standard_normal((50, 4, 4)), 0)
    assert not fem(a, a).any()


def test_fem_of_a_constant_is_blank_whatever_its_mean_is_rounded_to():
    a = np.full((1, 1, 37), 0.1, np.float32)
    assert not fem(a, a).any()


def test_random_cam_weighs_every_sample_alike(rng):
    a = np.broadcast_to(rng.standard_normal((1, 4, 7)), (3, 4, 7))
    found = random_cam(3).formula(a, a)
    np.testing.assert_array_equal(found, found[[0, 0, 0]])


def test_random_cam_of_another_seed_is_another_method(rng):
    a, _ = layer(rng, (7,))
    first, second, again = random_cam(0), random_cam(1), random_cam(1)
    assert (first.name, second.name) == ("random-cam-0", "random-cam-1")
    assert first.formula == gradient.find("random-cam").formula
    assert second == again
    assert np.abs(first.formula(a, a) - second.formula(a, a)).max() > 0.1
    wanted = oracles.random_cam(a, a, seed=1)
    np.testing.assert_allclose(second.formula(a, a), wanted, rtol=EXACT, atol=EXACT)


def test_random_cam_leaves_the_random_state_alone(rng):
    a, _ = layer(rng, (7,))
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - the state that must not change
    random_cam(5).formula(a, a)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002 - the same


def test_uniform_is_one_everywhere(rng):
    assert (uniform(*layer(rng, (7,))) == 1).all()


# --- the registry ----------------------------------------------------------------------------------


def test_methods_are_listed_by_name_with_their_papers():
    listed = {each.name: each for each in sc.methods()}
    assert sorted(listed) == list(listed)
    assert len(listed) >= 12
    assert "1610.02391" in listed["grad-cam"].paper
    assert "2011.08891" in listed["hires-cam"].paper


def test_method_says_what_it_does_and_costs():
    found = gradient.find("grad-cam")
    assert found.formula is grad_cam
    assert found.summary == "Weigh each channel by the mean of its gradient."
    assert (found.family, found.needs_gradients) == ("gradient", True)
    assert found.passes == "1 forward, 1 backward"


def test_formula_without_a_docstring_is_summed_up_by_its_name():
    assert gradient.Method("bare-cam", lambda a, g: a, "none").summary == "bare-cam"


def test_method_without_gradients_says_so_and_costs_less():
    found = gradient.find("eigen-cam")
    assert (found.family, found.needs_gradients) == ("activation", False)
    assert found.passes == "1 forward"


def test_random_cam_is_summed_up_like_any_method():
    assert random_cam(2).summary == "Weigh each channel by a random number between -1 and 1."


@each_method
def test_method_is_summed_up_in_one_sentence(each):
    assert each.summary.endswith(".")
    assert each.paper


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("Grad-CAM", "grad-cam"),
        ("grad_cam", "grad-cam"),
        ("GradCAM", "grad-cam"),
        ("grad cam", "grad-cam"),
        ("HiResCAM", "hires-cam"),
        ("hires-cam", "hires-cam"),
        ("HiRes-CAM", "hires-cam"),
        ("Grad-CAM++", "grad-cam++"),
        ("GradCAMpp", "grad-cam++"),
        ("grad_cam_plus_plus", "grad-cam++"),
        ("LayerCAM", "layer-cam"),
        ("XGrad-CAM", "xgrad-cam"),
        ("EigenCAM", "eigen-cam"),
        ("FEM", "fem"),
        ("EigenGradCAM", "eigen-grad-cam"),
        ("GradCAMElementWise", "grad-cam-elementwise"),
    ],
)
def test_method_is_found_in_any_of_its_papers_spellings(spelling, name):
    assert gradient.find(spelling).name == name


def test_method_object_is_taken_as_it_is():
    own = gradient.Method("own-cam", hires_cam, "none")
    assert gradient.find(own) is own


def test_unknown_method_suggests_near_ones():
    with pytest.raises(sc.MethodError, match=r"no method 'gradcamm'.*Nearest: 'grad-cam'.*Known: "):
        gradient.find("gradcamm")


def test_what_is_no_name_is_no_method():
    with pytest.raises(sc.MethodError, match=r"no method 3\. Known: .*grad-cam, .*hires-cam"):
        gradient.find(3)


def test_method_registered_from_outside_is_listed_and_found(monkeypatch):
    monkeypatch.setattr(registry, "_registry", dict(registry._registry))

    @method("sum-cam", paper="none")
    def sum_cam(a, g):
        """Add up the channels."""
        return a.sum(1)

    assert "sum-cam" in [each.name for each in methods()]
    assert gradient.find("SumCAM").formula is sum_cam
