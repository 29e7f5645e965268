"""What every backend promises. Only SignalCAM and NumPy are used here: models come as fixtures."""

import numpy as np
import pytest
import xarray as xr

import signalcam as sc
from signalcam.arrays import namespace
from signalcam.backends import backend_of

METHODS = ["grad-cam", "hires-cam"]
FORMULAS = [each for each in sc.methods() if each.formula and each.kind == "plain"]
TOLERANCE = 1e-5  # of a map's largest value: single precision, summed in another order
RANKS = ["signal", "image", "volume"]
WHOLE = [*RANKS, "softmax", "sigmoid", "train mode", "frozen", "in place", "mid-training"]
every_model = pytest.mark.parametrize("case", WHOLE, indirect=True)
every_rank = pytest.mark.parametrize("case", RANKS, indirect=True)
one_signal = pytest.mark.parametrize("case", ["signal"], indirect=True)
flat_fem = pytest.mark.filterwarnings("ignore:fem at layer.*stands out:signalcam.CamWarning")
broken = pytest.mark.parametrize("case", ["broken"], indirect=True)


def maps(model, x, layer, **options):
    """Signed maps at the layer's resolution, ``(sample, *positions)``."""
    exp = sc.explain(model, x, layer=layer, signed=True, **{"target": 1, **options})
    return exp.native().values[:, 0, 0]


def lost(a):
    """What of each sample single precision loses to channels whose activations nearly cancel out."""
    a = a.reshape(*a.shape[:2], -1)
    return np.finfo(np.float32).eps * (np.abs(a).sum(axis=2) / np.abs(a.sum(axis=2))).max(axis=1)


def difference(found, wanted):
    """The largest difference of any map, in units of the largest value of that map."""
    flat = (len(wanted), -1)
    size = np.abs(wanted).reshape(flat).max(axis=1)
    assert found.shape == wanted.shape
    assert (size > 0).all()
    return (np.abs(found - wanted).reshape(flat).max(axis=1) / size).max()


# --- the model is borrowed -----------------------------------------------------------------------


def assert_unchanged(framework, case, run):
    before, given = framework.snapshot(case.model, case.x), case.x.copy()
    run()
    after = framework.snapshot(case.model, case.x)
    for what in before:
        assert after[what] == before[what], what
    np.testing.assert_array_equal(case.x, given)


@every_model
def test_model_is_the_same_before_and_after(framework, case):
    assert_unchanged(framework, case, lambda: sc.explain(case.model, case.x, method=METHODS, signed=True))


@every_model
def test_model_is_the_same_after_its_layers_were_listed(framework, case):
    assert_unchanged(framework, case, lambda: sc.layers(case.model, case.x))


def break_it(framework, case, layer):
    with pytest.raises(framework.Broken, match="in mid-run"):
        sc.explain(case.model, case.x, layer=layer)


@broken
@pytest.mark.parametrize("layer", [None, "features"])
def test_model_that_raises_in_mid_run_is_the_same_and_its_exception_comes_through(framework, case, layer):
    assert_unchanged(framework, case, lambda: break_it(framework, case, layer))


@one_signal
@pytest.mark.parametrize(
    "wrong",
    [
        {"target": 99},
        {"layer": "no such layer"},
        {"layer": "head"},
        {"target": lambda out: out},
        {"score": lambda rows: 1 / 0},
    ],
    ids=["class", "layer", "no positions", "target function", "score function"],
)
def test_model_is_the_same_after_a_refusal(framework, case, wrong):
    def refused():
        with pytest.raises((sc.CamError, ZeroDivisionError)):
            sc.explain(case.model, case.x, **wrong)

    assert_unchanged(framework, case, refused)


@every_model
def test_no_hooks_remain(framework, case):
    before = framework.hooks(case.model)
    sc.explain(case.model, case.x, layer=["features", framework.EARLY], signed=True)
    assert framework.hooks(case.model) == before


@every_model
def test_two_explanations_in_a_row_are_equal(case):
    first, second = (sc.explain(case.model, case.x, method=METHODS, signed=True) for _ in range(2))
    np.testing.assert_array_equal(first.maps, second.maps)
    np.testing.assert_array_equal(first.outputs, second.outputs)


# --- the numbers are right -----------------------------------------------------------------------


@every_model
@pytest.mark.parametrize("method", METHODS)
def test_maps_equal_those_by_hand(case, method):
    classes = [0, 3, 1, 2, 0]
    found = maps(case.model, case.x, case.layer, method=method, target=sc.PerSample(classes))
    assert difference(found, case.maps(case.x, classes, method)) < TOLERANCE


@flat_fem
@every_rank
def test_every_method_gives_what_its_formula_gives_in_numpy(case):
    taken, to_numpy = [], backend_of(case.model).numpy

    def keep(a, g):
        taken.append([to_numpy(each).astype(np.float64) for each in (a, g)])
        return hires(a, g)

    hires = next(each.formula for each in sc.methods() if each.name == "hires-cam")
    asked = {"target": sc.PerSample([0, 3, 1, 2, 0]), "batch_size": 5, "signed": True}
    methods = [sc.Method("kept", keep, "none"), *FORMULAS]
    found = sc.explain(case.model, case.x, layer=case.layer, method=methods, **asked)
    values = found.native().values[:, 0]
    ((a, g),) = taken
    for number, each in enumerate(methods[1:], 1):
        wanted = each.formula(a, g).reshape(values[:, number].shape)
        axes = tuple(range(1, wanted.ndim))
        size = np.abs(wanted).max(axis=axes)
        off = np.abs(values[:, number] - wanted).max(axis=axes)
        # xgrad-cam divides by the sum of a channel's activations, whatever is left of it
        bound = np.maximum(TOLERANCE, lost(a)) if each.name == "xgrad-cam" else TOLERANCE
        assert (off <= bound * size).all(), each.name


@flat_fem
@one_signal
def test_order_of_the_methods_changes_nothing(case):
    methods = FORMULAS
    there, back = (
        sc.explain(case.model, case.x, layer=case.layer, method=each, target=1, signed=True)
        for each in (methods, methods[::-1])
    )
    one, other = there.native().values, back.native().values[:, :, ::-1]
    np.testing.assert_array_equal(one, other)


@every_rank
def test_negative_evidence_is_dropped_unless_asked_for(case):
    exp = sc.explain(case.model, case.x, layer=case.layer, target=1, method="hires-cam")
    wanted = np.maximum(case.maps(case.x, [1] * 5, "hires-cam"), 0)
    assert np.abs(exp.native().values[:, 0, 0] - wanted).max() < TOLERANCE * wanted.max()


@every_rank
def test_sample_does_not_see_its_batch(case):
    together = maps(case.model, case.x, case.layer)
    alone = [maps(case.model, case.x[i : i + 1], case.layer) for i in range(len(case.x))]
    assert difference(np.concatenate(alone), together) < TOLERANCE


@every_rank
@pytest.mark.parametrize("batch_size", [1, 2, 3, 64])
def test_batch_size_changes_nothing(case, batch_size):
    asked = sc.PerSample([0, 3, 1, 2, 0])
    whole = maps(case.model, case.x, case.layer, target=asked)
    parts = maps(case.model, case.x, case.layer, target=asked, batch_size=batch_size)
    assert difference(parts, whole) < TOLERANCE


@every_rank
def test_asking_for_more_changes_nothing(framework, case):
    layers, targets = [case.layer, framework.EARLY], ["predicted", 3, sc.PerSample([0, 3, 1, 2, 0])]
    everything = sc.explain(case.model, case.x, method=METHODS, layer=layers, target=targets, signed=True)
    for y, layer in enumerate(layers):
        for t, target in enumerate(targets):
            for m, method in enumerate(METHODS):
                single = maps(case.model, case.x, layer, target=target, method=method)
                found = everything.isel(layer=y).native().values[:, t, m]
                assert difference(found, single) < TOLERANCE


@pytest.mark.parametrize("batch_size", [None, 5, 2])
def test_one_forward_pass_and_one_backward_pass_a_target_serve_everything(framework, batch_size):
    model, counts, layers = framework.counted()
    x = framework.signal(batch=10)
    explainer = sc.Explainer(
        model,
        method=METHODS,
        layer=layers,
        target=["predicted", 0, 2],
        batch_size=batch_size,
        signed=True,
    )
    explainer(x)  # where the layers look is measured once, by passes of its own
    counts.forward.clear()
    counts.backward.clear()
    explainer(x)
    size = batch_size or 10
    assert counts.forward == [size] * (10 // size)
    assert counts.backward == [size] * (3 * 10 // size)


# --- the maps are in the right place -------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_signal_and_its_twin_of_one_row_get_the_same_map(framework, method):
    one, two, layer = framework.twins()
    x = framework.signal()
    flat = sc.explain(one, x, layer=layer, method=method, target=1, signed=True)
    row = sc.explain(two, framework.row_of(x), layer=layer, method=method, target=1, signed=True)
    found = row.maps.values.reshape(flat.maps.shape)
    assert np.abs(found - flat.maps.values).max() < TOLERANCE * np.abs(flat.maps.values).max()


def test_time_shift_of_the_signal_shifts_the_map(framework):
    model, layer, stride = framework.unpadded()
    rng = np.random.default_rng(0)
    long = np.zeros((3, 2, 60), np.float32)  # silence around it, so that nothing leaves at the ends
    long[:, :, 20:35] = rng.standard_normal((3, 2, 15))
    steps = 4
    inputs = [framework.laid_out(x) for x in (long, np.roll(long, steps * stride, axis=2))]
    before, after = (maps(model, x, layer, method="hires-cam") for x in inputs)
    inside = slice(0, before.shape[1] - steps)
    moved = after[:, steps:]
    assert difference(moved, before[:, inside]) < TOLERANCE
    full = [sc.explain(model, x, layer=layer, method="hires-cam", target=1, signed=True) for x in inputs]
    first, second = (exp.maps.values[:, 0, 0, 0] for exp in full)
    assert difference(second[:, 8:-8], first[:, : -steps * stride][:, :-8]) < TOLERANCE


@pytest.mark.parametrize("method", METHODS)
def test_planted_pattern_receives_the_heat(framework, method):
    pattern = np.hanning(9).astype(np.float32) * np.array([1, -1, 1, -1, 1, -1, 1, -1, 1], np.float32)
    model, layer = framework.detector(pattern)
    x = np.random.default_rng(0).normal(0, 0.02, (4, 1, 200)).astype(np.float32)
    starts = [20, 61, 97, 180]
    for sample, start in zip(x[:, 0], starts, strict=True):
        sample[start : start + 9] += pattern
    exp = sc.explain(model, framework.laid_out(x), layer=layer, method=method, target=1)
    peaks = exp.maps.values[:, 0, 0, 0].argmax(axis=1)
    np.testing.assert_array_equal(peaks, np.array(starts) + 4)
    inside = [m[s : s + 9].sum() / m.sum() for m, s in zip(exp.maps.values[:, 0, 0, 0], starts, strict=True)]
    assert min(inside) > 0.99  # noise and the pattern's own side lobes stay below the threshold


# --- the model is asked again ---------------------------------------------------------------------

STEP = 1e-3  # of the input: so small that hardly a ReLU turns over, large enough for single precision


def tried(case, plan, **options):
    """Run a plan for a PerSample target and return what it kept."""
    kept = {}

    def keep(asked):
        kept["found"] = plan(asked)
        return [asked.a[:, 0, :]] * len(asked.scores)

    method = sc.Method("tried", None, "none", "trials", needs_gradients=False, plan=keep)
    asked = {"target": sc.PerSample([0, 3, 1, 2, 0]), "layer": case.layer, "signed": True} | options
    exp = sc.explain(case.model, case.x, method=method, **asked)
    numpy = backend_of(case.model).numpy
    return exp, [numpy(each).astype(np.float64) for each in kept["found"]]


@every_model
def test_unchanged_activations_and_inputs_score_as_in_the_first_pass(case):
    def plan(asked):
        (layer,) = asked.run_with_activations(1, lambda samples, _: asked.a[samples][:, None, ...])
        (whole,) = asked.run_with_inputs(1, lambda samples, _: asked.x[samples][:, None, ...])
        return layer[:, 0], whole[:, 0]

    exp, found = tried(case, plan)
    for each in found:
        np.testing.assert_allclose(each, exp.scores[:, 0], rtol=1e-4, atol=1e-5)


@every_rank
def test_other_activations_score_along_the_gradient(case):
    """A small change of the activations changes the score by what the gradient says."""

    def plan(asked):
        def edit(samples, numbers):
            a = asked.a[samples][:, None, ...]
            return a * (1 + STEP * asked.array(np.asarray([1.0, -1.0])[numbers])[None, :, None, None])

        (both,) = asked.run_with_activations(2, edit)
        g = asked.gradient(0)
        total = namespace(g).sum(g * asked.a, axis=(1, 2))
        return (both[:, 0] - both[:, 1]) / (2 * STEP), total

    _, (found, wanted) = tried(case, plan)
    np.testing.assert_allclose(found, wanted, rtol=0.05, atol=0.02 * np.abs(wanted).max())


@every_rank
def test_input_gradients_agree_with_small_changes_of_the_input(case):
    def plan(asked):
        ((score, g),) = asked.input_gradients(asked.x)
        step = asked.array(np.asarray([STEP, -STEP]))

        def moved(samples, numbers):
            x = asked.x[samples][:, None, ...]
            shape = (1, -1, *[1] * (len(x.shape) - 2))
            return x * (1 + namespace(step).reshape(step[numbers], shape))

        (both,) = asked.run_with_inputs(2, moved)
        axes = tuple(range(1, len(g.shape)))
        return (
            score,
            (both[:, 0] - both[:, 1]) / (2 * STEP),
            namespace(g).sum(g * asked.x, axis=axes),
        )

    exp, (score, found, wanted) = tried(case, plan)
    np.testing.assert_allclose(score, exp.scores[:, 0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found, wanted, rtol=0.05, atol=0.05 * np.abs(wanted).max())


@pytest.mark.filterwarnings("ignore:.*all zero because:signalcam.CamWarning")
@every_rank
def test_every_method_gives_finite_maps_and_leaves_the_model_alone(framework, case):
    before = framework.snapshot(case.model, case.x)
    for each in sc.methods():
        if each.name in ("cam", "le-grad"):  # they need another head, and attention
            continue
        exp = sc.explain(case.model, case.x, layer=case.layer, method=each, target=1)
        assert np.isfinite(exp.maps.values).all(), each.name
    after = framework.snapshot(case.model, case.x)
    for what in set(before) - {"chance"}:  # the checks of types, on in tests, draw from Python's own
        assert after[what] == before[what], what


@one_signal
@pytest.mark.parametrize("method", ["cam", "le-grad"])
def test_method_that_cannot_be_had_says_so_and_leaves_the_model_alone(framework, case, method):
    before = framework.snapshot(case.model, case.x)
    with pytest.raises(sc.MethodError, match="se grad-cam"):
        sc.explain(case.model, case.x, layer=case.layer, method=method, target=1)
    after = framework.snapshot(case.model, case.x)
    for what in set(before) - {"chance"}:
        assert after[what] == before[what], what


@pytest.mark.filterwarnings("ignore:.*all zero because:signalcam.CamWarning")
@pytest.mark.parametrize("case", [each for each in WHOLE if each not in RANKS], indirect=True)
def test_methods_with_passes_of_their_own_leave_odd_models_alone(framework, case):
    methods = ["shapley-cam", "lift-cam", "guided-grad-cam", "full-grad"]
    before = framework.snapshot(case.model, case.x)
    exp = sc.explain(case.model, case.x, layer=case.layer, target=1, method=methods)
    assert np.isfinite(exp.maps.values).all()
    after = framework.snapshot(case.model, case.x)
    for what in set(before) - {"chance"}:  # as above
        assert after[what] == before[what], what


@one_signal
def test_maps_lie_on_the_raw_signal_that_the_input_was_made_of(case):
    axis = int(np.argmax(case.x.shape[1:])) + 1
    raw = np.repeat(case.x, 2, axis=axis)

    def every_second(signal):
        return signal[:, ::2] if axis == 1 else signal[:, :, ::2]

    plain = sc.explain(case.model, case.x, target=1, signed=True)
    wide = sc.explain(case.model, raw, target=1, signed=True, preprocess=every_second)
    assert wide.maps.shape[-1] == 2 * plain.maps.shape[-1]
    np.testing.assert_allclose(wide.maps.values[..., ::2], plain.maps.values, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(wide.at_network_input.maps.values, plain.maps.values)


@one_signal
def test_named_axes_go_where_the_framework_has_them(case):
    channels = backend_of(case.model).channel_axis(case.model)
    given = xr.DataArray(np.moveaxis(case.x, channels, 0), dims=("channel", "sample", "time"))
    given = given.assign_coords(time=np.arange(given.sizes["time"]) / 50)
    plain = sc.explain(case.model, case.x, target=1, signed=True)
    exp = sc.explain(case.model, given, target=1, signed=True)
    np.testing.assert_array_equal(exp.maps, plain.maps)
    np.testing.assert_array_equal(exp.input, case.x)
    np.testing.assert_allclose(exp.maps.time, given.time)
    assert exp.maps.time.attrs == {"units": "s"}


# --- questions -------------------------------------------------------------------------------------

ended = pytest.mark.parametrize("case", ["signal", "softmax"], indirect=True)
C, F = [0, 3, 1, 2, 0], [1, 0, 2, 3, 3]


def by_hand(case, classes, method="hires-cam"):
    return case.maps(case.x, classes, method)


@ended
@pytest.mark.parametrize("method", METHODS)
def test_the_map_of_a_contrast_is_the_difference_of_the_classes_maps(case, method):
    target = sc.Contrast(sc.PerSample(C), foil=sc.PerSample(F))
    found = maps(case.model, case.x, case.layer, method=method, target=target)
    assert difference(found, by_hand(case, C, method) - by_hand(case, F, method)) < TOLERANCE


@ended
def test_several_foils_count_by_their_mean(case):
    found = maps(case.model, case.x, case.layer, target=sc.Contrast(2, foil=[0, 1, 3]))
    rest = sum(by_hand(case, [k] * 5, "grad-cam") for k in (0, 1, 3)) / 3
    assert difference(found, by_hand(case, [2] * 5, "grad-cam") - rest) < TOLERANCE


@one_signal
def test_the_quadratic_contrast_is_the_linear_one_times_twice_the_difference(case):
    exp = sc.explain(
        case.model,
        case.x,
        layer=case.layer,
        signed=True,
        target=[sc.Contrast(2, foil=0), sc.Contrast(2, foil=0, form="quadratic")],
    )
    linear, squared = exp.native().values[:, 0, 0], exp.native().values[:, 1, 0]
    assert difference(squared, 2 * exp.scores[:, 0][:, None] * linear) < TOLERANCE


@ended
def test_the_next_likely_class_and_what_is_finer_than_it(case):
    exp = sc.explain(
        case.model,
        case.x,
        layer=case.layer,
        signed=True,
        target=[sc.Predicted(2), sc.Finer(sc.Predicted(2), nearest=1, gamma=0.5)],
    )
    logits = exp.outputs.values
    second = np.argsort(-logits, axis=1)[:, 1]
    assert exp.target_classes[:, 0].tolist() == second.tolist()
    assert difference(exp.native().values[:, 0, 0], by_hand(case, second, "grad-cam")) < TOLERANCE
    apart = np.abs(logits - logits[np.arange(5), second][:, None])
    near = np.argsort(apart, axis=1)[:, 1]
    wanted = by_hand(case, second, "grad-cam") - 0.5 * by_hand(case, near, "grad-cam")
    assert difference(exp.native().values[:, 1, 0], wanted) < TOLERANCE


@ended
def test_a_counterfactual_is_the_map_turned_over(case):
    found = maps(case.model, case.x, case.layer, target=sc.Counterfactual(2))
    assert difference(found, -by_hand(case, [2] * 5, "grad-cam")) < TOLERANCE


@one_signal
def test_outputs_of_a_regression_add_up_as_they_are_weighed(case):
    exp = sc.explain(case.model, case.x, layer=case.layer, signed=True, target=sc.Regression({0: 1.0, 3: -2.0}))
    wanted = by_hand(case, [0] * 5, "grad-cam") - 2 * by_hand(case, [3] * 5, "grad-cam")
    assert difference(exp.native().values[:, 0, 0], wanted) < TOLERANCE
    assert exp.probabilities is None


@one_signal
def test_a_dot_product_weighs_the_outputs_maps(case):
    w = np.array([0.5, -1.0, 2.0, 0.25], np.float32)
    found = maps(case.model, case.x, case.layer, target=sc.Similarity(w, kind="dot"))
    each = [w[k] * by_hand(case, [k] * 5, "grad-cam") for k in range(4)]
    assert difference(found, sum(each)) < TOLERANCE


@ended
def test_trials_ask_about_what_the_unchanged_sample_was_asked(case):
    contrast = sc.Contrast(sc.Predicted(), foil=sc.Predicted(2))
    exp = sc.explain(case.model, case.x, layer=case.layer, method="ablation-cam", signed=True, target=contrast)
    classes = np.argsort(-exp.outputs.values, axis=1)[:, :2].T
    one, other = (
        maps(case.model, case.x, case.layer, method="ablation-cam", target=sc.PerSample(each)) for each in classes
    )
    assert difference(exp.native().values[:, 0, 0], one - other) < TOLERANCE


@one_signal
def test_questions_that_keep_coming_back_are_answered_alike(case):
    target = [sc.Contrast("predicted", foil=sc.Predicted(2)), sc.Finer(1), sc.Regression(2)]
    explainer = sc.Explainer(case.model, layer=case.layer, signed=True, target=target)
    first, *rest = (explainer(case.x).native().values for _ in range(7))
    for each in rest:
        flat = difference(each.reshape(15, -1), first.reshape(15, -1))
        assert flat < TOLERANCE
