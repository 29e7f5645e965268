"""What every backend promises of several inputs and of samples of unequal length."""

import numpy as np
import pytest

import signalcam as sc

TOLERANCE = 1e-5  # of a map's largest value: single precision, summed in another order
LENGTHS = [40, 44, 37, 44, 40]


@pytest.fixture
def model(towers):
    return towers.towers()[0]


@pytest.fixture
def x(framework):
    rng = np.random.default_rng(0)
    shapes = {"ecg": (2, 44), "frame": (1, 9, 8), "patient": (2,)}
    arrays = {name: rng.standard_normal((5, *shape)).astype(np.float32) for name, shape in shapes.items()}
    laid = {name: framework.laid_out(arrays[name]) for name in ("ecg", "frame")}
    return {**laid, "patient": arrays["patient"]}


def channels(framework):
    """Layout of an ECG as the framework's models take it."""
    return "batch time channel" if framework.laid_out(np.zeros((1, 2, 3))).shape[1] == 3 else "batch channel time"


def items(x, lengths=LENGTHS):
    """The ECGs cut to unequal lengths, each without a batch axis."""
    axis = 0 if x["ecg"].shape[1] == 44 else 1
    ecgs = [each.take(range(n), axis) for each, n in zip(x["ecg"], lengths, strict=True)]
    return {**x, "ecg": ecgs}


def one_of(given, i):
    return {name: each[i][None] for name, each in given.items()}


def difference(found, wanted):
    assert found.shape == wanted.shape
    return np.abs(found - wanted).max() / np.abs(wanted).max()


OPTIONS = {"of": "ecg", "layer": "ecg_conv", "target": 1, "signed": True}


def assert_as_alone(exp, model, given, tolerance=TOLERANCE, extra=None, **options):
    for i in range(5):
        rows = {name: each[i : i + 1] for name, each in (extra or {}).items()}
        alone = sc.explain(model, one_of(given, i), extra=rows, **{**OPTIONS, **options})
        part = exp.isel(sample=i)
        assert difference(part.maps.values, alone.maps.values) < tolerance
        np.testing.assert_allclose(part.outputs, alone.outputs, rtol=1e-4, atol=1e-5)


# --- several inputs ------------------------------------------------------------------------------


@pytest.mark.parametrize("of", ["ecg", "frame"])
@pytest.mark.parametrize("form", ["dict", "tuple"])
def test_map_is_drawn_on_the_input_that_is_named(towers, model, x, of, form):
    given = x if form == "dict" else tuple(x.values())
    name = of if form == "dict" else list(x).index(of)
    options = {"layer": towers.LAYERS[of], "target": sc.PerSample([0, 3, 1, 2, 0]), "signed": True}
    exp = sc.explain(model, given, of=name, **options)
    assert np.array_equal(exp.input, x[of])
    for i in range(5):
        asked = {**options, "target": [0, 3, 1, 2, 0][i]}
        alone = sc.explain(model, one_of(x, i), of=of, **asked).maps.values
        assert difference(exp.maps.values[i : i + 1], alone) < TOLERANCE


@pytest.mark.parametrize("of", ["ecg", "frame"])
def test_layer_that_depends_on_the_input_is_chosen(towers, model, x, of):
    assert sc.explain(model, x, of=of, signed=True).layer_names == (towers.LAYERS[of],)


def test_name_that_is_no_input_is_refused(model, x):
    with pytest.raises(sc.InputError, match=r"no input 'egc'\. Nearest: 'ecg'"):
        sc.explain(model, x, of="egc")


@pytest.mark.parametrize("batch_size", [None, 2])
def test_extra_inputs_are_passed_by_keyword(framework, model, x, batch_size):
    inside = np.random.default_rng(1).random((5, 44)) > 0.4
    exp = sc.explain(model, x, extra={"inside": inside}, batch_size=batch_size, **OPTIONS)
    assert_as_alone(exp, model, x, extra={"inside": inside})
    bare = sc.explain(model, x, **OPTIONS)
    assert difference(exp.maps.values, bare.maps.values) > 0.01
    warm = sc.explain(model, x, extra={"temperature": 2.0}, **OPTIONS)
    assert difference(2 * warm.maps.values, bare.maps.values) < TOLERANCE


def test_extra_inputs_go_along_with_trials(model, x):
    inside = np.random.default_rng(1).random((5, 44)) > 0.4
    options = {"method": "score-cam", "extra": {"inside": inside}}
    exp = sc.explain(model, x, **OPTIONS, **options)
    assert_as_alone(exp, model, x, 1e-4, method="score-cam", extra={"inside": inside})


def test_keyword_that_the_model_does_not_take_is_refused(model, x):
    with pytest.raises(sc.InputError, match=r"Towers takes no 'inisde'.*Nearest: 'inside'"):
        sc.explain(model, x, extra={"inisde": np.ones((5, 44))})


def test_model_is_the_same_after_several_inputs(towers, x):
    model, _ = towers.towers()
    names = {name for name in vars(model) if name != "runs"}
    sc.explain(model, x, of=["ecg", "frame"], extra={"temperature": 2.0}, signed=True)
    assert {name for name in vars(model) if name != "runs"} == names


def test_maps_of_every_modality_come_from_one_pass(towers, x):
    model, runs = towers.towers()
    explainer = sc.Explainer(model, layer=towers.LAYERS, target=[0, 1], signed=True)
    explainer(x)  # where the layers look is measured once
    alone = {
        name: sc.explain(model, x, of=name, layer=layer, target=[0, 1], signed=True)
        for name, layer in towers.LAYERS.items()
    }
    before = len(runs)
    exp = explainer(x)
    assert runs[before:] in (
        [5],
        [5, 5],
    )  # on JAX the shapes are found by a run of none of the numbers
    for name, wanted in alone.items():
        found = exp.modality(name)
        assert found.maps.dims == wanted.maps.dims
        assert difference(found.maps.values, wanted.maps.values) < TOLERANCE
        np.testing.assert_array_equal(found.predicted, wanted.predicted)


# --- unequal lengths -----------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["grad-cam", "hires-cam", "score-cam"])
def test_list_of_unequal_length_equals_each_sample_alone(framework, model, x, method):
    given = items(x)
    options = {"layout": {"ecg": channels(framework)}, "method": method}
    exp = sc.explain(model, given, **OPTIONS, **options)
    assert_as_alone(exp, model, given, 1e-4 if method == "score-cam" else TOLERANCE, **options)
    assert exp.lengths.values.tolist() == LENGTHS
    assert np.isnan(exp.maps.values[0, ..., 40:]).all()
    assert "samples of equal length ran together, 3 lengths" in exp.provenance["unequal lengths"]


@pytest.mark.parametrize("mark", [{"inside": sc.Mask()}, {"lengths": sc.Lengths()}], ids=["mask", "lengths"])
def test_padded_and_marked_samples_equal_each_alone(framework, model, x, mark):
    given = items(x)
    options = {"layout": {"ecg": channels(framework)}, "method": ["grad-cam", "eigen-cam"]}
    exp = sc.explain(model, given, extra=mark, **OPTIONS, **options)
    assert exp.provenance["unequal lengths"].startswith("padded and marked")
    assert_as_alone(exp, model, given, **options)


def test_padded_tensors_of_the_framework_equal_each_alone(framework, model, x):
    given, options = items(x), {"layout": {"ecg": channels(framework)}}
    own = {**given, "ecg": list(map(framework.tensor, given["ecg"]))}
    exp = sc.explain(model, own, extra={"inside": sc.Mask()}, **OPTIONS, **options)
    assert exp.provenance["unequal lengths"].startswith("padded and marked")
    assert_as_alone(exp, model, given, **options)


def test_padded_array_with_lengths_equals_each_sample_alone(framework, model, x):
    layout = sc.Layout(channels(framework), lengths=LENGTHS)
    exp = sc.explain(model, x, layout={"ecg": layout}, **OPTIONS)
    assert_as_alone(exp, model, items(x), layout={"ecg": channels(framework)})
    assert np.isnan(exp.maps.values[2, ..., 37:]).all()
