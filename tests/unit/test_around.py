"""Maps and signals cut around events, against the same worked out value by value."""

from dataclasses import replace

import numpy as np
import pytest

from signalcam import InputError, Layout, LayoutError
from signalcam.alignment.resampling import AxisGrid
from signalcam.results.layer_maps import LayerMaps
from unit.results import make, numbers

EVENTS = ([1.03, 2.5], [], [0.05, 1.5, 3.7])  # the first and last of cy's reach outside
SPAN = np.arange(-2, 6)  # samples at 10 Hz: 0.2 s before to 0.5 s after


def direct(exp, layer, events=EVENTS):
    """Every cut of every map, ``(event, target, method, offset)``, by NumPy's interpolation."""
    own = exp.layers[layer]
    found = []
    for row, times in enumerate(events):
        for time in times:
            at = time * 10 + SPAN
            if at[0] < 0 or at[-1] > 39:
                continue
            maps = own.values[row].reshape(-1, own.values.shape[-1]).astype(float)
            cut = [np.interp(at, own.grid[0].centres, each) for each in maps]
            found.append(np.reshape(cut, (*own.values.shape[1:3], len(SPAN))))
    return np.array(found)


def test_mean_and_deviation_are_those_of_all_cuts():
    exp = make()
    found = exp.around(EVENTS, 0.2, 0.5).table
    for number, layer in enumerate(exp.layer_names):
        cut, own = direct(exp, number), found.sel(layer=layer)
        np.testing.assert_allclose(own["mean"], cut.mean(axis=0), atol=1e-6)
        np.testing.assert_allclose(own["std"], cut.std(axis=0), atol=1e-6)
    assert (int(found["count"]), int(found["left_out"])) == (3, 2)
    assert found["mean"].dims == ("target", "cam", "layer", "around")
    np.testing.assert_allclose(found["around"], SPAN / 10)
    assert found["around"].units == "s"


def test_the_signal_is_cut_as_the_maps_are():
    exp = make()
    found = exp.around(EVENTS, 0.2, 0.5).table
    places = [(0, 10.3), (0, 25), (2, 15)]
    cut = [[np.interp(at + SPAN, np.arange(40), line) for line in exp.input[row]] for row, at in places]
    assert found["signal_mean"].dims == ("channel", "around")
    np.testing.assert_allclose(found["signal_mean"], np.mean(cut, axis=0), atol=1e-6)
    np.testing.assert_allclose(found["signal_std"], np.std(cut, axis=0), atol=1e-6)
    assert found["signal_mean"].units == "mV"
    assert found["channel"].values.tolist() == ["I", "II"]


def test_a_peak_of_the_map_lies_where_the_layer_saw_it():
    values = np.zeros((1, 1, 1, 10), np.float32)
    values[..., 4] = 1  # the layer's position 4 sees sample 1.5 + 4 * 4
    grid = (AxisGrid(2, 10, 40, 1.5, 4.0),)
    exp = make().isel(sample=0, target=0, cam=0, layer=0)
    exp = replace(exp, layers=(LayerMaps("conv1", values, grid),))
    found = exp.around([[1.75]], 0.5, 0.5).table["mean"].squeeze()
    assert float(found.idxmax()) == 0
    assert float(found.max()) == 1


def test_many_samples_are_put_together_from_blocks(monkeypatch):
    exp = make()
    whole = exp.around(EVENTS, 0.2, 0.5).table
    monkeypatch.setattr("signalcam.results.epochs._BLOCK", 1)
    found = exp.around(EVENTS, 0.2, 0.5).table
    for name in whole.data_vars:
        np.testing.assert_allclose(found[name], whole[name], atol=1e-12)


def test_axes_beside_time_are_at_the_inputs_resolution():
    grids = {
        "all": (AxisGrid(1, 2, 2, 0.0, 1.0), AxisGrid(2, 10, 40, 1.5, 4.0)),
        "time": (AxisGrid(2, 10, 40, 1.5, 4.0),),
    }
    exp = make(grids)
    found = exp.around(EVENTS, 0.2, 0.5).table
    assert found["mean"].dims == ("target", "cam", "layer", "channel", "around")
    np.testing.assert_allclose(found["mean"].sel(layer="time", channel="II"), direct(exp, 1).mean(axis=0), atol=1e-6)
    one = replace(exp, layers=(replace(exp.layers[1], values=exp.layers[0].values[:, :, :, 1]),))
    np.testing.assert_allclose(found["mean"].sel(layer="all", channel="II"), direct(one, 0).mean(axis=0), atol=1e-6)


def test_samples_of_unequal_length_are_cut_to_their_own_end():
    exp = make(shapes=np.array([[2, 40], [2, 40], [2, 20]]))
    exp = replace(exp, layers=tuple(each.mask_padding(exp.shapes) for each in exp.layers))
    found = exp.around([[1.0], [], [1.0, 1.7]], 0.2, 0.5)
    assert (int(found.table["count"]), int(found.table["left_out"])) == (2, 1)
    assert np.isfinite(found.table["mean"]).all()


def test_samples_without_a_map_are_left_out():
    exp = make()
    layers = [replace(each, values=each.values.copy()) for each in exp.layers]
    layers[0].values[2] = np.nan
    found = replace(exp, layers=tuple(layers)).around(EVENTS, 0.2, 0.5)
    assert repr(found) == "<EventAverage 2 events, from -0.2 to 0.5 s; 3 left out>"
    assert np.isfinite(found.table["mean"]).all()


def test_a_stretch_keeps_its_clock():
    exp = make()
    part = exp.between(0.5, 3.9)
    one, two = (each.around(([1.03, 2.5], [], [1.5]), 0.2, 0.5).table for each in (exp, part))
    np.testing.assert_allclose(one["mean"], two["mean"], atol=1e-6)


def test_without_a_rate_events_are_counted_in_samples():
    exp = make(layout=Layout("batch channel time"))
    found = exp.around([[10, 20], [], []], 2, 5)
    assert repr(found) == "<EventAverage 2 events, from -2 to 5 samples; 0 left out>"


@pytest.mark.parametrize(
    ("asked", "error", "said"),
    [
        ({"events": [[1.0]]}, InputError, "1 rows of times for 3 samples"),
        ({"events": [[[1.0]], [], []]}, InputError, "one array of times for each sample"),
        ({"events": 3}, InputError, "one array of times for each sample"),
        ({"events": [[9.0], [], []]}, InputError, "none of 1 events"),
        ({"events": [[], [], []]}, InputError, "none of 0 events"),
        ({"dim": "depth"}, LayoutError, "no 'depth'"),
        ({"before": -1}, InputError, "not negative"),
        ({"before": 0, "after": 0}, InputError, "not negative"),
        ({"before": 0, "after": 0.01}, LayoutError, "has 1 entries"),
        ({"after": 9}, LayoutError, "2 to 40"),
    ],
)
def test_what_cannot_be_cut_is_told_in_a_sentence(asked, error, said):
    with pytest.raises(error, match=said):
        make().around(**{"events": EVENTS, **asked})


def test_uneven_steps_are_refused():
    places = tuple(np.arange(40.0) ** 1.1)
    layout = Layout("batch channel time", coordinates={"time": places})
    with pytest.raises(LayoutError, match="not evenly spaced"):
        make(layout=layout).around(EVENTS)


def test_cuts_do_not_depend_on_the_samples_beside():
    exp = make(input=numbers(3, 2, 40))
    alone = exp.isel(sample=0).around([EVENTS[0]], 0.2, 0.5).table
    beside = exp.around([EVENTS[0], [], []], 0.2, 0.5).table
    assert alone.drop_attrs().equals(beside.drop_attrs())
