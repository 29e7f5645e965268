"""NumPy, Zarr and HDF5: what was written is what is read."""

import pickle
import zipfile

import h5py
import numpy as np
import pytest
import zarr

import signalcam as sc

X = np.random.default_rng(0).normal(size=(9, 2, 30)).astype("float32")
Y = np.arange(9) % 3
NAMES = np.array([f"p{each}" for each in range(9)])


def write_npz(path):
    np.savez(path, x=X, y=Y, names=NAMES)
    return path


def write_zarr(path):
    group = zarr.open_group(path, mode="w")
    group.create_array(
        "x",
        data=X,
        chunks=(4, 2, 30),
        dimension_names=("sample", "channel", "time"),
        attributes={"sampling_rate": 50, "channel_names": ["I", "II"], "units": "mV"},
    )
    group.create_array("y", data=Y)
    return path


def write_hdf5(path):
    with h5py.File(path, "w") as file:
        inputs = file.create_dataset("train/x", data=X)
        for axis, name in enumerate(("sample", "channel", "time")):
            inputs.dims[axis].label = name
        inputs.attrs["sampling_rate"] = 50.0
        inputs.attrs["channel_names"] = ["I", "II"]
        file["y"] = Y
        file["names"] = [str(each) for each in NAMES]
    return path


@pytest.fixture(params=["x.npz", "x.zarr", "x.h5"])
def reader(request, tmp_path):
    path = tmp_path / request.param
    {".npz": write_npz, ".zarr": write_zarr, ".h5": write_hdf5}[path.suffix](path)
    return sc.data.open(path, **({"inputs": "train/x"} if path.suffix == ".h5" else {}))


def test_samples_and_labels_come_in_the_order_asked_for(reader):
    batch = reader.read([7, 2, 3, 2])
    np.testing.assert_array_equal(batch.inputs, X[[7, 2, 3, 2]])
    assert len(reader) == 9
    assert batch.numbers == (7, 2, 3, 2)
    assert batch.labels == tuple(Y[[7, 2, 3, 2]].tolist())
    assert not batch.failed


def test_a_reader_keeps_the_protocol_and_travels_to_other_processes(reader):
    assert isinstance(reader, sc.data.Reader)
    reader.read([0])
    again = pickle.loads(pickle.dumps(reader))  # noqa: S301 - our own
    np.testing.assert_array_equal(again.read([8]).inputs, X[[8]])
    assert again.fingerprint == reader.fingerprint


def test_names_are_read_where_there_are_some(tmp_path):
    for path in (write_npz(tmp_path / "x.npz"), write_hdf5(tmp_path / "x.h5")):
        options = {"inputs": "train/x"} if path.suffix == ".h5" else {}
        assert sc.data.open(path, **options).read([4, 0]).names == ("p4", "p0")


def test_axes_that_a_file_names_are_carried_along(tmp_path):
    for reader in (
        sc.data.open(write_zarr(tmp_path / "x.zarr")),
        sc.data.open(write_hdf5(tmp_path / "x.h5"), inputs="train/x"),
    ):
        layout = reader.read([0]).layout
        assert layout.dims == ("batch", "channel", "time")
        assert layout.sampling_rate == 50
        assert layout.channel_names == ("I", "II")


def test_an_npy_file_is_mapped_and_takes_the_layout_given(tmp_path):
    np.save(tmp_path / "x.npy", X)
    reader = sc.data.open(tmp_path / "x.npy", layout=sc.Layout("batch channel time", 50))
    assert reader.layout.sampling_rate == 50
    np.testing.assert_array_equal(reader.read([1]).inputs, X[[1]])


def test_the_fingerprint_changes_with_the_data_and_with_how_they_are_read(tmp_path):
    path = tmp_path / "x.npz"
    before = sc.data.open(write_npz(path)).fingerprint
    assert sc.data.open(path).fingerprint == before
    assert sc.data.open(path, nan="keep").fingerprint != before
    assert sc.data.open(path, labels="names").fingerprint != before
    np.savez(path, x=X + 1, y=Y, names=NAMES)
    assert sc.data.open(path).fingerprint != before


def test_a_file_that_changed_is_read_anew(tmp_path):
    np.save(tmp_path / "x.npy", X)
    sc.data.open(tmp_path / "x.npy").read([0])
    np.save(tmp_path / "x.npy", X[:5] + 1)
    np.testing.assert_array_equal(sc.data.open(tmp_path / "x.npy").read([0]).inputs, X[:1] + 1)


def test_samples_that_are_not_finite_are_told_and_left_out(tmp_path):
    broken = X.copy()
    broken[3] = np.nan
    broken[5, 0, 7] = np.inf
    np.save(tmp_path / "x.npy", broken)
    batch = sc.data.open(tmp_path / "x.npy").read(range(9))
    assert batch.numbers == (0, 1, 2, 4, 6, 7, 8)
    assert set(batch.failed) == {3, 5}
    assert "60 of its 60 values are NaN" in batch.failed[3]
    assert "1 of its 60" in batch.failed[5]
    assert len(sc.data.open(tmp_path / "x.npy", nan="keep").read(range(9))) == 9


def test_a_torn_chunk_breaks_its_own_rows_only(tmp_path):
    path = write_zarr(tmp_path / "x.zarr")
    chunk = path / "x/c/1/0/0"
    chunk.write_bytes(chunk.read_bytes()[:40])
    batch = sc.data.open(path).read(range(9))
    assert batch.numbers == (0, 1, 2, 3, 8)
    assert set(batch.failed) == {4, 5, 6, 7}
    np.testing.assert_array_equal(batch.inputs, X[[0, 1, 2, 3, 8]])


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".h5"])
def test_a_broken_file_among_good_ones_is_one_failed_sample(tmp_path, suffix):
    def write(path, values):
        if suffix == ".h5":
            with h5py.File(path, "w") as file:
                file["x"] = values
        else:
            np.savez(path, x=values) if suffix == ".npz" else np.save(path, values)

    write(tmp_path / f"a{suffix}", X[:3])
    write(tmp_path / f"b{suffix}", X[3:5])
    (tmp_path / f"b{suffix}").write_bytes((tmp_path / f"b{suffix}").read_bytes()[:60])
    write(tmp_path / f"c{suffix}", X[5:])
    reader = sc.data.open(tmp_path)
    batch = reader.read(range(len(reader)))
    assert len(reader) == 8
    assert set(batch.failed) == {3}
    assert f"b{suffix}" in batch.failed[3]
    np.testing.assert_array_equal(batch.inputs, np.concatenate([X[:3], X[5:]]))


def test_an_array_that_is_one_long_record_is_cut_into_windows(tmp_path):
    record = np.arange(2 * 95.0).reshape(2, 95)
    np.save(tmp_path / "x.npy", record)
    np.save(tmp_path / "t.npy", record.T)
    reader = sc.data.open(tmp_path / "x.npy", windows=20)
    turned = sc.data.open(tmp_path / "t.npy", windows=20, layout="batch time channel")
    assert len(reader) == len(turned) == 4
    np.testing.assert_array_equal(reader.read([3]).inputs[0], record[:, 60:80])
    np.testing.assert_array_equal(turned.read([3]).inputs[0], record[:, 60:80].T)


def test_a_file_whose_samples_are_not_known_says_what_it_holds(tmp_path):
    np.savez(tmp_path / "x.npz", one=X, two=X)
    with pytest.raises(sc.InputError, match="'one', 'two' holds the samples is not known"):
        sc.data.open(tmp_path / "x.npz")
    with pytest.raises(sc.InputError, match="no array 'three' that fits"):
        sc.data.open(tmp_path / "x.npz", inputs="three")
    assert len(sc.data.open(tmp_path / "x.npz", inputs="two")) == 9


def test_objects_in_a_file_are_not_unpickled(tmp_path):
    np.save(tmp_path / "x.npy", np.array([{1: 2}, None], dtype=object), allow_pickle=True)
    with pytest.raises(sc.InputError, match="Python objects"):
        sc.data.open(tmp_path / "x.npy")


def test_an_hdf5_file_can_be_written_while_a_reader_has_it(tmp_path):
    reader = sc.data.open(write_hdf5(tmp_path / "x.h5"), inputs="train/x")
    reader.read([0])
    with h5py.File(tmp_path / "x.h5", "a") as file:
        file["train/x"][0] = 7
    assert reader.read([0]).inputs.min() == 7


def test_labels_of_several_classes_stay_together(tmp_path):
    np.savez(tmp_path / "x.npz", x=X, y=np.eye(3, dtype=int)[Y])
    assert sc.data.open(tmp_path / "x.npz").read([1]).labels == ((0, 1, 0),)


def test_an_array_in_a_group_of_a_zarr_zip_is_found(tmp_path):
    with zarr.storage.ZipStore(tmp_path / "x.zarr.zip", mode="w") as store:
        zarr.open_group(store, mode="w").create_group("train").create_array("x", data=X)
    reader = sc.data.open(tmp_path / "x.zarr.zip", inputs="train/x")
    np.testing.assert_array_equal(reader.read([5, 6]).inputs, X[5:7])


def test_a_folder_that_moved_has_the_same_fingerprint(tmp_path, signal):
    (tmp_path / "here").mkdir()
    np.save(tmp_path / "here/x.npy", signal)
    before = sc.data.open(tmp_path / "here", windows=20).fingerprint
    (tmp_path / "here").rename(tmp_path / "there")
    assert sc.data.open(tmp_path / "there", windows=20).fingerprint == before


def test_a_zip_that_is_no_zarr_is_told(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zarr.zip", "w") as file:
        file.writestr("readme", "nothing")
    with pytest.raises(sc.InputError, match=r"x.zarr.zip could not be read"):
        sc.data.open(tmp_path / "x.zarr.zip")
