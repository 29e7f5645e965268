"""Folders, patterns, manifests, windows, other kinds of files, and what is said where nothing can be read."""

import importlib
import pickle
import subprocess
import sys

import numpy as np
import pytest
from data.files import write_wav

import signalcam as sc


@pytest.fixture
def sounds(tmp_path, signal):
    """Three sounds, of 4, 3 and 0.5 seconds, in two folders."""
    for place, length in (("one/a", 400), ("one/b", 300), ("two/c", 50)):
        path = tmp_path / f"{place}.wav"
        path.parent.mkdir(exist_ok=True)
        write_wav(path, signal[:, :length])
    return tmp_path


def test_a_pattern_and_a_list_mean_files(sounds):
    assert len(sc.data.open(sounds / "one/*.wav")) == 2
    assert len(sc.data.open(str(sounds / "**/*.wav"))) == 3
    listed = sc.data.open([sounds / "two/c.wav", sounds / "one/a.wav"])
    assert listed.read([1, 0]).names == ("a", "c")


def test_windows_of_many_files_are_numbered_through(sounds, signal):
    reader = sc.data.open(sounds, windows=sc.data.Windows(1.0, stride=0.5))
    batch = reader.read(range(len(reader)))
    assert len(reader) == 7 + 5 + 1
    assert batch.labels == ("one",) * 12
    assert batch.names[7] == "one/b[0:100]"
    np.testing.assert_allclose(batch.inputs[8], signal[:, 50:150], atol=1e-6)
    assert "50 samples are less than a window of 100" in batch.failed[12]


def test_an_end_is_padded_with_zeros_where_asked(sounds, signal):
    reader = sc.data.open(sounds, windows=sc.data.Windows(1.5, remainder="pad"))
    assert len(reader) == 3 + 2 + 1
    last = reader.read([2]).inputs[0]
    np.testing.assert_allclose(last[:, :100], signal[:, 300:400], atol=1e-6)
    assert last.shape == (2, 150)
    assert not last[:, 100:].any()


@pytest.mark.parametrize("length", [7, 50, 99, 100, 101, 133, 400])
@pytest.mark.parametrize("stride", [3, 50, 100])
@pytest.mark.parametrize("remainder", ["drop", "pad"])
def test_windows_are_those_of_a_plain_loop(tmp_path, signal, length, stride, remainder):
    np.save(tmp_path / "x.npy", signal)
    windows = sc.data.Windows(length, stride=stride, remainder=remainder)
    expected = []
    for start in range(0, 400, stride):
        piece = signal[:, start : start + length]
        covered = bool(expected) and start - stride + length >= 400
        if piece.shape[1] == length or (remainder == "pad" and not covered):
            expected.append(np.pad(piece, [(0, 0), (0, length - piece.shape[1])]))
    reader = sc.data.open(tmp_path / "x.npy", windows=windows)
    np.testing.assert_array_equal(reader.read(range(len(reader))).inputs, expected)


def test_a_window_of_no_sample_is_told(sounds):
    batch = sc.data.open(sounds, windows=1e-9).read([0])
    assert "less than one sample" in batch.failed[0]


def test_windows_count_seconds_or_samples(sounds):
    assert len(sc.data.open(sounds / "one/a.wav", windows=2)) == 2
    assert len(sc.data.open(sounds / "one/a.wav", windows=sc.data.Windows(2, unit="samples"))) == 200


def test_a_manifest_names_files_and_parts_of_them(sounds, signal):
    lines = [
        "path,label,name,begin,end",
        "one/a.wav,2,ann,1.5,2",
        "one/a.wav,AF,,3,",
        "two/c.wav,,,,",
        "two/c.wav,1,,0.2,0.9",
        "gone.wav,1,,,",
    ]
    (sounds / "list.csv").write_text("\n".join(lines))
    reader = sc.data.open(sounds / "list.csv")
    batch = reader.read(range(len(reader)))
    assert batch.labels == (2, "AF", None)
    assert batch.names == ("ann[150:200]", "a[300:400]", "c")
    np.testing.assert_allclose(batch.inputs[0], signal[:, 150:200], atol=1e-6)
    assert set(batch.failed) == {3, 4}
    assert "none of its 50 samples" in batch.failed[3]
    assert "gone.wav" in batch.failed[4]


def test_parts_of_a_manifest_are_cut_into_windows(sounds, signal):
    (sounds / "list.csv").write_text("path,begin,end\none/a.wav,0.5,2.7\n")
    reader = sc.data.open(sounds / "list.csv", windows=1.0)
    assert reader.read(range(len(reader))).names == ("a[50:150]", "a[150:250]")


def test_files_of_arrays_in_a_manifest_are_one_record_each(tmp_path, signal):
    np.save(tmp_path / "x.npy", signal)
    (tmp_path / "list.csv").write_text("path,label\nx.npy,3\n")
    batch = sc.data.open(tmp_path / "list.csv").read([0])
    np.testing.assert_array_equal(batch.inputs[0], signal)
    assert batch.labels == (3,)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("path,colour\nx.wav,red\n", "column 'colour'"),
        ("path,label\n", "names no files"),
        ("path,label\n,1\n", "line 2 of manifest"),
        ("path,begin\nx.wav,soon\n", "begin 'soon'"),
        ("path\nx.wav\ny.png\n", "several formats: 1 audio and 1 image"),
        ("path\nx.xyz\n", "no known format. Known are numpy"),
    ],
)
def test_a_wrong_manifest_is_told_at_once(tmp_path, text, told):
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(sc.InputError, match=told):
        sc.data.open(tmp_path / "list.csv")


@pytest.mark.parametrize(
    ("given", "options", "told"),
    [
        ("nowhere/*.wav", {}, "nothing found at"),
        ("empty", {}, "holds no file that can be read. Known are"),
        ("one", {"format": "image"}, "holds no image"),
        ("one", {"format": "audoi"}, "Nearest: 'audio'"),
        (
            "one",
            {"mona": True},
            "'mona' is no option of audio files, which have mono. Nearest: 'mono'",
        ),
        ("one", {"windows": -1}, "above 0"),
        ("one", {"nan": "drop"}, "expected 'report' or 'keep'"),
        ("one", {"windows": "1"}, "length of the windows is '1'"),
    ],
)
def test_a_wrong_question_is_told_at_once(sounds, given, options, told):
    (sounds / "empty").mkdir()
    with pytest.raises(sc.InputError, match=told):
        sc.data.open(sounds / given, **options)


@pytest.mark.parametrize("path", [[], 3, None, [3], np.ones((2, 3))])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(sc.InputError, match="expected a path, or a list of at least one"):
        sc.data.open(path)


def test_a_reader_prints_as_one_line(sounds):
    assert repr(sc.data.open(sounds)) == "Concatenation of 3 samples, channel time, 100 a second"
    assert repr(sc.data.of(np.ones((2, 3)))) == "Concatenation of 2 samples"


@pytest.mark.parametrize("number", [3, -1, 1.0, True])
def test_a_number_that_no_sample_has_is_refused(sounds, number):
    with pytest.raises(sc.InputError, match="none of this reader's: it has 3"):
        sc.data.open(sounds).read([0, number])


def test_a_file_that_goes_away_is_told(sounds):
    reader = sc.data.open(sounds)
    before = reader.read(range(3))
    (sounds / "one/b.wav").unlink()
    batch = reader.read(range(3))
    assert len(before) == 3
    assert set(batch.failed) == {1}


def test_a_reader_travels_to_another_process(sounds, tmp_path):
    reader = sc.data.open(sounds, windows=sc.data.Windows(1.0, stride=0.5))
    reader.read([2])
    (tmp_path / "reader").write_bytes(pickle.dumps(reader))
    code = "import pickle, pathlib, sys; r = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes()); print(len(r), r.fingerprint, r.read([2]).inputs.sum())"
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-c", code, tmp_path / "reader"],
        capture_output=True,
        text=True,
        check=True,
    )
    count, fingerprint, total = done.stdout.split()
    assert int(count) == len(reader)
    assert fingerprint == reader.fingerprint
    assert float(total) == pytest.approx(reader.read([2]).inputs.sum(), rel=1e-5)


def open_ramp(path, *, factor=1):
    """A third party's kind of file: a line with its length."""
    with open(path) as file:  # noqa: PTH123
        length = int(file.read())
    layout = sc.Layout("batch channel time", sampling_rate=10)
    return sc.data.Record((1, length), layout, lambda start, stop: factor * np.arange(start, stop)[None])


def test_another_kind_of_file_can_be_taught(tmp_path, monkeypatch):
    formats = importlib.import_module("signalcam.data.formats")  # the package also has a function of this name
    monkeypatch.setattr(formats, "_formats", dict(formats._formats))
    sc.data.register("ramp", ".ramp", open_ramp)
    (tmp_path / "a.ramp").write_text("30")
    (tmp_path / "b.ramp").write_text("thirty")
    reader = sc.data.open(tmp_path, windows=1.0, factor=2)
    batch = reader.read(range(len(reader)))
    assert batch.inputs[1, 0].tolist() == list(range(20, 40, 2))
    assert set(batch.failed) == {3}
    sc.data.register("other wav", [".wav"], open_ramp)
    (tmp_path / "a.wav").write_text("5")
    assert sc.data.open(tmp_path / "a.wav").read([0]).inputs.tolist() == [[[0, 1, 2, 3, 4]]]
    with pytest.raises(sc.InputError, match="does not begin with a dot"):
        sc.data.register("ramp", "ramp", open_ramp)


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("x.h5", "h5py"),
        ("x.parquet", "pyarrow"),
        ("x.hea", "wfdb"),
        ("x.edf", "mne"),
        ("x.wav", "soundfile"),
        ("x.png", "PIL.Image"),
        ("x.nii", "nibabel"),
        ("x.mp4", "imageio_ffmpeg"),
    ],
)
def test_a_missing_package_is_told_with_how_to_get_it(tmp_path, monkeypatch, name, package):
    monkeypatch.setitem(sys.modules, package, None)
    (tmp_path / name).write_bytes(b"something")
    with pytest.raises(sc.MissingExtra, match=r"signalcam\[data\]"):
        sc.data.open(tmp_path / name)


def test_importing_loads_none_of_the_packages():
    code = "import sys, signalcam; print([each for each in ('h5py','pyarrow','wfdb','mne','soundfile','nibabel','PIL','pandas','zarr','imageio_ffmpeg') if each in sys.modules])"
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
