"""The result: labelled maps, parts of it, and what it says about itself."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import xarray as xr

from signalcam import CamError, Layout, LayoutError, MethodError, TargetError
from signalcam.alignment.resampling import AxisGrid, spread_evenly
from signalcam.results.layer_maps import LayerMaps
from unit.results import METHODS, SAMPLES, TARGETS, assert_same, make

SINGLE = 1e-6  # float32: about eight units in the last place of a number near 1
AXES = ("sample", "target", "cam", "layer")


# --- labelled maps -----------------------------------------------------------------------------------


def test_maps_have_named_axes_at_the_inputs_resolution(exp):
    assert exp.maps.dims == (*AXES, "time")
    assert exp.maps.shape == (3, 2, 2, 2, 40)
    assert exp.maps.dtype == np.float32
    assert {axis: tuple(exp.maps[axis].values) for axis in AXES} == {
        "sample": SAMPLES,
        "target": TARGETS,
        "cam": METHODS,
        "layer": ("conv1", "conv2"),
    }


def test_maps_lie_where_their_layer_looked(exp):
    for layer in exp.layers:
        one = {"sample": "bob", "target": "noise", "cam": "hires-cam", "layer": layer.name}
        found = exp.maps.sel(one)
        expected = np.interp(np.arange(40), layer.grid[0].centres, layer.values[1, 1, 1])
        np.testing.assert_allclose(found, expected, atol=SINGLE)


def test_time_is_labelled_in_seconds(exp):
    np.testing.assert_allclose(exp.maps.time, np.arange(40) / 10)
    assert exp.maps.time.attrs == {"units": "s"}


def test_time_is_labelled_in_samples_without_a_rate():
    time = make(layout=Layout("batch channel time")).maps.time
    assert time.values.tolist() == list(range(40))
    assert time.attrs == {}


def test_maps_remember_where_they_come_from(exp):
    assert exp.maps.attrs == exp.provenance
    assert exp.maps.name == "importance"


def test_native_maps_have_the_centres_of_their_positions(exp):
    native = exp.native("conv2")
    assert native.dims == ("sample", "target", "cam", "time")
    np.testing.assert_array_equal(native, exp.layers[1].values)
    np.testing.assert_allclose(native.time, (3.5 + 8 * np.arange(5)) / 10)
    assert native.time.attrs == {"units": "s"}


def test_native_maps_are_those_of_the_first_layer_unless_asked(exp):
    xr.testing.assert_identical(exp.native(), exp.native("conv1"))


def test_native_maps_of_an_unknown_layer_suggest_near_ones(exp):
    with pytest.raises(CamError, match=r"no layer 'conv3' here\. Nearest: .*'conv2'"):
        exp.native("conv3")


IMAGE = {
    "input": np.zeros((3, 1, 6, 8), np.float32),
    "layout": Layout("batch channel height width"),
}


def test_maps_of_images_follow_the_inputs_axes():
    grid = (spread_evenly(2, 3, 6), spread_evenly(3, 4, 8))
    exp = make({"conv": grid}, **IMAGE)
    assert exp.maps.dims == (*AXES, "height", "width")
    assert exp.maps.shape == (3, 2, 2, 1, 6, 8)
    assert exp.native().shape == (3, 2, 2, 3, 4)


def test_layer_without_one_of_the_axes_holds_its_map_along_it():
    exp = make({"conv": (spread_evenly(2, 3, 6), spread_evenly(3, 4, 8)), "rows": (spread_evenly(2, 3, 6),)}, **IMAGE)
    rows = exp.maps.sel(layer="rows")
    assert exp.dims == ("height", "width")
    assert rows.shape == (3, 2, 2, 6, 8)
    assert (rows == rows.isel(width=0)).all()


def test_map_that_walks_over_channels_has_their_names():
    layout = Layout("batch _ time channel", channel_names=["I", "II"])
    grid = (AxisGrid(2, 5, 10, 0.5, 2.0), AxisGrid(3, 2, 2, 0.0, 1.0))
    exp = make({"conv": grid}, input=np.zeros((3, 1, 10, 2), np.float32), layout=layout)
    assert exp.maps.dims == (*AXES, "time", "channel")
    assert exp.maps.channel.values.tolist() == ["I", "II"]


SOUND = Layout("batch frequency time", coordinates={"frequency": [100, 200, 400, 800, 1600]}, spacing={"time": 0.1})


@pytest.fixture
def sound():
    grid = (AxisGrid(1, 2, 5, 0.5, 2.0), AxisGrid(2, 4, 8, 0.5, 2.0))
    return make({"conv": grid}, input=np.zeros((3, 5, 8), np.float32), layout=SOUND)


def test_maps_are_chosen_from_and_averaged_by_the_places_of_an_axis(sound):
    band = sound.maps.sel(frequency=slice(150, 900), time=slice(0.2, 0.6))
    assert band.frequency.values.tolist() == [200, 400, 800]
    np.testing.assert_allclose(band.time, [0.2, 0.3, 0.4, 0.5, 0.6])
    assert sound.maps.frequency.attrs == {"units": "Hz"}
    np.testing.assert_allclose(sound.maps.mean("frequency"), sound.maps.values.mean(axis=4), atol=SINGLE)


def test_native_maps_lie_between_the_places_of_an_axis(sound):
    native = sound.native()
    assert native.frequency.values.tolist() == [150, 600]
    np.testing.assert_allclose(native.time, [0.05, 0.25, 0.45, 0.65])
    assert native.sel(frequency=slice(300, 3400)).shape == (3, 2, 2, 1, 4)


def test_dataset_has_the_places_of_the_axes(sound):
    dataset = sound.to_xarray()
    xr.testing.assert_identical(dataset.importance.frequency, sound.maps.frequency)
    assert dataset.sel(frequency=slice(300, 900)).sizes["frequency"] == 2


def test_maps_over_channels_are_chosen_from_by_name():
    grid = (AxisGrid(1, 2, 2, 0.0, 1.0), AxisGrid(2, 40, 40, 0.0, 1.0))
    assert make({"conv": grid}).maps.sel(channel="II").dims == (*AXES, "time")


def test_maps_that_are_not_finite_are_looked_at_without_further_warnings():
    values = np.full((3, 2, 2, 10), np.inf, np.float32)
    values[0, 0, 0, 3] = np.nan
    exp = make(layers=(LayerMaps("conv1", values, make().layers[0].grid),))
    for each in (exp, *map(exp.normalized, ("max", "minmax", "symmetric"))):
        assert not np.isfinite(each.maps).any()


# --- what the model said -----------------------------------------------------------------------------


def test_outputs_are_the_logits_by_class_name(exp):
    assert exp.outputs.dims == ("sample", "class")
    assert exp.outputs.sel({"class": "noise"}).values.tolist() == exp.logits[:, 2].tolist()
    assert exp.outputs.attrs["kind"] == "logit; logits returned by the model"


def test_classes_without_names_are_numbered():
    outputs = make(class_names=None).outputs
    assert outputs["class"].values.tolist() == [0, 1, 2]


def test_confidence_is_the_probability_of_each_class(exp):
    assert float(exp.confidence.sel({"sample": "bob", "class": "ventricular"})) == np.float32(0.7)


def test_predicted_and_true_classes_are_labelled_by_sample(exp):
    assert exp.predicted.sel(sample="cy") == 2
    assert exp.labels.sel(sample="cy") == 1


def test_labels_are_nothing_where_none_were_given():
    assert make(true_classes=None).labels is None


@pytest.mark.parametrize("view", ["outputs", "confidence", "predicted"])
def test_result_without_classes_says_so(view):
    exp = make(logits=None, probabilities=None, classes=None)
    with pytest.raises(TargetError, match=r"output holds no classes.*Read \.scores"):
        getattr(exp, view)


def test_dataset_holds_everything(exp):
    dataset = exp.to_xarray()
    names = {"importance", "score", "logit", "probability", "predicted", "label"}
    assert set(dataset) == names
    assert dataset.attrs == exp.provenance
    np.testing.assert_array_equal(dataset.score, exp.scores)


def test_dataset_without_classes_holds_maps_and_scores():
    exp = make(logits=None, probabilities=None, classes=None, true_classes=None)
    assert set(exp.to_xarray()) == {"importance", "score"}


@pytest.mark.parametrize(("index", "name"), [(1, "ventricular"), (3, "3"), (-1, "-1")])
def test_class_has_its_name_or_its_number(exp, index, name):
    assert exp.class_name(index) == name


def test_class_without_names_has_its_number():
    assert make(class_names=None).class_name(1) == "1"


def test_length_is_the_number_of_samples(exp):
    assert len(exp) == 3


def test_result_describes_itself_in_a_sentence(exp):
    assert repr(exp) == (
        "<Explanation of Net: 3 samples x 2 targets x 2 methods x 2 layers, maps of 40 time; "
        "grad-cam, hires-cam at conv1, conv2, for predicted, noise>"
    )


def test_description_counts_one_of_a_kind_as_one():
    one = make(provenance={}).isel(sample=0, target=0, cam=0, layer=0)
    assert repr(one).startswith("<Explanation of a model: 1 sample x 1 target x 1 method x 1 layer")


def test_result_cannot_be_changed(exp):
    with pytest.raises(FrozenInstanceError):
        exp.scores = None


# --- averages ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dim", ["sample", "time", ("sample", "target")])
def test_mean_and_spread_are_those_of_the_maps(exp, dim):
    axes = [exp.maps.dims.index(each) for each in ([dim] if isinstance(dim, str) else dim)]
    np.testing.assert_allclose(exp.mean(dim), exp.maps.values.mean(tuple(axes)), atol=SINGLE)
    np.testing.assert_allclose(exp.std(dim), exp.maps.values.std(tuple(axes)), atol=SINGLE)
    assert exp.mean(dim).attrs == exp.std(dim).attrs == exp.provenance


# --- parts of it ---------------------------------------------------------------------------------------


def test_samples_are_taken_with_everything_that_is_theirs(exp):
    part = exp.isel(sample=[2, 0])
    assert part.sample_names == ("cy", "ann")
    for name in ("input", "scores", "target_classes", "logits", "probabilities", "classes", "true_classes"):
        np.testing.assert_array_equal(getattr(part, name), getattr(exp, name)[[2, 0]])
    np.testing.assert_array_equal(part.layers[1].values, exp.layers[1].values[[2, 0]])


@pytest.mark.parametrize(
    ("chosen", "left"),
    [
        (1, ("bob",)),
        (-1, ("cy",)),
        (slice(1, None), ("bob", "cy")),
        ([True, False, True], ("ann", "cy")),
        (np.array([1, 1]), ("bob", "bob")),
        ([], ()),
    ],
)
def test_samples_are_chosen_as_in_numpy_and_a_number_keeps_its_axis(exp, chosen, left):
    part = exp.isel(sample=chosen)
    assert part.sample_names == left
    assert part.layers[0].values.shape == (len(left), 2, 2, 10)


def test_several_axes_are_chosen_at_once(exp):
    part = exp.isel(sample=slice(2), target=1, cam=[1], layer=-1)
    assert (part.targets, part.methods, part.layer_names) == (
        ("noise",),
        ("hires-cam",),
        ("conv2",),
    )
    np.testing.assert_array_equal(part.scores, exp.scores[:2, 1:])
    np.testing.assert_array_equal(part.layers[0].values, exp.layers[1].values[:2, 1:, 1:])


def test_parts_of_the_maps_are_the_maps_of_the_parts(exp):
    part = exp.isel(sample=[0, 2], target=[1], cam=[0])
    xr.testing.assert_identical(part.maps, exp.maps.isel(sample=[0, 2], target=[1], cam=[0]))


def test_result_without_classes_has_parts_too():
    exp = make(logits=None, probabilities=None, classes=None, true_classes=None)
    assert exp.isel(sample=0).logits is None


@pytest.mark.parametrize("chosen", [3, -4, [0, 9], "bob", 1.5])
def test_number_out_of_range_raises(exp, chosen):
    with pytest.raises(TargetError, match="there are 3, counted from 0"):
        exp.isel(sample=chosen)


@pytest.mark.parametrize("choose", ["sel", "isel"])
def test_unknown_axis_raises_and_lists_those_there_are(exp, choose):
    with pytest.raises(MethodError, match=r"no axis 'channel' .* sample, target, cam, layer"):
        getattr(exp, choose)(channel=0)


def test_parts_are_chosen_by_name(exp):
    part = exp.sel(sample=["cy", "ann"], target="noise", cam="hires-cam", layer="conv2")
    assert_same(part, exp.isel(sample=[2, 0], target=1, cam=1, layer=1))


@pytest.mark.parametrize("spelling", ["HiResCAM", "hires_cam", "HiRes-CAM"])
def test_method_is_chosen_in_any_spelling(exp, spelling):
    assert exp.sel(cam=spelling).methods == ("hires-cam",)


def test_method_that_is_no_longer_registered_is_chosen_by_its_name():
    assert make(methods=("own-cam", "grad-cam")).sel(cam="own-cam").methods == ("own-cam",)


@pytest.mark.parametrize("index", [2, np.int64(2)])
def test_target_is_chosen_by_class_index(exp, index):
    assert exp.sel(target=index).targets == ("noise",)


def test_target_is_chosen_by_class_index_without_names():
    assert make(class_names=None, targets=("0", "2")).sel(target=2).targets == ("2",)


def test_samples_with_numbers_for_names_are_chosen_by_them():
    part = make(sample_names=(10, 11, 12)).sel(sample=np.array([12, 10]))
    assert part.sample_names == (12, 10)


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        (
            {"target": "nois"},
            r"no target 'nois' here\. Nearest: 'noise'\. There are: predicted, noise\.",
        ),
        ({"target": 7}, r"no target '7' here\. There are: predicted, noise\."),
        ({"target": -1}, r"no target '-1' here"),
        ({"layer": "conv"}, r"no layer 'conv' here\. Nearest: 'conv2', 'conv1'"),
        ({"sample": "dan"}, r"no sample 'dan' here.* There are: ann, bob, cy\."),
        ({"cam": "gradcan"}, r"no method 'gradcan'\. Nearest: 'grad-cam'"),
    ],
)
def test_unknown_name_raises_and_suggests_near_ones(exp, chosen, words):
    with pytest.raises(CamError, match=words):
        exp.sel(**chosen)


def test_method_that_was_not_asked_for_raises(exp):
    with pytest.raises(TargetError, match=r"no method 'hires-cam' here.*There are: grad-cam\."):
        exp.isel(cam=0).sel(cam="HiResCAM")


# --- normalised ----------------------------------------------------------------------------------------


def extremes(exp):
    flat = exp.maps.values.reshape(-1, 40)
    return flat.min(1), flat.max(1), np.abs(flat).max(1)


def test_max_scales_every_map_to_one(exp):
    np.testing.assert_allclose(extremes(exp.normalized())[1], 1, rtol=SINGLE)


def test_max_and_symmetric_keep_the_sign_of_every_value(exp):
    for kind in ("max", "symmetric"):
        np.testing.assert_array_equal(np.sign(exp.normalized(kind).maps), np.sign(exp.maps))


def test_minmax_spreads_every_map_over_zero_to_one(exp):
    low, high, _ = extremes(exp.normalized("minmax"))
    np.testing.assert_allclose(low, 0, atol=SINGLE)
    np.testing.assert_allclose(high, 1, rtol=SINGLE)


def test_symmetric_scales_the_largest_magnitude_to_one(exp):
    np.testing.assert_allclose(extremes(exp.normalized("symmetric"))[2], 1, rtol=SINGLE)


@pytest.mark.parametrize("kind", ["max", "minmax", "symmetric"])
def test_constant_map_becomes_zero(kind):
    layers = [
        replace(each, values=np.full_like(each.values, 0.1)) for each in make().layers
    ]  # 0.1 has no exact binary form: rounding on the way must not be taken for a shape
    assert not make(layers=tuple(layers)).normalized(kind).maps.any()


def test_normalising_leaves_the_rest_and_the_original_alone(exp):
    before = exp.layers[0].values.copy()
    scaled = exp.normalized("minmax")
    assert scaled.provenance == {**exp.provenance, "normalized": "minmax"}
    assert scaled.layers[0].values.dtype == np.float32
    assert_same(replace(scaled, layers=exp.layers, provenance=exp.provenance), exp)
    np.testing.assert_array_equal(exp.layers[0].values, before)


def test_unknown_normalisation_raises(exp):
    with pytest.raises(MethodError, match="no normalisation 'l2'"):
        exp.normalized("l2")


def test_a_stretch_may_have_no_end(exp):
    assert exp.between(2, np.inf).maps.sizes["time"] == 20
    assert exp.between(-np.inf, 1).maps.sizes["time"] == 11
    assert exp.between(np.array(1.0), np.float32(2)).maps.sizes["time"] == 11


@pytest.mark.parametrize("ends", [(np.nan, 2), (0, np.nan), ("0", "2"), (None, 2)], ids=str)
def test_a_stretch_between_what_is_no_number_is_refused(exp, ends):
    with pytest.raises(LayoutError, match="give two numbers"):
        exp.between(*ends)
