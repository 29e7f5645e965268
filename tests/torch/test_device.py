"""On a GPU everything says what it says on the processor, and comes back to NumPy."""

import numpy as np
import pytest
import torch
from torch import nn

import signalcam as sc

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
EXACT = 1e-4  # of a map's largest value: single precision, other kernels
LOOSE = {
    "lift-cam": 0.01,
    "shapley-cam": 0.01,
    "opti-cam": 0.1,
}  # divide by small differences, or climb
ALL = [each for each in sc.methods() if each.name not in ("le-grad", "cam")]


@pytest.fixture(autouse=True)
def full_precision(monkeypatch):
    """PyTorch lets cuDNN round what a convolution reads to ten bits unless it is told not to."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def both(kit, net, x, **options):
    """The same explained on the processor and on the GPU."""
    here = kit.explain(net, x, target=1, **options)
    there = kit.explain(net.cuda(), x, target=1, **options)
    net.cpu()
    return here, there


def apart(found, wanted):
    size = np.nanmax(np.abs(wanted))
    assert size > 0
    return np.nanmax(np.abs(found - wanted)) / size


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("method", [each.name for each in ALL])
@pytest.mark.filterwarnings("ignore::signalcam.CamWarning")
def test_every_method_gives_the_maps_of_the_processor(kit, method, rank):
    here, there = both(kit, kit.network(rank), kit.signal(rank=rank), method=method)
    assert apart(there.maps.values, here.maps.values) < LOOSE.get(method, EXACT)
    np.testing.assert_allclose(there.outputs, here.outputs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("form", ["numpy", "tensor", "on the GPU"])
def test_input_may_be_anywhere(kit, form):
    net, x = kit.network(), kit.signal()
    wanted = kit.explain(net, x, target=1).maps.values
    given = {"numpy": x, "tensor": torch.as_tensor(x), "on the GPU": torch.as_tensor(x).cuda()}[form]
    exp = kit.explain(net.cuda(), given, target=1)
    assert apart(exp.maps.values, wanted) < EXACT
    assert isinstance(exp.input, np.ndarray)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("how", ["autocast", "cast"])
def test_half_precision_is_near(kit, dtype, how):
    net, x = kit.network(), kit.signal()
    wanted = kit.explain(net, x, target=1).maps.values
    net.cuda()
    if how == "cast":
        found = kit.explain(net.to(dtype), x, target=1)
    else:
        with torch.autocast("cuda", dtype):
            found = kit.explain(net, x, target=1)
    assert 1e-7 < apart(found.maps.values, wanted) < (0.1 if dtype is torch.bfloat16 else 0.02)
    assert found.maps.dtype == np.float32


def test_list_of_unequal_length_gives_the_maps_of_the_processor(kit):
    head = nn.Sequential(nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(5, 4))
    net = kit.network(head=head)
    x = [each[:, :n] for each, n in zip(kit.signal(), (24, 20, 24, 17), strict=True)]
    here, there = both(kit, net, x)
    assert apart(there.maps.values, here.maps.values) < EXACT


def test_preprocessing_is_part_of_the_gradient(kit):
    scaled = lambda x: (x - x.mean(-1, keepdim=True)) / x.std(-1, keepdim=True)  # noqa: E731
    here, there = both(kit, kit.network(), torch.as_tensor(kit.signal()), preprocess=scaled)
    assert apart(there.maps.values, here.maps.values) < EXACT


def test_long_record_gives_the_maps_of_the_processor(kit):
    net, x = kit.network(), np.random.default_rng(0).standard_normal((2, 400)).astype(np.float32)
    found = []
    for place in ("cpu", "cuda"):
        exp = sc.explain_record(net.to(place), x, window=24, layer="conv", target=1, signed=True)
        found.append(exp.maps.values)
    assert apart(found[1], found[0]) < EXACT


def test_scores_are_those_of_the_processor(kit):
    net, x = kit.network(), kit.signal()
    found = []
    for place in ("cpu", "cuda"):
        exp = kit.explain(net.to(place), x, target=1)
        found.append(sc.metrics.evaluate(exp, net, ["deletion", "insertion", "road"], imputer="mean"))
    for name in found[0].data_vars:
        if found[0][name].dtype.kind == "f":
            np.testing.assert_allclose(found[1][name], found[0][name], rtol=1e-3, atol=1e-3)


def test_model_and_random_state_are_as_before(kit):
    net, x = kit.network().cuda().train(), kit.signal()
    state, weights = torch.cuda.get_rng_state(), [each.clone() for each in net.parameters()]
    kit.explain(net, x, method=["grad-cam", "score-cam", "random-cam"])
    assert torch.equal(torch.cuda.get_rng_state(), state)
    assert net.training
    assert all(map(torch.equal, weights, net.parameters()))
    assert all(each.grad is None and each.is_cuda for each in net.parameters())


def test_batch_is_halved_where_the_memory_of_the_gpu_runs_out(kit):
    net, x = kit.network(), np.tile(kit.signal(), (64, 1, 1))
    wanted = kit.explain(net, x, target=1).maps.values
    before = net.conv.forward

    def greedy(a):
        if len(a) > 40:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return before(a)

    net.cuda().conv.forward = greedy
    assert apart(kit.explain(net, x, target=1).maps.values, wanted) < EXACT


def test_memory_runs_out_in_earnest_and_all_is_explained_all_the_same():
    free = torch.cuda.mem_get_info()[0]
    held = torch.empty(int(free * 0.9), dtype=torch.uint8, device="cuda")
    torch.cuda.set_per_process_memory_fraction(0.95)
    try:
        wide = (
            nn.Sequential(
                nn.Conv1d(1, 512, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(512, 3)
            )
            .cuda()
            .eval()
        )
        x = np.random.default_rng(0).standard_normal((256, 1, 40_000)).astype(np.float32)
        exp = sc.explain(wide, x, layer="0", target=1, batch_size=256)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        del held
    assert exp.maps.shape[0] == 256
    assert not np.isnan(exp.maps).any()
