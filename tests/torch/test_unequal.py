"""Samples of unequal length: each map is that of the sample alone, and padding gets no heat."""

import re

import numpy as np
import pytest
import torch
from torch import nn

import signalcam as sc
from signalcam.inputs.padding import WASTE, group_by_length, padding_share

LENGTHS = [40, 64, 33, 64, 50, 40]
SAME = 1e-5  # of a map's largest value
SEEDS = [5, 27, 30, 65, *range(4)]  # of the first four the tried samples show no leak as they are


class Net(nn.Module):
    """Takes any length; told how long each sample is, it pools over nothing else."""

    def __init__(self, padding=0, *, told=True):
        super().__init__()
        self.conv1 = nn.Conv1d(2, 4, 5, padding=padding)
        self.conv2 = nn.Conv1d(4, 5, 3, padding=padding // 2)
        self.head, self.told, self.sizes = nn.Linear(5, 4), told, []

    def forward(self, x, mask=None, lengths=None):
        self.sizes.append(tuple(x.shape[::2]))
        a = self.conv2(self.conv1(x).relu()).square()
        if lengths is not None:
            mask = torch.arange(x.shape[2]) < lengths[:, None]
        if mask is None or not self.told:
            return self.head(a.mean(2))
        inside = mask[:, None, x.shape[2] - a.shape[2] :].to(a)
        return self.head((a * inside).sum(2) / inside.sum(2))


def items(lengths=LENGTHS, channels=2):
    rng = np.random.default_rng(0)
    return [rng.standard_normal((channels, n)).astype(np.float32) for n in lengths]


@pytest.fixture
def net():
    return Net().eval()


OPTIONS = {"layer": "conv2", "signed": True}


def assert_as_alone(exp, net, samples, tolerance=SAME, **options):
    """Every sample's map at either resolution is that of the sample alone, and NaN behind its end."""
    for i, each in enumerate(samples):
        one = sc.explain(net, each[None], **{**OPTIONS, **options}).maps.values[0]
        found = exp.maps.values[i]
        axes = tuple(slice(0, n) for n in one.shape[3:])
        inside = found[(..., *axes)]
        assert np.abs(inside - one).max() <= tolerance * np.abs(one).max()
        outside = np.ones(found.shape, bool)
        outside[(..., *axes)] = False
        assert np.isnan(found[outside]).all()
        assert not np.isnan(inside).any()


# --- lists -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("padding", [0, 2])
@pytest.mark.parametrize("align", ["receptive-field", "resize"])
@pytest.mark.parametrize("method", ["grad-cam", "hires-cam", "eigen-cam", "score-cam", "guided-grad-cam"])
def test_list_equals_each_sample_alone(padding, align, method):
    net, samples = Net(padding).eval(), items()
    net.head.weight.data.abs_()  # something speaks for the target, whatever was drawn
    options = {"align": align, "method": method, "target": 1}
    exp = sc.explain(net, samples, **OPTIONS, **options)
    assert_as_alone(exp, net, samples, tolerance=1e-4 if method == "score-cam" else SAME, **options)
    assert exp.maps.shape[-1] == 64
    assert exp.lengths.values.tolist() == LENGTHS
    assert "samples of equal length ran together, 4 lengths" in exp.provenance["unequal lengths"]


def test_samples_of_equal_length_share_a_batch(net):
    sc.explain(net, items(), **OPTIONS)
    assert {size for size in net.sizes if size[0] == 2} >= {(2, 64), (2, 40)}


def test_everything_said_about_a_sample_stays_with_it(net):
    samples, classes = items(), [0, 1, 2, 3, 1, 2]
    exp = sc.explain(
        net,
        samples,
        **OPTIONS,
        target=["predicted", sc.PerSample(classes)],
        labels=classes,
        sample_names=list("abcdef"),
        class_names=["N", "AF", "VT", "O"],
    )
    assert exp.target_classes[:, 1].tolist() == classes
    assert exp.labels.values.tolist() == classes
    for i, each in enumerate(samples):
        z = net(torch.as_tensor(each[None])).detach().numpy()[0]
        np.testing.assert_allclose(exp.outputs[i], z, rtol=1e-5, atol=1e-6)
        assert exp.scores[i, 1] == pytest.approx(z[classes[i]], rel=1e-5)
        alone = exp.sel(sample="abcdef"[i])
        np.testing.assert_array_equal(alone.input[0], each)
        assert alone.maps.shape[-1] == LENGTHS[i]
        assert not np.isnan(alone.maps).any()


def test_images_of_unequal_size_are_explained():
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)).eval()
    rng = np.random.default_rng(0)
    samples = [rng.standard_normal((1, *s)).astype(np.float32) for s in [(9, 12), (14, 8), (9, 12)]]
    exp = sc.explain(net, samples, layer="1", signed=True)
    assert_as_alone(exp, net, samples, layer="1")
    assert exp.lengths.values.tolist() == [[9, 12], [14, 8], [9, 12]]
    assert exp.maps.shape[-2:] == (14, 12)
    with np.errstate(all="raise"):
        assert np.isnan(exp.mean("sample").values[..., 13, 11]).all()


def test_stride_that_places_positions_differently_keeps_the_inputs_resolution():
    class Shifted(nn.Module):
        """Pads in front of odd lengths only."""

        def __init__(self):
            super().__init__()
            self.conv2, self.head = nn.Conv1d(2, 4, 3, stride=2), nn.Linear(4, 3)

        def forward(self, x):
            x = nn.functional.pad(x, (x.shape[2] % 2, 1))
            return self.head(self.conv2(x).square().mean(2))

    net, samples = Shifted().eval(), items()
    exp = sc.explain(net, samples, **OPTIONS)
    assert_as_alone(exp, net, samples)
    assert exp.native().shape[-1] == 64


def test_tensors_in_a_list_are_fine(net):
    samples = items()
    exp = sc.explain(net, [torch.as_tensor(each) for each in samples], **OPTIONS)
    assert exp.maps.equals(sc.explain(net, samples, **OPTIONS).maps)


def test_sample_that_is_too_short_gives_the_models_own_error(net):
    with pytest.raises(RuntimeError, match="size"):
        sc.explain(net, [*items(), np.zeros((2, 3), np.float32)], **OPTIONS)


# --- padded and marked -----------------------------------------------------------------------------


@pytest.mark.parametrize("mark", [{"mask": sc.Mask()}, {"lengths": sc.Lengths()}], ids=["mask", "lengths"])
@pytest.mark.parametrize("batch_size", [None, 2])
def test_padded_samples_equal_each_alone_where_the_network_heeds_the_mark(net, mark, batch_size):
    samples = items([50, 64, 57, 60, 64, 59])
    options = {
        "method": ["grad-cam", "grad-cam++", "eigen-cam", "xgrad-cam"],
        "target": ["predicted", 2],
    }
    exp = sc.explain(net, samples, extra=mark, batch_size=batch_size, **OPTIONS, **options)
    assert exp.provenance["unequal lengths"].startswith("padded and marked")
    assert_as_alone(exp, net, samples, **options)
    for i, each in enumerate(samples):
        z = net(torch.as_tensor(each[None])).detach().numpy()[0]
        np.testing.assert_allclose(exp.outputs[i], z, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("net", "options", "reason"),
    [
        (Net(2), {}, r"padding changed the model's answers by \de-0\d and maps"),
        (Net(told=False), {}, "padding changed the model's answers"),
        (Net(), {"method": "score-cam"}, "score-cam asks the model again"),
    ],
    ids=["leaks at the end", "takes no heed", "asks again"],
)
def test_padding_that_would_change_something_is_left_out_and_the_result_says_why(net, options, reason):
    net, samples = net.eval(), items()
    exp = sc.explain(net, samples, extra={"mask": sc.Mask()}, **OPTIONS, **options)
    said = exp.provenance["unequal lengths"]
    assert said.startswith("samples of equal length ran together, 4 lengths, as ")
    assert re.search(reason, said)
    assert_as_alone(exp, net, samples, tolerance=1e-4, **options)


@pytest.mark.parametrize("seed", SEEDS)
def test_leak_is_found_where_the_tried_samples_alone_do_not_show_it(seed):
    """Whether a rectifier lets something through behind a sample's end depends on how the sample ends."""
    torch.manual_seed(seed)
    net, samples = Net(2).eval(), items()
    exp = sc.explain(net, samples, extra={"mask": sc.Mask()}, **OPTIONS)
    assert "as padding changed the model's answers" in exp.provenance["unequal lengths"]
    assert_as_alone(exp, net, samples)


def test_leak_into_a_quiet_sample_is_found_beside_a_loud_one():
    torch.manual_seed(0)
    net, (longest, *others) = Net(2).eval(), items([64, 50, 57])
    samples = [longest * np.float32(1e5), *others]
    exp = sc.explain(net, samples, extra={"mask": sc.Mask()}, **OPTIONS)
    assert "as padding changed the model's answers" in exp.provenance["unequal lengths"]


class Attention(nn.Module):
    """Queries in the padding see nothing, so all they find is no number."""

    def __init__(self):
        super().__init__()
        self.conv2, self.head = nn.Conv1d(2, 4, 1), nn.Linear(4, 3)

    def forward(self, x, mask):
        h = self.conv2(x).transpose(1, 2)
        seen = mask[:, :, None] & mask[:, None, :]
        share = (h @ h.transpose(1, 2)).masked_fill(~seen, -torch.inf).softmax(-1)
        return self.head((share @ h).mean(1))


def test_padding_that_leaves_no_number_is_found():
    net, samples, mask = Attention().eval(), items(), {"mask": sc.Mask()}
    exp = sc.explain(net, samples, extra=mask, **OPTIONS)
    assert "as padding changed the model's answers by inf" in exp.provenance["unequal lengths"]
    assert_as_alone(exp, net, samples, extra=mask)


def test_network_that_refuses_padding_runs_without(net):
    class Refuses(Net):
        def forward(self, x, mask):
            if not mask.all():
                raise ValueError("no padding, please")
            return super().forward(x, mask)

    net, samples = Refuses().eval(), items()
    exp = sc.explain(net, samples, extra={"mask": sc.Mask()}, **OPTIONS)
    assert "padded samples made it raise ValueError" in exp.provenance["unequal lengths"]


def test_padding_is_tried_once_for_lengths_like_those_seen(net):
    explainer = sc.Explainer(net, **OPTIONS)
    explainer(items([50, 64, 57]), extra={"mask": sc.Mask()})
    net.sizes.clear()
    explainer(items([50, 64, 57]), extra={"mask": sc.Mask()})
    assert [size for size in net.sizes if size[0] > 1] == [(3, 64)]


@pytest.mark.parametrize("spread", [1.05, 2, 10, 100])
def test_less_than_a_fifth_of_padded_batches_is_padding(spread):
    rng = np.random.default_rng(0)
    lengths = np.exp(rng.uniform(np.log(500), np.log(500 * spread), 400)).astype(int)[:, None]
    batches = group_by_length(lengths)
    assert sorted(np.concatenate(batches)) == list(range(400))
    assert max(padding_share(lengths[rows]) for rows in batches) < WASTE == 0.2
    room = sum(len(rows) * lengths[rows].max() for rows in batches)
    assert 1 - lengths.sum() / room < 0.2
    most = 2 + 2 * np.log(spread) / np.log(1.4)
    assert len(batches) <= most  # or samples would run nearly alone


def test_marks_are_there_for_arrays_too(net):
    x = np.stack(items([40] * 3))
    marked = sc.explain(net, x, extra={"mask": sc.Mask()}, **OPTIONS)
    np.testing.assert_allclose(marked.maps, sc.explain(net, x, **OPTIONS).maps, rtol=1e-5, atol=1e-6)


# --- padded arrays ---------------------------------------------------------------------------------


def padded(samples, value=0.0, length=70):
    x = np.full((len(samples), 2, length), value, np.float32)
    for row, each in zip(x, samples, strict=True):
        row[:, : each.shape[1]] = each
    return x


def layout(lengths=LENGTHS, **options):
    return sc.Layout("batch channel time", lengths=lengths, **options)


@pytest.mark.parametrize("value", [0.0, np.nan, 7.0])
@pytest.mark.parametrize("extra", [{}, {"mask": sc.Mask()}], ids=["bare", "marked"])
def test_padded_array_with_lengths_equals_each_sample_alone(net, value, extra):
    samples = items()
    exp = sc.explain(net, padded(samples, value), layout=layout(), extra=extra, **OPTIONS)
    assert_as_alone(exp, net, samples)
    assert exp.layout.lengths is None
    assert exp.lengths.values.tolist() == LENGTHS


@pytest.fixture
def fixed():
    """A network of one length."""
    conv = nn.Conv1d(2, 4, 5, padding=2)
    net = nn.Sequential(conv, nn.ReLU(), nn.Flatten(), nn.Linear(280, 4))
    return net.eval()


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_network_of_one_length_runs_as_given_and_padding_gets_no_heat(fixed, value):
    x = padded(items(), value)
    exp = sc.explain(fixed, x, layout=layout(), layer="0", target=1, signed=True)
    assert "padded as it came, as the model takes no other length" in exp.provenance["unequal lengths"]
    whole = sc.explain(fixed, np.nan_to_num(x), layer="0", target=1, signed=True).maps.values
    for i, n in enumerate(LENGTHS):
        found = exp.maps.values[i, 0, 0, 0]
        np.testing.assert_allclose(found[:n], whole[i, 0, 0, 0, :n], rtol=1e-5, atol=1e-6)
        assert np.isnan(found[n:]).all()
        assert exp.isel(sample=i).maps.shape[-1] == n


def test_mask_of_the_users_own_keeps_the_array_as_it_came(net):
    samples = items([64, 60, 64])
    own = np.arange(70) < np.array([[64], [60], [64]])
    exp = sc.explain(net, padded(samples), extra={"mask": own}, layout=layout([64, 60, 64]), **OPTIONS)
    assert "padded as it came, as 'mask' is padded beside it" in exp.provenance["unequal lengths"]
    assert np.isnan(exp.maps.values[1, ..., 60:]).all()


def test_heat_on_padding_alone_is_warned_of():
    net = nn.Sequential(nn.Conv1d(2, 4, 1), nn.ReLU(), nn.Flatten(), nn.Linear(280, 4)).eval()
    net[3].weight.data[:, : 280 // 4 - 10] = 0
    net[3].weight.data.reshape(4, 4, 70)[:, :, :60] = 0
    with pytest.warns(sc.CamWarning, match=r"all the heat of 2 of 2 samples lay on their padding"):
        sc.explain(
            net,
            np.ones((2, 2, 70), np.float32),
            layout=layout([60, 50]),
            layer="0",
            method="hires-cam",
            signed=True,
            align="resize",
        )


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([40, 64], "2 lengths for 6 samples. Give one a sample"),
        ([40, 64, 33, 64, 50, 71], r"holds 71 but the array is 70 long along axis 2"),
    ],
)
def test_lengths_that_do_not_fit_raise(net, lengths, message):
    with pytest.raises(sc.LayoutError, match=message):
        sc.explain(net, padded(items()), layout=layout(lengths), **OPTIONS)


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([4.5], "whole numbers"),
        (["4"], "whole numbers"),
        ([0], "holds 0"),
        ([[4]], "whole numbers"),
    ],
    ids=str,
)
def test_lengths_that_are_no_lengths_raise(lengths, message):
    with pytest.raises(sc.LayoutError, match=message):
        layout(lengths)


def test_lengths_of_a_list_raise(net):
    with pytest.raises(sc.LayoutError, match="a list of samples was given, which has its own"):
        sc.explain(net, items(), layout=layout(), **OPTIONS)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (
            [np.zeros((2, 40)), np.zeros((3, 40))],
            r"2 and 3 entries along axis 0 of each \(channel\)",
        ),
        ([np.zeros((2, 40)), np.zeros(40)], "1 and 2 axes"),
    ],
    ids=["channels", "ranks"],
)
def test_lists_that_mix_raise(net, samples, message):
    with pytest.raises(sc.LayoutError, match=message):
        sc.explain(net, samples, **OPTIONS)


def test_sample_that_is_not_finite_is_named_by_its_number(net):
    samples = items()
    samples[2][0, 3] = np.nan
    with pytest.raises(sc.InputError, match="samples 2 hold NaN"):
        sc.explain(net, samples, **OPTIONS)


# --- the result ------------------------------------------------------------------------------------


@pytest.fixture
def exp(net):
    return sc.explain(
        net,
        items(),
        **OPTIONS,
        method=["grad-cam", "hires-cam"],
        layout=sc.Layout("batch channel time", sampling_rate=10),
    )


def test_native_maps_are_kept_where_all_lengths_share_their_places(exp):
    assert exp.native().shape[-1] == 64 - 6
    assert np.isfinite(exp.native().values).sum(-1)[:, 0, 0].tolist() == [n - 6 for n in LENGTHS]


def test_parts_are_cut_to_the_longest_sample_taken(exp):
    part = exp.isel(sample=[2, 0])
    assert part.maps.shape[-1] == 40
    assert part.lengths.values.tolist() == [33, 40]
    np.testing.assert_array_equal(part.maps, exp.maps[[2, 0], ..., :40])
    one = part.isel(sample=0)
    assert one.input.shape == (1, 2, 33)
    assert not np.isnan(one.maps).any()


def test_means_count_no_padding(exp):
    values = exp.maps.values
    np.testing.assert_allclose(exp.mean("sample").values[..., 60], values[[1, 3], ..., 60].mean(0))
    np.testing.assert_allclose(exp.maps.mean("time")[2], values[2, ..., :33].mean(-1), rtol=1e-5)
    assert np.isfinite(exp.std("sample")).all()


@pytest.mark.parametrize("kind", ["max", "minmax", "symmetric"])
def test_normalizing_counts_no_padding(exp, kind):
    scaled = exp.normalized(kind)
    for i in range(len(LENGTHS)):
        alone = exp.isel(sample=i).normalized(kind)
        np.testing.assert_array_equal(scaled.isel(sample=i).maps, alone.maps)


def test_fusing_counts_no_padding(net):
    samples = items()
    options = {"layer": ["conv1", "conv2"], "signed": True}
    exp = sc.explain(net, samples, **options).fused("product")
    for i, each in enumerate(samples):
        alone = sc.explain(net, each[None], **options).fused("product").maps
        found = exp.isel(sample=i).maps
        np.testing.assert_allclose(found, alone, rtol=1e-4, atol=1e-6)
    assert np.isnan(exp.maps.values[2, ..., 33:]).all()


def test_result_survives_saving(exp, tmp_path):
    exp.save(tmp_path / "maps.zarr")
    back = sc.load(tmp_path / "maps.zarr")
    assert back.to_xarray().identical(exp.to_xarray())
    assert back.native().identical(exp.native())
    assert back.isel(sample=2).maps.identical(exp.isel(sample=2).maps)
    assert back.lengths.identical(exp.lengths)


def test_warnings_come_once_for_all_lengths(net):
    net.head.weight.data[:] = 0
    with pytest.warns(sc.CamWarning) as seen:
        sc.explain(net, items(), layer="conv2")
    assert ["6 of 6 samples" in str(each.message) for each in seen] == [True]


def test_progress_is_one_bar_for_all_lengths(net, capfd):
    sc.explain(net, items(), progress=True, **OPTIONS)
    err = capfd.readouterr().err
    assert "6/6" in err
    assert "2/2" not in err


def test_figures_draw_the_sample_and_no_padding(exp):
    pytest.importorskip("matplotlib")
    ax = exp.plot(sample=2)
    assert ax.get_xlim()[1] == pytest.approx((33 - 0.5) / 10)
    (strip,) = [each for each in ax.images if each.get_array().shape[-1] == 33]
    assert np.isfinite(strip.get_array()).all()


@pytest.mark.parametrize("rank", [2, 3])
def test_pictures_and_volumes_are_drawn_at_their_own_size(rank):
    pytest.importorskip("matplotlib")
    conv, pool = (nn.Conv2d, nn.AdaptiveAvgPool2d) if rank == 2 else (nn.Conv3d, nn.AdaptiveAvgPool3d)
    net = nn.Sequential(conv(1, 4, 3), nn.ReLU(), pool(1), nn.Flatten(), nn.Linear(4, 3)).eval()
    sizes, rng = [(12, 10, 9)[:rank], (6, 7, 8)[:rank]], np.random.default_rng(0)
    samples = [rng.standard_normal((1, *size)).astype(np.float32) for size in sizes]
    whole = sc.explain(net, samples, layer="1", signed=True)
    alone = sc.explain(net, samples[1][None], layer="1", signed=True)
    assert whole.plot(sample=1).get_xlim() == alone.plot(sample=0).get_xlim()
    assert whole.plot(sample=1).get_ylim() == alone.plot(sample=0).get_ylim()


# --- streams ---------------------------------------------------------------------------------------


def test_stream_takes_lists_of_unequal_length(net):
    samples = items()
    axes = {"layout": "batch channel time"}
    whole = sc.explain(net, samples, **axes, **OPTIONS)
    loader = [(samples[:3], np.array([0, 1, 2])), (samples[3:], np.array([1, 1, 0]))]
    parts = list(sc.Explainer(net, **axes, **OPTIONS).stream(loader))
    bare = list(sc.Explainer(net, **axes, **OPTIONS).stream([samples[:3], samples[3:]]))
    for found in (parts, bare):
        assert [name for part in found for name in part.sample_names] == list(range(6))
        last = found[1].isel(sample=2).maps.values
        np.testing.assert_allclose(last, whole.isel(sample=5).maps, rtol=1e-5, atol=1e-7)
    assert parts[0].labels.values.tolist() == [0, 1, 2]
    marked = list(sc.Explainer(net, **axes, **OPTIONS).stream(loader, extra={"mask": sc.Mask()}))
    assert marked[0].provenance["unequal lengths"].startswith("padded and marked")


# --- beside other inputs ---------------------------------------------------------------------------


class Two(nn.Module):
    """A signal of any length, another of any other, and what is said of the patient."""

    def __init__(self):
        super().__init__()
        self.conv2, self.audio = nn.Conv1d(2, 5, 3), nn.Conv1d(1, 3, 9, stride=4)
        self.head = nn.Linear(5 + 3 + 2, 4)

    def forward(self, ecg, audio, patient, mask=None):
        e, s = self.conv2(ecg).square(), self.audio(audio).square()
        return self.head(torch.cat([e.mean(2), s.mean(2), patient], 1))


def test_unequal_modalities_beside_fixed_inputs_equal_each_sample_alone():
    net, ecg, audio = Two().eval(), items(), items([200, 300, 200, 300, 240, 200], 1)
    patient = np.random.default_rng(1).standard_normal((6, 2)).astype(np.float32)
    options = {"layer": {"ecg": "conv2", "audio": "audio"}, "signed": True, "target": sc.PerSample([0, 1, 2, 3, 0, 1])}
    given = {"ecg": ecg, "audio": audio, "patient": patient}
    exp = sc.explain(net, given, **options)
    for i in range(6):
        one = {"ecg": ecg[i][None], "audio": audio[i][None], "patient": patient[i : i + 1]}
        alone = sc.explain(net, one, **{**options, "target": sc.PerSample([options["target"].classes[i]])})
        part = exp.isel(sample=i)
        for name in ("ecg", "audio"):
            found, wanted = part.modality(name).maps.values, alone.modality(name).maps.values
            assert found.shape == wanted.shape
            assert np.abs(found - wanted).max() < SAME * np.abs(wanted).max()
    assert exp.modality("audio").lengths.values.tolist() == [200, 300, 200, 300, 240, 200]


def test_extra_arrays_follow_their_samples(net):
    class Scaled(Net):
        def forward(self, x, scale):
            return super().forward(x) * scale[:, None]

    net, samples = Scaled().eval(), items()
    scale = np.arange(1, 7).astype(np.float32)
    exp = sc.explain(net, samples, extra={"scale": scale}, target=1, **OPTIONS)
    for i, each in enumerate(samples):
        alone = sc.explain(net, each[None], extra={"scale": scale[i : i + 1]}, target=1, **OPTIONS)
        np.testing.assert_allclose(exp.isel(sample=i).maps, alone.maps, rtol=1e-5, atol=1e-6)


def test_inputs_of_different_numbers_of_samples_raise():
    given = {"ecg": items(), "audio": items([30, 40], 1), "patient": np.zeros((6, 2), np.float32)}
    with pytest.raises(sc.InputError, match="2 and 6 samples"):
        sc.explain(Two().eval(), given, of="ecg", **OPTIONS)
