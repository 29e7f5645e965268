"""The front door: loaders, batch sizes, memory, silence, labels, and every question that is refused."""

import logging

import numpy as np
import pytest
import torch
from torch import nn

import signalcam as sc

CLOSE = {"rtol": 1e-5, "atol": 1e-6}  # single precision, in batches of another size


@pytest.fixture
def net(kit):
    return kit.network()


@pytest.fixture
def x(kit):
    return kit.signal(batch=7)


def same(first, second):
    np.testing.assert_allclose(first.maps, second.maps, **CLOSE)
    np.testing.assert_allclose(first.outputs, second.outputs, **CLOSE)


# --- batches -------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [None, 1, 3])
@pytest.mark.parametrize("target", ["predicted", sc.PerSample([0, 1, 2, 3, 0, 1, 2])])
def test_batch_size_does_not_change_the_result(kit, net, x, batch_size, target):
    whole = kit.explain(net, x, target=target, batch_size=7)
    same(kit.explain(net, x, target=target, batch_size=batch_size), whole)


class Small(nn.Module):
    """Has memory for a few samples only."""

    def __init__(self, net, most, error):
        super().__init__()
        self.net, self.most, self.error, self.sizes = net, most, error, []

    def forward(self, x):
        self.sizes.append(len(x))
        if len(x) > self.most:
            raise self.error
        return self.net(x)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
    ids=["device", "Python", "CPU"],
)
@pytest.mark.parametrize("batch_size", [None, 7, 5])
def test_out_of_memory_halves_the_batch_and_goes_on(kit, net, x, error, batch_size):
    small = Small(net, 2, error)
    exp = kit.explain(small, x, layer="net.conv", target=1, batch_size=batch_size)
    same(exp, kit.explain(net, x, target=1))
    assert 2 in small.sizes


def test_out_of_memory_keeps_each_sample_with_its_own_target(kit, net, x):
    target = sc.PerSample([0, 1, 2, 3, 0, 1, 2])
    small = Small(net, 2, torch.OutOfMemoryError("CUDA out of memory"))
    exp = kit.explain(small, x, layer="net.conv", target=target)
    same(exp, kit.explain(net, x, target=target))


def test_out_of_memory_for_a_single_sample_is_the_models_own_error(kit, net, x):
    small = Small(net, 0, torch.OutOfMemoryError("CUDA out of memory"))
    with pytest.raises(torch.OutOfMemoryError):
        kit.explain(small, x, layer="net.conv")
    assert small.sizes == [7, 4, 2, 1]


def test_other_errors_do_not_halve_the_batch(kit, net, x):
    small = Small(net, 0, RuntimeError("shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        kit.explain(small, x, layer="net.conv")
    assert small.sizes == [7]


# --- streaming -----------------------------------------------------------------------------------


def explainer(net, **options):
    return sc.Explainer(net, layer="conv", signed=True, **options)


@pytest.mark.parametrize("labelled", [False, True])
def test_stream_equals_one_explanation_of_everything(kit, net, x, labelled):
    labels = torch.arange(7) % 4
    data = [torch.as_tensor(x), labels] if labelled else [torch.as_tensor(x)]
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*data), batch_size=3)
    parts = list(explainer(net).stream(loader))
    whole = kit.explain(net, x)
    np.testing.assert_allclose(np.concatenate([part.maps for part in parts]), whole.maps.values, **CLOSE)
    assert [name for part in parts for name in part.sample_names] == list(range(7))
    if labelled:
        np.testing.assert_array_equal(np.concatenate([part.labels for part in parts]), labels)
    else:
        assert all(part.labels is None for part in parts)


def test_stream_takes_bare_arrays(net, x):
    parts = list(explainer(net).stream([x[:4], x[4:]]))
    assert [len(part) for part in parts] == [4, 3]


def test_stream_is_lazy(net, x):
    def loader():
        yield x[:2]
        raise AssertionError("asked for more than was wanted")

    assert len(next(iter(explainer(net).stream(loader())))) == 2


def test_stream_measures_the_alignment_and_chooses_the_layer_once(net, x, caplog):
    shapes = []
    net.register_forward_pre_hook(lambda _m, args: shapes.append(len(args[0])))
    with caplog.at_level(logging.INFO, "signalcam"):
        list(sc.Explainer(net, signed=True).stream([x[:3], x[3:6], x[:3]]))
    assert sum("explaining layer" in each.message for each in caplog.records) == 1
    assert shapes.count(3) == 3
    assert shapes[-2:] == [3, 3]


# --- silence -------------------------------------------------------------------------------------


def test_nothing_is_printed(net, x, capfd):
    sc.explain(net, x, signed=True)
    sc.layers(net, x)
    assert capfd.readouterr() == ("", "")


def test_progress_goes_to_the_error_stream(kit, net, x, capfd):
    kit.explain(net, x, progress=True, batch_size=2)
    out, err = capfd.readouterr()
    assert out == ""
    assert "7/7" in err


# --- labels and names ----------------------------------------------------------------------------

NAMES = ["normal", "AF", "PVC", "LBBB"]


def test_labels_by_name_and_by_index_are_the_same(kit, net, x):
    named = kit.explain(net, x[:3], class_names=NAMES, labels=["AF", "normal", "LBBB"])
    counted = kit.explain(net, x[:3], class_names=NAMES, labels=np.array([1, 0, 3]))
    np.testing.assert_array_equal(named.labels, [1, 0, 3])
    np.testing.assert_array_equal(counted.labels, [1, 0, 3])


def test_class_names_name_targets_and_outputs(kit, net, x):
    exp = kit.explain(net, x, class_names=NAMES, target=["PVC", 1])
    assert exp.targets == ("PVC", "AF")
    assert list(exp.outputs["class"].values) == NAMES
    np.testing.assert_array_equal(exp.target_classes, [[2, 1]] * 7)


def test_sample_names_name_the_samples(kit, net, x):
    exp = kit.explain(net, x[:2], sample_names=["p1", "p2"])
    assert list(exp.maps["sample"].values) == ["p1", "p2"]


@pytest.mark.parametrize("what", ["labels", "sample_names"])
def test_labels_and_names_must_be_one_a_sample(kit, net, x, what):
    with pytest.raises(sc.InputError, match=f"2 {what} for 7 samples"):
        kit.explain(net, x, **{what: [0, 1]})


def test_class_names_must_be_one_a_class(kit, net, x):
    with pytest.raises(sc.InputError, match=r"3 names but the model tells 4 classes apart.*one name"):
        kit.explain(net, x, class_names=NAMES[:3])


@pytest.mark.parametrize("labels", [[4], [-1], ["flutter"]], ids=str)
def test_labels_must_be_classes_of_the_model(kit, net, x, labels):
    sentence = "flutter" if "flutter" in labels else f"label {labels[0]} is no class.*0 to 3"
    with pytest.raises(sc.TargetError, match=sentence):
        kit.explain(net, x[:1], class_names=NAMES, labels=labels)


# --- scores and targets --------------------------------------------------------------------------


def test_scores_are_the_logits_of_the_targets(kit, net, x):
    exp = kit.explain(net, x, target=["predicted", 2])
    z = net(torch.as_tensor(x)).detach().numpy()
    np.testing.assert_allclose(exp.scores, np.stack([z.max(1), z[:, 2]], 1), **CLOSE)
    np.testing.assert_allclose(exp.outputs, z, **CLOSE)
    np.testing.assert_allclose(exp.confidence, np.exp(z) / np.exp(z).sum(1, keepdims=True), **CLOSE)


SCORES = {
    "log_odds": lambda z: z - (z.exp().sum(1, keepdim=True) - z.exp()).log(),
    "probability": lambda z: z.softmax(1),
    "log_prob_clamped": lambda z: z.softmax(1).clamp(1e-6, 1 - 1e-6).log(),
}


@pytest.mark.parametrize("last", [None, nn.Softmax(1)], ids=["logits", "softmax"])
@pytest.mark.parametrize("score", SCORES)
def test_other_scores_are_differentiated_as_named(kit, x, score, last):
    net = kit.network(last=last)
    exp = kit.explain(net, x, score=score, target=2)
    head = lambda a: SCORES[score](net.head(a))  # noqa: E731
    before = lambda t: net.conv(net.body(t))  # noqa: E731
    kit.assert_maps(exp, kit.maps_by_hand(before, head, torch.as_tensor(x), [2] * 7))
    assert exp.provenance["score"].startswith(f"{score}; logits")


def test_score_may_be_a_function_of_the_scores(kit, net, x):
    def centred(z):
        return z - z.mean(axis=1, keepdims=True)

    exp = kit.explain(net, x, score=centred, target=2)
    before = lambda t: net.conv(net.body(t))  # noqa: E731
    head = lambda a: centred(net.head(a))  # noqa: E731
    kit.assert_maps(exp, kit.maps_by_hand(before, head, torch.as_tensor(x), [2] * 7))
    assert exp.provenance["score"].startswith("centred")


def test_signed_keeps_what_is_otherwise_dropped(kit, net, x):
    options = {"layer": "conv", "method": "hires-cam", "target": 1, "align": "resize"}
    signed = sc.explain(net, x, signed=True, **options).native()
    assert float(signed.min()) < 0
    np.testing.assert_array_equal(sc.explain(net, x, **options).native(), signed.clip(min=0))


def test_output_asks_about_anything_the_model_returns(kit, x):
    net = kit.network(last=lambda z: {"logits": z, "rate": z[:, 0] * z[:, 1]})
    before = lambda t: net.conv(net.body(t))  # noqa: E731
    head = lambda a: net.last(net.head(a))["rate"][:, None]  # noqa: E731
    wanted = kit.maps_by_hand(before, head, torch.as_tensor(x), [0] * 7)
    exp = kit.explain(net, x, target=[sc.Output(lambda out: out["rate"]), 1])
    kit.assert_maps(exp, wanted)
    assert exp.targets == ("output", "1")
    np.testing.assert_array_equal(exp.target_classes, [[-1, 1]] * 7)


def test_output_may_ask_about_a_dense_output(kit, x):
    net = kit.network(head=nn.Conv1d(5, 3, 3, padding=1))
    exp = kit.explain(net, x, target=lambda out: out[:, 1].sum(axis=1))
    before = lambda t: net.conv(net.body(t))  # noqa: E731
    head = lambda a: net.head(a)[:, 1].sum(1, keepdim=True)  # noqa: E731
    kit.assert_maps(exp, kit.maps_by_hand(before, head, torch.as_tensor(x), [0] * 7))
    with pytest.raises(sc.TargetError, match="holds no classes"):
        _ = exp.outputs


def test_explainer_can_be_used_again(kit, net, x):
    again = explainer(net, target=1)
    first, longer = again(x), again(kit.signal(batch=2))
    assert (len(first), len(longer)) == (7, 2)
    same(first, kit.explain(net, x, target=1))


def test_result_survives_saving(kit, net, x, tmp_path):
    exp = sc.explain(
        net,
        x,
        method=["grad-cam", "hires-cam"],
        layer=["conv", "body"],
        target=["predicted", "AF"],
        layout=sc.Layout("batch channel time", sampling_rate=100, channel_names=["I", "II"], units="mV"),
        class_names=NAMES,
        labels=[0, 1, 2, 3, 0, 1, 2],
        sample_names=[f"patient {i}" for i in range(7)],
        signed=True,
    )
    exp.save(tmp_path / "maps.zarr")
    back = sc.load(tmp_path / "maps.zarr")
    assert back.to_xarray().identical(exp.to_xarray())
    assert back.native("body").identical(exp.native("body"))
    assert back.layout == exp.layout


# --- what is refused -----------------------------------------------------------------------------


def ecg(**change):
    return np.zeros((2, 2, 24), **{"dtype": np.float32, **change})


LAYOUT = {"layout": "batch channel time"}
REFUSED = {
    "unknown layer": (
        {"layer": "comv"},
        sc.ModelError,
        r"'comv'.*not in Net.*Nearest: 'conv'.*List all",
    ),
    "foreign layer": ({"layer": nn.ReLU()}, sc.ModelError, r"ReLU is no layer of Net.*Give a name"),
    "layer of nothing": ({"layer": []}, sc.MethodError, r"empty list.*Give at least one"),
    "the model as layer": ({"layer": ""}, sc.ModelError, r"not in Net"),
    "layer without positions": (
        {"layer": "head.2"},
        sc.ModelError,
        r"no positions.*Choose an earlier",
    ),
    "layer that never ran": (
        {"layer": "idle"},
        sc.ModelError,
        r"'idle' never ran.*Choose one that runs",
    ),
    "unknown class name": (
        {"target": "FA", "class_names": NAMES},
        sc.TargetError,
        r"'FA'.*Nearest: 'AF'",
    ),
    "class name without names": ({"target": "AF"}, sc.TargetError, r"'AF'.*class_names"),
    "class out of range": ({"target": 4}, sc.TargetError, r"class 4.*4 classes apart, 0 to 3"),
    "negative class": ({"target": -1}, sc.TargetError, r"class -1.*0 to 3"),
    "class that is no number": ({"target": 1.5}, sc.TargetError, r"1.5.*give a class index"),
    "class that is a truth value": ({"target": True}, sc.TargetError, r"True.*give a class index"),
    "too few classes": (
        {"target": sc.PerSample([1])},
        sc.TargetError,
        r"1 classes for 2 samples.*one class a",
    ),
    "too many classes": (
        {"target": sc.PerSample([1] * 3)},
        sc.TargetError,
        r"3 classes for 2 samples",
    ),
    "one class out of range": (
        {"target": sc.PerSample([1, 7])},
        sc.TargetError,
        r"class 7.*0 to 3",
    ),
    "function of the wrong shape": (
        {"target": lambda z: z},
        sc.TargetError,
        r"\(2, 4\) for 2.*one score a sample",
    ),
    "function that gives a number": (
        {"target": lambda z: 1.0},
        sc.TargetError,
        r"float for 2 samples",
    ),
    "unknown method": (
        {"method": "grad-kam"},
        sc.MethodError,
        r"'grad-kam'.*Nearest: 'grad-cam'.*Known",
    ),
    "unknown score": ({"score": "logits"}, sc.MethodError, r"'logits'.*Nearest: 'logit'.*Known"),
    "unknown alignment": ({"align": "stretch"}, sc.MethodError, r"'stretch'.*Choose"),
    "unknown policy": ({"nan": "ignore"}, sc.MethodError, r"'ignore'.*choose"),
    "batch size of zero": ({"batch_size": 0}, sc.InputError, r"batch_size is 0.*at least 1"),
    "layout of other axes": (
        {"layout": "batch time"},
        sc.LayoutError,
        r"\(2, 2, 24\).*needs 2 axes",
    ),
    "layout without batch": ({"layout": "channel time batch"}, sc.LayoutError, r"batch first"),
    "layout that repeats": ({"layout": "batch time time"}, sc.LayoutError, r"each axis once"),
    "channel names": (
        {"layout": sc.Layout("batch channel time", channel_names=["I"])},
        sc.LayoutError,
        r"1 channel names.*2 channels",
    ),
}


@pytest.mark.parametrize(("wrong", "error", "message"), REFUSED.values(), ids=REFUSED)
def test_question_that_does_not_fit_is_refused_and_leaves_the_model_alone(kit, net, wrong, error, message):
    net.idle = nn.Conv1d(2, 2, 3)
    net.train()
    with pytest.raises(error, match=f"(?s){message}"):
        kit.explain(net, ecg(), **wrong)
    assert all(each.training for each in net.modules())
    assert not any(each._forward_hooks for each in net.modules())
    assert all(each.requires_grad for each in net.parameters())


INPUTS = {
    "empty batch": (
        ecg()[:0],
        sc.InputError,
        r"\(0, 2, 24\).*holds no values.*at least one sample",
    ),
    "empty signal": (ecg()[:, :, :0], sc.InputError, r"holds no values"),
    "empty list": ([], sc.InputError, r"."),
    "objects": (
        np.array([["a", None]], dtype=object),
        sc.InputError,
        r"object; expected numbers.*Convert",
    ),
    "text": (np.array([["a", "b"]]), sc.InputError, r"expected numbers"),
    "dates": (np.zeros((2, 3), "datetime64[s]"), sc.InputError, r"datetime64.*expected numbers"),
    "complex": (
        ecg(dtype=np.complex64),
        sc.InputError,
        r"complex64.*real and imaginary parts as channels",
    ),
    "long double": (ecg(dtype=np.longdouble), sc.InputError, r"longdouble|float128"),
    "nothing": (None, sc.InputError, r"NoneType; expected an array"),
    "a path": ("ecg.csv", sc.InputError, r"str; expected an array"),
    "a number": (3.0, sc.InputError, r"float; expected an array"),
    "mixed ranks": ([ecg()[0], ecg()[0, 0]], sc.LayoutError, r"1 and 2 axes.*takes a tuple"),
    "mixed channels": (
        [ecg()[0], ecg()[0, :1]],
        sc.LayoutError,
        r"1 and 2 entries.*\(channel\).*must be alike",
    ),
    "no batch axis": (np.zeros(24, np.float32), sc.LayoutError, r"\(24,\).*inputs\[None\]"),
    "integers": (ecg(dtype=np.int16), sc.InputError, r"int16.*astype"),
    "truth values": (ecg(dtype=bool), sc.InputError, r"bool.*astype"),
}


@pytest.mark.parametrize(("given", "error", "message"), INPUTS.values(), ids=INPUTS)
def test_input_that_cannot_be_used_is_refused_and_leaves_the_model_alone(kit, net, given, error, message):
    net.train()
    with pytest.raises(error, match=f"(?s){message}"):
        kit.explain(net, given)
    assert all(each.training for each in net.modules())
    assert all(each.requires_grad for each in net.parameters())


OUTPUTS = {
    "text": (lambda z: "normal", r"returned str.*target=Output\(function\)"),
    "nothing": (lambda z: None, r"returned NoneType"),
    "empty tuple": (lambda z: (), r"returned tuple"),
    "dense": (lambda z: z[:, :, None].expand(-1, -1, 5), r"\(2, 4, 5\).*target=Output"),
    "mean over the batch": (lambda z: z.mean(), r"returned shape \(\).*one row of class scores"),
    "rows of another batch": (lambda z: z[:1], r"\(1, 4\) for 2 samples"),
    "class indices": (lambda z: z.argmax(1), r"Tensor with no array of scores"),
}


@pytest.mark.parametrize(("last", "message"), OUTPUTS.values(), ids=OUTPUTS)
def test_output_that_is_no_score_is_refused(kit, net, last, message):
    net.last = last
    with pytest.raises(sc.TargetError, match=f"(?s){message}"):
        kit.explain(net, ecg() + 1)


@pytest.mark.parametrize("model", [lambda x: x, nn.Conv1d, None, "resnet"], ids=["function", "class", "none", "name"])
def test_what_is_no_model_is_refused(model):
    with pytest.raises(sc.ModelError, match=r"no backend owns.*expected a model of keras, tf_keras, torch"):
        sc.explain(model, ecg())


def test_refusals_are_also_the_builtin_errors_a_reader_expects(kit, net):
    with pytest.raises(LookupError):
        kit.explain(net, ecg(), layer="nowhere")
    with pytest.raises(ValueError, match="class 9"):
        kit.explain(net, ecg(), target=9)
