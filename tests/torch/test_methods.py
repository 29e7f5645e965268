"""Methods that ask a PyTorch network again: against plain loops and the identities they must hold."""

import numpy as np
import oracles
import pytest
import torch
from torch import nn

import signalcam as sc
from signalcam.alignment.resampling import resample
from signalcam.attribution import mask_search, perturbation, smoothing
from signalcam.attribution.smoothing import GaussianNoise, SmoothGradCamPlusPlus
from signalcam.backends import backend_of
from signalcam.explainer.receptive_fields import measured_axes
from signalcam.inputs.conversion import as_inputs

SINGLE = 2e-5  # float32, of the largest value: sums in another order
CONVS = {
    1: (nn.Conv1d, nn.AdaptiveAvgPool1d),
    2: (nn.Conv2d, nn.AdaptiveAvgPool2d),
    3: (nn.Conv3d, nn.AdaptiveAvgPool3d),
}
LENGTHS = {1: (24,), 2: (12, 10), 3: (6, 7, 8)}
every_rank = pytest.mark.parametrize("rank", [1, 2, 3])
pytestmark = pytest.mark.filterwarnings("ignore:.*all zero because:signalcam.CamWarning")


def network(rank=1, head="pooled"):
    """A rectified layer with positions, and a head: pooled and linear, flat and linear, or deep."""
    torch.manual_seed(0)
    conv, pool = CONVS[rank]
    body = nn.Sequential(conv(2, 4, 3, padding=1), nn.ReLU(), conv(4, 5, 3, stride=2, padding=1), nn.ReLU())
    cells = 5 * int(np.prod([(each + 1) // 2 for each in LENGTHS[rank]]))
    heads = {
        "pooled": [pool(1), nn.Flatten(), nn.Linear(5, 3)],
        "flat": [nn.Flatten(), nn.Linear(cells, 3)],
        "deep": [nn.Flatten(), nn.Linear(cells, 8), nn.ReLU(), nn.Linear(8, 3)],
    }
    return nn.Sequential(body, *heads[head]).eval()


def signal(rank=1, batch=3):
    return torch.randn(batch, 2, *LENGTHS[rank], generator=torch.Generator().manual_seed(1))


def maps(method, rank=1, head="pooled", model=None, x=None, **options):
    """Signed maps at the layer, ``(sample, *positions)``."""
    x = signal(rank) if x is None else x
    options = {"target": 1, "layer": "0", "signed": True} | options
    return sc.explain(model or network(rank, head), x, method=method, **options).native().values[:, 0, 0]


def close(found, wanted, tolerance=SINGLE):
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * np.abs(wanted).max())


def tail(model, a):
    with torch.no_grad():
        return model[1:](a)[:, 1].numpy()


def activations(model, x):
    with torch.no_grad():
        return model[0](x)


# --- activations are changed ----------------------------------------------------------------------


@every_rank
@pytest.mark.parametrize("head", ["pooled", "flat", "deep"])
def test_ablation_weighs_channels_by_the_fall_of_the_score(rank, head):
    model, x = network(rank, head), signal(rank)
    a = activations(model, x)
    wanted = np.zeros((3, *a.shape[2:]))
    for channel in range(a.shape[1]):
        out = a.clone()
        out[:, channel] = 0
        fall = tail(model, a) - tail(model, out)
        wanted += fall.reshape(-1, *[1] * rank) * a[:, channel].numpy()
    close(maps("ablation-cam", rank, head), wanted)


@every_rank
def test_recipro_cam_scores_each_position_alone(rank):
    model, x = network(rank, "deep"), signal(rank)
    a = activations(model, x)
    empty = tail(model, torch.zeros_like(a))
    wanted = np.zeros((3, *a.shape[2:]))
    for place in np.ndindex(*a.shape[2:]):
        alone = torch.zeros_like(a)
        here = (slice(None), slice(None), *place)
        alone[here] = a[here]
        wanted[(slice(None), *place)] = tail(model, alone) - empty
    close(maps("recipro-cam", rank, "deep"), wanted)


@every_rank
def test_recipro_cam_is_hires_cam_behind_pooling_and_a_linear_layer(rank):
    close(maps("recipro-cam", rank), maps("hires-cam", rank))


@every_rank
def test_ablation_gives_each_channel_what_it_adds_where_the_score_is_a_line(rank):
    a = activations(network(rank, "flat"), signal(rank)).numpy()
    model = network(rank, "flat")
    weight = model[2].weight[1].detach().reshape(a.shape[1:]).numpy()
    drop = (a * weight).reshape(3, 5, -1).sum(-1)
    wanted = np.einsum("bc,bc...->b...", drop, a)
    close(maps("ablation-cam", rank, "flat"), wanted)
    close(maps("lift-cam", rank, "flat"), wanted)


@every_rank
def test_cam_takes_the_linear_layers_own_weights(rank):
    model, x = network(rank), signal(rank)
    a = activations(model, x).numpy()
    found = maps("cam", rank)
    close(found, np.einsum("c,bc...->b...", model[3].weight[1].detach().numpy(), a))
    close(found, maps("grad-cam", rank) * np.prod(a.shape[2:]))
    score = found.reshape(3, -1).mean(1) + model[3].bias[1].item()
    close(score, model(x)[:, 1].detach().numpy())


@pytest.mark.parametrize(("head", "reason"), [("flat", "positions count"), ("deep", "positions count")])
def test_cam_refuses_other_heads(head, reason):
    with pytest.raises(sc.MethodError, match=f"cam needs average pooling.*{reason}.*Use grad-cam"):
        maps("cam", head=head)


def test_cam_refuses_a_bent_head_behind_pooling():
    model = nn.Sequential(
        network()[0], nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3)
    )
    with pytest.raises(sc.MethodError, match="no straight line"):
        maps("cam", model=model)


# --- inputs are masked ----------------------------------------------------------------------------


def masks_of(model, x, layer="0"):
    """Each channel stretched to the input as SignalCAM places it, and to 0..1."""
    a = activations(model, x).numpy()
    given = as_inputs(x)
    axes = [*range(2, x.ndim), 1]
    found = measured_axes(backend_of(model), model, given, layer, axes, lambda *_: np.empty(0))
    stretched = resample(a.astype(np.float64), [found[i] for i in range(x.ndim - 2)])
    flat = stretched.reshape(*a.shape[:2], -1)
    low, high = flat.min(-1, keepdims=True), flat.max(-1, keepdims=True)
    spread = np.where(high > low, (flat - low) / np.where(high > low, high - low, 1), 0)
    return a, torch.as_tensor(spread.reshape(stretched.shape), dtype=torch.float32)


def score_cam(model, x, shown):
    """Textbook: one masked input a channel, softmax of the scores over the channels."""
    a, masks = masks_of(model, x)
    scores = np.zeros(a.shape[:2])
    for b in range(len(x)):
        for c in range(a.shape[1]):
            with torch.no_grad():
                rows = [model(each[None])[0, 1].item() for each in shown(x[b], masks[b, c])]
            scores[b, c] = np.mean(rows)
    flat = a.reshape(*a.shape[:2], -1).max(-1) == a.reshape(*a.shape[:2], -1).min(-1)
    scores[flat] = -np.inf
    grown = np.exp(scores - scores.max(1, keepdims=True))
    return np.einsum("bc,bc...->b...", grown / grown.sum(1, keepdims=True), a)


@every_rank
@pytest.mark.parametrize("batch_size", [2, 7, None])
def test_score_cam_equals_plain_loops(rank, batch_size):
    model, x = network(rank, "deep"), signal(rank)
    wanted = score_cam(model, x, lambda x, mask: [x * mask])
    close(maps("score-cam", rank, "deep", batch_size=batch_size), wanted, 1e-4)


@every_rank
def test_is_cam_rises_to_the_masked_input(rank):
    model, x = network(rank, "deep"), signal(rank)
    wanted = score_cam(model, x, lambda x, mask: [i / 4 * x * mask for i in range(1, 5)])
    close(maps(perturbation.is_cam(n=4), rank, "deep"), wanted, 1e-4)
    close(maps(perturbation.is_cam(n=1), rank, "deep"), maps("score-cam", rank, "deep"))


def test_ss_cam_without_noise_is_score_cam_and_with_it_repeats():
    close(maps(perturbation.ss_cam(n=2, noise=0), head="deep"), maps("score-cam", head="deep"))
    once, again = (maps("ss-cam", head="deep", batch_size=each) for each in (3, 64))
    close(once, again)
    other = maps(perturbation.ss_cam(seed=1), head="deep")
    assert np.abs(other - once).max() > 1e-4 * np.abs(once).max()


def test_channel_that_is_the_same_everywhere_has_no_say_in_score_cam():
    model = network(head="deep")
    with torch.no_grad():
        model[0][2].weight[0], model[0][2].bias[0] = 0, 5.0
    found = maps("score-cam", model=model)
    assert found.max() < 5


@pytest.mark.parametrize("weighting", ["none", "relu"])
def test_other_weightings_count_from_an_empty_input(weighting):
    model, x = network(head="deep"), signal()
    a, masks = masks_of(model, x)
    with torch.no_grad():
        scores = np.stack([model(x * masks[:, c, None])[:, 1].numpy() for c in range(5)], 1)
        above = scores - model(torch.zeros_like(x))[:, 1].numpy()[:, None]
    above = np.maximum(above, 0) if weighting == "relu" else above
    above[a.max(-1) == a.min(-1)] = 0
    wanted = np.einsum("bc,bcp->bp", above, a)
    close(maps(perturbation.score_cam(weighting=weighting), head="deep"), wanted, 1e-4)


@pytest.mark.filterwarnings("ignore:group-cam:signalcam.CamWarning")
@every_rank
def test_group_cam_is_not_negative_and_repeats(rank):
    found = maps("group-cam", rank, "deep", target=[0, 1, 2])
    assert (found >= 0).all()
    one = maps(perturbation.group_cam(groups=2), rank, "deep")
    two = maps(perturbation.group_cam(groups=2), rank, "deep", batch_size=1)
    np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", ["ablation-cam", "recipro-cam", "score-cam", "ss-cam", "is-cam", "group-cam"])
def test_sample_does_not_see_its_batch(method):
    whole = maps(method, head="deep", target=2)
    alone = maps(method, head="deep", target=2, x=signal()[1:2])
    np.testing.assert_allclose(alone[0], whole[1], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: perturbation.score_cam(weighting="mean"),
        lambda: perturbation.ss_cam(n=0),
        lambda: perturbation.ss_cam(noise=-1),
        lambda: perturbation.group_cam(groups=0),
        lambda: perturbation.group_cam(blur=0),
        lambda: smoothing.seg_xres_cam(0),
        lambda: sc.Smooth(n=0),
        lambda: sc.Smooth(noise=-1),
        lambda: sc.Principal("eigen-cam"),
        lambda: sc.Principal("score-cam"),
        lambda: sc.PerChannel("full-grad"),
        lambda: sc.Smooth("grad"),
    ],
)
def test_parameters_that_make_no_sense_are_refused_at_once(wrong):
    with pytest.raises(sc.MethodError):
        wrong()


# --- other gradients ------------------------------------------------------------------------------


@every_rank
def test_shapley_cam_is_grad_cam_for_rectifier_networks(rank):
    np.testing.assert_array_equal(maps("shapley-cam", rank, "deep"), maps("grad-cam", rank, "deep"))


@every_rank
def test_window_of_one_is_hires_cam_and_of_everything_grad_cam(rank):
    close(maps(smoothing.seg_xres_cam(1), rank, "deep"), maps("hires-cam", rank, "deep"))
    close(maps(smoothing.seg_xres_cam(99), rank, "deep"), maps("grad-cam", rank, "deep"))


def test_window_averages_the_gradient_in_blocks():
    model, x = network(head="deep"), signal()
    a = activations(model, x).requires_grad_()
    (g,) = torch.autograd.grad(model[1:](a)[:, 1].sum(), a)
    wanted = np.zeros((3, 12))
    for start in range(0, 12, 5):
        here = slice(start, start + 5)
        block = g[:, :, here].mean(-1, keepdim=True) * a[:, :, here]
        wanted[:, here] = block.sum(1).detach().numpy()
    close(maps(smoothing.seg_xres_cam(5), head="deep"), wanted)


# --- smoothing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["grad-cam", "eigen-cam", "ablation-cam", "lift-cam"])
def test_smoothing_without_noise_changes_nothing(method):
    close(maps(sc.Smooth(method, n=2, noise=0), head="deep"), maps(method, head="deep"))


def test_smoothed_map_is_the_mean_over_noisy_copies_of_the_clean_class():
    model, x = network(head="deep"), signal()
    found = maps(sc.Smooth("hires-cam", n=3, noise=0.5, seed=4), head="deep", target="predicted")
    classes = model(x).argmax(1)
    size = (x.amax((1, 2)) - x.amin((1, 2))).reshape(-1, 1, 1)
    total = 0
    for number in range(3):
        noise = np.random.default_rng((4, number)).standard_normal((2, 24))
        noisy = x + 0.5 * size * torch.as_tensor(noise, dtype=torch.float32)
        total = total + maps("hires-cam", model=model, x=noisy, target=sc.PerSample(classes.tolist()))
    close(found, total / 3)


def test_smooth_grad_cam_plus_plus_without_noise_is_grad_cam_plus_plus():
    plan = SmoothGradCamPlusPlus(GaussianNoise(1, 0.0, 0))
    method = sc.Method("clean", None, "none", plan=plan, needs_gradients=False)
    close(maps(method, head="deep"), maps("grad-cam++", head="deep"))


def test_smooth_grad_cam_plus_plus_equals_its_formula():
    model, x = network(head="deep"), signal()
    size = (x.amax((1, 2)) - x.amin((1, 2))).reshape(-1, 1, 1)
    first = second = third = 0
    for number in range(8):
        noise = torch.as_tensor(np.random.default_rng((0, number)).standard_normal((2, 24)), dtype=torch.float32)
        a = activations(model, x + 0.15 * size * noise).requires_grad_()
        (g,) = torch.autograd.grad(model[1:](a)[:, 1].sum(), a)
        g = g.double()
        first, second, third = first + g / 8, second + g**2 / 8, third + g**3 / 8
    a = activations(model, x).double()
    below = 2 * second + a.sum(-1, keepdim=True) * third
    alpha = torch.where(below == 0, 0, second / torch.where(below == 0, 1, below))
    wanted = torch.einsum("bc,bcp->bp", (alpha * first.clamp(min=0)).sum(-1), a).numpy()
    close(maps("smooth-grad-cam++", head="deep"), wanted, 1e-4)


@every_rank
def test_principal_of_hires_cam_is_eigen_grad_cam(rank):
    found, wanted = maps(sc.Principal("hires-cam"), rank, "deep"), maps("eigen-grad-cam", rank, "deep")
    close(found, wanted, 1e-3)


# --- at the input ---------------------------------------------------------------------------------


@every_rank
@pytest.mark.parametrize("head", ["pooled", "flat", "deep"])
def test_full_grad_adds_up_to_the_score(rank, head):
    exp = sc.explain(network(rank, head), signal(rank), layer="0", method="full-grad", signed=True, target=[0, 1])
    total = exp.maps.values[:, :, 0, 0].reshape(3, 2, -1).astype(np.float64).sum(-1)
    np.testing.assert_allclose(total, exp.scores, rtol=1e-4, atol=1e-5)


def test_full_grad_puts_each_offset_where_its_gradient_is():
    """One unpadded layer, so that its positions are the input's: x dy/dx and b dy/da, and the head's bias."""
    torch.manual_seed(3)
    conv = nn.Conv1d(1, 3, 1)
    model = nn.Sequential(conv, nn.ReLU(), nn.Flatten(), nn.Linear(30, 2))
    x = torch.randn(2, 1, 10)
    z = conv(x).detach().requires_grad_()
    (g,) = torch.autograd.grad(model[1:](z)[:, 1].sum(), z)
    fine = torch.einsum("bcp,cij,bip->bp", g, conv.weight, x) + torch.einsum("bcp,c->bp", g, conv.bias)
    wanted = (fine + model[3].bias[1] / 10).detach().numpy()
    exp = sc.explain(model, x, layer="1", method="full-grad", signed=True, target=1)
    close(exp.maps.values[:, 0, 0, 0], wanted)


@every_rank
def test_methods_at_the_input_bring_the_others_there(rank):
    model, x = network(rank, "deep"), signal(rank)
    names = ["grad-cam", "guided-grad-cam", "input-energy"]
    exp = sc.explain(model, x, layer="0", method=names, target=1)
    assert exp.native().shape == (3, 1, 3, *LENGTHS[rank])
    alone = sc.explain(model, x, layer="0", method="grad-cam", target=1)
    close(exp.maps.values[:, :, 0], alone.maps.values[:, :, 0])
    close(exp.maps.isel(cam=2).values[:, 0, 0], (x**2).sum(1).numpy())


def test_guided_grad_cam_is_the_product_of_both():
    model, x = network(head="deep"), signal()
    rough = sc.explain(model, x, layer="0", target=1).maps.values[:, 0, 0, 0]
    exp = sc.explain(model, x, layer="0", method="guided-grad-cam", target=1, signed=True)
    channels = sc.explain(model, x, layer="0", method=sc.PerChannel(guided=True), target=1, signed=True)
    assert channels.maps.dims[-2:] == ("channel", "time")
    close(channels.maps.values[:, 0, 0, 0].sum(1), exp.maps.values[:, 0, 0, 0])
    assert (exp.maps.values[:, 0, 0, 0][rough == 0] == 0).all()


def test_channels_share_a_map_by_what_each_adds():
    model, x = network(head="deep"), signal()
    layout = sc.Layout("batch channel time", sampling_rate=100, channel_names=["I", "II"])
    exp = sc.explain(model, x, layer="0", method=["grad-cam", sc.PerChannel()], target=1, layout=layout)
    assert exp.methods[1] == "grad-cam x |input gradient x input|"
    free = x.clone().requires_grad_()
    (g,) = torch.autograd.grad(model(free)[:, 1].sum(), free)
    rough = exp.maps.isel(cam=0, target=0, layer=0).values
    np.testing.assert_array_equal(rough[:, 0], rough[:, 1])  # a layer's map paints every channel alike
    close(exp.maps.isel(cam=1, target=0, layer=0).values, rough * (x * g).abs().numpy())
    assert list(exp.maps.channel.values) == ["I", "II"]


# --- layers together ------------------------------------------------------------------------------


@every_rank
def test_layers_are_put_together_at_the_input(rank, tmp_path):
    exp = sc.explain(
        network(rank, "deep"), signal(rank), layer=["0.1", "0.3"], target=[1, 2], method=["layer-cam", "grad-cam"]
    )
    one = exp.fused("mean")
    assert one.layer_names == ("mean(0.1, 0.3)",)
    flat = exp.maps.values.reshape(3, 2, 2, 2, -1)
    top = flat.max(-1, keepdims=True)
    wanted = (flat / np.where(top > 0, top, 1)).mean(3).reshape(one.maps.values[:, :, :, 0].shape)
    np.testing.assert_allclose(one.maps.values[:, :, :, 0], wanted, rtol=1e-5, atol=1e-6)
    one.save(tmp_path / "fused.zarr")
    np.testing.assert_array_equal(sc.load(tmp_path / "fused.zarr").maps, one.maps)


@every_rank
def test_poly_cam_puts_layers_together_at_the_finest_ones_positions(rank, tmp_path):
    exp = sc.explain(
        network(rank, "deep"), signal(rank), layer=["0.3", "0.1"], target=[1, 2], method=["poly-cam", "mean-activation"]
    )
    one = exp.fused("poly-cam")
    assert one.layer_names == ("poly-cam(0.3, 0.1)",)
    assert one.native().shape == (3, 2, 2, *LENGTHS[rank])
    grids = [exp.layers[1].grid, exp.layers[0].grid]
    for n, t, m in np.ndindex(3, 2, 2):
        wanted = oracles.poly_cam_of([exp.layers[i].values[n, t, m] for i in (1, 0)], grids)
        np.testing.assert_allclose(one.native().values[n, t, m], wanted, rtol=1e-4, atol=1e-6)
    one.save(tmp_path / "fused.zarr")
    np.testing.assert_array_equal(sc.load(tmp_path / "fused.zarr").maps, one.maps)


@pytest.mark.parametrize("how", ["mean", "max", "product", "layer-cam", "poly-cam"])
def test_one_layer_cannot_be_put_together(how):
    exp = sc.explain(network(), signal(), layer="0")
    with pytest.raises(sc.MethodError, match=r"Explain two layers or more: layer=\[\.\.\.\]"):
        exp.fused(how)


# --- masks that are searched for ------------------------------------------------------------------


@every_rank
def test_poly_cam_counts_what_a_mask_shows_and_what_it_takes_away(rank):
    model, x = network(rank, "deep"), signal(rank)
    a, masks = masks_of(model, x)
    weights = np.zeros(a.shape[:2])
    with torch.no_grad():
        whole = model(x)[:, 1].numpy()
        for c in range(a.shape[1]):
            shown, hidden = (model(x * m[:, None])[:, 1].numpy() for m in (masks[:, c], 1 - masks[:, c]))
            weights[:, c] = np.maximum(shown + whole - hidden, 0)
    close(maps("poly-cam", rank, "deep"), np.einsum("bc,bc...->b...", weights, a), 1e-4)


def climbing(model, x, w):
    """One look of the search at weights ``w``: score and slope."""
    kept = {}

    def plan(case):
        kept["score"], mixed, kept["slope"] = mask_search.climb(case, 0, case.a, case.array(w))
        return [mixed]

    method = sc.Method("climb", None, "none", plan=plan, needs_gradients=False)
    sc.explain(model, x, layer="0", method=method, target=1)
    return kept["score"].numpy(), kept["slope"].numpy()


@every_rank
def test_search_climbs_along_the_true_slope(rank):
    model, x = network(rank, "deep").double(), signal(rank).double()
    rng = np.random.default_rng(0)
    w, way = rng.standard_normal((3, 5)), rng.standard_normal((3, 5))
    _, slope = climbing(model, x, w)
    ahead, behind = (climbing(model, x, w + step * way)[0] for step in (1e-3, -1e-3))
    np.testing.assert_allclose((ahead - behind) / 2e-3, (slope * way).sum(1), rtol=2e-2, atol=1e-5)


def test_search_ends_no_lower_than_it_began():
    model, x = network(head="deep"), signal()
    few, many = (
        maps(sc.Method("o", None, "none", plan=mask_search.OptiCam(n), needs_gradients=False), head="deep")
        for n in (1, 30)
    )

    def masked_score(found):
        grid = sc.explain(model, x, layer="0", target=1).layers[0].grid
        wide = resample(found.astype(np.float64), grid)
        low, high = wide.min(1, keepdims=True), wide.max(1, keepdims=True)
        mask = torch.as_tensor((wide - low) / (high - low), dtype=torch.float32)
        return model(x * mask[:, None])[:, 1].detach().numpy()

    assert (masked_score(many) >= masked_score(few) - 1e-5).all()
    assert (masked_score(many) > masked_score(few) + 1e-4).any()
