"""Which layer is explained when none is named, and what is said of layers that cannot be."""

import logging

import numpy as np
import pytest
import torch
from torch import nn

import signalcam as sc


def chosen(model, x, **options):
    return sc.explain(model, x, signed=True, **options).layer_names[0]


class Block(nn.Module):
    """A residual block, as in a ResNet."""

    def __init__(self, conv=nn.Conv1d, norm=nn.BatchNorm1d):
        super().__init__()
        self.conv1, self.norm1, self.relu = conv(4, 4, 3, padding=1), norm(4), nn.ReLU()
        self.conv2, self.norm2 = conv(4, 4, 3, padding=1), norm(4)

    def forward(self, x):
        y = self.norm2(self.conv2(self.relu(self.norm1(self.conv1(x)))))
        return self.relu(y + x)


class Attention(nn.Module):
    """Squeeze and excitation: each channel is weighed by all of them."""

    def __init__(self):
        super().__init__()
        self.gate = nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Conv1d(4, 4, 1), nn.Sigmoid())

    def forward(self, x):
        return x * self.gate(x)


def pooled(*layers):
    return nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, 3)).eval()


def stem():
    return nn.Sequential(nn.Conv1d(2, 4, 3, padding=1), nn.ReLU())


# --- the default ---------------------------------------------------------------------------------


def test_last_layer_with_positions_is_taken(kit):
    assert chosen(kit.network(), kit.signal()) == "head.0"


@pytest.mark.parametrize("rank", [2, 3])
def test_last_layer_is_taken_in_every_rank(kit, rank):
    assert chosen(kit.network(rank), kit.signal(rank=rank)) == "head.0"


def test_choice_is_logged_once_at_info(kit, caplog):
    with caplog.at_level(logging.INFO, "signalcam"):
        chosen(kit.network(), kit.signal())
    said = [(each.levelno, each.getMessage()) for each in caplog.records]
    assert said == [(logging.INFO, "explaining layer 'head.0'")]


def test_residual_block_is_taken_as_a_whole(kit):
    assert chosen(pooled(stem(), Block(), Block()), kit.signal()) == "2"


def test_block_with_a_channel_gate_is_taken_after_the_gate(kit):
    assert chosen(pooled(stem(), Attention()), kit.signal()) == "1"


def test_container_is_taken_only_where_nothing_in_it_is_the_same(kit):
    assert chosen(pooled(stem()), kit.signal()) == "0"


class Sequence(nn.Module):
    """Convolutions, then a recurrent head."""

    def __init__(self, cell):
        super().__init__()
        self.features, self.cell = stem(), cell(4, 6, batch_first=True)
        self.classifier = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 3))
        self.classifier[0].bias.data += 1  # not all of its units are silent, whatever was drawn

    def forward(self, x):
        states, _ = self.cell(self.features(x).transpose(1, 2))
        return self.classifier(states)[:, -1]


@pytest.mark.parametrize("cell", [nn.LSTM, nn.GRU])
def test_convolution_before_a_recurrent_head_is_taken(kit, cell):
    assert chosen(Sequence(cell).eval(), kit.signal()) == "features"


def test_dense_output_is_not_its_own_explanation(kit):
    net = nn.Sequential(stem(), nn.Conv1d(4, 3, 1)).eval()
    assert chosen(net, kit.signal(), target=lambda out: out[:, 1].mean(1)) == "0"


class Cut(nn.Module):
    """The last convolution feeds something the scores do not see."""

    def __init__(self, how):
        super().__init__()
        self.how, self.main, self.side = how, stem(), nn.Conv1d(4, 4, 3, padding=1)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        a = self.main(x)
        b = self.side(a)
        b = {"multiplied by zero": 0 * b, "detached": b.detach(), "lost": a}[self.how]
        return self.head((a + b).mean(2))


@pytest.mark.parametrize("how", ["multiplied by zero", "detached", "lost"])
def test_layer_the_score_does_not_depend_on_is_passed_over(kit, how):
    assert chosen(Cut(how).eval(), kit.signal()) == "main"


def test_choice_depends_on_the_target(kit):
    class TwoHeads(nn.Module):
        def __init__(self):
            super().__init__()
            self.early, self.late = stem(), nn.Conv1d(4, 4, 3)
            self.first, self.second = nn.Linear(4, 3), nn.Linear(4, 3)

        def forward(self, x):
            a = self.early(x)
            return {"logits": self.first(a.mean(2)), "second": self.second(self.late(a).mean(2))}

    net, x = TwoHeads().eval(), kit.signal()
    assert chosen(net, x) == "early"
    assert chosen(net, x, target=lambda out: out["second"][:, 0]) == "late"


def test_model_without_positions_says_how_to_name_a_layer(kit):
    net = nn.Sequential(nn.Flatten(), nn.Linear(48, 3)).eval()
    with pytest.raises(sc.ModelError, match=r"no layer of Sequential.*layer=.*signalcam.layers"):
        sc.explain(net, kit.signal())


# --- the list ------------------------------------------------------------------------------------


def strided():
    """Stride 2, then pooling by 2, then a convolution of 5: jumps 2, 4, 4; fields 7, 9, 25."""
    return pooled(
        nn.Conv1d(2, 4, 7, stride=2, padding=3),
        nn.MaxPool1d(2),
        nn.Conv1d(4, 4, 5, padding=2),
    )


def test_layers_are_listed_best_first_with_what_they_see():
    x = np.random.default_rng(0).standard_normal((2, 2, 400), dtype=np.float32)
    layout = sc.Layout("batch channel time", sampling_rate=200)
    found = sc.layers(strided(), x, layout=layout)
    assert [each.name for each in found] == ["2", "1", "0"]
    assert [each.kind for each in found] == ["Conv1d", "MaxPool1d", "Conv1d"]
    assert [each.shape for each in found] == [(4, 100), (4, 100), (4, 200)]
    assert [each.stride for each in found] == [(4.0,), (4.0,), (2.0,)]
    assert [each.receptive_field for each in found] == [(25.0,), (9.0,), (7.0,)]
    assert [each.seconds for each in found] == [(0.02, 0.125), (0.02, 0.045), (0.01, 0.035)]


def test_first_of_the_list_is_what_is_taken_by_default(kit):
    for net in (kit.network(), pooled(stem(), Block()), Cut("lost").eval()):
        assert sc.layers(net, kit.signal())[0].name == chosen(net, kit.signal())


def test_layers_the_score_does_not_depend_on_come_last(kit):
    found = sc.layers(Cut("multiplied by zero").eval(), kit.signal())
    assert [each.name for each in found] == ["main", "main.0", "side"]
    assert [each.gradient > 0 for each in found] == [True, True, False]


def test_layers_of_an_image_network_have_two_axes(kit):
    found = sc.layers(kit.network(2), kit.signal(rank=2))
    assert found[0].shape == (5, 6, 5)
    assert found[0].stride == (2.0, 2.0)
    assert found[0].receptive_field == (5.0, 5.0)
    assert found[0].seconds is None


def test_convolutions_are_listed_by_name_without_an_example(kit):
    found = sc.layers(kit.network())
    assert [each.name for each in found] == ["conv", "body.0"]
    assert found[0].gradient is None


def test_every_listed_layer_can_be_explained(kit):
    net, x = pooled(stem(), Block(), nn.MaxPool1d(2), Block()), kit.signal()
    names = [each.name for each in sc.layers(net, x)]
    exp = sc.explain(net, x, layer=names, signed=True, method="hires-cam")
    assert exp.layer_names == tuple(names)
    assert exp.maps.shape == (4, 1, 1, len(names), 24)


def test_layer_may_be_given_as_an_object(kit):
    net = kit.network()
    assert chosen(net, kit.signal(), layer=net.conv) == "conv"
    assert chosen(net, kit.signal(), layer=net.body[0]) == "body.0"


def test_layer_named_twice_is_explained_once(kit):
    net = kit.network()
    exp = sc.explain(net, kit.signal(), layer=["conv", net.conv, "conv"], signed=True)
    assert exp.layer_names == ("conv",)


def test_list_says_why_each_layer_is_a_good_or_a_poor_choice():
    x = np.random.default_rng(0).standard_normal((2, 2, 400), dtype=np.float32)
    net = pooled(
        nn.Conv1d(2, 4, 3, padding=1),
        nn.Conv1d(4, 4, 9, padding=4),
        nn.ReLU(),
        nn.Conv1d(4, 4, 30, stride=4),
        nn.ReLU(),
    )
    found = sc.layers(net, x, layout=sc.Layout("batch channel time", sampling_rate=200))
    assert [(each.name, each.why) for each in found] == [
        ("4", "last with positions; sees 0.2 s"),
        ("3", "sees the same as '4', which comes later"),
        ("2", "earlier: finer, less about the class; sees 0.055 s"),
        ("1", "sees the same as '2', which comes later"),
        ("0", "each position sees only 3 samples: texture, not events"),
    ]


def test_list_says_why_a_layer_shows_little():
    x = np.random.default_rng(0).standard_normal((2, 2, 48), dtype=np.float32)
    net = pooled(nn.Conv1d(2, 4, 9, padding=4), nn.MaxPool1d(2), nn.Conv1d(4, 4, 19, padding=9), nn.MaxPool1d(16))
    why = {each.name: each.why for each in sc.layers(net, x)}
    assert why["2"] == "last with positions, but one position sees nearly the whole input"
    assert sc.layers(Cut("lost").eval(), x)[-1].why == "no gradient from the predicted class"


def test_layers_that_show_little_come_behind_those_that_show_more():
    x = np.random.default_rng(0).standard_normal((2, 2, 64), dtype=np.float32)
    net = pooled(nn.Conv1d(2, 4, 9, padding=4), nn.ReLU(), nn.MaxPool1d(24), nn.Conv1d(4, 4, 1), nn.ReLU())
    assert [each.name for each in sc.layers(net, x)] == ["4", "1", "0", "3", "2"]


def test_list_prints_as_a_table(kit):
    found = sc.layers(kit.network(2), kit.signal(rank=2))
    head, first, *_ = str(found).splitlines()
    assert head.split("  ")[0] == "layer"
    assert "5 x 6 x 5" in first
    assert "2 x 2" in first
    assert first.endswith(found[0].why)
    assert found._repr_html_().count("<tr>") == 1 + len(found)
    assert repr(found[:1]).count("\n") == 1
    assert len(str(sc.layers(kit.network())).splitlines()) == 3
    assert str(sc.layers(nn.Linear(2, 2))) == "no layer with positions"


# --- groups --------------------------------------------------------------------------------------


def test_pattern_takes_every_layer_with_positions_of_such_a_name(kit):
    net, x = pooled(stem(), Block(), nn.MaxPool1d(2), Block()), kit.signal()
    options = {"signed": True, "method": "hires-cam"}
    exp = sc.explain(net, x, layer="1.*", **options)
    assert exp.layer_names == ("1.conv1", "1.norm1", "1.relu[0]", "1.conv2", "1.norm2")
    wanted = sc.explain(net, x, layer="1.norm2", **options)
    np.testing.assert_array_equal(exp.maps.values[..., 4, :], wanted.maps.values[..., 0, :])
    assert sc.explain(net, x, layer="?.conv2", **options).layer_names == ("1.conv2", "3.conv2")
    both = sc.explain(net, x, layer=["3.relu[*]", "0"], **options)
    assert both.layer_names == ("3.relu[0]", "0")


def test_group_of_several_resolutions_is_fused_on_request(kit):
    net, x = pooled(stem(), Block(), nn.MaxPool1d(2), Block()), kit.signal()
    exp = sc.explain(net, x, layer="?", method="layer-cam")
    assert exp.layer_names == ("0", "1", "2", "3")
    assert [exp.native(layer=each).shape[-1] for each in "0123"] == [24, 24, 12, 12]
    fused = exp.fused("max")
    assert fused.maps.shape == (4, 1, 1, 1, 24)
    scaled = exp.maps / exp.maps.max("time")
    np.testing.assert_allclose(fused.maps.values[:, :, :, 0], scaled.max("layer").values, rtol=1e-5)


def test_pattern_that_fits_nothing_names_its_neighbours(kit):
    with pytest.raises(sc.ModelError, match=r"called 'bodi\.\*'.*Nearest: .*'body\.0'.*List all with"):
        sc.explain(kit.network(), kit.signal(), layer="bodi.*")


# --- layers that cannot be explained -------------------------------------------------------------


def test_unknown_layer_is_told_its_neighbours(kit):
    with pytest.raises(sc.ModelError, match=r"'body\.3'.*Nearest: .*'body\.0'.*List all with"):
        sc.explain(kit.network(), kit.signal(), layer="body.3")


@pytest.mark.parametrize("layer", ["2", "3", "4"], ids=["pooled", "flat", "scores"])
def test_layer_without_positions_says_so(kit, layer):
    net = pooled(stem(), Block())
    with pytest.raises(sc.ModelError, match=f"layer '{layer}' has no positions"):
        sc.explain(net, kit.signal(), layer=layer)


def test_layer_that_never_ran_says_so(kit):
    net = kit.network()
    net.spare = nn.Conv1d(2, 2, 1)
    with pytest.raises(sc.ModelError, match=r"layer 'spare' never ran.*Choose one that runs"):
        sc.explain(net, kit.signal(), layer="spare")


@pytest.mark.parametrize("how", ["detached", "lost"])
def test_layer_whose_output_does_not_reach_the_score_says_so(kit, how):
    with pytest.raises(sc.ModelError, match=r"layer 'side' gave no gradient for target 'predicted'"):
        sc.explain(Cut(how).eval(), kit.signal(), layer="side")


def test_layer_that_reaches_only_one_of_two_targets_says_which(kit):
    class Apart(nn.Module):
        def __init__(self):
            super().__init__()
            self.left, self.right = nn.Conv1d(2, 4, 3), nn.Conv1d(2, 4, 3)

        def forward(self, x):
            return torch.stack([self.left(x).mean((1, 2)), self.right(x).mean((1, 2))], dim=1)

    net, x = Apart().eval(), kit.signal()
    with pytest.warns(sc.CamWarning, match=r"'left' for target '1'.*the gradient is zero"):
        sc.explain(net, x, layer="left", target=[0, 1], signed=True)


# --- maps that say nothing -----------------------------------------------------------------------


def warned(model, x, **options):
    with pytest.warns(sc.CamWarning) as caught:
        sc.explain(model, x, layer="0", **options)
    assert len(caught) == 1
    return str(caught[0].message)


def test_map_that_is_zero_because_the_gradient_is_warns_of_the_layer(kit):
    net = pooled(stem())
    net[3].weight.data.zero_()
    said = warned(net, kit.signal(), target=2)
    assert "grad-cam at layer '0' for target '2'" in said
    assert "4 of 4 samples" in said
    assert "the gradient is zero" in said


def test_map_that_is_zero_because_all_evidence_is_negative_warns_of_it(kit):
    net = pooled(stem())
    net[3].weight.data = -net[3].weight.data.abs()
    said = warned(net, kit.signal())
    assert "layer '0'" in said
    assert "all evidence is negative" in said
    assert "signed=True" in said


def test_constant_map_warns_that_it_shows_no_place(kit):
    net = pooled(stem())
    net[0][0].weight.data.zero_()
    net[0][0].bias.data.fill_(1)
    net[3].weight.data = net[3].weight.data.abs()
    with pytest.warns(sc.CamWarning) as caught:
        sc.explain(net, kit.signal(), layer="0", align="resize")
    assert "layer '0'" in str(caught[0].message)
    assert "the same everywhere" in str(caught[0].message)


def test_map_that_is_not_finite_warns_that_scores_overflow(kit):
    net = pooled(stem())
    net[3].weight.data.fill_(3e38)
    said = warned(net, kit.signal() * 100, target=1)
    assert "layer '0'" in said
    assert "not finite" in said


def test_one_blank_map_among_many_is_counted(kit):
    net, x = pooled(stem()), kit.signal()
    net[0][0].bias.data.fill_(-0.1)  # silent where there is nothing, and nowhere else
    x[2] = 0
    said = warned(net, x, target=1, signed=True, method="hires-cam")
    assert "1 of 4 samples" in said


def test_maps_with_something_to_say_do_not_warn(kit):
    sc.explain(kit.network(), kit.signal(), layer="conv", method="hires-cam", target=[0, 1, 2, 3])
