"""Exported programs get the maps of the module they were made from; quantised models those they can have."""

import logging

import numpy as np
import pytest
import torch
from backends.torch_transformers import logits_of, made
from torch import nn

import signalcam as sc

SAME = 1e-6  # of a map's largest value: the same steps, so only the last digit may differ
QUANTISED = 0.05  # of a map's largest value: weights of eight bits in the head

pytestmark = [  # torch.export's own, about itself and about recurrent layers
    pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec:FutureWarning"),
    pytest.mark.filterwarnings("ignore:The tensor attributes self.lstm:UserWarning"),
]


def exported(net, x, **options):
    batch = {0: torch.export.Dim("batch", min=1, max=64)}
    return torch.export.export(net, (torch.as_tensor(x),), dynamic_shapes=(batch,), **options)


@pytest.mark.parametrize("last", [None, nn.Softmax(1)], ids=["logits", "softmax"])
def test_exported_and_unflattened_model_is_explained(kit, compiler, last):
    net, x = kit.network(last=last), kit.signal()
    exp = kit.explain(torch.export.unflatten(exported(net, x)), x, target=1)
    kit.assert_maps(exp, kit.maps_of(net, x, [1] * 4))


class Hybrid(nn.Module):
    """Convolutions, one of which runs twice, a recurrent layer and tokens."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv1d(2, 4, 3, padding=1), nn.BatchNorm1d(4), nn.ReLU())
        self.conv = nn.Conv1d(4, 5, 3, stride=2, padding=1)
        self.again = nn.Conv1d(5, 5, 3, padding="same")
        self.lstm = nn.LSTM(5, 6, batch_first=True, bidirectional=True)
        self.norm, self.drop, self.head = nn.LayerNorm(12), nn.Dropout(), nn.Linear(12, 4)

    def forward(self, x):
        y = self.again(self.again(self.conv(self.body(x)).relu()).tanh())
        states, _ = self.lstm(y.transpose(1, 2))
        return self.head(self.drop(self.norm(states)).mean(1))


# guided gradients of two samples are blank, those of the module too
@pytest.mark.filterwarnings("ignore:guided-grad-cam at layer:signalcam.CamWarning")
@pytest.mark.parametrize(
    "method", ["grad-cam", "lift-cam", "score-cam", "full-grad", "ablation-cam", "guided-grad-cam"]
)
def test_exported_program_gets_the_maps_of_its_module(kit, compiler, method):
    net, x = Hybrid().eval(), kit.signal()
    options = {"method": method, "layer": ["conv", "again[1]"], "target": [1, 2], "signed": True}
    found, wanted = (sc.explain(each, x, **options) for each in (exported(net, x), net))
    np.testing.assert_array_equal(found.predicted, wanted.predicted)
    size = np.abs(wanted.maps.values).max()
    assert size > 0
    assert np.abs(found.maps.values - wanted.maps.values).max() <= SAME * size


def test_layers_of_an_exported_program_are_those_of_its_module(kit, compiler):
    net, x = Hybrid().eval(), kit.signal()
    program = exported(net, x)
    found, wanted = sc.layers(program, x), sc.layers(net, x)
    assert [(each.name, each.kind) for each in found] == [(each.name, each.kind) for each in wanted]
    assert [each.receptive_field for each in found] == [each.receptive_field for each in wanted]
    assert found[0].name == kit.explain(program, x, layer=None).layer_names[0] == "again[1]"


@pytest.mark.parametrize("layer", ["lstm", "norm"])
def test_channels_of_an_exported_layer_lie_where_the_module_has_them(kit, compiler, layer):
    net, x = Hybrid().eval(), kit.signal()
    options = {"layer": layer, "align": "resize", "target": 1}
    found, wanted = (kit.explain(each, x, **options) for each in (exported(net, x), net))
    kit.assert_maps(found, wanted.native().values[:, 0, 0], SAME)


class Answer(nn.Module):
    """A transformer of another library, whose answer is an array."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return logits_of(self.net, x)


@pytest.mark.parametrize("method", ["grad-cam", "le-grad"])
@pytest.mark.parametrize("name", ["vit norm", "swin late", "audio", "text", "signal"])
def test_exported_transformer_gets_the_maps_of_its_module(compiler, name, method):
    net, x, *_ = made(name)
    batch = {0: torch.export.Dim("batch", min=1, max=64)}
    program = torch.export.export(Answer(net), (x,), dynamic_shapes=(batch,))
    options = {"method": method, "target": 1, "signed": True}
    found, wanted = (sc.explain(each, x, **options) for each in (program, Answer(net)))
    assert found.layer_names == wanted.layer_names
    assert np.abs(wanted.maps.values).max() > 0
    np.testing.assert_allclose(found.maps.values, wanted.maps.values, atol=SAME)


def test_program_saved_and_loaded_is_explained(kit, compiler, tmp_path):
    net, x = kit.network(2), kit.signal(rank=2)
    torch.export.save(exported(net, x), tmp_path / "net.pt2")
    exp = kit.explain(torch.export.load(tmp_path / "net.pt2"), x, target=1)
    kit.assert_maps(exp, kit.maps_of(net, x, [1] * 4))


@pytest.mark.parametrize("rows", [1, 3])
def test_program_of_convolutions_exported_for_one_size_of_batch_takes_any(kit, compiler, rows):
    net, x = kit.network(), kit.signal()
    program = torch.export.export(net, (torch.as_tensor(x[:rows]),))
    kit.assert_maps(kit.explain(program, x, target=1), kit.maps_of(net, x, [1] * 4))
    exp = kit.explain(program, x, target=1, method="score-cam")
    wanted = kit.explain(net, x, target=1, method="score-cam")
    kit.assert_maps(exp, wanted.native().values[:, 0, 0])


class AcrossTheBatch(nn.Module):
    """What no answer of one batch may be taken for: each sample sees the others."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv1d(2, 4, 3), nn.Linear(4, 3)

    def forward(self, x):
        y = self.conv(x).relu()
        return self.head((y - y.mean(0)).square().mean(-1))


@pytest.mark.parametrize("kind", [Hybrid, AcrossTheBatch])
def test_program_with_a_size_of_batch_written_in_says_which(kit, compiler, kind):
    x = torch.as_tensor(kit.signal())
    with pytest.raises(sc.ModelError, match=r"batches of exactly 4.*dynamic_shapes"):
        kit.explain(torch.export.export(kind().eval(), (x,)), x)


def test_program_exported_while_training_says_so(kit, compiler):
    net, x = Hybrid().train(), kit.signal()
    with pytest.raises(sc.ModelError, match=r"exported while training.*Export model.eval"):
        kit.explain(exported(net, x), x)


def test_program_that_cannot_be_unflattened_says_so(kit, compiler, monkeypatch):
    def broken(_program):
        raise NotImplementedError("no signature")

    program = exported(kit.network(), kit.signal())
    monkeypatch.setattr(torch.export, "unflatten", broken)
    with pytest.raises(sc.ModelError, match=r"cannot be unflattened .*no signature.*nn.Module"):
        kit.explain(program, kit.signal())


def test_onnx_models_name_the_way_out(kit):
    for module, name in (
        ("onnx.onnx_ml_pb2", "ModelProto"),
        ("onnxruntime.capi", "InferenceSession"),
    ):
        model = type(name, (), {"__module__": module})()
        with pytest.raises(sc.ModelError, match=rf"{name} is an ONNX model.*exported from"):
            sc.explain(model, kit.signal())


# --- quantised -----------------------------------------------------------------------------------


@pytest.fixture
def quantised(kit):
    """A network whose linear layer holds weights of eight bits, and the one it was made from."""
    net = kit.network()
    return torch.ao.quantization.quantize_dynamic(net, {nn.Linear}, torch.qint8), net


def _retired(test):
    """PyTorch retires its own quantisation, and says so at every step of it."""
    for said in (
        "torch.ao.quantization is deprecated:DeprecationWarning",
        "torch.quantize_per_tensor:UserWarning",
        "quantized..linear_dynamic. an autograd kernel:UserWarning",
    ):
        test = pytest.mark.filterwarnings(f"ignore:{said}")(test)
    return test


@_retired
def test_quantised_linear_layer_names_the_reason_and_what_works(kit, quantised):
    with pytest.raises(sc.ModelError, match=r"layer 'conv' gave no gradient.*quantised.*eigen-cam, ablation-cam"):
        kit.explain(quantised[0], kit.signal())
    with pytest.raises(sc.ModelError, match=r"no layer of Net.*Methods that need none.*eigen-cam"):
        kit.explain(quantised[0], kit.signal(), layer=None)


@_retired
@pytest.mark.parametrize("method", ["eigen-cam", "ablation-cam", "recipro-cam", "score-cam"])
def test_quantised_model_gets_nearly_the_maps_of_its_float_model(kit, quantised, method):
    found, wanted = (kit.explain(net, kit.signal(), method=method, target=1) for net in quantised)
    kit.assert_maps(found, wanted.native().values[:, 0, 0], QUANTISED)


@_retired
def test_last_layer_of_a_quantised_model_is_taken_without_a_gradient(kit, quantised, caplog):
    with caplog.at_level(logging.INFO, "signalcam"):
        exp = kit.explain(quantised[0], kit.signal(), layer=None, method="ablation-cam")
    assert exp.layer_names == ("head.0",)
    assert "explaining layer 'head.0'" in caplog.text
    assert {each.why for each in sc.layers(quantised[0], kit.signal())} == {"no gradient from the predicted class"}


class Recurrent(nn.Module):
    """A convolution, then a recurrent layer and a linear one, both of which are quantised."""

    def __init__(self):
        super().__init__()
        self.conv, self.lstm = nn.Conv1d(2, 8, 5), nn.LSTM(8, 6, batch_first=True)
        self.head = nn.Linear(6, 4)

    def forward(self, x):
        states, _ = self.lstm(self.conv(x).relu().transpose(1, 2))
        return self.head(states)[:, -1]


@_retired
@pytest.mark.filterwarnings("ignore:aten..quantized_lstm. an autograd kernel:UserWarning")
def test_quantised_layer_is_passed_over_and_refused_by_name(kit):
    net, x = Recurrent().eval(), kit.signal()
    small = torch.ao.quantization.quantize_dynamic(net, {nn.LSTM, nn.Linear}, torch.qint8)
    exp = kit.explain(small, x, layer=None, method="eigen-cam")
    assert exp.layer_names == ("conv",)
    wanted = kit.explain(net, x, method="eigen-cam").native().values[:, 0, 0]
    kit.assert_maps(exp, wanted)
    for layer in ("lstm", "head"):
        with pytest.raises(sc.ModelError, match=rf"layer '{layer}' is quantised.*before it"):
            kit.explain(small, x, layer=layer, method="eigen-cam")
