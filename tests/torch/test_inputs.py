"""Several inputs: which of them the map is drawn on, what is passed beside, a map of each in one pass."""

import numpy as np
import pytest
import torch
from torch import nn

import signalcam as sc

CLOSE = {"rtol": 1e-5, "atol": 1e-6}  # single precision, in batches of another size


class Both(nn.Module):
    """ECG and a skeleton, with age and sex: two towers of their own, and what is said of the patient."""

    def __init__(self):
        super().__init__()
        self.ecg_net = nn.Sequential(nn.Conv1d(3, 4, 5), nn.ReLU(), nn.Conv1d(4, 4, 3, stride=2))
        self.skeleton_net = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 5, 3, padding=1))
        self.head, self.calls = nn.Linear(4 + 5 + 2, 4), []

    def forward(self, ecg, skeleton, patient, mask=None, temperature=1.0):
        self.calls.append(len(ecg))
        e = self.ecg_net(ecg).square()
        if mask is not None:
            e = e * mask[:, None, : e.shape[2]]
        s = self.skeleton_net(skeleton).square()
        joined = torch.cat([e.mean(2), s.flatten(2).mean(2), patient], 1)
        return self.head(joined) / temperature


@pytest.fixture
def net():
    return Both().eval()


@pytest.fixture
def x():
    rng = np.random.default_rng(0)
    shapes = {"ecg": (3, 60), "skeleton": (2, 12, 9), "patient": (2,)}
    return {name: rng.standard_normal((5, *shape)).astype(np.float32) for name, shape in shapes.items()}


BOTH = {"ecg": "ecg_net.2", "skeleton": "skeleton_net.2"}


def by_hand(net, x, tower, name, classes, **extra):
    """Signed Grad-CAM of one tower, the others' outputs held."""
    a = getattr(net, tower)(torch.as_tensor(x[name])).detach().requires_grad_()
    own = getattr(net, tower).forward
    getattr(net, tower).forward = lambda _: a
    z = net(*[torch.as_tensor(each) for each in x.values()], **extra)
    getattr(net, tower).forward = own
    (g,) = torch.autograd.grad(sum(row[c] for row, c in zip(z, classes, strict=True)), a)
    positions = tuple(range(2, a.ndim))
    return (g.mean(positions, keepdim=True) * a).sum(1).detach().numpy()


def close(found, wanted):
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() < 1e-5 * np.abs(wanted).max()


# --- which one -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("of", "tower"),
    [("ecg", "ecg_net"), ("skeleton", "skeleton_net"), (("ecg",), "ecg_net")],
)
def test_map_is_drawn_on_the_input_that_is_named(net, x, of, tower):
    exp = sc.explain(net, x, of=of, layer=f"{tower}.2", target=1, signed=True)
    name = of if isinstance(of, str) else of[0]
    close(exp.native().values[:, 0, 0], by_hand(net, x, tower, name, [1] * 5))
    assert exp.of == name
    assert exp.maps.shape[4:] == x[name].shape[2:]
    assert np.array_equal(exp.input, x[name])


def test_inputs_in_a_row_are_named_by_number(net, x):
    exp = sc.explain(net, tuple(x.values()), of=1, layer="skeleton_net.2", target=1, signed=True)
    close(exp.native().values[:, 0, 0], by_hand(net, x, "skeleton_net", "skeleton", [1] * 5))
    assert exp.modalities == ("1",)


def test_nested_inputs_are_named_by_a_path_or_its_end(net, x):
    class Nested(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, given):
            signals, patient = given["signals"], given["patient"]
            return self.net(signals[0]["ecg"], signals[1], patient)

    given = {"given": {"signals": ({"ecg": x["ecg"]}, x["skeleton"]), "patient": x["patient"]}}
    wanted = by_hand(net, x, "ecg_net", "ecg", [1] * 5)
    for of in ("ecg", ("given", "signals", 0, "ecg"), ("given", "signals", 0)):
        exp = sc.explain(Nested(), given, of=of, layer="net.ecg_net.2", target=1, signed=True)
        close(exp.native().values[:, 0, 0], wanted)


def test_without_a_name_the_input_with_the_most_axes_is_taken(net, x):
    assert sc.explain(net, x, signed=True).input.shape == x["skeleton"].shape


@pytest.mark.parametrize(("of", "layer"), [("ecg", "ecg_net"), ("skeleton", "skeleton_net")])
def test_last_layer_that_depends_on_the_input_is_chosen(net, x, of, layer):
    assert sc.explain(net, x, of=of, signed=True).layer_names == (layer,)


def test_layers_are_listed_with_their_place_in_the_input_that_is_named(net, x):
    layout = sc.Layout("batch channel time", sampling_rate=100)
    found = {each.name: each for each in sc.layers(net, x, of="ecg", layout=layout)}
    assert found["ecg_net"].stride == (2.0,)
    assert found["ecg_net"].seconds == (0.02, 0.07)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"of": "egc"}, sc.InputError, r"no input 'egc'\. Nearest: 'ecg'\. There are: ecg, skeleton, patient"),
        ({"of": ["ecg", "ecg"]}, sc.InputError, "holds an input twice"),
        ({"of": []}, sc.InputError, "or none"),
        ({"of": ["ecg", "skeleton"], "layer": "ecg_net.2"}, sc.MethodError, "layer={'ecg'"),
        ({"of": ["ecg", "skeleton"], "layout": "batch channel time"}, sc.LayoutError, "layout={'ecg'"),
        ({"of": "ecg", "layer": BOTH}, sc.InputError, "layer names 'skeleton'"),
        ({"of": "ecg", "layer": {"egc": "x"}}, sc.InputError, "no input 'egc'"),
        ({"extra": {"temprature": 2.0}}, sc.InputError, r"Both takes no 'temprature'.*Nearest: 'temperature'"),
    ],
    ids=str,
)
def test_what_does_not_fit_the_inputs_is_said_in_a_sentence(net, x, options, error, message):
    with pytest.raises(error, match=message):
        sc.explain(net, x, **options)


# --- what is passed beside -----------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [None, 2])
@pytest.mark.parametrize("form", [dict, lambda d: tuple(d.values())])
def test_extra_inputs_are_passed_by_keyword_in_every_batch(net, x, batch_size, form):
    mask = np.random.default_rng(1).random((5, 60)) > 0.4
    exp = sc.explain(
        net,
        form(x),
        extra={"mask": mask, "temperature": 2.0},
        batch_size=batch_size,
        of="ecg" if form is dict else 0,
        layer="ecg_net.2",
        target=1,
        signed=True,
    )
    wanted = by_hand(net, x, "ecg_net", "ecg", [1] * 5, mask=torch.as_tensor(mask), temperature=2.0)
    close(exp.native().values[:, 0, 0], wanted)


@pytest.mark.parametrize("method", ["score-cam", "ablation-cam"])
def test_extra_inputs_go_along_with_every_trial(net, x, method):
    """Samples alone, each with its own mask, give what all give together."""
    x = x | {"ecg": 10 * x["ecg"]}  # so that what a trial changes is no mere rounding of a score
    mask = np.random.default_rng(1).random((5, 60)) > 0.4
    options = {"of": "ecg", "layer": "ecg_net.2", "target": 1, "method": method, "signed": True}
    together = sc.explain(net, x, extra={"mask": mask}, **options).native().values
    for i in range(5):
        one = {name: each[i : i + 1] for name, each in x.items()}
        alone = sc.explain(net, one, extra={"mask": mask[i : i + 1]}, **options).native().values
        close(together[i : i + 1], alone)


def test_extra_may_hold_the_input_that_is_explained(net, x):
    rest = {name: x[name] for name in ("skeleton", "patient")}
    exp = sc.explain(net, rest, extra={"ecg": x["ecg"]}, of="ecg", layer="ecg_net.2", target=1, signed=True)
    close(exp.native().values[:, 0, 0], by_hand(net, x, "ecg_net", "ecg", [1] * 5))


# --- a map of each -------------------------------------------------------------------------------

LAYOUTS = {
    "ecg": sc.Layout("batch channel time", sampling_rate=100, channel_names=["I", "II", "III"]),
    "skeleton": sc.Layout("batch _ time joint", sampling_rate=10),
}


@pytest.fixture
def exp(net, x):
    return sc.explain(
        net,
        x,
        of=["ecg", "skeleton"],
        layer=BOTH,
        layout=LAYOUTS,
        method=["grad-cam", "hires-cam"],
        target=["predicted", 1],
        signed=True,
        labels=[0, 1, 2, 3, 0],
    )


def test_modalities_are_those_of_single_calls(net, x, exp):
    assert exp.modalities == ("ecg", "skeleton")
    assert exp.of == "ecg"
    for name in exp.modalities:
        alone = sc.explain(
            net,
            x,
            of=name,
            layer=BOTH[name],
            layout=LAYOUTS[name],
            method=["grad-cam", "hires-cam"],
            target=["predicted", 1],
            signed=True,
        )
        found = exp.modality(name)
        assert found.maps.dims == alone.maps.dims
        np.testing.assert_allclose(found.maps, alone.maps, **CLOSE)
        np.testing.assert_array_equal(found.predicted, alone.predicted)
        np.testing.assert_array_equal(found.labels, [0, 1, 2, 3, 0])
        assert exp.modality(name).modality("ecg").maps.equals(exp.maps)
    assert exp.modality("skeleton").maps.dims[-2:] == ("time", "joint")
    assert float(exp.modality("skeleton").maps["time"][-1]) == pytest.approx(1.1)
    assert float(exp.maps["time"][-1]) == pytest.approx(0.59)


def test_all_modalities_come_from_one_pass_and_one_backward_pass_a_target(net, x):
    explainer = sc.Explainer(net, of=["ecg", "skeleton"], layer=BOTH, target=[0, 1, 2], signed=True)
    explainer(x)  # where the layers look is measured once
    net.calls.clear()
    counted = []
    handle = net.head.register_full_backward_hook(lambda *_: counted.append(1))
    explainer(x)
    handle.remove()
    assert net.calls == [5]
    assert len(counted) == 3


def test_layers_of_all_modalities_are_found(net, x):
    exp = sc.explain(net, x, of=["skeleton", "ecg"], signed=True)
    assert {name: exp.modality(name).layer_names for name in exp.modalities} == {
        name: (f"{name}_net",) for name in BOTH
    }


def test_layers_by_input_say_which_inputs_are_meant(net, x):
    assert sc.explain(net, x, layer=BOTH, signed=True).modalities == ("ecg", "skeleton")


@pytest.mark.parametrize(
    "method", ["score-cam", "guided-grad-cam", sc.PerChannel("grad-cam"), sc.Smooth("grad-cam", n=2), "opti-cam"]
)
def test_methods_that_ask_again_change_the_modality_of_their_layer(net, x, method):
    net.head.weight.data.abs_()  # each modality speaks for the target, whatever was drawn
    options = {"method": method, "target": 1, "signed": True}
    both = sc.explain(net, x, of=["ecg", "skeleton"], layer=BOTH, **options)
    for name in both.modalities:
        alone = sc.explain(net, x, of=name, layer=BOTH[name], **options)
        np.testing.assert_allclose(both.modality(name).maps, alone.maps, rtol=1e-4, atol=1e-6)


def test_parts_of_a_result_keep_its_modalities_together(exp):
    part = exp.isel(sample=[3, 1], target=1, cam=0)
    for name in exp.modalities:
        whole = exp.modality(name).maps.isel(sample=[3, 1], target=[1], cam=[0])
        assert part.modality(name).maps.equals(whole)
    chosen = exp.sel(cam="hires-cam", sample=[2])
    other = exp.modality("skeleton").sel(cam="hires-cam", sample=[2])
    assert chosen.modality("skeleton").maps.equals(other.maps)
    assert other.modality("ecg").maps.equals(chosen.maps)


def test_normalizing_and_fusing_reach_every_modality(net, x, exp):
    scaled = exp.normalized("max").modality("skeleton")
    assert scaled.maps.equals(exp.modality("skeleton").normalized("max").maps)
    layers = {"ecg": ["ecg_net.0", "ecg_net.2"], "skeleton": "skeleton_net.2"}
    fused = sc.explain(net, x, layer=layers, signed=True).fused("max")
    assert fused.layer_names == ("max(ecg_net.0, ecg_net.2)",)
    assert fused.modality("skeleton").layer_names == ("skeleton_net.2",)
    with pytest.raises(sc.MethodError, match="there is 1"):
        exp.fused()


def test_modalities_survive_saving(exp, tmp_path):
    exp.save(tmp_path / "both.zarr")
    back = sc.load(tmp_path / "both.zarr")
    assert (back.modalities, back.of) == (exp.modalities, "ecg")
    for name in exp.modalities:
        assert back.modality(name).to_xarray().identical(exp.modality(name).to_xarray())
        assert back.modality(name).layout == exp.modality(name).layout
    exp.modality("skeleton").save(tmp_path / "other.zarr")
    again = sc.load(tmp_path / "other.zarr")
    assert again.of == "skeleton"
    assert again.modality("ecg").maps.identical(exp.maps)


def test_modality_that_there_is_none_of_raises(exp):
    with pytest.raises(sc.TargetError, match=r"no modality 'patient' here.*ecg, skeleton"):
        exp.modality("patient")


# --- scored again --------------------------------------------------------------------------------


class Masked(nn.Module):
    """A signal, what of it is real, and a temperature; without a mask all of it is."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(2, 4, 5, padding=2, bias=False)
        self.head = nn.Linear(4, 3, bias=False)  # nothing is as likely as anything

    def forward(self, x, mask=None, temperature=1.0):
        a = self.conv(x).square()
        a = a if mask is None else a * mask[:, None]
        return self.head(a.mean(2)) / temperature


@pytest.fixture
def masked():
    rng = np.random.default_rng(2)
    x = rng.standard_normal((4, 2, 40)).astype(np.float32)
    return Masked().eval(), x, (rng.random((4, 40)) > 0.5).astype(np.float32)


METRICS = {
    "evaluate": lambda exp, net, **more: sc.metrics.evaluate(exp, net, "deletion", steps=3, **more)["value"],
    "sanity": lambda exp, net, **more: sc.metrics.sanity(exp, net, ["emprt", "random-logit"], **more)["random_logit"],
}


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_what_was_given_beside_the_explained_input_is_asked_for_again(masked, metric, tmp_path):
    net, x, mask = masked
    together, options = {"x": x, "mask": mask}, {"layer": "conv", "signed": True}
    sc.explain(net, together, **options).save(tmp_path / "run")
    exp = sc.load(tmp_path / "run")
    assert exp.provenance["inputs"] == "mask"
    with pytest.raises(sc.InputError, match=r"made with mask as further inputs.*inputs="):
        metric(exp, net)
    other = sc.explain(net, x, extra={"mask": mask, "temperature": 2.0}, **options)
    assert other.provenance["extra"] == "mask, temperature"
    with pytest.raises(sc.InputError, match=r"keyword mask, temperature.*extra="):
        metric(other, net)
    with pytest.raises(sc.InputError, match=r"keyword temperature,"):
        metric(other, net, extra={"mask": mask})
    one = metric(exp, net, inputs=together)
    np.testing.assert_allclose(one, metric(exp, net, extra={"mask": mask}), atol=1e-6)
    cool = metric(other, net, extra={"mask": mask, "temperature": 2.0})
    assert np.isfinite(cool).all()
    plain = sc.explain(net, x, **options)
    assert not {"inputs", "extra"} & set(plain.provenance)
    assert not np.allclose(one, metric(plain, net), atol=1e-6)


def test_maps_of_one_input_of_several_are_checked_with_all_of_them(net, x):
    exp = sc.explain(net, x, of="ecg", layer="ecg_net.2", signed=True)
    with pytest.raises(sc.InputError, match=r"one input of several.*inputs="):
        sc.metrics.sanity(exp, net)
    found = sc.metrics.sanity(exp, net, "cascading", inputs=x)["cascading"]
    assert found.sizes["weights"] == 5
    assert (found < 1).any()


def test_methods_are_compared_with_all_that_the_model_was_given(masked):
    net, x, mask = masked
    together = {"x": x, "mask": mask}
    options = {"methods": ["grad-cam", "hires-cam"], "layers": "conv", "metrics": "deletion", "steps": 3}
    score = sc.metrics.compare(net, together, **options).table["score"]
    with torch.no_grad():
        p = net(torch.as_tensor(x), torch.as_tensor(mask)).softmax(1).max(1).values
    np.testing.assert_allclose(score[:, 0], p, atol=1e-6)


def test_masks_made_of_lengths_are_made_again_and_rows_follow_their_samples(masked):
    net, x, _ = masked
    samples = [x[0], x[1][:, :30], x[2], x[3][:, :30]]
    heat = torch.tensor([[1.0], [2.0], [3.0], [4.0]])
    extra = {"mask": sc.Mask(), "temperature": heat}
    options = {"layer": "conv", "layout": "batch channel time", "target": 1, "signed": True}
    exp = sc.explain(net, samples, extra=extra, **options)
    found = sc.metrics.evaluate(exp, net, "deletion", steps=3, baselines=[], extra=extra)["score"]
    with torch.no_grad():
        p = [
            net(torch.as_tensor(each[None]), temperature=one).softmax(1)[0, 1].item()
            for each, one in zip(samples, heat, strict=True)
        ]
    np.testing.assert_allclose(found[:, 0], p, atol=1e-6)
