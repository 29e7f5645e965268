"""What would be read with wrong numbers, or in part, and nobody told: each is put right, or told by sample."""

import h5py
import nibabel
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import wfdb
from data.files import write_edf, write_wav, write_wfdb
from PIL import Image

import signalcam as sc

DEEP = np.random.default_rng(4).integers(0, 65536, (6, 8)).astype(np.uint16)


def write_units(folder, name, signal, units):
    """A WFDB record of the same voltages, or of others, in these units."""
    scale = np.array([[{"mV": 1, "uV": 1000, "V": 0.001}.get(each, 10)] for each in units])
    wfdb.wrsamp(
        name,
        100,
        list(units),
        ["I", "II"],
        (signal * scale).T,
        fmt=["16"] * 2,
        adc_gain=(1000 / scale[:, 0]).tolist(),
        baseline=[0, 0],
        write_dir=str(folder),
    )


@pytest.mark.parametrize("units", [("mV", "uV"), ("uV", "uV"), ("V", "mV")])
def test_voltages_of_a_wfdb_record_are_all_in_millivolts(tmp_path, signal, units):
    write_units(tmp_path, "a", signal, ("mV", "mV"))
    write_units(tmp_path, "b", signal, units)
    batch = sc.data.open(tmp_path).read([0, 1])
    np.testing.assert_allclose(batch.inputs, np.stack([signal, signal]), atol=5e-4)
    assert batch.layout.units == "mV"


def test_a_wfdb_record_in_other_units_is_told(tmp_path, signal):
    write_units(tmp_path, "a", signal, ("mV", "mmHg"))
    write_units(tmp_path, "b", signal, ("mV", "kPa"))
    batch = sc.data.open(tmp_path).read([0, 1])
    assert batch.layout.units == "mV, mmHg"
    assert "is in mV, kPa, but mV, mmHg is expected" in batch.failed[1]
    said = sc.data.open(tmp_path, layout=sc.Layout("batch channel time", units="uV"))
    assert set(said.read([0, 1]).failed) == {0, 1}


def write_edf_units(path, signal, units):
    """A recording whose header has other units."""
    write_edf(path, 100 * signal, ["Fz", "Cz"])
    raw, start = path.read_bytes(), 256 + 2 * 96
    path.write_bytes(raw[:start] + b"".join(each.ljust(8) for each in units) + raw[start + 16 :])


@pytest.mark.parametrize("suffix", [".edf", ".bdf"])
@pytest.mark.parametrize(
    ("unit", "told", "factor"),
    [
        (b"uV", "V", 1e-6),
        (b"\xb5V", "V", 1e-6),
        (b"UV", "V", 1e-6),
        (b"mV", "V", 1e-3),
        (b"nV", "V", 1e-9),
        (b"V", "V", 1),
        (b"degC", "degC", 1),
        (b"%", "%", 1),
        (b"", None, 1),
    ],
)
def test_channels_of_an_edf_have_their_own_units(tmp_path, signal, suffix, unit, told, factor):
    write_edf_units(tmp_path / f"x{suffix}", signal, [unit, unit])
    batch = sc.data.open(tmp_path / f"x{suffix}").read([0])
    assert batch.layout.units == told
    np.testing.assert_allclose(batch.inputs[0] / (100 * factor), signal, atol=5e-4)


def test_an_edf_of_voltages_and_others_names_both_units(tmp_path, signal):
    write_edf_units(tmp_path / "x.edf", signal, [b"uV", b"degC"])
    batch = sc.data.open(tmp_path / "x.edf").read([0])
    assert batch.layout.units == "V, degC"
    np.testing.assert_allclose(batch.inputs[0, 0], 1e-4 * signal[0], atol=4e-8)
    np.testing.assert_allclose(batch.inputs[0, 1], 100 * signal[1], atol=4e-2)
    assert sc.data.open(tmp_path / "x.edf", channels=["Cz"]).layout.units == "degC"


def test_annotations_of_an_edf_are_no_channel_with_a_unit(tmp_path, signal):
    write_edf(tmp_path / "x.edf", 100 * signal, ["Fz", "Cz"], notes=[(0.5, "left")])
    assert sc.data.open(tmp_path / "x.edf").layout.units == "V"


@pytest.mark.parametrize("suffix", [".edf", ".bdf", ".wav", ".aiff"])
def test_a_file_that_was_cut_off_is_told(tmp_path, signal, suffix):
    for name in ("a", "b"):
        path = tmp_path / f"{name}{suffix}"
        if suffix in (".edf", ".bdf"):
            write_edf(path, 100 * signal, ["Fz", "Cz"])
        else:
            write_wav(path, signal / 4)
    (tmp_path / f"b{suffix}").write_bytes((tmp_path / f"b{suffix}").read_bytes()[:-100])
    batch = sc.data.open(tmp_path).read([0, 1])
    assert batch.numbers == (0,)
    assert "it ends after" in batch.failed[1]


def test_a_wav_from_a_pipe_does_not_know_its_length_and_is_read(tmp_path, signal):
    write_wav(tmp_path / "a.wav", signal / 4)
    raw = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(raw[:4] + b"\xff" * 4 + raw[8:])
    assert sc.data.open(tmp_path / "a.wav").read([0]).inputs.shape == (1, 2, 400)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_picture_of_16_bits_keeps_its_shades(tmp_path, suffix):
    Image.fromarray(DEEP).save(tmp_path / f"a{suffix}")
    shades = (DEEP / 65535)[None, ..., None]
    colour = sc.data.open(tmp_path / f"a{suffix}").read([0])
    np.testing.assert_allclose(colour.inputs, np.repeat(shades, 3, axis=-1), rtol=1e-6)
    assert colour.layout.channel_names == ("R", "G", "B")
    grey = sc.data.open(tmp_path / f"a{suffix}", mode="L").read([0])
    np.testing.assert_allclose(grey.inputs, shades, rtol=1e-6)
    raw = sc.data.open(tmp_path / f"a{suffix}", mode="F").read([0])
    np.testing.assert_array_equal(raw.inputs[0, ..., 0], DEEP)
    small = sc.data.open(tmp_path / f"a{suffix}", size=(3, 4)).read([0])
    assert small.inputs.shape == (1, 3, 4, 3)
    assert 0.2 < small.inputs.mean() < 0.8


def test_arrays_of_matlab_have_their_axes_as_matlab_shows_them(tmp_path):
    x, y = np.random.default_rng(0).normal(size=(5, 2, 30)), np.arange(5.0)[:, None]
    with h5py.File(tmp_path / "x.mat", "w", userblock_size=512) as file:  # as save -v7.3 does
        for name, values in (("x", x), ("y", y)):
            file.create_dataset(name, data=values.T).attrs["MATLAB_class"] = np.bytes_("double")
    reader = sc.data.open(tmp_path / "x.mat")
    batch = reader.read([4, 0, 1])
    assert len(reader) == 5
    np.testing.assert_array_equal(batch.inputs, x[[4, 0, 1]])
    assert batch.labels == (4, 0, 1)
    windows = sc.data.open(tmp_path / "x.mat", inputs="x", windows=10, layout="batch _ channel time")
    np.testing.assert_array_equal(windows.read([2]).inputs[0], x[..., 20:30])


@pytest.mark.parametrize("kind", ["float32", "int32"])
def test_a_picture_of_unknown_scale_is_told(tmp_path, kind):
    Image.fromarray(DEEP.astype(kind)).save(tmp_path / "a.tif")
    reader = sc.data.open(tmp_path / "a.tif")
    assert "more than eight bits" in reader.read([0]).failed[0]
    kept = sc.data.open(tmp_path / "a.tif", mode="F").read([0])
    np.testing.assert_array_equal(kept.inputs[0, ..., 0], DEEP)


def test_a_volume_of_another_spacing_is_told(tmp_path):
    for name, step, unit in (("a", 1, "mm"), ("b", 2, "mm"), ("c", 1, "meter"), ("d", 1.000001, "mm")):
        image = nibabel.Nifti1Image(np.ones((2, 3, 4), "float32"), np.diag([1, step, 1, 1]))
        image.header.set_xyzt_units(unit, "sec")
        image.to_filename(tmp_path / f"{name}.nii")
    batch = sc.data.open(tmp_path).read(range(4))
    assert batch.numbers == (0, 3)
    assert "has a height step of 2 mm, but 1 mm is expected" in batch.failed[1]
    assert "1 meter" in batch.failed[2]


@pytest.mark.parametrize("text", ["1.5,2\n3,4\n5,6\n", "0\n1\n2\n"])
def test_a_csv_without_names_loses_no_row(tmp_path, text):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(sc.InputError, match=r"holds numbers where the names .* header=False"):
        sc.data.open(tmp_path / "a.csv")
    batch = sc.data.open(tmp_path / "a.csv", header=False).read([0])
    rows = [[float(cell) for cell in line.split(",")] for line in text.split()]
    np.testing.assert_array_equal(batch.inputs[0], np.transpose(rows))
    assert len(sc.data.open(tmp_path / "a.csv", header=True).read([0]).inputs[0, 0]) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (",I\n0,5\n1,6\n", "one of its columns has no name"),
        ("I,II\n0,5,6\n1,6,7\n", "Expected 2 fields in line 2, saw 3"),
        ("I,II\n5,6\n7\n", "1 of its 4 values are NaN"),
    ],
)
def test_no_column_of_a_csv_is_taken_for_another(tmp_path, text, said):
    (tmp_path / "a.csv").write_text(text)
    (tmp_path / "b.csv").write_text("I,II\n5,6\n7,8\n")
    batch = sc.data.open(tmp_path, layout="batch channel time").read([0, 1])
    assert batch.numbers == (1,)
    assert said in batch.failed[0]


def test_a_sound_of_another_rate_is_told(tmp_path, signal):
    for name, rate in (("a", 44100), ("b", 48000), ("c", 44100)):
        write_wav(tmp_path / f"{name}.wav", signal / 4, rate)
    batch = sc.data.open(tmp_path).read(range(3))
    assert batch.numbers == (0, 2)
    assert "has 48000 samples a second, but 44100 are expected" in batch.failed[1]


def test_channels_of_unequal_length_in_a_table_are_told(tmp_path):
    lists = [[[1.0, 2.0], [3.0]], [[1.0, 2.0], [3.0, 4.0]]]
    pq.write_table(pa.table({"x": lists}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"x": [[1.0], [1.0]], "y": [[1.0, 2.0], [3.0]]}), tmp_path / "b.parquet")
    one = sc.data.open(tmp_path / "a.parquet").read([0, 1])
    two = sc.data.open(tmp_path / "b.parquet", inputs=["x", "y"]).read([0, 1])
    assert (one.numbers, two.numbers) == ((1,), (1,))
    assert "of unequal length: 2, 1" in one.failed[0]
    assert "of unequal length: 1, 2" in two.failed[0]


def test_classes_with_a_decimal_point_are_classes(tmp_path, signal):
    np.savez(tmp_path / "x.npz", x=np.ones((4, 2, 9)), y=[1.0, 2.0, np.nan, 0.5])
    assert sc.data.open(tmp_path / "x.npz").read(range(4)).labels == (1, 2, None, 0.5)
    assert sc.data.of(np.ones((2, 9)), labels=np.array([1.0, 0.0])).read([0, 1]).labels == (1, 0)
    pq.write_table(pa.table({"x": [[1.0], [2.0]], "label": [2.0, None]}), tmp_path / "a.parquet")
    assert sc.data.open(tmp_path / "a.parquet").read([0, 1]).labels == (2, None)
    write_wfdb(tmp_path, "a", signal)
    (tmp_path / "list.csv").write_text("path,label\na.hea,3.0\na.hea,AF\n")
    assert sc.data.open(tmp_path / "list.csv").read([0, 1]).labels == (3, "AF")
