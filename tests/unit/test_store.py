"""A result on disk: equal when read again, whole or not there, and never executed."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

from signalcam import CamError, Layout, StoreError, io, load
from signalcam.alignment.resampling import AxisGrid, spread_evenly
from signalcam.results import zarr_store
from unit.results import assert_same, make


@pytest.fixture
def saved(exp, tmp_path):
    exp.save(tmp_path / "run.zarr")
    return tmp_path / "run.zarr"


def change(path, edit):
    """Rewrite a zarr.json by hand."""
    known = json.loads((path / "zarr.json").read_text())
    edit(known)
    (path / "zarr.json").write_text(json.dumps(known))


def files(folder):
    return sorted(str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file())


# --- there and back ----------------------------------------------------------------------------------

IMAGES = {
    "grids": {"conv": (spread_evenly(2, 3, 6), spread_evenly(3, 4, 8))},
    "input": np.zeros((3, 1, 6, 8), np.float32),
    "layout": Layout("batch _ height width"),
}
BARE = dict.fromkeys(["logits", "probabilities", "classes", "true_classes", "class_names"])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        BARE,
        IMAGES,
        {"sample_names": (0, 1, 2)},
        {"input": np.zeros((3, 2, 40), np.float64)},
        {"input": np.ones((3, 2, 40), np.int16)},
        {"logits": np.full((3, 3), np.nan, np.float32)},
        {"probabilities": np.zeros((3, 3), np.float32)},
    ],
    ids=["signals", "no classes", "images", "numbers for names", "double", "integers", "nan", "zeros"],
)
def test_result_read_is_equal_to_the_one_saved(tmp_path, changes):
    exp = make(**changes)
    exp.save(tmp_path / "run")
    assert_same(load(tmp_path / "run"), exp)


def test_labelled_arrays_are_identical_after_reading(exp, saved):
    xr.testing.assert_identical(load(saved).to_xarray(), exp.to_xarray())


def test_places_of_the_axes_are_kept(tmp_path):
    layout = Layout(
        "batch frequency time", 10, coordinates={"frequency": [0.1, 1 / 3]}, axis_units={"frequency": "kHz"}
    )
    grid = {"conv": (AxisGrid(1, 2, 2, 0.0, 1.0), AxisGrid(2, 10, 40, 1.5, 4.0))}
    exp = make(grid, layout=layout, input=np.zeros((3, 2, 40), np.float32))
    exp.save(tmp_path / "a")
    same = load(tmp_path / "a")
    assert_same(exp, same)
    xr.testing.assert_identical(exp.maps, same.maps)


def test_path_may_be_a_string_and_lie_in_folders_yet_to_be_made(exp, tmp_path):
    place = str(tmp_path / "results" / "monday" / "run.zarr")
    exp.save(place)
    assert_same(load(place), exp)


def test_names_of_numpy_types_are_saved_as_plain_ones(tmp_path):
    names = tuple(np.array([7, 8, 9]))
    make(sample_names=names, provenance={"seed": np.int64(3), "path": Path("a")}).save(tmp_path / "r")
    again = load(tmp_path / "r")
    assert again.sample_names == (7, 8, 9)
    assert again.provenance == {"seed": 3, "path": "a"}


@pytest.mark.parametrize("changes", [{}, IMAGES, BARE], ids=["signals", "images", "no classes"])
def test_store_is_readable_without_signalcam(tmp_path, changes):
    exp = make(**changes)
    exp.save(tmp_path / "run")
    with xr.open_zarr(tmp_path / "run", consolidated=False) as dataset:
        np.testing.assert_array_equal(dataset.input, exp.input)
        np.testing.assert_array_equal(dataset.maps_0, exp.layers[0].values)
        assert dataset.scores.dims == ("sample", "target")
        assert dataset.input.dims[0] == "sample"


def test_store_names_its_axes(saved):
    group = zarr.open_group(saved, mode="r")
    dims = {name: array.metadata.dimension_names for name, array in group.arrays()}
    assert dims["input"] == ("sample", "channel", "time")
    assert dims["maps_1"] == ("sample", "target", "cam", "time_1")
    assert dims["logits"] == dims["probabilities"] == ("sample", "class")
    assert dims["classes"] == dims["true_classes"] == ("sample",)


# --- whole or not there --------------------------------------------------------------------------------


def test_saving_again_replaces_the_old_result_entirely(exp, saved):
    smaller = exp.isel(layer=0, sample=[0, 1])
    smaller.save(saved)
    assert_same(load(saved), smaller)
    assert not (saved / "maps_1").exists()


def test_nothing_but_the_result_is_left_beside_it(exp, saved):
    exp.save(saved)
    assert [each.name for each in saved.parent.iterdir()] == ["run.zarr"]


def crash_after(monkeypatch, owner, name, calls, error):
    whole, seen = getattr(owner, name), []

    def crash(*args, **kwargs):
        seen.append(args)
        if len(seen) == calls:
            raise error
        return whole(*args, **kwargs)

    monkeypatch.setattr(owner, name, crash)


@pytest.mark.parametrize("error", [OSError("disk full"), RuntimeError("crash"), KeyboardInterrupt()])
def test_crash_while_writing_leaves_the_old_result_and_no_litter(exp, saved, monkeypatch, error):
    before = files(saved.parent)
    crash_after(monkeypatch, zarr.Group, "create_array", 3, error)
    with pytest.raises((StoreError, RuntimeError, KeyboardInterrupt)):
        make(scores=np.zeros((3, 2))).save(saved)
    assert files(saved.parent) == before
    assert_same(load(saved), exp)


def test_crash_while_writing_the_first_result_leaves_nothing(exp, tmp_path, monkeypatch):
    crash_after(monkeypatch, zarr.Group, "create_array", 3, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        exp.save(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def crash_while_moving_to(place, monkeypatch, error):
    whole = Path.replace  # Zarr moves its own files with it as well

    def crash(self, target):
        if (self.stem, Path(target)) == ("new", place):
            raise error
        return whole(self, target)

    monkeypatch.setattr(Path, "replace", crash)


@pytest.mark.parametrize("error", [OSError("moved away"), KeyboardInterrupt()])
def test_crash_while_moving_the_new_result_brings_the_old_one_back(exp, saved, monkeypatch, error):
    crash_while_moving_to(saved, monkeypatch, error)
    with pytest.raises((StoreError, KeyboardInterrupt)):
        make(scores=np.zeros((3, 2))).save(saved)
    assert [each.name for each in saved.parent.iterdir()] == ["run.zarr"]
    assert_same(load(saved), exp)


def test_crash_while_moving_the_first_result_leaves_nothing(exp, tmp_path, monkeypatch):
    crash_while_moving_to(tmp_path / "run", monkeypatch, OSError("moved away"))
    with pytest.raises(StoreError, match=r"cannot save to .*: moved away"):
        exp.save(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


# --- what is not ours is left alone ----------------------------------------------------------------------


def foreign_folder(place):
    place.mkdir()
    (place / "thesis.tex").write_text("years of work")


def foreign_file(place):
    place.write_text("years of work")


def foreign_store(place):
    zarr.create_group(place).create_array("input", data=np.ones(3))


def half_written(place):
    make().save(place)
    (place / "zarr.json").unlink()


def other_json(place):
    place.mkdir()
    (place / "zarr.json").write_text("[1, 2]")


def binary_json(place):
    place.mkdir()
    (place / "zarr.json").write_bytes(b"\x80\x04\x95")


def dangling_link(place):
    place.symlink_to(place.parent / "nowhere")


everything_foreign = pytest.mark.parametrize(
    "put",
    [foreign_folder, foreign_file, foreign_store, half_written, other_json, binary_json],
    ids=lambda put: put.__name__,
)


@everything_foreign
def test_what_is_not_ours_is_never_overwritten(exp, tmp_path, put):
    put(tmp_path / "run")
    before = files(tmp_path)
    with pytest.raises(StoreError, match=r"no readable result .*Give another path; nothing was chang"):
        exp.save(tmp_path / "run")
    assert files(tmp_path) == before


@everything_foreign
def test_what_is_not_ours_cannot_be_read(tmp_path, put):
    put(tmp_path / "run")
    with pytest.raises(StoreError, match="exists and is no readable result of SignalCAM"):
        load(tmp_path / "run")


def test_link_to_nowhere_is_no_result(exp, tmp_path):
    dangling_link(tmp_path / "run")
    with pytest.raises(StoreError, match="no readable result"):
        load(tmp_path / "run")
    with pytest.raises(StoreError, match="cannot save to"):
        exp.save(tmp_path / "run")


@pytest.mark.parametrize("name", ["file/run", "n" * 300, "null\0byte"], ids=["in a file", "long", "nul"])
def test_place_that_cannot_be_written_to_raises(exp, tmp_path, name):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StoreError, match=r"cannot save to .*Choose a folder that can be written"):
        exp.save(tmp_path / name)
    assert files(tmp_path) == ["file"]


@pytest.mark.parametrize("name", ["run.zarr", "file/run", "n" * 300, "null\0byte"])
def test_place_where_nothing_is_raises(tmp_path, name):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StoreError, match=r"nothing at .*folder that Explanation\.save made"):
        load(tmp_path / name)


# --- damaged, newer --------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [zarr_store.FORMAT + 1, "2.0"])
def test_result_of_a_newer_version_asks_for_an_upgrade(exp, saved, version):
    change(saved, lambda known: known["attributes"].update(signalcam=version))
    before = files(saved)
    for use in (lambda: load(saved), lambda: exp.save(saved)):
        with pytest.raises(StoreError, match=r"newer SignalCAM \(format .*Upgrade signalcam"):
            use()
    assert files(saved) == before


def chunks(saved, name):
    return [each for each in (saved / name / "c").rglob("*") if each.is_file()]


def lose_an_array(saved):
    shutil.rmtree(saved / "scores")


def lose_a_chunk(saved):
    chunks(saved, "maps_0")[0].unlink()


def cut_a_chunk(saved):
    (chunk, *_) = chunks(saved, "input")
    chunk.write_bytes(chunk.read_bytes()[:-9])


def flip_a_bit(saved):
    (chunk, *_) = chunks(saved, "logits")
    content = bytearray(chunk.read_bytes())
    content[-3] ^= 1
    chunk.write_bytes(bytes(content))


def swap_two_arrays(saved):
    (saved / "logits").rename(saved / "other")
    (saved / "probabilities").rename(saved / "logits")
    (saved / "other").rename(saved / "probabilities")


def lose_an_entry(saved):
    change(saved, lambda known: known["attributes"]["about"].pop("layers"))


def lose_all_entries(saved):
    change(saved, lambda known: known["attributes"].pop("about"))


def lose_the_sums(saved):
    change(saved, lambda known: known["attributes"].pop("crc32"))


def spoil_the_layout(saved):
    change(saved, lambda known: known["attributes"]["about"]["layout"].update(dims=["time"]))


def spoil_the_grid(saved):
    change(
        saved,
        lambda known: known["attributes"]["about"].update(layers=[{"name": "a", "grid": [3]}]),
    )


@pytest.mark.parametrize(
    "spoil",
    [
        lose_an_array,
        lose_a_chunk,
        cut_a_chunk,
        flip_a_bit,
        swap_two_arrays,
        lose_an_entry,
        lose_all_entries,
        lose_the_sums,
        spoil_the_layout,
        spoil_the_grid,
    ],
    ids=lambda spoil: spoil.__name__,
)
def test_damaged_result_raises(saved, spoil):
    spoil(saved)
    with pytest.raises(StoreError, match=r"run\.zarr is damaged.*Save it again, or restore it"):
        load(saved)


def test_damaged_result_may_be_saved_over(exp, saved):
    lose_an_array(saved)
    exp.save(saved)
    assert_same(load(saved), exp)


# --- never executed ----------------------------------------------------------------------------------------


class Bomb:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


def test_nothing_is_unpickled(exp, saved, monkeypatch):
    def refuse(*args, **kwargs):
        pytest.fail("something was unpickled")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    assert_same(load(saved), exp)


@pytest.mark.parametrize("codec", ["numcodecs.pickle", "pickle", "numcodecs.json2"])
def test_store_that_asks_to_be_unpickled_is_refused(saved, tmp_path, codec):
    bytes_and_pickle = [{"name": "bytes"}, {"name": codec, "configuration": {}}]
    change(saved / "scores", lambda known: known.update(codecs=bytes_and_pickle))
    chunks(saved, "scores")[0].write_bytes(pickle.dumps(Bomb(tmp_path / "executed")))
    with pytest.raises(CamError, match="is damaged"):
        load(saved)
    assert not (tmp_path / "executed").exists()


# --- left on disk ------------------------------------------------------------------------------------


def test_result_left_on_disk_says_the_same_and_reads_what_is_indexed(exp, saved):
    lazy = io.load_lazy(saved)
    assert repr(lazy) == repr(exp)
    assert len(lazy) == len(exp)
    np.testing.assert_array_equal(lazy.input[1, :, 3:9], exp.input[1, :, 3:9])
    np.testing.assert_array_equal(np.asarray(lazy.input), exp.input)
    assert_same(lazy.isel(sample=[2, 0]), exp.isel(sample=[2, 0]))


def test_chunk_that_is_missing_reads_as_nan_and_does_not_load(saved):
    shutil.rmtree(saved / "maps_0" / "c")
    assert np.isnan(io.load_lazy(saved).layers[0].values[:]).all()
    with pytest.raises(StoreError, match="damaged"):
        load(saved)


def test_chunk_that_cannot_be_read_is_a_store_error_when_it_is(saved):
    for chunk in (saved / "maps_0" / "c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(StoreError, match=r"maps_0.*damaged"):
        io.load_lazy(saved).layers[0].values[0]


def test_scores_are_checked_also_where_maps_are_left_on_disk(saved):
    shutil.rmtree(saved / "scores" / "c")
    with pytest.raises(StoreError, match="not those that were saved"):
        io.load_lazy(saved)


@pytest.mark.parametrize(
    ("shape", "chunks"),
    [
        ((1, 2, 10**7), (1, 1, 2**18)),
        ((10**5, 2, 1000), (131, 2, 1000)),
        ((9, 3), (9, 3)),
        ((0, 4), (1, 4)),
        ((), ()),
        ((1, 10**7, 2), (1, 2**17, 2)),
    ],
)
def test_chunks_hold_few_samples_each_as_whole_as_fits(shape, chunks):
    assert zarr_store._chunks(shape) == chunks
